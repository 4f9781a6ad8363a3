"""`conversations.get_names`: ids and names of one explorer user's conversations in a dialog."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, ConversationName


@pytest.fixture
def names(store: Any, dialog: str) -> list[ConversationName]:
    """Save three conversations of the user 'e' and one of another; return the three names, newest first."""
    store.conversations.insert_many(
        {
            "id": f"{dialog}{i}",
            "dialog_id": dialog,
            "name": f"n{i}",
            "exp_user_id": user,
            "create_date": f"2024-01-0{i}",
        }
        for i, user in ((1, "e"), (2, "other"), (3, "e"), (4, "e"))
    )
    return [ConversationName(id=f"{dialog}{i}", name=f"n{i}") for i in (4, 3, 1)]


def test_the_names_of_one_user_are_returned_newest_first(
    store: Any, dialog: str, names: list[ConversationName]
) -> None:
    assert store.conversations.get_names(dialog, "e") == names


def test_the_limit_keeps_the_newest(store: Any, dialog: str, names: list[ConversationName]) -> None:
    assert store.conversations.get_names(dialog, "e", limit=2) == names[:2]


@pytest.mark.parametrize(("limit", "has_more"), [(0, True), (2, True), (3, False), (4, False)])
def test_has_more_says_whether_there_are_more_than_the_limit(
    store: Any, dialog: str, names: list[ConversationName], limit: int, has_more: bool
) -> None:
    found = store.conversations.get_names(dialog, "e", limit=limit)
    assert (found, found.has_more) == (names[:limit], has_more)


def test_names_of_other_dialogs_are_left_out(
    store: Any, dialog: str, tenant: str, names: list[ConversationName]
) -> None:
    second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
    other = store.conversations.save(dialog_id=second, exp_user_id="e").id
    assert store.conversations.get_names(second, "e") == [ConversationName(id=other, name=None)]


def test_an_unknown_user_has_no_names(store: Any, dialog: str, names: list[ConversationName]) -> None:
    assert store.conversations.get_names(dialog, "nobody") == []


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        store.conversations.get_names(equal_ids[0].dialog_id, "e")


def test_of_a_dialog_that_two_tenants_have_the_names_of_the_given_one_are_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    one, two = equal_ids
    store.conversations.update_by_id(two.id, {"name": "second"}, tenant_id=two.tenant_id)
    for kept, name in ((one, None), (two, "second")):
        found = store.conversations.get_names(kept.dialog_id, "e", tenant_id=kept.tenant_id)
        assert found == [ConversationName(id=kept.id, name=name)]


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.get_names"
    assert statements_of(lambda s: s.conversations.get_names(dialog, "e")) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.get_names(dialog, "e", tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_names(dialog, "e")) == [own]
