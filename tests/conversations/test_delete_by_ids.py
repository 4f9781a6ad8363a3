"""`conversations.delete_by_ids`: some conversations are deleted, only those of a dialog or a tenant if one is given."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.lock_order import locks_in_order_of_ids
from support.stored import as_stored, positions


@pytest.fixture
def ids(store: Any, dialog: str) -> list[str]:
    """Store three conversations of the dialog, and return their ids."""
    ids = [f"{dialog}-{number}" for number in range(3)]
    store.conversations.insert_many({"id": id, "dialog_id": dialog, "message": [1], "reference": [2]} for id in ids)
    return ids


@pytest.fixture
def foreign(store: Any) -> Any:
    """Store a conversation of another tenant."""
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=uuid.uuid4().hex).id
    return store.conversations.save(dialog_id=dialog)


def left(store: Any, ids: list[str]) -> list[str]:
    return [conversation.id for conversation in store.conversations.get_by_ids(ids)]


def test_the_number_of_deleted_conversations_is_returned(store: Any, ids: list[str], foreign: Any) -> None:
    assert store.conversations.delete_by_ids([ids[0], foreign.id]) == 2
    assert left(store, [*ids, foreign.id]) == ids[1:]


def test_a_missing_and_a_repeated_id_are_not_counted(store: Any, ids: list[str]) -> None:
    assert store.conversations.delete_by_ids([ids[2], ids[2], "nowhere"]) == 1


def test_their_entries_are_deleted_with_them(store: Any, ids: list[str], db: str) -> None:
    store.conversations.delete_by_ids(ids)
    assert [positions(db, id) for id in ids] == [([], [])] * 3


def test_an_empty_list_deletes_nothing(store: Any, ids: list[str]) -> None:
    assert store.conversations.delete_by_ids([]) == 0
    assert left(store, ids) == ids


def test_with_a_dialog_only_its_conversations_are_deleted(
    store: Any, dialog: str, ids: list[str], foreign: Any
) -> None:
    assert store.conversations.delete_by_ids([ids[0], foreign.id], dialog) == 1
    assert sorted(left(store, [*ids, foreign.id])) == sorted([*ids[1:], foreign.id])


def test_with_a_tenant_only_its_conversations_are_deleted(
    store: Any, tenant: str, ids: list[str], foreign: Any
) -> None:
    assert store.conversations.delete_by_ids([ids[0], foreign.id], tenant_id=tenant) == 1
    assert sorted(left(store, [*ids, foreign.id])) == sorted([*ids[1:], foreign.id])


def test_with_a_dialog_of_another_tenant_nothing_is_deleted(
    store: Any, tenant: str, ids: list[str], foreign: Any
) -> None:
    assert store.conversations.delete_by_ids([*ids, foreign.id], foreign.dialog_id, tenant_id=tenant) == 0
    assert sorted(left(store, [*ids, foreign.id])) == sorted([*ids, foreign.id])


@pytest.mark.parametrize("empty", ["dialog_id", "tenant_id"])
def test_an_empty_filter_raises_invalid_argument_and_deletes_nothing(store: Any, ids: list[str], empty: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{empty} must be given and not be empty"):
        store.conversations.delete_by_ids(ids, **{empty: ""})
    assert left(store, ids) == ids


def test_rows_are_locked_in_order_of_their_ids(api: SyncApi | AsyncApi, store: Any, dialog: str, db: str) -> None:
    assert locks_in_order_of_ids(api, db, store, dialog, lambda s, ids: s.conversations.delete_by_ids(ids))


def test_deletions_of_the_same_in_any_order_do_not_deadlock(api: SyncApi | AsyncApi, store: Any, dialog: str) -> None:
    for _ in range(5):
        ids = [f"{dialog}-{number}" for number in range(40)]
        store.conversations.insert_many([{"id": id, "dialog_id": dialog} for id in ids])
        calls = [lambda s, order=order: s.conversations.delete_by_ids(order) for order in (ids, ids[::-1]) * 4]
        assert sum(api.together(store, calls)) == 40


# -- tenants ----------------------------------------------------------------------------------------


def test_ids_of_two_tenants_are_deleted_and_counted_together(store: Any, in_two_tenants: list[Conversation]) -> None:
    assert store.conversations.delete_by_ids([c.id for c in in_two_tenants]) == 3
    assert as_stored(store, in_two_tenants) == [None, None, None]


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_deletes_nothing(
    store: Any, ids: list[str], equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.delete_by_ids([*ids, equal_ids[0].id])
    assert left(store, ids) == ids
    assert as_stored(store, equal_ids) == equal_ids


def test_of_an_id_that_two_tenants_have_the_given_one_loses_its_conversation(
    store: Any, equal_ids: list[Conversation]
) -> None:
    one, two = equal_ids
    assert store.conversations.delete_by_ids([two.id], tenant_id=two.tenant_id) == 1
    assert as_stored(store, equal_ids) == [one, None]


def test_without_a_tenant_there_is_a_statement_for_each_that_has_an_id(
    statements_of: Any, in_two_tenants: list[Conversation], tenant: str
) -> None:
    ids, own = [c.id for c in in_two_tenants], "conversation.delete_by_ids"
    assert statements_of(lambda s: s.conversations.delete_by_ids(ids, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.delete_by_ids(ids)) == [own]
    assert statements_of(lambda s: s.conversations.delete_by_ids(ids)) == ["conversation.find", own, own]
    assert statements_of(lambda s: s.conversations.delete_by_ids(ids)) == ["conversation.find"]
