"""A transaction whose work is lost without an error of the server never ends as if it were committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from conversation_store import AbortedTransaction, AsyncConversationStore, DialogNotFound
from support.both_apis import AsyncApi, SyncApi
from support.transactions import run_in_transaction

WAYS = ["pool", "connection in autocommit", "connection"]


@contextmanager
def store_on(api: SyncApi | AsyncApi, db: str, way: str) -> Generator[tuple[Any, int]]:
    """Give a store on one connection, and the process of its server."""
    if way == "pool":
        with api.pool(db, max_size=1) as pool, api.store(pool=pool) as store:
            with api.connection_of(pool) as connection:
                pid = connection.info.backend_pid
            yield store, pid
    else:
        autocommit = way == "connection in autocommit"
        with api.connect(db, autocommit=autocommit) as connection, api.store(connection=connection) as store:
            yield store, connection.info.backend_pid


def end_backend(db: str, pid: int) -> None:
    """End a process of the server, and wait until it has gone."""
    with psycopg.connect(db, autocommit=True) as admin:
        assert admin.execute("SELECT pg_terminate_backend(%s::integer, 30000::bigint)", [pid]).fetchone() == (True,)


@pytest.mark.parametrize("way", WAYS)
def test_a_lost_connection_whose_error_is_caught_inside_is_an_error_at_the_end(
    api: SyncApi | AsyncApi, db: str, dialog: str, way: str
) -> None:
    with store_on(api, db, way) as (store, pid), api.store(db) as other:
        with pytest.raises(AbortedTransaction, match="connection was lost"), store.transaction() as tx:
            tx.conversations.save(dialog_id=dialog)
            end_backend(db, pid)
            with pytest.raises(psycopg.OperationalError):
                tx.conversations.save(dialog_id=dialog)
        assert other.conversations.count(dialog_id=dialog) == 0
        if way == "pool":
            assert store.conversations.count(dialog_id=dialog) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_lost_connection_is_an_error_at_the_end_of_each_level(
    api: SyncApi | AsyncApi, db: str, dialog: str, way: str
) -> None:
    with store_on(api, db, way) as (store, pid), api.store(db) as other:
        with pytest.raises(AbortedTransaction, match="connection was lost"), store.transaction() as tx:
            tx.conversations.save(dialog_id=dialog)
            with pytest.raises(AbortedTransaction, match="connection was lost"), tx.transaction() as inner:
                end_backend(db, pid)
                with pytest.raises(psycopg.OperationalError):
                    inner.conversations.save(dialog_id=dialog)
        assert other.conversations.count(dialog_id=dialog) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_function_that_catches_the_loss_of_its_connection_returns_no_result(
    api: SyncApi | AsyncApi, db: str, dialog: str, way: str
) -> None:
    with store_on(api, db, way) as (store, pid), api.store(db) as other:

        def blocking(tx: Any) -> str:
            tx.conversations.save(dialog_id=dialog)
            end_backend(db, pid)
            with contextlib.suppress(psycopg.OperationalError):
                tx.conversations.save(dialog_id=dialog)
            return "done"

        async def awaiting(tx: Any) -> str:
            await tx.conversations.save(dialog_id=dialog)
            end_backend(db, pid)
            with contextlib.suppress(psycopg.OperationalError):
                await tx.conversations.save(dialog_id=dialog)
            return "done"

        with pytest.raises(AbortedTransaction, match="connection was lost"):
            run_in_transaction(api, store, blocking if isinstance(api, SyncApi) else awaiting)
        assert other.conversations.count(dialog_id=dialog) == 0


def test_a_connection_that_is_closed_inside_is_an_error_at_the_end(
    api: SyncApi | AsyncApi, db: str, dialog: str
) -> None:
    with (
        api.connect(db, autocommit=True) as connection,
        api.store(connection=connection) as store,
        pytest.raises(AbortedTransaction, match="connection was lost"),
        store.transaction() as tx,
    ):
        tx.conversations.save(dialog_id=dialog)
        api.run(connection.close)


def test_a_statement_of_a_task_that_fails_while_the_block_ends_is_an_error_at_the_end(
    db: str, plain_dialog: str
) -> None:
    async def main() -> None:
        async with AsyncConversationStore(db) as store:
            tasks: list[asyncio.Task[Any]] = []
            with pytest.raises(AbortedTransaction, match="nothing is committed"):
                async with store.transaction() as tx:
                    await tx.conversations.save(dialog_id=plain_dialog)
                    tasks.append(asyncio.create_task(tx.conversations.save(dialog_id="nowhere", tenant_id="t")))
                    await asyncio.sleep(0)  # it is sent, and its answer is not read
            with pytest.raises(DialogNotFound):
                await tasks[0]
            assert await store.conversations.count(dialog_id=plain_dialog) == 0

    asyncio.run(main())


@pytest.mark.parametrize("way", ["pool", "connection"])
def test_a_load_that_is_cancelled_and_caught_inside_is_undone_alone_or_an_error_at_the_end(
    db: str, plain_dialog: str, way: str
) -> None:
    """A load is a nested transaction. Each run cancels it at another step."""

    async def block(store: AsyncConversationStore, id: str, steps: int) -> None:
        async with store.transaction() as tx:
            await tx.conversations.save(dialog_id=plain_dialog, id=id)
            rows = [{"dialog_id": plain_dialog, "message": ["x"]}] * 50
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    expiring = asyncio.create_task(expire(limit, steps))
                    try:
                        await tx.conversations.insert_many(rows)
                    finally:
                        expiring.cancel()

    async def expire(limit: asyncio.Timeout, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        limit.reschedule(0)

    async def check(store: AsyncConversationStore) -> None:
        for steps in range(60):
            id = f"{plain_dialog}-{steps}"
            try:
                await block(store, id, steps)
                committed = True
            except AbortedTransaction:
                committed = False
            assert (await store.conversations.get_by_id(id) is not None) == committed

    async def main() -> None:
        if way == "pool":
            async with AsyncConversationStore(db, max_size=1) as store:
                await check(store)
        else:
            async with await psycopg.AsyncConnection.connect(db, autocommit=True) as connection:
                await check(AsyncConversationStore(connection=connection))
                assert connection.info.transaction_status == TransactionStatus.IDLE

    asyncio.run(main())
