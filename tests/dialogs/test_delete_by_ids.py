"""`dialogs.delete_by_ids`: dialogs without conversations, all of them or none, with their tokens."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import DialogNotEmpty


@pytest.fixture
def ids(store: Any, tenant: str) -> list[str]:
    """Give the ids of the tenant's three dialogs."""
    ids = [f"{tenant}{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    return ids


def test_the_dialogs_are_deleted_and_counted_and_missing_ones_skipped(store: Any, tenant: str, ids: list[str]) -> None:
    assert store.dialogs.delete_by_ids([*ids[1:], "missing" + tenant]) == 2
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == ids[:1]


def test_an_empty_list_deletes_nothing(store: Any) -> None:
    assert store.dialogs.delete_by_ids([]) == 0


def test_one_dialog_with_conversations_raises_dialog_not_empty_and_deletes_none(
    store: Any, tenant: str, ids: list[str]
) -> None:
    store.conversations.save(dialog_id=ids[2])
    with pytest.raises(DialogNotEmpty, match="has conversations"):
        store.dialogs.delete_by_ids(ids)
    assert len(store.dialogs.query(tenant_id=tenant)) == 3


def test_with_a_tenant_id_only_its_dialogs_are_deleted(store: Any, tenant: str, ids: list[str]) -> None:
    other = store.dialogs.save(id="other" + tenant, tenant_id="other" + tenant).id
    assert store.dialogs.delete_by_ids([*ids, other], tenant_id="other" + tenant) == 1
    assert store.dialogs.delete_by_ids([*ids, other], tenant_id=tenant) == 3


def test_only_the_tokens_bound_to_the_dialogs_are_deleted(store: Any, tenant: str, ids: list[str]) -> None:
    tokens = [store.tokens.issue(tenant_id=tenant, dialog_id=id) for id in (ids[0], ids[1], None)]
    store.dialogs.delete_by_ids(ids[1:])
    assert {token.id for token in store.tokens.query(tenant_id=tenant)} == {tokens[0].id, tokens[2].id}
