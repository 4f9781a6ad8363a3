"""The catalogue of query files: what it reads from a file, and which files it finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conversation_store import QueryError
from conversation_store.dba.files import Parameter, QueryFile, Scans, files, read, scan
from operations import FILES
from support.commands import call
from support.query_file import HEADER, NAME, PATH


def of(body: str, header: str = HEADER) -> QueryFile:
    return read(f"{header}{body};\n".encode(), PATH, NAME)


def test_our_files_are_those_of_the_table_of_operations() -> None:
    found = {file.name: file for file in files()}
    assert found.keys() == FILES.keys()
    assert {name for name, file in found.items() if file.of_ragflow} == {
        name for name in FILES if name.startswith("ragflow.")
    }


def test_a_file_has_a_purpose_and_prose() -> None:
    file = of(
        "SELECT 1",
        "/* thing.get */\n-- Get a thing.\n--\n-- By its key.\n--\n-- - one\n-- returns: many\n-- plan: custom\n",
    )
    assert (file.purpose, file.prose) == ("Get a thing", "By its key.\n\n- one")
    assert file.directives == {"returns": "many", "plan": "custom"}
    assert (file.table, file.method, file.body) == ("thing", "get", "SELECT 1;\n")


@pytest.mark.parametrize(
    ("given", "indexes"),
    [
        ("", None),
        ("-- index: none\n", ()),
        ("-- index: a_pkey, b or c\n", (("a_pkey",), ("b", "c"))),
        ("-- index: a_pkey,\n--   b or\n--   c\n", (("a_pkey",), ("b", "c"))),
    ],
)
def test_a_header_names_the_indexes_and_goes_on_in_indented_lines(
    given: str, indexes: tuple[tuple[str, ...], ...] | None
) -> None:
    assert of("SELECT 1", HEADER + given).indexes == indexes


def test_a_header_names_the_tables_that_are_read_as_a_whole_with_the_reason() -> None:
    file = of("SELECT 1", f"{HEADER}-- scans: a, b, since they are small,\n--   and stay so\n")
    assert file.scans == Scans(("a", "b"), "they are small, and stay so")
    assert of("SELECT 1").scans == Scans((), "")


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ("SELECT :a::text", Parameter("a", "text", False, (), {})),
        ("SELECT :a", Parameter("a", "", False, (), {})),
        ("SELECT :a::double precision, :a::text", Parameter("a", "double precision", False, (), {})),
        ("SELECT :a::timestamp with time zone", Parameter("a", "timestamp with time zone", False, (), {})),
        ("SELECT 1 = ANY(:a::s.kind[])", Parameter("a", "s.kind[]", False, (), {})),
        ("SELECT :a::text IS NULL OR x = :a::text", Parameter("a", "text", True, (), {})),
        ("SELECT CASE WHEN :a::text::int IS NOT NULL THEN 1 END", Parameter("a", "text", True, (), {})),
        ("SELECT (:a::int IS NOT NULL OR s.force_custom_plan(x))", Parameter("a", "int", False, (), {})),
        ("SELECT coalesce(:a::int, 1)", Parameter("a", "int", True, (), {})),
        ("SELECT coalesce(x = :a::int, TRUE)", Parameter("a", "int", True, (), {})),
        ("SELECT coalesce(x, :a::int)", Parameter("a", "int", False, (), {})),
        ("SELECT coalesce(f(:a::int), 1)", Parameter("a", "int", False, (), {})),
        ("SELECT :a::text = 'x', :a::text = 'it''s'", Parameter("a", "text", False, ("x", "it's"), {})),
        ("SELECT :a::text IN ('x', 'y')", Parameter("a", "text", False, ("x", "y"), {})),
        ("SELECT CASE :a::text WHEN 'x' THEN CASE z WHEN 'n' THEN 1 END WHEN 'y' THEN 2 END, CASE z WHEN 'm' THEN 3 END",
         Parameter("a", "text", False, ("x", "y"), {})),
        ("SELECT 1 -- :b IS NULL\n, ':a IS NULL', :a::int /* :a IS NULL */", Parameter("a", "int", False, (), {})),
    ],
)  # fmt: skip
def test_a_parameter_has_the_type_and_the_values_that_the_text_says(body: str, parameter: Parameter) -> None:
    (found,) = of(body).parameters
    assert found[:4] == parameter[:4]


def test_all_parts_of_a_position_may_be_null_where_one_may() -> None:
    file = of("SELECT :after_id::text IS NULL OR (x, id) > (:after_key::text, :after_id::text), :afterwards::int")
    assert [(each.name, each.optional) for each in file.parameters] == [
        ("after_id", True),
        ("after_key", True),
        ("afterwards", False),
    ]


def test_a_parameter_is_read_as_the_type_of_the_branch_that_it_stands_in() -> None:
    file = of(
        "SELECT :key::text::date, CASE WHEN :by::text = 'n' AND x THEN :key::text::int"
        " WHEN :by::text = 't' THEN :key::text ELSE f(:key::text::real) END"
    )
    key = next(each for each in file.parameters if each.name == "key")
    assert (key.type, key.read_as) == ("text", {None: "date", ("by", "n"): "int", ("by", "t"): "text"})


def test_the_parameters_of_an_order_are_known() -> None:
    body = "SELECT f(x ORDER BY :a::int), :b::int FROM x ORDER BY CASE WHEN :c::text = 'x' THEN (:d::int) END LIMIT :e::int"
    assert of(body).ordering == ("a", "c", "d")


@pytest.mark.parametrize(
    ("body", "writes"),
    [
        ("SELECT 1 FOR UPDATE", False),
        ("SELECT 1 FOR NO KEY UPDATE", False),
        ("SELECT 'insert into x', update_date FROM x", False),
        ("UPDATE x SET a = 1", True),
        ("WITH d AS (DELETE FROM x) SELECT 1", True),
        ("INSERT INTO x VALUES (1) ON CONFLICT DO UPDATE SET a = 1", True),
        ("MERGE INTO x USING y ON true WHEN MATCHED THEN DO NOTHING", True),
        ("COPY x FROM STDIN", True),
    ],
)
def test_a_file_that_changes_rows_is_known_by_its_words(body: str, writes: bool) -> None:
    assert of(body).is_write == writes


def test_a_folder_of_a_service_has_the_files_below_it_but_migrations(tmp_path: Path) -> None:
    for name in ("thing/get", "thing/deep/find", "schema/0001_things", ".hidden/get"):
        path = tmp_path / f"{name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"/* {path.parent.name}.{path.stem} */\n-- Do it.\n-- returns: many\n\nSELECT 1;\n")
    (tmp_path / "thing" / "note.md").touch()
    assert [(file.name, file.path) for file in files(tmp_path)] == [
        ("deep.find", f"{tmp_path}/thing/deep/find.sql"),
        ("thing.get", f"{tmp_path}/thing/get.sql"),
    ]
    assert [file.name for file in files(tmp_path / "thing" / "get.sql")] == ["thing.get"]
    (tmp_path / "thing" / "bad.sql").write_text("SELECT 1;\n")
    found, errors = scan(tmp_path)
    assert [file.name for file in found] == ["deep.find", "thing.get"]
    (message,) = map(str, errors)
    assert message == f"{tmp_path}/thing/bad.sql:1: the first line must be /* thing.bad */"
    with pytest.raises(QueryError, match="bad"):
        files(tmp_path)


def put(path: Path, text: str = f"{HEADER}SELECT 1;\n") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace(NAME, f"{path.parent.name}.{path.stem}"))


@pytest.mark.parametrize("kind", ["dangling", "pipe"])
def test_what_is_no_file_is_an_error_of_its_own(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "orders" / "get.sql")
    other = tmp_path / "orders" / "other.sql"
    if kind == "pipe":
        os.mkfifo(other)
    else:
        other.symlink_to(tmp_path / "nosuch.sql")
    found, errors = scan(tmp_path)
    assert [file.name for file in found] == ["orders.get"]
    assert [str(error) for error in errors] == [f"{other}:1: this is no file, or a link to none"]


def test_locks_of_editors_and_links_to_a_folder_above_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "orders" / "get.sql")
    (tmp_path / "orders" / ".#get.sql").symlink_to("somebody@host.1234")
    (tmp_path / "orders" / "above").symlink_to(tmp_path)
    (tmp_path / "orders" / "itself").symlink_to(tmp_path / "orders")
    found, errors = scan(tmp_path)
    assert ([file.name for file in found], errors) == (["orders.get"], [])


@pytest.mark.parametrize("command", [["check"], ["doctor", "--sql"], ["top", "--sql"], ["review", "-o", "-"], ["lint"]])
def test_a_folder_without_query_files_is_an_error_of_use(db: str, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "UP.SQL").write_text("SELECT 1")
    result = call(*command, tmp_path, database=db)
    assert result.code == 2
    assert f"{tmp_path} has no query file: a file that ends with .sql" in result.stderr
