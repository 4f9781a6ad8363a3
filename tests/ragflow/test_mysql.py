"""An import from MySQL: its collations, character sets and dates, its settings, and the loss of its connection."""

from __future__ import annotations

import importlib
import json
import random
import re
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
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
    IN_MILLISECONDS,
    IN_UTC,
    NOON,
    TIME,
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
DIALOG = DATES | {"id": "d", "tenant_id": "t"}


@pytest.fixture
def old(mysql: MySql) -> Generator[str]:
    """Give the name of a database with the tables of RAGFlow."""
    with mysql_database(mysql) as name:
        ragflow_mysql.create(mysql, name)
        yield name


def conversation(id: str, **values: Any) -> dict[str, Any]:
    return DATES | {"id": id, "dialog_id": "d"} | values


# -- collations ---------------------------------------------------------------------------

COLLATIONS = [
    "utf8mb4_unicode_ci",
    "utf8mb4_general_ci",
    "utf8mb4_bin",
    "utf8mb4_unicode_nopad_ci",
    "utf8mb3_general_ci",
    "latin1_swedish_ci",
]


@pytest.mark.parametrize("collation", COLLATIONS)
def test_every_row_is_read_once_in_every_collation(mysql: MySql, old: str, database: str, collation: str) -> None:
    at_random = random.Random(7)
    alphabet = "abAB eéEÉ_-zZ09'%ss" + ("" if "latin1" in collation else "检ß")
    wanted = {"".join(at_random.choices(alphabet, k=at_random.randint(1, 4))) for _ in range(300)}
    with mysql.connect(old) as connection, connection.cursor() as cursor:
        for table in ("dialog", "user_canvas", "api_token", "api_4_conversation"):
            cursor.execute(
                f"ALTER TABLE {table} CONVERT TO CHARACTER SET {collation.split('_')[0]} COLLATE {collation}"
            )
        ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
        for id in sorted(wanted):
            # Of those that are one to the collation the server keeps one.
            cursor.execute("INSERT IGNORE INTO api_4_conversation (id, dialog_id) VALUES (%s, 'd')", [id])
            day = NOON + timedelta(days=len(id))
            values = [at_random.choice("abAB"), f"{id}-token", day]
            cursor.execute("INSERT IGNORE INTO api_token (tenant_id, token, create_date) VALUES (%s, %s, %s)", values)
        cursor.execute("SELECT id FROM api_4_conversation")
        ids = sorted(id for (id,) in cursor.fetchall())
        cursor.execute("SELECT token FROM api_token")
        tokens = {token for (token,) in cursor.fetchall()}
    assert len(ids) > 50
    totals, _ = import_and_report(SyncApi(), mysql.url(old), database, batch_size=7)
    assert totals["api_4_conversation"].repaired == len(ids)
    # A token is one for all tenants.
    assert (totals["api_token"].read, totals["api_token"].repaired) >= (len(tokens), len(tokens))
    with ConversationStore(database) as store:
        assert sorted(store.conversations.iter_ids()) == ids


def test_tokens_and_ids_that_differ_in_case_are_two(api: Api, mysql: MySql, old: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG, DATES | {"id": "x", "tenant_id": "u"}])
    ragflow_mysql.insert(mysql, old, "user_canvas", [DATES | {"id": "D", "user_id": "t", "title": "agent"}])
    rows = [conversation("1"), conversation("2", dialog_id="D", source="agent"), conversation("3", dialog_id="X")]
    ragflow_mysql.insert(mysql, old, "api_4_conversation", rows)
    secrets = ["ragflow-AbCdEf", "ragflow-aBcDeF", "ragflow-abcdef "]
    tokens = [DATES | {"tenant_id": f"t{i}", "token": secret} for i, secret in enumerate(secrets)]
    ragflow_mysql.insert(mysql, old, "api_token", tokens)
    totals, reports = import_and_report(api, mysql.url(old), database)
    assert [(report.id, report.reason) for report in reports] == [("3", "its dialog 'X' is missing, or was rejected")]
    assert totals["user_canvas"].imported == 1
    with ConversationStore(database) as store:
        assert [(d.id, d.name) for d in store.for_tenant("t").dialogs.iter()] == [("D", "agent"), ("d", None)]
        assert {c.id: c.dialog_id for c in store.conversations.iter()} == {"1": "d", "2": "D"}
        found = [store.tokens.authenticate(secret) for secret in secrets]
        assert [token and token.tenant_id for token in found] == ["t0", "t1", "t2"]


