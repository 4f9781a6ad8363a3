"""Pools, connections and transactions of the caller's, and what the runner does on them, in both worlds."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.adapt import PyFormat
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import args_row, dict_row, namedtuple_row, tuple_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import StrDumper, TextLoader
from psycopg_pool import PoolTimeout

from conversation_store import AlreadyExists, DialogNotFound, StalePlan
from support.both_apis import AsyncApi, SyncApi


def everything(store: Any) -> list[Any]:
    """Call every method and return what came of it, the made-up parts aside."""
    tenant, dialog, id = (uuid.uuid4().hex for _ in range(3))
    conversations, tokens, dialogs = store.conversations, store.tokens, store.dialogs
    results: list[Any] = [
        dialogs.save(id=dialog, tenant_id=tenant, name="检索").name,
        dialogs.insert_many([{"id": "b" + dialog, "tenant_id": tenant, "create_date": "2024-01-01"}]),
        dialogs.get_by_id(dialog).name,
        len(dialogs.get_by_ids([dialog, "b" + dialog, "x" + dialog])),
        [d.name for d in dialogs.query(tenant_id=tenant)],
        [d.create_date.year > 2023 for d in dialogs.iter(tenant_id=tenant, batch_size=1)],
        dialogs.update_by_id("b" + dialog, {"name": "b"}),
        conversations.save(
            id=id,
            dialog_id=dialog,
            message=[{"content": "检索"}],
            user_id="u",
            exp_user_id="e",
            create_date="2024-01-01",
            duration=0.1,
        ).create_date,
        conversations.append_round(id, [{"content": "x"}], reference=[{"a": [1.5]}], tokens=3),
        conversations.append_message(id, {"name": "n", "tokens": 5, "dsl": {"z": None}}),
        conversations.update_by_id(id, {"thumb_up": 1}),
        conversations.update_many_by_id([{"id": id, "errors": "e", "reference": [1]}]),
        conversations.stats(tenant, "2024-01-01", "2024-01-02", fill=True),
        [(name.name) for name in conversations.get_names(dialog, "e")],
    ]
    read = conversations.get_by_id(id)
    page = conversations.get_list(dialog, tenant, keywords="检索")
    assert page.sessions == [read]
    assert conversations.get_by_ids([id]) == [read]
    assert conversations.get_dialog_ids([id]) == {id: dialog}
    assert conversations.get_or_none(id=id, dialog_id=dialog) == read
    assert conversations.query(tenant_id=tenant, user_id="u") == [read]
    assert list(conversations.iter(tenant_id=tenant)) == [read]
    results += [read.message, read.reference, read.dsl, read.tokens, read.round, read.create_date, page.count]
    more = [{"dialog_id": dialog, "id": f"{id}{n}", "message": [n], "create_date": "2024-01-02"} for n in range(5)]
    results.append(conversations.insert_many(more))
    first = conversations.list_after(dialog, tenant, items_per_page=4)
    rest = conversations.list_after(dialog, tenant, items_per_page=4, cursor=first.next_cursor)
    results.append([c.message for c in (*first.sessions, *rest.sessions)])
    results += [
        rest.next_cursor,
        conversations.count(tenant_id=tenant),
        len(list(conversations.export(dialog_id=dialog))),
    ]
    issued = tokens.issue(tenant_id=tenant)
    results += [tokens.authenticate(issued.token).id == issued.id, tokens.used(issued.token)]
    beta = tokens.fill_beta(issued.id, tenant_id=tenant).beta
    results += [
        tokens.authenticate_beta(beta).id == issued.id,
        tokens.update_by_id(issued.id, {"source": "s"}, tenant_id=tenant),
    ]
    rotated = tokens.rotate(issued.id, tenant_id=tenant)
    results += [rotated.source, rotated.beta == beta, len(tokens.query(tenant_id=tenant, token=issued.token))]
    results += [
        tokens.expire(rotated.id, tenant_id=tenant, expire_date="2100-01-01"),
        tokens.revoke(issued.id, tenant_id=tenant),
    ]
    results += [tokens.delete_by_id(issued.id, tenant_id=tenant), tokens.delete(tenant_id=tenant, token=rotated.token)]
    tokens.save(tenant_id=tenant, token="adopted" + tenant)
    results += [len(tokens.query(tenant_id=tenant)), tokens.delete_by_tenant_id(tenant)]
    results += [conversations.delete_by_id(id), conversations.get_by_id(id)]
    results += [
        conversations.delete_by_ids([f"{id}0", f"{id}1"], dialog),
        conversations.delete_by_ids([f"{id}2"], "other"),
    ]
    results += [conversations.delete_not_updated_since("2024-01-03", dialog_id=dialog, batch_size=2)]
    conversations.save(dialog_id=dialog)
    results += [conversations.delete_by_dialog_ids([dialog]), dialogs.delete_by_id(dialog)]
    dialogs.save(id=dialog, tenant_id=tenant)
    conversations.save(dialog_id=dialog)
    results += [dialogs.delete_by_ids(["b" + dialog]), store.tenants.delete_by_id(tenant).to_dict()]
    return results


@pytest.fixture
def expected(store: Any) -> list[Any]:
    return everything(store)


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("row_factory", [tuple_row, dict_row, namedtuple_row, args_row(lambda *values: len(values))])
@pytest.mark.parametrize("prepare_threshold", [None, 0, 5])
def test_a_callers_pool_gives_the_same_results_and_stays_as_it_was(
    api: SyncApi | AsyncApi,
    db: str,
    expected: list[Any],
    autocommit: bool,
    row_factory: Any,
    prepare_threshold: Any,
) -> None:
    kwargs = {"autocommit": autocommit, "row_factory": row_factory, "prepare_threshold": prepare_threshold}
    with api.pool(db, max_size=1, kwargs=kwargs) as pool:
        with api.store(pool=pool) as store:
            assert everything(store) == expected
        assert not pool.closed
        with api.connection_of(pool) as connection:
            assert connection.autocommit == autocommit
            assert connection.row_factory is row_factory
            assert connection.prepare_threshold == prepare_threshold
            assert connection.info.transaction_status == TransactionStatus.IDLE


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_callers_connection_gives_the_same_results_and_has_nothing_registered(
    api: SyncApi | AsyncApi, db: str, expected: list[Any], autocommit: bool
) -> None:
    with api.connect(db, autocommit=autocommit, row_factory=dict_row) as connection:
        # What a caller may have set up for itself.
        connection.adapters.register_dumper(str, StrDumper)
        connection.adapters.register_loader("timestamptz", TextLoader)
        set_json_loads(lambda data: "loaded by the caller", connection)
        before = (
            connection.adapters.get_dumper(str, PyFormat.AUTO),
            connection.adapters.get_loader(1184, Format.TEXT),
        )
        with api.store(connection=connection) as store:
            assert everything(store) == expected
        after = (
            connection.adapters.get_dumper(str, PyFormat.AUTO),
            connection.adapters.get_loader(1184, Format.TEXT),
        )
        assert before == after
        assert not connection.closed
        assert connection.info.transaction_status == (
            TransactionStatus.IDLE if autocommit else TransactionStatus.INTRANS
        )


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


def test_a_server_that_is_not_there_is_the_pools_error(api: SyncApi | AsyncApi) -> None:
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    with pytest.raises(PoolTimeout), api.store("host=/nowhere dbname=x", timeout=0.2):
        pass


# -- the hook --------------------------------------------------------------------------------------


def test_the_hook_hears_of_every_statement_and_never_of_a_value(api: SyncApi | AsyncApi, db: str) -> None:
    heard: list[tuple[Any, ...]] = []
    value = "secret" + uuid.uuid4().hex
    with api.store(db, on_statement=lambda *event: heard.append(event)) as store:
        store.dialogs.save(id=value, tenant_id=value)
        store.dialogs.get_by_id("nobody" + value)
        store.conversations.get_list(value, value)
        for _ in range(2):
            try:
                store.conversations.save(id=value, dialog_id=value)
            except AlreadyExists:
                continue
        with store.transaction() as tx:
            tx.conversations.delete_by_id(value)
        with pytest.raises(ValueError, match="id"):
            store.dialogs.get_by_id("")
    assert [(name, rows, error) for name, _, rows, error in heard] == [
        ("dialog.save", 1, None),
        ("dialog.get_by_id", 0, None),
        ("conversation.get_list", 1, None),
        ("conversation.save", 1, None),
        ("conversation.save", 0, "UniqueViolation"),
        ("conversation.delete_by_id", 1, None),
    ]
    assert all(isinstance(seconds, float) and seconds > 0 for _, seconds, _, _ in heard)
    assert value not in str(heard)


def test_a_hook_that_fails_is_logged_and_the_call_goes_on(
    api: SyncApi | AsyncApi, db: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("hook")

    dialog = uuid.uuid4().hex
    with api.store(db, on_statement=fail) as store:
        assert store.dialogs.save(id=dialog, tenant_id="t").id == dialog
        with pytest.raises(DialogNotFound):
            store.conversations.save(dialog_id="nowhere")
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
    heard: list[Any] = []
    with (
        api.pool(database, max_size=1, kwargs=kwargs) as pool,
        api.store(pool=pool, on_statement=lambda *e: heard.append(e)) as store,
    ):
        saved = store.dialogs.save(id="d", tenant_id="t", name="n")
        for kind in ("varchar(50)", "text", "varchar(60)"):
            assert store.dialogs.get_by_id("d") == saved
            retyped(database, kind)
            assert store.dialogs.get_by_id("d") == saved
        assert [error for _, _, _, error in heard] == [None] * 7


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


def test_other_unsupported_features_are_not_taken_for_a_stale_plan(api: SyncApi | AsyncApi, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000'; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON conversation_store.dialog FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        )
    with api.store(database) as store, pytest.raises(psycopg.errors.FeatureNotSupported):
        store.dialogs.save(id="d", tenant_id="t")


def test_a_dumper_of_text_set_for_the_whole_process_is_not_ours(db: str) -> None:
    code = (
        "import psycopg; from psycopg.types.string import StrDumper; psycopg.adapters.register_dumper(str, StrDumper)\n"
        "from conversation_store import ConversationStore\n"
        f"with ConversationStore({db!r}) as store: print(store.conversations.get_list('d', 'nobody', desc=False))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Page(count=0, sessions=[])\n", "")


def test_a_json_reader_set_for_the_whole_process_is_not_ours(api: SyncApi | AsyncApi, db: str) -> None:
    with api.store(db) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        saved = store.conversations.save(dialog_id=dialog, message=[{"a": 1}])
        set_json_loads(lambda data: "loaded by the caller")
        try:
            assert store.conversations.get_by_id(saved.id).message == [{"a": 1}]
        finally:
            set_json_loads(json.loads)
