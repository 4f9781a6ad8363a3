"""`dialogs.get_by_ids`: dialogs in order of their ids."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId
from support.both_apis import AsyncApi, SyncApi


def test_dialogs_are_returned_once_in_order_of_the_ids_and_missing_ones_skipped(store: Any, tenant: str) -> None:
    ids = [f"{tenant}{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    found = store.dialogs.get_by_ids([ids[2], "missing" + tenant, *ids])
    assert [dialog.id for dialog in found] == ids


def test_an_empty_list_returns_no_dialogs(store: Any) -> None:
    assert store.dialogs.get_by_ids([]) == []


def test_dialogs_of_two_tenants_are_returned_in_order_of_the_ids_by_one_statement_a_tenant(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    ids = [f"{tenant}{number}" for number in range(4)]
    owners = [tenant, "other" + tenant] * 2
    names: list[str] = []
    with api.store(db, on_statement=lambda name, *_: names.append(name)) as store:
        store.dialogs.insert_many({"id": id, "tenant_id": of} for id, of in zip(ids, owners, strict=True))
        names.clear()
        found = store.dialogs.get_by_ids([*reversed(ids), "missing" + tenant])
    assert [(dialog.id, dialog.tenant_id) for dialog in found] == list(zip(ids, owners, strict=True))
    assert names == ["dialog.find", "dialog.get_by_ids", "dialog.get_by_ids"]


def test_with_a_tenant_only_its_dialogs_are_returned(store: Any, tenant: str, dialog: str, other_tenant: str) -> None:
    theirs = store.dialogs.save(id="theirs" + tenant, tenant_id=other_tenant).id
    for owner, ids in ((tenant, [dialog]), (other_tenant, [dialog, theirs])):
        for found in (
            store.dialogs.get_by_ids([theirs, dialog], tenant_id=owner),
            store.for_tenant(owner).dialogs.get_by_ids([theirs, dialog]),
        ):
            assert [(dialog.id, dialog.tenant_id) for dialog in found] == [(id, owner) for id in ids]


def test_one_id_that_two_tenants_have_raises_ambiguous_id(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    mine = store.dialogs.save(id="mine" + tenant, tenant_id=tenant).id
    assert other_tenant
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}'"):
        store.dialogs.get_by_ids([mine, dialog])
