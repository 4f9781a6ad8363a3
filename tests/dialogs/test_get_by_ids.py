"""`dialogs.get_by_ids`: dialogs in order of their ids."""

from __future__ import annotations

from typing import Any


def test_dialogs_are_returned_once_in_order_of_the_ids_and_missing_ones_skipped(store: Any, tenant: str) -> None:
    ids = [f"{tenant}{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    found = store.dialogs.get_by_ids([ids[2], "missing" + tenant, *ids])
    assert [dialog.id for dialog in found] == ids


def test_an_empty_list_returns_no_dialogs(store: Any) -> None:
    assert store.dialogs.get_by_ids([]) == []
