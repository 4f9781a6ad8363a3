"""`conversations.get_by_ids`: the conversations with some ids."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import Conversation


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
