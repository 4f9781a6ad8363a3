"""The store: a pool or a connection, its transactions, and the repositories."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeVar, cast

from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store import _store_arguments as arguments
from conversation_store import _validation as validate
from conversation_store._connections import check_prepare
from conversation_store._executor import AsyncExecutor, Executor, OnStatement
from conversation_store._json_repair import OnRepair
from conversation_store._json_writer import MAX_JSON_BYTES
from conversation_store._operations import Settings
from conversation_store._own_pool import AsyncOwnPoolRoot, OwnPoolRoot
from conversation_store._roots import AsyncConnectionRoot, AsyncPoolRoot, ConnectionRoot, PoolRoot, inside
from conversation_store._validation import Id
from conversation_store.api_tokens import ApiTokenRepository, AsyncApiTokenRepository
from conversation_store.conversations import AsyncConversationRepository, ConversationRepository
from conversation_store.dialogs import AsyncDialogRepository, DialogRepository
from conversation_store.errors import InvalidArgumentType
from conversation_store.tenant_store import (
    AsyncTenantStore,
    AsyncTenantTransaction,
    TenantStore,
    TenantTransaction,
)
from conversation_store.tenants import AsyncTenantRepository, TenantRepository
from conversation_store.transaction import Isolation, begin, begin_async, run_in, run_in_async

T = TypeVar("T")


class Transaction:
    """The repositories inside of one transaction."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        self._executor = executor
        self._settings = settings
        self.dialogs = DialogRepository(executor, settings)
        self.conversations = ConversationRepository(executor, settings)
        self.tokens = ApiTokenRepository(executor, settings)
        self.tenants = TenantRepository(executor, settings)

    def for_tenant(self, tenant_id: Id) -> TenantTransaction:
        """Return the repositories of one tenant inside of the same transaction."""
        return TenantTransaction(self._executor, _bound(self._settings, tenant_id))

    @contextmanager
    def transaction(self, *, isolation: Isolation | None = None, read_only: bool = False) -> Generator[Transaction]:
        """Give the repositories inside of one transaction: committed at the end, rolled back on an error.

        Inside of a transaction, and on a caller's connection without autocommit, it is a savepoint: what it did is
        committed with the transaction around it. *isolation* is "read committed", "repeatable read" or "serializable",
        by default the first, and on a caller's connection the one that it has. Inside of the block the store itself
        must not be used: that would be another transaction, and raises `OutsideTransaction`. An error of the server
        that is caught inside has undone the whole transaction, and raises `AbortedTransaction` at the end, unless it
        was caught around a nested transaction.
        Raises `InvalidArgument` when a savepoint is given *isolation* or *read_only*.
        """
        with begin(self._executor, isolation, read_only) as executor, inside(self._executor.source):
            yield Transaction(executor, self._settings)


class AsyncTransaction:
    """The repositories inside of one transaction, on asyncio."""

    def __init__(self, executor: AsyncExecutor, settings: Settings) -> None:
        self._executor = executor
        self._settings = settings
        self.dialogs = AsyncDialogRepository(executor, settings)
        self.conversations = AsyncConversationRepository(executor, settings)
        self.tokens = AsyncApiTokenRepository(executor, settings)
        self.tenants = AsyncTenantRepository(executor, settings)

    def for_tenant(self, tenant_id: Id) -> AsyncTenantTransaction:
        """Return the repositories of one tenant inside of the same transaction."""
        return AsyncTenantTransaction(self._executor, _bound(self._settings, tenant_id))

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> AsyncGenerator[AsyncTransaction]:
        """Give the repositories inside of one transaction; see `ConversationStore.transaction`."""
        async with begin_async(self._executor, isolation, read_only) as executor:
            with inside(self._executor.source):
                yield AsyncTransaction(executor, self._settings)


