"""`dialogs.get_by_id`: one dialog, or None."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conversation_store import AmbiguousId
from support.both_apis import AsyncApi, SyncApi


def test_the_dialog_is_returned(store: Any, tenant: str, dialog: str) -> None:
    found = store.dialogs.get_by_id(dialog)
    assert (found.id, found.tenant_id, found.name) == (dialog, tenant, None)


def test_a_missing_dialog_is_none(store: Any) -> None:
    assert store.dialogs.get_by_id(uuid.uuid4().hex) is None


def test_a_dialog_of_another_tenant_is_none(store: Any, tenant: str, dialog: str) -> None:
    assert store.dialogs.get_by_id(dialog, tenant_id="other" + tenant) is None
    assert store.for_tenant("other" + tenant).dialogs.get_by_id(dialog) is None


def test_of_two_tenants_with_the_same_id_the_dialog_of_the_named_one_is_returned(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    for owner, name in ((tenant, None), (other_tenant, "theirs")):
        found = store.dialogs.get_by_id(dialog, tenant_id=owner)
        assert (found.id, found.tenant_id, found.name) == (dialog, owner, name)
        assert store.for_tenant(owner).dialogs.get_by_id(dialog) == found


def test_an_id_that_two_tenants_have_raises_ambiguous_id(store: Any, dialog: str, other_tenant: str) -> None:
    assert other_tenant
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}': give tenant_id, or use for_tenant"):
        store.dialogs.get_by_id(dialog)


def test_only_a_call_without_a_tenant_finds_it_by_a_statement_of_its_own(
    api: SyncApi | AsyncApi, db: str, tenant: str, dialog: str
) -> None:
    names: list[str] = []
    with api.store(db, on_statement=lambda name, *_: names.append(name)) as store:
        store.dialogs.get_by_id(dialog)
        assert names == ["dialog.find", "dialog.get_by_id"]
        names.clear()
        store.dialogs.get_by_id(dialog, tenant_id=tenant)
        store.for_tenant(tenant).dialogs.get_by_id(dialog)
        assert names == ["dialog.get_by_id"] * 2
