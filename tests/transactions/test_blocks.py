"""A block that ends while a thread or task has a nested transaction in it waits for that."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from conversation_store import AsyncConversationStore, ConversationStore, OutsideTransaction


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_block_that_ends_while_a_task_has_a_nested_transaction_is_undone_as_a_whole(
    db: str, plain_dialog: str, autocommit: bool
) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(db, autocommit=autocommit) as connection:
            store = AsyncConversationStore(connection=connection)

            async def nested(tx: Any) -> None:
                async with tx.transaction() as inner:
                    await inner.conversations.save(dialog_id=plain_dialog)
                    begun.set()
                    await failed.wait()
                    for _ in range(100):  # until the block has failed too
                        await asyncio.sleep(0)
                    try:
                        await inner.conversations.save(dialog_id=plain_dialog)
                    except OutsideTransaction as error:
                        errors.append(error)

            async def bad() -> None:
                await begun.wait()
                failed.set()
                raise KeyError("bad")

            begun, failed = asyncio.Event(), asyncio.Event()
            errors: list[OutsideTransaction] = []
            with pytest.raises(KeyError, match="bad"):
                async with store.transaction() as tx:
                    await tx.conversations.save(dialog_id=plain_dialog)
                    await asyncio.gather(nested(tx), bad())
            assert len(errors) == 1  # so that it ends soon
            await store.conversations.save(dialog_id=plain_dialog, id="kept" + plain_dialog)
            if not autocommit:
                await connection.commit()
            assert connection.info.transaction_status == TransactionStatus.IDLE

    asyncio.run(main())
    with ConversationStore(db) as store:
        assert [c.id for c in store.conversations.query(dialog_id=plain_dialog)] == ["kept" + plain_dialog]


def test_a_block_that_ends_while_a_thread_has_a_nested_transaction_waits_for_it(db: str, plain_dialog: str) -> None:
    begun, go_on = threading.Event(), threading.Event()
    with ConversationStore(db) as store:
        with store.transaction() as tx:

            def nested() -> None:
                with tx.transaction() as inner:
                    begun.set()
                    go_on.wait()
                    inner.conversations.save(dialog_id=plain_dialog)

            thread = threading.Thread(target=nested)
            thread.start()
            begun.wait()
            go_on.set()
        thread.join()
        assert store.conversations.count(dialog_id=plain_dialog) == 1


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_after_a_block_failed_a_statement_of_a_thread_at_any_level_is_an_error(
    db: str, plain_dialog: str, levels: int
) -> None:
    nested, failing, raised = threading.Event(), threading.Event(), threading.Event()

    def work(tx: Any, level: int) -> None:
        if level:
            with tx.transaction() as inner:
                work(inner, level - 1)
            return
        tx.conversations.save(dialog_id=plain_dialog)
        nested.set()
        failing.wait()
        while True:  # until the block has failed, which another thread cannot see
            try:
                tx.conversations.count(dialog_id=plain_dialog)
            except OutsideTransaction:
                raised.set()
                raise

    def suppressed(tx: Any) -> None:
        with contextlib.suppress(OutsideTransaction):
            work(tx, levels)

    with ConversationStore(db) as store:
        threads: list[threading.Thread] = []
        with pytest.raises(KeyError, match="failed"), store.transaction() as tx:
            threads.append(threading.Thread(target=suppressed, args=(tx,)))
            threads[0].start()
            nested.wait()
            failing.set()
            raise KeyError("failed")
        assert raised.is_set()  # the block has waited for the end of the nested transaction
        threads[0].join()
        assert store.conversations.count(dialog_id=plain_dialog) == 0


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_after_a_block_failed_a_statement_of_a_task_at_any_level_is_an_error(
    db: str, plain_dialog: str, levels: int
) -> None:
    async def main() -> None:
        nested, failing, raised = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work(tx: Any, level: int) -> None:
            if level:
                async with tx.transaction() as inner:
                    await work(inner, level - 1)
                return
            await tx.conversations.save(dialog_id=plain_dialog)
            nested.set()
            await failing.wait()
            while True:
                try:
                    await tx.conversations.count(dialog_id=plain_dialog)
                except OutsideTransaction:
                    raised.set()
                    raise

        async with AsyncConversationStore(db) as store:
            tasks: list[asyncio.Task[None]] = []
            with pytest.raises(KeyError, match="failed"):
                async with store.transaction() as tx:
                    tasks.append(asyncio.create_task(work(tx, levels)))
                    await nested.wait()
                    failing.set()
                    raise KeyError("failed")
            assert raised.is_set()
            with pytest.raises(OutsideTransaction):
                await tasks[0]
            assert await store.conversations.count(dialog_id=plain_dialog) == 0

    asyncio.run(main())
