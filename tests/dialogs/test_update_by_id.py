"""`dialogs.update_by_id`: the name of one dialog is changed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conversation_store import NOT_READ, AmbiguousId, InvalidArgument
from support.statements import store_without_server


def test_the_name_is_changed(store: Any, dialog: str) -> None:
    before = store.dialogs.get_by_id(dialog)
    assert store.dialogs.update_by_id(dialog, {"name": "two"}) == 1
    changed = store.dialogs.get_by_id(dialog)
    assert changed.name == "two"
    assert changed.update_date > before.update_date


def test_a_name_of_none_removes_the_name(store: Any, tenant: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant, name="one").id
    assert store.dialogs.update_by_id(dialog, {"name": None}) == 1
    assert store.dialogs.get_by_id(dialog).name is None


def test_without_a_name_the_name_is_kept(store: Any, tenant: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant, name="one").id
    assert store.dialogs.update_by_id(dialog, {}) == 1
    assert store.dialogs.get_by_id(dialog).name == "one"


def test_the_dates_of_a_whole_row_are_ignored(store: Any, dialog: str, tenant: str) -> None:
    before = store.dialogs.get_by_id(dialog)
    row = before.to_dict() | {"name": "two", "create_date": "2001-01-01"}
    assert store.dialogs.update_by_id(dialog, row) == 1
    changed = store.dialogs.get_by_id(dialog)
    assert (changed.name, changed.tenant_id, changed.create_date) == ("two", tenant, before.create_date)


def test_the_tenant_of_a_row_is_that_of_the_call(store: Any, dialog: str, tenant: str) -> None:
    row = {**store.dialogs.get_by_id(dialog).to_dict(), "name": NOT_READ}
    assert store.dialogs.update_by_id(dialog, row) == 1
    for other in ({"tenant_id": "other"}, {"tenant_id": tenant, "dialog": {**row, "tenant_id": "other"}}):
        call = {"dialog": row, **other}
        with pytest.raises(InvalidArgument, match=r"^dialog\['tenant_id'\] must be '.*' or be left out, not"):
            store.dialogs.update_by_id(dialog, **call)
    assert store.dialogs.update_by_id(dialog, {**row, "tenant_id": "other"}) == 0


def test_a_missing_dialog_returns_0(store: Any) -> None:
    assert store.dialogs.update_by_id(uuid.uuid4().hex, {"name": "x"}) == 0


def test_other_dialogs_are_not_changed(store: Any, dialog: str, tenant: str) -> None:
    other = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant, name="other")
    store.dialogs.update_by_id(dialog, {"name": "two"})
    assert store.dialogs.get_by_id(other.id) == other


def test_a_dialog_of_another_tenant_returns_0_and_is_not_changed(store: Any, dialog: str, tenant: str) -> None:
    before = store.dialogs.get_by_id(dialog)
    assert store.dialogs.update_by_id(dialog, {"name": "two"}, tenant_id="other" + tenant) == 0
    assert store.for_tenant("other" + tenant).dialogs.update_by_id(dialog, {"name": "two"}) == 0
    assert store.dialogs.get_by_id(dialog) == before


def test_of_two_tenants_with_the_same_id_only_the_dialog_of_the_named_one_is_changed(
    store: Any, dialog: str, tenant: str, other_tenant: str
) -> None:
    before = store.dialogs.get_by_id(dialog, tenant_id=other_tenant)
    assert store.dialogs.update_by_id(dialog, {"name": "two"}, tenant_id=tenant) == 1
    assert store.dialogs.get_by_id(dialog, tenant_id=tenant).name == "two"
    assert store.dialogs.get_by_id(dialog, tenant_id=other_tenant) == before
    assert store.for_tenant(other_tenant).dialogs.update_by_id(dialog, {"name": "three"}) == 1
    assert store.dialogs.get_by_id(dialog, tenant_id=tenant).name == "two"


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_changes_neither(
    store: Any, dialog: str, tenant: str, other_tenant: str
) -> None:
    before = [store.dialogs.get_by_id(dialog, tenant_id=owner) for owner in (tenant, other_tenant)]
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}'"):
        store.dialogs.update_by_id(dialog, {"name": "two"})
    assert [store.dialogs.get_by_id(dialog, tenant_id=owner) for owner in (tenant, other_tenant)] == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "other"}, r"dialog\['id'\] must be the id of the dialog or be left out"),
        ({"nothing": 1}, "dialog must have keys among id, tenant_id, name, .*; unknown: 'nothing'"),
        ({"name": "\0"}, r"dialog\['name'\] must not contain U\+0000"),
    ],
)
def test_invalid_changes_are_rejected_before_any_statement(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        store_without_server().dialogs.update_by_id("d", changes)
