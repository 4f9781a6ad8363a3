"""`conversations.delete_by_dialog_ids`: every conversation of some dialogs is deleted, in batches."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from conversation_store import AmbiguousId, Conversation
from support.both_apis import AsyncApi, SyncApi
from support.lock_order import locks_in_order_of_ids
from support.stored import as_stored


@pytest.fixture
def dialogs(store: Any, tenant: str) -> list[str]:
    """Store three dialogs with seven conversations each, and return the ids of the dialogs."""
    ids = [f"{tenant}-{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    store.conversations.insert_many(
        {"dialog_id": id, "message": ["x"], "reference": ["y"]} for id in ids for _ in range(7)
    )
    return ids


def test_only_conversations_of_the_given_dialogs_are_deleted(store: Any, tenant: str, dialogs: list[str]) -> None:
    assert store.conversations.delete_by_dialog_ids(iter(dialogs[:2])) == 14
    assert [store.conversations.count(dialog_id=id) for id in dialogs] == [0, 0, 7]


def test_the_dialogs_are_kept(store: Any, tenant: str, dialogs: list[str]) -> None:
    store.conversations.delete_by_dialog_ids(dialogs)
    assert len(store.dialogs.query(tenant_id=tenant)) == 3


def test_their_tokens_are_kept(store: Any, tenant: str, dialogs: list[str]) -> None:
    for id in (None, *dialogs):
        store.tokens.issue(tenant_id=tenant, dialog_id=id)
    store.conversations.delete_by_dialog_ids(dialogs)
    assert len(store.tokens.query(tenant_id=tenant)) == 4


def test_their_entries_are_deleted_with_them(store: Any, tenant: str, dialogs: list[str], db: str) -> None:
    store.conversations.delete_by_dialog_ids(dialogs)
    with psycopg.connect(db) as connection:
        for table in ("conversation_message", "conversation_reference"):
            count = f"SELECT count(*) FROM conversation_store.{table} WHERE tenant_id = %s"
            assert connection.execute(count, [tenant]).fetchone() == (0,)


def test_on_progress_is_called_after_each_batch_with_the_number_so_far(store: Any, dialogs: list[str]) -> None:
    progress: list[int] = []
    store.conversations.delete_by_dialog_ids(dialogs[:2], batch_size=4, on_progress=progress.append)
    assert progress == [4, 8, 12, 14]


@pytest.mark.parametrize("ids", [[], ["nowhere"]])
def test_without_a_dialog_nothing_is_deleted(store: Any, tenant: str, dialogs: list[str], ids: list[str]) -> None:
    progress: list[int] = []
    assert store.conversations.delete_by_dialog_ids(ids, on_progress=progress.append) == 0
    assert (store.conversations.count(tenant_id=tenant), progress) == (21, [])


def test_rows_are_locked_in_order_of_their_ids(api: SyncApi | AsyncApi, store: Any, dialog: str, db: str) -> None:
    assert locks_in_order_of_ids(api, db, store, dialog, lambda s, ids: s.conversations.delete_by_dialog_ids([dialog]))


def test_a_rolled_back_transaction_deletes_nothing(store: Any, tenant: str, dialogs: list[str]) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert tx.conversations.delete_by_dialog_ids(dialogs, batch_size=2) == 21
        raise ZeroDivisionError
    assert store.conversations.count(tenant_id=tenant) == 21


def test_an_interrupted_deletion_keeps_its_finished_batches_and_is_resumed_by_calling_again(
    store: Any, tenant: str, dialogs: list[str]
) -> None:
    def stop(deleted: int) -> None:
        if deleted >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.conversations.delete_by_dialog_ids(dialogs, batch_size=5, on_progress=stop)
    assert store.conversations.count(tenant_id=tenant) == 11
    assert store.conversations.delete_by_dialog_ids(dialogs, batch_size=5) == 11


# -- tenants ----------------------------------------------------------------------------------------


def test_dialogs_of_two_tenants_are_emptied_one_tenant_after_the_other(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    progress: list[int] = []
    dialogs = [c.dialog_id for c in in_two_tenants]
    assert store.conversations.delete_by_dialog_ids(dialogs, on_progress=progress.append) == 3
    assert progress == [1, 3]
    assert as_stored(store, in_two_tenants) == [None, None, None]


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id_and_deletes_nothing(
    store: Any, equal_ids: list[Conversation], dialogs: list[str], tenant: str
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        store.conversations.delete_by_dialog_ids([*dialogs, equal_ids[0].dialog_id])
    assert as_stored(store, equal_ids) == equal_ids
    assert store.conversations.count(tenant_id=tenant) == 21


def test_only_conversations_of_the_given_tenant_are_deleted(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    assert store.conversations.delete_by_dialog_ids([two.dialog_id], tenant_id=two.tenant_id) == 1
    assert as_stored(store, equal_ids) == [one, None]


def test_a_known_tenant_needs_no_statement_that_finds_it(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.delete_by_dialog_ids"
    assert statements_of(lambda s: s.conversations.delete_by_dialog_ids([dialog])) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.delete_by_dialog_ids([dialog], tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.delete_by_dialog_ids([dialog])) == [own]
