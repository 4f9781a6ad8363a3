"""Bringing the schema up to date: plain SQL in dbmate's format, recorded in dbmate's own table."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

from conversation_store._sql_loader import sql_directory
from conversation_store._waiting import drive, drive_async
from conversation_store.errors import InvalidArgumentType, MigrationError

T = TypeVar("T")
Steps: TypeAlias = Generator[Any, Any, T]

_log = logging.getLogger("conversation_store")

_CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "client_encoding": "UTF8",
    "row_factory": tuple_row,
    "prepare_threshold": None,
}

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
    its lock within 5 seconds fails, and the next run applies what is missing. Raises `MigrationError` when an applied
    file was changed or the database is not in UTF-8. Logs a warning where a keyword search would be slow.
    SQL: `sql/schema/`.
    """
    _check_conninfo(conninfo)
    with psycopg.connect(conninfo, **_CONNECTION) as connection:
        return drive(_migrate(connection))


async def migrate_async(conninfo: str) -> list[str]:
    """Bring a database's schema up to date as `migrate` does, on asyncio."""
    _check_conninfo(conninfo)
    async with await psycopg.AsyncConnection.connect(conninfo, **_CONNECTION) as connection:
        return await drive_async(_migrate(connection))


def _check_conninfo(conninfo: object) -> None:
    if not isinstance(conninfo, str):
        raise InvalidArgumentType(f"conninfo must be of the type str, not {type(conninfo).__name__}")


def _migrate(connection: psycopg.Connection[TupleRow] | psycopg.AsyncConnection[TupleRow]) -> Steps[list[str]]:
    """Apply what is missing. An error leaves a transaction open, which ends with the connection."""
    applied: list[str] = []
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise MigrationError(f"the database must be in UTF8, this one is in {encoding}")
    for migration in migrations():
        yield connection.execute("BEGIN")
        if (yield from _apply(connection, migration)):
            applied.append(migration.name)
        yield connection.execute("COMMIT")
    for warning in (yield from _search_warnings(connection)):
        _log.warning(warning)
    return applied


def _apply(connection: Any, migration: Migration) -> Steps[bool]:
    """Apply a migration unless that is done; the lock is held until the end of the transaction."""
    yield connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    yield connection.execute("SET LOCAL lock_timeout = '5s'")
    # dbmate's own table, and beside it what dbmate does not record.
    yield connection.execute("CREATE SCHEMA IF NOT EXISTS conversation_store")
    yield connection.execute(
        "CREATE TABLE IF NOT EXISTS conversation_store.schema_migrations (version varchar NOT NULL PRIMARY KEY)"
    )
    yield connection.execute(
        "CREATE TABLE IF NOT EXISTS conversation_store.schema_checksums"
        " (version varchar NOT NULL PRIMARY KEY, sha256 text NOT NULL)"
    )
    cursor = yield connection.execute(
        "SELECT c.sha256 FROM conversation_store.schema_migrations AS m"
        " LEFT JOIN conversation_store.schema_checksums AS c ON m.version = c.version WHERE m.version = %s",
        [migration.version],
    )
    recorded = yield cursor.fetchone()
    if recorded is not None and recorded[0] not in (None, migration.checksum):
        raise MigrationError(
            f"sql/schema/{migration.name}.sql is not what was applied: it must not be changed afterwards"
        )
    if recorded is None:
        yield connection.execute(migration.up.encode())
        yield connection.execute(
            "INSERT INTO conversation_store.schema_migrations (version) VALUES (%s)", [migration.version]
        )
    if recorded is None or recorded[0] is None:  # dbmate applied it
        yield connection.execute(
            "INSERT INTO conversation_store.schema_checksums (version, sha256) VALUES (%s, %s)",
            [migration.version, migration.checksum],
        )
    return recorded is None


def _search_warnings(connection: Any) -> Steps[list[str]]:
    """Return what the database lacks for a fast keyword search."""
    cursor = yield connection.execute(
        "SELECT n.nspname FROM pg_catalog.pg_extension AS e"
        " INNER JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid WHERE e.extname = 'pg_trgm'"
    )
    row = yield cursor.fetchone()
    if row is None:
        return ["the extension pg_trgm is missing"]
    cursor = yield connection.execute(sql.SQL("SELECT {}.show_trgm('é检') <> '{{}}'").format(sql.Identifier(row[0])))
    found = yield cursor.fetchone()
    if found == (True,):
        return []
    return [
        "the database's LC_CTYPE is C: a keyword search beyond ASCII is slow, since it scans the dialog's messages, and"
        " may fold no case beyond A to Z; create the database with a Unicode LC_CTYPE such as C.UTF-8"
    ]
