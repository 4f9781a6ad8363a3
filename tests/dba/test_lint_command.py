"""The command `lint`: what it prints, its JSON, and how it exits."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conversation_store.cli import main
from conversation_store.dba.findings import Finding
from conversation_store.dba.lint import RULES
from support.documents import read

FAULTY = """/* thing.get */
-- Get a thing.
-- returns: one

SELECT '检索', :a
FROM conversation_store.dialog AS d
WHERE d.tenant_id = :tenant_id::text;
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["lint", *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "get.sql").write_text(FAULTY)
    return folder


def test_a_finding_is_shown_with_its_line_a_caret_the_reason_and_what_to_write(folder: Path) -> None:
    result = run(str(folder))
    rule = RULES["L02"]
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{folder}/get.sql:5:14: :a is not cast (L02 uncast-parameter)",
        "  5 | SELECT '检索', :a",
        "              \u3000\u3000   ^",
        f"  = write {rule.instead}",
        f"  why: {rule.reason}",
        "",
        "1 file: 1 found",
    ]


def test_json_has_everything_that_is_shown(folder: Path) -> None:
    result = run("--json", str(folder / "get.sql"))
    assert result.exit_code == 1
    rule = RULES["L02"]
    assert json.loads(result.output) == {
        "files": 1,
        "findings": [
            {
                "rule": "L02 uncast-parameter",
                "path": f"{folder}/get.sql",
                "message": ":a is not cast",
                "advice": f"write {rule.instead}",
                "line": 5,
                "column": 14,
                "excerpt": "SELECT '检索', :a",
                "reason": rule.reason,
            }
        ],
    }


def test_the_document_names_the_keys_of_a_finding() -> None:
    (line,) = [each for each in read("sql/README.md").splitlines() if each.startswith("| a finding of these two |")]
    assert re.findall(r"`(\w+)`", line) == [field.name for field in fields(Finding)]


def test_where_nothing_is_found_it_exits_with_0(folder: Path) -> None:
    (folder / "get.sql").write_text(FAULTY.replace(":a", ":a::text"))
    result = run(str(folder))
    assert (result.exit_code, result.output) == (0, "1 file: nothing found\n")


def test_a_folder_without_a_query_file_is_an_error(tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert result.exit_code == 2
    assert "has no query file" in result.output


def test_the_rules_are_listed_with_their_reasons() -> None:
    result = run("--rules")
    assert result.exit_code == 0
    for rule in RULES.values():
        assert f"{rule.code} {rule.name}\n  why: {rule.reason}\n  write: {rule.instead}\n" in result.output
    assert [rule["code"] for rule in json.loads(run("--rules", "--json").output)] == list(RULES)


def test_markup_in_a_statement_is_text(folder: Path) -> None:
    (folder / "get.sql").write_text(FAULTY.replace("'检索'", "'[red]'"))
    assert "SELECT '[red]', :a" in run(str(folder)).output
