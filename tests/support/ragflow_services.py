"""Calls of the services under their names in RAGFlow, as tests of several modules make them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeAlias

from conversation_store.ragflow.services import API4Conversation, API4ConversationService

Configure: TypeAlias = Callable[..., None]


def new_id() -> str:
    """Return an id that no row has."""
    return uuid.uuid4().hex


def read(id: Any) -> API4Conversation:
    """Return the conversation with this id."""
    exists, row = API4ConversationService.get_by_id(id)
    assert exists
    assert row is not None
    return row


def listed(dialog_id: Any, tenant_id: Any, **arguments: Any) -> tuple[int, list[dict[str, Any]]]:
    """Return the first page of a dialog's conversations, or as the arguments say."""
    defaults: dict[str, Any] = {"page_number": 1, "items_per_page": 30, "orderby": "create_date", "desc": True}
    return API4ConversationService.get_list(dialog_id, tenant_id, **{**defaults, **arguments})
