"""The store: a pool or a connection, its transactions, and the three repositories."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Self, TypeVar, cast

from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store._statement import AsyncRunner, OnStatement, Runner
from conversation_store.api_tokens import ApiTokenRepository, AsyncApiTokenRepository
from conversation_store.conversations import AsyncConversationRepository, ConversationRepository
from conversation_store.dialogs import AsyncDialogRepository, DialogRepository

ConnectionT = TypeVar("ConnectionT")


class Transaction:
    """The three repositories inside of one transaction."""

    def __init__(self, runner: Runner, *, max_items_per_page: int) -> None:
        self._runner = runner
        self._max_items_per_page = max_items_per_page
        self.dialogs = DialogRepository(runner)
        self.conversations = ConversationRepository(runner, max_items_per_page=max_items_per_page)
        self.tokens = ApiTokenRepository(runner)


class AsyncTransaction:
    """The three repositories inside of one transaction, on asyncio."""

    def __init__(self, runner: AsyncRunner, *, max_items_per_page: int) -> None:
        self._runner = runner
        self._max_items_per_page = max_items_per_page
        self.dialogs = AsyncDialogRepository(runner)
        self.conversations = AsyncConversationRepository(runner, max_items_per_page=max_items_per_page)
        self.tokens = AsyncApiTokenRepository(runner)


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
                conninfo, min_size=min_size, max_size=max_size, timeout=timeout, kwargs={"autocommit": True}, open=False
            )
        connect = cast("ConnectionPool[Any]", pool).connection if connection is None else _always(connection)
        super().__init__(Runner(connect, on_statement), max_items_per_page=max_items_per_page)

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

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Give the repositories inside of one transaction: committed at the end, rolled back on an error.

        On a caller's connection without autocommit it is a savepoint: what it did is committed when the caller commits.
        """
        with self._runner.connect() as connection:
            if _would_commit(connection, self._connection):
                connection.execute("SELECT 1")
            with connection.transaction():
                runner = replace(self._runner, connect=_always(connection))
                yield Transaction(runner, max_items_per_page=self._max_items_per_page)


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
                conninfo, min_size=min_size, max_size=max_size, timeout=timeout, kwargs={"autocommit": True}, open=False
            )
        connect = cast("AsyncConnectionPool[Any]", pool).connection if connection is None else _always(connection)
        super().__init__(AsyncRunner(connect, on_statement), max_items_per_page=max_items_per_page)

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

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncTransaction]:
        """Give the repositories inside of one transaction: committed at the end, rolled back on an error.

        On a caller's connection without autocommit it is a savepoint: what it did is committed when the caller commits.
        """
        async with self._runner.connect() as connection:
            if _would_commit(connection, self._connection):
                await connection.execute("SELECT 1")
            async with connection.transaction():
                runner = replace(self._runner, connect=_always(connection))
                yield AsyncTransaction(runner, max_items_per_page=self._max_items_per_page)


def _exactly_one(conninfo: object, pool: object, connection: object) -> None:
    if [conninfo, pool, connection].count(None) != 2:
        raise TypeError("exactly one of conninfo, pool and connection must be given")
    if not isinstance(conninfo, str | None):
        raise TypeError(f"conninfo must be a str, not {type(conninfo).__name__}")


def _always(connection: ConnectionT) -> Callable[[], nullcontext[ConnectionT]]:
    return lambda: nullcontext(connection)


def _would_commit(connection: Connection[Any] | AsyncConnection[Any], callers: object) -> bool:
    """Tell whether psycopg would commit the caller's transaction, because it has not begun yet."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    return connection is callers and idle and not connection.autocommit
