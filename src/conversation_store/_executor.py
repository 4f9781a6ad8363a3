"""The one place where a statement runs, sync and on asyncio."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, Connection, RawCursor
from psycopg.copy import AsyncLibpqWriter, LibpqWriter
from psycopg.pq import TransactionStatus

from conversation_store._adapters import to_text
from conversation_store._connections import ask
from conversation_store._deadlines import AsyncLimited, Limited
from conversation_store._error_translation import is_stale_plan, translate
from conversation_store._statement import Statement
from conversation_store._waiting import drive, drive_async
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

    def statement(self) -> AbstractContextManager[Connection[Any]]:
        """Give a connection for one statement."""
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

    def statement(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """Give a connection for one statement."""
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
        with self.source.statement() as connection:
            limited = Limited(connection, _limit(self, statement), together=True)
            with limited.cursor(statement.row) as cursor:
                return drive(_execute(self, statement, limited, cursor, _copy))


@dataclass(frozen=True, slots=True)
class AsyncExecutor:
    """Runs statements on asyncio, on connections of *source*."""

    source: AsyncSource
    on_statement: OnStatement | None = None
    prepare: bool | None = None
    timeout: float | None = None

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement and return its result."""
        async with self.source.statement() as connection:
            limited = AsyncLimited(connection, _limit(self, statement), together=True)
            async with limited.cursor(statement.row) as cursor:
                return await drive_async(_execute(self, statement, limited, cursor, _copy_async))


_READ_COMMITTED = b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"


def _limit(executor: Executor | AsyncExecutor, statement: Statement[Any]) -> float | None:
    """Return how many seconds a statement may take: a load may take any time."""
    return None if statement.copied is not None else executor.timeout


def _execute(
    executor: Executor | AsyncExecutor, statement: Statement[T], limited: Any, cursor: Any, copy: Callable[..., Any]
) -> Generator[Any, Any, T]:
    """Run a statement in steps: a sync cursor has done a step when it is yielded, asyncio awaits it."""
    query = statement.query
    params = [to_text(value) for value in query.bind(statement.params)]
    result: Any = None
    failed: BaseException | None = None
    rows = 0
    started = time.perf_counter()
    # Of a pool, the transaction is that of the statement; any other is a caller's.
    is_own = executor.source.connection is None
    try:
        facts = yield from ask(limited, executor.prepare)
        prepare = None if facts.may_prepare else False
        idle = limited.pgconn.transaction_status == TransactionStatus.IDLE
        begin = None
        if is_own and not facts.is_read_committed:
            # Whatever the role has set: another isolation would refuse what waits for a lock.
            begin = _BEGIN if limited.autocommit else _READ_COMMITTED
            yield cursor.execute(begin, prepare=False)
        if statement.copied is not None:
            yield copy(cursor, query.text, statement.copied)
        else:
            try:
                yield cursor.execute(query.text, params, binary=True, prepare=prepare)
            except psycopg.errors.FeatureNotSupported as error:
                if prepare is False or not is_stale_plan(error):
                    raise
                if not idle:
                    raise StalePlan("a migration changed a table; roll back and run the transaction again") from error
                # Nothing ran yet, so once more is safe. A transaction here is only the one that the statement opened.
                yield limited.rollback()
                if begin is not None:
                    yield cursor.execute(begin, prepare=False)
                yield cursor.execute(b"DEALLOCATE ALL")
                yield cursor.execute(query.text, params, binary=True, prepare=prepare)
        rows = cursor.rowcount
        returns_rows = statement.copied is None and query.returns != "count"
        result = statement.read((yield cursor.fetchall()) if returns_rows else [], rows)
        if is_own and limited.pgconn.transaction_status != TransactionStatus.IDLE:
            yield limited.commit()
    except BaseException as error:
        failed = error
    if failed is not None and is_own and not limited.closed:
        with suppress(psycopg.Error):  # the pool discards a connection that is in a transaction still
            yield limited.rollback()
    seconds = time.perf_counter() - started
    if executor.on_statement is not None:
        try:
            # The name of the error only: its text may quote values.
            executor.on_statement(query.name, seconds, rows, None if failed is None else type(failed).__name__)
        except Exception:
            # The statement has done its work; a hook must not make it look as if it had not.
            _log.exception("on_statement raised")
    if failed is None:
        return cast(T, result)
    try:
        # Outside of the handler: the error of the server quotes a token's row, and must not be the context of ours.
        raise translate(statement, failed) or failed
    finally:
        del failed  # it refers to this frame


def _copy(cursor: RawCursor[Any], text: bytes, rows: Sequence[Sequence[object]]) -> None:
    try:
        with cursor.copy(text) as copy:
            for row in rows:
                copy.write_row([to_text(value) for value in row])
    except BaseException as error:
        # psycopg ends a COPY that fails, but not one that is interrupted while it begins: no statement could follow.
        if cursor.connection.info.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                LibpqWriter(cursor).finish(error)
        raise


async def _copy_async(cursor: AsyncRawCursor[Any], text: bytes, rows: Sequence[Sequence[object]]) -> None:
    try:
        async with cursor.copy(text) as copy:
            for row in rows:
                await copy.write_row([to_text(value) for value in row])
    except BaseException as error:
        if cursor.connection.info.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                await AsyncLibpqWriter(cursor).finish(error)
        raise
