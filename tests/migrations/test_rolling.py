"""Services of the last release go on while the schema is migrated to that of today: a tag of a release switches it on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support.releases import extract, git, last_release, rolling_faults
from support.schema import migration
from support.server import Server
from support.server import database as new_database

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def databases(server: Server) -> Callable[[], AbstractContextManager[str]]:
    return lambda: new_database(server)


def test_services_of_the_last_release_go_on(
    tmp_path: Path, databases: Callable[[], AbstractContextManager[str]]
) -> None:
    tag = last_release(CHECKOUT)
    if tag is None:
        pytest.skip("no tag of a release, v1.2.3, is in this checkout, or there is no git")
    assert rolling_faults(extract(CHECKOUT, tag, tmp_path), CHECKOUT, databases) == []


# -- the test itself, on a release that is made up -----------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository in which the files of today are released as v0.0.9."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("sql", "src", "tests/support"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert git(folder, "init", "--quiet").returncode == 0
    git(folder, "add", ".")
    author = "-c", "user.name=a", "-c", "user.email=a@b"
    assert git(folder, *author, "commit", "--quiet", "--message", "Release").returncode == 0
    assert last_release(folder) is None
    git(folder, "tag", "other")
    git(folder, "tag", "v0.0.9")
    return folder


@pytest.fixture
def faults(
    checkout: Path, tmp_path: Path, databases: Callable[[], AbstractContextManager[str]]
) -> Callable[..., list[str]]:
    """Return what breaks where migrations are added to the release, and statements of it replaced."""

    def added(*migrations: str, **replaced: tuple[str, str, str]) -> list[str]:
        new = tmp_path / "new"
        shutil.copytree(checkout / "sql", new / "sql")
        for number, text in enumerate(migrations, start=5):
            option = " transaction:false" if "CONCURRENTLY" in text else ""
            (new / "sql" / "schema" / f"{number:04}_new.sql").write_text(migration(text, option=option))
        for name, old, text in replaced.values():
            file = new / "sql" / name
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, text, 1))
        tag = last_release(checkout)
        assert tag == "v0.0.9"
        return rolling_faults(extract(checkout, tag, tmp_path / "old"), new, databases)

    return added


DIALOG = "ALTER TABLE conversation_store.dialog"
TITLE = "dialog/get_by_id.sql", "    d.name,\n", "    coalesce(d.title, d.name) AS name,\n"


# Each is found by what it breaks.
BREAKING = {
    "DROP FUNCTION conversation_store.bitmap_fits();": "the released conversation.search is no longer what it was",
    "DROP TABLE conversation_store.conversation_turn;": "the released conversation_turn.get is no longer what it was",
    f"{DIALOG} ADD COLUMN owner text NOT NULL;": "inserts of the release do not give dialog.owner",
    f"{DIALOG} ALTER COLUMN name TYPE varchar(1000);": "the released dialog.query is no longer what it was",
    "ALTER TABLE conversation_store.api_token RENAME COLUMN hint TO tip;": "the released api_token.query is no longer",
    # Of a COPY.
    "ALTER TABLE conversation_store.conversation DROP COLUMN import_date;": "the released conversation.insert_many is",
}


def test_a_change_that_breaks_the_release_is_found(faults: Callable[..., list[str]]) -> None:
    found = faults(*BREAKING)
    for number, fault in enumerate(BREAKING.values(), start=5):
        assert any(each.startswith(f"after {number:04}_new {fault}") for each in found), fault


def test_a_change_in_two_steps_breaks_nothing_in_the_first(faults: Callable[..., list[str]]) -> None:
    assert (
        faults(
            f"{DIALOG} ADD COLUMN title text;",
            f"{DIALOG} ADD CONSTRAINT dialog_title_check CHECK (title <> '') NOT VALID;",
            f"{DIALOG} VALIDATE CONSTRAINT dialog_title_check;",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS dialog_title_idx ON conversation_store.dialog (tenant_id, title);",
            get_by_id=TITLE,
        )
        == []
    )


def test_a_statement_that_a_later_migration_breaks_again_is_found(faults: Callable[..., list[str]]) -> None:
    found = faults(
        f"{DIALOG} ADD COLUMN title text;",
        f"{DIALOG} DROP COLUMN title;",
        get_by_id=TITLE,
    )
    assert "in the end dialog.get_by_id does not work" in found
