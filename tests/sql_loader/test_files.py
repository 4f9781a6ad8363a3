"""Files of a package: which are queries, and how they are found by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from conversation_store import _sql_loader
from conversation_store._sql_loader import load, load_all, sql_directory
from conversation_store.errors import QueryError
from support.query_file import HEADER


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package with SQL files of its own, as a wheel is; nothing loaded from it is remembered."""

    def files(_: str) -> Path:
        return tmp_path

    monkeypatch.setattr(_sql_loader, "files", files)
    monkeypatch.setattr(_sql_loader, "load", load.__wrapped__)
    (tmp_path / "sql" / "thing").mkdir(parents=True)
    (tmp_path / "sql" / "thing" / "get.sql").write_text(f"{HEADER}SELECT :a;\n", newline="")
    return tmp_path


def test_every_file_of_the_project_can_be_loaded() -> None:
    queries = load_all()
    assert {query.path for query in queries.values()} == {
        f"sql/{file.parent.name}/{file.name}"
        for file in Path(str(sql_directory())).glob("*/*.sql")
        if file.parent.name != "schema"
    }
    assert "conversation.get_list" in queries
    for name, query in queries.items():
        assert query.name == name
        assert query is load(name)


def test_a_file_is_loaded_by_its_name_and_path(package: Path) -> None:
    query = _sql_loader.load("thing.get")
    assert (query.name, query.path, query.parameters) == ("thing.get", "sql/thing/get.sql", ("a",))


def test_the_files_of_a_package_come_before_those_of_a_checkout(package: Path) -> None:
    assert sql_directory() == package / "sql"


def test_migrations_and_documents_are_no_queries(package: Path) -> None:
    (package / "sql" / "README.md").write_text("text")
    (package / "sql" / "thing" / "notes.txt").write_text("text")
    (package / "sql" / "schema").mkdir()
    (package / "sql" / "schema" / "0001_tables.sql").write_text("SELECT 1")
    assert list(load_all()) == ["thing.get"]


def test_a_file_without_a_header_fails_when_all_are_loaded(package: Path) -> None:
    (package / "sql" / "thing" / "put.sql").write_text("SELECT 1;\n")
    with pytest.raises(QueryError, match=r"^sql/thing/put\.sql:1: the first line must be /\* thing\.put \*/$"):
        load_all()


def test_a_statement_that_cannot_be_compiled_fails_when_all_are_loaded_and_when_it_is_used(package: Path) -> None:
    (package / "sql" / "thing" / "put.sql").write_text("/* thing.put */\n-- Put.\n-- returns: count\nSELECT $1;\n")
    message = r"^sql/thing/put\.sql:4: write :name instead of \$1$"
    with pytest.raises(QueryError, match=message):
        load_all()
    query = _sql_loader.load("thing.put")
    for use in (lambda: query.text, lambda: query.bind({})):
        with pytest.raises(QueryError, match=message):
            use()


def test_a_file_that_is_changed_after_it_was_loaded_changes_no_statement(package: Path) -> None:
    query = _sql_loader.load("thing.get")
    file = package / "sql" / "thing" / "get.sql"
    file.write_text(file.read_text().replace(":a", ":b"))
    assert query.parameters == ("a",)


def test_an_unknown_file_is_an_error() -> None:
    with pytest.raises(QueryError, match=r"^sql/thing/got\.sql:1: there is no such file$"):
        load("thing.got")


@pytest.mark.parametrize("name", ["thing", "thing.", ".get", "Thing.get", "a.b.c", "../thing.get", "thing.get\n", ""])
def test_a_name_is_a_folder_and_a_file(name: str) -> None:
    with pytest.raises(QueryError, match=r"(?s)^sql/.*:1: .* is not the name of a query"):
        load(name)
