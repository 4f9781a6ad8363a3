"""`conversations.delete_not_updated_since`: conversations that were last updated before a date are deleted, in batches."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from conversation_store import AmbiguousId, Conversation, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.lock_order import locks_in_order_of_ids
from support.races import call_behind
from support.stored import as_stored, save_with_equal_ids


@pytest.fixture
def dialogs(store: Any, tenant: str) -> list[str]:
    """Store, in two dialogs, a conversation of each of the first days of 2024, last updated at noon in UTC."""
    ids = [f"{tenant}-{number}" for number in range(2)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    store.conversations.insert_many(
        {
            "id": f"{id}-{day}",
            "dialog_id": id,
            "create_date": "2023-01-01",
            "update_date": datetime(2024, 1, day, 12, tzinfo=UTC),
        }
        for id in ids
        for day in range(1, 8)
    )
    return ids


def left(store: Any, dialog: str) -> list[int]:
    """Return the days of the conversations that a dialog still has."""
    return sorted(int(c.id.rpartition("-")[2]) for c in store.conversations.query(dialog_id=dialog))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 7, 100])
def test_in_batches_of_any_size_all_before_the_day_are_deleted(
    store: Any, tenant: str, dialogs: list[str], batch_size: int
) -> None:
    delete = store.conversations.delete_not_updated_since
    assert delete("2024-01-04", tenant_id=tenant, batch_size=batch_size) == 6
    assert [left(store, id) for id in dialogs] == [[4, 5, 6, 7]] * 2
    assert delete(date(2024, 1, 4), tenant_id=tenant, batch_size=batch_size) == 0


@pytest.mark.parametrize(("batch_size", "expected"), [(1, [1, 2, 3, 4, 5, 6]), (4, [4, 6]), (6, [6])])
def test_on_progress_is_called_after_each_batch_with_the_number_so_far(
    store: Any, tenant: str, dialogs: list[str], batch_size: int, expected: list[int]
) -> None:
    progress: list[int] = []
    store.conversations.delete_not_updated_since(
        "2024-01-04", tenant_id=tenant, batch_size=batch_size, on_progress=progress.append
    )
    assert progress == expected


@pytest.mark.parametrize(
    ("instant", "kept"),
    [
        ("2024-01-02T12:00:00Z", [2, 3, 4, 5, 6, 7]),
        (datetime(2024, 1, 2, 12, 0, 0, 1, tzinfo=UTC), [3, 4, 5, 6, 7]),
    ],
)
def test_a_conversation_updated_at_the_instant_itself_is_kept(
    store: Any, dialogs: list[str], instant: str | datetime, kept: list[int]
) -> None:
    store.conversations.delete_not_updated_since(instant, dialog_id=dialogs[0])
    assert left(store, dialogs[0]) == kept


def test_a_day_begins_in_the_time_zone(store: Any, tenant: str, dialogs: list[str]) -> None:
    # There, the second begins at 10:00 of the first in UTC, and the third at 13:00 of the second.
    delete = store.conversations.delete_not_updated_since
    assert delete("2024-01-02", tenant_id=tenant, time_zone="Pacific/Kiritimati") == 0
    assert delete("2024-01-03", dialog_id=dialogs[0], time_zone="Pacific/Noumea") == 2
    assert [left(store, id) for id in dialogs] == [[3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]]


def test_with_a_dialog_only_its_conversations_are_deleted(store: Any, dialogs: list[str]) -> None:
    assert store.conversations.delete_not_updated_since("2024-01-04", dialog_id=dialogs[0]) == 3
    assert [len(left(store, id)) for id in dialogs] == [4, 7]


def test_with_another_tenant_nothing_is_deleted(store: Any, tenant: str, dialogs: list[str]) -> None:
    delete = store.conversations.delete_not_updated_since
    assert delete("2024-01-04", tenant_id="foreign" + tenant) == 0
    assert delete("2024-01-04", dialog_id=dialogs[0], tenant_id="foreign" + tenant) == 0
    assert store.conversations.count(tenant_id=tenant) == 14


def test_an_empty_tenant_raises_invalid_argument_and_deletes_nothing(
    store: Any, tenant: str, dialogs: list[str]
) -> None:
    with pytest.raises(InvalidArgument, match="tenant_id"):
        store.conversations.delete_not_updated_since("2024-01-04", tenant_id="")
    assert store.conversations.count(tenant_id=tenant) == 14


def test_without_a_filter_conversations_of_every_tenant_are_deleted(api: SyncApi | AsyncApi, database: str) -> None:
    with api.store(database) as store:
        for tenant in "ab":
            store.dialogs.save(id=tenant, tenant_id=tenant)
            store.conversations.insert_many([{"dialog_id": tenant, "create_date": "2024-01-01"}] * 5)
            store.conversations.save(dialog_id=tenant)
        assert store.conversations.delete_not_updated_since("2024-01-02", batch_size=2) == 10
        assert store.conversations.count() == 2


def test_a_conversation_that_is_updated_while_its_lock_is_waited_for_is_kept(
    api: SyncApi | AsyncApi, store: Any, dialogs: list[str], db: str
) -> None:
    def update(writer: psycopg.Connection[Any]) -> None:
        writer.execute(
            "UPDATE conversation_store.conversation SET update_date = now() WHERE id = %s", [f"{dialogs[0]}-1"]
        )

    deleted = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.delete_not_updated_since("2024-01-02", dialog_id=dialogs[0]),
        first=update,
    )
    assert deleted == 0
    assert 1 in left(store, dialogs[0])


def test_rows_are_locked_in_order_of_their_ids(api: SyncApi | AsyncApi, store: Any, dialog: str, db: str) -> None:
    assert locks_in_order_of_ids(
        api, db, store, dialog, lambda s, ids: s.conversations.delete_not_updated_since("2025-01-01", dialog_id=dialog)
    )


def test_a_rolled_back_transaction_deletes_nothing(store: Any, tenant: str, dialogs: list[str]) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert tx.conversations.delete_not_updated_since("2024-01-04", tenant_id=tenant, batch_size=2) == 6
        raise ZeroDivisionError
    assert store.conversations.count(tenant_id=tenant) == 14


# -- equal ids in two tenants -----------------------------------------------------------------------


def test_without_a_filter_conversations_with_equal_ids_are_deleted_in_every_tenant(
    api: SyncApi | AsyncApi, database: str
) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        saved = save_with_equal_ids(store, "x")
        for conversation in saved:
            store.conversations.append_round("x", ["new"], tenant_id=conversation.tenant_id)
            store.conversations.save(
                id="old", dialog_id="x", tenant_id=conversation.tenant_id, create_date="2024-01-01"
            )
        progress: list[int] = []
        deleted = store.conversations.delete_not_updated_since("2024-01-02", batch_size=1, on_progress=progress.append)
        assert (deleted, progress) == (2, [1, 2])
        assert [c.id for c in store.conversations.iter()] == ["x", "x"]


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id_and_deletes_nothing(
    store: Any, equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        store.conversations.delete_not_updated_since("2100-01-01", dialog_id=equal_ids[0].dialog_id)
    assert as_stored(store, equal_ids) == equal_ids


def test_only_conversations_of_the_given_tenant_are_deleted(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    delete = store.conversations.delete_not_updated_since
    assert delete("2100-01-01", dialog_id=two.dialog_id, tenant_id=two.tenant_id) == 1
    assert as_stored(store, equal_ids) == [one, None]


def test_a_known_tenant_needs_no_statement_that_finds_it(statements_of: Any, dialog: str, tenant: str) -> None:
    day, own = "2024-01-01", "conversation.delete_not_updated_since"
    of = {"dialog_id": dialog}
    assert statements_of(lambda s: s.conversations.delete_not_updated_since(day, **of)) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.delete_not_updated_since(day, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.delete_not_updated_since(day)) == [own]
