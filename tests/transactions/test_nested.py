"""Nested transactions are savepoints, and a transaction in which an error was caught raises one at its end."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from conversation_store import (
    AbortedTransaction,
    ConversationNotFound,
    ConversationStore,
    DialogNotFound,
    OutsideTransaction,
)
from support.both_apis import AsyncApi, SyncApi
from support.transactions import run_in_transaction


def test_a_nested_transaction_is_a_savepoint(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        kept, undone = (tx.conversations.save(dialog_id=dialog).id for _ in range(2))
        with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
            inner.conversations.append_round(undone, ["undone"])
            with inner.transaction() as innermost:
                innermost.conversations.append_round(kept, ["undone"])
            raise ZeroDivisionError
        with pytest.raises(ConversationNotFound), tx.transaction() as inner:
            inner.conversations.append_round("nowhere", ["x"])
        with tx.transaction() as inner:
            inner.conversations.append_round(kept, ["kept"])
    assert store.conversations.get_by_id(undone).message == []
    assert store.conversations.get_by_id(kept).message == ["kept"]


def test_an_outer_rollback_undoes_what_a_nested_transaction_did(store: Any, dialog: str) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        with tx.transaction() as inner:
            inner.conversations.save(dialog_id=dialog)
        assert tx.conversations.count(dialog_id=dialog) == 1
        raise ZeroDivisionError
    assert store.conversations.count(dialog_id=dialog) == 0


def test_the_outer_transaction_cannot_be_used_while_a_nested_one_is_open(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        with tx.transaction() as inner:
            with pytest.raises(OutsideTransaction, match="nested transaction"):
                tx.conversations.save(dialog_id=dialog)
            inner.conversations.save(dialog_id=dialog)
        tx.conversations.save(dialog_id=dialog)
    assert store.conversations.count(dialog_id=dialog) == 2


def test_an_error_of_the_server_that_is_caught_inside_is_an_error_at_the_end(
    api: SyncApi | AsyncApi, store: Any, dialog: str
) -> None:
    """The server answers COMMIT with a rollback, and without an error."""
    with pytest.raises(AbortedTransaction, match="nothing is committed"), store.transaction() as tx:
        tx.conversations.save(dialog_id=dialog)
        with pytest.raises(DialogNotFound):
            tx.conversations.save(dialog_id="nowhere")
    assert store.conversations.count(dialog_id=dialog) == 0
    with store.transaction() as tx:
        with pytest.raises(AbortedTransaction), tx.transaction() as inner, contextlib.suppress(DialogNotFound):
            inner.conversations.save(dialog_id="nowhere")
        # Where it is caught around a nested transaction, only that is undone.
        with pytest.raises(DialogNotFound), tx.transaction() as inner:
            inner.conversations.save(dialog_id="nowhere")
        tx.conversations.save(dialog_id=dialog)
    assert store.conversations.count(dialog_id=dialog) == 1

    def blocking(tx: Any) -> str:
        with contextlib.suppress(DialogNotFound):
            tx.conversations.save(dialog_id="nowhere")
        return "done"

    async def awaiting(tx: Any) -> str:
        with contextlib.suppress(DialogNotFound):
            await tx.conversations.save(dialog_id="nowhere")
        return "done"

    with pytest.raises(AbortedTransaction):
        run_in_transaction(api, store, blocking if isinstance(api, SyncApi) else awaiting)


def test_a_block_that_is_left_with_a_nested_one_of_the_same_thread_open_waits_for_nobody(
    db: str, plain_dialog: str
) -> None:
    # As after an interruption while the nested one begins or ends: nobody ends it any more.
    with ConversationStore(db, max_size=1) as store:
        left: list[object] = []
        with pytest.raises(ZeroDivisionError), store.transaction() as tx:
            tx.conversations.save(dialog_id=plain_dialog)
            nested = tx.transaction()
            left.append((nested, nested.__enter__()))
            raise ZeroDivisionError
        left.clear()
        assert store.conversations.query(dialog_id=plain_dialog) == []
        with store.transaction() as tx, tx.transaction() as inner:
            inner.conversations.save(dialog_id=plain_dialog)
        assert len(store.conversations.query(dialog_id=plain_dialog)) == 1
