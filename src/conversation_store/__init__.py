"""API tokens and conversation sessions of a RAG or chat backend in PostgreSQL, through reviewed SQL files."""

from conversation_store._batches import OnProgress
from conversation_store._executor import OnStatement
from conversation_store.api_tokens import ApiTokenRepository, AsyncApiTokenRepository
from conversation_store.conversations import AsyncConversationRepository, ConversationRepository
from conversation_store.dialogs import AsyncDialogRepository, DialogRepository
from conversation_store.errors import (
    AbortedTransaction,
    AlreadyExists,
    Conflict,
    ConversationNotFound,
    DialogNotEmpty,
    DialogNotFound,
    InvalidArgument,
    InvalidArgumentType,
    MigrationError,
    NotAppendable,
    NotFound,
    OutsideTransaction,
    QueryError,
    RoundConflict,
    StalePlan,
    StoreError,
    TokenNotFound,
)
from conversation_store.migrations import migrate, migrate_async
from conversation_store.models import (
    ApiToken,
    Conversation,
    ConversationName,
    CursorPage,
    DailyStats,
    DeletedTenant,
    Dialog,
    IssuedToken,
    Page,
)
from conversation_store.store import AsyncConversationStore, AsyncTransaction, ConversationStore, Transaction
from conversation_store.tenants import AsyncTenantRepository, TenantRepository

__all__ = [
    "AbortedTransaction",
    "AlreadyExists",
    "ApiToken",
    "ApiTokenRepository",
    "AsyncApiTokenRepository",
    "AsyncConversationRepository",
    "AsyncConversationStore",
    "AsyncDialogRepository",
    "AsyncTenantRepository",
    "AsyncTransaction",
    "Conflict",
    "Conversation",
    "ConversationName",
    "ConversationNotFound",
    "ConversationRepository",
    "ConversationStore",
    "CursorPage",
    "DailyStats",
    "DeletedTenant",
    "Dialog",
    "DialogNotEmpty",
    "DialogNotFound",
    "DialogRepository",
    "InvalidArgument",
    "InvalidArgumentType",
    "IssuedToken",
    "MigrationError",
    "NotAppendable",
    "NotFound",
    "OnProgress",
    "OnStatement",
    "OutsideTransaction",
    "Page",
    "QueryError",
    "RoundConflict",
    "StalePlan",
    "StoreError",
    "TenantRepository",
    "TokenNotFound",
    "Transaction",
    "migrate",
    "migrate_async",
]
