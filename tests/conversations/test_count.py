"""`conversations.count`: how many conversations a tenant or a dialog has, or all of them."""

from __future__ import annotations

from typing import Any

import pytest

from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def second(store: Any, dialog: str, tenant: str) -> str:
    """Save three conversations of the dialog and one of a second dialog of the same tenant; return the second's id."""
    second = str(store.dialogs.save(id="second" + dialog, tenant_id=tenant).id)
    store.conversations.insert_many([*[{"dialog_id": dialog}] * 3, {"dialog_id": second}])
    return second


def test_an_empty_dialog_counts_zero(store: Any, dialog: str, tenant: str) -> None:
    assert store.conversations.count(dialog_id=dialog) == store.conversations.count(tenant_id=tenant) == 0


def test_the_conversations_of_a_dialog_are_counted(store: Any, dialog: str, second: str) -> None:
    assert (store.conversations.count(dialog_id=dialog), store.conversations.count(dialog_id=second)) == (3, 1)


def test_the_conversations_of_a_tenant_are_counted(store: Any, tenant: str, second: str) -> None:
    assert store.conversations.count(tenant_id=tenant) == 4


def test_a_dialog_and_its_tenant_count_that_dialog(store: Any, dialog: str, tenant: str, second: str) -> None:
    assert store.conversations.count(dialog_id=dialog, tenant_id=tenant) == 3


def test_a_dialog_of_another_tenant_counts_zero(store: Any, dialog: str, second: str) -> None:
    assert store.conversations.count(dialog_id=dialog, tenant_id="foreign") == 0


def test_without_arguments_all_conversations_are_counted(api: SyncApi | AsyncApi, database: str) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        store.dialogs.insert_many([{"id": id, "tenant_id": f"tenant of {id}"} for id in ("one", "two")])
        store.conversations.insert_many([{"dialog_id": id} for id in ("one", "one", "two")])
        assert store.conversations.count() == 3
