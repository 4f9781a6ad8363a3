"""The command migrate: the names that it prints, its warnings and its errors, and the command's version and help."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from support.commands import call, run
from support.schema import NAMES, migration, schema_with
from support.server import Server
from support.server import database as new_database


def test_a_database_is_migrated_and_the_names_of_the_migrations_are_printed(empty_database: str) -> None:
    names = "".join(f"{name}\n" for name in NAMES)
    progress = "".join(f"applying {name}\n" for name in NAMES)
    assert run("migrate", database=empty_database) == (0, names, progress)
    done = call("--database", empty_database, "migrate", database=None)
    assert done == (0, "", "nothing to do: every migration was applied already\n")


def test_the_database_may_be_named_by_the_variables_of_libpq(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {key: str(value) for key, value in conninfo_to_dict(empty_database).items()}
    for name in ("host", "port", "user", "password"):
        if name in parts:
            monkeypatch.setenv(f"PG{name.upper()}", parts[name])
    monkeypatch.setenv("PGDATABASE", parts["dbname"])
    assert call("migrate", database=None).stdout.split() == NAMES
    assert call("migrate", "--check", database=None) == (0, "ok\n", "")
    assert call("export", database=None).stderr == "exported 0 conversations and 0 dialogs\n"


def test_a_lock_that_others_hold_is_waited_for_as_long_as_the_option_says(database: str) -> None:
    with (
        schema_with(_9999_new=migration("ALTER TABLE conversation_store.dialog ADD new text;")),
        psycopg.connect(database) as reader,
    ):
        reader.execute("SELECT FROM conversation_store.dialog")
        done = call("migrate", "--lock-wait", "0", database=database)
        assert done.code == 1
        assert f"9999_new got no lock within 0 seconds: the process {reader.info.backend_pid}" in done.stderr
        assert call("migrate", "--check", database=database) == (1, "migration 9999_new is missing\n", "")


def test_the_command_prints_its_version_and_its_help() -> None:
    assert call("--version", database=None).stdout.strip().endswith(version("conversation-store"))
    assert "migrate" in call("--help", database=None).stdout


def test_the_module_runs_as_the_command_does(empty_database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "conversation_store.cli", "migrate", "--check"],
        capture_output=True,
        text=True,
        env={**os.environ, "DATABASE_URL": empty_database},
    )
    missing = "".join(f"migration {name} is missing\n" for name in NAMES)
    assert (done.returncode, done.stdout, done.stderr) == (1, missing, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["migrate"], "give --database URL, or set DATABASE_URL"),
        (["--database", "host=/nowhere", "migrate"], "No such file or directory"),
        (["--database", "nonsense", "migrate"], "--database must be"),
        (["--database", "postgresql+psycopg://u:sesame@h/d", "export"], "write postgresql://"),
        (["import-ragflow", "--from", "postgresql://u:p@sesame@h/d"], "--from must be"),
    ],
)
def test_a_missing_or_wrong_database_is_an_error_with_a_message(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "/nowhere")
    done = call(*arguments, database=None)
    assert done.code == 1
    assert message in done.stderr
    assert "sesame" not in done.stderr


def test_a_database_with_lc_ctype_c_is_migrated_with_a_warning(server: Server) -> None:
    with new_database(server, c_locale=True) as conninfo:
        done = call("migrate", database=conninfo)
    assert done.code == 0
    assert "\nwarning: the database's LC_CTYPE is C" in done.stderr
