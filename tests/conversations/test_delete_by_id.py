"""`conversations.delete_by_id`: one conversation is deleted with everything in it."""

from __future__ import annotations

from typing import Any

from support.stored import positions


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
