"""Where statements get their connection: the states of a transaction, and the pool or connection at the root.

A `Scope` is a connection at one level of its transaction. Its `State` is the whole state:

    OPEN    --a nested transaction begins-->  NESTED  --it ends-->  OPEN
    OPEN    --the block ends or fails-->      CLOSED
    NESTED  --the block fails-->              FAILED  --the nested transaction ends-->  CLOSED

A block that ends while a nested transaction is open in it waits until that has ended. A statement runs only where its
scope is OPEN and no scope around it is FAILED: what ran otherwise would be part of another transaction, and be
undone with it.

Who must hold which lock: sync, all scopes of a connection share one reentrant lock, and a thread that reads or changes
a state or runs a statement holds it. BEGIN, SAVEPOINT, RELEASE and COMMIT run without it: the scope around is NESTED.
On asyncio there is no lock: a state changes only between two awaits, and psycopg lets one statement wait for the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store.errors import OutsideTransaction

ConnectionT = TypeVar("ConnectionT", bound="Connection[Any] | AsyncConnection[Any]")

# -- scopes --------------------------------------------------------------------------------------


class State(Enum):
    """What a scope allows."""

    OPEN = auto()
    NESTED = auto()
    FAILED = auto()
    CLOSED = auto()


class Scope(Generic[ConnectionT]):
    """A connection at one level of its transaction; the parent is the level around it, or None."""

    def __init__(self, connection: ConnectionT, parent: Scope[ConnectionT] | None = None) -> None:
        self.connection = connection
        self.parent = parent
        self.state = State.OPEN

    def _check(self) -> None:
        scope: Scope[ConnectionT] | None = self
        while scope is not None:
            if scope.state in (State.FAILED, State.CLOSED):
                raise OutsideTransaction("this transaction has ended: use the store, or another transaction")
            scope = scope.parent
        if self.state is State.NESTED:
            raise OutsideTransaction(
                "a nested transaction is open in this one, or a call that is one: use the nested transaction, or wait"
                " for its end"
            )

    def _begin_nested(self) -> None:
        self._check()
        self.state = State.NESTED

    def _end_nested(self) -> None:
        self.state = State.CLOSED if self.state is State.FAILED else State.OPEN

    def _fail(self) -> None:
        self.state = State.FAILED if self.state is State.NESTED else State.CLOSED

    def _is_waiting(self) -> bool:
        return self.state in (State.NESTED, State.FAILED)


class SyncScope(Scope[Connection[Any]]):
    """A scope of threads."""

    def __init__(self, connection: Connection[Any], parent: SyncScope | None = None) -> None:
        super().__init__(connection, parent)
        # Reentrant: a hook may use the store that calls it.
        self._changed: threading.Condition = threading.Condition() if parent is None else parent._changed

    @contextmanager
    def statement(self) -> Generator[Connection[Any]]:
        """Give the connection for one statement of one thread."""
        with self._changed:
            self._check()
            yield self.connection

    @contextmanager
    def enter(self) -> Generator[tuple[Connection[Any], SyncScope]]:
        """Give the connection for a nested transaction."""
        with self._changed:
            self._begin_nested()
        try:
            yield self.connection, self
        finally:
            with self._changed:
                self._end_nested()
                self._changed.notify_all()

    @contextmanager
    def block(self) -> Generator[None]:
        """Close the scope at the end of the block, once a nested transaction of another thread has ended."""
        try:
            yield
        except BaseException:
            with self._changed:
                self._fail()
            raise
        finally:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_waiting())
                self.state = State.CLOSED


class AsyncScope(Scope[AsyncConnection[Any]]):
    """A scope of tasks of one loop."""

    def __init__(self, connection: AsyncConnection[Any], parent: AsyncScope | None = None) -> None:
        super().__init__(connection, parent)
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Give the connection for one statement."""
        self._check()
        yield self.connection

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[tuple[AsyncConnection[Any], AsyncScope]]:
        """Give the connection for a nested transaction."""
        self._begin_nested()
        try:
            yield self.connection, self
        finally:
            self._end_nested()
            self._changed.set()

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """Close the scope at the end of the block, once a nested transaction of another task has ended."""
        try:
            yield
        except BaseException:
            self._fail()
            raise
        finally:
            while self._is_waiting():
                self._changed.clear()
                await self._changed.wait()
            self.state = State.CLOSED


# -- where a store has its connections from --------------------------------------------------------


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


class PoolRoot:
    """The connections of a pool."""

    connection = None

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    @contextmanager
    def statement(self) -> Generator[Connection[Any]]:
        """Give a connection for one statement."""
        _check_outside(self)
        with self._pool.connection() as connection:
            yield connection

    @contextmanager
    def enter(self) -> Generator[tuple[Connection[Any], None]]:
        """Give a connection for one transaction."""
        with self.statement() as connection:
            yield connection, None


class AsyncPoolRoot:
    """The connections of a pool on asyncio."""

    connection = None

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Give a connection for one statement."""
        _check_outside(self)
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[tuple[AsyncConnection[Any], None]]:
        """Give a connection for one transaction."""
        async with self.statement() as connection:
            yield connection, None


class ConnectionRoot(SyncScope):
    """A caller's connection, whose open transaction is joined. It is never closed here."""

    def _check(self) -> None:
        _check_outside(self)
        super()._check()


class AsyncConnectionRoot(AsyncScope):
    """A caller's connection on asyncio."""

    def _check(self) -> None:
        _check_outside(self)
        super()._check()
