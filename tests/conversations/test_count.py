"""`conversations.count`: how many conversations a tenant or a dialog has, or all of them."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation
from support.both_apis import AsyncApi, SyncApi
from support.stored import save_with_equal_ids


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


def test_without_arguments_conversations_with_equal_ids_are_counted_in_each_tenant(
    api: SyncApi | AsyncApi, database: str
) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        save_with_equal_ids(store, "x")
        assert store.conversations.count() == 2


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        store.conversations.count(dialog_id=equal_ids[0].dialog_id)


def test_a_dialog_that_two_tenants_have_is_counted_for_the_given_one(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    store.conversations.save(dialog_id=two.dialog_id, tenant_id=two.tenant_id)
    counted = [store.conversations.count(dialog_id=c.dialog_id, tenant_id=c.tenant_id) for c in (one, two)]
    assert counted == [1, 2]


def test_only_a_dialog_without_a_tenant_needs_two_statements(statements_of: Any, dialog: str, tenant: str) -> None:
    assert statements_of(lambda s: s.conversations.count()) == ["conversation.count_all"]
    assert statements_of(lambda s: s.conversations.count(dialog_id=dialog)) == ["dialog.find", "conversation.count"]
    assert statements_of(lambda s: s.conversations.count(tenant_id=tenant)) == ["conversation.count"]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.count()) == ["conversation.count"]


def test_a_bound_store_counts_the_conversations_of_its_tenant(store: Any, tenant: str, second: str) -> None:
    assert store.for_tenant(tenant).conversations.count() == 4
