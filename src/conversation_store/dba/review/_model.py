"""What the page shows: statements with their columns and plans, and who uses whom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from conversation_store.dba.contract import Contract, bare
from conversation_store.dba.files import QueryFile
from conversation_store.dba.review._diagram import Diagram, draw
from conversation_store.dba.review._highlight import TENANT
from conversation_store.dba.review._plans import SharedPlan
from conversation_store.dba.review._schema import Index, Schema, Table
from conversation_store.dba.server import Server

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result; *nullable* is None where nobody knows."""

    name: str
    type: str
    nullable: bool | None


@dataclass(frozen=True)
class Statement:
    """A query file with what the server and Python say of it."""

    file: QueryFile
    contract: Contract
    tables: Sequence[str] = ()
    columns: Sequence[ResultColumn] | None = None
    notes: Sequence[str] = ()
    plans: Sequence[SharedPlan] = ()
    shapes: int = 0

    @property
    def name(self) -> str:
        """The name of the file, as `conversation.get_list`."""
        return self.file.name

    @property
    def methods(self) -> Sequence[str]:
        """The methods that run it."""
        return self.contract.methods

    @property
    def row(self) -> str:
        """The name of the class of its rows."""
        return self.contract.row.__name__ if self.contract.row else ""

    @property
    def indexes(self) -> Groups:
        """The indexes that serve it, each with those that may serve in its place: as it says, or as its plans do."""
        if self.file.indexes is not None:
            return self.file.indexes
        return tuple((name,) for name in sorted({name for plan in self.plans for name in plan.indexes}))

    @property
    def index_names(self) -> list[str]:
        """The names of all of them."""
        return [name for group in self.indexes for name in group]

    @property
    def tenant_conditions(self) -> int:
        """How many conditions on the tenant are marked in its text."""
        return len(TENANT.findall(self.file.query.source))

    @property
    def kinds(self) -> list[str]:
        """What the filters of the page ask for."""
        return [
            "writes" if self.file.is_write else "reads",
            *(["custom"] if self.file.query.plan == "custom" else []),
            *(["tenants"] if self.file.query.all_tenants else []),
        ]


@dataclass(frozen=True)
class Review:
    """All that the page shows."""

    title: str
    server: str  # its version, or nothing where there was none
    statements: Sequence[Statement]
    schema: Schema
    migrations: Sequence[tuple[str, str]]  # path and text
    scans_avoided: bool  # whether the plans are those of a server that takes an index where it can

    @cached_property
    def diagram(self) -> Diagram:
        """The tables with their foreign keys."""
        return draw(self.schema.tables)

    @property
    def folders(self) -> list[tuple[str, list[Statement]]]:
        """The statements of each folder."""
        return [(name, list(group)) for name, group in groupby(self.statements, lambda each: each.file.table)]

    @property
    def methods(self) -> list[tuple[str, list[Statement]]]:
        """The statements of each method."""
        names = sorted({name for statement in self.statements for name in statement.methods})
        return [(name, [each for each in self.statements if name in each.methods]) for name in names]

    @property
    def indexes(self) -> list[tuple[Index, list[Statement]]]:
        """The statements that each index serves."""
        return [
            (index, [each for each in self.statements if index.name in each.index_names])
            for index in self.schema.indexes
        ]

    @property
    def filters(self) -> list[tuple[str, str, int]]:
        """What the page can be narrowed to: the kind, what to call it, and how many there are."""
        labels = {"reads": "reads", "writes": "writes", "custom": "custom plan", "tenants": "all tenants"}
        counts = {kind: sum(kind in each.kinds for each in self.statements) for kind in labels}
        return [(kind, label, counts[kind]) for kind, label in labels.items() if counts[kind]]

    @property
    def figures(self) -> list[tuple[int, str]]:
        """How much there is."""
        figures = [
            (len(self.statements), "statements"),
            (len(self.methods), "methods"),
            (len(self.schema.tables), "tables"),
            (len(self.schema.indexes), "indexes"),
            (sum(each.shapes for each in self.statements), "shapes"),
            (sum(len(each.plans) for each in self.statements), "plans"),
        ]
        return [(number, label) for number, label in figures if number]

    @staticmethod
    def indexes_of(statements: Sequence[Statement]) -> list[str]:
        """Return the indexes of statements, each once."""
        return list(dict.fromkeys(name for each in statements for name in each.index_names))

    @staticmethod
    def methods_of(statements: Sequence[Statement]) -> list[str]:
        """Return the methods of statements, each once, in order."""
        return sorted({name for each in statements for name in each.methods})


def tables_of(file: QueryFile, schema: Schema) -> list[str]:
    """Return the tables that a statement names, with their schema or behind a word that a table follows."""
    text = re.sub(r"--[^\n]*", "", file.query.source)
    return [table.name for table in schema.tables if re.search(_naming(table), text, re.IGNORECASE)]


def _naming(table: Table) -> str:
    """Return a pattern for where a table is named."""
    schema, name = (rf'(?:{re.escape(part)}|"{re.escape(part)}")' for part in (table.schema, table.short_name))
    before = rf'(?<![\w."]){schema}\s*\.\s*|\b(?:FROM|JOIN|INTO|UPDATE|COPY|USING)\s+(?:ONLY\s+)?'
    return rf'(?:{before}){name}(?![\w"]|\s*\()'


def columns_of(server: Server, file: QueryFile, contract: Contract) -> list[ResultColumn]:
    """Prepare a statement and return the columns of its result; raises what the server says of it."""
    hints: Mapping[str, Any] = contract.columns() or {}
    found: list[ResultColumn] = []
    for name, kind, not_null in server.describe(file.query.text).columns:
        # What Python expects is closer than the table's NOT NULL, which an outer join takes away.
        nullable = bare(hints[name])[1] if name in hints else True if not_null is False else None
        found.append(ResultColumn(name, kind, nullable))
    return found
