"""`tenants.delete_by_id`: everything that a tenant has is deleted, in batches."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor

from conversation_store import DeletedTenant
from conversation_store._sql_loader import load
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind

ALL = (4, 21, 3)


def fill(store: Any, tenant: str, *, each: int = 7) -> list[str]:
    """Give a tenant four tokens and three dialogs with conversations; return the ids of the dialogs."""
    ids = [f"{tenant}-{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    store.conversations.insert_many(
        {"dialog_id": id, "message": ["x"], "reference": ["y"]} for id in ids for _ in range(each)
    )
    for id in (None, *ids):
        store.tokens.issue(tenant_id=tenant, dialog_id=id)
    return ids


def left(store: Any, tenant: str) -> tuple[int, int, int]:
    """Return how many tokens, conversations and dialogs a tenant has."""
    counted = store.conversations.count(tenant_id=tenant)
    return len(store.tokens.query(tenant_id=tenant)), counted, len(store.dialogs.query(tenant_id=tenant))


@pytest.mark.parametrize("batch_size", [1, 5, 21, 1000])
def test_in_batches_of_any_size_all_is_deleted_and_counted(store: Any, tenant: str, batch_size: int) -> None:
    fill(store, tenant)
    deleted = store.tenants.delete_by_id(tenant, batch_size=batch_size)
    assert deleted == DeletedTenant(tokens=4, conversations=21, dialogs=3)
    assert left(store, tenant) == (0, 0, 0)


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_on_progress_is_called_after_each_batch_tokens_first(store: Any, tenant: str, batch_size: int) -> None:
    fill(store, tenant)
    progress: list[DeletedTenant] = []
    deleted = store.tenants.delete_by_id(tenant, batch_size=batch_size, on_progress=progress.append)
    assert progress[0] == DeletedTenant(tokens=4)
    assert progress[-1] == deleted
    steps = [(so_far.conversations, so_far.dialogs) for so_far in progress]
    assert steps == sorted(set(steps))
    assert all(b[0] - a[0] <= batch_size and b[1] - a[1] <= batch_size for a, b in pairwise(steps))


def test_entries_and_turns_are_deleted_too(store: Any, tenant: str, db: str) -> None:
    fill(store, tenant)
    for conversation in store.conversations.iter(tenant_id=tenant):
        store.conversations.append_round(conversation.id, [1], tenant_id=tenant, turn_id="t")
    store.tenants.delete_by_id(tenant)
    with psycopg.connect(db) as connection:
        for table in ("conversation_message", "conversation_reference", "conversation_turn"):
            count = f"SELECT count(*) FROM conversation_store.{table} WHERE tenant_id = %s"
            assert connection.execute(count, [tenant]).fetchone() == (0,)


def test_other_tenants_are_kept(store: Any, tenant: str) -> None:
    fill(store, "other" + tenant)
    fill(store, tenant)
    store.tenants.delete_by_id(tenant)
    assert left(store, "other" + tenant) == ALL


def test_a_tenant_that_has_nothing_gives_zeros_and_on_progress_is_not_called(store: Any, tenant: str) -> None:
    progress: list[DeletedTenant] = []
    assert store.tenants.delete_by_id(tenant, on_progress=progress.append) == DeletedTenant()
    assert progress == []


def test_tokens_of_a_tenant_without_dialogs_are_deleted(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tenants.delete_by_id(tenant).to_dict() == {"tokens": 1, "conversations": 0, "dialogs": 0}
    assert store.tokens.authenticate(issued.token) is None


def test_an_interrupted_deletion_keeps_its_finished_batches(store: Any, tenant: str) -> None:
    fill(store, tenant)
    with pytest.raises(KeyboardInterrupt):
        store.tenants.delete_by_id(tenant, batch_size=5, on_progress=interrupt_at_10)
    assert left(store, tenant) == (0, 11, 3)


def test_an_interrupted_deletion_is_resumed_by_calling_again(store: Any, tenant: str) -> None:
    fill(store, tenant)
    with pytest.raises(KeyboardInterrupt):
        store.tenants.delete_by_id(tenant, batch_size=5, on_progress=interrupt_at_10)
    assert store.tenants.delete_by_id(tenant, batch_size=5) == DeletedTenant(conversations=11, dialogs=3)
    assert left(store, tenant) == (0, 0, 0)


def interrupt_at_10(deleted: DeletedTenant) -> None:
    if deleted.conversations >= 10:
        raise KeyboardInterrupt


def test_a_rolled_back_transaction_deletes_nothing(store: Any, tenant: str) -> None:
    ids = fill(store, tenant)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert tx.tenants.delete_by_id(tenant, batch_size=2).conversations == 21
        assert tx.conversations.delete_by_dialog_ids(ids) == 0
        raise ZeroDivisionError
    assert left(store, tenant) == ALL


@pytest.mark.parametrize("opened_by", ["the store", "the caller"])
def test_in_a_transaction_what_waits_for_a_dialog_of_the_tenant_holds_no_row_of_it(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, opened_by: str
) -> None:
    ids = fill(store, tenant)
    first = "SELECT FROM conversation_store.dialog WHERE tenant_id = %s AND id = %s FOR UPDATE"
    others = [
        f"SELECT FROM conversation_store.{table} WHERE tenant_id = %s FOR UPDATE NOWAIT"
        for table in ("api_token", "conversation")
    ]

    async def delete_async(tx: Any) -> Any:
        return await tx.tenants.delete_by_id(tenant)

    def delete(tx: Any) -> Any:
        return tx.tenants.delete_by_id(tenant)

    def call(s: Any) -> Any:
        if opened_by == "the caller":
            return delete(s)
        return s.run_in_transaction(delete if isinstance(api, SyncApi) else delete_async)

    free: list[str] = []

    def lock_others(other: psycopg.Connection[Any]) -> None:
        for text in others:
            other.execute(text.encode(), [tenant])
            free.append(text)

    with api.connect(db) as connection, api.store(connection=connection) as joining:
        result = call_behind(
            api,
            db,
            joining if opened_by == "the caller" else store,
            call,
            first=lambda other: other.execute(first, [tenant, ids[0]]),
            then=lock_others,
        )
    assert free == others
    assert result == DeletedTenant(tokens=4, conversations=21, dialogs=3)


def test_outside_of_a_transaction_tokens_end_while_others_use_the_dialogs(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    fill(store, tenant)
    found: list[Any] = []

    def count_tokens(_: object) -> None:
        with psycopg.connect(db) as connection:
            count = "SELECT count(*) FROM conversation_store.api_token WHERE tenant_id = %s"
            found.append(connection.execute(count, [tenant]).fetchone())

    lock = "SELECT FROM conversation_store.dialog WHERE tenant_id = %s FOR UPDATE"
    call_behind(
        api,
        db,
        store,
        lambda s: s.tenants.delete_by_id(tenant),
        first=lambda other: other.execute(lock, [tenant]),
        then=count_tokens,
    )
    assert found == [(0,)]


def test_rows_stored_between_batches_are_deleted_too(store: Any, tenant: str, db: str) -> None:
    fill(store, tenant)
    more = 3

    def store_more(deleted: DeletedTenant) -> None:
        """Store a dialog, a conversation in it, and a token, once the conversations are gone."""
        nonlocal more
        if deleted.conversations and more:
            more -= 1
            dialog = f"{tenant}-0{more}"
            with psycopg.connect(db) as connection:
                connection.execute(
                    "INSERT INTO conversation_store.dialog (id, tenant_id) VALUES (%s, %s)", [dialog, tenant]
                )
                insert_conversation(connection, tenant, dialog)
                connection.execute(
                    "INSERT INTO conversation_store.api_token (tenant_id, token_digest, hint)"
                    " VALUES (%s, sha256(%s), '')",
                    [tenant, uuid.uuid4().bytes],
                )

    deleted = store.tenants.delete_by_id(tenant, on_progress=store_more)
    assert deleted == DeletedTenant(tokens=7, conversations=24, dialogs=6)
    assert left(store, tenant) == (0, 0, 0)


def test_a_conversation_saved_before_the_dialogs_are_deleted_is_deleted_too(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    saved = 0

    def save_one(name: str, _: float, rows: int, error: str | None) -> None:
        """Save one when no conversation is left, just before the dialogs are deleted."""
        nonlocal saved
        if name == "conversation.delete_by_tenant_id" and not saved:
            with psycopg.connect(db) as connection:
                count = "SELECT count(*) FROM conversation_store.conversation WHERE tenant_id = %s"
                if connection.execute(count, [tenant]).fetchone() == (0,):
                    insert_conversation(connection, tenant, f"{tenant}-0")
                    saved += 1

    with api.store(db, on_statement=save_one) as store:
        fill(store, tenant)
        assert store.tenants.delete_by_id(tenant) == DeletedTenant(tokens=4, conversations=22, dialogs=3)
        assert saved == 1
        assert left(store, tenant) == (0, 0, 0)


def insert_conversation(connection: psycopg.Connection[Any], tenant: str, dialog: str) -> None:
    connection.execute(
        "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id) VALUES (%s, %s, %s)",
        [uuid.uuid4().hex, tenant, dialog],
    )


def test_the_statement_that_deletes_dialogs_skips_one_with_a_conversation(store: Any, tenant: str, db: str) -> None:
    ids = fill(store, tenant, each=0)
    store.conversations.save(dialog_id=ids[1])
    query = load("dialog.delete_by_tenant_id")
    with psycopg.connect(db) as connection:
        values = query.bind({"tenant_id": tenant, "limit": "10"})
        row = RawCursor(connection).execute(query.text, values).fetchone()
    assert row == (2, 3)  # deleted and found
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == [ids[1]]


def test_each_of_several_deletions_of_the_same_returns_when_all_is_gone(
    api: SyncApi | AsyncApi, store: Any, tenant: str
) -> None:
    for attempt in range(3):
        of = f"{tenant}{attempt}"
        ids = fill(store, of, each=60)

        def by_dialogs(s: Any, ids: list[str] = ids) -> Any:
            return s.conversations.delete_by_dialog_ids(ids, batch_size=20)

        def by_tenant(s: Any, of: str = of) -> Any:
            return s.tenants.delete_by_id(of, batch_size=20)

        def and_count(call: Callable[[Any], Any], of: str = of) -> Callable[[Any], Any]:
            """Make a call, and count what it leaves."""
            if isinstance(api, SyncApi):
                return lambda s: (call(s), s.conversations.count(tenant_id=of))

            async def both(s: Any) -> Any:
                return await call(s), await s.conversations.count(tenant_id=of)

            return both

        results = api.together(store, [and_count(call) for call in (by_dialogs, by_dialogs, by_tenant, by_tenant)])
        assert [counted for _, counted in results] == [0] * 4
        deleted = [done for done, _ in results]
        assert sum(deleted[:2]) + sum(done.conversations for done in deleted[2:]) == 180
        assert sum(done.dialogs for done in deleted[2:]) == 3


def test_of_two_tenants_with_the_same_ids_only_the_rows_of_the_named_one_are_deleted(store: Any, tenant: str) -> None:
    owners = tenant, "other" + tenant
    ids = [f"{tenant}-{number}" for number in range(3)]
    for owner in owners:
        store.dialogs.insert_many({"id": id, "tenant_id": owner} for id in ids)
        store.conversations.insert_many(
            {"id": id, "dialog_id": id, "tenant_id": owner, "message": ["x"], "reference": ["y"]} for id in ids
        )
        store.tokens.issue(tenant_id=owner, dialog_id=ids[0])
    assert store.tenants.delete_by_id(tenant, batch_size=2) == DeletedTenant(tokens=1, conversations=3, dialogs=3)
    assert [left(store, owner) for owner in owners] == [(0, 0, 0), (1, 3, 3)]
    kept = store.conversations.get_by_ids(ids)
    assert [(one.id, one.tenant_id, one.message, one.reference) for one in kept] == [
        (id, owners[1], ["x"], ["y"]) for id in ids
    ]
