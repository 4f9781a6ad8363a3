"""The order of locks: a dialog before its tokens, as where dialogs are deleted, so that no two calls deadlock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import ConversationStore, DialogNotFound, TokenNotFound
from support.both_apis import AsyncApi, SyncApi, wait_for
from support.races import call_behind
from support.tokens import lock

# Calls on a token that is bound to a dialog, and another dialog; and what they come to when both dialogs go.
CALLS: dict[str, tuple[Callable[[Any, str, int, str], Any], object]] = {
    "update_by_id": (
        lambda s, tenant, id, other: s.tokens.update_by_id(id, {"dialog_id": other}, tenant_id=tenant),
        DialogNotFound,
    ),
    "rotate": (lambda s, tenant, id, other: s.tokens.rotate(id, tenant_id=tenant), TokenNotFound),
    "issue": (lambda s, tenant, id, other: s.tokens.issue(tenant_id=tenant, dialog_id=other), DialogNotFound),
}


@pytest.mark.parametrize(("call", "expected"), CALLS.values(), ids=list(CALLS))
def test_a_call_that_waits_for_a_dialog_holds_no_token_that_goes_with_the_dialogs(
    api: SyncApi | AsyncApi,
    db: str,
    store: Any,
    tenant: str,
    call: Callable[[Any, str, int, str], Any],
    expected: object,
) -> None:
    ids = [f"{tenant}{number}" for number in range(2)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    token = store.tokens.issue(tenant_id=tenant, dialog_id=ids[0]).id
    # As delete_by_ids locks them, which then deletes the token.
    lock = "SELECT id FROM conversation_store.dialog WHERE tenant_id = %s ORDER BY id FOR UPDATE"
    result = call_behind(
        api,
        db,
        store,
        lambda s: call(s, tenant, token, ids[1]),
        first=lambda writer: writer.execute(lock, [tenant]),
        then=lambda writer: ConversationStore(connection=writer).dialogs.delete_by_ids(ids, tenant_id=tenant),
    )
    assert result == expected or type(result) is expected
    assert store.tokens.query(tenant_id=tenant) == []


@pytest.mark.parametrize("changes", [{"dialog_id": None}, {"source": "x"}, {"beta": None}, {}])
def test_a_change_without_a_new_dialog_waits_for_no_dialog(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, dialog: str, changes: dict[str, object]
) -> None:
    token = store.tokens.issue(tenant_id=tenant, dialog_id=dialog).id
    lock = "SELECT id FROM conversation_store.dialog WHERE tenant_id = %s FOR UPDATE"
    with api.store(make_conninfo(db, options="-c lock_timeout=5s")) as waiting, psycopg.connect(db) as other:
        other.execute(lock, [tenant])
        assert waiting.tokens.update_by_id(token, changes, tenant_id=tenant) == 1


def test_a_rotation_does_not_wait_for_the_dialog_that_its_token_was_moved_to_while_it_holds_the_token(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    ids = [f"{tenant}{number}" for number in range(2)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    token = store.tokens.issue(tenant_id=tenant, dialog_id=ids[0]).id

    def delete() -> int:
        with ConversationStore(db) as other:
            return other.dialogs.delete_by_id(ids[1], tenant_id=tenant)

    with psycopg.connect(db) as holder, ThreadPoolExecutor() as threads:

        def move(mover: psycopg.Connection[Any]) -> None:
            # The holder waits for the mover, and the rotation, which has seen the first dialog, for the holder.
            ConversationStore(connection=mover).tokens.update_by_id(token, {"dialog_id": ids[1]}, tenant_id=tenant)
            held.append(threads.submit(lock, holder, token))
            wait_for(db, mover)

        def begin_deletion(mover: psycopg.Connection[Any]) -> None:
            # It takes the second dialog, and waits for the token that was moved to it behind the rotation.
            wait_for(db, holder)
            mover.commit()
            held[0].result()
            wait_for(db, holder)
            deleted.append(threads.submit(delete))
            wait_for(db, holder, 2)
            holder.commit()

        held: list[Future[None]] = []
        deleted: list[Future[int]] = []
        rotate = lambda s: s.tokens.rotate(token, tenant_id=tenant)  # noqa: E731
        result = call_behind(api, db, store, rotate, first=move, then=begin_deletion)
        assert (type(result), deleted[0].result()) == (TokenNotFound, 1)
    assert store.tokens.query(tenant_id=tenant) == []


def test_a_rotation_that_waits_while_its_token_is_moved_issues_a_successor_for_the_new_dialog(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, dialog: str
) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.rotate(old.id, tenant_id=tenant),
        first=lambda writer: ConversationStore(connection=writer).tokens.update_by_id(
            old.id, {"dialog_id": dialog}, tenant_id=tenant
        ),
    )
    assert (result.dialog_id, result.predecessor_id) == (dialog, old.id)
    assert len(store.tokens.query(tenant_id=tenant)) == 2
