"""Conversations: the repositories, whose methods stand in two files of reads and of writes."""

from __future__ import annotations

from conversation_store._conversation_reads import ConversationReads
from conversation_store._conversation_writes import ConversationWrites
from conversation_store._operations import AsyncRepository, Repository


class ConversationRepository(ConversationReads, ConversationWrites, Repository):
    """Conversations, sync."""


class AsyncConversationRepository(ConversationReads, ConversationWrites, AsyncRepository):
    """Conversations, on asyncio."""
