"""`dialogs.save`: a dialog is inserted, or its name updated."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conversation_store import InvalidArgument
from support.both_apis import SyncApi
from support.statements import store_without_server


def test_a_new_dialog_is_stored_as_returned(store: Any, tenant: str) -> None:
    id = uuid.uuid4().hex
    saved = store.dialogs.save(id=id, tenant_id=tenant, name="one")
    assert (saved.id, saved.tenant_id, saved.name) == (id, tenant, "one")
    assert store.dialogs.get_by_id(id) == saved


def test_without_a_name_the_stored_name_is_kept(store: Any, tenant: str) -> None:
    id = uuid.uuid4().hex
    store.dialogs.save(id=id, tenant_id=tenant, name="one")
    assert store.dialogs.save(id=id, tenant_id=tenant).name == "one"


def test_a_new_name_replaces_the_stored_one_and_changes_only_the_update_date(store: Any, tenant: str) -> None:
    id = uuid.uuid4().hex
    saved = store.dialogs.save(id=id, tenant_id=tenant, name="one")
    renamed = store.dialogs.save(id=id, tenant_id=tenant, name="two")
    assert (renamed.name, renamed.create_date) == ("two", saved.create_date)
    assert renamed.update_date > saved.update_date
    assert store.dialogs.get_by_id(id) == renamed


def test_the_id_of_a_dialog_of_another_tenant_is_that_of_a_new_dialog_and_the_other_is_not_changed(
    store: Any, tenant: str, dialog: str
) -> None:
    before = store.dialogs.get_by_id(dialog)
    saved = store.dialogs.save(id=dialog, tenant_id="other" + tenant, name="mine")
    assert (saved.id, saved.tenant_id, saved.name) == (dialog, "other" + tenant, "mine")
    assert store.dialogs.get_by_id(dialog, tenant_id="other" + tenant) == saved
    assert store.dialogs.get_by_id(dialog, tenant_id=tenant) == before


def test_of_two_tenants_with_the_same_id_only_the_dialog_of_the_named_one_is_renamed(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    before = store.dialogs.get_by_id(dialog, tenant_id=other_tenant)
    renamed = store.for_tenant(tenant).dialogs.save(id=dialog, name="mine")
    assert (renamed.tenant_id, renamed.name) == (tenant, "mine")
    assert store.dialogs.get_by_id(dialog, tenant_id=tenant) == renamed
    assert store.dialogs.get_by_id(dialog, tenant_id=other_tenant) == before


def test_without_a_tenant_the_call_is_rejected_even_where_a_tenant_has_the_id() -> None:
    with pytest.raises(InvalidArgument, match=r"tenant_id must be given, or the store be bound .* by for_tenant"):
        store_without_server().dialogs.save(id="d")


def test_concurrent_calls_with_the_same_new_id_all_return_the_dialog(db: str, tenant: str) -> None:
    """In the sync API alone: the lock is the statement's, and two threads meet more often than two tasks."""
    api = SyncApi()
    with api.store(db, min_size=2, max_size=2) as store:
        for number in range(200):
            id = f"{tenant}{number}"
            results = api.together(store, [lambda s: s.dialogs.save(id=id, tenant_id=tenant)] * 2)
            assert [getattr(result, "id", result) for result in results] == [id] * 2
