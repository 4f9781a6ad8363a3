"""The tables of some schemas, as the catalogue of a server has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from conversation_store.dba.reading import read


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    not_null: bool
    default: str | None


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table; *target* is the table that a foreign key refers to."""

    name: str
    kind: str  # c: check, f: foreign key, p: primary key, u: unique, x: exclusion
    definition: str
    columns: Sequence[str]
    target: str | None
    target_columns: Sequence[str]


@dataclass(frozen=True)
class Index:
    """An index of a table."""

    name: str
    table: str
    definition: str
    unique: bool
    valid: bool

    @property
    def full_name(self) -> str:
        """The name with its schema, which is that of the table."""
        return f"{self.table.partition('.')[0]}.{self.name}"


@dataclass(frozen=True)
class Function:
    """A function, with its arguments."""

    name: str
    arguments: str
    result: str
    definition: str


@dataclass(frozen=True)
class Table:
    """A table with all that belongs to it."""

    schema: str
    short_name: str
    comment: str | None
    rows: int  # as the planner takes it; -1: it does not know
    columns: list[Column] = field(default_factory=list[Column])
    constraints: list[Constraint] = field(default_factory=list[Constraint])
    indexes: list[Index] = field(default_factory=list[Index])

    @property
    def name(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.short_name}"

    @property
    def foreign_keys(self) -> list[Constraint]:
        """The foreign keys."""
        return [constraint for constraint in self.constraints if constraint.kind == "f"]

    def columns_of(self, kind: str) -> set[str]:
        """Return the names of the columns in constraints of a kind."""
        return {name for constraint in self.constraints if constraint.kind == kind for name in constraint.columns}


@dataclass(frozen=True)
class Schema:
    """The tables and functions of some schemas, in order of their names."""

    tables: Sequence[Table]
    functions: Sequence[Function]

    @property
    def indexes(self) -> list[Index]:
        """The indexes of all tables, in order of their names."""
        return sorted(
            (index for table in self.tables for index in table.indexes), key=lambda index: (index.name, index.table)
        )


def schemas_in(connection: psycopg.Connection[Any], texts: Iterable[str]) -> list[str]:
    """Return the schemas that statements name, and those that are looked for tables without a schema."""
    text = "\n".join(texts)
    rows = read(connection, "review.schemas")
    return [row.name for row in rows if row.searched or f"{row.name}." in text or f'"{row.name}".' in text]


def read_schema(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> Schema:
    """Read the tables and functions of these schemas."""
    tables = {row.oid: Table(*row[1:]) for row in read(connection, "review.tables", schemas=list(schemas))}
    oids = list(tables)
    for row in read(connection, "review.columns", tables=oids):
        tables[row.table].columns.append(Column(*row[1:]))
    for row in read(connection, "review.constraints", tables=oids):
        tables[row.table].constraints.append(Constraint(*row[1:]))
    for row in read(connection, "review.indexes", tables=oids):
        table = tables[row.table]
        table.indexes.append(Index(row.name, table.name, *row[2:]))
    functions = [Function(*row) for row in read(connection, "review.functions", schemas=list(schemas))]
    return Schema(list(tables.values()), functions)
