"""Functions that run in a transaction, with either API."""

from __future__ import annotations

import inspect
from typing import Any

from support.both_apis import AsyncApi, SyncApi


def run_in_transaction(api: SyncApi | AsyncApi, store: Any, function: Any, **arguments: Any) -> Any:
    """Run a function, plain or a coroutine function, with the API of a store."""
    if isinstance(api, SyncApi):
        return store.run_in_transaction(function, **arguments)

    async def awaiting(tx: Any) -> Any:
        result = function(tx)
        return await result if inspect.isawaitable(result) else result

    return api.run(lambda: store.awaited.run_in_transaction(awaiting, **arguments))
