"""RAGFlow's services of API tokens and API conversations under their old names, on a `ConversationStore`.

`configure(store)` comes first. Callers of `APITokenService`, `API4ConversationService`, `APIToken` and
`API4Conversation` change one import; `RAGFLOW.md` says what differs.
"""

from conversation_store.models import NO_SOURCE
from conversation_store.ragflow._conversation_rows import API4Conversation
from conversation_store.ragflow._conversations import API4ConversationService
from conversation_store.ragflow._settings import configure
from conversation_store.ragflow._token_rows import APIToken
from conversation_store.ragflow._tokens import APITokenService

__all__ = [
    "NO_SOURCE",
    "API4Conversation",
    "API4ConversationService",
    "APIToken",
    "APITokenService",
    "configure",
]
