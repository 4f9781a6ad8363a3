"""The tenant stands beside every table of every statement, which the parse tree proves; and rules for distributed tables."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from conversation_store._sql_loader import Query, compile_text, load, load_all
from support import tenant_rules
from support.tenant_cases import ACCEPTED, FAULTY
from support.tenant_rules import faults, functions_of_modifications, locks_with_a_join, moving_literals

# The files of the store; those of ragflow read the tables of RAGFlow.
FILES = {name: query for name, query in load_all().items() if not name.startswith("ragflow")}

NONE = "{0} AS {1} has no {1}.tenant_id = :tenant_id::text"
IF_GIVEN = "{0} AS {1} has {1}.tenant_id = :tenant_id::text only if it is given"
OF_TOKENS = [text.format("api_token", "t") for text in (IF_GIVEN, NONE)]
# What each statement that reads the rows of all tenants lacks, in the order of the tree, and nothing else.
EXCEPTIONS = {
    # The row is found by its secret; in `used` the other is that row.
    "api_token.authenticate": OF_TOKENS[:1],
    "api_token.authenticate_beta": OF_TOKENS[:1],
    "api_token.query": OF_TOKENS[:1],
    "api_token.used": OF_TOKENS[::-1],
    "conversation.count_all": [NONE.format("conversation", "conversation")],
    "conversation.find": [NONE.format("conversation", "c")],
    "dialog.find": [NONE.format("dialog", "d")],
    "dialog.iter_tenants": [NONE.format("dialog", "d")],
}
LOADS = {
    f"{table}.insert_many": [f"{table} is loaded by COPY"]
    for table in ("conversation", "conversation_message", "conversation_reference")
}


def test_few_statements_read_the_rows_of_all_tenants_and_each_gives_its_reason() -> None:
    assert {name for name, query in FILES.items() if query.all_tenants} == EXCEPTIONS.keys()


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_table_of_a_tenant_has_its_tenant_beside_it(name: str) -> None:
    expected = (EXCEPTIONS | LOADS).get(name, [])
    assert faults(FILES[name].text.decode(), FILES[name].parameters) == expected


def test_the_statements_of_ragflow_read_no_table_of_the_store() -> None:
    of_ragflow = [query.text for name, query in load_all().items() if name not in FILES]
    assert of_ragflow
    assert not [text for text in of_ragflow if b"conversation_store" in text]


def test_the_lists_of_the_rules_are_those_of_the_catalog(db: str) -> None:
    def names(query: str) -> set[str]:
        with psycopg.connect(db) as connection:
            return {name for (name,) in connection.execute(query.encode())}

    schema = "'conversation_store'::regnamespace"
    relations = f"SELECT relname FROM pg_class WHERE relnamespace = {schema} AND relkind NOT IN ('i', 'S')"
    of_tenants = "SELECT attrelid FROM pg_attribute WHERE attname = 'tenant_id' AND NOT attisdropped"
    assert names(f"{relations} AND oid IN ({of_tenants})") == tenant_rules.TABLES
    assert names(f"{relations} AND oid NOT IN ({of_tenants})") == tenant_rules.OTHER_TABLES
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = "
    own, builtins = set(tenant_rules.OWN_FUNCTIONS.split()), set(tenant_rules.BUILTINS.split())
    assert names(functions + schema) == own
    assert names(functions + "'pg_catalog'::regnamespace") >= builtins
    keys = f"""
        SELECT k.conname FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
        WHERE k.connamespace = {schema} AND k.contype IN ('p', 'u') AND a.attname = 'tenant_id'
    """
    assert names(keys) == tenant_rules.TENANT_KEYS


def replaced(name: str, old: str, new: str) -> Query:
    """Return a statement with a seeded fault."""
    query = load(name)
    source = re.sub(r"\$(\d+)", lambda match: f":{query.parameters[int(match[1]) - 1]}", query.text.decode())
    assert old in source
    return compile_text(source.replace(old, new, 1).encode(), "sql/seeded.sql", name)


OF_AN_ENTRY = "m.tenant_id = :tenant_id::text\n                AND "
OF_THE_JOIN = "page.id = s.id AND s.tenant_id = :tenant_id::text"

SEEDED: dict[str, tuple[str, str, str]] = {
    "lost in one entry subquery": ("conversation.get_by_id", OF_AN_ENTRY, ""),
    "derived through a join": ("conversation.get_by_id", "m.tenant_id = :tenant_id::text", "m.tenant_id = c.tenant_id"),
    "in the ON of an outer join, of the side that stays": (
        "conversation.get_list",
        "LEFT JOIN conversation_store.conversation AS s ON " + OF_THE_JOIN,
        "RIGHT JOIN conversation_store.conversation AS s ON " + OF_THE_JOIN,
    ),
    "lost in a common table expression": (
        "conversation.get_list_by_keywords",
        "    WHERE n.tenant_id = :tenant_id::text\n        AND ",
        "    WHERE ",
    ),
    "lost behind a lock": ("conversation.delete_by_ids", "\nWHERE c.tenant_id = :tenant_id::text", "\nWHERE true"),
    "of another row": (
        "conversation.append_round",
        ":tenant_id::text,\n        a.dialog_id",
        "a.tenant_id, a.dialog_id",
    ),
    "of a subquery in an INSERT": (
        "conversation.save",
        "        :id::text,\n        :tenant_id::text,",
        "        :id::text,\n        (SELECT :tenant_id::text),",
    ),
}


@pytest.mark.parametrize(("name", "old", "new"), SEEDED.values(), ids=list(SEEDED))
def test_a_seeded_fault_is_found(name: str, old: str, new: str) -> None:
    query = replaced(name, old, new)
    assert faults(query.text.decode(), query.parameters) != []


@pytest.mark.parametrize("name", ["api_token.authenticate", "api_token.authenticate_beta", "api_token.used"])
def test_the_tenant_of_a_token_is_held_to_where_it_is_given(name: str) -> None:
    query = replaced(name, "AND (:tenant_id::text IS NULL OR t.tenant_id = :tenant_id::text)", "")
    assert faults(query.text.decode(), query.parameters) != EXCEPTIONS[name]


def faults_of(statement: str) -> list[str]:
    return faults(statement.replace("T.", "conversation_store."), ["tenant_id", "id"])


@pytest.mark.parametrize("statement", ACCEPTED)
def test_a_statement_with_its_tenant_is_accepted(statement: str) -> None:
    assert faults_of(statement) == []


@pytest.mark.parametrize(("fault", "statement"), [(fault, text) for fault, texts in FAULTY.items() for text in texts])
def test_a_fault_of_the_review_is_found(fault: str, statement: str) -> None:
    assert fault.replace("T.", "conversation_store.") in faults_of(statement)


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
def test_a_modification_calls_no_volatile_function(name: str, volatility: Callable[[set[str]], set[str]]) -> None:
    modifications, _ = functions_of_modifications(FILES[name].text.decode())
    assert "v" not in volatility(modifications)


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_upsert_calls_only_immutable_functions(name: str, volatility: Callable[[set[str]], set[str]]) -> None:
    _, conflicts = functions_of_modifications(FILES[name].text.decode())
    assert volatility(conflicts) <= {"i"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_literal_stands_for_the_time_of_preparation(name: str) -> None:
    assert moving_literals(FILES[name].text.decode()) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE a SET x = 1 WHERE y < clock_timestamp()",
        "UPDATE a SET x = random()",
        "UPDATE a SET x = 1 FROM b JOIN c ON random() < 0.5",
        "DELETE FROM a USING (SELECT random() AS r) AS z WHERE z.r < 1",
        "WITH d AS (DELETE FROM a WHERE random() < 1 RETURNING x) SELECT x FROM d",
    ],
)
def test_a_volatile_function_is_found(statement: str, volatility: Callable[[set[str]], set[str]]) -> None:
    assert "v" in volatility(functions_of_modifications(statement)[0])


def test_the_lock_before_a_modification_may_read_the_clock() -> None:
    statement = (
        "WITH f AS (SELECT x FROM a WHERE y < clock_timestamp() FOR UPDATE) DELETE FROM a USING f WHERE a.x = f.x"
    )
    assert functions_of_modifications(statement) == (set(), set())


@pytest.mark.parametrize("value", ["now()", "CURRENT_TIMESTAMP", "LOCALTIME", "DEFAULT"])
def test_a_function_in_an_upsert_is_found(value: str, volatility: Callable[[set[str]], set[str]]) -> None:
    statement = f"INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = {value}"
    assert volatility(functions_of_modifications(statement)[1]) == {"s"}


@pytest.mark.parametrize(
    "value", ["'now'::timestamptz", "date ' Today'", "CAST('yesterday' AS date)", "'tomorrow 12:00'"]
)
def test_a_literal_that_stands_for_the_time_of_preparation_is_found(value: str) -> None:
    assert moving_literals(f"UPDATE a SET x = {value}") != set()
