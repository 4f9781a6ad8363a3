"""`dialogs.query`: a tenant's dialogs, newest first."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def newest_first(store: Any, tenant: str) -> list[str]:
    """Give the ids of the tenant's dialogs, of which several have the same date."""
    days = {f"{tenant}{number}": f"2024-01-0{1 + number % 3}" for number in range(7)}
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant, "create_date": day} for id, day in days.items()])
    return sorted(days, key=lambda id: (days[id], id), reverse=True)


def test_dialogs_are_listed_newest_first_and_those_of_one_date_by_id(
    store: Any, tenant: str, newest_first: list[str]
) -> None:
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == newest_first


@pytest.mark.parametrize("limit", [0, 2, 7, 8])
def test_at_most_limit_dialogs_are_listed(store: Any, tenant: str, newest_first: list[str], limit: int) -> None:
    listed = store.dialogs.query(tenant_id=tenant, limit=limit)
    assert [dialog.id for dialog in listed] == newest_first[:limit]


@pytest.mark.parametrize(("limit", "has_more"), [(0, True), (6, True), (7, False), (8, False)])
def test_has_more_says_whether_there_are_more_dialogs_than_listed(
    store: Any, tenant: str, newest_first: list[str], limit: int, has_more: bool
) -> None:
    assert newest_first
    assert store.dialogs.query(tenant_id=tenant, limit=limit).has_more is has_more
    assert store.for_tenant(tenant).dialogs.query(limit=limit).has_more is has_more


def test_dialogs_of_other_tenants_are_not_more_dialogs(store: Any, tenant: str, dialog: str, other_tenant: str) -> None:
    store.dialogs.save(id="more" + tenant, tenant_id=other_tenant)
    listed = store.dialogs.query(tenant_id=tenant, limit=1)
    assert ([one.id for one in listed], listed.has_more) == ([dialog], False)


def test_dialogs_of_other_tenants_are_not_listed(store: Any, tenant: str, dialog: str) -> None:
    assert dialog
    assert store.dialogs.query(tenant_id="other" + tenant) == []
