"""A store bound to one tenant: the same repositories, and nothing of another tenant can be reached through them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._operations import Settings
from conversation_store._roots import inside
from conversation_store.api_tokens import ApiTokenRepository, AsyncApiTokenRepository
from conversation_store.conversations import AsyncConversationRepository, ConversationRepository
from conversation_store.dialogs import AsyncDialogRepository, DialogRepository
from conversation_store.transaction import Isolation, begin, begin_async, run_in, run_in_async

T = TypeVar("T")


class _Bound:
    """What knows its tenant."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.tenant_id = settings.tenant_id or ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.tenant_id!r}>"


class TenantTransaction(_Bound):
    """The repositories of one tenant, `tenant_id`, inside of one transaction."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        super().__init__(settings)
        self._executor = executor
        self.dialogs = DialogRepository(executor, settings)
        self.conversations = ConversationRepository(executor, settings)
        self.tokens = ApiTokenRepository(executor, settings)

    @contextmanager
    def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> Generator[TenantTransaction]:
        """Give the repositories of the tenant inside of one transaction; see `ConversationStore.transaction`."""
        with begin(self._executor, isolation, read_only) as executor, inside(self._executor.source):
            yield TenantTransaction(executor, self._settings)


class TenantStore(TenantTransaction):
    """The repositories of one tenant, sync; see `ConversationStore.for_tenant`."""

    def run_in_transaction(
        self,
        function: Callable[[TenantTransaction], T],
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        attempts: int = 10,
    ) -> T:
        """Call *function* with a transaction, commit, and return its result; see `ConversationStore`."""
        return run_in(
            lambda: self.transaction(isolation=isolation, read_only=read_only),
            function,
            attempts,
            self._executor.source.connection,
        )


class AsyncTenantTransaction(_Bound):
    """The repositories of one tenant, `tenant_id`, inside of one transaction, on asyncio."""

    def __init__(self, executor: AsyncExecutor, settings: Settings) -> None:
        super().__init__(settings)
        self._executor = executor
        self.dialogs = AsyncDialogRepository(executor, settings)
        self.conversations = AsyncConversationRepository(executor, settings)
        self.tokens = AsyncApiTokenRepository(executor, settings)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> AsyncGenerator[AsyncTenantTransaction]:
        """Give the repositories of the tenant inside of one transaction; see `ConversationStore.transaction`."""
        async with begin_async(self._executor, isolation, read_only) as executor:
            with inside(self._executor.source):
                yield AsyncTenantTransaction(executor, self._settings)


class AsyncTenantStore(AsyncTenantTransaction):
    """The repositories of one tenant, on asyncio; see `ConversationStore.for_tenant`."""

    async def run_in_transaction(
        self,
        function: Callable[[AsyncTenantTransaction], Awaitable[T]],
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