def test_tables_of_collations_that_cannot_be_compared_are_read(mysql: MySql, old: str, database: str) -> None:
    # An upgrade of the server changes the collation of tables that are created later.
    mysql.run(
        "ALTER TABLE user_canvas CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "ALTER TABLE dialog CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci",
        database=old,
    )
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    ragflow_mysql.insert(mysql, old, "user_canvas", [DATES | {"id": id, "user_id": "t"} for id in "de"])
    totals, reports = import_and_report(SyncApi(), mysql.url(old), database)
    assert totals["user_canvas"] == Totals(read=2, imported=1, rejected=1)
    assert [(report.id, report.reason) for report in reports] == [("d", "a dialog there has this id too")]


# -- texts --------------------------------------------------------------------------------

MESSAGE = [{"role": "user", "content": "Café 10 € ‰"}]


@pytest.mark.parametrize(
    "kind", ["longtext CHARACTER SET latin1", "longtext CHARACTER SET utf8mb3", "longblob", "json"]
)
def test_texts_of_columns_of_another_character_set_are_read(mysql: MySql, old: str, database: str, kind: str) -> None:
    name = (
        kind.replace("longtext", "varchar(255)").replace("longblob", "varbinary(255)").replace("json", "varchar(255)")
    )
    mysql.run(
        f"ALTER TABLE api_4_conversation MODIFY message {kind}, MODIFY reference {kind}, MODIFY name {name}",
        database=old,
    )
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    row = conversation("1", message=json.dumps(MESSAGE, ensure_ascii=False), reference=None, name="Café €")
    ragflow_mysql.insert(mysql, old, "api_4_conversation", [row])
    _, reports = import_and_report(SyncApi(), mysql.url(old), database)
    assert reports == []
    with ConversationStore(database) as store:
        (read,) = store.conversations.iter()
        assert (read.message, read.reference, read.name) == (MESSAGE, [], "Café €")


def test_characters_beyond_the_basic_plane_are_read(api: Api, mysql: MySql, old: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG | {"name": "\U0001f600 𠮷"}])
    rows = [conversation("1", message=json.dumps(["\U0001f600 𠮷"], ensure_ascii=False), name="𠮷\\'\"%s\n")]
    ragflow_mysql.insert(mysql, old, "api_4_conversation", rows)
    _, reports = import_and_report(api, mysql.url(old), database)
    assert reports == []
    with ConversationStore(database) as store:
        (read,) = store.conversations.iter()
        assert (read.message, read.name) == (["\U0001f600 𠮷"], "𠮷\\'\"%s\n")
        assert [dialog.name for dialog in store.dialogs.iter()] == ["\U0001f600 𠮷"]


