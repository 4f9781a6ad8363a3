"""`conversations.iter_ids`: the ids of any number of conversations, in the order of `iter`."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, ConversationStore, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.stored import save_with_equal_ids


@pytest.fixture(scope="module")
def saved(db: str) -> str:
    """Save three dialogs of five conversations with equal dates, not in their order; return their tenant."""
    tenant = uuid.uuid4().hex
    dialogs = [f"{tenant}-{number}" for number in range(3)]
    with ConversationStore(db, min_size=1, max_size=1) as store:
        store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in dialogs])
        store.conversations.insert_many(
            {"id": f"{id}-{number * 3 % 5}", "dialog_id": id, "create_date": f"2024-01-0{1 + number % 3}"}
            for id in dialogs
            for number in range(5)
        )
    return tenant


@pytest.mark.parametrize("batch_size", [1, 2, 5, 15, 100])
def test_they_are_those_of_iter_in_its_order_whatever_the_batch_size(store: Any, saved: str, batch_size: int) -> None:
    for of in ({"tenant_id": saved}, {"dialog_id": f"{saved}-1"}, {"tenant_id": saved, "dialog_id": f"{saved}-2"}):
        wanted = [conversation.id for conversation in store.conversations.iter(**of)]
        assert list(store.conversations.iter_ids(**of, batch_size=batch_size)) == wanted
        assert len(wanted) == (15 if len(of) == 1 and "tenant_id" in of else 5)


def test_an_empty_dialog_and_one_of_another_tenant_give_nothing(store: Any, saved: str, dialog: str) -> None:
    assert list(store.conversations.iter_ids(dialog_id=dialog)) == []
    assert list(store.conversations.iter_ids(tenant_id="foreign", dialog_id=f"{saved}-1")) == []


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_without_a_tenant_and_a_dialog_the_ids_of_every_tenant_come(
    api: SyncApi | AsyncApi, database: str, batch_size: int
) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        save_with_equal_ids(store, "x")
        assert list(store.conversations.iter_ids(batch_size=batch_size)) == ["x", "x"]


def test_rows_deleted_and_inserted_during_the_iteration_move_no_other(store: Any, dialog: str) -> None:
    days = [f"2024-01-0{number}" for number in range(1, 8)]
    store.conversations.insert_many([{"id": f"{dialog}{day}", "dialog_id": dialog, "create_date": day} for day in days])
    found: list[str] = []
    for id in store.conversations.iter_ids(dialog_id=dialog, batch_size=2):
        found.append(id)
        if len(found) == 2:
            store.conversations.delete_by_ids([id, f"{dialog}2024-01-05"])
            store.conversations.save(dialog_id=dialog, create_date="2023-01-01")
    assert found == [f"{dialog}{day}" for day in days if day != "2024-01-05"]


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"tenant_id": ""}, {"dialog_id": ""}])
def test_an_invalid_argument_raises_at_the_call_and_not_at_the_first_item(store: Any, wrong: dict[str, Any]) -> None:
    (argument,) = wrong
    with pytest.raises(InvalidArgument, match=f"^{argument} must"):
        store.conversations.iter_ids(**wrong)


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        list(store.conversations.iter_ids(dialog_id=equal_ids[0].dialog_id))


def test_of_a_dialog_that_two_tenants_have_the_ids_of_the_given_one_come(
    store: Any, equal_ids: list[Conversation]
) -> None:
    (kept, other) = equal_ids
    more = store.conversations.save(dialog_id=kept.dialog_id, tenant_id=kept.tenant_id)
    assert list(store.conversations.iter_ids(dialog_id=kept.dialog_id, tenant_id=kept.tenant_id)) == [kept.id, more.id]
    assert list(store.for_tenant(other.tenant_id).conversations.iter_ids()) == [other.id]


def test_a_known_tenant_needs_no_statement_that_finds_it(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.iter_ids"
    assert statements_of(lambda s: s.conversations.iter_ids(dialog_id=dialog)) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.iter_ids(tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.iter_ids(dialog_id=dialog)) == [own]
