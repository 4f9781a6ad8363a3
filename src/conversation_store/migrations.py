"""Bringing the schema up to date: plain SQL in dbmate's format, recorded in dbmate's own table."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from conversation_store import _schema_state as schema_state
from conversation_store import _validation as validate
from conversation_store._conninfo import check_conninfo, with_defaults
from conversation_store._migration_files import Migration, migrations
from conversation_store._schema_state import Steps
from conversation_store._waiting import drive, drive_async
from conversation_store.errors import InvalidArgument, MigrationError

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


def migrate(conninfo: str, *, lock_wait: float = 300.0) -> list[str]:
    """Bring a database's schema `conversation_store` up to date, and return the names of the migrations applied now.

    Where there is nothing to do it only reads, on a standby too. Each migration is one transaction. It waits for locks
    for less than a second at a time, so that no call of a store is kept waiting for longer, and is tried again after a
    pause; several that run at once take turns. *lock_wait* is for how many seconds it may wait for locks altogether.
    Raises `MigrationError`, which says who holds the lock, when that time is over, and when an applied file was
    changed, the database is not in UTF-8 or is a standby that is not up to date. Logs what it does, and a warning where
    a keyword search would be slow. SQL: `sql/schema/`.
    """
    try:
        api = _api(conninfo, psycopg.connect, time.sleep)
    finally:
        del conninfo  # see _api
    return drive(_migrate(api, _seconds(lock_wait)))


async def migrate_async(conninfo: str, *, lock_wait: float = 300.0) -> list[str]:
    """Bring a database's schema up to date as `migrate` does, on asyncio."""
    try:
        api = _api(conninfo, psycopg.AsyncConnection.connect, asyncio.sleep)
    finally:
        del conninfo
    return await drive_async(_migrate(api, _seconds(lock_wait)))


def check_schema(conninfo: str) -> list[str]:
    """Return in which ways a database's schema is not what this version of the package needs; empty: in none.

    Each is a line that names a migration that is missing or whose file was changed afterwards, or an index or a
    constraint that is missing or invalid, as a restore may leave them. Only reads, on a standby too. Raises
    `MigrationError` when the database is not in UTF-8.
    """
    try:
        api = _api(conninfo, psycopg.connect, time.sleep)
    finally:
        del conninfo
    return drive(_check(api))


async def check_schema_async(conninfo: str) -> list[str]:
    """Return in which ways a database's schema is not what is needed as `check_schema` does, on asyncio."""
    try:
        api = _api(conninfo, psycopg.AsyncConnection.connect, asyncio.sleep)
    finally:
        del conninfo
    return await drive_async(_check(api))


@dataclass(frozen=True, slots=True)
class _Api:
    """What is called to connect and to pause; what it returns, and what a connection's methods return, is a step."""

    connect: Callable[[], Any]
    sleep: Callable[[float], Any]


def _api(conninfo: object, connect: Callable[..., Any], sleep: Callable[[float], Any]) -> _Api:
    try:
        parameters = with_defaults(check_conninfo("conninfo", conninfo)) | _CONNECTION
    finally:
        del conninfo  # a report of an error may show local variables, and it may hold a password
    return _Api(lambda: connect(**parameters), sleep)


def _seconds(lock_wait: object) -> float:
    seconds = validate.number("lock_wait", lock_wait)
    if seconds < 0:
        raise InvalidArgument(f"lock_wait must be at least 0 seconds, not {lock_wait}")
    return seconds


def _check(api: _Api) -> Steps[list[str]]:
    connection = yield api.connect()
    try:
        return (yield from schema_state.problems(connection, migrations()))
    finally:
        yield connection.close()


def _migrate(api: _Api, lock_wait: float) -> Steps[list[str]]:
    connection = yield api.connect()
    try:
        return (yield from _Migrator(api, connection, lock_wait).run())
    finally:
        yield connection.close()


class _OtherMigration(Exception):
    """Another migration is running, or an index that it has begun is still being built."""


class _Migrator:
    """The steps of `migrate` on a connection. An error leaves a transaction open, which ends with the connection."""

    def __init__(self, api: _Api, connection: Any, lock_wait: float) -> None:
        self._api = api
        self._connection = connection
        self._lock_wait = lock_wait
        self._left = lock_wait

    def run(self) -> Steps[list[str]]:
        """Apply what is missing, and return its names."""
        applied: list[str] = []
        state = yield from schema_state.read_state(self._connection)
        for migration in migrations():
            _check_unchanged(state, migration)
            # What another program has applied gets its checksum, where that can be stored.
            if state.is_recorded(migration) or (state.is_applied(migration) and state.in_recovery):
                continue
            if state.in_recovery:
                raise MigrationError(f"{migration.name} is missing, and this server is a standby: migrate its primary")
            if not state.is_applied(migration):
                _log.info("applying %s", migration.name)
            if (yield from self._apply(migration)):
                applied.append(migration.name)
        for warning in (yield from _search_warnings(self._connection)):
            _log.warning(warning)
        return applied

    def _apply(self, migration: Migration) -> Steps[bool]:
        """Apply a migration, again and again while locks are not to be had; return whether it was missing."""
        longest = 0.2
        while True:
            began = time.monotonic()
            try:
                return (yield from self._transaction(migration))
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, _OtherMigration):
                pass
            yield self._connection.execute("ROLLBACK")
            holder = yield from schema_state.lock_holder(self._connection, _LOCK)
            self._left -= time.monotonic() - began
            if self._left <= 0:
                raise MigrationError(f"{migration.name} got no lock within {self._lock_wait:g} seconds: {holder}")
            # Random, so that two do not meet again, and longer each time: meanwhile others have the table.
            pause = min(self._left, random.uniform(longest / 2, longest))  # noqa: S311
            _log.warning("%s waits for a lock: %s; tried again in %.1f seconds", migration.name, holder, pause)
            yield self._api.sleep(pause)
            self._left -= pause
            longest = min(_LONGEST_PAUSE, 2 * longest)

    def _transaction(self, migration: Migration) -> Steps[bool]:
        execute = self._connection.execute
        # The advisory lock is held to the end of the transaction: a pooler may hand a session's lock to others. Read
        # committed, since a snapshot that is kept would be waited for by CREATE INDEX CONCURRENTLY.
        yield execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        yield execute(
            "SELECT set_config(s.name, '0', TRUE) FROM pg_catalog.pg_settings AS s WHERE s.name = ANY(%s::text[])",
            [["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]],
        )
        # An autovacuum gives way after this time, which few may set; by itself that is longer than what we wait.
        yield execute(
            "SELECT set_config('deadlock_timeout', '100ms', TRUE)"
            " WHERE has_parameter_privilege('deadlock_timeout', 'SET')"
        )
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
        _check_unchanged(state, migration)
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
        until = time.monotonic() + _LOCKS_WITHIN
        for statement in migration.statements:
            wait = max(until - time.monotonic(), _LEAST_WAIT)
            yield self._connection.execute(
                "SELECT set_config('lock_timeout', %s::text, TRUE)", [f"{wait * 1000:.0f}ms"]
            )
            yield self._connection.execute(statement.encode())

    def _run_outside(self, migration: Migration) -> Steps[None]:
        """Run what cannot run in a transaction on a connection of its own, while this one holds the lock."""
        connection = yield self._api.connect()
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


def _check_unchanged(state: schema_state.State, migration: Migration) -> None:
    if state.is_changed(migration):
        raise MigrationError(
            f"sql/schema/{migration.name}.sql is not what was applied: it must not be changed afterwards"
        )


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
