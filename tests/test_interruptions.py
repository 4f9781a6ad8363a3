"""Interruptions at the worst moments: between sending and waiting, in the first question, and around the pool."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import generators

from conversation_store import ConversationStore, ForkedConnection, _connections, _wire
from conversation_store._own_pool import OwnPoolRoot
from support.both_apis import AsyncApi, SyncApi

Api = SyncApi | AsyncApi
INTERRUPTIONS = [KeyboardInterrupt, asyncio.CancelledError]


def raise_once(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, error: BaseException) -> None:
    """Raise an error where a function of a module is called next."""
    function = getattr(module, name)

    def raising(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(module, name, function)
        raise error

    monkeypatch.setattr(module, name, raising)


@pytest.fixture(params=["own pool", "connection in autocommit", "connection"])
def store(request: pytest.FixtureRequest, db: str, tenant: str) -> Generator[ConversationStore]:
    """A store that has asked its connection what it asks first; the tenant has a dialog."""
    with psycopg.connect(db, autocommit=request.param != "connection") as connection:
        of: Any = {"conninfo": db, "max_size": 1} if request.param == "own pool" else {"connection": connection}
        with ConversationStore(**of) as store:
            store.dialogs.save(id="d", tenant_id=tenant)
            connection.commit()
            yield store


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_an_interruption_between_sending_and_waiting_leaves_a_connection_that_works(
    store: ConversationStore, tenant: str, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    raise_once(monkeypatch, _wire, "_answer", interruption())
    with pytest.raises(interruption):
        store.dialogs.query(tenant_id=tenant)
    connection = store._executor.source.connection  # pyright: ignore[reportPrivateUsage]
    if connection is not None:
        connection.rollback()  # of what the server has undone, as after any error
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == ["d"]


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_after_an_interruption_of_the_first_question_nothing_is_sent_and_nothing_is_remembered(
    api: Api, db: str, tenant: str, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    facts = vars(_connections)["_facts"]
    with api.store(db) as other, api.connect(db, autocommit=True) as connection:
        other.dialogs.save(id="d", tenant_id=tenant, name="before")
        with api.store(connection=connection) as store:
            raise_once(monkeypatch, generators, "execute", interruption())
            with pytest.raises(interruption):
                store.dialogs.update_by_id("d", {"name": "after"}, tenant_id=tenant)
            assert connection not in facts
            assert store.dialogs.get_by_id("d", tenant_id=tenant).name == "before"
        assert facts[connection].may_prepare


def test_the_last_words_of_a_server_do_not_hide_its_error(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(db, autocommit=True) as connection, ConversationStore(connection=connection) as store:
        store.conversations.count()
        execute = generators.execute

        def twice(pgconn: Any) -> Any:
            results = yield from execute(pgconn)
            return results * 2

        monkeypatch.setattr(generators, "execute", twice)
        connection.execute("SET search_path = ''")
        connection.execute("DROP SCHEMA IF EXISTS nowhere")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET ROLE pg_monitor")
            store.conversations.count()


def test_a_turn_at_the_pool_that_an_interruption_has_lost_comes_back(db: str) -> None:
    with ConversationStore(db, min_size=1, max_size=1, timeout=0.2) as store:
        own = store._own  # pyright: ignore[reportPrivateUsage]
        assert isinstance(own, OwnPoolRoot)
        assert own._turns.take(0)  # pyright: ignore[reportPrivateUsage]
        for _ in range(3):
            assert isinstance(store.conversations.count(), int)


def test_a_connection_of_the_pool_that_an_interruption_has_lost_is_replaced(db: str) -> None:
    with ConversationStore(db, min_size=1, max_size=1, timeout=0.5) as store:
        own = store._own  # pyright: ignore[reportPrivateUsage]
        assert isinstance(own, OwnPoolRoot)
        own.take().connection.close()  # and nobody gives it back
        with pytest.raises(psycopg.OperationalError, match="couldn't get a connection"):
            store.conversations.count()
        assert isinstance(store.conversations.count(), int)


def test_a_child_does_not_wait_for_a_thread_that_was_left_in_its_parent(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(db, autocommit=True) as connection, ConversationStore(connection=connection) as store:
        taken, done = threading.Event(), threading.Event()

        def hold() -> None:
            source = store._executor.source  # pyright: ignore[reportPrivateUsage]
            held = source.take()
            taken.set()
            done.wait(30)
            source.give_back(held)

        thread = threading.Thread(target=hold)
        thread.start()
        assert taken.wait(30)
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: 0)
            with pytest.raises(ForkedConnection):
                store.conversations.count()
        done.set()
        thread.join()


@pytest.mark.parametrize("behind_the_back", [True, False])
def test_a_session_that_was_reset_prepares_its_statements_again(
    api: Api, db: str, tenant: str, behind_the_back: bool
) -> None:
    with api.connect(db, autocommit=True, prepare_threshold=0) as connection, api.store(connection=connection) as store:
        store.dialogs.save(id="d", tenant_id=tenant)
        for _ in range(3):
            assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == ["d"]
            if behind_the_back:
                connection.pgconn.exec_(b"DISCARD ALL")
            else:
                api.run(lambda: connection.execute("DISCARD ALL"))


def test_threads_get_the_connections_of_a_pool_in_their_turn_and_wait_no_longer_than_its_timeout(db: str) -> None:
    with ConversationStore(db, min_size=2, max_size=2, timeout=20) as store:
        ends = [threading.Event() for _ in range(5)]
        numbers = [0] * len(ends)

        def call(n: int) -> None:
            while not ends[n].is_set() and numbers[n] < 2_000:
                store.conversations.count()
                numbers[n] += 1
                if min(numbers) >= 30:
                    ends[n].set()

        threads = [threading.Thread(target=call, args=(n,)) for n in range(len(ends))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert min(numbers) >= 30
        assert max(numbers) < 300


def test_a_call_waits_no_longer_for_its_turn_than_the_timeout(db: str) -> None:
    with ConversationStore(db, min_size=1, max_size=1, timeout=0.3) as store:
        own = store._own  # pyright: ignore[reportPrivateUsage]
        assert isinstance(own, OwnPoolRoot)
        held = own.take()
        with pytest.raises(psycopg.OperationalError, match=r"couldn't get a connection after 0\.3 seconds"):
            store.conversations.count()
        own.give_back(held)
        assert isinstance(store.conversations.count(), int)
