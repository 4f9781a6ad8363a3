"""Bringing the schema up to date: plain SQL in dbmate's format, recorded in dbmate's own table."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from conversation_store import _schema_state as schema_state
from conversation_store import _validation as validate
from conversation_store._conninfo import connector
from conversation_store._migration_files import Migration, migrations
from conversation_store._schema_state import Steps
from conversation_store._waiting import drive, drive_async
from conversation_store.errors import InvalidArgument, MigrationError

T = TypeVar("T")

_log = logging.getLogger("conversation_store")

_CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "client_encoding": "UTF8",
    "row_factory": tuple_row,
    "prepare_threshold": None,
}

# Any number will do, as long as it is always the same: it keeps two migrations apart.
_LOCK = 0x636F6E762D737472

# Whoever needs a table queues behind a migration that waits for it, and behind all that the migration holds already. So
# the statements of a transaction wait this long altogether, in seconds, and each this long at least. It is half of what
# a call may be kept waiting for, since a statement may need the locks of two tables.
_LOCKS_WITHIN = 0.4
_LEAST_WAIT = 0.02

_LONGEST_PAUSE = 5.0

# For how many seconds a check waits for locks, with its pauses.
_CHECK_WAIT = 1.5


def migrate(conninfo: str, *, lock_wait: float = 300.0) -> list[str]:
    """Bring a database's schema `conversation_store` up to date, and return the names of the migrations applied now.

    Where there is nothing to do it only reads, on a standby too. Each migration is one transaction. It waits for locks
    for less than a second at a time, so that no call of a store is kept waiting for longer, and is tried again after a
    pause; several that run at once take turns. *lock_wait* is for how many seconds it may wait for locks altogether.
    Raises `MigrationError`, which says who holds the lock, when that time is over, and when an applied file was
    changed, the database is not in UTF-8 or is a standby that is not up to date. Logs what it does, what `check_schema`
    finds in the end as warnings, and a warning where a keyword search folds no case beyond A to Z. SQL: `sql/schema/`.
    """
    try:
        api = _Api(connector("conninfo", conninfo, psycopg.connect, **_CONNECTION), time.sleep)
    finally:
        del conninfo  # a report of an error may show local variables, and it may hold a password
    return drive(_connected(api, _seconds(lock_wait), _Migrator.migrate))


async def migrate_async(conninfo: str, *, lock_wait: float = 300.0) -> list[str]:
    """Bring a database's schema up to date as `migrate` does, on asyncio."""
    try:
        api = _Api(connector("conninfo", conninfo, psycopg.AsyncConnection.connect, **_CONNECTION), asyncio.sleep)
    finally:
        del conninfo
    return await drive_async(_connected(api, _seconds(lock_wait), _Migrator.migrate))


def check_schema(conninfo: str) -> list[str]:
    """Return in which ways a database's schema is not what this version of the package needs; empty: in none.

    Each is a line that names a migration that is missing or whose file was changed afterwards; an index or a constraint
    that is missing, on another table or invalid, as a restore may leave them; or, where no migration is missing, a
    statement of `sql/` that the server cannot parse, since a table, a column or a function is missing or has another
    type. Not compared are what an index or a constraint is over and what a function does, which the commands `check`
    and `migrate --check` compare, and what the role may do. Logs a warning where a migration is newer than this
    package. Changes nothing, and works on a standby too. Raises `MigrationError` when the database is not in UTF-8, and
    when others hold locks on the schema for longer than about two seconds, with who holds them.
    """
    try:
        api = _Api(connector("conninfo", conninfo, psycopg.connect, **_CONNECTION), time.sleep)
    finally:
        del conninfo
    return drive(_connected(api, _CHECK_WAIT, _Migrator.check))


async def check_schema_async(conninfo: str) -> list[str]:
    """Return in which ways a database's schema is not what is needed as `check_schema` does, on asyncio."""
    try:
        api = _Api(connector("conninfo", conninfo, psycopg.AsyncConnection.connect, **_CONNECTION), asyncio.sleep)
    finally:
        del conninfo
    return await drive_async(_connected(api, _CHECK_WAIT, _Migrator.check))


@dataclass(frozen=True, slots=True)
class _Api:
    """What is called to connect, in steps, and to pause; what that and a connection's methods return is a step."""

    connect: Callable[[], Steps[Any]]
    sleep: Callable[[float], Any]