def test_u0000_in_a_text_is_repaired_or_rejected_and_told(api: Api, mysql: MySql, old: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG | {"name": "a\0b"}, DIALOG | {"id": "e\0"}])
    rows = [
        conversation("1", name="a\0", user_id="\0", exp_user_id="\0", source="\0", errors="\0", version_title="\0"),
        conversation("2", message='["a\0b"]'),
        conversation("3", dialog_id="e\0"),
        conversation("\0"),
    ]
    ragflow_mysql.insert(mysql, old, "api_4_conversation", rows)
    tokens = [
        {"token": "ragflow-a", "beta": "b\0"},
        {"token": "ragflow-b\0"},
        {"token": "ragflow-c", "dialog_id": "e\0"},
        {"token": "ragflow-d", "source": "\0"},
    ]
    ragflow_mysql.insert(mysql, old, "api_token", [DATES | {"tenant_id": "t"} | token for token in tokens])
    for update in (False, True):
        totals, reports = import_and_report(api, mysql.url(old), database, update=update)
        assert [totals[table].rejected for table in ("dialog", "api_token", "api_4_conversation")] == [1, 3, 2]
        repaired = {(r.table, r.id): r.reason for r in reports if r.outcome == "repaired"}
        if update:
            assert repaired == {}  # all are there
            continue
        assert repaired.pop(("dialog", "d")) == "name had U+0000, which is U+FFFD now"
        assert repaired.pop(("api_token", "t …")) == "its beta has U+0000 and was left out"
        assert repaired.pop(("api_4_conversation", "1")).count("had U+0000") == 6
        assert repaired.pop(("api_4_conversation", "2")) == "message is not JSON and was kept as its text"
        assert repaired == {}
    with ConversationStore(database) as store:
        assert [d.name for d in store.dialogs.iter()] == ["a\ufffdb"]
        assert {c.id: (c.name, c.message) for c in store.conversations.iter()} == {
            "1": ("a\ufffd", []),
            "2": (None, '["a\ufffdb"]'),
        }


def test_numbers_of_single_precision_have_all_their_digits_and_no_more(mysql: MySql, old: str, database: str) -> None:
    numbers = [0.1, 123456.79, 16777216.0, 1e-38, 3.4028235e38 / 1e30, 0.0, 5e-324, 1 / 3]
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    rows = [conversation(str(i), duration=number) for i, number in enumerate(numbers)]
    ragflow_mysql.insert(mysql, old, "api_4_conversation", rows)
    import_and_report(SyncApi(), mysql.url(old), database)
    with ConversationStore(database) as store:
        read = [c.duration for c in sorted(store.conversations.iter(), key=lambda c: c.id)]
    assert read == [0.1, 123456.79, 16777216.0, 1e-38, 340282340.0, 0.0, 0.0, 0.33333334]


def test_numbers_of_double_precision_are_read_as_they_are(mysql: MySql, old: str, database: str) -> None:
    mysql.run(
        "ALTER TABLE api_4_conversation MODIFY duration double NOT NULL, MODIFY thumb_up tinyint(1)", database=old
    )
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    numbers = [0.1, 1 / 3, 123456.7890123, 1e15]
    rows = [conversation(str(i), duration=number, thumb_up=i % 2) for i, number in enumerate(numbers)]
    ragflow_mysql.insert(mysql, old, "api_4_conversation", rows)
    import_and_report(SyncApi(), mysql.url(old), database)
    with ConversationStore(database) as store:
        read = sorted(store.conversations.iter(), key=lambda c: c.id)
    assert [(c.duration, c.thumb_up) for c in read] == list(zip(numbers, [0, 1, 0, 1], strict=True))


