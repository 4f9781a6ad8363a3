"""The command import-ragflow: its exit codes, what it reports of each row, and its table of totals."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from dataclasses import fields

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
