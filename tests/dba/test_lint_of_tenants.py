"""The tenant rule of `lint` beside that of the tests, which stands on PostgreSQL's own parser: they agree."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from conversation_store._sql_loader import load_all
from conversation_store.dba.files import read
from conversation_store.dba.lint import Schema, lint_file
from support import tenant_rules
from support.tenant_cases import ACCEPTED, FAULTY

SCHEMA = Schema()
FILES = {name: query for name, query in load_all().items() if not name.startswith("ragflow")}
CONDITION = r"(\w+\.)?tenant_id = :tenant_id::text"
# Each place that says whose a row is: the conditions, the values of an INSERT, and the columns of a key.
PLACES = [
    (name, match.start())
    for name, query in FILES.items()
    for match in re.finditer(rf"{CONDITION}|:tenant_id::text,$|\(\w+, tenant_id\)", query.source, re.MULTILINE)
]


def found(source: str, name: str) -> list[str]:
    """Return what the rules of `lint` say of tenants, and of tables, whatever the header accepts."""
    file = read(re.sub("(?m)^-- tenants: .*\n", "", source).encode(), "sql/seeded.sql", name)
    return [finding.message for finding in lint_file(file, SCHEMA) if finding.rule[:3] in ("L00", "L07", "L12", "L13")]


def expected(source: str, name: str) -> list[str]:
    """Return what the rules of the tests say, but for functions and operators, which `lint` does not look at."""
    query = read(source.encode(), "sql/seeded.sql", name).query
    faults = tenant_rules.faults(query.text.decode(), query.parameters)
    return [fault for fault in faults if not re.search(r"known function|OPERATOR|loaded by COPY", fault)]


@pytest.mark.parametrize("name", FILES)
def test_two_parsers_agree_on_every_file(name: str) -> None:
    assert sorted(found(FILES[name].source, name)) == sorted(expected(FILES[name].source, name))


@pytest.mark.slow
def test_two_parsers_agree_where_a_tenant_is_lost() -> None:
    lost = 0
    for name, start in PLACES:
        source = FILES[name].source
        words = re.match(rf"{CONDITION}|:tenant_id::text|\(\w+, tenant_id\)", source[start:])
        assert words
        other = {":": "c.tenant_id", "(": "(id)"}.get(words[0][0], "TRUE")
        seeded = source[:start] + other + source[start + len(words[0]) :]
        assert sorted(found(seeded, name)) == sorted(expected(seeded, name)), f"{name}, at {start}"
        lost += bool(expected(seeded, name))
    assert lost > 100


def as_file(statement: str) -> str:
    for old, new in (("T.", "conversation_store."), ("$1", ":tenant_id"), ("$2", ":id")):
        statement = statement.replace(old, new)
    return f"/* thing.get */\n-- Get a thing.\n-- returns: count\n{statement};\n"


@pytest.mark.parametrize("statement", ACCEPTED)
def test_a_statement_with_its_tenant_is_accepted(statement: str) -> None:
    if "pg_catalog.text" in statement:
        pytest.skip("to the command the type is the one that the schema names, without a schema before it")
    assert [each for each in found(as_file(statement), "thing.get") if "schema_migrations" not in each] == []


# What the command has no rule for, and what it looks through: a sample of a table has its tenant beside it.
NOT_LOOKED_AT = ("known function", "OPERATOR", "TABLESAMPLE SYSTEM (100) WHERE", "COPY (SELECT 1)")


@pytest.mark.parametrize(
    "statement",
    [
        statement
        for fault, statement in chain.from_iterable(
            ((fault, each) for each in texts) for fault, texts in FAULTY.items()
        )
        if not any(words in fault + statement for words in NOT_LOOKED_AT)
    ],
)
def test_a_fault_of_the_review_is_found(statement: str) -> None:
    assert found(as_file(statement), "thing.get") != []
