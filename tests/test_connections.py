"""Pools, connections and transactions of the caller's, and what the executor does on them, sync and async."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.adapt import PyFormat
from psycopg.conninfo import make_conninfo
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import args_row, dict_row, namedtuple_row, tuple_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import StrDumper, TextLoader

from conversation_store import (
    AlreadyExists,
    DialogNotFound,
    InvalidArgument,
    StalePlan,
    UnsupportedConnection,
    _executor,
    _wire,
)
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.operation import check_all

# Pairwise: each two settings occur together once at least.
POOLS = [
    (True, tuple_row, None),
    (False, tuple_row, 0),
    (True, dict_row, 5),
    (False, dict_row, None),
    (True, namedtuple_row, 0),
    (False, namedtuple_row, 5),
    (True, args_row(lambda *values: len(values)), None),
    (False, args_row(lambda *values: len(values)), 5),
]


@pytest.mark.parametrize(("autocommit", "row_factory", "prepare_threshold"), POOLS)
def test_a_callers_pool_gives_the_same_results_and_stays_as_it_was(
    api: SyncApi | AsyncApi, db: str, autocommit: bool, row_factory: Any, prepare_threshold: int | None
) -> None:
    kwargs = {"autocommit": autocommit, "row_factory": row_factory, "prepare_threshold": prepare_threshold}
    with api.pool(db, max_size=1, kwargs=kwargs) as pool:
        with api.store(pool=pool) as store:
            check_all(OPERATIONS, store)
        assert not pool.closed
        with api.connection_of(pool) as connection:
            assert connection.autocommit == autocommit
            assert connection.row_factory is row_factory
            assert connection.prepare_threshold == prepare_threshold
            assert connection.info.transaction_status == TransactionStatus.IDLE


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_callers_connection_gives_the_same_results_and_has_nothing_registered(
    api: SyncApi | AsyncApi, db: str, autocommit: bool
) -> None:
    with api.connect(db, autocommit=autocommit, row_factory=dict_row) as connection:
        # What a caller may have set up for itself.
        connection.adapters.register_dumper(str, StrDumper)
        connection.adapters.register_loader("timestamptz", TextLoader)
        set_json_loads(lambda data: "loaded by the caller", connection)

        def registered() -> Any:
            adapters = connection.adapters
            return adapters.get_dumper(str, PyFormat.AUTO), adapters.get_loader(1184, Format.TEXT)

        before = registered()
        with api.store(connection=connection) as store:
            check_all(OPERATIONS, store)
        assert registered() == before
        assert not connection.closed
        status = TransactionStatus.IDLE if autocommit else TransactionStatus.INTRANS
        assert connection.info.transaction_status == status


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_an_open_transaction_of_the_callers_is_joined_and_never_committed(
    api: SyncApi | AsyncApi, db: str, autocommit: bool, nested: bool
) -> None:
    dialog = uuid.uuid4().hex
    with api.connect(db, autocommit=autocommit) as connection, api.store(db) as other:

        def save(store: Any) -> None:
            if nested:
                with store.transaction() as tx:
                    tx.dialogs.save(id=dialog, tenant_id="t")
            else:
                store.dialogs.save(id=dialog, tenant_id="t")

        with api.store(connection=connection) as store:
            if autocommit:
                with pytest.raises(ZeroDivisionError), api.entered(connection.transaction()):
                    save(store)
                    assert connection.info.transaction_status == TransactionStatus.INTRANS
                    assert other.dialogs.get_by_id(dialog) is None
                    raise ZeroDivisionError
            else:
                save(store)
                assert connection.info.transaction_status == TransactionStatus.INTRANS
                assert other.dialogs.get_by_id(dialog) is None
                api.run(connection.rollback)
            assert other.dialogs.get_by_id(dialog) is None
            assert store.dialogs.get_by_id(dialog) is None


def stores(api: SyncApi | AsyncApi, db: str) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """Return each way to have a store."""

    @contextmanager
    def on_pool(autocommit: bool) -> Any:
        with api.pool(db, max_size=2, kwargs={"autocommit": autocommit}) as pool, api.store(pool=pool) as store:
            yield store

    return {
        "conninfo": lambda: api.store(db),
        "pool in autocommit": lambda: on_pool(True),
        "pool": lambda: on_pool(False),
    }


@pytest.mark.parametrize("way", ["conninfo", "pool in autocommit", "pool"])
def test_a_transaction_is_committed_as_a_whole_or_not_at_all(api: SyncApi | AsyncApi, db: str, way: str) -> None:
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    with stores(api, db)[way]() as store, api.store(db) as other:
        with store.transaction() as tx:
            tx.dialogs.save(id=one, tenant_id="t")
            id = tx.conversations.save(dialog_id=one).id
            assert other.dialogs.get_by_id(one) is None
            assert tx.tokens.query(tenant_id="nobody" + one) == []
        assert store.conversations.get_by_id(id).dialog_id == one
        with pytest.raises(DialogNotFound), store.transaction() as tx:
            tx.dialogs.save(id=two, tenant_id="t")
            tx.conversations.append_round(id, ["lost"])
            tx.conversations.save(dialog_id="nowhere")
        assert store.dialogs.get_by_id(two) is None
        assert store.conversations.get_by_id(id).message == []


def test_an_error_leaves_the_pool_usable(api: SyncApi | AsyncApi, db: str) -> None:
    for autocommit in (True, False):
        with api.pool(db, max_size=1, kwargs={"autocommit": autocommit}) as pool, api.store(pool=pool) as store:
            for _ in range(3):
                with pytest.raises(DialogNotFound):
                    store.conversations.save(dialog_id="nowhere")
                assert store.dialogs.get_by_id("nowhere") is None


# -- the hook --------------------------------------------------------------------------------------


def test_the_hook_is_called_with_every_statement_and_never_with_a_value(api: SyncApi | AsyncApi, db: str) -> None:
    events: list[tuple[Any, ...]] = []
    value = "secret" + uuid.uuid4().hex
    with api.store(db, on_statement=lambda *event: events.append(event)) as unbound:
        store = unbound.for_tenant(value)
        store.dialogs.save(id=value)
        store.dialogs.get_by_id("nobody" + value)
        store.conversations.get_list(value)
        for _ in range(2):
            try:
                store.conversations.save(id=value, dialog_id=value)
            except AlreadyExists:
                continue
        with store.transaction() as tx:
            tx.conversations.delete_by_id(value)
        with pytest.raises(InvalidArgument, match="id"):
            store.dialogs.get_by_id("")
    assert [(name, rows, error) for name, _, rows, error in events] == [
        ("dialog.save", 1, None),
        ("dialog.get_by_id", 0, None),
        ("conversation.get_list_by_create_date", 1, None),
        ("conversation.save", 1, None),
        ("conversation.save", 0, "UniqueViolation"),
        ("conversation.delete_by_id", 1, None),
    ]
    assert all(isinstance(seconds, float) and seconds > 0 for _, seconds, _, _ in events)
    assert value not in str(events)


def test_a_hook_that_fails_is_logged_and_the_call_goes_on(
    api: SyncApi | AsyncApi, db: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("hook")

    dialog = uuid.uuid4().hex
    with api.store(db, on_statement=fail) as store:
        assert store.dialogs.save(id=dialog, tenant_id="t").id == dialog
        with pytest.raises(DialogNotFound):
            store.conversations.save(dialog_id="nowhere", tenant_id="t")
    assert [record.getMessage() for record in caplog.records if record.name == "conversation_store"] == [
        "on_statement raised"
    ] * 2


# -- after a migration ---------------------------------------------------------------------------------


def retyped(database: str, kind: str) -> None:
    """Change the type of a result column, as an online migration may."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"ALTER TABLE conversation_store.dialog ALTER name TYPE {kind}".encode())


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_stale_plan_heals_outside_of_a_transaction(api: SyncApi | AsyncApi, database: str, autocommit: bool) -> None:
    kwargs = {"autocommit": autocommit, "prepare_threshold": 0}
    events: list[Any] = []
    with (
        api.pool(database, max_size=1, kwargs=kwargs) as pool,
        api.store(pool=pool, on_statement=lambda *e: events.append(e)) as store,
    ):
        saved = store.dialogs.save(id="d", tenant_id="t", name="n")
        for kind in ("varchar(50)", "text", "varchar(60)"):
            assert store.dialogs.get_by_id("d") == saved
            retyped(database, kind)
            assert store.dialogs.get_by_id("d") == saved
        assert {error for _, _, _, error in events} == {None}


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_stale_plan_heals_in_a_read_committed_transaction_whatever_the_role_has_set(
    api: SyncApi | AsyncApi, database: str, autocommit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    def noted(run: Any) -> Any:
        def noting(connection: Any, text: bytes = b"DEALLOCATE ALL", *args: Any) -> Any:
            sent.append(text)
            return run(connection, *([] if run is _wire.forget_prepared else [text]), *args)

        return noting

    for run in (_wire.command, _wire.execute, _wire.forget_prepared):
        monkeypatch.setattr(_executor, run.__name__, noted(run))
    conninfo = make_conninfo(database, options="-c default_transaction_isolation=serializable")
    kwargs = {"autocommit": autocommit, "prepare_threshold": 0}
    with api.pool(conninfo, max_size=1, kwargs=kwargs) as pool, api.store(pool=pool) as store:
        saved = store.dialogs.save(id="d", tenant_id="t", name="n")
        assert store.dialogs.get_by_id("d", tenant_id="t") == saved
        retyped(database, "varchar(50)")
        sent.clear()
        assert store.dialogs.get_by_id("d", tenant_id="t") == saved
    begin, statement, *rollback, deallocate, begin_again, statement_again = (text for text in sent if text != b"COMMIT")
    assert b"READ COMMITTED" in begin
    assert rollback == [b"ROLLBACK"]
    assert (begin_again, deallocate, statement_again) == (begin, b"DEALLOCATE ALL", statement)


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_stale_plan_inside_of_a_transaction_says_to_run_it_again(
    api: SyncApi | AsyncApi, database: str, autocommit: bool
) -> None:
    kwargs = {"autocommit": autocommit, "prepare_threshold": 0}
    with api.pool(database, max_size=1, kwargs=kwargs) as pool, api.store(pool=pool) as store:
        saved = store.dialogs.save(id="d", tenant_id="t", name="n")
        store.dialogs.get_by_id("d")
        retyped(database, "varchar(50)")
        with pytest.raises(StalePlan, match="again"), store.transaction() as tx:
            tx.conversations.get_by_id("x")
            tx.dialogs.get_by_id("d")
        with store.transaction() as tx:
            assert tx.dialogs.get_by_id("d") == saved


@pytest.mark.one_server("a distributed table has no triggers")
def test_other_unsupported_features_are_not_taken_for_a_stale_plan(api: SyncApi | AsyncApi, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000'; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON conversation_store.dialog FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        )
    with api.store(database) as store, pytest.raises(psycopg.errors.FeatureNotSupported):
        store.dialogs.save(id="d", tenant_id="t")


def test_a_dumper_of_text_set_for_the_whole_process_is_not_used(db: str) -> None:
    code = (
        "import psycopg; from psycopg.types.string import StrDumper; psycopg.adapters.register_dumper(str, StrDumper)\n"
        "from conversation_store import ConversationStore\n"
        f"with ConversationStore({db!r}) as store: print(store.conversations.get_list('d', 'nobody', desc=False))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Page(count=0, sessions=[])\n", "")


def test_a_json_reader_set_for_the_whole_process_is_not_used(api: SyncApi | AsyncApi, db: str) -> None:
    with api.store(db) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        saved = store.conversations.save(dialog_id=dialog, message=[{"a": 1}])
        set_json_loads(lambda data: "loaded by the caller")
        try:
            assert store.conversations.get_by_id(saved.id).message == [{"a": 1}]
        finally:
            set_json_loads(json.loads)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_connection_in_another_encoding_is_refused(
    api: SyncApi | AsyncApi, db: str, tenant: str, encoding: str
) -> None:
    kwargs = {"autocommit": True, "client_encoding": encoding}
    with api.pool(db, max_size=1, kwargs=kwargs) as pool, api.store(pool=pool) as store:
        with pytest.raises(UnsupportedConnection, match=f"^client_encoding must be UTF8, not '{encoding}'"):
            store.dialogs.save(id="d", tenant_id=tenant, name="é")
        with pytest.raises(UnsupportedConnection, match=f"^client_encoding must be UTF8, not '{encoding}'"):
            store.dialogs.query(tenant_id=tenant)
        with pytest.raises(UnsupportedConnection), store.transaction():
            pass
    with api.store(db) as store:
        assert store.dialogs.query(tenant_id=tenant) == []
