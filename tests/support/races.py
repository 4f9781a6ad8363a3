"""Calls that wait for a lock: in an order that is the same each time, not by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from support.both_apis import AsyncApi, SyncApi, commit_when_waited_for


def call_behind(
    api: SyncApi | AsyncApi,
    db: str,
    store: Any,
    call: Callable[[Any], Any],
    *,
    first: Callable[[psycopg.Connection[Any]], object],
    then: Callable[[psycopg.Connection[Any]], object] = lambda _: None,
) -> Any:
    """Return the result or the error of a call that waits for a transaction.

    The transaction does *first* before the call begins, and *then* once the call waits; then it commits.
    """
    with psycopg.connect(db) as writer:

        def finish() -> None:
            then(writer)

        first(writer)
        calls: list[Any] = [call, lambda _: commit_when_waited_for(api, db, writer, finish)]
        return api.together(store, calls)[0]
