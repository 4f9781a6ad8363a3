"""`dialogs.insert_many`: new dialogs, all of them or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversation_store import AlreadyExists, InvalidArgument, InvalidArgumentType
from support.statements import store_without_server

ROW = {"id": "d", "tenant_id": "t"}


def insert(store: Any, tenant: str, **fields: object) -> Any:
    """Insert one dialog of the tenant, and return it as it is stored."""
    assert store.dialogs.insert_many([{"id": "d" + tenant, "tenant_id": tenant, **fields}]) == 1
    return store.dialogs.get_by_id("d" + tenant)


def test_the_dialogs_of_any_iterable_are_inserted_and_counted(store: Any, tenant: str) -> None:
    ids = [f"{tenant}{number}" for number in range(3)]
    assert store.dialogs.insert_many({"id": id, "tenant_id": tenant} for id in ids) == 3
    assert [(dialog.id, dialog.tenant_id) for dialog in store.dialogs.get_by_ids(ids)] == [(id, tenant) for id in ids]


def test_an_empty_list_inserts_nothing(store: Any) -> None:
    assert store.dialogs.insert_many([]) == 0


def test_a_name_is_stored_as_given(store: Any, tenant: str) -> None:
    assert insert(store, tenant, name='a,"b\\{}').name == 'a,"b\\{}'


def test_without_a_name_the_name_is_none(store: Any, tenant: str) -> None:
    assert insert(store, tenant).name is None


def test_the_update_date_is_the_create_date_by_default(store: Any, tenant: str) -> None:
    dialog = insert(store, tenant, create_date="2024-01-01")
    assert dialog.create_date == dialog.update_date == datetime(2024, 1, 1, tzinfo=UTC)


def test_both_dates_may_be_given(store: Any, tenant: str) -> None:
    dialog = insert(store, tenant, create_date="2024-01-01", update_date=datetime(2024, 1, 2, tzinfo=UTC))
    assert (dialog.create_date.day, dialog.update_date) == (1, datetime(2024, 1, 2, tzinfo=UTC))


def test_both_dates_are_now_by_default(store: Any, tenant: str) -> None:
    dialog = insert(store, tenant)
    assert dialog.create_date == dialog.update_date
    assert abs(dialog.create_date - datetime.now(UTC)) < timedelta(minutes=5)


def test_each_dialog_has_its_own_fields(store: Any, tenant: str) -> None:
    rows = [
        {"id": f"{tenant}0", "tenant_id": tenant, "name": "a", "create_date": "2024-01-01"},
        {"id": f"{tenant}1", "tenant_id": "other" + tenant, "update_date": "2024-01-03", "create_date": "2024-01-02"},
        {"id": f"{tenant}2", "tenant_id": tenant, "name": "c"},
    ]
    store.dialogs.insert_many(reversed(rows))
    one, two, three = store.dialogs.get_by_ids([row["id"] for row in rows])
    assert (one.tenant_id, one.name, one.create_date.day, one.update_date.day) == (tenant, "a", 1, 1)
    assert (two.tenant_id, two.name, two.create_date.day, two.update_date.day) == ("other" + tenant, None, 2, 3)
    assert (three.tenant_id, three.name, three.create_date.year > 2024) == (tenant, "c", True)


def test_a_dialog_as_to_dict_gives_it_is_inserted_with_its_dates(store: Any, tenant: str) -> None:
    original = insert(store, tenant, create_date="2024-01-01", name="n")
    assert store.dialogs.insert_many([original.to_dict() | {"id": "copy" + tenant}]) == 1
    copy = store.dialogs.get_by_id("copy" + tenant)
    assert copy.to_dict() == original.to_dict() | {"id": "copy" + tenant}


def test_an_id_that_is_stored_raises_already_exists_and_inserts_none(store: Any, tenant: str, dialog: str) -> None:
    rows = [{"id": "new" + tenant, "tenant_id": tenant}, {"id": dialog, "tenant_id": tenant}]
    with pytest.raises(AlreadyExists, match="a dialog with this id exists already"):
        store.dialogs.insert_many(rows)
    assert store.dialogs.get_by_id("new" + tenant) is None


def test_dialogs_of_two_tenants_may_have_the_same_id(store: Any, tenant: str) -> None:
    owners = tenant, "other" + tenant
    rows = [{"id": "d" + tenant, "tenant_id": owner, "name": owner} for owner in owners]
    assert store.dialogs.insert_many(rows) == 2
    assert [store.dialogs.get_by_id("d" + tenant, tenant_id=owner).name for owner in owners] == list(owners)


def test_an_id_that_is_stored_under_the_second_of_two_tenants_inserts_no_dialog_of_the_first(
    store: Any, tenant: str
) -> None:
    first, second = tenant, "other" + tenant  # in order of the tenants, in which they are inserted
    store.dialogs.save(id="d" + tenant, tenant_id=second)
    rows = [{"id": id + tenant, "tenant_id": owner} for owner in (first, second) for id in ("new", "d")]
    with pytest.raises(AlreadyExists, match=f"a dialog with this id exists already: 'd{tenant}'"):
        store.dialogs.insert_many(rows)
    assert store.dialogs.query(tenant_id=first) == []
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=second)] == ["d" + tenant]


def test_a_dialog_without_a_tenant_gets_that_of_the_call_or_of_the_bound_store(store: Any, tenant: str) -> None:
    assert store.dialogs.insert_many([{"id": "d" + tenant}], tenant_id=tenant) == 1
    rows = [{"id": "e" + tenant}, {"id": "f" + tenant, "tenant_id": tenant}]
    assert store.for_tenant(tenant).dialogs.insert_many(rows) == 2
    found = [dialog.id for dialog in store.dialogs.iter(tenant_id=tenant)]
    assert found == ["d" + tenant, "e" + tenant, "f" + tenant]


def test_a_dialog_of_another_tenant_than_the_one_of_the_call_or_of_the_bound_store_is_rejected() -> None:
    message = r"dialogs\[1\]\['tenant_id'\] must be 'mine' or be left out, not 't'"
    with pytest.raises(InvalidArgument, match=message):
        store_without_server().dialogs.insert_many([{"id": "x"}, ROW], tenant_id="mine")
    with pytest.raises(InvalidArgument, match=message):
        store_without_server(tenant_id="mine").dialogs.insert_many([{"id": "x"}, ROW])


@pytest.mark.parametrize(
    ("dialogs", "error", "message"),
    [
        ([{"id": "x"}], InvalidArgument, r"dialogs\[0\]\['tenant_id'\] must be given"),
        ([ROW, {"tenant_id": "x"}], InvalidArgument, r"dialogs\[1\]\['id'\] must be given"),
        ([{**ROW, "nothing": 1}], InvalidArgument, r"dialogs\[0\] must have keys among .*; unknown: 'nothing'"),
        ([{**ROW, "name": "\0"}], InvalidArgument, r"dialogs\[0\]\['name'\] must not contain U\+0000"),
        ([{**ROW, "create_date": "now"}], InvalidArgument, r"dialogs\[0\]\['create_date'\] must be ISO 8601"),
        ([ROW, 5], InvalidArgumentType, r"dialogs\[1\] must be a mapping, not int"),
        ([ROW] * 10_001, InvalidArgument, "dialogs must have at most 10000 members"),
    ],
    ids=lambda value: "" if isinstance(value, list) else None,
)
def test_an_invalid_member_is_rejected_before_any_statement(
    dialogs: list[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        store_without_server().dialogs.insert_many(dialogs)