# -- dates --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["datetime", "datetime(6)", "timestamp", "timestamp(6)"])
def test_dates_are_read_whatever_the_kind_of_their_column(
    api: Api, mysql: MySql, old: str, database: str, kind: str
) -> None:
    for table in ("dialog", "api_token", "api_4_conversation"):
        changes = ", ".join(f"MODIFY {field}_date {kind} NULL" for field in ("create", "update"))
        mysql.run(f"ALTER TABLE {table} {changes}", database=old)
    # The wall clock in Berlin; an instant is the same whatever the zone of the server.
    noon, summer = datetime(2024, 1, 31, 5), datetime(2024, 7, 1, 6, 30)
    at = ["2024-01-31 04:00:00", "2024-07-01 04:30:00"] if "timestamp" in kind else [noon, summer]
    with mysql.connect(old) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("INSERT INTO dialog (id, tenant_id, create_date, update_date) VALUES ('d', 't', %s, %s)", at)
        cursor.execute(
            "INSERT INTO api_token (tenant_id, token, create_date, update_date) VALUES ('t', 'x', %s, %s)", at
        )
        cursor.execute(
            "INSERT INTO api_4_conversation (id, dialog_id, create_date, update_date) VALUES ('c', 'd', %s, %s)", at
        )
    mysql.run("SET GLOBAL time_zone = '-05:00'")
    try:
        _, reports = import_and_report(api, mysql.url(old), database, time_zone="Europe/Berlin", batch_size=1)
    finally:
        mysql.run("SET GLOBAL time_zone = SYSTEM")
    assert reports == []
    with ConversationStore(database) as store:
        token = store.tokens.query(tenant_id="t")[0]
        for row in (*store.dialogs.iter(), *store.conversations.iter(), token):
            assert row.create_date == IN_UTC
            assert row.update_date == datetime(2024, 7, 1, 4, 30, tzinfo=UTC)


