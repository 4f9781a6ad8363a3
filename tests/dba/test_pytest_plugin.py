"""`pytest --conversation-store-dsn`: each query file is a test, of our own files or of a service's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from support.service_files import NOTE, NOTE_FILES, folder_of

pytestmark = pytest.mark.slow

# The plugin is an entry point of the installed package: a checkout that was set up before has it after `make`.
PLUGIN = "-p", "no:cacheprovider"
ALL = 77

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give what runs pytest in a folder with one test of its own."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", *PLUGIN, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_without_the_option_it_adds_nothing_and_imports_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n    assert not [name for name in sys.modules if name.startswith(('conversation_store', 'sqlglot'))]\n"
    )
    done = run()
    assert "1 passed" in done.stdout, done.stdout


def test_every_file_and_the_schema_are_tests(run: Run, db: str) -> None:
    done = run("--conversation-store-dsn", db)
    assert f"{ALL + 2} passed" in done.stdout, done.stdout
    assert done.returncode == 0


def test_files_of_ragflow_are_skipped_with_a_reason_where_its_tables_are_not(run: Run, database: str) -> None:
    done = run("--conversation-store-dsn", database, "-k", "ragflow", "-rs")
    assert "9 skipped" in done.stdout, done.stdout
    assert "it runs on a RAGFlow database, which this is not" in done.stdout


def test_a_fault_fails_the_test_of_its_file_without_a_traceback(run: Run, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE conversation_store.dialog RENAME COLUMN name TO title")
    done = run("--conversation-store-dsn", database, "-k", "dialog/get_by_id.sql or schema or test_own or stats")
    assert "2 failed, 2 passed" in done.stdout, done.stdout
    assert "column d.name does not exist (statement)" in done.stdout
    assert " |     d.name,\n" in done.stdout
    assert "column name on conversation_store.dialog is missing" in done.stdout
    assert "Traceback" not in done.stdout
    assert "runtest" not in done.stdout


def test_a_service_checks_its_own_files(run: Run, empty_database: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(NOTE)
    folder = folder_of(tmp_path, **NOTE_FILES)
    (tmp_path / "notes.py").write_text(
        "from typing import Any, NamedTuple\nfrom conversation_store.dba.contract import Contract, Json\n\n"
        "class Note(NamedTuple):\n    id: int\n    text: str\n    data: dict[str, Any]\n\n"
        "def add(self, id: int, text: str, data: Json): ...\n\n"
        'QUERIES = {"note.get": Note, "note.add": Contract(None, add), "note.delete": None}\n'
    )
    service = "--conversation-store-dsn", empty_database, "--conversation-store-sql", folder
    assert "3 passed" in run(*service).stdout
    done = run(*service, "--conversation-store-contracts", "notes:QUERIES")
    assert "2 failed, 2 passed" in done.stdout, done.stdout
    assert "may be NULL, and Note has no None for it: text (null)" in done.stdout
    assert "delete.sql: there is no such file, and Python runs it (file)" in done.stdout


def test_options_that_cannot_be_meant_are_an_error(run: Run, db: str, tmp_path: Path) -> None:
    for options, message in (
        (("--conversation-store-sql", tmp_path / "no"), "there is no"),
        (("--conversation-store-contracts", "a:B"), "needs --conversation-store-sql"),
        (
            ("--conversation-store-sql", tmp_path, "--conversation-store-contracts", "nothing:B"),
            "there are no contracts",
        ),
    ):
        done = run("--conversation-store-dsn", db, *options)
        assert done.returncode == 4
        assert message in done.stderr


def test_no_output_shows_the_password(run: Run) -> None:
    done = run("--conversation-store-dsn", "postgresql://u:secret-word@127.0.0.1:1/d", "-l", "-v")
    assert f"{ALL + 1} failed, 1 passed" in done.stdout
    assert "secret-word" not in done.stdout + done.stderr
