"""Concurrent calls in one transaction: what one undoes is never the work of another."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import psycopg
import pytest
from psycopg import waiting
from psycopg.pq import TransactionStatus

from conversation_store import AsyncConversationStore, ConversationStore, DialogNotFound, OutsideTransaction


def test_a_load_that_fails_undoes_the_work_of_no_other_call(db: str, plain_dialog: str) -> None:
    """A call of several statements is a savepoint: what ran inside of it by chance would be undone with it."""

    async def main() -> list[Any]:
        async with AsyncConversationStore(db) as store, store.transaction() as tx:
            bad = [{"dialog_id": plain_dialog}] * 1000 + [{"dialog_id": "nowhere"}]
            calls: list[Any] = [
                tx.conversations.insert_many(bad),
                tx.conversations.save(dialog_id=plain_dialog, id="mine" + plain_dialog),
                tx.conversations.insert_many([{"dialog_id": plain_dialog}]),
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    load, save, another = asyncio.run(main())
    assert isinstance(load, DialogNotFound)
    for error in (save, another):
        assert isinstance(error, OutsideTransaction)
        assert "wait for its end" in str(error)
    with ConversationStore(db) as store:
        assert store.conversations.count(dialog_id=plain_dialog) == 0


def test_each_call_of_threads_in_one_transaction_is_done_or_raises_an_error(db: str, plain_dialog: str) -> None:
    with ConversationStore(db) as store, store.transaction() as tx:
        saved: list[str] = []
        errors: list[OutsideTransaction] = []

        def save() -> None:
            for _ in range(100):
                try:
                    saved.append(tx.conversations.save(dialog_id=plain_dialog).id)
                except OutsideTransaction as error:
                    errors.append(error)

        threads = [threading.Thread(target=save) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            with pytest.raises(ZeroDivisionError), tx.transaction():
                raise ZeroDivisionError
        for thread in threads:
            thread.join()
        assert len(saved) + len(errors) == 300
        assert len(set(saved)) == tx.conversations.count(dialog_id=plain_dialog)


def test_calls_of_several_statements_on_one_connection_of_the_caller_do_not_mix(db: str, plain_dialog: str) -> None:
    async def main() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(db, autocommit=True) as connection:
            store = AsyncConversationStore(connection=connection)
            loads = [store.conversations.insert_many([{"dialog_id": plain_dialog}] * 10) for _ in range(3)]
            results = await asyncio.gather(*loads, return_exceptions=True)
            assert connection.info.transaction_status == TransactionStatus.IDLE
            return results

    results = asyncio.run(main())
    assert results[0] == 10
    assert all(isinstance(result, OutsideTransaction) for result in results[1:])
    with ConversationStore(db) as store:
        assert store.conversations.count(dialog_id=plain_dialog) == 10


def test_a_load_that_is_cancelled_leaves_the_connection_of_the_caller_open_and_usable(
    db: str, plain_dialog: str
) -> None:
    async def main() -> None:
        for steps in range(80):
            async with await psycopg.AsyncConnection.connect(db, autocommit=True) as connection:
                store = AsyncConversationStore(connection=connection)
                load = store.conversations.insert_many([{"dialog_id": plain_dialog, "message": ["x"]}] * 50)
                task = asyncio.ensure_future(load)
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                assert connection.info.transaction_status == TransactionStatus.IDLE
                assert await store.dialogs.get_by_id(plain_dialog) is not None

    asyncio.run(main())
    with ConversationStore(db) as store:
        assert store.conversations.count(dialog_id=plain_dialog) % 50 == 0


def test_a_load_that_is_interrupted_leaves_the_connection_of_the_caller_open_and_usable(
    db: str, plain_dialog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = waiting.wait
    interrupted = left = 0
    with psycopg.connect(db, autocommit=True) as connection:

        def interrupted_wait(*args: Any, **kwargs: Any) -> Any:
            """Wait, and be interrupted by Ctrl-C where that is the time of it, in the middle of a COPY."""
            nonlocal left
            result = wait(*args, **kwargs)
            if connection.info.transaction_status == TransactionStatus.ACTIVE:
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return result

        monkeypatch.setattr(waiting, "wait", interrupted_wait)
        store = ConversationStore(connection=connection)
        for number in range(1, 12):
            left = number
            try:
                store.conversations.insert_many([{"dialog_id": plain_dialog, "message": ["x" * 100_000]}] * 50)
            except KeyboardInterrupt:
                interrupted += 1
            assert connection.info.transaction_status == TransactionStatus.IDLE
            assert store.conversations.count(dialog_id=plain_dialog) == 50 * (number - interrupted)
    assert interrupted > 3
