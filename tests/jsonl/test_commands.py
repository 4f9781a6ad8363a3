"""The commands import and export: their exit codes and messages, and the files they write, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store import ConversationStore
from support.commands import COMMAND, call, run
from support.jsonl import GOOD, REJECTED, empty, everything, fill, fill_one, fill_two
from support.server import Server
from support.server import database as new_database


@pytest.fixture(scope="module")
def unchanged(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database with the dialog d and the conversation old to the tests that import nothing."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        fill_one(conninfo)
        yield conninfo


@pytest.fixture
def filled(database: str) -> str:
    """Give a database of one test with the dialog d and the conversation old."""
    fill_one(database)
    return database


def test_a_file_that_is_exported_and_imported_gives_the_same_rows(database: str, tmp_path: Path) -> None:
    before = fill(database)
    path = tmp_path / "all of it.jsonl"
    assert call("export", "-o", path, database=database) == (0, "", "exported 11 conversations and 4 dialogs\n")
    assert list(tmp_path.iterdir()) == [path]
    piped = run("export", database=database)
    assert (piped.code, piped.stdout) == (0, path.read_text())
    assert call("export", "-o", "-", database=database).stdout == piped.stdout
    empty(database)
    assert call("import", path, database=database) == (0, "imported 11 conversations and 4 dialogs\n", "")
    assert everything(database) == before
    empty(database)
    assert run("import", "-", database=database, stdin=path.read_bytes()).code == 0
    assert everything(database) == before


def test_a_file_of_two_tenants_with_the_same_ids_gives_the_same_rows(database: str, tmp_path: Path) -> None:
    before = fill_two(database)
    path = tmp_path / "two.jsonl"
    assert call("export", "-o", path, database=database) == (0, "", "exported 8 conversations and 4 dialogs\n")
    empty(database)
    assert call("import", path, database=database) == (0, "imported 8 conversations and 4 dialogs\n", "")
    assert everything(database) == before


# -- import -------------------------------------------------------------------------------


def test_a_rejected_line_stops_the_import_and_nothing_is_imported(unchanged: str, tmp_path: Path) -> None:
    before = everything(unchanged)
    path = tmp_path / "in.jsonl"
    for line, reason in REJECTED.values():
        path.write_bytes(GOOD + line + b"\n" + b'{"dialog_id": "e"}\n')
        done = call("import", path, database=unchanged)
        assert (done.code, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: line 4: ")
        assert reason in done.stderr
        assert everything(unchanged) == before


def test_rejected_lines_are_reported_and_written_to_a_new_file_as_they_are(filled: str, tmp_path: Path) -> None:
    lines = [line for line, _ in REJECTED.values()]
    path, rejected = tmp_path / "in.jsonl", tmp_path / "rejected lines.jsonl"
    path.write_bytes(GOOD + b"\r\n".join(lines) + b'\n   \n{"dialog_id": "e", "id": "last", "message": ["x"]}')
    done = call("import", path, "--rejected", rejected, database=filled)
    assert done.code == 3
    assert done.stdout == (
        f"imported 2 conversations and 1 dialogs\nrejected {len(REJECTED)} lines, which are in {rejected}\n"
    )
    assert rejected.read_bytes() == b"\r\n".join(lines) + b"\n"  # to the byte
    for number, (printed, (_, reason)) in enumerate(
        zip(done.stderr.splitlines(), REJECTED.values(), strict=True), start=4
    ):
        assert printed.startswith(f"{path}:{number}: ")
        assert reason in printed
    # The file of rejected lines is not overwritten, and dialogs that exist are skipped.
    done = call("import", path, "--rejected", rejected, database=filled)
    message = f"Error: {rejected} exists already; rejected lines are written to a new file\n"
    assert (done.code, done.stderr) == (1, message)
    done = call("import", path, "--rejected", tmp_path / "more", database=filled)
    assert done.code == 3
    assert done.stdout.splitlines()[:2] == [
        "imported 0 conversations and 0 dialogs",
        "skipped 1 dialogs, which exist already",
    ]
    with ConversationStore(filled) as store:
        assert store.conversations.count() == 3


def test_without_rejected_lines_no_file_for_them_is_created(filled: str, tmp_path: Path) -> None:
    rejected = tmp_path / "rejected"
    assert call("import", "-", "--rejected", rejected, database=filled, stdin=GOOD).code == 0
    assert not rejected.exists()


def test_the_import_for_a_tenant_creates_its_dialogs_and_rejects_lines_of_others(filled: str) -> None:
    lines = b'{"dialog_id": "x", "id": "1"}\n{"dialog_id": "y", "id": "2", "tenant_id": "n"}\n'
    done = call("import", "-", "--tenant", "n", database=filled, stdin=lines)
    assert done == (0, "imported 2 conversations and 2 dialogs\n", "")
    # The dialog d of another tenant is no obstacle, but a line of another tenant is.
    done = call("import", "-", "--tenant", "n", database=filled, stdin=b'{"dialog_id": "d", "id": "4"}')
    assert done == (0, "imported 1 conversations and 1 dialogs\n", "")
    line = b'{"dialog_id": "d", "id": "5", "tenant_id": "t"}'
    done = call("import", "-", "--tenant", "n", database=filled, stdin=line)
    assert (done.code, done.stderr) == (1, "Error: line 1: the conversation '5' belongs to the tenant 't'\n")


def test_a_line_without_a_tenant_whose_dialog_two_tenants_have_stops_the_import(filled: str) -> None:
    with ConversationStore(filled) as store:
        store.dialogs.save(id="d", tenant_id="u")
    done = call("import", "-", database=filled, stdin=b'{"dialog_id": "d", "id": "4"}')
    message = "Error: line 1: two tenants have a dialog 'd', and the line has no tenant_id\n"
    assert (done.code, done.stdout, done.stderr) == (1, "", message)


def test_an_interrupted_import_leaves_no_row_and_no_file(filled: str, tmp_path: Path) -> None:
    rejected = tmp_path / "rejected"
    with subprocess.Popen(
        [COMMAND, "--database", filled, "import", "-", "--rejected", rejected],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(GOOD + b"bad\n" * 1000)
        process.stdin.flush()
        while not rejected.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode != 0
    assert not rejected.exists()
    with ConversationStore(filled) as store:
        assert store.conversations.count() == 1


# -- export -------------------------------------------------------------------------------


def test_the_export_of_a_tenant_or_a_dialog_holds_only_that(unchanged: str) -> None:
    for arguments, lines in (
        (["--tenant", "t"], 2),
        (["--dialog", "d"], 2),
        (["--tenant", "u", "--dialog", "d"], 0),
        (["--tenant", "nobody"], 0),
    ):
        done = call("export", *arguments, database=unchanged)
        assert (done.code, done.stdout.count("\n")) == (0, lines)


def test_an_export_that_fails_leaves_the_folder_as_it_was(unchanged: str, tmp_path: Path) -> None:
    done = call("export", "-o", tmp_path / "nowhere" / "x", database=unchanged)
    assert done.code == 1
    assert "No such file or directory" in done.stderr
    path = tmp_path / "there"
    path.write_text("before")
    assert call("export", "--dialog", "x" * 200, "-o", path, database=unchanged).code == 1
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("there", "before")]
    assert call("export", "-o", path, database=unchanged).code == 0
    assert len(path.read_text().splitlines()) == 2
    assert path.stat().st_mode & 0o777 == 0o666 & ~0o022


def test_an_export_to_a_pipe_or_a_link_writes_into_it_and_does_not_replace_it(unchanged: str, tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    target.write_text("before")
    link.symlink_to(target)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert call("export", "-o", pipe, database=unchanged).code == 0
        assert len(reader.communicate()[0].splitlines()) == 2
    assert pipe.is_fifo()
    assert call("export", "-o", link, database=unchanged).code == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 2


def test_an_export_whose_reader_closes_the_pipe_ends_without_a_traceback(filled: str) -> None:
    with ConversationStore(filled) as store:
        store.conversations.insert_many([{"dialog_id": "d", "message": ["x" * 1000]}] * 1000)
    done = subprocess.run(
        ["bash", "-c", f'"{COMMAND}" export | head -n 1'],
        capture_output=True,
        env={**os.environ, "DATABASE_URL": filled},
        text=True,
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


# -- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nowhere.jsonl"], "'nowhere.jsonl' does not exist"),
        (["import", "."], "is a directory"),
        (["import"], "Missing argument 'FILE'"),
        (["export", "--tenant", ""], "tenant_id must be given and not be empty"),
        (["export", "--dialog", "x" * 200], "dialog_id must have at most 128 characters"),
        (["import", "-", "--tenant", " " * 200], "tenant_id must have at most 128 characters"),
        (["import-ragflow"], "Missing option '--from'"),
    ],
)
def test_a_wrong_argument_ends_the_command_with_a_message_that_names_it(
    arguments: list[str], message: str, unchanged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*arguments, database=unchanged)
    assert (done.code in (1, 2), done.stdout) == (True, "")
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", [["export"], ["import", "-"]])
def test_a_database_without_the_schema_and_a_missing_database_are_errors_with_a_message(
    command: list[str], empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "/nowhere")
    done = call(*command, database=empty_database, stdin=GOOD)
    assert done.code == 1
    assert "conversation_store" in done.stderr
    assert "has `conversation-store migrate` been run?" in done.stderr
    done = call(*command, database="host=/nowhere dbname=x", stdin=GOOD)
    assert done.code == 1
    assert "No such file or directory" in done.stderr
    for missing in ("", None):
        done = call(*command, database=missing, stdin=GOOD)
        assert done.code == 1
        assert "give --database URL, or set DATABASE_URL or libpq's PGHOST" in done.stderr


def test_the_database_may_be_named_before_a_command_and_after_it(unchanged: str) -> None:
    for arguments in (["--database", unchanged, "export"], ["export", "--database", unchanged]):
        assert call(*arguments, database="host=/nowhere").code == 0
