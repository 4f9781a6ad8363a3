"""`conversations.get_dialog_ids`: the dialog of each of some conversations."""

from __future__ import annotations

from typing import Any


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
