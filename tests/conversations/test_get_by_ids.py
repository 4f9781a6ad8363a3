"""`conversations.get_by_ids`: the conversations with some ids."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation


@pytest.fixture
def saved(store: Any, dialog: str) -> list[Conversation]:
    """Save three conversations that differ in every document; return them in order of their ids."""
    saved: list[Conversation] = [
        store.conversations.save(dialog_id=dialog, message=[number], reference=[-number], dsl={"n": number})
        for number in range(3)
    ]
    return sorted(saved, key=lambda conversation: conversation.id)


def test_conversations_are_returned_in_order_of_their_ids(store: Any, saved: list[Conversation]) -> None:
    assert store.conversations.get_by_ids([saved[2].id, saved[0].id, saved[1].id]) == saved


def test_unknown_ids_are_skipped(store: Any, saved: list[Conversation]) -> None:
    assert store.conversations.get_by_ids(["nowhere", saved[1].id]) == [saved[1]]


def test_a_repeated_id_returns_its_conversation_once(store: Any, saved: list[Conversation]) -> None:
    assert store.conversations.get_by_ids([saved[0].id, saved[1].id, saved[0].id]) == saved[:2]


def test_the_ids_may_be_an_iterator(store: Any, saved: list[Conversation]) -> None:
    assert store.conversations.get_by_ids(conversation.id for conversation in saved) == saved


def test_no_ids_return_no_conversations(store: Any) -> None:
    assert store.conversations.get_by_ids([]) == []


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_conversations_of_another_dialog_than_the_given_one_are_left_out(
    store: Any, saved: list[Conversation], tenant: str
) -> None:
    other = store.dialogs.save(id="other" + tenant, tenant_id=tenant).id
    theirs = store.conversations.save(dialog_id=other)
    ids = [theirs.id, *(conversation.id for conversation in saved)]
    assert store.conversations.get_by_ids(ids, dialog_id=other) == [theirs]
    assert store.conversations.get_by_ids(ids, dialog_id=saved[0].dialog_id) == saved


def test_conversations_of_two_tenants_are_returned_in_order_of_their_ids(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    assert store.conversations.get_by_ids([c.id for c in reversed(in_two_tenants)]) == in_two_tenants


def test_an_id_that_two_tenants_have_raises_ambiguous_id(
    store: Any, saved: list[Conversation], equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.get_by_ids([saved[0].id, equal_ids[0].id, "nowhere"])


def test_of_an_id_that_two_tenants_have_the_conversation_of_the_given_one_is_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for wanted in equal_ids:
        assert store.conversations.get_by_ids([wanted.id], tenant_id=wanted.tenant_id) == [wanted]


def test_without_a_tenant_there_is_a_statement_for_each_that_has_an_id(
    statements_of: Any, in_two_tenants: list[Conversation], tenant: str
) -> None:
    ids, own = [c.id for c in in_two_tenants], "conversation.get_by_ids"
    assert statements_of(lambda s: s.conversations.get_by_ids(ids)) == ["conversation.find", own, own]
    assert statements_of(lambda s: s.conversations.get_by_ids(ids[:1])) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.get_by_ids(["nowhere"])) == ["conversation.find"]
    assert statements_of(lambda s: s.conversations.get_by_ids(ids, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_by_ids(ids)) == [own]
