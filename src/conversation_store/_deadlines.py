"""Waits on a connection that end: when a statement has taken its time, and soon after an interruption.

The thread or task that waits looks at the clock itself, each time that psycopg wakes it up: there is no watchdog that
could stop a statement which has just ended, or the next one. The server is asked to cancel the statement. Where it does
not take the request, or does not end the statement then, the connection is closed. So it is with a libpq before version
17, which cannot ask without waiting.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import Any, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, Connection, capabilities, generators, waiting
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.rows import BaseRowFactory, tuple_row
from psycopg.transaction import OutOfOrderTransactionNesting

from conversation_store._adapters import AsyncCursor, Cursor
from conversation_store._forks import check_not_forked
from conversation_store._waiting import drive, drive_async
from conversation_store.errors import ForkedConnection, StatementTimeout

T = TypeVar("T")

_log = logging.getLogger("conversation_store")

_INTERVAL = 0.1  # seconds between two looks at the clock, as in psycopg
# Seconds for the request to cancel, and then for the end of the statement: together less than two.
_CANCEL, _CANCEL_INTERRUPTED, _END = 1.0, 0.7, 0.7


class _Expired(Exception):
    """The time is over, and the generator that was waited for has not ended."""


def _until(steps: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
    """Wait for what a generator of psycopg wants; after the deadline, leave it as it is and raise `_Expired`."""
    try:
        wanted = steps.send(None)
        while True:
            ready = yield wanted
            if monotonic() >= deadline:
                raise _Expired
            wanted = steps.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value


class _Limited(ABC):
    """A connection of psycopg, for cursors and transactions: a view, since nothing is changed on a caller's connection.

    What is not here is that of the connection. *timeout* is for each wait or, after `begin_together`, for all of them.
    """

    connection: Any
    lock: Any
    pgconn: Any

    def __init__(self, connection: Any, timeout: float | None) -> None:
        own = vars(self)
        own["connection"], own["_timeout"], own["_deadline"] = connection, timeout, None
        own["_pid"] = os.getpid()
        own["lock"], own["pgconn"] = connection.lock, connection.pgconn

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.connection, name, value)

    def begin_together(self) -> None:
        """Let the time of all waits begin now."""
        vars(self)["_deadline"] = None if self._timeout is None else monotonic() + self._timeout

    def _limited(self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        if self._timeout is None:
            return steps
        return _until(steps, self._deadline or monotonic() + self._timeout)

    def _end(self, steps: Generator[Any, Any, T], reason: BaseException) -> Generator[Any, Any, T]:
        """End a statement after *reason* was raised, in steps for `drive`; return its result, or raise."""
        expired = isinstance(reason, _Expired)
        # An error of psycopg is the end of the statement.
        if not expired and (isinstance(reason, psycopg.Error) or not self._is_active()):
            raise reason
        failed: BaseException | None = None
        try:
            if not capabilities.has_cancel_safe():  # a libpq before version 17: its request could wait for ever
                raise _Expired
            yield self._cancel(_CANCEL if expired else _CANCEL_INTERRUPTED)
            result = yield self.wait_for(_until(steps, monotonic() + _END))
            if self._is_active():  # the steps had ended before what they had sent
                yield self.wait_for(_until(generators.execute(self.pgconn), monotonic() + _END))
        except BaseException as error:
            failed = error
        else:
            if expired:  # it has ended by itself just now
                return cast(T, result)
        try:
            if failed is None:
                raise reason
            ended = self.pgconn.status == ConnStatus.OK and not self._is_active()
            if not ended:
                self.pgconn.finish()
            if not isinstance(failed, Exception):  # interrupted again
                raise failed
            if not expired:
                raise reason
            if ended and not isinstance(failed, psycopg.errors.QueryCanceled):
                raise failed
            raise self._timed_out(ended) from failed
        finally:
            del failed, reason  # they refer to this frame

    def _why(self, failed: BaseException | None, ended: BaseException) -> BaseException:
        """Return why a transaction failed: as in psycopg, an error of the rollback is not raised instead."""
        if failed is None or failed is ended:
            return ended
        if isinstance(ended, OutOfOrderTransactionNesting):
            # A nested one was interrupted while it began or ended, so psycopg has undone nothing; the server does now.
            self.pgconn.finish()
        if not isinstance(ended, ForkedConnection):
            _log.warning("the rollback of a transaction failed: %s", ended)
        return failed

    def _is_active(self) -> bool:
        return bool(self.pgconn.transaction_status == TransactionStatus.ACTIVE)

    def _timed_out(self, ended: bool) -> StatementTimeout:
        then = (
            "the server has cancelled it"
            if ended
            else "the connection was closed, since the server could not be made to end it: whether it took effect is"
            " unknown"
        )
        return StatementTimeout(f"the statement took longer than statement_timeout, {self._timeout:g} seconds; {then}")

    @abstractmethod
    def wait_for(self, steps: Generator[Any, Any, Any]) -> Any:
        """Wait for the end of a generator of psycopg, however long that takes; on asyncio, return an awaitable."""

    @abstractmethod
    def _cancel(self, within: float) -> Any:
        """Ask the server to cancel the statement, for so many seconds; on asyncio, return an awaitable."""


class Limited(_Limited):
    """A sync connection."""

    def wait(self, steps: Generator[Any, Any, T], interval: float = _INTERVAL) -> T:
        """Wait for the end of a statement, but not for ever."""
        check_not_forked(self._pid, "connection")  # of a block that a child has left, nothing is sent
        try:
            return self.wait_for(self._limited(steps))
        except BaseException as error:
            reason = error
        return drive(self._end(steps, reason))

    def settle(self, reason: BaseException) -> None:
        """End what was sent and is not waited for: an interruption came in between."""
        if self._is_active():
            with suppress(type(reason)):
                drive(self._end(generators.execute(self.pgconn), reason))

    def cursor(self, row: BaseRowFactory[Any] = tuple_row) -> Cursor[Any]:
        """Return a cursor of this package."""
        return Cursor(cast(Any, self), row_factory=row)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Give a block with a transaction or a savepoint, as the connection does."""
        failed: BaseException | None = None
        try:
            with Connection.transaction(cast(Any, self)):
                try:
                    yield
                except BaseException as error:
                    failed = error
                    raise
            return
        except (StatementTimeout, ForkedConnection, OutOfOrderTransactionNesting) as error:
            ended = error
        raise self._why(failed, ended)

    def commit(self) -> None:
        """Commit the transaction if one is open."""
        Connection.commit(cast(Any, self))

    def rollback(self) -> None:
        """Roll the transaction back if one is open."""
        vars(self)["_deadline"] = None
        Connection.rollback(cast(Any, self))

    def wait_for(self, steps: Generator[Any, Any, T]) -> T:
        return waiting.wait(steps, self.pgconn.socket, interval=_INTERVAL)

    def _cancel(self, within: float) -> None:
        self.connection.cancel_safe(timeout=within)


