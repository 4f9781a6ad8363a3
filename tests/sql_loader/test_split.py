"""Cutting a file into its statements, beside PostgreSQL's own parser."""

from __future__ import annotations

from pathlib import Path

import pglast
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_store._sql_lexer import split
from conversation_store._sql_loader import sql_directory

FILES = sorted(Path(str(sql_directory())).rglob("*.sql"))

HARD = [
    "SELECT 1",
    "SELECT ';', 'it''s;', E'\\';', E'a\\\\', U&'\\0041;', N';', B'1', X'F', \";\"\"\"",
    "SELECT 'a;'\n  -- ;'\n  'b;', E'a'\n'\\';'",
    "SELECT $$;$$, $a$ ; $$ ; $b$ ; $a$, $é1$;$é1$, 1 AS a$b$",
    "SELECT /* ; /* ; */ ' ; */ 1 -- ; ' $$\n",
    "SELECT a[1:2], a[:'3'::int], b::text FROM (SELECT ARRAY[1, 2] AS a, 1 AS b) AS t",
    'SELECT 1.5, .5, 1_000, 0xFF, 1 AS "begin", 2 AS "BEGIN ATOMIC;"',
    "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT ')'; SELECT 2)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'BEGIN; SELECT 1; END;'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE CASE WHEN true THEN 2 END END; END",
    'CREATE OR REPLACE PROCEDURE p(begin_atomic int) BEGIN ATOMIC INSERT INTO "end" VALUES (1); SELECT 1 AS end, t.case FROM t; END',
    "create or replace function f(atomic int default case when true then 1 end) returns int return 1",
    "CREATE FUNCTION f() RETURNS int BEGIN /* ; */ ATOMIC END",
    "CREATE TABLE atomic (begin int, function int, CONSTRAINT c CHECK (begin > 0))",
    "DO $do$ BEGIN PERFORM 1; EXECUTE $x$;$x$; END $do$",
    "CREATE INDEX CONCURRENTLY i ON t (a)",
]


def by_parser(text: str) -> list[str]:
    return [statement for statement in pglast.split(text) if statement]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_real_file_is_cut_as_the_parser_cuts_it(file: Path) -> None:
    text = file.read_text()
    if file.parent.name not in ("schema", "sql"):
        assert len(split(text)) == 1
        return
    parts = [part.text for part in split(text)]
    assert [by_parser(part) for part in parts] == [[statement] for statement in by_parser(text)]
    assert len(parts) > 3


@pytest.mark.parametrize("statement", HARD)
def test_a_hard_statement_is_one(statement: str) -> None:
    assert len(by_parser(statement)) == 1
    assert len(split(statement)) == 1
    assert len(split(f"{statement};\n{statement}\n;")) == 2


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.sampled_from(HARD), max_size=6), st.sampled_from([";", " ; ", ";\n--;\n", "\n;;/*;*/;"]))
def test_any_statements_are_cut_as_the_parser_cuts_them(statements: list[str], between: str) -> None:
    text = between.join(statements)
    parts = [part.text for part in split(text)]
    assert [by_parser(part) for part in parts] == [[statement] for statement in by_parser(text)]
    assert len(parts) == len(statements)


@pytest.mark.parametrize("text", ["SELECT 'a;", 'SELECT "a;', "SELECT $a$;$b$", "SELECT 1; /* /* */", "SELECT E'\\';"])
def test_what_is_never_closed_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is never closed"):
        split(text)


def test_a_file_without_statements_has_none() -> None:
    assert split("") == split(" -- nothing;\n;; /* ; */ \n") == []


def test_an_outline_has_no_comments_and_nothing_in_its_literals() -> None:
    (part,) = split("-- a\nSELECT /* b */ 'c;',\n\t$$d$$ -- e\nFROM \"T;\";")
    assert part.outline == "SELECT '', '' FROM \"T;\""
    assert part.text == "-- a\nSELECT /* b */ 'c;',\n\t$$d$$ -- e\nFROM \"T;\";"
