"""The command `explain`."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store.dba.reading import prepare
from support.commands import COMMAND, Done, call
from support.documents import blocks, read

GET_BY_ID = ("--set", "id=c", "--set", "tenant_id=t", "--set", "include_messages=true")
PARTS = ("--set", "include_reference=f", "--set", "include_dsl=f")


def explain(db: str | None, *arguments: str | Path) -> Done:
    return call("explain", *arguments, database=db)


def shop(folder: Path, body: str, name: str = "get", header: str = "") -> Path:
    path = folder / "shop" / f"{name}.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"/* shop.{name} */\n-- Get a thing.\n-- returns: many\n{header}\n{body};\n")
    return path


@pytest.mark.parametrize("name", ["conversation/get_by_id", "conversation.get_by_id", "sql/conversation/get_by_id.sql"])
def test_a_file_is_named_as_method_folder_or_path(db: str, name: str) -> None:
    done = explain(db, name, *GET_BY_ID, *PARTS)
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("conversation/get_by_id.sql  Return the conversation with this id")
    assert lines[1] == "the plan for these values"
    assert "on conversation c  cost " in done.stdout
    assert "c.id = 'c'::text" in done.stdout
    # A filter that is not given is NULL, and folds away.
    assert "dialog_id" not in done.stdout


def test_a_generic_plan_shows_the_parameters(db: str) -> None:
    done = explain(db, "conversation/get_by_id", *GET_BY_ID, *PARTS, "--generic")
    assert (done.code, done.stdout.splitlines()[1]) == (0, "the generic plan")
    assert "'c'::text" not in done.stdout
    assert "dialog_id" in done.stdout


def test_what_is_run_shows_rows_and_times(db: str) -> None:
    for generic in ((), ("--generic",)):
        done = explain(db, "conversation/get_by_id", *GET_BY_ID, *PARTS, "--analyze", *generic)
        assert done.code == 0
        assert ", planned in " in done.stdout
        assert ", run in " in done.stdout
        assert "had 0 rows" in done.stdout.replace("\n", " ")
        assert done.stdout.endswith("it was run, and rolled back\n")


def test_json_has_what_the_server_says(db: str) -> None:
    done = explain(db, "dialog/save", "--set", "id=d", "--set", "tenant_id=t", "--null", "name", "--json")
    found = json.loads(done.stdout)
    assert (found["file"], found["generic"], found["analyzed"]) == ("dialog.save", False, False)
    assert (found["indexes"], found["scanned"], found["sorts"]) == (["dialog_pkey"], [], [])
    assert found["explain"]["Plan"]["Node Type"] == "ModifyTable"
    assert found["cost"] == found["explain"]["Plan"]["Total Cost"]


def test_missing_parameters_are_an_error_that_names_them_with_their_values(db: str) -> None:
    done = explain(db, "conversation/get_list", "--set", "dialog_id=d1")
    assert done.code == 1
    assert "needs values; --null NAME gives NULL:\n  --set tenant_id=(text)\n" in done.stderr
    assert "--set orderby=id|name|create_date" in done.stderr
    assert "user_id" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dialog/get_by_id", "--set", "tenat_id=t"), "has no parameter tenat_id; did you mean tenant_id?"),
        (("dialog/get_by_id", "--set", "x"), "--set x: must be NAME=VALUE"),
        (("dialog/get_by_id", "--set", "id=1", "--set", "id=2"), "--set id=…: is given twice"),
        (("dialog/get_by_id", "--set", "id=1", "--null", "id"), "--null id: it has a value too"),
        (("dialog/get_by_ids2",), "there is no file dialog/get_by_ids2; did you mean dialog.get_by_ids?"),
        (("conversation/insert_many",), "sql/conversation/insert_many.sql: is a COPY, which has no plan"),
        (("ragflow_mysql/agents",), "runs on MySQL"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_says_why(db: str, arguments: tuple[str, ...], message: str) -> None:
    done = explain(db, *arguments)
    assert (done.code, done.stdout) == (1, "")
    assert message in done.stderr


def test_a_definition_and_a_migration_are_refused(db: str, tmp_path: Path) -> None:
    done = explain(db, shop(tmp_path, "CREATE TABLE explained (a int)"), "--analyze")
    assert done.code == 1
    assert "begins with CREATE; only statements on rows have a plan" in done.stderr
    migration = tmp_path / "schema" / "0001_tables.sql"
    migration.parent.mkdir()
    migration.write_text("CREATE TABLE x (a int);\n")
    assert "is a migration, which has no plan" in explain(db, migration).stderr


def test_a_file_of_a_service_is_named_by_its_path(db: str, tmp_path: Path) -> None:
    path = shop(tmp_path, "SELECT :n::int[] AS n")
    done = explain(db, path, "--set", "n={1,2}", "--json")
    assert json.loads(done.stdout)["file"] == "shop.get"
    assert "Traceback" not in explain(db, path, "--set", "n=1").stderr


def test_a_value_is_never_a_part_of_the_statement(db: str, tmp_path: Path) -> None:
    path = shop(tmp_path, "SELECT d.name FROM conversation_store.dialog AS d WHERE d.id = :id::text")
    hostile = "'; DROP TABLE conversation_store.dialog; -- [bold]"
    for options in ((), ("--analyze",), ("--generic", "--analyze")):
        done = explain(db, path, "--set", f"id={hostile}", *options)
        assert (done.code, done.stderr) == (0, "")
        if "--generic" not in options:
            assert "'''; DROP TABLE" in done.stdout


@pytest.mark.parametrize("options", [(), ("--analyze",), ("--generic",)])
def test_a_text_that_is_two_statements_to_the_session_runs_neither(
    database: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = shop(tmp_path, r"SELECT '\', '; ROLLBACK; DROP TABLE conversation_store.api_token; --'")
    session = make_conninfo(database, options="-c standard_conforming_strings=off")
    done = explain(session, path, *options)
    assert (done.code, "multiple commands" in done.stderr) == (1, True)
    with psycopg.connect(database) as connection:
        connection.execute("SELECT FROM conversation_store.api_token")


@pytest.mark.parametrize("generic", [(), ("--generic",)])
def test_a_write_is_run_and_rolled_back(db: str, generic: tuple[str, ...]) -> None:
    values = ("--set", "id=explained", "--set", "tenant_id=explained", "--null", "name")
    done = explain(db, "dialog/save", *values, "--analyze", *generic)
    assert (done.code, "it was run, and rolled back" in done.stdout) == (0, True)
    assert dialogs(db) == 0


def test_a_write_that_fails_or_is_interrupted_changes_nothing(db: str, tmp_path: Path) -> None:
    insert = "WITH i AS (INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('explained', 'explained'))"
    done = explain(db, shop(tmp_path, f"{insert} SELECT 1 / :n::int AS n"), "--set", "n=0", "--analyze")
    assert (done.code, "division by zero" in done.stderr) == (1, True)
    assert dialogs(db) == 0
    path = shop(tmp_path, f"{insert} SELECT pg_sleep(60) AS slept", "sleep")
    with (
        subprocess.Popen(
            [COMMAND, "explain", path, "--analyze"], env={**os.environ, "DATABASE_URL": db}, stderr=subprocess.PIPE
        ) as process,
        psycopg.connect(db, autocommit=True) as connection,
    ):
        sleeping = "SELECT FROM pg_stat_activity WHERE query LIKE 'EXPLAIN%shop.sleep%' AND wait_event = 'PgSleep'"
        while not connection.execute(sleeping).rowcount:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, b"Traceback" in errors) == (1, False)
        assert not connection.execute(sleeping).rowcount
    assert dialogs(db) == 0


def dialogs(db: str) -> int:
    with psycopg.connect(db) as connection:
        return connection.execute("SELECT FROM conversation_store.dialog WHERE tenant_id = 'explained'").rowcount


def test_the_digest_of_a_secret_is_not_shown(db: str) -> None:
    digest = r"\x0123456789abcdef"
    for options in ((), ("--json",), ("--analyze",), ("--generic", "--analyze")):
        done = explain(db, "api_token/delete", "--set", f"token_digest={digest}", "--set", "tenant_id=t", *options)
        assert (done.code, "0123456789abcdef" in done.stdout) == (0, False)


def test_without_a_server_the_error_is_one_line() -> None:
    done = explain("postgresql://localhost:1/none", "dialog/get_by_id", "--set", "id=d", "--set", "tenant_id=t")
    assert (done.code, "Traceback" in done.stderr) == (1, False)


def test_the_commands_of_the_document_run_and_print_what_it_shows(db: str) -> None:
    text = read("sql/README.md")
    section = text.partition("## Explain a file")[2].partition("\n## ")[0]
    (commands,) = blocks(section, "sh")
    shown = section.partition("The first prints:\n\n```\n")[2].partition("```")[0]
    printed = [
        explain(db, *shlex.split(line, comments=True)[2:])
        for line in commands.replace("\\\n", "").splitlines()
        if "queries/" not in line  # of a service
    ]
    assert [done.code for done in printed] == [0, 0, 0]

    def without_numbers(output: str) -> str:
        return re.sub(r"\d+\.\d+|\d+ blocks", "…", output)

    assert without_numbers(shown) == without_numbers(printed[0].stdout)


LIST = ("conversation/get_names", "--set", "tenant_id=t", "--set", "dialog_id=d", "--set", "exp_user_id=u")


def test_a_table_that_another_holds_is_waited_for_shortly_and_the_holder_is_named(db: str) -> None:
    with psycopg.connect(db, application_name="the holder") as holder:
        holder.execute("LOCK TABLE conversation_store.conversation IN ACCESS EXCLUSIVE MODE")
        done, pid = explain(db, *LIST, "--set", "limit=1"), holder.info.backend_pid
    assert (done.code, done.stdout) == (1, "")
    assert "conversation/get_names.sql: got no lock within 2 seconds: the process " in done.stderr
    assert f"the process {pid} " in done.stderr
    assert "'the holder'" in done.stderr
    assert "AccessExclusiveLock on conversation_store.conversation" in done.stderr


def test_preparing_can_be_interrupted(database: str) -> None:
    with (
        psycopg.connect(database) as holder,
        psycopg.connect(database, autocommit=True, application_name="prepares") as waiting,
        psycopg.connect(database, autocommit=True) as other,
    ):
        holder.execute("LOCK TABLE conversation_store.dialog IN ACCESS EXCLUSIVE MODE")

        def cancel() -> None:
            watched = "SELECT FROM pg_stat_activity WHERE application_name = 'prepares' AND wait_event_type = 'Lock'"
            while not other.execute(watched).rowcount:
                time.sleep(0.05)
            signal.raise_signal(signal.SIGINT)

        timer = threading.Thread(target=cancel)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            prepare(waiting, b"SELECT FROM conversation_store.dialog")
        timer.join()
        assert waiting.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_ends_after_the_seconds_that_it_is_given(db: str, tmp_path: Path) -> None:
    path = shop(tmp_path, "SELECT pg_sleep(60) AS slept")
    done = explain(db, path, "--analyze", "--seconds", "0.2")
    assert (done.code, "took longer than 0.2 seconds; --seconds gives it more" in done.stderr) == (1, True)


def test_a_value_that_is_not_of_its_type_is_named(db: str) -> None:
    done = explain(db, *LIST, "--set", "limit=abc")
    assert done.code == 1
    assert 'the value of limit: invalid input syntax for type bigint: "abc"' in done.stderr
    assert "portal" not in done.stderr


def test_a_generic_plan_that_is_not_run_needs_no_values(db: str) -> None:
    assert explain(db, "conversation/get_names", "--generic").code == 0
    assert "needs values" in explain(db, "conversation/get_names", "--generic", "--analyze").stderr


def test_of_a_missing_table_of_a_service_no_migration_of_ours_is_advised(db: str, tmp_path: Path) -> None:
    done = explain(db, shop(tmp_path, "SELECT a FROM shop.nosuch"))
    assert (done.code, done.stderr.strip().endswith('relation "shop.nosuch" does not exist')) == (1, True)


def test_what_is_planned_alone_moves_no_sequence(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA shop; CREATE SEQUENCE shop.number;"
            "CREATE FUNCTION shop.next() RETURNS bigint IMMUTABLE LANGUAGE sql AS $$ SELECT nextval('shop.number') $$"
        )
        done = explain(database, shop(tmp_path, "SELECT shop.next() AS n"))
        assert (done.code, "read-only transaction" in done.stderr) == (1, True)
        assert connection.execute("SELECT is_called FROM shop.number").fetchone() == (False,)


@pytest.mark.parametrize("body", ["(1)", "_x"])
def test_a_text_without_a_statement_is_refused(db: str, tmp_path: Path, body: str) -> None:
    done = explain(db, shop(tmp_path, body))
    assert (done.code, "only statements on rows have a plan" in done.stderr) == (1, True)


def test_a_file_that_is_no_query_file_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "fill.py"
    path.write_text("")
    assert "fill.py: is no .sql file" in explain(None, path).stderr


@pytest.mark.parametrize("body", ["SELECT :a::", "SELECT :c IN ('x', :d", "SELECT :a IN (", "SELECT :a::x."])
def test_a_text_that_breaks_off_is_an_error_of_the_server(db: str, tmp_path: Path, body: str) -> None:
    nulls = ("--null", "a") if ":a" in body else ("--null", "c", "--null", "d")
    done = explain(db, shop(tmp_path, body), *nulls)
    assert (done.code, "syntax error" in done.stderr) == (1, True)
