"""API tokens and conversation sessions of a RAG or chat backend in PostgreSQL, through reviewed SQL files."""

from conversation_store._bulk import OnProgress
from conversation_store._migrate import migrate
from conversation_store._pages import Page, Slice
from conversation_store._rows import Conversation, ConversationName, DailyStats
from conversation_store._runner import OnStatement
from conversation_store.api_tokens import ApiToken, ApiTokenRepository, AsyncApiTokenRepository, IssuedToken
from conversation_store.conversations import AsyncConversationRepository, ConversationRepository
from conversation_store.dialogs import AsyncDialogRepository, Dialog, DialogRepository
from conversation_store.errors import (
    AbortedTransaction,
    AlreadyExists,
    Conflict,
    ConversationNotFound,
    DialogNotEmpty,
    DialogNotFound,
    MigrationError,
    NotFound,
    OutsideTransaction,
    QueryError,
    RoundConflict,
    StalePlan,
    StoreError,
    TokenNotFound,
)
from conversation_store.store import AsyncConversationStore, AsyncTransaction, ConversationStore, Transaction
from conversation_store.tenants import AsyncTenantRepository, DeletedTenant, TenantRepository

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
    "DailyStats",
    "DeletedTenant",
    "Dialog",
    "DialogNotEmpty",
    "DialogNotFound",
    "DialogRepository",
    "IssuedToken",
    "MigrationError",
    "NotFound",
    "OnProgress",
    "OnStatement",
    "OutsideTransaction",
    "Page",
    "QueryError",
    "RoundConflict",
    "Slice",
    "StalePlan",
    "StoreError",
    "TenantRepository",
    "TokenNotFound",
    "Transaction",
    "migrate",
]
