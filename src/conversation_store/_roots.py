"""Where a store has its connections from: a pool of its own, a caller's pool, a caller's connection."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from conversation_store._deadlines import AsyncLimited, Limited, answers
from conversation_store._forks import check_not_forked, process_of
from conversation_store._scope import AsyncScope, SyncScope
from conversation_store._waiting import drive, drive_async
from conversation_store.errors import OutsideTransaction


@dataclass(eq=False, slots=True)
class _Block:
    """A block of `with store.transaction()`; tasks that were started in it outlive it with a copy of its context."""

    root: object
    is_open: bool = True


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("conversation_store_blocks", default=())


@contextmanager
def inside(root: object) -> Generator[None]:
    """Refuse connections of *root* to this thread or task, and to what it starts, until the block ends."""
    around = _blocks.get()
    block = _Block(root)
    _blocks.set((*around, block))
    try:
        yield
    finally:
        block.is_open = False
        _blocks.set(around)


def _check_outside(root: object) -> None:
    if any(block.is_open and block.root is root for block in _blocks.get()):
        raise OutsideTransaction(
            "the store was used inside of its own transaction: use what `with store.transaction() as tx` gave, tx"
        )


def _idle(pool: Any) -> list[Any]:
    # A pool does not show its connections, and may send a query of its own on each that it gives.
    return list(getattr(pool, "_pool", ()))


class PoolRoot:
    """The connections of a caller's pool."""

    connection = None

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool
        self._pid = process_of(_idle(pool))

    def _check(self) -> None:
        _check_outside(self)
        check_not_forked(self._pid, "pool")

    @contextmanager
    def statement(self) -> Generator[Connection[Any]]:
        """Give a connection for one statement."""
        self._check()
        with self._pool.connection() as connection:
            yield connection

    @contextmanager
    def enter(self) -> Generator[tuple[Connection[Any], None]]:
        """Give a connection for one transaction."""
        with self.statement() as connection:
            yield connection, None


