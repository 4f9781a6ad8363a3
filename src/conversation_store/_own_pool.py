"""The pool of a store's own: opened at once or with the reason, checked for lost connections, renewed after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from time import monotonic
from typing import Any
from weakref import WeakSet, ref

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq.abc import PGconn
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from conversation_store._connections import Taken
from conversation_store._conninfo import explain_refusal
from conversation_store._deadlines import AsyncLimited, Limited, answers
from conversation_store._roots import AsyncPooled, Pooled, SyncPooled, keep_for_ever
from conversation_store._turns import Turns
from conversation_store._waiting import drive, drive_async

_IDLE = 5.0  # seconds after which a connection is looked at; a round trip more
_CHECK = 2.0  # seconds that the server may take to answer that


class _Connection(Connection[Any]):
    """A connection of a store's own pool, and when it was last used."""

    used = 0.0


class _AsyncConnection(AsyncConnection[Any]):
    """The same on asyncio."""

    used = 0.0


class _Connector:
    """Connects for a pool, and remembers its last error, which a pool only logs."""

    def __init__(self, connect: Callable[..., Any]) -> None:
        self.error: psycopg.Error | None = None
        self._connect = connect

    def connect(self, conninfo: str, **parameters: Any) -> Any:
        """Connect; on asyncio, return an awaitable."""
        return drive(self._steps(conninfo, parameters))

    def _steps(self, conninfo: str, parameters: dict[str, Any]) -> Generator[Any, Any, Any]:
        try:
            connection = yield self._connect(conninfo, **parameters)
        except psycopg.Error as error:
            explain_refusal(error)
            self.error = error
            raise
        self.error = None
        connection.used = monotonic()
        return connection


class _AsyncConnector(_Connector):
    async def connect(self, conninfo: str, **parameters: Any) -> Any:
        return await drive_async(self._steps(conninfo, parameters))


class _Own(Pooled):
    """A store's own pool, of which a forked child gets a new one."""

    def __init__(self, pool_class: Any, connector: _Connector, parameters: dict[str, Any], **sizes: Any) -> None:
        self._connector = connector
        self._connect: Callable[[], Any] = lambda: connector.connect("", **parameters)
        self._make_pool: Callable[[], Any] = lambda: pool_class(
            kwargs=parameters,
            connection_class=connector,
            open=False,
            # Between two attempts to connect lies less than the time that a call waits for a connection.
            reconnect_timeout=sizes["timeout"],
            **sizes,
        )
        self._timeout: float = sizes["timeout"]
        self._pool = self._make_pool()
        self._pid = os.getpid()
        self._out: set[ref[Any]] = set()
        self._drained = 0
        self._is_to_open = False
        _own_pools.add(self)

    def renew(self) -> None:
        """Take a new pool, in a child that has one thread still; it opens when it is used."""
        keep_for_ever(self._pool)
        self._is_to_open = self._is_to_open or not self._pool.closed
        self._pool = self._make_pool()
        self._pid = os.getpid()
        self._out = set()

    def _opened(self) -> Generator[Any, Any, None]:
        """Open the pool, once it is known that one can connect: the pool would try again and not say why."""
        try:
            connection = yield self._connect()
        except psycopg.Error as error:
            # The frames below know the password.
            raise error.with_traceback(None)  # noqa: B904
        yield connection.close()
        yield self._pool.open(wait=True, timeout=self._pool.timeout)

    def _taken(
        self, limited: Callable[[Any, None], Limited | AsyncLimited], until: float, given: Taken[Any] | None = None
    ) -> Generator[Any, Any, Taken[Any]]:
        """Take a connection, or *given*, in steps for `drive`; one that was idle for seconds is looked at first."""
        if self._is_to_open:
            yield self._pool.open()  # does nothing where it is open
            self._is_to_open = False
        while True:
            drained, pool = self._drained, self._pool
            if given is not None:
                connection, pool, _ = given
                given = None
            else:
                try:
                    connection = yield pool.getconn(max(until - monotonic(), 0.001))
                except PoolTimeout:
                    yield from self._replaced(pool)
                    raise self._no_connection() from self._reason()
            self._out.add(ref(connection))
            answering = False
            try:
                answering = self._is_fresh(connection)
                if not answering:
                    left = min(_CHECK, max(until - monotonic(), 0.1))
                    answering = yield from answers(limited(connection, None), left)
                if answering:
                    return Taken(connection, pool, os.getpid())
            finally:
                if not answering:
                    self._out.discard(ref(connection))
                    yield connection.close()
                    yield self._put(connection, pool)
            # What has cut one connection has cut the others that are idle.
            if drained == self._drained:
                self._drained += 1
                yield pool.drain()

    def _is_fresh(self, connection: Any) -> bool:
        """Return whether a connection was in use just now, and the server has not closed it since."""
        return monotonic() - connection.used < _IDLE and not _has_ended(connection.pgconn)

    def _take_back(self, taken: Taken[Any]) -> bool:
        self._out.discard(ref(taken.connection))
        taken.connection.used = monotonic()
        return super()._take_back(taken)

    def _replaced(self, pool: Any) -> Generator[Any, Any, None]:
        """Replace a pool that has lost connections: an interruption at the wrong moment leaves one with nobody."""
        numbers = pool.get_stats()
        lost = numbers["pool_size"] - numbers["pool_available"] - self._in_use()
        if lost > 0 and self._connector.error is None and pool is self._pool and not pool.closed:
            self._pool = self._make_pool()
            yield self._pool.open()
            yield pool.close(timeout=0)  # what is out of it is closed when it is returned

    def _in_use(self) -> int:
        """Return how many connections are in use; what an interruption has lost is gone."""
        self._out.difference_update([taken for taken in list(self._out) if taken() is None])
        return len(self._out)

    def _no_connection(self) -> PoolTimeout:
        said = "" if self._connector.error is None else f"; the last attempt to connect: {self._connector.error}"
        return PoolTimeout(f"couldn't get a connection after {self._timeout:g} seconds{said}")

    def _reason(self) -> psycopg.Error | None:
        error = self._connector.error
        return None if error is None else error.with_traceback(None)


