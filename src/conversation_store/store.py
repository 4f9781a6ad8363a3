"""The store: a pool or a connection, its transactions, and the repositories."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store import _arguments as check
from conversation_store._runner import AsyncRunner, Isolation, Level, OnStatement, Runner
from conversation_store.api_tokens import ApiTokenRepository, AsyncApiTokenRepository
from conversation_store.conversations import AsyncConversationRepository, ConversationRepository
from conversation_store.dialogs import AsyncDialogRepository, DialogRepository
from conversation_store.errors import OutsideTransaction
from conversation_store.tenants import AsyncTenantRepository, TenantRepository

T = TypeVar("T")


class Transaction:
    """The repositories inside of one transaction."""

    def __init__(self, runner: Runner, *, max_items_per_page: int) -> None:
        self._runner = runner
        self._max_items_per_page = max_items_per_page
        self.dialogs = DialogRepository(runner)
        self.conversations = ConversationRepository(runner, max_items_per_page=max_items_per_page)
        self.tokens = ApiTokenRepository(runner)
        self.tenants = TenantRepository(runner)

    @contextmanager
    def transaction(self, *, isolation: Isolation | None = None, read_only: bool = False) -> Generator[Transaction]:
        """Give the repositories inside of one transaction: committed at the end, rolled back on an error.

        Inside of a transaction, and on a caller's connection without autocommit, it is a savepoint: what it did is
        committed with the transaction around it. *isolation* is "read committed", "repeatable read" or "serializable",
        by default the server's; a savepoint can have neither it nor *read_only*, which is a `ValueError`. Inside of the
        block the store itself must not be used: that would be another transaction, and is `OutsideTransaction`. An
        error of the server that is caught inside has undone the whole, and is `AbortedTransaction` at the end, unless
        it was caught around a nested transaction.
        """
        with self._runner.transaction(isolation, read_only) as runner, self._inside():
            yield Transaction(runner, max_items_per_page=self._max_items_per_page)

    def _inside(self) -> AbstractContextManager[None]:
        return nullcontext()


class AsyncTransaction:
    """The repositories inside of one transaction, on asyncio."""

    def __init__(self, runner: AsyncRunner, *, max_items_per_page: int) -> None:
        self._runner = runner
        self._max_items_per_page = max_items_per_page
        self.dialogs = AsyncDialogRepository(runner)
        self.conversations = AsyncConversationRepository(runner, max_items_per_page=max_items_per_page)
        self.tokens = AsyncApiTokenRepository(runner)
        self.tenants = AsyncTenantRepository(runner)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> AsyncGenerator[AsyncTransaction]:
        """Give the repositories inside of one transaction; see `ConversationStore.transaction`."""
        async with self._runner.transaction(isolation, read_only) as runner:
            with self._inside():
                yield AsyncTransaction(runner, max_items_per_page=self._max_items_per_page)

    def _inside(self) -> AbstractContextManager[None]:
        return nullcontext()


class ConversationStore(Transaction):
    """API tokens, dialogs and conversations in PostgreSQL, blocking.

    Takes exactly one of *conninfo*, for a pool of its own, which `with` (or `open` and `close`) opens and closes;
    *pool*, a caller's pool, which stays the caller's; and *connection*, a caller's connection, whose open transaction
    is joined and never committed. The pool of its own has between *min_size* and *max_size* connections in autocommit;
    *timeout* is how many seconds a call waits for one before `psycopg_pool.PoolTimeout`. *max_items_per_page* limits
    pages. *on_statement* is called after each statement with its name, its seconds, its number of rows, and the name
    of the error or None; never with values.
    """

    def __init__(
        self,
        conninfo: str | None = None,
        *,
        pool: ConnectionPool[Any] | None = None,
        connection: Connection[Any] | None = None,
        min_size: int = 1,
        max_size: int = 10,
        timeout: float = 30.0,
        max_items_per_page: int = 1_000,
        on_statement: OnStatement | None = None,
    ) -> None:
        _exactly_one(conninfo, pool, connection)
        self._connection = connection
        self._own_pool = None
        if conninfo is not None:
            pool = self._own_pool = ConnectionPool(
                conninfo,
                min_size=min_size,
                max_size=max_size,
                timeout=timeout,
                kwargs={"autocommit": True, "client_encoding": "UTF8"},
                open=False,
            )
        connect: Callable[[], AbstractContextManager[Connection[Any]]]
        enter: Callable[[], AbstractContextManager[Connection[Any]]]
        if connection is None:
            connect = enter = cast("ConnectionPool[Any]", pool).connection
        else:
            level = Level(connection)
            connect, enter = level.one, level.nested
        runner = Runner(_guarded(self, connect), _guarded(self, enter), on_statement, callers=connection is not None)
        super().__init__(runner, max_items_per_page=max_items_per_page)

    def open(self) -> None:
        """Open the store's own pool and wait for its first connections; raises `psycopg_pool.PoolTimeout`."""
        if self._own_pool is not None:
            self._own_pool.open(wait=True, timeout=self._own_pool.timeout)

    def close(self) -> None:
        """Close the store's own pool; a caller's pool or connection is left as it is."""
        if self._own_pool is not None:
            self._own_pool.close()

    def __enter__(self) -> Self:
        """Open the store."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def run_in_transaction(
        self,
        function: Callable[[Transaction], T],
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        attempts: int = 10,
    ) -> T:
        """Call *function* with a transaction, commit, and return its result.

        After a serialization failure or a deadlock the whole is done again, with back-off, in at most *attempts*: the
        function may be called more than once. Any other error is raised at once, and so is every error inside of a
        caller's transaction, which only the caller can begin again. *isolation* and *read_only* are those of
        `transaction`.
        """
        pauses = _pauses(attempts, self._connection)
        while True:
            try:
                with self.transaction(isolation=isolation, read_only=read_only) as tx:
                    result = function(tx)
                    if inspect.iscoroutine(result) or inspect.isgenerator(result):
                        result.close()
                        raise TypeError("function must be a plain function, which has done its work when it returns")
                    return result
            except _AGAIN:
                pause = next(pauses, None)
                if pause is None:
                    raise
            time.sleep(pause)

    def _inside(self) -> AbstractContextManager[None]:
        return _block(self)


class AsyncConversationStore(AsyncTransaction):
    """API tokens, dialogs and conversations in PostgreSQL, on asyncio.

    The same as `ConversationStore`, with `async with` and `await`; a store of *conninfo* has an `AsyncConnectionPool`.
    """

    def __init__(
        self,
        conninfo: str | None = None,
        *,
        pool: AsyncConnectionPool[Any] | None = None,
        connection: AsyncConnection[Any] | None = None,
        min_size: int = 1,
        max_size: int = 10,
        timeout: float = 30.0,
        max_items_per_page: int = 1_000,
        on_statement: OnStatement | None = None,
    ) -> None:
        _exactly_one(conninfo, pool, connection)
        self._connection = connection
        self._own_pool = None
        if conninfo is not None:
            pool = self._own_pool = AsyncConnectionPool(
                conninfo,
                min_size=min_size,
                max_size=max_size,
                timeout=timeout,
                kwargs={"autocommit": True, "client_encoding": "UTF8"},
                open=False,
            )
        connect: Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
        enter: Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
        if connection is None:
            connect = enter = cast("AsyncConnectionPool[Any]", pool).connection
        else:
            level = Level(connection)
            connect, enter = level.one_awaiting, level.nested_awaiting
        runner = AsyncRunner(
            _guarded(self, connect), _guarded(self, enter), on_statement, callers=connection is not None
        )
        super().__init__(runner, max_items_per_page=max_items_per_page)

    async def open(self) -> None:
        """Open the store's own pool and wait for its first connections; raises `psycopg_pool.PoolTimeout`."""
        if self._own_pool is not None:
            await self._own_pool.open(wait=True, timeout=self._own_pool.timeout)

    async def close(self) -> None:
        """Close the store's own pool; a caller's pool or connection is left as it is."""
        if self._own_pool is not None:
            await self._own_pool.close()

    async def __aenter__(self) -> Self:
        """Open the store."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the store."""
        await self.close()

    async def run_in_transaction(
        self,
        function: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        attempts: int = 10,
    ) -> T:
        """Await *function* with a transaction, commit, and return its result; see `ConversationStore`."""
        pauses = _pauses(attempts, self._connection)
        while True:
            try:
                async with self.transaction(isolation=isolation, read_only=read_only) as tx:
                    result = function(tx)
                    if not inspect.isawaitable(result):
                        raise TypeError("function must be a coroutine function: this is the store on asyncio")
                    return await result
            except _AGAIN:
                pause = next(pauses, None)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    def _inside(self) -> AbstractContextManager[None]:
        return _block(self)


