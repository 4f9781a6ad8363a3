"""What a database has of the schema: plain reads, which take no lock and work on a standby."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import psycopg

from conversation_store._migration_files import Migration
from conversation_store._sql_loader import load_all
from conversation_store.errors import MigrationError

_log = logging.getLogger("conversation_store")

_COPY = re.compile(rb"^COPY\b", re.MULTILINE)

T = TypeVar("T")
Steps: TypeAlias = Generator[Any, Any, T]


# Not there where the dialogs are distributed, which sql/citus.sql says.
_TOKENS_KEY = "constraint api_token_tenant_id_dialog_id_fkey on conversation_store.api_token"


@dataclass(frozen=True, slots=True)
class State:
    """What was applied: the version of each migration with its checksum, or None where another program applied it.

    `has_tables` says whether both tables are there that record this.
    """

    applied: dict[str, str | None]
    has_tables: bool
    in_recovery: bool

    def is_applied(self, migration: Migration) -> bool:
        """Return whether a migration was applied."""
        return migration.version in self.applied

    def is_changed(self, migration: Migration) -> bool:
        """Return whether the file is not the one that was applied."""
        return self.applied.get(migration.version) not in (None, migration.checksum)

    def check_unchanged(self, migration: Migration) -> None:
        """Raise `MigrationError` where the file is not the one that was applied."""
        if self.is_changed(migration):
            raise MigrationError(
                f"sql/schema/{migration.name}.sql is not what was applied: it must not be changed afterwards"
            )

    def is_recorded(self, migration: Migration) -> bool:
        """Return whether a migration was applied and its checksum stored."""
        return self.applied.get(migration.version) is not None


def read_state(connection: Any) -> Steps[State]:
    """Return what was applied; raises `MigrationError` where the database is not in UTF8."""
    cursor = yield connection.execute(
        "SELECT current_setting('server_encoding'), pg_is_in_recovery(),"
        " to_regclass('conversation_store.schema_migrations') IS NOT NULL,"
        " to_regclass('conversation_store.schema_checksums') IS NOT NULL"
    )
    encoding, in_recovery, has_versions, has_checksums = yield cursor.fetchone()
    if encoding != "UTF8":
        raise MigrationError(f"the database must be in UTF8, this one is in {encoding}")
    if not has_versions:
        return State({}, False, in_recovery)
    if has_checksums:
        cursor = yield connection.execute(
            "SELECT m.version, c.sha256 FROM conversation_store.schema_migrations AS m"
            " LEFT JOIN conversation_store.schema_checksums AS c ON m.version = c.version"
        )
    else:
        cursor = yield connection.execute("SELECT version, NULL FROM conversation_store.schema_migrations")
    return State(dict((yield cursor.fetchall())), has_checksums, in_recovery)


def problems(connection: Any, migrations: list[Migration], *, statements: bool = True) -> Steps[list[str]]:
    """Return in which ways the schema is not what is needed; to be called in a transaction that is rolled back.

    Without *statements*, those of `sql/` are not looked at.
    """
    state = yield from read_state(connection)
    found: list[str] = []
    expected: dict[str, str] = {}
    for version in sorted(state.applied.keys() - {migration.version for migration in migrations}):
        # No problem by itself: during an upgrade the schema is newer than what still runs.
        _log.warning("migration %s was applied, which this package does not know: the schema is newer", version)
    for migration in migrations:
        if not state.is_applied(migration):
            found.append(f"migration {migration.name} is missing")
            continue
        if state.is_changed(migration):
            found.append(f"migration {migration.name} is not what was applied: its file was changed afterwards")
        expected = {name: what for name, what in expected.items() if name not in migration.dropped}
        expected |= migration.created
    is_complete = all(state.is_applied(migration) for migration in migrations)
    # The index of a key is invalid where its constraint is none the less.
    cursor = yield connection.execute(
        "SELECT n.kind || ' ' || n.name || ' on conversation_store.' || t.relname, n.is_valid FROM ("
        " SELECT 'index' AS kind, c.relname AS name, i.indrelid AS relation, i.indisvalid AND i.indisready AS is_valid"
        " FROM pg_catalog.pg_index AS i INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid"
        " UNION ALL SELECT 'constraint', c.conname, c.conrelid,"
        " c.convalidated AND coalesce(i.indisvalid AND i.indisready, TRUE) FROM pg_catalog.pg_constraint AS c"
        " LEFT JOIN pg_catalog.pg_index AS i ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid"
        ") AS n INNER JOIN pg_catalog.pg_class AS t ON n.relation = t.oid"
        " WHERE t.relnamespace = to_regnamespace('conversation_store')"
    )
    is_valid: dict[str, bool] = dict((yield cursor.fetchall()))
    missing = expected.values() - is_valid.keys()
    if _TOKENS_KEY in missing and (yield from _is_distributed(connection)):
        missing = missing - {_TOKENS_KEY}
    for what in expected.values():
        if what in missing:
            found.append(f"{what} is missing")
        elif not is_valid.get(what, True):
            found.append(f"{what} is invalid")
    if is_complete and statements:
        found += yield from _unusable_statements(connection)
    return found


def _is_distributed(connection: Any) -> Steps[bool]:
    """Return whether all five tables are distributed that `sql/citus.sql` distributes."""
    cursor = yield connection.execute("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL")
    if (yield cursor.fetchone()) != (True,):
        return False
    cursor = yield connection.execute(
        "SELECT count(*) = 5 FROM pg_catalog.pg_dist_partition AS p"
        " INNER JOIN pg_catalog.pg_class AS c ON p.logicalrelid = c.oid"
        " WHERE c.relnamespace = to_regnamespace('conversation_store') AND p.partmethod = 'h'"
    )
    row: tuple[bool] = yield cursor.fetchone()
    return row == (True,)


def _unusable_statements(connection: Any) -> Steps[list[str]]:
    """Return which statements the server cannot parse; what a COPY needs is not looked at."""
    found: list[str] = []
    for query in load_all().values():
        if query.name.startswith("ragflow") or _COPY.search(query.text):
            continue
        text = b"PREPARE conversation_store_check AS\n%bDEALLOCATE conversation_store_check" % query.text
        yield connection.execute("SAVEPOINT conversation_store_check")
        try:
            # Together, so that nothing else finds the name taken, behind a pooler neither.
            yield connection.execute(text)
        except psycopg.ProgrammingError as error:
            path = query.path.removeprefix("sql/")
            found.append(f"the statement {path} cannot run: {error.diag.message_primary}")
        # The locks that the statement would take are given back at once.
        yield connection.execute("ROLLBACK TO SAVEPOINT conversation_store_check")
    return found


def invalid_indexes(connection: Any, names: list[str]) -> Steps[list[str]]:
    """Return which of these indexes are left from an interrupted CREATE INDEX CONCURRENTLY."""
    cursor = yield connection.execute(
        "SELECT c.relname FROM pg_catalog.pg_index AS i INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid"
        " WHERE c.relnamespace = to_regnamespace('conversation_store') AND NOT i.indisvalid"
        " AND c.relname::text = ANY(%s::text[])",
        [names],
    )
    return [name for (name,) in (yield cursor.fetchall())]


def lock_holder(connection: Any, lock: int | None = None) -> Steps[str]:
    """Say which transaction has held a lock on the schema, or the advisory lock of migrations, for longest."""
    cursor = yield connection.execute(
        "SELECT l.pid, a.usename, a.application_name, a.backend_type, a.state, a.xact_start, l.mode, c.relname"
        " FROM pg_catalog.pg_locks AS l"
        " LEFT JOIN pg_catalog.pg_class AS c ON l.relation = c.oid"
        " LEFT JOIN pg_catalog.pg_stat_activity AS a ON l.pid = a.pid"
        " WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()"
        " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())"
        " AND (c.relnamespace = to_regnamespace('conversation_store')"
        " OR (l.locktype = 'advisory' AND (l.classid::bigint << 32) | l.objid::bigint = %s::bigint))"
        " ORDER BY l.locktype = 'advisory' DESC, l.mode = 'AccessExclusiveLock' DESC, a.xact_start NULLS FIRST,"
        " c.relkind DESC, l.mode LIMIT 1",
        [lock],
    )
    row = yield cursor.fetchone()
    if row is None:
        return "a transaction that has ended meanwhile held it"
    pid, role, application, kind, state, since, mode, relation = row
    what = "the lock of migrations" if relation is None else f"{mode} on conversation_store.{relation}"
    if pid is None:
        return f"a prepared transaction (see pg_prepared_xacts) holds {what}"
    who = [f"role {role!r}" if role else "", f"application {application!r}" if application else "", kind, state]
    began = f", in a transaction since {since:%Y-%m-%d %H:%M:%S%z}" if since else ""
    return f"the process {pid} ({', '.join(filter(None, who))}{began}) holds {what}"