def _has_ended(pgconn: PGconn) -> bool:
    """Return whether the server has ended the session, as far as that was received."""
    try:
        # The last word of the server, and the end of the connection. poll() would let other threads run meanwhile.
        pgconn.consume_input()
        pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False


class OwnPoolRoot(_Own, SyncPooled):
    """The connections of a store's own pool."""

    def __init__(self, parameters: dict[str, Any], **sizes: Any) -> None:
        self._turns = Turns(sizes["max_size"])
        self._recounting = threading.Lock()
        super().__init__(ConnectionPool, _Connector(_Connection.connect), parameters, **sizes)

    def open(self) -> None:
        """Connect, which raises what is wrong, and open the pool."""
        drive(self._opened())

    def close(self) -> None:
        """Close the pool."""
        self._is_to_open = False
        self._pool.close()

    def renew(self) -> None:
        """Do as on asyncio; the threads of the parent have what they have."""
        super().renew()
        self._recounting = threading.Lock()
        self._turns = Turns(self._pool.max_size)

    def take(self) -> Taken[Connection[Any]]:
        """Take a connection for one statement."""
        self._check()
        # Waits here while all are in use: an interruption would leave the pool with somebody who waits no more, to whom
        # it would give the next one.
        turns, until = self._turns, monotonic() + self._timeout
        if not turns.take(self._timeout) and not self._recount():
            raise self._no_connection()
        try:
            pool, given = self._pool, None
            if not self._is_to_open:
                with suppress(PoolTimeout):
                    given = Taken(pool.getconn(max(until - monotonic(), 0.001)), pool, os.getpid())
                    if self._is_fresh(given.connection):
                        self._out.add(ref(given.connection))
                        return given
            return drive(self._taken(Limited, until, given))
        except BaseException:
            turns.give_back()
            raise

    def _recount(self) -> bool:
        """Return whether an interruption at the wrong moment has lost a turn, which is this thread's now."""
        with self._recounting:
            lost: int = self._pool.max_size - self._in_use() - self._turns.free()
            for _ in range(lost - 1):
                self._turns.give_back()
        return lost > 0

    def give_back(self, taken: Taken[Connection[Any]]) -> None:
        """Give it back."""
        try:
            super().give_back(taken)
        finally:
            if taken.pid == os.getpid():
                self._turns.give_back(most=self._pool.max_size - len(self._out))


class AsyncOwnPoolRoot(_Own, AsyncPooled):
    """The connections of a store's own pool on asyncio."""

    def __init__(self, parameters: dict[str, Any], **sizes: Any) -> None:
        self._returning = set()
        super().__init__(AsyncConnectionPool, _AsyncConnector(_AsyncConnection.connect), parameters, **sizes)

    async def open(self) -> None:
        """Connect, which raises what is wrong, and open the pool."""
        await drive_async(self._opened())

    async def close(self) -> None:
        """Close the pool."""
        self._is_to_open = False
        await self._pool.close()

    async def take(self) -> Taken[AsyncConnection[Any]]:
        """Take a connection for one statement."""
        self._check()
        return await drive_async(self._taken(AsyncLimited, monotonic() + self._timeout))


_own_pools: WeakSet[_Own] = WeakSet()


def _renew_own_pools() -> None:
    for root in list(_own_pools):
        root.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_own_pools)
