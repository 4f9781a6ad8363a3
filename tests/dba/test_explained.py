"""The plan of a query file, as `dba.plans` asks for it and reads it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import RawCursor
from rich.console import Console

from conversation_store import QueryError
from conversation_store._sql_loader import Query, compile_text, load
from conversation_store.dba.plans import explain
from support.query_file import HEADER, NAME, PATH

LOOK_UP = {"id": "d", "tenant_id": "t"}


def of(body: str) -> Query:
    return compile_text(f"{HEADER}{body};\n".encode(), PATH, NAME)


def look_up(connection: psycopg.Connection[Any], **options: Any) -> Any:
    connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    return explain(connection, load("conversation.get_by_id"), LISTED, **options)


LISTED: dict[str, object] = {
    "id": "c",
    "tenant_id": "t",
    "dialog_id": None,
    **dict.fromkeys(("include_messages", "include_reference", "include_dsl"), True),
}


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analyze", [False, True])
def test_a_plan_has_the_indexes_the_tables_and_the_cost(db: str, generic: bool, analyze: bool) -> None:
    with psycopg.connect(db) as connection:
        plan = look_up(connection, generic=generic, analyze=analyze)
        has_names = connection.info.server_version >= 170000
    assert plan.generic == generic
    assert plan.indexes == {"conversation_pkey", "conversation_message_pkey", "conversation_reference_pkey"}
    assert plan.reads["conversation_store.conversation", "c"] == {"conversation_pkey"}
    assert plan.scanned == frozenset()
    assert plan.sorts == ()
    assert 0 < plan.cost < 1_000
    assert ("Actual Rows" in plan.root.raw) == analyze
    # The name where it is a parameter, the value where it was planned for it.
    if has_names or not generic:
        assert (":tenant_id" if generic else "'t'::text") in plan.text()


def test_a_plan_reads_as_a_tree(db: str) -> None:
    with psycopg.connect(db) as connection:
        plan = look_up(connection)
        lines = plan.text().splitlines()
        assert lines[0].startswith("Index Scan using conversation_pkey on conversation c  (cost ")
        assert lines[1].startswith("    Index Cond: ((c.id = 'c'::text)")
        assert any(line.startswith("  SubPlan ") for line in lines)
        console = Console(width=200)
        with console.capture() as capture:
            console.print(plan.tree())
        shown = capture.get()
        assert all(node.title in shown for node in plan.nodes())
        assert "had 0 rows after" in look_up(connection, analyze=True).text()


def test_a_table_that_is_read_as_a_whole_is_told_from_a_subplan_of_it(db: str) -> None:
    query = of(
        "SELECT (SELECT d.name FROM conversation_store.dialog AS d WHERE d.id = c.id AND d.tenant_id = :t::text)"
        " FROM conversation_store.conversation AS c ORDER BY c.name"
    )
    with psycopg.connect(db) as connection:
        connection.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off")
        plan = explain(connection, query, {"t": "t"})
    assert plan.scanned == {"conversation_store.conversation"}
    assert plan.reads["conversation_store.conversation", "c"] == {"a scan"}
    assert [node.kind for node in plan.sorts] == ["Sort"]


def test_the_index_that_decides_on_a_conflict_is_one_of_the_plan(db: str) -> None:
    with psycopg.connect(db) as connection:
        assert explain(connection, load("dialog.save"), {**LOOK_UP, "name": None}).indexes == {"dialog_pkey"}


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_write_that_is_run_changes_nothing(db: str, generic: bool, begun: bool) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        if begun:
            connection.execute("BEGIN")
        values = {**LOOK_UP, "id": f"explained {generic} {begun}", "name": None}
        plan = explain(connection, load("dialog.save"), values, generic=generic, analyze=True)
        assert plan.root.raw["Actual Rows"] == 1
        connection.execute("COMMIT")
        count = connection.execute("SELECT FROM conversation_store.dialog WHERE id LIKE 'explained%'").rowcount
        assert count == 0
        assert connection.execute("SHOW plan_cache_mode").fetchone() == ("auto",)


@pytest.mark.parametrize("generic", [False, True])
def test_a_statement_that_fails_leaves_the_connection_as_it_was(db: str, generic: bool) -> None:
    with psycopg.connect(db, autocommit=True) as connection, connection.transaction():
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero):
                explain(connection, of("SELECT 1 / :n::int"), {"n": 0}, generic=generic, analyze=True)
        assert explain(connection, of("SELECT 1 / :n::int"), {"n": 1}, generic=generic).root.kind == "Result"
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_values_are_never_a_part_of_the_text(db: str) -> None:
    hostile = "'; DROP TABLE x; -- $1 :a \\"
    for generic, analyze in ((False, False), (False, True), (True, False), (True, True)):
        with psycopg.connect(db) as connection:
            plan = explain(connection, of("SELECT :a::text AS a"), {"a": hostile}, generic=generic, analyze=analyze)
            assert plan.root.kind == "Result"
            assert RawCursor(connection).execute(b"SELECT 1").fetchone() == (1,)


def test_a_missing_value_is_an_error_that_names_it(db: str) -> None:
    with psycopg.connect(db) as connection, pytest.raises(QueryError, match="was not given :tenant_id"):
        explain(connection, load("dialog.get_by_id"), {"id": "d"})
