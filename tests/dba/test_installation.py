"""Whether an installed package holds every SQL file as its wheel had it, by the hashes that the installer records."""

from __future__ import annotations

import base64
import hashlib
import shutil
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from conversation_store._sql_loader import sql_directory
from conversation_store.dba.doctor import Finding, examine
from conversation_store.dba.doctor.installation import judge_files

FILE = "conversation_store/sql/dialog/save.sql"


def digest(file: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a folder of packages in which the SQL files are installed as pip does it."""
    shutil.copytree(str(sql_directory()), tmp_path / "conversation_store" / "sql")
    information = tmp_path / "conversation_store-1.2.3.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: conversation-store\nVersion: 1.2.3\n")
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(tmp_path)},sha256={digest(path)},{path.stat().st_size}" for path in files]
    (information / "RECORD").write_text("\n".join([*lines, "conversation_store-1.2.3.dist-info/RECORD,,"]) + "\n")
    return tmp_path


def judged(site: Path) -> list[Finding]:
    return list(judge_files(PathDistribution(site / "conversation_store-1.2.3.dist-info")))


def test_files_that_are_as_they_were_installed_are_no_problem(site: Path) -> None:
    (finding,) = judged(site)
    number = len(list((site / "conversation_store").rglob("*.sql")))
    assert number > 80
    assert (finding.level, finding.seen) == ("ok", f"all {number} SQL files are as version 1.2.3 has them")


def test_a_file_that_was_changed_is_named_with_its_cure(site: Path) -> None:
    (site / FILE).write_bytes((site / FILE).read_bytes().replace(b"id", b"ID", 1))
    (finding,) = judged(site)
    assert finding.level == "problem"
    assert finding.seen == f"{FILE} is not what was installed: it was changed afterwards"
    assert finding.todo == (
        "install the package again: pip install --force-reinstall --no-deps conversation-store==1.2.3"
    )


def test_a_file_that_is_missing_is_named(site: Path) -> None:
    (site / FILE).unlink()
    (finding,) = judged(site)
    assert (finding.level, finding.seen) == ("problem", f"{FILE} is missing")


def test_a_file_that_the_package_does_not_have_is_named(site: Path) -> None:
    (site / FILE).with_name("more.sql").write_text("SELECT 1;\n")
    (finding,) = judged(site)
    assert (finding.level, finding.seen) == (
        "problem",
        "conversation_store/sql/dialog/more.sql is no file of the package",
    )


def test_an_installer_that_records_nothing_leaves_it_unknown(site: Path) -> None:
    (site / "conversation_store-1.2.3.dist-info" / "RECORD").unlink()
    assert [finding.level for finding in judged(site)] == ["unknown"]


def test_a_checkout_has_nothing_to_compare_and_says_how_to_look(db: str) -> None:
    (finding,) = examine(db, only=["installation"])
    assert finding.level == "ok"
    assert f"git -C {sql_directory()} status" in finding.todo