# What PostgreSQL asks to try again; nothing of it was committed.
_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


def _pauses(attempts: int, callers: Connection[Any] | AsyncConnection[Any] | None) -> Iterator[float]:
    """Return how many seconds to wait before each attempt but the first: random, so that two do not meet again."""
    number = check.integer("attempts", attempts, minimum=1)
    joined = callers is not None and (
        callers.info.transaction_status != TransactionStatus.IDLE or not callers.autocommit
    )
    return (random.uniform(0, min(1.0, 0.01 * 2**n)) for n in range(0 if joined else number - 1))  # noqa: S311


@dataclass(eq=False, slots=True)
class _Block:
    """A block of `with store.transaction()`; tasks that were started in it outlive it with a copy of its context."""

    store: object
    open: bool = True


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("conversation_store_blocks", default=())


@contextmanager
def _block(store: object) -> Generator[None]:
    around = _blocks.get()
    block = _Block(store)
    _blocks.set((*around, block))
    try:
        yield
    finally:
        block.open = False
        _blocks.set(around)


def _guarded(store: object, connect: Callable[[], T]) -> Callable[[], T]:
    """Return a *connect* that refuses to be called inside of the store's own transaction."""

    def guarded() -> T:
        if any(block.open and block.store is store for block in _blocks.get()):
            raise OutsideTransaction(
                "the store was used inside of its own transaction: use what `with store.transaction() as tx` gave, tx"
            )
        return connect()

    return guarded


def _exactly_one(conninfo: object, pool: object, connection: object) -> None:
    if [conninfo, pool, connection].count(None) != 2:
        raise TypeError("exactly one of conninfo, pool and connection must be given")
    if not isinstance(conninfo, str | None):
        raise TypeError(f"conninfo must be a str, not {type(conninfo).__name__}")
