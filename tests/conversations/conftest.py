"""Conversations of two tenants, and the statements of a call."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias

import pytest

from conversation_store import Conversation
from support.both_apis import AsyncApi, SyncApi
from support.stored import save_with_equal_ids

StatementsOf: TypeAlias = Callable[[Callable[[Any], Any]], list[str]]


@pytest.fixture
def equal_ids(store: Any) -> list[Conversation]:
    """Store a dialog with a conversation in each of two tenants, under equal ids; return the conversations."""
    return save_with_equal_ids(store, uuid.uuid4().hex)


@pytest.fixture
def in_two_tenants(store: Any, tenant: str) -> list[Conversation]:
    """Store three conversations in order of their ids: the second one in the first tenant, the others in the second."""
    saved: list[Conversation] = []
    for number, owner in enumerate((f"{tenant}-b", f"{tenant}-a", f"{tenant}-b")):
        store.dialogs.save(id=f"dialog of {owner}", tenant_id=owner)
        id = f"{tenant}-{number}"
        saved.append(store.conversations.save(id=id, dialog_id=f"dialog of {owner}", message=[id], reference=[number]))
    return saved


@pytest.fixture(scope="session")
def statements_of(api: SyncApi | AsyncApi, db: str) -> Generator[StatementsOf]:
    """Give a function that makes a call on a store and returns the names of its statements."""
    names: list[str] = []
    with api.store(db, min_size=1, max_size=1, on_statement=lambda name, *_: names.append(name)) as observed:

        def statements_of(call: Callable[[Any], Any]) -> list[str]:
            names.clear()
            result = call(observed)
            if isinstance(result, Iterator):
                list(result)
            return list(names)

        yield statements_of
