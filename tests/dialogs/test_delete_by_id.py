"""`dialogs.delete_by_id`: one dialog without conversations, with its tokens."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import ConversationStore, DialogNotEmpty
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind


def test_a_dialog_is_deleted(store: Any, dialog: str) -> None:
    assert store.dialogs.delete_by_id(dialog) == 1
    assert store.dialogs.get_by_id(dialog) is None


def test_a_missing_dialog_returns_0(store: Any, dialog: str) -> None:
    assert store.dialogs.delete_by_id("missing" + dialog) == 0


def test_a_dialog_with_conversations_raises_dialog_not_empty_and_is_kept(store: Any, dialog: str) -> None:
    store.conversations.save(dialog_id=dialog)
    with pytest.raises(DialogNotEmpty, match="the dialog has conversations; delete them first"):
        store.dialogs.delete_by_id(dialog)
    assert store.dialogs.get_by_id(dialog) is not None


def test_a_dialog_is_deleted_once_its_conversations_are(store: Any, dialog: str) -> None:
    conversation = store.conversations.save(dialog_id=dialog)
    assert store.conversations.delete_by_id(conversation.id) == 1
    assert store.dialogs.delete_by_id(dialog) == 1


def test_only_the_tokens_bound_to_the_dialog_are_deleted(store: Any, tenant: str, dialog: str) -> None:
    store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    for_all = store.tokens.issue(tenant_id=tenant)
    store.dialogs.delete_by_id(dialog)
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [for_all.id]


def test_a_successor_issued_while_the_deletion_waits_is_deleted_too(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, dialog: str
) -> None:
    id = store.tokens.issue(tenant_id=tenant, dialog_id=dialog).id
    deleted = call_behind(
        api,
        db,
        store,
        lambda s: s.dialogs.delete_by_id(dialog),
        first=lambda writer: ConversationStore(connection=writer).tokens.rotate(id, tenant_id=tenant),
    )
    assert deleted == 1
    assert store.tokens.query(tenant_id=tenant) == []
