"""`conversations.update_by_id`: given fields are applied, and the round is left as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conversation_store import InvalidArgument


def test_given_fields_are_changed_and_the_round_is_kept(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1, 2], round=5, dsl={"a": 1})
    changes: dict[str, Any] = {"message": [1, 3, 4], "name": "n", "thumb_up": 1}
    assert store.conversations.update_by_id(saved.id, changes) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, **changes, update_date=read.update_date)


def test_a_whole_row_as_read_is_accepted(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], round=5)
    assert store.conversations.update_by_id(saved.id, saved.to_dict() | {"errors": "e"}) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read == replace(saved, errors="e", update_date=read.update_date)


def test_a_missing_conversation_returns_0(store: Any) -> None:
    assert store.conversations.update_by_id("nowhere", {"name": "n"}) == 0


def test_an_unknown_key_raises_invalid_argument_and_changes_nothing(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    with pytest.raises(InvalidArgument, match="unknown: 'nothing'"):
        store.conversations.update_by_id(saved.id, {"name": "n", "nothing": 1})
    assert store.conversations.get_by_id(saved.id) == saved