class AsyncPoolRoot:
    """The connections of a caller's pool on asyncio."""

    connection = None

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._pid = process_of(_idle(pool))

    def _check(self) -> None:
        _check_outside(self)
        check_not_forked(self._pid, "pool")

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Give a connection for one statement."""
        self._check()
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[tuple[AsyncConnection[Any], None]]:
        """Give a connection for one transaction."""
        async with self.statement() as connection:
            yield connection, None


_REFUSED = (
    "a pooler refuses settings in a connection string: give them to the role (ALTER ROLE … SET …), or name them in"
    " ignore_startup_parameters of PgBouncer"
)


class _Connector:
    """Connects for a pool, and remembers the last error, which a pool only logs."""

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
            if "unsupported startup parameter" in str(error):
                error.add_note(_REFUSED)
            self.error = error
            raise
        self.error = None
        return connection


class _AsyncConnector(_Connector):
    async def connect(self, conninfo: str, **parameters: Any) -> Any:
        return await drive_async(self._steps(conninfo, parameters))


class _Own:
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
        super().__init__(self._make_pool())  # type: ignore[call-arg]  # that of PoolRoot or AsyncPoolRoot
        self._returned: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._drained = 0
        self._is_to_open = False
        _own_pools.add(self)

    def renew(self) -> None:
        """Take a new pool, in a child that has one thread still; it opens when it is used."""
        _of_the_parent.append(self._pool)
        self._is_to_open = self._is_to_open or not self._pool.closed
        self._pool: Any = self._make_pool()
        self._pid = os.getpid()

    def _opened(self) -> Generator[Any, Any, None]:
        """Open the pool, once it is known that one can connect: the pool would try again and not say why."""
        try:
            connection = yield self._connect()
        except psycopg.Error as error:
            # The frames below know the password.
            raise error.with_traceback(None)  # noqa: B904
        yield connection.close()
        yield self._pool.open(wait=True, timeout=self._pool.timeout)

    def _taken(self, limited: Callable[[Any, None], Limited | AsyncLimited]) -> Generator[Any, Any, Any]:
        """Take a connection of the pool; one that was idle for some seconds is looked at first."""
        if self._is_to_open:
            yield self._pool.open()  # does nothing where it is open
            self._is_to_open = False
        while True:
            drained = self._drained
            try:
                connection = yield self._pool.getconn()
            except PoolTimeout as timeout:
                if self._connector.error is None:
                    raise
                raise PoolTimeout(f"{timeout}; the last attempt to connect: {self._connector.error}") from (
                    self._connector.error.with_traceback(None)
                )
            answering = False
            try:
                answering = self._is_fresh(connection) or (yield from answers(limited(connection, None), _CHECK))
                if answering:
                    return connection
            finally:
                if not answering:
                    yield connection.close()
                    yield self._put(connection)
            # What has cut one connection has cut the others that are idle.
            if drained == self._drained:
                self._drained += 1
                yield self._pool.drain()

    def _is_fresh(self, connection: Any) -> bool:
        """Return whether a connection was in use just now, and the server has not closed it since."""
        idle = monotonic() - self._returned.get(connection, 0.0)
        return idle < _IDLE and not _is_readable(connection.pgconn.socket)

    def _given_back(self, connection: Any) -> Generator[Any, Any, None]:
        self._returned[connection] = monotonic()
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            yield connection.close()  # what the pool would wait for, without an end
        yield self._put(connection)

    def _put(self, connection: Any) -> Any:
        """Return a connection to the pool; on asyncio, return an awaitable."""
        return self._pool.putconn(connection)


_IDLE = 5.0  # seconds after which a connection is looked at; a round trip more
_CHECK = 1.0  # seconds that the server may take to answer that


def _is_readable(socket: int) -> bool:
    """Return whether there is something to read: of an idle connection that is its end."""
    if not hasattr(select, "poll"):
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


class OwnPoolRoot(_Own, PoolRoot):
    """The connections of a store's own pool."""

    def __init__(self, parameters: dict[str, Any], **sizes: Any) -> None:
        super().__init__(ConnectionPool, _Connector(Connection.connect), parameters, **sizes)

    def open(self) -> None:
        """Connect, which raises what is wrong, and open the pool."""
        drive(self._opened())

    def close(self) -> None:
        """Close the pool."""
        self._is_to_open = False
        self._pool.close()

    @contextmanager
    def statement(self) -> Generator[Connection[Any]]:
        """Give a connection for one statement."""
        self._check()
        connection = drive(self._taken(Limited))
        try:
            yield connection
        finally:
            drive(self._given_back(connection))


class AsyncOwnPoolRoot(_Own, AsyncPoolRoot):
    """The connections of a store's own pool on asyncio."""

    def __init__(self, parameters: dict[str, Any], **sizes: Any) -> None:
        super().__init__(AsyncConnectionPool, _AsyncConnector(AsyncConnection.connect), parameters, **sizes)
        self._returning: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect, which raises what is wrong, and open the pool."""
        await drive_async(self._opened())

    async def close(self) -> None:
        """Close the pool."""
        self._is_to_open = False
        await self._pool.close()

    async def _put(self, connection: Any) -> None:
        # A task of its own: a cancellation while the pool waits for its lock would lose the connection for good.
        returning = asyncio.create_task(self._pool.putconn(connection))
        self._returning.add(returning)  # the loop itself would forget it
        returning.add_done_callback(self._returning.discard)
        await asyncio.shield(returning)

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Give a connection for one statement."""
        self._check()
        connection = await drive_async(self._taken(AsyncLimited))
        try:
            yield connection
        finally:
            await drive_async(self._given_back(connection))


_own_pools: WeakSet[_Own] = WeakSet()
_of_the_parent: list[object] = []  # kept, since a pool that is collected waits for its threads, which the child has not


def _renew_own_pools() -> None:
    for root in list(_own_pools):
        root.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_own_pools)


class ConnectionRoot(SyncScope):
    """A caller's connection, whose open transaction is joined. It is closed only where the server does not answer."""

    def _check(self) -> None:
        _check_outside(self)
        super()._check()


class AsyncConnectionRoot(AsyncScope):
    """A caller's connection on asyncio."""

    def _check(self) -> None:
        _check_outside(self)
        super()._check()