def test_what_is_no_date_is_taken_from_its_bigint(api: Api, mysql: MySql, old: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    no_dates = ["0000-00-00 00:00:00", "2024-00-00 00:00:00", "2024-01-00 00:00:00", "0000-01-01 00:00:00"]
    rows = [conversation(str(i), create_date=no_date) for i, no_date in enumerate(no_dates)]
    with mysql.connect(old) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute("UPDATE dialog SET update_date = '2024-02-31 12:00:00'")
    ragflow_mysql.insert(mysql, old, "api_4_conversation", rows)
    tokens = [
        DATES | {"tenant_id": f"t{i}", "token": "same", "create_date": date, "update_date": date}
        for i, date in enumerate([None, no_dates[0], no_dates[1], NOON, NOON + timedelta(days=1)])
    ]
    ragflow_mysql.insert(mysql, old, "api_token", tokens)
    totals, reports = import_and_report(api, mysql.url(old), database, batch_size=2)
    assert totals["api_4_conversation"].repaired == len(no_dates)
    reasons = {(report.table, report.reason) for report in reports}
    assert ("dialog", "it had no usable update_date and got update_time") in reasons
    assert ("api_4_conversation", "it had no usable create_date and got create_time") in reasons
    with ConversationStore(database) as store:
        assert {c.create_date for c in store.conversations.iter()} == {IN_MILLISECONDS}
        # The oldest of those with a date has it.
        token = store.tokens.authenticate("same")
        assert token is not None
        assert token.tenant_id == "t3"


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


def test_the_import_reads_one_snapshot_and_writes_nothing(api: Api, mysql: MySql, old: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    ragflow_mysql.insert(mysql, old, "api_4_conversation", [conversation(str(i)) for i in range(3)])
    before = mysql.run("CHECKSUM TABLE dialog, user_canvas, api_token, api_4_conversation", database=old)

    def meanwhile(table: str, done: int, about: int | None) -> None:
        if table == "dialog":
            mysql.run("DELETE FROM api_4_conversation WHERE id = '1'", database=old)
            ragflow_mysql.insert(mysql, old, "api_4_conversation", [conversation("3"), conversation("1", name="new")])

    totals = run_import(api, mysql.url(old), database, on_progress=meanwhile)
    assert totals["api_4_conversation"] == Totals(read=3, imported=3)
    with ConversationStore(database) as store:
        assert [(c.id, c.name) for c in store.conversations.iter()] == [("0", None), ("1", None), ("2", None)]
    mysql.run(
        "DELETE FROM api_4_conversation WHERE id = '3'", "UPDATE api_4_conversation SET name = NULL", database=old
    )
    assert mysql.run("CHECKSUM TABLE dialog, user_canvas, api_token, api_4_conversation", database=old) == before
    run_import(api, mysql.url(old), database)
    assert mysql.run("SELECT count(*) FROM information_schema.innodb_trx") == [(0,)]


def test_the_snapshot_is_that_of_the_beginning(mysql: MySql, old: str) -> None:
    with closing(mysql_source("source", mysql.url(old))) as source:
        source.begin("UTC")
        ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
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
    api: Api, mysql: MySql, old: str, database: str
) -> None:
    url = mysql.url(old, tcp=True)
    wrong = quote("wrong" + PASSWORD, safe="")
    for refused, message in (
        (url.replace(quote(PASSWORD, safe=""), wrong), "Access denied for user 'reader'"),
        (url.replace(old, "no_such_database"), "no_such_database"),
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
    api: Api, mysql: MySql, old: str, database: str, monkeypatch: pytest.MonkeyPatch, interrupted: type[BaseException]
) -> None:
    def interrupt(*_: Any) -> None:
        raise interrupted

    pymysql: Any = importlib.import_module("pymysql")
    monkeypatch.setattr(pymysql.connections.Connection, "connect", interrupt)
    with pytest.raises(interrupted) as raised:
        run_import(api, mysql.url(old), database)
    shown = everything(raised.value)
    assert PASSWORD.partition(" ")[0] not in shown  # as bytes too, of which the rest is escaped


def test_the_account_needs_the_grants_of_the_documentation_and_no_more(
    api: Api, mysql: MySql, old: str, database: str
) -> None:
    text = (Path(__file__).parents[2] / "sql" / "README.md").read_text()
    (grants,) = re.findall(r"```mysql\n(.*?)```", text, re.DOTALL)
    renamed = grants.replace("rag_flow.", f"{old}.").replace("reader", "another").replace("…", "x")
    mysql.run(*renamed.rstrip(";\n").split(";\n"))
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    url = f"mysql://another:x@127.0.0.1:{mysql.port}/{old}"
    try:
        assert run_import(api, url, database)["dialog"].imported == 1
        mysql.run(f"REVOKE SELECT ON {old}.api_token FROM another")
        with pytest.raises(MigrationError, match="has no table api_token"):
            run_import(api, url, database)
    finally:
        mysql.run("DROP USER another")


def test_a_database_without_agents_is_imported(api: Api, mysql: MySql, old: str, database: str) -> None:
    mysql.run("DROP TABLE user_canvas", database=old)
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    totals, _ = import_and_report(api, mysql.url(old), database)
    assert list(totals) == ["dialog", "api_token", "api_4_conversation"]


def test_the_case_of_a_table_counts_where_it_counts_to_the_server(mysql: MySql, old: str, database: str) -> None:
    mysql.run("RENAME TABLE dialog TO Dialog", database=old)
    with pytest.raises(MigrationError, match="has no table dialog"):
        run_import(SyncApi(), mysql.url(old), database)
    with mysql_server(**{"lower-case-table-names": "1"}) as other, mysql_database(other) as name:
        other.run(*(table.replace("TABLE dialog", "TABLE DIALOG") for table in ragflow_mysql.TABLES), database=name)
        ragflow_mysql.insert(other, name, "dialog", [DIALOG])
        assert run_import(SyncApi(), other.url(name), database)["dialog"].imported == 1


@pytest.mark.slow
def test_a_row_that_is_larger_than_a_packet_is_read(api: Api, mysql: MySql, old: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old, "dialog", [DIALOG])
    message = ["x" * (20 << 20)]
    ragflow_mysql.insert(mysql, old, "api_4_conversation", [conversation("1", message=json.dumps(message))])
    mysql.run(f"SET GLOBAL max_allowed_packet = {1 << 20}")
    try:
        run_import(api, mysql.url(old), database)
    finally:
        mysql.run(f"SET GLOBAL max_allowed_packet = {1 << 30}")
    with ConversationStore(database) as store:
        assert [c.message for c in store.conversations.iter()] == [message]
