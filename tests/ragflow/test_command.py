"""The command import-ragflow: its exit codes, what it reports of each row, and its table of totals."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from dataclasses import fields
from datetime import datetime

import psycopg
import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow import Totals
from support import ragflow_layout
from support.both_apis import SyncApi
from support.commands import COMMAND, call
from support.ragflow_rows import TOKENS, ZONE, import_and_report, source_database
from support.server import Server


@pytest.fixture(scope="module")
def old(server: Server) -> Generator[str]:
    """Give a database in the layout of RAGFlow with every kind of row."""
    with source_database(server) as conninfo:
        yield conninfo


COLUMNS = ["table", *(field.name for field in fields(Totals))]


def table_of(output: str) -> list[dict[str, str]]:
    """Return the rows of the table of totals."""
    heading, *rows = output.splitlines()
    assert heading.split() == " ".join(COLUMNS).replace("_", " ").split()
    return [dict(zip(COLUMNS, row.split(), strict=True)) for row in rows[:4]]


def test_every_row_that_was_not_imported_as_it_was_is_reported_and_the_totals_add_up(old: str, database: str) -> None:
    done = subprocess.run(
        [COMMAND, "--database", database, "import-ragflow", "--from", old, "--time-zone", ZONE],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 3, done.stderr
    rows = table_of(done.stdout)
    assert [row["table"] for row in rows] == ["dialog", "user_canvas", "api_token", "api_4_conversation"]
    parts = ("imported", "repaired", "updated", "skipped", "rejected", "update_conflicts")
    assert f"read = {' + '.join(parts)}".replace("_", " ") in done.stdout
    for row in rows:
        assert int(row["read"]) == sum(int(row[part]) for part in parts)
    # The next run reports the rejected rows again.
    _, reports = import_and_report(SyncApi(), old, database)
    again = [f"rejected: {report.table} {report.id}: {report.reason}" for report in reports]
    assert set(again) < set(done.stderr.splitlines())
    assert "repaired: api_4_conversation malformed: message is not JSON and was kept as its text" in done.stderr
    assert "date_conflict: api_4_conversation two dates: create_date is 2024-01-31 04:00" in done.stderr
    assert not any(row["token"] in done.stderr + done.stdout for row in TOKENS if row["token"].strip())


def test_the_command_ends_with_0_where_every_row_was_imported_as_it_was(database: str) -> None:
    ragflow_layout.create(database)
    ragflow_layout.fill(database, 20)
    done = call("import-ragflow", "--from", database, "--time-zone", ZONE, database=database)
    assert (done.code, done.stderr) == (0, "")
    counted = {"table": "api_4_conversation", "read": "20", "imported": "20"}
    assert table_of(done.stdout)[3] == dict.fromkeys(COLUMNS, "0") | counted
    with ConversationStore(database) as store:
        assert store.conversations.count() == 20


def test_a_check_prints_what_the_import_would_do_and_exits_as_it_would(old: str, database: str) -> None:
    arguments = ["import-ragflow", "--from", old, "--time-zone", ZONE]
    checked = call(*arguments, "--check", database=database)
    with ConversationStore(database) as store:
        assert (store.conversations.count(), list(store.dialogs.iter())) == (0, [])
    done = call(*arguments, database=database)
    assert (checked.code, checked.stderr) == (done.code, done.stderr)
    assert checked.stdout == done.stdout + "nothing was written: this is what the import would do\n"


def test_rows_that_are_newer_there_are_told_until_an_update_has_taken_them(database: str) -> None:
    ragflow_layout.create(database)
    ragflow_layout.fill(database, 3)
    arguments = ["import-ragflow", "--from", database, "--time-zone", ZONE]
    assert call(*arguments, database=database).code == 0
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE public.api_4_conversation SET update_date = now(), update_time = NULL, name = 'new'")
    told = call(*arguments, database=database)
    assert (told.code, told.stderr) == (3, "")
    assert "newer: 3 of the skipped rows were changed there since; --update takes them again" in told.stdout
    updated = call(*arguments, "--update", database=database)
    assert (updated.code, updated.stderr) == (0, "")
    assert "newer:" not in updated.stdout
    counted = {"table": "api_4_conversation", "read": "3", "updated": "3"}
    assert table_of(updated.stdout)[3] == dict.fromkeys(COLUMNS, "0") | counted
    # What was changed on both sides is kept.
    with ConversationStore(database) as store:
        id = next(store.conversations.iter()).id
        store.conversations.append_round(id, ["here"])
    ragflow_layout.change(database, "api_4_conversation", id, update_date=datetime(2030, 1, 1))
    kept = call(*arguments, "--update", database=database)
    assert kept.code == 3
    assert kept.stderr.startswith(f"update_conflict: api_4_conversation {id}: it was changed there and here")


def test_a_database_without_the_schema_is_an_error_that_says_what_to_run(old: str, empty_database: str) -> None:
    for arguments in ([], ["--check"]):
        done = call("import-ragflow", "--from", old, *arguments, database=empty_database)
        assert done.code == 1
        assert "run `conversation-store migrate`" in done.stderr


def test_the_source_may_be_named_by_a_variable(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ragflow_layout.create(database)
    monkeypatch.setenv("RAGFLOW_DATABASE_URL", database)
    assert call("import-ragflow", database=database).code == 0
    monkeypatch.setenv("RAGFLOW_DATABASE_URL", "host=/nowhere password=sesame")
    done = call("import-ragflow", database=database)
    assert done.code == 1
    assert "sesame" not in done.stderr


def test_an_error_ends_the_command_with_a_message_without_the_password(database: str) -> None:
    ragflow_layout.create(database)
    done = call("import-ragflow", "--from", "host=/nowhere dbname=x password=sesame", database=database)
    assert done.code == 1
    assert "No such file or directory" in done.stderr
    assert "sesame" not in done.stderr + done.stdout
    done = call("import-ragflow", "--from", database, "--time-zone", "+08:00", database=database)
    assert done.code == 1
    assert "IANA" in done.stderr


def test_a_report_is_one_line_whatever_an_id_has(database: str) -> None:
    ragflow_layout.create(database)
    ragflow_layout.fill(database, 0)
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE public.dialog SET id = %s, tenant_id = '' WHERE id = md5('d0')", ["a\nrejected: b\x1b[2J"]
        )
    done = call("import-ragflow", "--from", database, database=database)
    (line,) = done.stderr.splitlines()
    assert line.startswith("rejected: dialog a\\nrejected: b\\x1b[2J: ")
