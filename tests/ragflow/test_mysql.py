"""An import from MySQL: its settings, its snapshot and its rights, and the loss of its connection."""

from __future__ import annotations

import importlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store import ConversationStore, MigrationError, SourceError
from conversation_store.ragflow import Totals
from conversation_store.ragflow._mysql import mysql_source
from conversation_store.ragflow._source_rows import SourceDialog
from support import ragflow_layout, ragflow_mysql
from support.both_apis import AsyncApi, SyncApi
from support.mysql import PASSWORD, MySql, mysql_database, mysql_server, needs_mysql
from support.ragflow_rows import (
    DATES,
    DIALOG,
    NOON,
    TIME,
    conversation,
    import_and_report,
    mysql_source_database,
    run_import,
    source_database,
)
from support.server import Server
from support.server import database as new_database
from support.tracebacks import everything

pytestmark = needs_mysql

Api = SyncApi | AsyncApi


# -- both kinds of server -----------------------------------------------------------------


def test_checks_and_updates_from_both_kinds_of_server_give_the_same(
    api: Api, mysql: MySql, server: Server, postgresql_noproc: NoopExecutor
) -> None:
    later = {"update_date": NOON + timedelta(hours=1), "update_time": TIME + 3_600_000}
    new = {
        "dialog": [DIALOG | later | {"id": "d9", "name": "new"}],
        "api_token": [DATES | {"tenant_id": "t1", "token": "ragflow-new", "dialog_id": "d1"}],
        "api_4_conversation": [conversation("new", dialog_id="d9", message='["new"]')],
    }
    change = (
        "UPDATE {} SET name = 'renamed', update_date = '2024-01-31 13:00:00', update_time = 1706677200123"
        " WHERE id IN ('d1', 'escaped', 'null')"
    )
    results: list[Any] = []
    with mysql_source_database(mysql) as url, source_database(server) as conninfo:
        name = url.partition("localhost/")[2].partition("?")[0]
        for source in (url, conninfo):
            with new_database(server, template=postgresql_noproc.template_dbname) as target:
                result: list[Any] = [import_and_report(api, source, target, batch_size=4, check=True)]
                result.append(import_and_report(api, source, target, batch_size=4))
                for table, rows in new.items():
                    if source is url:
                        ragflow_mysql.insert(mysql, name, table, rows)
                    else:
                        ragflow_layout.insert(conninfo, table, rows)
                for table in ("dialog", "api_4_conversation"):
                    if source is url:
                        mysql.run(change.format(table), database=name)
                    else:
                        with psycopg.connect(conninfo) as connection:
                            connection.execute(change.format(f"public.{table}").encode())
                for arguments in ({}, {"check": True, "update": True}, {"update": True}, {"update": True}):
                    result.append(import_and_report(api, source, target, batch_size=4, **arguments))
                with ConversationStore(target) as store:
                    result.append(rows_of(store))
                    assert store.conversations.count(tenant_id="t1") > 10
            results.append(result)
    assert normalized(results[0]) == normalized(results[1])


def normalized(result: list[Any]) -> str:
    # In MySQL a duration is not NaN.
    return repr(result).replace("duration was -1e+38 and", "duration was nan and")


# -- the server ---------------------------------------------------------------------------


def test_settings_of_the_server_change_nothing(api: Api, database: str, mysql: MySql) -> None:
    settings = {
        "sql_mode": "'ORACLE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,EMPTY_STRING_IS_NULL,PAD_CHAR_TO_FULL_LENGTH'",
        "time_zone": "'-11:00'",
        "sql_select_limit": "1",
        "tx_isolation": "'READ-UNCOMMITTED'",
        "collation_connection": "latin1_bin",
        "character_set_results": "latin1",
        "max_join_size": "1",
        "init_connect": "'SET autocommit = 0'",
    }
    with mysql_source_database(mysql) as url:
        before = {name: mysql.run(f"SELECT @@GLOBAL.{name}")[0][0] for name in settings}
        with new_store(database) as expected:
            import_and_report(api, url, database, batch_size=4)
            plain = rows_of(expected)
            for tenant in ("t1", "t2"):
                expected.tenants.delete_by_id(tenant)
        for name, value in settings.items():
            mysql.run(f"SET GLOBAL {name} = {value}")
        try:
            import_and_report(api, url, database, batch_size=4)
        finally:
            with mysql.connect(sql_mode="") as connection, connection.cursor() as cursor:
                for name, value in before.items():
                    cursor.execute(f"SET GLOBAL {name} = %s", [value])
        with new_store(database) as store:
            assert rows_of(store) == plain


