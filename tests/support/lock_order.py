"""The order in which a call locks conversations: it must be that of the ids, or two such calls deadlock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind


def locks_in_order_of_ids(
    api: SyncApi | AsyncApi, db: str, store: Any, dialog: str, call: Callable[[Any, list[str]], Any]
) -> bool:
    """Return whether a call on two conversations that waits for the lower id does not hold the higher one.

    The higher id is given, stored and dated first, and no index scan sorts the ids for the call.
    """
    low, high = f"{dialog}-1", f"{dialog}-2"
    days = {high: "2024-01-01", low: "2024-01-02"}
    store.conversations.insert_many({"id": id, "dialog_id": dialog, "create_date": day} for id, day in days.items())
    lock = "SELECT id FROM conversation_store.conversation WHERE id = %s AND tenant_id = %s FOR UPDATE NOWAIT"
    tenant = store.conversations.get_by_id(low).tenant_id
    free = False

    def lock_high(other: psycopg.Connection[Any]) -> None:
        nonlocal free
        try:
            free = other.execute(lock, [high, tenant]).fetchone() is not None
        except psycopg.errors.LockNotAvailable:
            other.rollback()

    with api.store(make_conninfo(db, options="-c enable_indexscan=off -c enable_seqscan=off")) as waiting:
        result = call_behind(
            api,
            db,
            waiting,
            lambda s: call(s, [high, low]),
            first=lambda other: other.execute(lock, [low, tenant]),
            then=lock_high,
        )
    if isinstance(result, Exception):
        raise result
    return free
