"""`conversations.delete_by_id`: one conversation is deleted with everything in it."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation
from support.stored import as_stored, positions


def test_a_deleted_conversation_is_no_longer_found(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    assert store.conversations.delete_by_id(id) == 1
    assert store.conversations.get_by_id(id) is None


def test_its_entries_are_deleted_with_it(store: Any, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=[1, 2], reference=[3]).id
    assert positions(db, id) == ([1, 2], [1])
    store.conversations.delete_by_id(id)
    assert positions(db, id) == ([], [])


def test_others_are_kept(store: Any, dialog: str) -> None:
    one, two = (store.conversations.save(dialog_id=dialog) for _ in range(2))
    store.conversations.delete_by_id(one.id)
    assert store.conversations.query(dialog_id=dialog) == [two]


def test_a_missing_conversation_returns_0(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    store.conversations.delete_by_id(id)
    assert store.conversations.delete_by_id(id) == 0


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_a_conversation_of_another_dialog_than_the_given_one_is_kept(store: Any, dialog: str, tenant: str) -> None:
    other = store.dialogs.save(id="other" + dialog, tenant_id=tenant).id
    saved = store.conversations.save(dialog_id=dialog)
    assert store.conversations.delete_by_id(saved.id, dialog_id=other) == 0
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_conversation_of_the_given_dialog_is_deleted(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    assert store.conversations.delete_by_id(id, dialog_id=dialog) == 1
    assert store.conversations.get_by_id(id) is None


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_deletes_nothing(
    store: Any, equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.delete_by_id(equal_ids[0].id)
    assert as_stored(store, equal_ids) == equal_ids


def test_only_the_conversation_of_the_given_tenant_is_deleted(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    assert store.conversations.delete_by_id(two.id, tenant_id=two.tenant_id) == 1
    assert as_stored(store, equal_ids) == [one, None]


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, tenant: str) -> None:
    own = "conversation.delete_by_id"
    assert statements_of(lambda s: s.conversations.delete_by_id("x")) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.delete_by_id("x", tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.delete_by_id("x")) == [own]