@contextmanager
def new_store(conninfo: str) -> Generator[ConversationStore]:
    with ConversationStore(conninfo) as store:
        yield store


def rows_of(store: ConversationStore) -> list[Any]:
    conversations = [row.to_dict() for row in store.conversations.iter() if row.id != "no dates"]
    tokens = [
        (t.tenant_id, t.dialog_id, t.beta) for tenant in ("t1", "t2") for t in store.tokens.query(tenant_id=tenant)
    ]
    # Of a dialog that was renamed the moment is ours.
    dialogs = [(dialog.id, dialog.tenant_id, dialog.name, dialog.create_date) for dialog in store.dialogs.iter()]
    return [*dialogs, *conversations, *sorted(tokens, key=repr)]


@pytest.mark.slow
def test_an_import_takes_its_time_whatever_the_server_allows(api: Api, database: str, mysql: MySql) -> None:
    names = ("wait_timeout", "idle_readonly_transaction_timeout", "idle_transaction_timeout", "max_statement_time")
    before = {name: mysql.run(f"SELECT @@GLOBAL.{name}")[0][0] for name in names}

    with mysql_source_database(mysql) as url:
        for name in names:
            mysql.run(f"SET GLOBAL {name} = 1")
        try:
            with mysql.connect(url.partition("localhost/")[2].partition("?")[0]) as connection:
                cursor = connection.cursor()
                cursor.execute("SET wait_timeout = 100, max_statement_time = 0")

                def wait(table: str, done: int, about: int | None) -> None:
                    cursor.execute("DO sleep(1.3)")
                    if table == "dialog":
                        # The next page waits for longer than a statement may take.
                        cursor.execute("LOCK TABLES user_canvas WRITE")
                        threading.Timer(1.3, lambda: cursor.execute("UNLOCK TABLES")).start()

                run_import(api, url, database, on_progress=wait)
        finally:
            for name, value in before.items():
                mysql.run(f"SET GLOBAL {name} = {value}")


def test_the_import_reads_one_snapshot_and_writes_nothing(
    api: Api, mysql: MySql, old_mysql: str, database: str
) -> None:
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", [conversation(str(i)) for i in range(3)])
    before = mysql.run("CHECKSUM TABLE dialog, user_canvas, api_token, api_4_conversation", database=old_mysql)

    def meanwhile(table: str, done: int, about: int | None) -> None:
        if table == "dialog":
            mysql.run("DELETE FROM api_4_conversation WHERE id = '1'", database=old_mysql)
            ragflow_mysql.insert(
                mysql, old_mysql, "api_4_conversation", [conversation("3"), conversation("1", name="new")]
            )

    totals = run_import(api, mysql.url(old_mysql), database, on_progress=meanwhile)
    assert totals["api_4_conversation"] == Totals(read=3, imported=3)
    with ConversationStore(database) as store:
        assert [(c.id, c.name) for c in store.conversations.iter()] == [("0", None), ("1", None), ("2", None)]
    mysql.run(
        "DELETE FROM api_4_conversation WHERE id = '3'", "UPDATE api_4_conversation SET name = NULL", database=old_mysql
    )
    assert mysql.run("CHECKSUM TABLE dialog, user_canvas, api_token, api_4_conversation", database=old_mysql) == before
    run_import(api, mysql.url(old_mysql), database)
    assert mysql.run("SELECT count(*) FROM information_schema.innodb_trx") == [(0,)]


def test_the_snapshot_is_that_of_the_beginning(mysql: MySql, old_mysql: str) -> None:
    with closing(mysql_source("source", mysql.url(old_mysql))) as source:
        source.begin("UTC")
        ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
        assert source.read("dialogs", SourceDialog, after_id=None, limit=1) == []


def test_a_connection_that_is_lost_ends_the_import_and_the_next_run_goes_on(
    api: Api, mysql: MySql, database: str
) -> None:
    def kill(table: str, done: int, about: int | None) -> None:
        if table == "api_4_conversation" and done >= 8:
            for (id,) in mysql.run("SELECT id FROM information_schema.processlist WHERE user = 'reader'"):
                mysql.run(f"KILL {id}")

    with mysql_source_database(mysql) as url:
        with pytest.raises(SourceError, match=r"was lost: .*; run the import again to go on") as raised:
            run_import(api, url, database, batch_size=4, on_progress=kill)
        assert PASSWORD.partition(" ")[0] not in everything(raised.value)
        assert quote(PASSWORD, safe="") not in everything(raised.value)
        totals, _ = import_and_report(api, url, database)
        assert totals["api_4_conversation"].skipped > 0
        with ConversationStore(database) as store:
            assert (
                store.conversations.count() == totals["api_4_conversation"].read - totals["api_4_conversation"].rejected
            )


