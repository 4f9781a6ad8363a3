"""The order of locks: a dialog before its tokens, as where dialogs are deleted, so that no two calls deadlock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import ConversationStore, DialogNotFound, TokenNotFound
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind

# Calls on a token that is bound to a dialog, and another dialog; and what they come to when both dialogs go.
CALLS: dict[str, tuple[Callable[[Any, str, int, str], Any], object]] = {
    "update_by_id": (lambda s, tenant, id, other: s.tokens.update_by_id(id, {"dialog_id": other}, tenant_id=tenant), 0),
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
