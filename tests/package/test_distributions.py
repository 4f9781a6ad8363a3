"""The distributions: what the wheel and the source distribution hold, and that the wheel works outside of the checkout."""

from __future__ import annotations

import re
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from conversation_store._sql_loader import load_all, sql_directory
from support.programs import run
from support.schema import NAMES
from support.server import Server
from support.server import database as new_database

CHECKOUT = Path(__file__).parents[2]
VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]

USE = """
import sys
import conversation_store
from conversation_store import ConversationStore, migrate
from conversation_store._sql_loader import load_all
assert str(conversation_store.__file__).startswith(sys.argv[1]), conversation_store.__file__
print(len(load_all()), *migrate(sys.argv[2]))
with ConversationStore(sys.argv[2]) as store:
    store.dialogs.save(id="d", tenant_id="t")
    store.conversations.save(dialog_id="d", message=[{"content": "检索"}])
    print(store.conversations.get_list("d", "t", keywords="检索").count)
"""

DOCTOR = """
import sys
from conversation_store.dba.doctor import examine
for finding in examine(sys.argv[1], only=["installation"]):
    print(finding.level, finding.seen)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and from it the wheel; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_every_sql_file_and_works_outside_of_the_checkout(
    built: Path, server: Server, tmp_path: Path
) -> None:
    (wheel,) = built.glob("*.whl")
    files = {
        f"conversation_store/sql/{file.relative_to(CHECKOUT / 'sql')}" for file in (CHECKOUT / "sql").rglob("*.sql")
    }
    assert len(files) > 15
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert files <= names
        assert {"conversation_store/py.typed", "conversation_store/sql/README.md"} <= names
        assert not [
            name
            for name in names
            if name.split("/")[0]
            not in ("conversation_store", "pytest_conversation_store.py", f"conversation_store-{VERSION}.dist-info")
        ]
        entry_points = archive.read(f"conversation_store-{VERSION}.dist-info/entry_points.txt").decode()
        assert "[pytest11]\nconversation-store = pytest_conversation_store\n" in entry_points
        assert {"pytest_conversation_store.py", "conversation_store/dba/schema.json"} <= names
        for file in files:
            assert archive.read(file) == (CHECKOUT / "sql" / file.removeprefix("conversation_store/sql/")).read_bytes()
    site = tmp_path / "site"
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        "--target",
        site,
        wheel,
        cwd=tmp_path,
    )
    with new_database(server) as conninfo:
        printed = run(sys.executable, "-c", USE, site, conninfo, cwd=tmp_path, PYTHONPATH=str(site))
        assert printed.split() == [str(len(load_all())), *NAMES, "1"]
        looked = run(sys.executable, "-c", DOCTOR, conninfo, cwd=tmp_path, PYTHONPATH=str(site))
        assert looked.startswith("ok all ")
        changed = site / "conversation_store" / "sql" / "dialog" / "save.sql"
        changed.write_text(changed.read_text().replace("now()", "clock_timestamp()"))
        looked = run(sys.executable, "-c", DOCTOR, conninfo, cwd=tmp_path, PYTHONPATH=str(site))
        assert looked.startswith("problem conversation_store/sql/dialog/save.sql is not what was installed")


@pytest.mark.slow
def test_the_source_distribution_holds_what_a_wheel_is_made_of_and_nothing_private(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "RAGFLOW.md",
        "LICENSE",
        "sql/conversation/get_list.sql",
        "src/conversation_store/py.typed",
    } <= names
    assert not [name for name in names if name.startswith((".", "tests")) and name != ".gitignore"]


def test_the_checkout_reads_the_files_that_are_reviewed() -> None:
    assert Path(str(sql_directory())) == CHECKOUT / "sql"


def test_the_installed_package_and_the_changelog_have_the_version_of_the_project() -> None:
    assert version("conversation-store") == VERSION
    (newest, *_) = re.findall(r"^## (.*)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == VERSION
