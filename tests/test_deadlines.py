"""No call waits for ever: a statement that takes too long, a server that goes silent, an interruption."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from conversation_store import (
    AsyncConversationStore,
    ConversationStore,
    InvalidArgument,
    InvalidArgumentType,
    StatementTimeout,
)
from support.both_apis import AsyncApi, SyncApi
from support.proxy import Mode, Proxy, proxy

pytestmark = pytest.mark.slow

# What is promised beside the limit itself, and how long the rest of a test may take.
ALLOWED = 2.0
LIMIT = 0.3


@contextmanager
def took(at_most: float) -> Generator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < at_most


@contextmanager
def held(db: str, dialog: str) -> Generator[psycopg.Connection[Any]]:
    """Hold the lock of a dialog."""
    with psycopg.connect(db) as holder:
        holder.execute("SELECT FROM conversation_store.dialog WHERE id = %s FOR UPDATE", [dialog])
        yield holder


def sessions(db: str, dialog: str) -> list[Any]:
    """Return the sessions that wait for the lock of a dialog."""
    with psycopg.connect(db, autocommit=True) as connection:
        return connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Lock'"
            " AND query LIKE '/* dialog.update_by_id */%' AND datname = current_database()"
        ).fetchall()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def store_of(api: SyncApi | AsyncApi, conninfo: str, way: str, **arguments: Any) -> Generator[Any]:
    """Give a store on one connection, of its own or of a caller's."""
    if way == "own pool":
        with api.store(conninfo, max_size=1, **arguments) as store:
            yield store
    elif way == "connection":
        with api.connect(conninfo, autocommit=True) as connection, api.store(connection=connection, **arguments) as s:
            yield s
    else:
        kwargs = {"autocommit": way == "pool in autocommit"}
        with api.pool(conninfo, max_size=1, kwargs=kwargs) as pool, api.store(pool=pool, **arguments) as store:
            yield store


WAYS = ["own pool", "pool in autocommit", "pool", "connection"]


@pytest.mark.parametrize("way", WAYS)
def test_a_statement_that_takes_too_long_is_cancelled_on_the_server_and_the_connection_lives_on(
    api: SyncApi | AsyncApi, db: str, plain_dialog: str, tenant: str, way: str
) -> None:
    pids: list[object] = []
    with store_of(api, db, way, statement_timeout=LIMIT) as store:

        def remember() -> None:
            with psycopg.connect(db, autocommit=True) as connection:
                query = "SELECT pid FROM pg_stat_activity WHERE query LIKE '/* dialog.get_by_id */%' ORDER BY 1"
                pids.append(connection.execute(query).fetchall())

        store.dialogs.get_by_id(plain_dialog, tenant_id=tenant)
        remember()
        with held(db, plain_dialog):
            with took(LIMIT + ALLOWED), pytest.raises(StatementTimeout, match="the server has cancelled it"):
                store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant)
            assert sessions(db, plain_dialog) == []
        assert store.dialogs.get_by_id(plain_dialog, tenant_id=tenant).name is None
        remember()
    assert pids[0] == pids[1]


def test_the_error_is_one_of_the_store_and_an_operational_error_with_its_cause(
    api: SyncApi | AsyncApi, db: str, plain_dialog: str, tenant: str
) -> None:
    names: list[object] = []
    with (
        api.store(db, statement_timeout=LIMIT, on_statement=lambda *event: names.append(event[3])) as store,
        held(db, plain_dialog),
        pytest.raises(psycopg.OperationalError) as caught,
    ):
        store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant)
    assert type(caught.value) is StatementTimeout
    assert isinstance(caught.value.__cause__, psycopg.errors.QueryCanceled)
    assert names == ["StatementTimeout"]


def test_without_a_limit_a_statement_may_take_any_time(
    api: SyncApi | AsyncApi, db: str, plain_dialog: str, tenant: str
) -> None:
    with api.store(db, statement_timeout=None) as store, psycopg.connect(db) as holder:
        holder.execute("SELECT FROM conversation_store.dialog WHERE id = %s FOR UPDATE", [plain_dialog])
        release = threading.Timer(1.0, holder.commit)
        release.start()
        assert store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant) == 1
        release.join()


