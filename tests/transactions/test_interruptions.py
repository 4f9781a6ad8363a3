"""A block whose wait for a nested transaction is interrupted: all is undone, and the connection stays usable."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store import AsyncConversationStore, ConversationStore, OutsideTransaction

WAYS = ["pool", "connection in autocommit", "connection"]


def check_undone(db: str, dialog: str) -> None:
    """Check with another connection that nothing but the later write is stored."""
    with ConversationStore(db) as other:
        assert [c.id for c in other.conversations.query(dialog_id=dialog)] == ["later" + dialog]


# -- asyncio ---------------------------------------------------------------------------------------


@asynccontextmanager
async def async_store_on(db: str, way: str, dialog: str) -> AsyncGenerator[AsyncConversationStore]:
    """Give a store on one connection; at the end, that connection is as it was, and a write of it is seen."""
    if way == "pool":
        async with AsyncConnectionPool(db, min_size=1, max_size=1, open=False) as pool:
            async with pool.connection() as connection:
                pid = connection.info.backend_pid
            store = AsyncConversationStore(pool=pool)
            yield store
            await store.conversations.save(dialog_id=dialog, id="later" + dialog)
            check_undone(db, dialog)
            async with pool.connection() as connection:
                assert connection.info.backend_pid == pid
    else:
        autocommit = way == "connection in autocommit"
        async with await psycopg.AsyncConnection.connect(db, autocommit=autocommit) as connection:
            store = AsyncConversationStore(connection=connection)
            yield store
            status = TransactionStatus.IDLE if autocommit else TransactionStatus.INTRANS
            assert connection.info.transaction_status == status
            await store.conversations.save(dialog_id=dialog, id="later" + dialog)
            if not autocommit:
                await connection.commit()
            check_undone(db, dialog)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("expires", "times"), [(False, 1), (False, 2), (True, 1)])
def test_a_wait_of_a_task_that_is_interrupted_undoes_all(
    db: str, plain_dialog: str, way: str, fails: bool, expires: bool, times: int
) -> None:
    refused: list[OutsideTransaction] = []

    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()
        interrupt: Callable[[], object]

        async def nested(tx: Any) -> None:
            async with tx.transaction() as inner:
                await inner.conversations.save(dialog_id=plain_dialog)
                begun.set()
                await ended.wait()  # the block waits then
                for _ in range(times):
                    interrupt()
                    for _ in range(5):  # until it is delivered
                        await asyncio.sleep(0)
                    await refusal(inner)

        async def refusal(inner: Any) -> None:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    await inner.conversations.save(dialog_id=plain_dialog)
                except OutsideTransaction as error:
                    refused.append(error)
                    return

        async def block(store: AsyncConversationStore) -> None:
            nonlocal interrupt
            async with asyncio.timeout(None) as timeout:
                task = asyncio.current_task()
                assert task is not None
                interrupt = (lambda: timeout.reschedule(0)) if expires else task.cancel
                async with store.transaction() as tx:
                    await tx.conversations.save(dialog_id=plain_dialog)
                    tasks.append(asyncio.create_task(nested(tx)))
                    await begun.wait()
                    ended.set()
                    if fails:
                        raise KeyError("failed")

        tasks: list[asyncio.Task[None]] = []
        async with async_store_on(db, way, plain_dialog) as store:
            with pytest.raises(TimeoutError if expires else asyncio.CancelledError):
                await asyncio.create_task(block(store))
            await tasks[0]

    asyncio.run(main())
    assert len(refused) == times


# -- threads ---------------------------------------------------------------------------------------


@contextmanager
def store_on(db: str, way: str, dialog: str) -> Generator[ConversationStore]:
    """Do as `async_store_on` does, sync."""
    if way == "pool":
        with ConnectionPool(db, min_size=1, max_size=1, open=True) as pool:
            with pool.connection() as connection:
                pid = connection.info.backend_pid
            store = ConversationStore(pool=pool)
            yield store
            store.conversations.save(dialog_id=dialog, id="later" + dialog)
            check_undone(db, dialog)
            with pool.connection() as connection:
                assert connection.info.backend_pid == pid
    else:
        autocommit = way == "connection in autocommit"
        with psycopg.connect(db, autocommit=autocommit) as connection:
            store = ConversationStore(connection=connection)
            yield store
            status = TransactionStatus.IDLE if autocommit else TransactionStatus.INTRANS
            assert connection.info.transaction_status == status
            store.conversations.save(dialog_id=dialog, id="later" + dialog)
            if not autocommit:
                connection.commit()
            check_undone(db, dialog)


def wait_until_it_waits(thread: int) -> None:
    """Wait until another thread waits in a condition, and stays at the same instruction for a while."""
    deadline = time.monotonic() + 30
    last, seen = None, 0
    while seen < 20:
        assert time.monotonic() < deadline, "the block does not wait"
        frame = sys._current_frames()[thread]
        waits = (frame.f_code.co_filename, frame.f_code.co_name) == (threading.__file__, "wait")
        at = (id(frame), frame.f_lasti) if waits else None
        last, seen = at, seen + 1 if at is not None and at == last else 0
        del frame
        time.sleep(0.001)


@pytest.fixture
def interruptible() -> Generator[int]:
    """Have SIGINT raise KeyboardInterrupt, and give the thread that it is raised in."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield threading.get_ident()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent to a thread")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_a_wait_of_a_thread_that_is_interrupted_undoes_all(
    db: str, plain_dialog: str, interruptible: int, way: str, fails: bool, times: int
) -> None:
    begun, ended = threading.Event(), threading.Event()
    refused: list[OutsideTransaction] = []

    def nested(tx: Any) -> None:
        with tx.transaction() as inner:
            inner.conversations.save(dialog_id=plain_dialog)
            begun.set()
            ended.wait()
            for _ in range(times):
                wait_until_it_waits(interruptible)
                signal.pthread_kill(interruptible, signal.SIGINT)
                refusal(inner)

    def refusal(inner: Any) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                inner.conversations.save(dialog_id=plain_dialog)
            except OutsideTransaction as error:
                refused.append(error)
                return

    threads: list[threading.Thread] = []
    with store_on(db, way, plain_dialog) as store:
        with pytest.raises(KeyboardInterrupt), store.transaction() as tx:
            tx.conversations.save(dialog_id=plain_dialog)
            threads.append(threading.Thread(target=nested, args=(tx,), daemon=True))
            threads[0].start()
            begun.wait()
            ended.set()
            if fails:
                raise KeyError("failed")
        threads[0].join()
    assert len(refused) == times
