"""The statement files for MySQL: what the server is sent, what it returns, and by which index."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Generator
from typing import Any

import pytest

from conversation_store._sql_lexer import block_end
from conversation_store._sql_loader import compile_text, load, load_all, sql_directory
from conversation_store.ragflow._mysql import MySqlSource, compiled, mysql_source
from operations import FILES, MYSQL_FILES
from support import ragflow_mysql
from support.mysql import MySql, mysql_database, needs_mysql
from support.ragflow_rows import mysql_source_database

PAGES: dict[str, dict[str, Any]] = {
    "api_tokens": {
        "after_position": "2024-01-31 12:00:00.000000",
        "after_tenant_id": "t1",
        "after_token": "",
        "limit": 9,
    },
    "columns": {"names": ["dialog", "user_canvas", "no_such_table"]},
    "conversation_ids": {"after_id": "a", "limit": 9},
    "conversation_sizes": {"ids": ["raw", "null"]},
    "conversations": {"ids": ["raw", "null"]},
    "dialogs": {"after_id": "d", "limit": 9},
    "tables": {"names": ["dialog", "user_canvas", "no_such_table"]},
    "user_canvas": {"after_id": "a", "limit": 9},
}


@pytest.fixture(scope="module")
def source(mysql: MySql) -> Generator[MySqlSource]:
    """Give a source that has begun, on a database with every kind of row."""
    with mysql_source_database(mysql) as url:
        source = mysql_source("source", url)
        source.begin("Asia/Shanghai")
        yield source
        source.close()


def test_the_table_has_each_file_once() -> None:
    assert set(load_all()) == {*FILES, *MYSQL_FILES}


@pytest.mark.parametrize("name", sorted(set(PAGES)))
def test_a_file_has_the_parameters_and_rows_of_the_file_for_postgresql(name: str) -> None:
    other = load(f"ragflow.{name}")
    assert sorted(load(f"ragflow_mysql.{name}").parameters) == sorted(other.parameters)
    assert MYSQL_FILES[f"ragflow_mysql.{name}"] is FILES[f"ragflow.{name}"].row
    assert load(f"ragflow_mysql.{name}").returns == other.returns == "many"


@pytest.mark.parametrize("name", sorted(MYSQL_FILES))
def test_mysql_and_the_loader_read_the_same_tokens(name: str) -> None:
    text = (sql_directory() / f"{name.replace('.', '/')}.sql").read_text()
    # Each of these means something else there, or nothing.
    assert not re.search(r'[`#\\"$]|\|\||--(?![ \n])', text)
    comments = [text[match.start() : block_end(text, match.start())] for match in re.finditer(r"/\*", text)]
    assert not [comment for comment in comments if "*" in comment[2:-2]]
    header = text.splitlines()
    assert re.fullmatch(r"-- [A-Z][a-z][^.]*\.", header[1])
    assert header[2] == "--"


def test_the_driver_gets_the_text_of_the_file_but_for_its_parameters() -> None:
    text = b"/* a.b */\n-- As %s.\n-- returns: many\nSELECT '100%', ':x $1' /*M! %d */ FROM t WHERE a IN :ids OR :b = :ids;\n"
    query = compile_text(text, "a/b.sql", "a.b")
    assert compiled(query) % {"ids": "('a')", "b": "NULL"} == text.decode().replace(":ids", "('a')").replace(
        ":b", "NULL"
    )


@needs_mysql
@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_server_returns_the_columns_and_types_of_the_row_class(name: str, source: MySqlSource) -> None:
    row: Any = MYSQL_FILES[f"ragflow_mysql.{name}"]
    found: list[Any] = source.read(name, lambda **values: values, **PAGES[name])
    assert len(found) > 1
    hints = typing.get_type_hints(row)
    for values in found:
        assert list(values) == [field.name for field in dataclasses.fields(row)]
        for column, value in values.items():
            hint = hints[column]
            allowed = hint.__args__ if isinstance(hint, types.UnionType) else (hint,)
            assert type(value) in allowed, f"{column} is {value!r}, the row class says {hint}"


@needs_mysql
def test_each_page_is_read_by_the_primary_key(mysql: MySql) -> None:
    with mysql_database(mysql) as name:
        ragflow_mysql.create(mysql, name)
        rows = [{"id": f"{i:05}"} for i in range(2_000)]
        for table in ("dialog", "user_canvas", "api_4_conversation"):
            ragflow_mysql.insert(mysql, name, table, rows)
        mysql.run("ANALYZE TABLE dialog, user_canvas, api_4_conversation", database=name)
        values: dict[str, Any] = {"after_id": "00500", "limit": 20, "ids": ["00001", "00002"]}
        for file in ("dialogs", "user_canvas", "conversation_ids", "conversation_sizes", "conversations"):
            query = load(f"ragflow_mysql.{file}")
            given = {key: values[key] for key in query.parameters}
            with mysql.connect(name) as connection, connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {compiled(query)}", given)
                plan = {row[2]: row for row in cursor.fetchall()}
                assert plan["s"][3:6:2] == ("range", "PRIMARY"), (file, plan)
                assert "filesort" not in plan["s"][9], (file, plan)
                # All dialogs are read once for a page of agents, and not once for each agent.
                assert [row[1] for row in plan.values() if row[2] == "o"] == ["MATERIALIZED"] * ("o" in plan)
