"""The command migrate: the names that it prints, its warnings and its errors, and the command's version and help."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from support.commands import call, run
from support.schema import NAMES
from support.server import Server
from support.server import database as new_database


def test_a_database_is_migrated_and_the_names_of_the_migrations_are_printed(empty_database: str) -> None:
    assert run("migrate", database=empty_database) == (0, "".join(f"{name}\n" for name in NAMES), "")
    done = call("--database", empty_database, "migrate", database=None)
    assert done == (0, "", "nothing to do: the schema is up to date\n")


def test_the_command_prints_its_version_and_its_help() -> None:
    assert call("--version", database=None).stdout.strip().endswith(version("conversation-store"))
    assert "migrate" in call("--help", database=None).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["migrate"], "give --database URL or set DATABASE_URL"),
        (["--database", "host=/nowhere", "migrate"], "No such file or directory"),
        (["--database", "nonsense", "migrate"], "missing"),
    ],
)
def test_a_missing_or_wrong_database_is_an_error_with_a_message(arguments: list[str], message: str) -> None:
    done = call(*arguments, database=None)
    assert done.code in (1, 2)
    assert message in done.stderr


def test_a_database_with_lc_ctype_c_is_migrated_with_a_warning(server: Server) -> None:
    with new_database(server, c_locale=True) as conninfo:
        done = call("migrate", database=conninfo)
    assert done.code == 0
    assert done.stderr.startswith("warning: the database's LC_CTYPE is C")
