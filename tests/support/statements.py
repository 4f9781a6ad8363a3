"""Statements of a call, without a server: what it describes, and what reaches the server at all."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast
from unittest.mock import patch

import pytest

from conversation_store import ConversationStore, _operations
from conversation_store._statement import Statement

REPOSITORIES = ("dialogs", "conversations", "tokens", "tenants")


class NoServer(Exception):
    """Raised where a call would send a statement: its arguments have passed every check."""


class NoSource:
    """Gives no connection."""

    connection = None

    def statement(self) -> Any:
        raise NoServer

    def enter(self) -> Any:
        raise NoServer


class _Captured(Exception):
    """Carries a statement out of the call that would run it."""


class _Catcher:
    """Runs the first statements with given answers, and captures the next one."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers
        self.source = NoSource()

    def run(self, statement: Statement[Any]) -> Any:
        if self._answers:
            answer = self._answers.pop(0)
            return statement.read(answer, len(answer))
        raise _Captured(statement)


def store_without_server(executor: Any = None, tenant_id: str | None = None, **arguments: Any) -> Any:
    """Return a store, or one bound to a tenant, whose calls raise NoServer, or are run by *executor*."""
    store: Any = ConversationStore("", **arguments)
    if tenant_id is not None:
        store = store.for_tenant(tenant_id)
    for name in REPOSITORIES:
        if hasattr(store, name):
            getattr(store, name)._executor = executor or _NoExecutor()
    return store


class _NoExecutor:
    source = NoSource()

    def run(self, statement: Statement[Any]) -> Any:
        raise NoServer


def statement_of(call: Any, *answers: Any) -> Statement[Any]:
    """Return the statement that a call on a store describes after those that are answered, without running any."""
    # A transaction of the call is that of the catcher.
    with (
        patch.object(_operations, "begin", nullcontext),
        patch.object(_operations, "keeps_locks", lambda _: True),
        pytest.raises(_Captured) as caught,
    ):
        call(store_without_server(_Catcher(list(answers))))
    return cast("Statement[Any]", caught.value.args[0])
