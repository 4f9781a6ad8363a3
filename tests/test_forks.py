"""A child process never uses the sockets of its parent."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store import AsyncConversationStore, ConversationStore, ForkedConnection

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(function: Callable[[], Any]) -> Callable[[], Any]:
    """Fork a child that runs a function; return what waits for its result."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    if (pid := os.fork()) == 0:
        _answer(function, writing)
    writing.close()

    def result() -> Any:
        try:
            return reading.recv() if reading.poll(60) else "no answer"
        finally:
            os.waitpid(pid, 0)

    return result


def _answer(function: Callable[[], Any], writing: Pipe) -> None:
    try:
        writing.send(function())
    except ForkedConnection as error:
        writing.send(error)
    except BaseException:
        writing.send(traceback.format_exc())
    finally:
        os._exit(0)


def test_children_of_a_store_of_its_own_pool_read_their_own_rows(db: str, tenant: str) -> None:
    with ConversationStore(db, min_size=2) as store:
        acme = store.for_tenant(tenant)
        acme.dialogs.save(id="d")
        for n in range(2):
            acme.conversations.save(id=f"c{n}", dialog_id="d")

        def read(n: int) -> list[str]:
            rows = [acme.conversations.get_by_id(f"c{n % 2}") for _ in range(200)]
            return sorted({row.id for row in rows if row is not None})

        results = [in_child(partial(read, n)) for n in range(4)]
        assert read(0) == ["c0"]
        assert [result() for result in results] == [["c0"], ["c1"], ["c0"], ["c1"]]
        assert read(1) == ["c1"]


def test_a_child_of_a_store_on_asyncio_opens_a_pool_of_its_own(db: str, tenant: str) -> None:
    async def parent() -> tuple[Any, int]:
        async with AsyncConversationStore(db) as store:
            await store.dialogs.save(id="d", tenant_id=tenant)
            result = in_child(lambda: asyncio.new_event_loop().run_until_complete(child(store)))
            answer = await asyncio.to_thread(result)
            return answer, len(await store.dialogs.query(tenant_id=tenant))

    async def child(store: AsyncConversationStore) -> str:
        found = await store.dialogs.get_by_id("d", tenant_id=tenant)
        await store.close()
        return "" if found is None else found.id

    assert asyncio.run(parent()) == ("d", 1)


def test_a_child_of_a_child_too_and_a_store_that_is_opened_after_the_fork(db: str, tenant: str) -> None:
    store = ConversationStore(db)

    def child() -> Any:
        with store:
            store.dialogs.save(id="d", tenant_id=tenant)
            return in_child(lambda: len(store.dialogs.query(tenant_id=tenant)))()

    assert in_child(child)() == 1


@pytest.mark.parametrize("kind", ["pool", "connection", "transaction"])
def test_what_the_caller_opened_before_the_fork_is_refused_and_stays_the_parents(
    db: str, tenant: str, kind: str
) -> None:
    with (
        ConnectionPool[Any](db, min_size=1, max_size=1, open=True) as pool,
        psycopg.connect(db, autocommit=True) as connection,
        ConversationStore(db) as own,
    ):
        store = ConversationStore(pool=pool) if kind == "pool" else ConversationStore(connection=connection)
        if kind == "transaction":
            with own.transaction() as tx:
                tx.dialogs.save(id="d", tenant_id=tenant)
                answer = in_child(lambda: len(tx.dialogs.query(tenant_id=tenant)))()
                assert len(tx.dialogs.query(tenant_id=tenant)) == 1
        else:
            store.dialogs.save(id="d", tenant_id=tenant)
            answer = in_child(lambda: len(store.dialogs.query(tenant_id=tenant)))()
            assert len(store.dialogs.query(tenant_id=tenant)) == 1
        assert isinstance(answer, ForkedConnection), answer
        assert "of the parent process" in str(answer)


