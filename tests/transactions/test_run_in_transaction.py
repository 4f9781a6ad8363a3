"""`run_in_transaction`: a function runs in a transaction, and again where PostgreSQL asks for that."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from conversation_store import AsyncConversationStore, ConversationStore, InvalidArgument, InvalidArgumentType
from support.both_apis import AsyncApi, SyncApi
from support.transactions import run_in_transaction


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


def test_a_function_of_the_other_api_is_an_error(db: str, plain_dialog: str) -> None:
    async def awaiting(tx: Any) -> None:
        await tx.conversations.save(dialog_id=plain_dialog)

    blocking: Any = awaiting
    with ConversationStore(db) as store, pytest.raises(InvalidArgumentType, match="function must be a plain function"):
        store.run_in_transaction(blocking)

    def generator(tx: Any) -> Any:
        yield tx.conversations.save(dialog_id=plain_dialog)

    with ConversationStore(db) as store, pytest.raises(InvalidArgumentType, match="function must be a plain function"):
        store.run_in_transaction(generator)

    async def main() -> None:
        async with AsyncConversationStore(db) as store:
            function: Any = lambda tx: None  # noqa: E731
            with pytest.raises(InvalidArgumentType, match="function must be a coroutine function"):
                await store.run_in_transaction(function)

    asyncio.run(main())


def test_serializable_transactions_that_run_concurrently_are_as_if_one_after_the_other(
    api: SyncApi | AsyncApi, db: str, dialog: str
) -> None:
    """Each call counts the conversations and saves one that is named by the count."""
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


def test_a_function_runs_again_after_serialization_failures_and_deadlocks_alone_and_a_limited_number_of_times(
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
        with pytest.raises(InvalidArgument, match="attempts"):
            run_in_transaction(api, store, lambda tx: None, attempts=wrong)


def test_two_transactions_in_a_deadlock_are_both_done_in_the_end(db: str, plain_dialog: str) -> None:
    with ConversationStore(db) as store:
        ids = [store.conversations.save(dialog_id=plain_dialog).id for _ in range(2)]
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
def test_inside_of_the_transaction_of_the_caller_no_function_runs_again(
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
