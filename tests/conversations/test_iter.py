"""`conversations.iter`: any number of conversations, read a batch at a time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, ConversationStore, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.stored import save_with_equal_ids


@dataclass(frozen=True)
class Saved:
    """Three dialogs of a tenant with five conversations each, and one without any."""

    tenant: str
    dialogs: list[str]
    empty: str
    ids: list[str]
    """The ids of the conversations, in order of dialog, creation date and id."""


@pytest.fixture(scope="module")
def saved(db: str) -> Saved:
    """Save conversations with equal dates, not in their order."""
    tenant = uuid.uuid4().hex
    dialogs = [f"{tenant}-{number}" for number in range(3)]
    empty = f"{tenant}-empty"
    rows = [
        {
            "id": f"{id}-{(number * 3) % 5}",
            "dialog_id": id,
            "create_date": f"2024-01-0{1 + number % 3}",
            "message": [number],
        }
        for id in dialogs
        for number in range(5)
    ]
    with ConversationStore(db, min_size=1, max_size=1) as store:
        store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in [*dialogs, empty]])
        store.conversations.insert_many(rows)
    ordered = sorted(rows, key=lambda row: (row["dialog_id"], row["create_date"], row["id"]))
    return Saved(tenant, dialogs, empty, [str(row["id"]) for row in ordered])


@pytest.mark.parametrize("batch_size", [1, 2, 5, 15, 100])
def test_a_tenants_conversations_come_in_order_whatever_the_batch_size(
    store: Any, saved: Saved, batch_size: int
) -> None:
    found = store.conversations.iter(tenant_id=saved.tenant, batch_size=batch_size)
    assert [c.id for c in islice(found, 16)] == saved.ids


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_a_dialogs_conversations_come_in_order_whatever_the_batch_size(
    store: Any, saved: Saved, batch_size: int
) -> None:
    found = store.conversations.iter(dialog_id=saved.dialogs[1], batch_size=batch_size)
    assert [c.id for c in islice(found, 6)] == saved.ids[5:10]


def test_without_a_tenant_and_a_dialog_all_conversations_come(api: SyncApi | AsyncApi, database: str) -> None:
    ids = ["a", "b", "c"]
    with api.store(database, min_size=1, max_size=1) as store:
        store.dialogs.insert_many([{"id": id, "tenant_id": f"tenant of {id}"} for id in ids])
        store.conversations.insert_many([{"id": f"in {id}", "dialog_id": id} for id in ids])
        assert [c.id for c in store.conversations.iter(batch_size=2)] == ["in a", "in b", "in c"]


def test_each_conversation_is_the_one_that_get_by_id_returns(store: Any, saved: Saved) -> None:
    found = list(store.conversations.iter(dialog_id=saved.dialogs[0]))
    assert found == [store.conversations.get_by_id(id) for id in saved.ids[:5]]


def test_a_dialog_of_another_tenant_gives_nothing(store: Any, saved: Saved) -> None:
    assert list(store.conversations.iter(tenant_id="foreign", dialog_id=saved.dialogs[0])) == []


def test_an_empty_dialog_gives_nothing(store: Any, saved: Saved) -> None:
    assert list(store.conversations.iter(dialog_id=saved.empty)) == []


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"tenant_id": ""}, {"dialog_id": ""}])
def test_an_invalid_argument_raises_at_the_call_and_not_at_the_first_item(store: Any, wrong: dict[str, Any]) -> None:
    (argument,) = wrong
    with pytest.raises(InvalidArgument, match=f"^{argument} must"):
        store.conversations.iter(**wrong)


def test_no_connection_is_held_between_items_nor_after_leaving_early(
    api: SyncApi | AsyncApi, db: str, dialog: str
) -> None:
    with api.store(db, min_size=1, max_size=1, timeout=2) as store:
        store.conversations.insert_many([{"dialog_id": dialog}] * 5)
        for seen, conversation in enumerate(store.conversations.iter(dialog_id=dialog, batch_size=2), start=1):
            store.conversations.append_round(conversation.id, ["seen"])  # on the only connection
            if seen == 3:
                break
        assert store.conversations.count(dialog_id=dialog) == 5


def test_rows_deleted_and_inserted_during_the_iteration_move_no_other(store: Any, dialog: str) -> None:
    days = [f"2024-01-0{number}" for number in range(1, 8)]
    store.conversations.insert_many([{"id": f"{dialog}{day}", "dialog_id": dialog, "create_date": day} for day in days])
    found: list[str] = []
    for conversation in store.conversations.iter(dialog_id=dialog, batch_size=2):
        found.append(conversation.id)
        if len(found) == 2:
            store.conversations.delete_by_ids([found[-1], f"{dialog}2024-01-05"])
            store.conversations.save(dialog_id=dialog, create_date="2023-01-01")
    assert found == [f"{dialog}{day}" for day in days if day != "2024-01-05"]


def test_inside_of_repeatable_read_all_batches_are_from_one_snapshot(store: Any, db: str, dialog: str) -> None:
    ids = [f"{dialog}{number}" for number in range(3)]
    store.conversations.insert_many([{"id": id, "dialog_id": dialog, "create_date": "2024-01-01"} for id in ids])
    with (
        ConversationStore(db, min_size=1, max_size=1) as other,
        store.transaction(isolation="repeatable read", read_only=True) as tx,
    ):
        rest = tx.conversations.iter(dialog_id=dialog, batch_size=1)
        assert next(rest).id == ids[0]
        other.conversations.save(dialog_id=dialog)
        other.conversations.append_round(ids[2], ["x"])
        assert [(c.id, c.message) for c in rest] == [(id, []) for id in ids[1:]]


# -- equal ids in two tenants -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_without_a_tenant_conversations_with_equal_ids_come_from_every_tenant(
    api: SyncApi | AsyncApi, database: str, batch_size: int
) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        expected = save_with_equal_ids(store, "x")
        assert list(store.conversations.iter(batch_size=batch_size)) == expected


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        list(store.conversations.iter(dialog_id=equal_ids[0].dialog_id))


def test_of_a_dialog_that_two_tenants_have_the_conversations_of_the_given_one_come(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for kept in equal_ids:
        assert list(store.conversations.iter(dialog_id=kept.dialog_id, tenant_id=kept.tenant_id)) == [kept]
        assert list(store.for_tenant(kept.tenant_id).conversations.iter()) == [kept]


def test_a_known_tenant_needs_no_statement_that_finds_it(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.iter"
    assert statements_of(lambda s: s.conversations.iter(dialog_id=dialog)) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.iter(tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.iter(dialog_id=dialog)) == [own]


def test_over_the_whole_store_there_are_statements_for_each_tenant(api: SyncApi | AsyncApi, database: str) -> None:
    names: list[str] = []
    with api.store(database, min_size=1, max_size=1, on_statement=lambda name, *_: names.append(name)) as store:
        save_with_equal_ids(store, "x")
        names.clear()
        assert len(list(store.conversations.iter())) == 2
    assert names == ["dialog.iter_tenants", "conversation.iter", "conversation.iter"]