def test_a_load_may_take_any_time(api: SyncApi | AsyncApi, database: str) -> None:
    with api.store(database, statement_timeout=LIMIT) as store, psycopg.connect(database) as holder:
        store.dialogs.save(id="d", tenant_id="t")
        holder.execute("LOCK TABLE conversation_store.conversation_message IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(1.0, holder.commit)
        release.start()
        assert store.conversations.insert_many([{"dialog_id": "d", "message": ["m"]}], tenant_id="t") == 1
        release.join()


# -- a server that goes silent -----------------------------------------------------------------------


@pytest.fixture
def silenced(db: str) -> Generator[Proxy]:
    """Give a proxy that a test silences; who connects to it then gives up soon."""
    with proxy(f"{db} connect_timeout=2") as running:
        yield running


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_goes_silent_fails_the_call_in_time_and_the_next_one_works(
    api: SyncApi | AsyncApi, silenced: Proxy, tenant: str, way: str
) -> None:
    with store_of(api, silenced.conninfo, way, statement_timeout=LIMIT) as store:
        assert store.dialogs.get_by_id("d", tenant_id=tenant) is None
        silenced.set(Mode.SILENT)
        with took(LIMIT + ALLOWED), pytest.raises(StatementTimeout, match="whether it took effect is unknown"):
            store.dialogs.save(id="d", tenant_id=tenant)
        silenced.set(Mode.PASS)
        if way == "connection":
            with pytest.raises(psycopg.OperationalError, match="connection is closed"):
                store.dialogs.get_by_id("e", tenant_id=tenant)
        else:
            assert store.dialogs.get_by_id("e", tenant_id=tenant) is None


def test_the_numbers_of_the_pool_are_right_after_a_silence(
    api: SyncApi | AsyncApi, silenced: Proxy, tenant: str
) -> None:
    with api.store(silenced.conninfo, min_size=3, max_size=3, statement_timeout=LIMIT) as store:

        def calls(number: int) -> list[Any]:
            return api.together(store, [lambda s: s.dialogs.get_by_id("d", tenant_id=tenant)] * number)

        assert calls(3) == [None] * 3
        silenced.set(Mode.SILENT)
        assert [type(result) for result in calls(3)] == [StatementTimeout] * 3
        silenced.set(Mode.PASS)
        assert calls(6) == [None] * 6

        def is_whole() -> bool:
            stats = (store.awaited if isinstance(api, AsyncApi) else store)._own._pool.get_stats()
            return (stats["pool_available"], stats["pool_size"], stats["requests_waiting"]) == (3, 3, 0)

        until(is_whole if isinstance(api, SyncApi) else lambda: api.run(lambda: asyncio.sleep(0.01)) or is_whole())


@pytest.mark.parametrize("way", ["own pool", "connection"])
@pytest.mark.parametrize("when", ["BEGIN", "COMMIT", "ROLLBACK"])
def test_the_begin_and_the_end_of_a_transaction_are_waited_for_no_longer(
    api: SyncApi | AsyncApi, silenced: Proxy, tenant: str, way: str, when: str
) -> None:
    with store_of(api, silenced.conninfo, way, statement_timeout=LIMIT) as store:
        store.dialogs.get_by_id("d", tenant_id=tenant)
        if when == "BEGIN":
            silenced.set(Mode.SILENT)
        error = ZeroDivisionError if when == "ROLLBACK" else StatementTimeout
        with took(LIMIT + ALLOWED), pytest.raises(error), store.transaction() as tx:
            tx.dialogs.save(id="d", tenant_id=tenant)
            silenced.set(Mode.SILENT)
            if when == "ROLLBACK":
                raise ZeroDivisionError


# -- interruptions -----------------------------------------------------------------------------------


def test_a_timeout_of_asyncio_ends_on_a_silent_server_in_two_seconds(silenced: Proxy, tenant: str) -> None:
    async def main() -> None:
        async with AsyncConversationStore(silenced.conninfo, max_size=1) as store:
            await store.dialogs.get_by_id("d", tenant_id=tenant)
            silenced.set(Mode.SILENT)
            with took(2.0), pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await store.dialogs.get_by_id("d", tenant_id=tenant)
            silenced.set(Mode.PASS)
            assert await store.dialogs.get_by_id("d", tenant_id=tenant) is None

    asyncio.run(main())


def test_a_cancelled_task_leaves_a_connection_that_works(db: str, plain_dialog: str, tenant: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(db, autocommit=True) as connection:
            store = AsyncConversationStore(connection=connection)
            with held(db, plain_dialog):
                task = asyncio.create_task(store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant))
                await asyncio.to_thread(until, lambda: sessions(db, plain_dialog))
                task.cancel()
                with took(ALLOWED), pytest.raises(asyncio.CancelledError):
                    await task
                assert sessions(db, plain_dialog) == []
            assert await store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant) == 1

    asyncio.run(main())


