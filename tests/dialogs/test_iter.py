"""`dialogs.iter`: any number of dialogs in order of the tenants and the ids, a batch at a time."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, InvalidArgument
from support.both_apis import AsyncApi, SyncApi


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


def test_without_a_filter_the_dialogs_of_all_tenants_are_returned_in_order_of_the_tenants_and_ids(
    store: Any, tenant: str, ids: list[str]
) -> None:
    other = store.dialogs.save(id="before" + tenant, tenant_id="other" + tenant).id
    found = [(dialog.tenant_id, dialog.id) for dialog in store.dialogs.iter()]
    assert found == sorted(found)
    assert {*((tenant, id) for id in ids), ("other" + tenant, other)} <= set(found)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_dialogs_with_the_same_id_under_two_tenants_are_each_returned_once(
    api: SyncApi | AsyncApi, database: str, batch_size: int
) -> None:
    keys = [(tenant, id) for tenant in ("t", "u", "v") for id in ("a", "b", "c")]
    with api.store(database) as store:
        store.dialogs.insert_many({"id": id, "tenant_id": tenant} for tenant, id in reversed(keys))
        found = [(dialog.tenant_id, dialog.id) for dialog in store.dialogs.iter(batch_size=batch_size)]
    assert found == keys


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_is_returned_of_the_named_one(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}'"):
        list(store.dialogs.iter(id=dialog))
    for owner in (tenant, other_tenant):
        assert [found.tenant_id for found in store.dialogs.iter(id=dialog, tenant_id=owner)] == [owner]
        assert [found.tenant_id for found in store.for_tenant(owner).dialogs.iter(id=dialog)] == [owner]


def test_an_invalid_batch_size_raises_at_the_call_and_not_at_the_first_dialog(store: Any) -> None:
    with pytest.raises(InvalidArgument, match="batch_size must be at least 1, not 0"):
        store.dialogs.iter(batch_size=0)
