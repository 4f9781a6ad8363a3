"""Behind a pooler that hands its servers from client to client, nothing is prepared, and no client runs another's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from conversation_store import AsyncConversationStore, ConversationStore, InvalidArgument, RoundConflict, migrate
from conversation_store._connections import ask
from conversation_store._deadlines import Limited
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.operation import check_all
from support.pooler import PROGRAM, keeps_prepared_apart, pooler
from support.ragflow_rows import import_and_report, source_database
from support.schema import NAMES
from support.server import Server

Api = SyncApi | AsyncApi

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
needs_newer = pytest.mark.skipif(not keeps_prepared_apart(), reason="PgBouncer is older than 1.21, or not installed")


@pytest.fixture(scope="module")
def behind(db: str) -> Generator[str]:
    with pooler(db) as address:
        yield address


@pytest.fixture(scope="module")
def kept_apart(db: str) -> Generator[str]:
    with pooler(db, prepared=True) as address:
        yield address


def own(address: str) -> AbstractContextManager[ConversationStore]:
    return ConversationStore(address, max_size=1)


class OfPool:
    """A store of a caller's pool, or of a caller's connection."""

    def __init__(self, address: str) -> None:
        self._pool: Any = ConnectionPool(address, min_size=1, max_size=1, open=True)

    def __enter__(self) -> ConversationStore:
        return ConversationStore(pool=self._pool)

    def __exit__(self, *_: object) -> None:
        self._pool.close()


class OfConnection:
    def __init__(self, address: str) -> None:
        self._connection: Any = psycopg.connect(address, prepare_threshold=0)

    def __enter__(self) -> ConversationStore:
        self._connection.autocommit = True
        return ConversationStore(connection=self._connection)

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@contextmanager
def any_store(api: Api, address: str, way: str, prepare: bool | None = None) -> Generator[Any]:
    """Give a store of its own pool, or of a pool, a connection or an open transaction of the caller."""
    with ExitStack() as stack:
        if way == "its own pool":
            source: dict[str, Any] = {"conninfo": address}
        elif way == "a pool":
            source = {"pool": stack.enter_context(api.pool(address))}
        else:
            autocommit = way == "a connection"
            source = {"connection": stack.enter_context(api.connect(address, autocommit=autocommit))}
        yield stack.enter_context(api.store(**source, prepare=prepare))


WAYS = ["its own pool", "a pool", "a connection", "a connection in a transaction"]


def state(address: str) -> list[Any]:
    """Return what the server behind a pooler of one server keeps for a session, beside the process itself."""
    with psycopg.connect(address, prepare_threshold=None, autocommit=True) as connection:
        return [
            connection.execute(text).fetchall()
            for text in (
                "SELECT pg_backend_pid()",
                # PgBouncer itself sets the first of these as each client has them; the others are of the transaction.
                "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT IN"
                " ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')"
                " AND name !~ '^transaction_'",
                "SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('search_path')",
                "SELECT locktype, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
                "SELECT statement FROM pg_prepared_statements WHERE statement !~ 'pg_prepared_statements'",
                "SELECT relname FROM pg_class WHERE relpersistence = 't'",
                "SELECT name FROM pg_cursors WHERE name <> ''",
                "SELECT pg_listening_channels()",
            )
        ]


def prepared(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute("SELECT statement FROM pg_prepared_statements WHERE name LIKE '\\_pg3\\_%'").fetchall()


@needs_pgbouncer
@pytest.mark.parametrize("opened", [own, OfPool, OfConnection])
def test_a_reader_beside_a_deleter_deletes_nothing(
    db: str, behind: str, tenant: str, opened: Callable[[str], AbstractContextManager[ConversationStore]]
) -> None:
    number = 200
    with ConversationStore(db) as direct:
        direct.dialogs.save(id="d", tenant_id=tenant)
        ids = [direct.conversations.save(dialog_id="d", tenant_id=tenant).id for _ in range(number)]
        both = Barrier(2)

        def read() -> int:
            with opened(behind) as store:
                both.wait()
                return sum(store.conversations.get_by_id(id, tenant_id=tenant) is not None for id in ids)

        def delete() -> int:
            with opened(behind) as store:
                both.wait()
                return sum(store.conversations.delete_by_id("none", tenant_id=tenant) for _ in ids)

        with ThreadPoolExecutor(2) as executor:
            reading, deleting = executor.submit(read), executor.submit(delete)
            assert (reading.result(), deleting.result()) == (number, 0)
        assert direct.conversations.count(tenant_id=tenant) == number


@needs_pgbouncer
@pytest.mark.parametrize("way", WAYS)
def test_every_operation_returns_what_the_table_says_and_leaves_nothing_in_the_session(
    api: Api, behind: str, way: str
) -> None:
    before = state(behind)
    with any_store(api, behind, way) as store:
        check_all(OPERATIONS, store)
    assert state(behind) == before


@needs_newer
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prepare", [None, True])
def test_every_operation_works_behind_a_pooler_that_keeps_apart_what_is_prepared(
    api: Api, kept_apart: str, way: str, prepare: bool | None
) -> None:
    with any_store(api, kept_apart, way, prepare) as store:
        check_all(OPERATIONS, store)


@needs_newer
@pytest.mark.parametrize("prepare", [None, True])
def test_only_prepare_true_prepares_there(api: Api, db: str, tenant: str, prepare: bool | None) -> None:
    with pooler(db, prepared=True) as address:
        with (
            any_store(api, address, "its own pool", prepare) as first,
            any_store(api, address, "a pool", prepare) as second,
        ):
            for _ in range(12):
                for store in (first, second):
                    assert store.conversations.count(tenant_id=tenant) == 0
        found = str(state(address))
    assert ("/* conversation.count */" in found) is (prepare is True)


@needs_pgbouncer
def test_commands_and_imports_work_and_leave_nothing_in_the_session(
    api: Api, server: Server, empty_database: str, tmp_path: Path
) -> None:
    with source_database(server) as source, pooler(source) as old, pooler(empty_database) as new:
        before = state(old), state(new)
        assert call("migrate", database=new).code == 0
        import_and_report(api, old, new)
        lines = tmp_path / "all.jsonl"
        assert call("export", "-o", lines, database=new).code == 0
        assert call("import", lines, "--rejected", tmp_path / "rejected.jsonl", database=new).code == 3
        assert (state(old), state(new)) == before


@needs_pgbouncer
def test_settings_in_a_connection_string_which_a_pooler_refuses_are_an_error_that_says_what_to_do(
    api: Api, behind: str
) -> None:
    refused = make_conninfo(behind, options="-c lock_timeout=5s")
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter") as caught, api.store(refused):
        pass
    assert "ALTER ROLE" in caught.value.__notes__[0]
    printed = call("migrate", database=refused).stderr
    assert printed.count("unsupported startup parameter") == 1
    assert printed.count("ALTER ROLE") == 1


@needs_pgbouncer
def test_migrations_that_run_at_once_apply_each_file_once(empty_database: str) -> None:
    with pooler(empty_database, default_pool_size=4) as address, ThreadPoolExecutor(4) as executor:
        applied = executor.map(migrate, [address] * 4)
        assert sorted(name for names in applied for name in names) == NAMES


@needs_pgbouncer
def test_transactions_of_many_clients_are_kept_apart(api: Api, db: str, tenant: str) -> None:
    with pooler(db, default_pool_size=2) as address, api.store(address, max_size=8) as store:
        store.dialogs.save(id="d", tenant_id=tenant)
        id = store.conversations.save(dialog_id="d", tenant_id=tenant).id
        appends = [lambda s, n=n: s.conversations.append_round(id, [n], tenant_id=tenant) for n in range(40)]
        assert sorted(api.together(store, appends)) == list(range(1, 41))
        with pytest.raises(RoundConflict), store.transaction(isolation="serializable") as tx:
            tx.dialogs.save(id="gone", tenant_id=tenant)
            tx.conversations.append_round(id, ["x"], expected_round=1, tenant_id=tenant)
        assert store.dialogs.get_by_id("gone", tenant_id=tenant) is None
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), store.transaction(read_only=True) as tx:
            tx.dialogs.save(id="gone", tenant_id=tenant)
        store.dialogs.save(id="kept", tenant_id=tenant)  # no setting of a transaction before is left


@needs_pgbouncer
def test_on_asyncio_nothing_is_prepared_either(behind: str, tenant: str) -> None:
    async def calls() -> None:
        async with AsyncConversationStore(behind, max_size=1) as store:
            for _ in range(12):
                await store.conversations.count(tenant_id=tenant)
                async with store.transaction() as tx:
                    await tx.conversations.count(tenant_id=tenant)

    asyncio.run(calls())
    with psycopg.connect(behind, prepare_threshold=None) as connection:
        assert prepared(connection) == []


@needs_pgbouncer
def test_transactions_migrations_and_loads_work_and_prepare_nothing(behind: str, tenant: str) -> None:
    assert migrate(behind) == []
    with own(behind) as store:
        for n in range(12):
            with store.transaction() as tx:
                tx.dialogs.save(id=f"d{n}", tenant_id=tenant)
            with store.transaction(isolation="serializable", read_only=True) as tx:
                tx.dialogs.query(tenant_id=tenant)
        store.conversations.insert_many({"dialog_id": "d1", "tenant_id": tenant, "message": [n]} for n in range(3_000))
        assert store.conversations.count(tenant_id=tenant) == 3_000
    with psycopg.connect(behind, prepare_threshold=None) as connection:
        assert prepared(connection) == []


def test_directly_on_a_server_statements_are_prepared_and_asked_for_once(db: str, tenant: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for _ in range(12):
            store.conversations.count(tenant_id=tenant)
        (text,) = [row[0] for row in prepared(connection)]
        assert text.startswith("/* conversation.count */")


def test_in_a_transaction_of_the_caller_nothing_is_prepared_until_it_ends(db: str, tenant: str) -> None:
    with psycopg.connect(db) as connection:
        store = ConversationStore(connection=connection)
        connection.execute("SELECT 1")
        for _ in range(12):
            store.conversations.count(tenant_id=tenant)
        assert prepared(connection) == []
        connection.rollback()
        for _ in range(12):
            store.conversations.count(tenant_id=tenant)
        assert len(prepared(connection)) == 1


def test_transactions_alone_are_asked_for_before_they_begin(db: str, tenant: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for _ in range(12):
            with store.transaction() as tx:
                tx.conversations.count(tenant_id=tenant)
        assert "/* conversation.count */" in str(prepared(connection))


def test_the_question_undoes_nothing_that_other_tasks_do_on_the_connection_meanwhile(db: str, tenant: str) -> None:
    async def calls() -> int:
        async with await psycopg.AsyncConnection.connect(db) as connection:
            store = AsyncConversationStore(connection=connection)
            await asyncio.gather(*(store.dialogs.save(id=f"d{n}", tenant_id=tenant) for n in range(8)))
            await connection.commit()
            return len(await store.dialogs.query(tenant_id=tenant))

    assert asyncio.run(calls()) == 8


def test_the_question_begins_no_transaction(db: str, tenant: str) -> None:
    with psycopg.connect(db) as connection, connection.pipeline():
        store = ConversationStore(connection=connection)
        assert store.conversations.count(tenant_id=tenant) == 0  # of which a pipeline asks nothing
    with psycopg.connect(db) as connection:
        with connection.lock:
            Limited(connection, None).wait(ask(connection))
        assert connection.info.transaction_status == TransactionStatus.IDLE
        store = ConversationStore(connection=connection)
        store.dialogs.save(id="d", tenant_id=tenant)
        connection.execute("SELECT 1")
        connection.rollback()
        assert store.dialogs.query(tenant_id=tenant) == []


def test_prepare_false_turns_it_off(db: str, tenant: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection, prepare=False)
        for _ in range(12):
            store.conversations.count(tenant_id=tenant)
        assert prepared(connection) == []


@pytest.mark.parametrize("connected", [0, -1])
def test_a_connection_that_was_told_no_process_is_one_of_a_pooler(
    db: str, tenant: str, connected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda _: connected))
        store = ConversationStore(connection=connection)
        for _ in range(12):
            store.conversations.count(tenant_id=tenant)
        assert prepared(connection) == []


def test_prepare_true_needs_a_libpq_that_closes_prepared_statements(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ConversationStore(db, prepare=True)
    monkeypatch.setattr("psycopg.capabilities.has_send_close_prepared", lambda: False)
    for kind in (ConversationStore, AsyncConversationStore):
        with pytest.raises(InvalidArgument, match=r"^prepare must not be True with a libpq before version 17"):
            kind(db, prepare=True)