def test_a_server_that_cannot_be_used_is_told_without_the_password(
    api: Api, mysql: MySql, old_mysql: str, database: str
) -> None:
    url = mysql.url(old_mysql, tcp=True)
    wrong = quote("wrong" + PASSWORD, safe="")
    for refused, message in (
        (url.replace(quote(PASSWORD, safe=""), wrong), "Access denied for user 'reader'"),
        (url.replace(old_mysql, "no_such_database"), "no_such_database"),
        (url.replace(str(mysql.port), "1"), "Can't connect to MySQL server on '127.0.0.1'"),
        (f"{url}?ssl_mode=required", "SSL"),
    ):
        with pytest.raises(SourceError, match=re.escape(message)) as raised:
            run_import(api, refused, database)
        shown = everything(raised.value)
        assert PASSWORD.partition(" ")[0] not in shown
        assert wrong not in shown
        assert str(raised.value).startswith("the database to import: ")
    run_import(api, f"{url}?ssl_mode=disabled", database)


@pytest.mark.parametrize("interrupted", [KeyboardInterrupt, ValueError])
def test_no_traceback_of_an_interrupted_connection_shows_the_password(
    api: Api,
    mysql: MySql,
    old_mysql: str,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    interrupted: type[BaseException],
) -> None:
    def interrupt(*_: Any) -> None:
        raise interrupted

    pymysql: Any = importlib.import_module("pymysql")
    monkeypatch.setattr(pymysql.connections.Connection, "connect", interrupt)
    with pytest.raises(interrupted) as raised:
        run_import(api, mysql.url(old_mysql), database)
    shown = everything(raised.value)
    assert PASSWORD.partition(" ")[0] not in shown  # as bytes too, of which the rest is escaped


def test_the_account_needs_the_grants_of_the_documentation_and_no_more(
    api: Api, mysql: MySql, old_mysql: str, database: str
) -> None:
    text = (Path(__file__).parents[2] / "sql" / "README.md").read_text()
    (grants,) = re.findall(r"```mysql\n(.*?)```", text, re.DOTALL)
    renamed = grants.replace("rag_flow.", f"{old_mysql}.").replace("reader", "another").replace("…", "x")
    mysql.run(*renamed.rstrip(";\n").split(";\n"))
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    url = f"mysql://another:x@127.0.0.1:{mysql.port}/{old_mysql}"
    try:
        assert run_import(api, url, database)["dialog"].imported == 1
        mysql.run(f"REVOKE SELECT ON {old_mysql}.api_token FROM another")
        with pytest.raises(MigrationError, match="has no table api_token"):
            run_import(api, url, database)
    finally:
        mysql.run("DROP USER another")


def test_a_database_without_agents_is_imported(api: Api, mysql: MySql, old_mysql: str, database: str) -> None:
    mysql.run("DROP TABLE user_canvas", database=old_mysql)
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    totals, _ = import_and_report(api, mysql.url(old_mysql), database)
    assert list(totals) == ["dialog", "api_token", "api_4_conversation"]


def test_the_case_of_a_table_counts_where_it_counts_to_the_server(mysql: MySql, old_mysql: str, database: str) -> None:
    mysql.run("RENAME TABLE dialog TO Dialog", database=old_mysql)
    with pytest.raises(MigrationError, match="has no table dialog"):
        run_import(SyncApi(), mysql.url(old_mysql), database)
    with mysql_server(**{"lower-case-table-names": "1"}) as other, mysql_database(other) as name:
        other.run(*(table.replace("TABLE dialog", "TABLE DIALOG") for table in ragflow_mysql.TABLES), database=name)
        ragflow_mysql.insert(other, name, "dialog", [DIALOG])
        assert run_import(SyncApi(), other.url(name), database)["dialog"].imported == 1


@pytest.mark.slow
def test_a_row_that_is_larger_than_a_packet_is_read(api: Api, mysql: MySql, old_mysql: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    message = ["x" * (20 << 20)]
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", [conversation("1", message=json.dumps(message))])
    mysql.run(f"SET GLOBAL max_allowed_packet = {1 << 20}")
    try:
        run_import(api, mysql.url(old_mysql), database)
    finally:
        mysql.run(f"SET GLOBAL max_allowed_packet = {1 << 30}")
    with ConversationStore(database) as store:
        assert [c.message for c in store.conversations.iter()] == [message]
