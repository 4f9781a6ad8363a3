"""Bringing the schema up to date: plain SQL in dbmate's format, recorded in dbmate's own table."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

from conversation_store._query import sql_directory
from conversation_store.errors import MigrationError

_log = logging.getLogger("conversation_store")

# Any number will do, as long as it is always the same: it keeps two migrations apart.
_LOCK = 0x636F6E762D737472

_UP = re.compile(r"^-- migrate:up *\n(.*?)^-- migrate:down\b", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of sql/schema."""

    name: str
    version: str
    up: str
    checksum: str


def migrations() -> list[Migration]:
    """Return the migrations that this version of the package brings, in order."""
    files = sorted(
        (file for file in (sql_directory() / "schema").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    found: list[Migration] = []
    for file in files:
        content = file.read_bytes()
        up = _UP.search(content.decode())
        if up is None:
            raise MigrationError(
                f"sql/schema/{file.name}: needs '-- migrate:up' and '-- migrate:down', each on its line"
            )
        name = file.name.removesuffix(".sql")
        found.append(Migration(name, name.partition("_")[0], up[1], hashlib.sha256(content).hexdigest()))
    return found


def migrate(conninfo: str) -> list[str]:
    """Bring a database's schema `conversation_store` up to date, and return the names of the migrations applied now.

    Each migration is one transaction. Several may run at once: one waits for the other. A statement that does not get
    its lock within 5 seconds gives up, and what was not applied yet is applied the next time. Raises `MigrationError`
    when an applied file was changed or the database is not in UTF-8. What the database lacks for a fast search is
    logged as a warning. SQL: `sql/schema/`.
    """
    applied: list[str] = []
    with psycopg.connect(conninfo, autocommit=True, client_encoding="UTF8", row_factory=tuple_row) as connection:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise MigrationError(f"the database must be in UTF8, this one is in {encoding}")
        for migration in migrations():
            with connection.transaction():
                if _apply(connection, migration):
                    applied.append(migration.name)
        for warning in search_warnings(connection):
            _log.warning(warning)
    return applied


def _apply(connection: psycopg.Connection[TupleRow], migration: Migration) -> bool:
    """Apply a migration, unless that is done; the lock is held until the end of the caller's transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    connection.execute("SET LOCAL lock_timeout = '5s'")
    # dbmate's own table, and beside it what dbmate does not record.
    connection.execute("CREATE SCHEMA IF NOT EXISTS conversation_store")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS conversation_store.schema_migrations (version varchar NOT NULL PRIMARY KEY)"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS conversation_store.schema_checksums"
        " (version varchar NOT NULL PRIMARY KEY, sha256 text NOT NULL)"
    )
    recorded = connection.execute(
        "SELECT c.sha256 FROM conversation_store.schema_migrations AS m"
        " LEFT JOIN conversation_store.schema_checksums AS c ON m.version = c.version WHERE m.version = %s",
        [migration.version],
    ).fetchone()
    if recorded is not None and recorded[0] not in (None, migration.checksum):
        raise MigrationError(
            f"sql/schema/{migration.name}.sql is not what was applied: it must not be changed afterwards"
        )
    if recorded is None:
        connection.execute(migration.up.encode())
        connection.execute(
            "INSERT INTO conversation_store.schema_migrations (version) VALUES (%s)", [migration.version]
        )
    if recorded is None or recorded[0] is None:  # dbmate applied it
        connection.execute(
            "INSERT INTO conversation_store.schema_checksums (version, sha256) VALUES (%s, %s)",
            [migration.version, migration.checksum],
        )
    return recorded is None


def search_warnings(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """Return what the database lacks for a fast keyword search."""
    row = connection.execute(
        "SELECT n.nspname FROM pg_catalog.pg_extension AS e"
        " INNER JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid WHERE e.extname = 'pg_trgm'"
    ).fetchone()
    if row is None:
        return ["the extension pg_trgm is missing"]
    found = connection.execute(
        sql.SQL("SELECT {}.show_trgm('é检') <> '{{}}'").format(sql.Identifier(row[0]))
    ).fetchone()
    if found == (True,):
        return []
    return [
        "the database's LC_CTYPE is C: a keyword search beyond ASCII is slow, since it scans the dialog's messages, and"
        " may fold no case beyond A to Z; create the database with a Unicode LC_CTYPE such as C.UTF-8"
    ]