class ConversationStore(Transaction):
    """API tokens, dialogs and conversations in PostgreSQL, sync.

    Takes exactly one of *conninfo*, *pool* and *connection*:

    - *conninfo*: a connection string, for a pool of the store's own, which `with` (or `open` and `close`) opens and
      closes. Its connections are in autocommit. What it does not set of `connect_timeout` (10 seconds), keepalives and
      `tcp_user_timeout` has defaults by which a lost server is noticed.
    - *pool*: a caller's pool, which stays the caller's.
    - *connection*: a caller's connection, whose open transaction is joined and never committed.
    - *min_size*, *max_size*: how many connections the store's own pool has.
    - *timeout*: how many seconds a call waits for a connection of the store's own pool before
      `psycopg_pool.PoolTimeout`.
    - *statement_timeout*: how many seconds a statement may take before `StatementTimeout`; None for any time. COPY, by
      which `insert_many` and imports load, may take any time. The limit is the client's and holds behind poolers and
      where the server does not answer: after at most two seconds more, the statement has been cancelled or its
      connection closed.
    - *prepare*: whether statements that run often are prepared on the server. By default they are, but not behind a
      pooler, which each connection is asked about once: it may mix up the prepared statements of its clients. True
      prepares there too, for a pooler that keeps them apart; it needs libpq 17. False never prepares.
    - *max_items_per_page*: the largest page that a list gives.
    - *max_json_bytes*: how large a message list, a reference or a `dsl` may be in one call, as JSON text in UTF-8; at
      most 1,000,000,000.
    - *repair_json*: whether JSON values that the store cannot hold are repaired; by default they raise. NaN and
      infinities become null, U+0000 and lone surrogates U+FFFD; keys that are numbers, bools or None, and dates,
      timedeltas, Decimals, UUIDs and bytes become text, enums their value, and sets lists in order of their texts. Of
      two keys that become equal, one that was repaired gets a number: `"417 (2)"`.
    - *on_repair*: is called with the path of each value that is repaired and with what is done; never with values.
    - *on_statement*: is called after each statement with its name, its seconds, its number of rows, and the name of
      the error or None; never with values.
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
        statement_timeout: float | None = 60.0,
        prepare: bool | None = None,
        max_items_per_page: int = 1_000,
        max_json_bytes: int = MAX_JSON_BYTES,
        repair_json: bool = False,
        on_repair: OnRepair | None = None,
        on_statement: OnStatement | None = None,
    ) -> None:
        try:
            own = arguments.own_pool(OwnPoolRoot, conninfo)
        finally:
            del conninfo  # it may hold a password, which no traceback shows
        problem = arguments.problem_of_sources(own, pool, connection, ConnectionPool, Connection)
        if problem is not None:
            del pool, connection  # a connection string too, if they were given one
            raise InvalidArgumentType(problem)
        settings = arguments.settings(max_items_per_page, on_statement, max_json_bytes, repair_json, on_repair)
        sizes = arguments.sizes(min_size, max_size, timeout)
        self._own = None if own is None else own(**sizes)
        root = self._own or (PoolRoot(pool) if pool is not None else ConnectionRoot(cast("Any", connection)))
        limit = arguments.statement_timeout(statement_timeout)
        super().__init__(Executor(root, on_statement, check_prepare(prepare), limit), settings)

    def open(self) -> None:
        """Open the store's own pool and wait for its first connections.

        Raises the `psycopg.OperationalError` of the first attempt to connect, at once.
        """
        if self._own is not None:
            self._own.open()

    def close(self) -> None:
        """Close the store's own pool; a caller's pool or connection is left as it is."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        """Open the store."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def for_tenant(self, tenant_id: Id) -> TenantStore:
        """Return the repositories of one tenant.

        No method of them needs a tenant, and none reads or changes anything of another one, whatever ids it is given.
        This opens and holds nothing: make one for each request.
        """
        return TenantStore(self._executor, _bound(self._settings, tenant_id))

    def run_in_transaction(
        self,
        function: Callable[[Transaction], T],
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        attempts: int = 10,
    ) -> T:
        """Call *function* with a transaction, commit, and return its result.

        After a serialization failure or a deadlock the transaction runs again, after a random pause, in at most
        *attempts*: the function may be called more than once. Any other error is raised at once, and so is every error
        inside of a caller's transaction, which only the caller can begin again. *isolation* and *read_only* are those
        of `transaction`.
        """
        return run_in(
            lambda: self.transaction(isolation=isolation, read_only=read_only),
            function,
            attempts,
            self._executor.source.connection,
        )


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
        statement_timeout: float | None = 60.0,
        prepare: bool | None = None,
        max_items_per_page: int = 1_000,
        max_json_bytes: int = MAX_JSON_BYTES,
        repair_json: bool = False,
        on_repair: OnRepair | None = None,
        on_statement: OnStatement | None = None,
    ) -> None:
        try:
            own = arguments.own_pool(AsyncOwnPoolRoot, conninfo)
        finally:
            del conninfo  # it may hold a password, which no traceback shows
        problem = arguments.problem_of_sources(own, pool, connection, AsyncConnectionPool, AsyncConnection)
        if problem is not None:
            del pool, connection  # a connection string too, if they were given one
            raise InvalidArgumentType(problem)
        settings = arguments.settings(max_items_per_page, on_statement, max_json_bytes, repair_json, on_repair)
        sizes = arguments.sizes(min_size, max_size, timeout)
        self._own = None if own is None else own(**sizes)
        root = self._own or (AsyncPoolRoot(pool) if pool is not None else AsyncConnectionRoot(cast("Any", connection)))
        limit = arguments.statement_timeout(statement_timeout)
        super().__init__(AsyncExecutor(root, on_statement, check_prepare(prepare), limit), settings)

    async def open(self) -> None:
        """Open the store's own pool and wait for its first connections.

        Raises the `psycopg.OperationalError` of the first attempt to connect, at once.
        """
        if self._own is not None:
            await self._own.open()

    async def close(self) -> None:
        """Close the store's own pool; a caller's pool or connection is left as it is."""
        if self._own is not None:
            await self._own.close()

    async def __aenter__(self) -> Self:
        """Open the store."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the store."""
        await self.close()

    def for_tenant(self, tenant_id: Id) -> AsyncTenantStore:
        """Return the repositories of one tenant; see `ConversationStore.for_tenant`."""
        return AsyncTenantStore(self._executor, _bound(self._settings, tenant_id))

    async def run_in_transaction(
        self,
        function: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        attempts: int = 10,
    ) -> T:
        """Await *function* with a transaction, commit, and return its result; see `ConversationStore`."""
        return await run_in_async(
            lambda: self.transaction(isolation=isolation, read_only=read_only),
            function,
            attempts,
            self._executor.source.connection,
        )


def _bound(settings: Settings, tenant_id: object) -> Settings:
    return settings._replace(tenant_id=validate.identifier("tenant_id", tenant_id))
