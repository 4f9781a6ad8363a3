"""Transactions: nested, isolated, read-only, kept apart from the store, and run again, in both worlds."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from conversation_store import (
    AbortedTransaction,
    AsyncConversationStore,
    ConversationNotFound,
    ConversationStore,
    DialogNotFound,
    OutsideTransaction,
)
from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def dialog(store: Any) -> Any:
    return store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id


def run_in_transaction(api: SyncApi | AsyncApi, store: Any, function: Any, **arguments: Any) -> Any:
    """Run a function that sees a transaction as blocking; on asyncio it runs in a thread of its own."""
    if isinstance(api, SyncApi):
        return store.run_in_transaction(function, **arguments)

    async def awaiting(tx: Any) -> Any:
        result = function(tx)
        return await result if inspect.isawaitable(result) else result

    return api.run(lambda: store.awaited.run_in_transaction(awaiting, **arguments))


def test_a_nested_transaction_is_a_savepoint(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        kept, lost = (tx.conversations.save(dialog_id=dialog).id for _ in range(2))
        with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
            inner.conversations.append_round(lost, ["lost"])
            with inner.transaction() as innermost:
                innermost.conversations.append_round(kept, ["lost"])
            raise ZeroDivisionError
        with pytest.raises(ConversationNotFound), tx.transaction() as inner:
            inner.conversations.append_round("nowhere", ["x"])
        with tx.transaction() as inner:
            inner.conversations.append_round(kept, ["kept"])
    assert store.conversations.get_by_id(lost).message == []
    assert store.conversations.get_by_id(kept).message == ["kept"]


def test_an_outer_rollback_takes_what_a_nested_transaction_did(store: Any, dialog: str) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        with tx.transaction() as inner:
            inner.conversations.save(dialog_id=dialog)
        assert tx.conversations.count(dialog_id=dialog) == 1
        raise ZeroDivisionError
    assert store.conversations.count(dialog_id=dialog) == 0


@pytest.mark.parametrize("autocommit", [True, False])
def test_isolation_and_read_only_hold_for_the_transaction_and_no_longer(
    api: SyncApi | AsyncApi, db: str, dialog: str, autocommit: bool
) -> None:
    with (
        api.pool(db, max_size=1, kwargs={"autocommit": autocommit}) as pool,
        api.store(pool=pool) as store,
        api.store(db) as other,
    ):
        with store.transaction(isolation="repeatable read", read_only=True) as tx:
            assert tx.conversations.count(dialog_id=dialog) == 0
            other.conversations.save(dialog_id=dialog)
            assert tx.conversations.count(dialog_id=dialog) == 0
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), tx.transaction() as inner:
                inner.conversations.save(dialog_id=dialog)
            assert tx.conversations.count(dialog_id=dialog) == 0
        with store.transaction(isolation="read committed") as tx:
            assert tx.conversations.count(dialog_id=dialog) == 1
            other.conversations.save(dialog_id=dialog)
            assert tx.conversations.count(dialog_id=dialog) == 2
        assert store.conversations.save(dialog_id=dialog).id


def test_serializable_transactions_that_contradict_each_other_do_not_both_commit(
    api: SyncApi | AsyncApi, db: str, dialog: str
) -> None:
    with (
        api.store(db) as one,
        api.store(db) as two,
        pytest.raises(psycopg.errors.SerializationFailure),
        one.transaction(isolation="serializable") as tx,
        two.transaction(isolation="serializable") as other,
    ):
        assert tx.conversations.count(dialog_id=dialog) == other.conversations.count(dialog_id=dialog) == 0
        tx.conversations.save(dialog_id=dialog)
        other.conversations.save(dialog_id=dialog)
    with api.store(db) as store:
        assert store.conversations.count(dialog_id=dialog) == 1


@pytest.mark.parametrize("wrong", ["serialisable", "", 1, "READ COMMITTED; DROP TABLE x"])
def test_an_unknown_isolation_is_said_and_nothing_is_begun(store: Any, wrong: Any) -> None:
    allowed = "isolation must be one of read committed, repeatable read, serializable"
    with pytest.raises(ValueError, match=allowed), store.transaction(isolation=wrong):
        pass
    with pytest.raises(TypeError, match="read_only must be a bool"), store.transaction(read_only=1):
        pass


def test_a_savepoint_has_no_isolation_of_its_own(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    with api.store(db) as store, store.transaction(isolation="serializable") as tx:
        for arguments in ({"isolation": "serializable"}, {"read_only": True}):
            with pytest.raises(ValueError, match="outermost"), tx.transaction(**arguments):
                pass
        assert tx.conversations.save(dialog_id=dialog).id
    with api.connect(db) as connection, api.store(connection=connection) as store:
        with pytest.raises(ValueError, match="outermost"), store.transaction(read_only=True):
            pass
        assert store.conversations.save(dialog_id=dialog).id
    with api.connect(db, autocommit=True) as connection, api.store(connection=connection) as store:
        with store.transaction(read_only=True) as tx:
            assert tx.conversations.count(dialog_id=dialog) == 2
        with (
            api.entered(connection.transaction()),
            pytest.raises(ValueError, match="outermost"),
            store.transaction(read_only=True),
        ):
            pass


# -- the store inside of its own transaction ---------------------------------------------------------


def test_the_store_inside_of_its_own_transaction_is_refused(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
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
                tx.conversations.save(id="lost" + dialog, dialog_id=dialog)
                assert other.conversations.get_by_id("lost" + dialog) is None  # another store is another matter
                use()
        with pytest.raises(OutsideTransaction), store.transaction(), store.transaction():
            pass
        assert store.conversations.get_by_id("lost" + dialog) is None
        assert store.conversations.count(dialog_id=dialog) == 0


def test_a_caller_who_recovers_from_the_refusal_goes_on_in_the_transaction(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        with pytest.raises(OutsideTransaction):
            store.conversations.save(dialog_id=dialog)
        tx.conversations.save(dialog_id=dialog)
    assert store.conversations.count(dialog_id=dialog) == 1


def test_a_transaction_is_refused_after_its_end(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        walk = tx.conversations.iter(dialog_id=dialog)
        with tx.transaction() as inner:
            inner.conversations.save(dialog_id=dialog)
        with pytest.raises(OutsideTransaction, match="this transaction has ended"):
            inner.conversations.count()
        assert tx.conversations.count(dialog_id=dialog) == 1
    # Its connection is another's by now.
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


def test_a_load_that_fails_takes_no_other_calls_work_along(db: str, dialog: str) -> None:
    """A call of several statements is a savepoint: what ran inside of it by chance would be undone with it."""

    async def main() -> list[Any]:
        async with AsyncConversationStore(db) as store, store.transaction() as tx:
            bad = [{"dialog_id": dialog}] * 1000 + [{"dialog_id": "nowhere"}]
            calls: list[Any] = [
                tx.conversations.insert_many(bad),
                tx.conversations.save(dialog_id=dialog, id="mine" + dialog),
                tx.conversations.insert_many([{"dialog_id": dialog}]),
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    load, save, another = asyncio.run(main())
    assert isinstance(load, DialogNotFound)
    for refused in (save, another):
        assert isinstance(refused, OutsideTransaction)
        assert "wait for its end" in str(refused)
    with ConversationStore(db) as store:
        assert store.conversations.count(dialog_id=dialog) == 0


def test_threads_in_one_transaction_lose_nothing_in_silence(db: str, dialog: str) -> None:
    with ConversationStore(db) as store, store.transaction() as tx:
        saved: list[str] = []
        refused: list[OutsideTransaction] = []

        def save() -> None:
            for _ in range(200):
                try:
                    saved.append(tx.conversations.save(dialog_id=dialog).id)
                except OutsideTransaction as error:
                    refused.append(error)

        threads = [threading.Thread(target=save) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            with pytest.raises(ZeroDivisionError), tx.transaction():
                raise ZeroDivisionError
        for thread in threads:
            thread.join()
        assert len(saved) + len(refused) == 600
        assert len(set(saved)) == tx.conversations.count(dialog_id=dialog)


def test_calls_of_several_statements_on_one_connection_of_a_callers_do_not_mix(db: str, dialog: str) -> None:
    async def main() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(db, autocommit=True) as connection:
            store = AsyncConversationStore(connection=connection)
            loads = [store.conversations.insert_many([{"dialog_id": dialog}] * 10) for _ in range(3)]
            results = await asyncio.gather(*loads, return_exceptions=True)
            assert connection.info.transaction_status == TransactionStatus.IDLE
            return results

    results = asyncio.run(main())
    assert results[0] == 10
    assert all(isinstance(result, OutsideTransaction) for result in results[1:])
    with ConversationStore(db) as store:
        assert store.conversations.count(dialog_id=dialog) == 10


def test_inside_of_a_nested_transaction_the_outer_one_waits(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        with tx.transaction() as inner:
            with pytest.raises(OutsideTransaction, match="nested transaction"):
                tx.conversations.save(dialog_id=dialog)
            inner.conversations.save(dialog_id=dialog)
        tx.conversations.save(dialog_id=dialog)
    assert store.conversations.count(dialog_id=dialog) == 2


def test_a_function_of_the_other_world_is_refused(db: str, dialog: str) -> None:
    async def awaiting(tx: Any) -> None:
        await tx.conversations.save(dialog_id=dialog)

    blocking: Any = awaiting
    with ConversationStore(db) as store, pytest.raises(TypeError, match="function must be a plain function"):
        store.run_in_transaction(blocking)

    def generator(tx: Any) -> Any:
        yield tx.conversations.save(dialog_id=dialog)

    with ConversationStore(db) as store, pytest.raises(TypeError, match="function must be a plain function"):
        store.run_in_transaction(generator)

    async def main() -> None:
        async with AsyncConversationStore(db) as store:
            function: Any = lambda tx: None  # noqa: E731
            with pytest.raises(TypeError, match="function must be a coroutine function"):
                await store.run_in_transaction(function)

    asyncio.run(main())


def test_an_error_that_is_caught_inside_is_said_at_the_end(api: SyncApi | AsyncApi, store: Any, dialog: str) -> None:
    """The server answers COMMIT with a rollback, and says nothing."""
    with pytest.raises(AbortedTransaction, match="nothing is committed"), store.transaction() as tx:
        tx.conversations.save(dialog_id=dialog)
        with pytest.raises(DialogNotFound):
            tx.conversations.save(dialog_id="nowhere")
    assert store.conversations.count(dialog_id=dialog) == 0
    with store.transaction() as tx:
        with pytest.raises(AbortedTransaction), tx.transaction() as inner, contextlib.suppress(DialogNotFound):
            inner.conversations.save(dialog_id="nowhere")
        # Caught around a nested transaction, it has undone that alone.
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


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_block_that_ends_while_a_task_has_a_nested_transaction_is_undone_as_a_whole(
    db: str, dialog: str, autocommit: bool
) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(db, autocommit=autocommit) as connection:
            store = AsyncConversationStore(connection=connection)

            async def nested(tx: Any) -> None:
                async with tx.transaction() as inner:
                    await inner.conversations.save(dialog_id=dialog)
                    begun.set()
                    await failed.wait()
                    for _ in range(100):  # until the block has failed too
                        await asyncio.sleep(0)
                    try:
                        await inner.conversations.save(dialog_id=dialog)
                    except OutsideTransaction as error:
                        refused.append(error)

            async def bad() -> None:
                await begun.wait()
                failed.set()
                raise KeyError("bad")

            begun, failed = asyncio.Event(), asyncio.Event()
            refused: list[OutsideTransaction] = []
            with pytest.raises(KeyError, match="bad"):
                async with store.transaction() as tx:
                    await tx.conversations.save(dialog_id=dialog)
                    await asyncio.gather(nested(tx), bad())
            assert len(refused) == 1  # so that it ends soon
            await store.conversations.save(dialog_id=dialog, id="kept" + dialog)
            if not autocommit:
                await connection.commit()
            assert connection.info.transaction_status == TransactionStatus.IDLE

    asyncio.run(main())
    with ConversationStore(db) as store:
        assert [c.id for c in store.conversations.query(dialog_id=dialog)] == ["kept" + dialog]


def test_a_block_that_ends_while_a_thread_has_a_nested_transaction_waits_for_it(db: str, dialog: str) -> None:
    begun, go_on = threading.Event(), threading.Event()
    with ConversationStore(db) as store:
        with store.transaction() as tx:

            def nested() -> None:
                with tx.transaction() as inner:
                    begun.set()
                    go_on.wait()
                    inner.conversations.save(dialog_id=dialog)

            thread = threading.Thread(target=nested)
            thread.start()
            begun.wait()
            go_on.set()
        thread.join()
        assert store.conversations.count(dialog_id=dialog) == 1


def test_a_load_that_is_cancelled_leaves_a_connection_that_is_usable_or_closed(db: str, dialog: str) -> None:
    async def main() -> None:
        for steps in range(80):
            async with await psycopg.AsyncConnection.connect(db, autocommit=True) as connection:
                store = AsyncConversationStore(connection=connection)
                load = store.conversations.insert_many([{"dialog_id": dialog, "message": ["x"]}] * 50)
                task = asyncio.ensure_future(load)
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                if not connection.closed:
                    assert connection.info.transaction_status == TransactionStatus.IDLE
                    await store.dialogs.get_by_id(dialog)

    asyncio.run(main())
    with ConversationStore(db) as store:
        assert store.conversations.count(dialog_id=dialog) % 50 == 0


def test_a_hook_may_use_the_store_that_calls_it(db: str, dialog: str) -> None:
    heard: list[str] = []

    def hook(name: str, *_: Any) -> None:
        heard.append(name)
        if len(heard) == 1:
            assert store.dialogs.get_by_id(dialog) is not None

    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection, on_statement=hook)
        assert store.conversations.count(dialog_id=dialog) == 0
    assert heard == ["conversation.count", "dialog.get_by_id"]


def test_another_thread_uses_the_store_while_a_transaction_is_open(db: str, dialog: str) -> None:
    with ConversationStore(db) as store:
        found: list[int] = []
        with store.transaction() as tx:
            tx.conversations.save(dialog_id=dialog)
            thread = threading.Thread(target=lambda: found.append(store.conversations.count(dialog_id=dialog)))
            thread.start()
            thread.join()
        assert found == [0]


def test_tasks_are_told_apart_on_asyncio(db: str, dialog: str) -> None:
    async def main() -> None:
        async with AsyncConversationStore(db) as store:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def transaction() -> asyncio.Task[int]:
                async with store.transaction() as tx:
                    await tx.conversations.save(dialog_id=dialog)
                    with pytest.raises(OutsideTransaction):
                        await asyncio.gather(store.conversations.count())

                    async def later() -> int:
                        await go_on.wait()
                        return await store.conversations.count(dialog_id=dialog)

                    begun.set()
                    return asyncio.create_task(later())

            async def another() -> int:
                await begun.wait()
                return await store.conversations.count(dialog_id=dialog)

            task, seen = await asyncio.gather(transaction(), another())
            assert seen in (0, 1)
            # A task that was started inside outlives the transaction, and is free when that is over.
            go_on.set()
            assert await task == 1

    asyncio.run(main())


# -- again ---------------------------------------------------------------------------------------------


def test_a_function_runs_in_a_transaction_and_its_result_is_returned(
    api: SyncApi | AsyncApi, store: Any, dialog: str
) -> None:
    def work(tx: Any) -> Any:
        return tx.conversations.save(dialog_id=dialog, name="n")

    saved = run_in_transaction(api, store, work)
    assert store.conversations.get_by_id(saved.id) == saved

    async def failing_async(tx: Any) -> None:
        await tx.conversations.save(id="failed" + dialog, dialog_id=dialog)
        raise ZeroDivisionError

    def failing(tx: Any) -> None:
        tx.conversations.save(id="failed" + dialog, dialog_id=dialog)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_transaction(api, store, failing if isinstance(api, SyncApi) else failing_async)
    assert store.conversations.get_by_id("failed" + dialog) is None


def test_concurrent_serializable_counts_lose_nothing(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    """Each call reads the number of conversations and saves the next: as one after the other."""
    with api.store(db, min_size=8, max_size=8) as store:

        def blocking(tx: Any) -> None:
            number = tx.conversations.count(dialog_id=dialog)
            tx.conversations.save(dialog_id=dialog, name=str(number))

        async def awaiting(tx: Any) -> None:
            number = await tx.conversations.count(dialog_id=dialog)
            await tx.conversations.save(dialog_id=dialog, name=str(number))

        function = blocking if isinstance(api, SyncApi) else awaiting
        call = lambda s: s.run_in_transaction(function, isolation="serializable", attempts=100)  # noqa: E731
        assert api.together(store, [call] * 8) == [None] * 8
        assert sorted(c.name for c in store.conversations.query(dialog_id=dialog)) == [*"01234567"]


def test_only_serialization_failures_and_deadlocks_are_run_again_and_not_for_ever(
    api: SyncApi | AsyncApi, store: Any
) -> None:
    for error, attempts, wanted in (
        (psycopg.errors.SerializationFailure, 3, 3),
        (psycopg.errors.DeadlockDetected, 3, 3),
        (psycopg.errors.SerializationFailure, 1, 1),
        (psycopg.errors.LockNotAvailable, 3, 1),
        (psycopg.OperationalError, 3, 1),
        (psycopg.errors.UniqueViolation, 3, 1),
        (KeyError, 3, 1),
    ):
        calls: list[Any] = []

        def work(tx: Any) -> None:
            calls.append(tx)
            raise error

        with pytest.raises(error):
            run_in_transaction(api, store, work, attempts=attempts)
        assert len(calls) == len(set(map(id, calls))) == wanted
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="attempts"):
            run_in_transaction(api, store, lambda tx: None, attempts=wrong)


def test_two_that_lock_in_a_circle_are_both_done_in_the_end(db: str, dialog: str) -> None:
    with ConversationStore(db) as store:
        ids = [store.conversations.save(dialog_id=dialog).id for _ in range(2)]
        barrier = threading.Barrier(2)
        calls: list[int] = []

        def work(order: list[str]) -> None:
            def both(tx: Any) -> None:
                calls.append(1)
                tx.conversations.append_round(order[0], ["x"])
                if len(calls) <= 2:
                    barrier.wait()
                tx.conversations.append_round(order[1], ["x"])

            store.run_in_transaction(both)

        threads = [threading.Thread(target=work, args=(order,)) for order in (ids, ids[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.conversations.get_by_id(id).round for id in ids] == [2, 2]  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
        assert len(calls) == 3


@pytest.mark.parametrize("autocommit", [True, False])
def test_inside_of_a_callers_transaction_nothing_is_run_again(
    api: SyncApi | AsyncApi, db: str, autocommit: bool
) -> None:
    with api.connect(db, autocommit=autocommit) as connection, api.store(connection=connection) as store:
        calls: list[int] = []

        def work(tx: Any) -> None:
            calls.append(1)
            raise psycopg.errors.SerializationFailure

        with pytest.raises(psycopg.errors.SerializationFailure), api.entered(connection.transaction()):
            run_in_transaction(api, store, work)
        assert len(calls) == 1
        if autocommit:
            with pytest.raises(psycopg.errors.SerializationFailure):
                run_in_transaction(api, store, work, attempts=3)
            assert len(calls) == 4
