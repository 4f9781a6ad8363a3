"""Conversations: the repositories, whose methods stand in eight files of what they do."""

from __future__ import annotations

from conversation_store._conversation_appends import ConversationAppends
from conversation_store._conversation_deletes import ConversationDeletes
from conversation_store._conversation_entries import ConversationEntries
from conversation_store._conversation_lists import ConversationLists
from conversation_store._conversation_reads import ConversationReads
from conversation_store._conversation_search import ConversationSearch
from conversation_store._conversation_walks import ConversationWalks
from conversation_store._conversation_writes import ConversationWrites
from conversation_store._operations import AsyncRepository, Methods, Repository


class _Conversations(
    ConversationReads,
    ConversationWalks,
    ConversationEntries,
    ConversationLists,
    ConversationSearch,
    ConversationWrites,
    ConversationAppends,
    ConversationDeletes,
    Methods,
):
    """The methods of both repositories."""


class ConversationRepository(_Conversations, Repository):
    """Conversations, sync."""


class AsyncConversationRepository(_Conversations, AsyncRepository):
    """Conversations, on asyncio."""
