"""Where a store has its connections from: a pool of its own, a caller's pool, a caller's connection."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store._forks import check_not_forked, process_of
from conversation_store._scope import AsyncScope, SyncScope
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

    @contextmanager
    def statement(self) -> Generator[Connection[Any]]:
        """Give a connection for one statement."""
        _check_outside(self)
        check_not_forked(self._pid, "pool")
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

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Give a connection for one statement."""
        _check_outside(self)
        check_not_forked(self._pid, "pool")
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[tuple[AsyncConnection[Any], None]]:
        """Give a connection for one transaction."""
        async with self.statement() as connection:
            yield connection, None


class _Own:
    """A store's own pool, of which a forked child gets a new one."""

    def __init__(self, make_pool: Callable[[], Any]) -> None:
        super().__init__(make_pool())  # type: ignore[call-arg]  # that of PoolRoot or AsyncPoolRoot
        self._make_pool = make_pool
        self._is_to_open = False
        _own_pools.add(self)

    def renew(self) -> None:
        """Take a new pool, in a child that has one thread still; it opens when it is used."""
        _of_the_parent.append(self._pool)
        self._is_to_open = self._is_to_open or not self._pool.closed
        self._pool: Any = self._make_pool()
        self._pid = os.getpid()


class OwnPoolRoot(_Own, PoolRoot):
    """The connections of a store's own pool."""

    def open(self) -> None:
        """Open the pool, and wait for its first connections."""
        self._pool.open(wait=True, timeout=self._pool.timeout)

    def close(self) -> None:
        """Close the pool."""
        self._is_to_open = False
        self._pool.close()

    @contextmanager
    def statement(self) -> Generator[Connection[Any]]:
        """Give a connection for one statement."""
        if self._is_to_open:
            self._pool.open()  # does nothing where it is open
            self._is_to_open = False
        with super().statement() as connection:
            yield connection


class AsyncOwnPoolRoot(_Own, AsyncPoolRoot):
    """The connections of a store's own pool on asyncio."""

    async def open(self) -> None:
        """Open the pool, and wait for its first connections."""
        await self._pool.open(wait=True, timeout=self._pool.timeout)

    async def close(self) -> None:
        """Close the pool."""
        self._is_to_open = False
        await self._pool.close()

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Give a connection for one statement."""
        if self._is_to_open:
            await self._pool.open()  # does nothing where it is open
            self._is_to_open = False
        async with super().statement() as connection:
            yield connection


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
