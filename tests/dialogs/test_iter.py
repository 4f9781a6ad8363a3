"""`dialogs.iter`: any number of dialogs in order of the ids, a batch at a time."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import InvalidArgument


@pytest.fixture
def ids(store: Any, tenant: str) -> list[str]:
    """Give the ids of the tenant's seven dialogs, in order."""
    ids = [f"{tenant}{number}" for number in range(7)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in reversed(ids)])
    return ids


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8])
def test_each_dialog_of_a_tenant_comes_once_in_order_whatever_the_batch_size(
    store: Any, tenant: str, ids: list[str], batch_size: int
) -> None:
    assert [dialog.id for dialog in store.dialogs.iter(tenant_id=tenant, batch_size=batch_size)] == ids


def test_a_tenant_without_dialogs_gives_none(store: Any, tenant: str) -> None:
    assert list(store.dialogs.iter(tenant_id=tenant)) == []


def test_with_an_id_only_that_dialog_is_returned(store: Any, ids: list[str]) -> None:
    assert [dialog.id for dialog in store.dialogs.iter(id=ids[3])] == [ids[3]]


def test_with_an_id_of_another_tenant_no_dialog_is_returned(store: Any, tenant: str, dialog: str) -> None:
    assert list(store.dialogs.iter(id=dialog, tenant_id="other" + tenant)) == []


def test_without_a_filter_the_dialogs_of_all_tenants_are_returned_in_order(
    store: Any, tenant: str, ids: list[str]
) -> None:
    other = store.dialogs.save(id="other" + tenant, tenant_id="other" + tenant).id
    found = [dialog.id for dialog in store.dialogs.iter()]
    assert found == sorted(found)
    assert {*ids, other} <= set(found)


def test_an_invalid_batch_size_raises_at_the_call_and_not_at_the_first_dialog(store: Any) -> None:
    with pytest.raises(InvalidArgument, match="batch_size must be at least 1, not 0"):
        store.dialogs.iter(batch_size=0)