@pytest.mark.parametrize("kind", ["pool", "connection", "open transaction"])
def test_what_the_caller_opened_before_the_fork_is_refused_however_late_a_store_gets_it(
    db: str, tenant: str, kind: str
) -> None:
    with (
        # The pool sends a query on each connection that it gives.
        ConnectionPool[Any](db, min_size=1, max_size=1, open=True, check=ConnectionPool.check_connection) as pool,
        psycopg.connect(db, autocommit=kind == "connection") as connection,
        psycopg.connect(db, autocommit=True) as watching,
    ):
        pool.wait()
        with pool.connection() as given:
            pids = [given.info.backend_pid, connection.info.backend_pid]
        if kind == "open transaction":
            connection.execute("SELECT 1")

        def child() -> int:
            store = ConversationStore(pool=pool) if kind == "pool" else ConversationStore(connection=connection)
            return len(store.dialogs.query(tenant_id=tenant))

        last = "SELECT query, state_change FROM pg_stat_activity WHERE pid = ANY(%s) ORDER BY pid"
        before = watching.execute(last, [pids]).fetchall()
        answer = in_child(child)()
        assert isinstance(answer, ForkedConnection), answer
        assert watching.execute(last, [pids]).fetchall() == before
        assert child() == 0


def test_a_connection_that_the_child_opens_is_its_own_though_it_has_the_number_of_a_closed_one(
    db: str, tenant: str
) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        number = connection.fileno()

        def child() -> tuple[bool, int]:
            os.close(number)
            with psycopg.connect(db, autocommit=True) as own:
                return own.fileno() == number, len(ConversationStore(connection=own).dialogs.query(tenant_id=tenant))

        assert in_child(child)() == (True, 0)


def _same(store: AsyncConversationStore) -> AsyncConversationStore:
    return store


def test_on_asyncio_what_the_caller_opened_before_the_fork_is_refused(db: str, tenant: str) -> None:
    async def parent() -> list[Any]:
        async with (
            AsyncConnectionPool[Any](db, min_size=1, open=False) as pool,
            await psycopg.AsyncConnection.connect(db, autocommit=True) as connection,
        ):
            answers: list[Any] = []
            await pool.wait()
            for late in (
                partial(AsyncConversationStore, pool=pool),
                partial(AsyncConversationStore, connection=connection),
            ):
                early = late()
                for get in (partial(_same, early), late):

                    def child(get: Callable[[], AsyncConversationStore] = get) -> Any:
                        # The child has a copy of the running loop: a step of the coroutine shows what it does first.
                        return get().dialogs.query(tenant_id=tenant).send(None)

                    answers.append(in_child(child)())
            return answers

    answers = asyncio.run(parent())
    assert len(answers) == 4
    assert all(isinstance(answer, ForkedConnection) for answer in answers), answers


@pytest.mark.parametrize("way", ["own pool", "pool", "connection"])
@pytest.mark.parametrize("fails", [True, False])
def test_a_child_that_leaves_a_transaction_of_the_parent_ends_nothing_of_it(
    db: str, tenant: str, way: str, fails: bool
) -> None:
    with ExitStack() as stack:
        if way == "own pool":
            store = stack.enter_context(ConversationStore(db))
        elif way == "pool":
            store = ConversationStore(pool=stack.enter_context(ConnectionPool(db, min_size=1, open=True)))
        else:
            store = ConversationStore(connection=stack.enter_context(psycopg.connect(db, autocommit=True)))
        acme = store.for_tenant(tenant)
        child, left, writing = False, "", None
        try:
            with acme.transaction() as tx:
                tx.dialogs.save(id="one")
                reading, writing = multiprocessing.Pipe(duplex=False)
                if os.fork() == 0:
                    child = True
                    if fails:
                        raise ZeroDivisionError
                else:
                    writing.close()
                    left = reading.recv()
                    os.wait()
                    tx.dialogs.save(id="two")
                    raise LookupError
        except BaseException as error:
            if child and writing is not None:
                writing.send(type(error).__name__)
                os._exit(0)
            assert isinstance(error, LookupError)
        assert left == ("ZeroDivisionError" if fails else "ForkedConnection")
        assert list(acme.dialogs.iter()) == []


def test_a_pool_of_the_caller_that_is_in_use_at_the_fork_is_recognised_too(db: str) -> None:
    with ConnectionPool(db, min_size=1, max_size=1, open=True) as pool, pool.connection():
        result = in_child(lambda: ConversationStore(pool=pool).dialogs.get_by_id("d"))()
    assert isinstance(result, ForkedConnection)
