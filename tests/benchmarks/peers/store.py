"""The store itself, by its public interface."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from conversation_store import (
    ApiToken,
    AsyncConversationStore,
    Conversation,
    ConversationStore,
    CursorPage,
    DailyStats,
    Page,
)


class Store:
    """A store of its own pool, or of what is given."""

    def __init__(self, conninfo: str | None, size: int = 1, **arguments: Any) -> None:
        self.store = ConversationStore(conninfo, min_size=size, max_size=size, **arguments)
        self.store.open()

    def close(self) -> None:
        self.store.close()

    def get_by_id(self, id: str, tenant: str) -> Conversation | None:
        return self.store.for_tenant(tenant).conversations.get_by_id(id)

    def authenticate(self, token: str) -> ApiToken | None:
        return self.store.tokens.authenticate(token)

    def first_page(self, dialog: str, tenant: str) -> Page:
        return self.store.for_tenant(tenant).conversations.get_list(dialog)

    def page_without_total(self, dialog: str, tenant: str) -> list[Conversation]:
        return self.store.for_tenant(tenant).conversations.get_list(dialog, total="none").sessions

    def next_page(self, dialog: str, tenant: str, cursor: str | None, *_: object) -> CursorPage:
        return self.store.for_tenant(tenant).conversations.list_after(dialog, cursor=cursor)

    def keyword(self, dialog: str, tenant: str, text: str) -> Page:
        return self.store.for_tenant(tenant).conversations.get_list(dialog, keywords=text)

    def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        return self.store.for_tenant(tenant).conversations.append_round(id, turn, tokens=40, duration=1.5)

    def update_scalars(self, id: str, tenant: str, thumb_up: int) -> int:
        return self.store.for_tenant(tenant).conversations.update_by_id(id, {"thumb_up": thumb_up})

    def stats(self, tenant: str, from_date: datetime, to_date: datetime) -> list[DailyStats]:
        return self.store.for_tenant(tenant).conversations.stats(from_date=from_date, to_date=to_date)

    def export(self, tenant: str) -> Iterator[str]:
        return self.store.for_tenant(tenant).conversations.export()


class AsyncStore:
    """The same on asyncio."""

    def __init__(self, conninfo: str, size: int = 1) -> None:
        self.store = AsyncConversationStore(conninfo, min_size=size, max_size=size)

    async def open(self) -> None:
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()

    async def get_by_id(self, id: str, tenant: str) -> Conversation | None:
        return await self.store.for_tenant(tenant).conversations.get_by_id(id)

    async def authenticate(self, token: str) -> ApiToken | None:
        return await self.store.tokens.authenticate(token)

    async def first_page(self, dialog: str, tenant: str) -> Page:
        return await self.store.for_tenant(tenant).conversations.get_list(dialog)

    async def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        return await self.store.for_tenant(tenant).conversations.append_round(id, turn, tokens=40, duration=1.5)
