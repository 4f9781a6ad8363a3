"""Where a store has its connections from: a caller's pool, a caller's connection; `_own_pool.py` has its own pool."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Thread
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store._connections import Taken
from conversation_store._forks import check_not_forked, process_of
from conversation_store._scope import AsyncScope, SyncScope
from conversation_store._waiting import begun, drive, drive_async
from conversation_store.errors import OutsideTransaction

_IDLE = TransactionStatus.IDLE


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
    try:
        _blocks.set((*around, block))
        yield
    finally:
        block.is_open = False
        _blocks.set(around)


def _check_outside(root: object) -> None:
    blocks = _blocks.get()
    if blocks and any(block.is_open and block.root is root for block in blocks):
        raise OutsideTransaction(
            "the store was used inside of its own transaction: use what `with store.transaction() as tx` gave, tx"
        )


def _process_of(pool: Any) -> int:
    # A pool does not show its connections, and may send a query of its own on each that it gives. Its threads tell too:
    # none of them goes on in a child, even where all connections are in use there.
    if any(not worker.is_alive() for worker in getattr(pool, "_workers", ()) if isinstance(worker, Thread)):
        return -1
    return process_of(list(getattr(pool, "_pool", ())))


_of_the_parent: list[object] = []


def keep_for_ever(inherited: object) -> None:
    """Keep what a child has from its parent: to close it would end the parent's session, or wait for its threads."""
    _of_the_parent.append(inherited)


class Pooled:
    """What the connections of pools have in common."""

    connection = None
    _pid: int
    _pool: Any

    def _check(self) -> None:
        _check_outside(self)
        check_not_forked(self._pid, "pool")

    def _take_back(self, taken: Taken[Any]) -> bool:
        """Take a connection back, and return whether it goes to its pool as it is, as nearly always."""
        connection = taken.connection
        return (
            taken.pid == os.getpid()
            and connection.pgconn.transaction_status == _IDLE
            and not getattr(connection, "_num_transactions", 0)
        )

    def _given_back(self, taken: Taken[Any]) -> Generator[Any, Any, None]:
        """Return a connection that does not go to its pool as it is, in steps for `drive`."""
        if taken.pid != os.getpid():  # not in a child of the process that has taken it
            keep_for_ever(taken.connection)
            return
        # What was interrupted at the wrong moment has left a transaction, or psycopg's count of nested ones.
        yield taken.connection.close()
        yield self._put(taken.connection, taken.pool)

    def _put(self, connection: Any, pool: Any) -> Any:
        """Return a connection to its pool; on asyncio, return an awaitable."""
        return pool.putconn(connection)


class SyncPooled(Pooled):
    """The sync part of it."""

    def take(self) -> Taken[Connection[Any]]:
        """Take a connection for one statement."""
        self._check()
        return Taken(self._pool.getconn(), self._pool, os.getpid())

    def give_back(self, taken: Taken[Connection[Any]]) -> None:
        """Give it back."""
        if self._take_back(taken):
            taken.pool.putconn(taken.connection)
        else:
            drive(self._given_back(taken))

    @contextmanager
    def enter(self) -> Generator[tuple[Connection[Any], None]]:
        """Give a connection for one transaction."""
        taken = self.take()
        try:
            yield taken.connection, None
        finally:
            self.give_back(taken)


class AsyncPooled(Pooled):
    """The part on asyncio."""

    _returning: set[asyncio.Task[None]]

    async def take(self) -> Taken[AsyncConnection[Any]]:
        """Take a connection for one statement."""
        self._check()
        return Taken(await self._pool.getconn(), self._pool, os.getpid())

    async def give_back(self, taken: Taken[AsyncConnection[Any]]) -> None:
        """Give it back."""
        if self._take_back(taken):
            await self._put(taken.connection, taken.pool)
        else:
            await drive_async(self._given_back(taken))

    async def _put(self, connection: Any, pool: Any) -> None:
        # What has to wait, for the lock of the pool, goes on in a task of its own: a cancellation meanwhile would lose
        # the connection for good.
        rest = begun(pool.putconn(connection))
        if rest is None:
            return
        returning = asyncio.create_task(rest)
        self._returning.add(returning)  # the loop itself would forget it
        returning.add_done_callback(self._returning.discard)
        await asyncio.shield(returning)

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[tuple[AsyncConnection[Any], None]]:
        """Give a connection for one transaction."""
        taken = await self.take()
        try:
            yield taken.connection, None
        finally:
            await self.give_back(taken)


class PoolRoot(SyncPooled):
    """The connections of a caller's pool."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool
        self._pid = _process_of(pool)


class AsyncPoolRoot(AsyncPooled):
    """The connections of a caller's pool on asyncio."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._pid = _process_of(pool)
        self._returning = set()


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
