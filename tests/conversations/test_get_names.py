"""`conversations.get_names`: ids and names of one explorer user's conversations in a dialog."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import ConversationName


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


def test_names_of_other_dialogs_are_left_out(
    store: Any, dialog: str, tenant: str, names: list[ConversationName]
) -> None:
    second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
    other = store.conversations.save(dialog_id=second, exp_user_id="e").id
    assert store.conversations.get_names(second, "e") == [ConversationName(id=other, name=None)]


def test_an_unknown_user_has_no_names(store: Any, dialog: str, names: list[ConversationName]) -> None:
    assert store.conversations.get_names(dialog, "nobody") == []
