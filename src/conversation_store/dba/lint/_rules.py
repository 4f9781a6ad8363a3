"""The rules: each with its code, its name, why it is one, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sqlglot import exp

from conversation_store.dba.files import QueryFile
from conversation_store.dba.lint._levels import Level
from conversation_store.dba.lint._schema import Schema


class Rule(NamedTuple):
    """A rule of statements."""

    code: str
    name: str
    reason: str
    instead: str

    @property
    def title(self) -> str:
        """Its code and its name."""
        return f"{self.code} {self.name}"


RULES = {
    rule.code: rule
    for rule in (
        Rule(
            "L00",
            "unreadable",
            "A file that cannot be read is checked by no rule.",
            "one statement of SELECT, INSERT, UPDATE, DELETE or COPY, in a file with the header that sql/README.md"
            " describes",
        ),
        Rule(
            "L01",
            "star",
            "The list of the columns is the contract with the program that reads the rows: with a star, a new column"
            " changes what the statement returns, and reads what nobody asked for.",
            "the names of the columns, one a line",
        ),
        Rule(
            "L02",
            "uncast-parameter",
            "A parameter is sent without a type, so that the statement must say it: else the server guesses, by what"
            " stands beside it, and the same text is a statement of another type elsewhere.",
            ":name::type, wherever the parameter stands",
        ),
        Rule(
            "L03",
            "order-by-parameter",
            "A parameter is a value and no column: all rows have the same, so that nothing is sorted.",
            "a ladder of CASE WHEN :order::text = 'name' THEN column END, one step for each order and direction",
        ),
        Rule(
            "L04",
            "list-without-order",
            "Without an ORDER BY the server returns rows in any order, which changes with the plan.",
            "ORDER BY, down to the columns of a key",
        ),
        Rule(
            "L05",
            "list-without-limit",
            "Nothing bounds what this list returns, and a table grows: neither a LIMIT, nor a list of keys that is a"
            " parameter.",
            "LIMIT :limit::bigint, or a key that = ANY(:ids::text[]) asks for",
        ),
        Rule(
            "L06",
            "order-not-unique",
            "Where two rows may be equal in the order, each page may have them in another: a reader of pages misses"
            " one and sees the other twice.",
            "an ORDER BY that ends with the columns of a key",
        ),
        Rule(
            "L07",
            "unqualified-table",
            "Without its schema, a table is looked for along the search_path of the session: another table may be"
            " found.",
            "schema.table",
        ),
        Rule(
            "L08",
            "in-parameters",
            "IN with parameters is another text for each number of values, thus another prepared statement and"
            " another row of pg_stat_statements; with one, it is no list.",
            "= ANY(:values::text[])",
        ),
        Rule(
            "L09",
            "function-on-indexed-column",
            "An index holds the column as it is: a condition on what a function makes of it reads every row, though"
            " an index with the column is there.",
            "the bare column on one side, and what is computed on the other; or an index on the expression",
        ),
        Rule(
            "L10",
            "whole-row",
            "A reference to a whole row reads all of its columns, the large ones that are stored apart included, and"
            " changes with each column that the table gets.",
            "the columns that are needed",
        ),
        Rule(
            "L11",
            "lock-with-join",
            "A lock of a join locks the rows in the order of the plan, which two sessions may have different ones"
            " of, and no distributed table allows it.",
            "a common table expression that locks the rows of one table, ordered by its key",
        ),
        Rule(
            "L12",
            "tenant-missing",
            "The tenant beside every table is the wall between tenants: what a join or another table says of it is"
            " not seen where the rows are read.",
            "alias.tenant_id = :tenant_id::text, as a condition of its own beside the table; where all tenants are"
            " meant, -- tenants: all, since … in the header",
        ),
        Rule(
            "L13",
            "unknown-table",
            "The rules of tenants, orders, limits and indexes have to know the table, and cannot look at it.",
            "a table of the store, or --schema with the files that create it",
        ),
        Rule(
            "L14",
            "superfluous-exception",
            "The header accepts what is not there: it would hide the next fault of this kind.",
            "a header without the line",
        ),
    )
}


@dataclass(frozen=True)
class Subject:
    """A statement that rules look at, and what they know beside it."""

    file: QueryFile
    tree: exp.Expr
    levels: list[Level]
    schema: Schema
    tenant: str  # the column, and the parameter, that says whose a row is


class Fault(NamedTuple):
    """What a rule found: its code, where, and what is wrong there."""

    code: str
    node: exp.Expr
    message: str


Faults: TypeAlias = Iterator[Fault]