class AsyncLimited(_Limited):
    """A connection on asyncio."""

    async def wait(self, steps: Generator[Any, Any, T], interval: float = _INTERVAL) -> T:
        """Wait for the end of a statement, but not for ever."""
        check_not_forked(self._pid, "connection")  # of a block that a child has left, nothing is sent
        try:
            return await self.wait_for(self._limited(steps))
        except BaseException as error:
            reason = error
        return await drive_async(self._end(steps, reason))

    async def settle(self, reason: BaseException) -> None:
        """End what was sent and is not waited for: an interruption came in between."""
        if self._is_active():
            with suppress(type(reason)):
                await drive_async(self._end(generators.execute(self.pgconn), reason))

    def cursor(self, row: BaseRowFactory[Any] = tuple_row) -> AsyncCursor[Any]:
        """Return a cursor of this package."""
        return AsyncCursor(cast(Any, self), row_factory=cast(Any, row))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        """Give a block with a transaction or a savepoint, as the connection does."""
        failed: BaseException | None = None
        try:
            async with AsyncConnection.transaction(cast(Any, self)):
                try:
                    yield
                except BaseException as error:
                    failed = error
                    raise
            return
        except (StatementTimeout, ForkedConnection, OutOfOrderTransactionNesting) as error:
            ended = error
        raise self._why(failed, ended)

    async def commit(self) -> None:
        """Commit the transaction if one is open."""
        await AsyncConnection.commit(cast(Any, self))

    async def rollback(self) -> None:
        """Roll the transaction back if one is open."""
        vars(self)["_deadline"] = None
        await AsyncConnection.rollback(cast(Any, self))

    async def wait_for(self, steps: Generator[Any, Any, T]) -> T:
        return await waiting.wait_async(steps, self.pgconn.socket, interval=_INTERVAL)

    async def _cancel(self, within: float) -> None:
        await self.connection.cancel_safe(timeout=within)


def answers(limited: Limited | AsyncLimited, timeout: float) -> Generator[Any, Any, bool]:
    """Return whether the server of an idle connection answers within some seconds, in steps for `drive`."""
    try:
        limited.pgconn.send_query(b"")
        results = yield limited.wait_for(_until(generators.execute(limited.pgconn), monotonic() + timeout))
    except (psycopg.Error, _Expired):
        return False
    # Any other result is the last word of a server that has ended the session.
    return [result.status for result in results] == [ExecStatus.EMPTY_QUERY]
