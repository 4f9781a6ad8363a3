"""`entry_count`, `entries` and `appended_count`: which entries a message or a reference has, and has after an append."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from conversation_store._conversation_input import count_entries
from conversation_store._json_writer import JsonWriter


@pytest.fixture
def connection(db: str) -> Generator[psycopg.Connection[Any]]:
    """Give a connection to the shared database."""
    with psycopg.connect(db) as connection:
        yield connection


def count(connection: psycopg.Connection[Any], value: str | None) -> Any:
    row = connection.execute("SELECT conversation_store.entry_count(%s::json)", [value]).fetchone()
    assert row is not None
    return row[0]


def entries(connection: psycopg.Connection[Any], value: str | None) -> list[tuple[int, str]]:
    """Return the positions of the entries, and the entries as they are written."""
    return connection.execute(
        "SELECT e.position, e.body::text FROM conversation_store.entries(%s::json) AS e ORDER BY e.position", [value]
    ).fetchall()


LISTS: list[list[Any]] = [["a"], [None], [[]], [[1, 2], {"b": None}, "c", None, 1.5, True]]
OTHERS = {
    -1: ['{"a": [1, 2]}', ' {\n"": {}}', '{"{}": null}'],
    -2: ["null", " null ", "{}", "\t{ \r\n} "],
    -3: ['"text"', '"[1]"', '"{}"', '""', "1.5", "true", "false", "0"],
}


@pytest.mark.parametrize("value", LISTS)
def test_a_list_has_its_members_as_entries_from_1(connection: psycopg.Connection[Any], value: list[Any]) -> None:
    assert count(connection, json.dumps(value)) == len(value)
    assert entries(connection, json.dumps(value)) == [
        (position, json.dumps(member)) for position, member in enumerate(value, start=1)
    ]


@pytest.mark.parametrize(("number", "value"), [(number, value) for number in OTHERS for value in OTHERS[number]])
def test_any_other_value_is_entry_1_and_counts_below_0(
    connection: psycopg.Connection[Any], number: int, value: str
) -> None:
    assert count(connection, value) == number
    assert entries(connection, value) == [(1, value)]


@pytest.mark.parametrize("value", [[], ["a", "b"], {}, None, {"a": 1}, {"{}": []}, "", "{}", "null", 0, -1.5, True])
def test_a_load_counts_as_the_server_does(connection: psycopg.Connection[Any], value: Any) -> None:
    assert count_entries(JsonWriter().entries("value", value)) == count(connection, json.dumps(value))


@pytest.mark.parametrize(
    ("before", "appended"), [(0, [0, 1, 2]), (3, [3, 4, 5]), (-1, [-1, 2, 3]), (-2, [-2, 1, 2]), (-3, [-3, None, None])]
)
def test_an_object_is_the_first_entry_after_an_append_and_an_empty_one_and_null_are_none(
    connection: psycopg.Connection[Any], before: int, appended: list[int | None]
) -> None:
    counts = connection.execute(
        "SELECT conversation_store.appended_count(%s, n) FROM generate_series(0, 2) AS n ORDER BY n", [before]
    ).fetchall()
    assert [number for (number,) in counts] == appended


def test_an_empty_list_counts_0_and_has_no_entries(connection: psycopg.Connection[Any]) -> None:
    assert count(connection, "[]") == 0
    assert entries(connection, "[]") == []


def test_null_has_no_count_and_no_entries(connection: psycopg.Connection[Any]) -> None:
    assert count(connection, None) is None
    assert entries(connection, None) == []


def test_an_entry_is_kept_as_it_is_written(connection: psycopg.Connection[Any]) -> None:
    assert entries(connection, '[{ "z":1, "a" : 1.0, "a":2}]') == [(1, '{ "z":1, "a" : 1.0, "a":2}')]


@pytest.mark.one_server("a coordinator shows the plans of shards")
@pytest.mark.parametrize(
    ("select", "stays"),
    [
        ("SELECT conversation_store.entry_count(m.body) FROM {table} AS m", "json_array_length("),
        ("SELECT conversation_store.appended_count(m.position, json_array_length('[1]')) FROM {table} AS m", "CASE"),
        (
            "SELECT e.position, e.body FROM {table} AS m CROSS JOIN LATERAL conversation_store.entries(m.body) AS e",
            "json_array_elements",
        ),
    ],
)
def test_the_server_inlines_the_function(connection: psycopg.Connection[Any], select: str, stays: str) -> None:
    select = select.format(table="conversation_store.conversation_message")
    plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN (VERBOSE) {select}".encode()))
    assert stays in plan
    assert "_count(" not in plan
    assert "conversation_store.entries" not in plan
    assert "Function Scan on entries" not in plan
