"""Which result columns are never NULL: what is said of a statement is held to what the server returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from conversation_store.dba.lint._parser import parse
from conversation_store.dba.nullability import result_columns

TABLES = {
    ("s", "a"): {"id": True, "x": False, "n": True},
    ("s", "b"): {"id": True, "a_id": False, "n": True},
    ("s", "one"): {"y": True},
}


@pytest.fixture(scope="module")
def filled(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """Give tables in which whatever may be NULL is NULL, and whatever may be left out by a join is."""
    connection.execute("CREATE SCHEMA s")
    connection.execute("CREATE TABLE s.a (id integer NOT NULL, x integer, n integer NOT NULL)")
    connection.execute("CREATE TABLE s.b (id integer NOT NULL, a_id integer, n integer NOT NULL)")
    connection.execute("CREATE TABLE s.one (y integer NOT NULL)")
    connection.execute("INSERT INTO s.a VALUES (1, NULL, 1), (2, 2, 2)")
    connection.execute("INSERT INTO s.b VALUES (1, NULL, 1), (2, 1, 2)")
    connection.execute("INSERT INTO s.one VALUES (1)")
    yield connection
    connection.execute("DROP SCHEMA s CASCADE")


# A statement, and of each of its columns whether it is never NULL.
STATEMENTS = [
    ("SELECT a.id, a.x, a.n + 1 AS m, a.x + 1 AS y FROM s.a", "1010"),
    ("SELECT a.n, b.n FROM s.a JOIN s.b ON b.a_id = a.id", "11"),
    ("SELECT a.n, b.n FROM s.a LEFT JOIN s.b ON b.a_id = a.id", "10"),
    ("SELECT a.n, b.n FROM s.a RIGHT JOIN s.b ON b.a_id = a.id", "01"),
    ("SELECT a.n, b.n FROM s.a FULL JOIN s.b ON b.a_id = a.id", "00"),
    ("SELECT a.n, b.n, o.y FROM s.a LEFT JOIN s.b ON b.a_id = a.id CROSS JOIN s.one AS o", "101"),
    ("SELECT b.n FROM s.one LEFT JOIN (s.a JOIN s.b ON TRUE) ON FALSE", "0"),
    ("SELECT l.n FROM s.a LEFT JOIN LATERAL (SELECT b.n FROM s.b WHERE b.a_id = a.id) AS l ON TRUE", "0"),
    ("SELECT q.m FROM (SELECT b.n AS m FROM s.a LEFT JOIN s.b ON b.a_id = a.id) AS q", "0"),
    ("SELECT q.m FROM (SELECT a.n AS m FROM s.a) AS q", "1"),
    ("SELECT q.c FROM (SELECT a.n FROM s.a) AS q (c)", "1"),
    ("WITH w AS (SELECT a.n, a.x FROM s.a) SELECT w.n, w.x FROM w", "10"),
    ("WITH w AS (SELECT a.n FROM s.a) SELECT w.n FROM s.one LEFT JOIN w ON FALSE", "0"),
    ("WITH w (c) AS (SELECT a.x FROM s.a) SELECT w.c FROM w", "0"),
    ("SELECT a.n FROM s.a UNION ALL SELECT b.n FROM s.b", "1"),
    ("SELECT a.n FROM s.a UNION ALL SELECT b.a_id FROM s.b", "0"),
    ("SELECT count(*), count(a.x), sum(a.n), coalesce(sum(a.x), 0) FROM s.a WHERE FALSE", "1101"),
    ("SELECT (SELECT count(*) FROM s.b WHERE FALSE), (SELECT b.n FROM s.b WHERE FALSE)", "10"),
    ("SELECT (SELECT count(*) FROM s.b WHERE FALSE GROUP BY b.n), (SELECT coalesce(max(b.n), 0) FROM s.b)", "01"),
    ("SELECT EXISTS (SELECT 1 FROM s.a), a.x IS NULL, a.x IS DISTINCT FROM 1, a.x = 1 FROM s.a", "1110"),
    ("SELECT CASE WHEN a.x = 2 THEN 1 END, CASE WHEN a.x = 2 THEN 1 ELSE 0 END, coalesce(a.x, a.n) FROM s.a", "011"),
    ("SELECT a.n = 1 AND a.x = 2, NOT a.n = 1, NULL, 'x', TRUE FROM s.a", "01011"),
    ("SELECT row_number() OVER (), lag(a.n) OVER () FROM s.a", "10"),
    ("SELECT a.n, count(*) FROM s.a GROUP BY ROLLUP (a.n)", "01"),
    ("SELECT u.v FROM unnest(ARRAY[1, NULL]) AS u (v)", "0"),
    ("SELECT g.v FROM generate_series(1, 2) AS g (v)", "0"),
    ("SELECT n FROM s.a", "1"),
    ("INSERT INTO s.a VALUES (3, NULL, 3) RETURNING id, x", "10"),
    ("UPDATE s.a SET n = 1 FROM s.one AS o LEFT JOIN s.b ON FALSE RETURNING a.n, b.n, o.y", "101"),
    ("DELETE FROM s.a USING s.one AS o RETURNING a.n, a.x, o.y", "101"),
    ("WITH w AS (DELETE FROM s.a RETURNING id, x) SELECT w.id, w.x FROM w", "10"),
    ("WITH RECURSIVE w AS (SELECT 1 AS i UNION ALL SELECT w.i + 1 FROM w WHERE w.i < 2) SELECT w.i FROM w", "0"),
    ("SELECT a.x::text, a.n::text, a.n || 'x', a.x || 'x' FROM s.a", "0110"),
    ("SELECT a.n IN (1, 2), a.n = ANY(ARRAY[9, NULL]), a.n BETWEEN 1 AND 2 FROM s.a", "001"),
]


@pytest.mark.parametrize(("statement", "expected"), STATEMENTS, ids=[statement for statement, _ in STATEMENTS])
def test_what_is_never_null_is_known(filled: psycopg.Connection[Any], statement: str, expected: str) -> None:
    found = result_columns(parse(f"{statement};"), TABLES)
    assert found is not None
    assert "".join("1" if column.never_null else "0" for column in found) == expected
    with filled.transaction(force_rollback=True):
        rows = filled.execute(statement.encode()).fetchall()
    for n, column in enumerate(found):
        assert not (column.never_null and any(row[n] is None for row in rows)), column.name


def test_a_star_is_not_known() -> None:
    for statement in ("SELECT * FROM s.a;", "SELECT a.* FROM s.a;", "WITH w AS (SELECT 1) SELECT w.* FROM w;"):
        assert result_columns(parse(statement), TABLES) is None


def test_a_column_of_an_unknown_table_may_be_null() -> None:
    assert [c.never_null for c in result_columns(parse("SELECT t.a, b FROM s.t, s.a;"), TABLES) or []] == [False, False]


def test_a_column_is_found_where_it_is_named() -> None:
    text = "SELECT a.id, a.x + 1 AS more, count(*) FROM s.a;"
    found = result_columns(parse(text), TABLES)
    assert [text[column.offset :][:4] for column in found or []] == [
        "id, ",
        "more",
        text[found[2].offset :][:4] if found else "",
    ]
