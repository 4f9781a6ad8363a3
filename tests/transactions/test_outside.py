"""The store is not used inside of its own transaction, nor a transaction after its end; other threads and tasks may."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from conversation_store import AsyncConversationStore, ConversationStore, OutsideTransaction
from support.both_apis import AsyncApi, SyncApi


def test_the_store_inside_of_its_own_transaction_is_an_error(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    # A pool of one: without the check, this would wait for itself.
    with api.store(db, max_size=1, timeout=5) as store, api.store(db) as other:
        for use in (
            lambda: store.conversations.save(dialog_id=dialog),
            lambda: store.tokens.issue(tenant_id="t"),
            lambda: store.conversations.insert_many([]),
            lambda: list(store.conversations.iter()),
            lambda: store.tenants.delete_by_id("nobody"),
        ):
            with pytest.raises(OutsideTransaction, match=r"use what .* gave, tx"), store.transaction() as tx:
                tx.conversations.save(id="undone" + dialog, dialog_id=dialog)
                assert other.conversations.get_by_id("undone" + dialog) is None  # another store is not affected
                use()
        with pytest.raises(OutsideTransaction), store.transaction(), store.transaction():
            pass
        assert store.conversations.get_by_id("undone" + dialog) is None
        assert store.conversations.count(dialog_id=dialog) == 0


def test_a_transaction_goes_on_after_the_error_of_a_use_of_the_store(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        with pytest.raises(OutsideTransaction):
            store.conversations.save(dialog_id=dialog)
        tx.conversations.save(dialog_id=dialog)
    assert store.conversations.count(dialog_id=dialog) == 1


def test_a_transaction_is_an_error_after_its_end(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        walk = tx.conversations.iter(dialog_id=dialog)
        with tx.transaction() as inner:
            inner.conversations.save(dialog_id=dialog)
        with pytest.raises(OutsideTransaction, match="this transaction has ended"):
            inner.conversations.count()
        assert tx.conversations.count(dialog_id=dialog) == 1
    # Its connection may be in another transaction now.
    uses: list[Any] = [
        lambda: tx.conversations.save(dialog_id=dialog),
        lambda: next(walk),
        lambda: tx.conversations.insert_many([]),
        lambda: tx.transaction().__enter__(),
    ]
    for use in uses:
        with pytest.raises(OutsideTransaction, match="this transaction has ended"):
            use()
    assert store.conversations.count(dialog_id=dialog) == 1


def test_a_hook_may_use_the_store_that_calls_it(db: str, plain_dialog: str) -> None:
    names: list[str] = []

    def hook(name: str, *_: Any) -> None:
        names.append(name)
        if len(names) == 1:
            assert store.dialogs.get_by_id(plain_dialog, tenant_id="t") is None

    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection, on_statement=hook)
        assert store.conversations.count(dialog_id=plain_dialog, tenant_id="t") == 0
    assert names == ["conversation.count", "dialog.get_by_id"]


def test_another_thread_may_use_the_store_while_a_transaction_is_open(db: str, plain_dialog: str) -> None:
    with ConversationStore(db) as store:
        found: list[int] = []
        with store.transaction() as tx:
            tx.conversations.save(dialog_id=plain_dialog)
            thread = threading.Thread(target=lambda: found.append(store.conversations.count(dialog_id=plain_dialog)))
            thread.start()
            thread.join()
        assert found == [0]


def test_another_task_may_use_the_store_while_a_transaction_is_open(db: str, plain_dialog: str) -> None:
    async def main() -> None:
        async with AsyncConversationStore(db) as store:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def transaction() -> asyncio.Task[int]:
                async with store.transaction() as tx:
                    await tx.conversations.save(dialog_id=plain_dialog)
                    with pytest.raises(OutsideTransaction):
                        await asyncio.gather(store.conversations.count())

                    async def later() -> int:
                        await go_on.wait()
                        return await store.conversations.count(dialog_id=plain_dialog)

                    begun.set()
                    return asyncio.create_task(later())

            async def another() -> int:
                await begun.wait()
                return await store.conversations.count(dialog_id=plain_dialog)

            task, seen = await asyncio.gather(transaction(), another())
            assert seen in (0, 1)
            # A task that was started inside outlives the transaction, and may use the store after its end.
            go_on.set()
            assert await task == 1

    asyncio.run(main())
