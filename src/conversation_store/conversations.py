"""Conversations: the repositories, whose methods stand in two files of reads and of writes."""

from __future__ import annotations

from conversation_store._conversation_reads import ConversationReads
from conversation_store._conversation_writes import ConversationWrites
from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._operations import AsyncRepository, Repository


class ConversationRepository(ConversationReads, ConversationWrites, Repository):
    """Conversations, sync."""

    def __init__(self, executor: Executor, *, max_items_per_page: int = 1_000) -> None:
        super().__init__(executor)
        self._max_items_per_page = max_items_per_page


class AsyncConversationRepository(ConversationReads, ConversationWrites, AsyncRepository):
    """Conversations, on asyncio."""

    def __init__(self, executor: AsyncExecutor, *, max_items_per_page: int = 1_000) -> None:
        super().__init__(executor)
        self._max_items_per_page = max_items_per_page
