"""Waits on a connection that end: when a statement has taken its time, and soon after an interruption.

The thread or task that waits looks at the clock itself, each time that psycopg wakes it up: there is no watchdog that
could stop a statement which has just ended, or the next one. The server is asked to cancel the statement. Where it does
not take the request, or does not end the statement then, the connection is closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from time import monotonic
from typing import Any, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, Connection, capabilities, waiting
from psycopg.pq import ConnStatus, TransactionStatus

from conversation_store._waiting import drive, drive_async
from conversation_store.errors import StatementTimeout

T = TypeVar("T")

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
        return cast(T, end.value)


class _Limited:
    """A connection of psycopg, for cursors and transactions: a view, since nothing is changed on a caller's connection.

    What is not here is that of the connection.
    """

    connection: Any
    lock: Any
    pgconn: Any

    def __init__(self, connection: Any, timeout: float | None) -> None:
        self.__dict__.update(connection=connection, lock=connection.lock, pgconn=connection.pgconn, _timeout=timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.connection, name, value)

    def _limited(self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        return steps if self._timeout is None else _until(steps, monotonic() + self._timeout)

    def _end(self, steps: Generator[Any, Any, T], reason: BaseException) -> Generator[Any, Any, T]:
        """End a statement after *reason* was raised, in steps for `drive`; return its result, or raise."""
        expired = isinstance(reason, _Expired)
        # An error of psycopg is the end of the statement.
        if not expired and (isinstance(reason, psycopg.Error) or not self._is_active()):
            raise reason
        failed: BaseException | None = None
        try:
            yield self._cancel(_CANCEL if expired else _CANCEL_INTERRUPTED)
            result = yield self._wait(_until(steps, monotonic() + _END))
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

    def _is_active(self) -> bool:
        return bool(self.pgconn.transaction_status == TransactionStatus.ACTIVE)

    def _timed_out(self, ended: bool) -> StatementTimeout:
        then = (
            "the server has cancelled it"
            if ended
            else "the server does not answer, so the connection was closed; whether the statement took effect is unknown"
        )
        return StatementTimeout(f"the statement took longer than statement_timeout, {self._timeout:g} seconds; {then}")

    def _cancelling(self) -> threading.Thread:
        """Start a request to cancel with a libpq before version 17, which can only wait for the answer."""
        thread = threading.Thread(target=self.connection.cancel, daemon=True)
        thread.start()
        return thread

    def _cancel(self, timeout: float) -> Any:
        raise NotImplementedError

    def _wait(self, steps: Generator[Any, Any, T]) -> Any:
        raise NotImplementedError


class Limited(_Limited):
    """A sync connection."""

    def wait(self, steps: Generator[Any, Any, T], interval: float = _INTERVAL) -> T:
        """Wait for the end of a statement, but not for ever."""
        try:
            return self._wait(self._limited(steps))
        except BaseException as error:
            reason = error
        return drive(self._end(steps, reason))

    def transaction(self) -> AbstractContextManager[Any]:
        """Return a block with a transaction or a savepoint, as the connection does."""
        return Connection.transaction(cast(Any, self))

    def commit(self) -> None:
        """Commit the transaction if one is open."""
        Connection.commit(cast(Any, self))

    def rollback(self) -> None:
        """Roll the transaction back if one is open."""
        Connection.rollback(cast(Any, self))

    def _wait(self, steps: Generator[Any, Any, T]) -> T:
        return waiting.wait(steps, self.pgconn.socket, interval=_INTERVAL)

    def _cancel(self, timeout: float) -> None:
        if capabilities.has_cancel_safe():
            self.connection.cancel_safe(timeout=timeout)
            return
        request = self._cancelling()
        request.join(timeout)
        if request.is_alive():
            raise psycopg.errors.CancellationTimeout("the server does not answer the request to cancel")


class AsyncLimited(_Limited):
    """A connection on asyncio."""

    async def wait(self, steps: Generator[Any, Any, T], interval: float = _INTERVAL) -> T:
        """Wait for the end of a statement, but not for ever."""
        try:
            return await self._wait(self._limited(steps))
        except BaseException as error:
            reason = error
        return await drive_async(self._end(steps, reason))

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Return a block with a transaction or a savepoint, as the connection does."""
        return AsyncConnection.transaction(cast(Any, self))

    async def commit(self) -> None:
        """Commit the transaction if one is open."""
        await AsyncConnection.commit(cast(Any, self))

    async def rollback(self) -> None:
        """Roll the transaction back if one is open."""
        await AsyncConnection.rollback(cast(Any, self))

    async def _wait(self, steps: Generator[Any, Any, T]) -> T:
        return await waiting.wait_async(steps, self.pgconn.socket, interval=_INTERVAL)

    async def _cancel(self, timeout: float) -> None:
        if capabilities.has_cancel_safe():
            await self.connection.cancel_safe(timeout=timeout)
            return
        request, until = self._cancelling(), monotonic() + timeout
        while request.is_alive():
            if monotonic() >= until:
                raise psycopg.errors.CancellationTimeout("the server does not answer the request to cancel")
            await asyncio.sleep(0.02)
