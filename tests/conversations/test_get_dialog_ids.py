"""`conversations.get_dialog_ids`: the dialog of each of some conversations."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation


def test_each_known_id_is_returned_with_its_dialog(store: Any, dialog: str, tenant: str) -> None:
    second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
    one, two = (store.conversations.save(dialog_id=dialog).id for _ in range(2))
    three = store.conversations.save(dialog_id=second).id
    assert store.conversations.get_dialog_ids([three, one, two, one]) == {one: dialog, two: dialog, three: second}


def test_unknown_ids_are_skipped(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    assert store.conversations.get_dialog_ids(["nowhere", id]) == {id: dialog}


def test_no_ids_return_no_dialogs(store: Any) -> None:
    assert store.conversations.get_dialog_ids([]) == {}


def test_conversations_of_two_tenants_are_returned_in_order_of_their_ids(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    found = store.conversations.get_dialog_ids([c.id for c in reversed(in_two_tenants)])
    assert list(found.items()) == [(c.id, c.dialog_id) for c in in_two_tenants]


def test_an_id_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.get_dialog_ids([equal_ids[0].id])


def test_conversations_of_another_tenant_than_the_given_one_are_skipped(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    ids, wanted = [c.id for c in in_two_tenants], in_two_tenants[1]
    assert store.conversations.get_dialog_ids(ids, tenant_id=wanted.tenant_id) == {wanted.id: wanted.dialog_id}


def test_without_a_tenant_there_is_a_statement_for_each_that_has_an_id(
    statements_of: Any, in_two_tenants: list[Conversation], tenant: str
) -> None:
    ids, own = [c.id for c in in_two_tenants], "conversation.get_dialog_ids"
    assert statements_of(lambda s: s.conversations.get_dialog_ids(ids)) == ["conversation.find", own, own]
    assert statements_of(lambda s: s.conversations.get_dialog_ids(ids, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_dialog_ids(ids)) == [own]
