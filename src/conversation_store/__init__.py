"""API tokens and conversation sessions of a RAG or chat backend in PostgreSQL, through reviewed SQL files."""

from conversation_store._migrate import migrate
from conversation_store._statement import OnStatement
from conversation_store.api_tokens import ApiToken, ApiTokenRepository, AsyncApiTokenRepository, IssuedToken
from conversation_store.conversations import (
    AsyncConversationRepository,
    Conversation,
    ConversationName,
    ConversationRepository,
    DailyStats,
    Page,
)
from conversation_store.dialogs import AsyncDialogRepository, Dialog, DialogRepository
from conversation_store.errors import (
    AlreadyExists,
    Conflict,
    ConversationNotFound,
    DialogNotFound,
    MigrationError,
    NotFound,
    QueryError,
    RoundConflict,
    StalePlan,
    StoreError,
    TokenNotFound,
)
from conversation_store.store import AsyncConversationStore, AsyncTransaction, ConversationStore, Transaction

__all__ = [
    "AlreadyExists",
    "ApiToken",
    "ApiTokenRepository",
    "AsyncApiTokenRepository",
    "AsyncConversationRepository",
    "AsyncConversationStore",
    "AsyncDialogRepository",
    "AsyncTransaction",
    "Conflict",
    "Conversation",
    "ConversationName",
    "ConversationNotFound",
    "ConversationRepository",
    "ConversationStore",
    "DailyStats",
    "Dialog",
    "DialogNotFound",
    "DialogRepository",
    "IssuedToken",
    "MigrationError",
    "NotFound",
    "OnStatement",
    "Page",
    "QueryError",
    "RoundConflict",
    "StalePlan",
    "StoreError",
    "TokenNotFound",
    "Transaction",
    "migrate",
]
