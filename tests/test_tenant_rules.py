"""The tenant stands beside every table of every statement, which the parse tree proves; and rules for distributed tables."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from conversation_store._sql_loader import Query, compile_text, load, load_all
from support.tenant_rules import faults, functions_of_modifications, locks_with_a_join

# The files of the store; COPY has no condition, and its rows carry the tenant.
FILES = {
    name: query
    for name, query in load_all().items()
    if not name.startswith("ragflow.") and b"FROM STDIN" not in query.text
}
EXCEPTIONS = {
    "api_token.authenticate",
    "api_token.authenticate_beta",
    "api_token.query",
    "api_token.used",
    "conversation.count_all",
    "conversation.find",
    "dialog.find",
    "dialog.iter_tenants",
}


def test_few_statements_read_the_rows_of_all_tenants_and_each_gives_its_reason() -> None:
    assert {name for name, query in FILES.items() if query.all_tenants} == EXCEPTIONS


@pytest.mark.parametrize("name", sorted(FILES.keys() - EXCEPTIONS))
def test_every_table_of_a_tenant_has_its_tenant_beside_it(name: str) -> None:
    assert faults(FILES[name].text.decode(), FILES[name].parameters) == []


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_a_statement_with_the_directive_needs_it(name: str) -> None:
    assert faults(FILES[name].text.decode(), FILES[name].parameters) != []


def replaced(name: str, old: str, new: str) -> Query:
    """Return a statement with a seeded fault."""
    source = _source(name)
    assert old in source
    return compile_text(source.replace(old, new, 1).encode(), "sql/seeded.sql", name)


def _source(name: str) -> str:
    query = load(name)
    return re.sub(r"\$(\d+)", lambda match: f":{query.parameters[int(match[1]) - 1]}", query.text.decode())


OF_AN_ENTRY = "m.tenant_id = :tenant_id::text\n                    AND "
OF_THE_ROW = "c.tenant_id = :tenant_id::text"
OF_THE_JOIN = "page.id = s.id AND s.tenant_id = :tenant_id::text"

SEEDED: dict[str, tuple[str, str, str]] = {
    "lost in one entry subquery": ("conversation.get_by_id", OF_AN_ENTRY, ""),
    "derived through a join": (
        "conversation.get_by_id",
        OF_AN_ENTRY,
        OF_AN_ENTRY.replace(":tenant_id::text", "c.tenant_id"),
    ),
    "under OR": ("conversation.get_by_id", OF_THE_ROW, f"({OF_THE_ROW} OR c.round > 0)"),
    "under NOT": ("conversation.get_by_id", OF_THE_ROW, f"NOT ({OF_THE_ROW})"),
    "a parameter that may be NULL": (
        "conversation.get_by_id",
        OF_THE_ROW,
        f"(:tenant_id::text IS NULL OR {OF_THE_ROW})",
    ),
    "a parameter with a default": (
        "conversation.get_by_id",
        OF_THE_ROW,
        "c.tenant_id = coalesce(:tenant_id::text, c.tenant_id)",
    ),
    "another parameter": ("conversation.get_by_id", OF_THE_ROW, "c.tenant_id = :id::text"),
    "another column": ("conversation.get_by_id", OF_THE_ROW, "c.user_id = :tenant_id::text"),
    "another comparison": ("conversation.get_by_id", OF_THE_ROW, "c.tenant_id >= :tenant_id::text"),
    "in the ON of an outer join, of the side that stays": (
        "conversation.get_list",
        "LEFT JOIN conversation_store.conversation AS s ON " + OF_THE_JOIN,
        "RIGHT JOIN conversation_store.conversation AS s ON " + OF_THE_JOIN,
    ),
    "lost in a common table expression": (
        "conversation.get_list",
        "        AND o.tenant_id = :tenant_id::text\n",
        "",
    ),
    "lost in the deletion behind a lock": (
        "conversation.delete_by_ids",
        "WHERE c.tenant_id = :tenant_id::text\n    AND c.id = l.id",
        "WHERE c.id = l.id",
    ),
    "of another row in an INSERT": (
        "conversation.append_round",
        "        :tenant_id::text,\n        a.dialog_id",
        "        a.tenant_id,\n        a.dialog_id",
    ),
    "of a subquery in an INSERT": (
        "conversation.save",
        "        :id::text,\n        :tenant_id::text,",
        "        :id::text,\n        (SELECT :tenant_id::text),",
    ),
    "a table without its schema": (
        "conversation.get_by_id",
        "FROM conversation_store.conversation AS c",
        "FROM conversation AS c",
    ),
}


@pytest.mark.parametrize(("name", "old", "new"), SEEDED.values(), ids=list(SEEDED))
def test_a_seeded_fault_is_found(name: str, old: str, new: str) -> None:
    query = replaced(name, old, new)
    assert faults(query.text.decode(), query.parameters) != []


# -- distributed tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_locking_clause_has_no_join(name: str) -> None:
    assert not locks_with_a_join(FILES[name].text.decode())


def test_a_lock_with_a_join_is_found() -> None:
    assert locks_with_a_join("SELECT 1 FROM a JOIN b ON a.id = b.id FOR UPDATE OF a")
    assert locks_with_a_join("WITH x AS (SELECT 1 FROM a, b FOR UPDATE) SELECT 1 FROM x")


@pytest.fixture(scope="module")
def volatility(db: str) -> Callable[[set[str]], set[str]]:
    """Return which functions of these names are volatile ('v') or stable ('s')."""
    with psycopg.connect(db) as connection:
        rows = connection.execute("SELECT proname, provolatile FROM pg_proc").fetchall()

    def kinds(names: set[str]) -> set[str]:
        return {kind for name, kind in rows if name in names}

    return kinds


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_modification_calls_no_volatile_function_in_its_condition(
    name: str, volatility: Callable[[set[str]], set[str]]
) -> None:
    conditions, _ = functions_of_modifications(FILES[name].text.decode())
    assert "v" not in volatility(conditions)


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_upsert_calls_only_immutable_functions(name: str, volatility: Callable[[set[str]], set[str]]) -> None:
    _, conflicts = functions_of_modifications(FILES[name].text.decode())
    assert volatility(conflicts) <= {"i"}


def test_functions_in_modifications_are_found(volatility: Callable[[set[str]], set[str]]) -> None:
    conditions, _ = functions_of_modifications("UPDATE a SET x = now() WHERE y < clock_timestamp()")
    _, conflicts = functions_of_modifications("INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = now()")
    assert (volatility(conditions), volatility(conflicts)) == ({"v"}, {"s"})