def _seconds(lock_wait: object) -> float:
    seconds = validate.number("lock_wait", lock_wait)
    if seconds < 0:
        raise InvalidArgument(f"lock_wait must be at least 0 seconds, not {lock_wait}")
    return seconds


def _connected(api: _Api, lock_wait: float, steps: Callable[[_Migrator], Steps[list[str]]]) -> Steps[list[str]]:
    connection = yield from api.connect()
    try:
        return (yield from steps(_Migrator(api, connection, lock_wait)))
    finally:
        yield connection.close()


class _OtherMigration(Exception):
    """Another migration is running, or an index that it has begun is still being built."""


class _Migrator:
    """The steps on a connection. An error leaves a transaction open, which ends with the connection.

    Nothing waits for locks but in a transaction, within its bound, and `_again`.
    """

    def __init__(self, api: _Api, connection: Any, lock_wait: float) -> None:
        self._api = api
        self._connection = connection
        self._lock_wait = lock_wait
        self._left = lock_wait
        self._until = 0.0

    def migrate(self) -> Steps[list[str]]:
        """Apply what is missing, and return its names."""
        applied: list[str] = []
        state = yield from self._again("reading the schema", lambda: self._read(schema_state.read_state))
        for migration in migrations():
            state.check_unchanged(migration)
            # What another program has applied gets its checksum, where that can be stored.
            if state.is_recorded(migration) or (state.is_applied(migration) and state.in_recovery):
                continue
            if state.in_recovery:
                raise MigrationError(f"{migration.name} is missing, and this server is a standby: migrate its primary")
            if not state.is_applied(migration):
                _log.info("applying %s", migration.name)
            if (yield from self._again(migration.name, partial(self._transaction, migration))):
                applied.append(migration.name)
        yield from self._warn()
        return applied

    def check(self) -> Steps[list[str]]:
        """Return in which ways the schema is not what is needed."""
        return (
            yield from self._again(
                "checking the schema",
                lambda: self._read(lambda connection: schema_state.problems(connection, migrations())),
            )
        )

    def _warn(self) -> Steps[None]:
        """Log what is not as it should be, although every migration was applied."""
        try:
            problems = yield from _Migrator(self._api, self._connection, min(self._left, _CHECK_WAIT)).check()
        except MigrationError as error:
            problems = [str(error)]
        for warning in [*problems, *(yield from _search_warnings(self._connection))]:
            _log.warning(warning)

    def _again(self, what: str, attempt: Callable[[], Steps[T]]) -> Steps[T]:
        """Run the steps of a transaction, again and again while locks are not to be had."""
        longest = 0.2
        while True:
            began = time.monotonic()
            try:
                return (yield from attempt())
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, _OtherMigration):
                pass
            yield self._connection.execute("ROLLBACK")
            holder = yield from schema_state.lock_holder(self._connection, _LOCK)
            self._left -= time.monotonic() - began
            if self._left <= 0:
                raise MigrationError(f"{what} got no lock within {self._lock_wait:g} seconds: {holder}")
            # Random, so that two do not meet again, and longer each time: meanwhile others have the table.
            pause = min(self._left, random.uniform(longest / 2, longest))  # noqa: S311
            _log.warning("%s waits for a lock: %s; tried again in %.1f seconds", what, holder, pause)
            yield self._api.sleep(pause)
            self._left -= pause
            longest = min(_LONGEST_PAUSE, 2 * longest)

    def _read(self, steps: Callable[[Any], Steps[T]]) -> Steps[T]:
        yield from self._begin("READ ONLY")
        result = yield from steps(self._connection)
        yield self._connection.execute("ROLLBACK")
        return result

    def _begin(self, mode: LiteralString) -> Steps[None]:
        execute = self._connection.execute
        # Read committed, since a snapshot that is kept would be waited for by CREATE INDEX CONCURRENTLY.
        yield execute(f"BEGIN ISOLATION LEVEL READ COMMITTED {mode}")
        yield execute(
            "SELECT set_config(s.name, '0', TRUE) FROM pg_catalog.pg_settings AS s WHERE s.name = ANY(%s::text[])",
            [["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]],
        )
        # Of distributed tables: the limits below hold on the workers too, and one transaction may create a function
        # and change a table. Any other server takes them for settings that nothing reads.
        yield execute(
            "SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
        )
        self._until = time.monotonic() + _LOCKS_WITHIN
        yield from self._bound()

    def _bound(self) -> Steps[None]:
        """Let the next statement wait for locks for no longer than is left to the transaction."""
        wait = max(self._until - time.monotonic(), _LEAST_WAIT)
        yield self._connection.execute(f"SET LOCAL lock_timeout = {wait * 1000:.0f}".encode())

    def _transaction(self, migration: Migration) -> Steps[bool]:
        """Apply a migration where it is missing, and return whether it was."""
        execute = self._connection.execute
        yield from self._begin("READ WRITE")
        # An autovacuum gives way after this time, which few may set; by itself that is longer than what we wait.
        yield execute(
            "SELECT set_config('deadlock_timeout', '100ms', TRUE)"
            " WHERE has_parameter_privilege('deadlock_timeout', 'SET')"
        )
        # Held to the end of the transaction: a pooler may hand a session's lock to others.
        cursor = yield execute(
            "SELECT pg_try_advisory_xact_lock(%s::bigint) AND (%s::boolean OR NOT EXISTS"
            " (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p"
            " INNER JOIN pg_catalog.pg_class AS c ON p.relid = c.oid"
            " WHERE p.datname = current_database() AND c.relnamespace = to_regnamespace('conversation_store')))",
            [_LOCK, migration.in_transaction],
        )
        if (yield cursor.fetchone()) != (True,):
            raise _OtherMigration
        state = yield from schema_state.read_state(self._connection)
        state.check_unchanged(migration)
        is_missing = not state.is_applied(migration)
        if is_missing:
            yield from self._run(migration)
        if not state.is_recorded(migration):
            yield from self._record(migration, state)
        yield execute("COMMIT")
        return is_missing

    def _run(self, migration: Migration) -> Steps[None]:
        if not migration.in_transaction:
            yield from self._run_outside(migration)
            return
        for statement in migration.statements:
            yield from self._bound()
            yield self._connection.execute(statement.encode())

    def _run_outside(self, migration: Migration) -> Steps[None]:
        """Run what cannot run in a transaction on a connection of its own, while this one holds the lock."""
        connection = yield from self._api.connect()
        try:
            for name in (yield from schema_state.invalid_indexes(connection, list(migration.created))):
                _log.info("dropping the invalid index %s, which an interrupted run has left", name)
                drop = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS conversation_store.{}").format(sql.Identifier(name))
                yield connection.execute(drop)
            for statement in migration.statements:
                yield connection.execute(statement.encode())
        finally:
            yield connection.close()

    def _record(self, migration: Migration, state: schema_state.State) -> Steps[None]:
        execute = self._connection.execute
        yield from self._bound()
        if not state.has_tables:
            # dbmate's own table, and beside it what dbmate does not record.
            yield execute("CREATE SCHEMA IF NOT EXISTS conversation_store")
            yield execute(
                "CREATE TABLE IF NOT EXISTS conversation_store.schema_migrations (version varchar NOT NULL PRIMARY KEY)"
            )
            yield execute(
                "CREATE TABLE IF NOT EXISTS conversation_store.schema_checksums"
                " (version varchar NOT NULL PRIMARY KEY, sha256 text NOT NULL)"
            )
        if not state.is_applied(migration):
            yield execute(
                "INSERT INTO conversation_store.schema_migrations (version) VALUES (%s::text)", [migration.version]
            )
        yield execute(
            "INSERT INTO conversation_store.schema_checksums (version, sha256) VALUES (%s::text, %s::text)",
            [migration.version, migration.checksum],
        )


def _search_warnings(connection: Any) -> Steps[list[str]]:
    """Return what the database lacks for a keyword search that finds É by é, and every word by its beginning."""
    cursor = yield connection.execute(
        "SELECT conversation_store.fold('É') = 'é',"
        " strpos(conversation_store.fold('ΟΔΥΣΣΕΑΣ'), conversation_store.fold('ΟΔΥΣ')) > 0"
    )
    folds_all, folds_each = yield cursor.fetchone()
    warnings: list[str] = []
    if not folds_all:
        warnings.append(
            "the database's LC_CTYPE is C: a keyword search finds letters beyond A to Z only in the case in which they"
            " are written; create the database with a Unicode LC_CTYPE such as C.UTF-8"
        )
    if not folds_each:
        warnings.append(
            "the database's locale folds Σ by the letters around it, as those of ICU and PG_UNICODE_FAST do: a keyword"
            " that ends in Σ is not found inside of a word; create the database with a locale such as C.UTF-8"
        )
    return warnings