def test_cancellations_at_any_moment_lose_no_connection_of_the_pool(db: str, tenant: str) -> None:
    random = Random(4)

    async def main() -> None:
        async with AsyncConversationStore(db, max_size=4, timeout=5) as store:

            async def call() -> None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(random.random() * 0.006):
                        await store.tokens.query(tenant_id=tenant)

            for _ in range(300):
                await asyncio.gather(*(call() for _ in range(30)))
            for _ in range(3):
                found = await asyncio.gather(*(store.tokens.query(tenant_id=tenant) for _ in range(8)))
                assert found == [[]] * 8

            assert store._own is not None
            pool = store._own._pool
            await asyncio.to_thread(until, lambda: pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"])

    asyncio.run(main())


class Interrupted(BaseException):
    """What a handler of signals raises, as SystemExit is in a server of the web that stops a worker."""


@pytest.fixture
def interrupts() -> Generator[Callable[[float], None]]:
    """Give a function that has a signal raise an interruption in this thread after some seconds."""

    def handler(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


needs_itimer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that interrupt")


@needs_itimer
def test_an_interruption_ends_a_call_on_a_silent_server_in_two_seconds(
    silenced: Proxy, tenant: str, interrupts: Callable[[float], None]
) -> None:
    with ConversationStore(silenced.conninfo, max_size=1) as store:
        store.dialogs.get_by_id("d", tenant_id=tenant)
        silenced.set(Mode.SILENT)
        interrupts(0.3)
        with took(0.3 + ALLOWED), pytest.raises(Interrupted):
            store.dialogs.get_by_id("d", tenant_id=tenant)
        silenced.set(Mode.PASS)
        assert store.dialogs.get_by_id("d", tenant_id=tenant) is None


@needs_itimer
def test_an_interruption_ends_a_statement_on_the_server_and_the_connection_lives_on(
    db: str, plain_dialog: str, tenant: str, interrupts: Callable[[float], None]
) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        with held(db, plain_dialog):
            interrupts(0.3)
            with took(0.3 + ALLOWED), pytest.raises(Interrupted):
                store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant)
            assert sessions(db, plain_dialog) == []
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant) == 1


@needs_itimer
def test_an_interruption_while_a_load_begins_leaves_a_connection_that_works(
    database: str, interrupts: Callable[[float], None]
) -> None:
    with psycopg.connect(database, autocommit=True) as connection, psycopg.connect(database) as holder:
        store = ConversationStore(connection=connection)
        store.dialogs.save(id="d", tenant_id="t")
        holder.execute("LOCK TABLE conversation_store.conversation IN ACCESS EXCLUSIVE MODE")
        interrupts(0.3)
        with pytest.raises(Interrupted):
            store.conversations.insert_many([{"dialog_id": "d"}], tenant_id="t")
        holder.rollback()
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert store.conversations.insert_many([{"dialog_id": "d"}], tenant_id="t") == 1


def test_with_a_libpq_that_cannot_cancel_without_waiting_the_limits_hold_too(
    api: SyncApi | AsyncApi, db: str, plain_dialog: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psycopg.capabilities.has_cancel_safe", lambda *_: False)
    with api.store(db, max_size=1, statement_timeout=LIMIT) as store, held(db, plain_dialog):
        with took(LIMIT + ALLOWED), pytest.raises(StatementTimeout, match="whether it took effect is unknown"):
            store.dialogs.update_by_id(plain_dialog, {"name": "n"}, tenant_id=tenant)
        assert store.dialogs.get_by_id(plain_dialog, tenant_id=tenant).id == plain_dialog


# -- the argument ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ConversationStore, AsyncConversationStore])
def test_the_limit_is_a_number_of_seconds_or_none(kind: Any) -> None:
    with pytest.raises(
        InvalidArgument, match="statement_timeout must be more than 0 and at most 1000000 seconds, not 0"
    ):
        kind("", statement_timeout=0)
    with pytest.raises(InvalidArgumentType, match="statement_timeout must be a float, not str"):
        kind("", statement_timeout="1")
