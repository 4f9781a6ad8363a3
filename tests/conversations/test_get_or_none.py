"""`conversations.get_or_none`: a conversation, if it belongs to a dialog."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, InvalidArgument


def test_a_conversation_of_the_dialog_is_returned(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=["x"], dsl={"a": 1})
    assert store.conversations.get_or_none(id=saved.id, dialog_id=dialog) == saved


@pytest.mark.parametrize("other_tenant", [False, True])
def test_a_conversation_of_another_dialog_returns_none(
    store: Any, dialog: str, tenant: str, other_tenant: bool
) -> None:
    owner = "other" + tenant if other_tenant else tenant
    other = store.dialogs.save(id="other" + dialog, tenant_id=owner).id
    saved = store.conversations.save(dialog_id=other)
    assert store.conversations.get_or_none(id=saved.id, dialog_id=dialog) is None


def test_an_unknown_id_returns_none(store: Any, dialog: str) -> None:
    store.conversations.save(dialog_id=dialog)
    assert store.conversations.get_or_none(id="nowhere", dialog_id=dialog) is None


@pytest.mark.parametrize("argument", ["id", "dialog_id"])
def test_an_empty_id_raises_and_is_not_taken_for_no_filter(store: Any, argument: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{argument} must be given and not be empty"):
        store.conversations.get_or_none(**{"id": "x", "dialog_id": "x", argument: ""})


def test_an_id_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.get_or_none(id=equal_ids[0].id, dialog_id=equal_ids[0].dialog_id)


def test_of_an_id_that_two_tenants_have_the_conversation_of_the_given_one_is_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for kept in equal_ids:
        keys = {"id": kept.id, "dialog_id": kept.dialog_id, "tenant_id": kept.tenant_id}
        assert store.conversations.get_or_none(**keys) == kept


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, dialog: str, tenant: str) -> None:
    keys, own = {"id": "x", "dialog_id": dialog}, "conversation.get_by_id"
    assert statements_of(lambda s: s.conversations.get_or_none(**keys)) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.get_or_none(**keys, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_or_none(**keys)) == [own]
