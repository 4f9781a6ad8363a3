"""The one place where a statement runs, sync and on asyncio."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import starmap
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import PipelineStatus, TransactionStatus

from conversation_store._connections import Taken, ask, facts_of
from conversation_store._copy import copy, copy_async
from conversation_store._deadlines import AsyncLimited, Limited
from conversation_store._error_translation import is_stale_plan, translate
from conversation_store._statement import Statement
from conversation_store._waiting import drive, drive_async
from conversation_store._wire import Trips, command, execute, forget_prepared, number_of_rows, rows_of, to_bytes
from conversation_store.errors import StalePlan

T = TypeVar("T")

OnStatement: TypeAlias = Callable[[str, float, int, str | None], object]
"""Called after each statement with its name, its seconds, its number of rows, and the name of its error or None."""

_log = logging.getLogger("conversation_store")


class Source(Protocol):
    """Something that gives a connection: a pool, a caller's connection, a transaction."""

    @property
    def connection(self) -> Connection[Any] | None:
        """The one connection that there is, or None of a pool."""
        ...

    def take(self) -> Taken[Connection[Any]]:
        """Take a connection for one statement."""
        ...

    def give_back(self, taken: Taken[Connection[Any]]) -> None:
        """Give it back."""
        ...

    def enter(self) -> AbstractContextManager[tuple[Connection[Any], Any]]:
        """Give a connection for one transaction, and the scope that the transaction is nested in, or None."""
        ...


class AsyncSource(Protocol):
    """The same on asyncio."""

    @property
    def connection(self) -> AsyncConnection[Any] | None:
        """The one connection that there is, or None of a pool."""
        ...

    async def take(self) -> Taken[AsyncConnection[Any]]:
        """Take a connection for one statement."""
        ...

    async def give_back(self, taken: Taken[AsyncConnection[Any]]) -> None:
        """Give it back."""
        ...

    def enter(self) -> AbstractAsyncContextManager[tuple[AsyncConnection[Any], Any]]:
        """Give a connection for one transaction, and the scope that the transaction is nested in, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs statements sync, on connections of *source*."""

    source: Source
    on_statement: OnStatement | None = None
    prepare: bool | None = None
    timeout: float | None = None

    def run(self, statement: Statement[T]) -> T:
        """Run a statement and return its result."""
        taken = self.source.take()
        try:
            connection, call = taken.connection, _Call(self, statement)
            limited = Limited(connection, call.timeout)
            try:
                if statement.copied is None:
                    with connection.lock:
                        limited.begin_together()
                        drive(call.steps(connection), limited.wait)
                else:
                    call.copied(copy(limited, statement.query.text, statement.copied))
            except BaseException as error:
                call.failed = error
            # Outside of the handler: what is raised here must not have the error of the server as its context.
            if call.failed is not None:
                limited.settle(call.failed)
                if call.is_own and not connection.closed:
                    with suppress(psycopg.Error):  # the pool discards a connection that is in a transaction still
                        limited.rollback()
            return call.end()
        finally:
            self.source.give_back(taken)


@dataclass(frozen=True, slots=True)
class AsyncExecutor:
    """Runs statements on asyncio, on connections of *source*."""

    source: AsyncSource
    on_statement: OnStatement | None = None
    prepare: bool | None = None
    timeout: float | None = None

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement and return its result."""
        taken = await self.source.take()
        try:
            connection, call = taken.connection, _Call(self, statement)
            limited = AsyncLimited(connection, call.timeout)
            try:
                if statement.copied is None:
                    async with connection.lock:
                        limited.begin_together()
                        await drive_async(call.steps(connection), limited.wait)
                else:
                    call.copied(await copy_async(limited, statement.query.text, statement.copied))
            except BaseException as error:
                call.failed = error
            # Outside of the handler: what is raised here must not have the error of the server as its context.
            if call.failed is not None:
                await limited.settle(call.failed)
                if call.is_own and not connection.closed:
                    with suppress(psycopg.Error):  # the pool discards a connection that is in a transaction still
                        await limited.rollback()
            return call.end()
        finally:
            await self.source.give_back(taken)


_IDLE = TransactionStatus.IDLE
_READ_COMMITTED = b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"


class _Call(Generic[T]):
    """One run of a statement but for the waiting, which is sync or on asyncio."""

    __slots__ = ("_executor", "_result", "_started", "_statement", "failed", "is_own", "rows", "timeout")

    _result: T

    def __init__(self, executor: Executor | AsyncExecutor, statement: Statement[T]) -> None:
        self._executor, self._statement = executor, statement
        self._started = time.perf_counter()
        self.rows = 0
        self.failed: BaseException | None = None
        # Of a pool, the transaction is that of the statement; any other is a caller's.
        self.is_own = executor.source.connection is None
        # A load may take any time.
        self.timeout = executor.timeout if statement.copied is None else None

    def steps(self, connection: Connection[Any] | AsyncConnection[Any]) -> Trips[None]:
        """Run the statement; the lock of the connection must be held."""
        query, params, row, read, _ = self._statement
        values = list(map(to_bytes, query.bind(params)))
        pgconn = connection.pgconn
        facts = facts_of(connection) or (yield ask(connection))
        prepare = self._executor.prepare
        # To psycopg, None is often enough, and False never.
        often = None if (facts.may_prepare if prepare is None else prepare) else False
        was_idle = pgconn.transaction_status == _IDLE
        begin = None
        if self.is_own and not facts.is_read_committed:
            # Whatever the role has set: another isolation would refuse what waits for a lock.
            begin = _BEGIN if connection.autocommit else _READ_COMMITTED
            yield from command(connection, begin)
        try:
            result = yield from execute(connection, query.text, values, often)
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName) as error:
            if often is False or pgconn.pipeline_status != PipelineStatus.OFF or not is_stale_plan(error):
                raise
            if not was_idle:
                raise StalePlan(
                    "a migration changed a table, or the session was reset; roll back and run the transaction again"
                ) from error
            # Nothing ran yet, so once more is safe. A transaction here is only the one that the statement opened.
            if pgconn.transaction_status != _IDLE:
                yield from command(connection, b"ROLLBACK")
            yield from forget_prepared(connection)
            if begin is not None:
                yield from command(connection, begin)
            result = yield from execute(connection, query.text, values, often)
        self.rows = number = number_of_rows(result)
        rows = [] if query.returns == "count" else rows_of(result)
        self._result = read(rows if row is None else list(starmap(row, rows)), number)
        if self.is_own and pgconn.transaction_status != _IDLE:
            yield from command(connection, b"COMMIT")

    def copied(self, rows: int) -> None:
        """Take how many rows a COPY has stored."""
        self.rows = rows
        self._result = self._statement.read([], rows)

    def end(self) -> T:
        """Call the hook, and return the result; raise what has failed."""
        failed, statement = self.failed, self._statement
        on_statement = self._executor.on_statement
        if on_statement is not None:
            seconds = time.perf_counter() - self._started
            try:
                # The name of the error only: its text may quote values.
                on_statement(
                    statement.query.name, seconds, self.rows, None if failed is None else type(failed).__name__
                )
            except Exception:
                # The statement has done its work; a hook must not make it look as if it had not.
                _log.exception("on_statement raised")
        if failed is None:
            return self._result
        try:
            # Outside of the handler: the error of the server quotes a token's row, and must not be the context of ours.
            raise translate(statement, failed) or failed
        finally:
            self.failed = None
            del failed  # it refers to this frame
