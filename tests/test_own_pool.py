"""The pool of a store's own: it opens at once or says why, and gives out no connection that the server has closed."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from conversation_store import (
    AsyncConversationStore,
    ConversationStore,
    InvalidArgument,
    InvalidArgumentType,
    _own_pool,
)
from conversation_store._deadlines import answers
from support.both_apis import AsyncApi, SyncApi
from support.pooler import PROGRAM, pooler
from support.proxy import Mode, Proxy, proxy
from support.server import embedded_server
from support.tracebacks import everything


@pytest.fixture
def between(db: str) -> Generator[Proxy]:
    with proxy(f"{db} connect_timeout=2") as running:
        yield running


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


def end_sessions(db: str, marked: str) -> None:
    """End the sessions of a test as a restart of the server does."""
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", [marked]
        )


# -- connections that the server has closed ----------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 4])
def test_after_a_restart_no_call_fails(api: SyncApi | AsyncApi, db: str, tenant: str, connections: int) -> None:
    marked = f"{db} application_name={tenant}"
    with api.store(marked, min_size=connections, max_size=connections) as store:
        for _ in range(3):
            calls = [lambda s: s.dialogs.get_by_id("d", tenant_id=tenant)] * connections
            assert api.together(store, calls) == [None] * connections
            end_sessions(db, tenant)
            assert api.together(store, calls * 2) == [None] * connections * 2


def test_a_connection_that_was_dropped_silently_is_found_when_it_was_idle(
    api: SyncApi | AsyncApi, between: Proxy, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_own_pool, "_IDLE", 0.05)
    with api.store(between.conninfo, min_size=3, max_size=3) as store:
        calls = [lambda s: s.dialogs.get_by_id("d", tenant_id=tenant)] * 3
        assert api.together(store, calls) == [None] * 3
        between.lose_all()
        time.sleep(0.1)
        assert store.dialogs.get_by_id("d", tenant_id=tenant) is None
        assert api.together(store, calls) == [None] * 3


def test_a_connection_in_use_costs_no_round_trip_more(
    api: SyncApi | AsyncApi, db: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def look(*arguments: Any) -> Any:
        looks.append(arguments)
        return answers(*arguments)

    monkeypatch.setattr(_own_pool, "answers", look)
    with api.store(db, max_size=1) as store:
        store.dialogs.get_by_id("d", tenant_id=tenant)
        looks.clear()
        for _ in range(10):
            store.dialogs.get_by_id("d", tenant_id=tenant)
        assert looks == []
        monkeypatch.setattr(_own_pool, "_IDLE", 0.0)
        store.dialogs.get_by_id("d", tenant_id=tenant)
        assert len(looks) == 1


# -- a store that cannot connect ---------------------------------------------------------------------


REFUSED = [
    ({"host": "/nowhere"}, "No such file or directory"),
    ({"dbname": "no such database"}, 'database "no such database" does not exist'),
    ({"user": "nobody such"}, 'role "nobody such" does not exist'),
    ({"host": "127.0.0.1", "port": 1}, "Connection refused"),
]


@pytest.mark.parametrize(("changed", "words"), REFUSED)
def test_a_store_that_cannot_connect_says_so_at_once_in_the_words_of_the_server(
    api: SyncApi | AsyncApi, db: str, changed: dict[str, Any], words: str
) -> None:
    conninfo = make_conninfo(db, password="se3ret", **changed)
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match=words) as caught, api.store(conninfo):
        pass
    assert time.monotonic() - started < 5
    assert "se3ret" not in everything(caught.value)


@pytest.mark.slow
@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="the server of a caller has rules of its own")
def test_a_wrong_password_fails_at_once(api: SyncApi | AsyncApi) -> None:
    with embedded_server() as own:
        rules = Path(own.host) / "data" / "pg_hba.conf"
        with psycopg.connect(own.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE ROLE somebody LOGIN PASSWORD 'r1ght'")
            rules.write_text("local all somebody scram-sha-256\n" + rules.read_text())
            connection.execute("SELECT pg_reload_conf()")
        wrong = make_conninfo(own.conninfo(), user="somebody", password="se3ret")
        started = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="authentication failed") as caught, api.store(wrong):
            pass
        assert time.monotonic() - started < 5
        assert "se3ret" not in everything(caught.value)


@pytest.mark.parametrize("kind", [ConversationStore, AsyncConversationStore])
@pytest.mark.parametrize(
    ("conninfo", "words"),
    [
        ("postgresql+psycopg://u:se3ret@h/d", "write postgresql://"),
        ("postgresql://u:se3ret@x@h/d", "percent-encode"),
        ("host=h password='se3ret", "libpq cannot read it"),
    ],
)
def test_a_malformed_conninfo_is_refused_and_not_shown(kind: Any, conninfo: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=f"conninfo must be .*{words}") as caught:
        kind(conninfo)
    assert "se3ret" not in everything(caught.value)
    for other in ("pool", "connection"):
        with pytest.raises(InvalidArgumentType, match=f"{other} must be of the type") as wrong:
            kind(**{other: conninfo})
        assert "se3ret" not in everything(wrong.value)
    with pytest.raises(InvalidArgument, match="max_size") as caught:
        kind("host=h password=se3ret", max_size=0)
    assert "se3ret" not in everything(caught.value)


def test_a_call_that_gets_no_connection_says_why(api: SyncApi | AsyncApi, between: Proxy, tenant: str) -> None:
    with api.store(between.conninfo, max_size=1, timeout=1.5) as store:
        store.dialogs.get_by_id("d", tenant_id=tenant)
        between.set(Mode.REFUSE)
        between.cut_all()
        with pytest.raises(PoolTimeout, match=r"the last attempt to connect: connection .*failed") as caught:
            store.dialogs.get_by_id("d", tenant_id=tenant)
        assert isinstance(caught.value.__cause__, psycopg.OperationalError)
        between.set(Mode.PASS)
        until = time.monotonic() + 20
        while True:
            try:
                assert store.dialogs.get_by_id("d", tenant_id=tenant) is None
                break
            except PoolTimeout:
                assert time.monotonic() < until


# -- what bounds the wait for a lost server ----------------------------------------------------------


def parameters_of(api: SyncApi | AsyncApi, conninfo: str) -> dict[str, Any]:
    with api.store(conninfo) as store:
        pool = (store.awaited if isinstance(api, AsyncApi) else store)._own._pool
        with api.connection_of(pool) as connection:
            given: dict[str, Any] = connection.info.get_parameters()
            return given | {"connect_timeout": pool.kwargs["connect_timeout"]}


def test_connections_have_bounds_that_a_conninfo_overrides(api: SyncApi | AsyncApi, db: str) -> None:
    given = parameters_of(api, db)
    assert (given["keepalives_idle"], given["keepalives_count"], given["tcp_user_timeout"]) == ("30", "3", "30000")
    assert given["connect_timeout"] == 10
    changed = parameters_of(api, f"{db} connect_timeout=3 keepalives_idle=7 tcp_user_timeout=0")
    assert (changed["keepalives_idle"], changed["tcp_user_timeout"]) == ("7", "0")
    assert changed["connect_timeout"] == "3"


# -- the isolation of a role -------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
@pytest.mark.parametrize("way", ["own pool", "pool in autocommit", "pool"])
def test_a_roles_isolation_changes_no_answer(
    api: SyncApi | AsyncApi, db: str, plain_dialog: str, tenant: str, isolation: str, way: str
) -> None:
    conninfo = make_conninfo(db, options=f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}")
    kwargs = {"autocommit": way == "pool in autocommit"}
    with ExitStack() as stack:
        if way == "own pool":
            store = stack.enter_context(api.store(conninfo, max_size=4))
        else:
            pool = stack.enter_context(api.pool(conninfo, max_size=4, kwargs=kwargs))
            store = stack.enter_context(api.store(pool=pool))
        check_read_committed(api, store, stack.enter_context(ConversationStore(db)), plain_dialog, tenant)


def check_read_committed(
    api: SyncApi | AsyncApi, store: Any, direct: ConversationStore, dialog: str, tenant: str
) -> None:
    id = store.conversations.save(dialog_id=dialog, tenant_id=tenant).id
    # Whoever waits for the lock would fail in another isolation.
    calls = [lambda s: s.conversations.append_round(id, ["m"], tenant_id=tenant)] * 8
    assert sorted(api.together(store, calls)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert store.conversations.get_by_id(id, tenant_id=tenant).message == ["m"] * 8
    with store.transaction() as tx:
        assert tx.conversations.get_by_id(id, tenant_id=tenant).round == 8
        direct.conversations.append_round(id, ["m"], tenant_id=tenant)
        assert tx.conversations.get_by_id(id, tenant_id=tenant).round == 9


# -- interruptions -------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that interrupt")
def test_an_interruption_while_all_connections_are_in_use_loses_none(db: str, tenant: str) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ConversationStore(db, max_size=1, timeout=5) as store:
            for _ in range(3):
                held, release = threading.Event(), threading.Event()

                def hold(held: threading.Event = held, release: threading.Event = release) -> None:
                    with store.transaction():
                        held.set()
                        release.wait()

                holder = threading.Thread(target=hold)
                holder.start()
                held.wait()
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with pytest.raises(Interrupted):
                    store.dialogs.get_by_id("d", tenant_id=tenant)
                release.set()
                holder.join()
            assert store.dialogs.get_by_id("d", tenant_id=tenant) is None
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_pool_that_has_lost_a_connection_is_replaced(api: SyncApi | AsyncApi, db: str, tenant: str) -> None:
    with api.store(db, max_size=1, timeout=0.5) as store:
        pool = (store.awaited if isinstance(api, AsyncApi) else store)._own._pool
        lost = api.run(pool.getconn)  # and nobody returns it
        with pytest.raises(PoolTimeout):
            store.dialogs.get_by_id("d", tenant_id=tenant)
        assert store.dialogs.get_by_id("d", tenant_id=tenant) is None
        api.run(lost.close)


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
def test_behind_a_pooler_whose_servers_are_busy_a_call_ends_in_time(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with pooler(db) as behind, psycopg.connect(behind, prepare_threshold=None) as busy:
        busy.execute("SELECT 1")
        with api.store(behind, statement_timeout=0.5, timeout=2, max_size=2) as store:
            for _ in range(2):
                started = time.monotonic()
                with pytest.raises(psycopg.OperationalError):
                    store.dialogs.get_by_id("d", tenant_id=tenant)
                assert time.monotonic() - started < 2 + 0.5 + 2
            busy.rollback()
            assert store.dialogs.get_by_id("d", tenant_id=tenant) is None
