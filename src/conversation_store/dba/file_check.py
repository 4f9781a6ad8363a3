"""One query file against the server and, where there is one, its contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from conversation_store._sql_loader import Query
from conversation_store.dba.contract import Contract, Types, bare
from conversation_store.dba.files import QueryFile
from conversation_store.dba.findings import Finding, at, nearest
from conversation_store.dba.lint import Unreadable, lint_file, parse
from conversation_store.dba.nullability import ResultColumn, result_columns
from conversation_store.dba.pg_types import fits, shown
from conversation_store.dba.server import Described, DescribedColumn, Server

# What a COPY must be to be begun, which runs it: with no file, program, query or condition in it.
_LOADS_ROWS = re.compile(
    r"""\s*COPY\s+(?:\w+\.)?\w+\s*\([\w\s,]+\)\s+FROM\s+STDIN(?:\s+(?:WITH\s*)?\([\w\s,'"]*\))?\s*;\s*""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A result column, and where the text names it."""

    name: str
    type: str
    never_null: bool
    offset: int


class FileCheck:
    """The check of one file."""

    def __init__(self, server: Server, file: QueryFile, contract: Contract | None) -> None:
        self.findings: list[Finding] = []
        self._server = server
        self._file = file
        self._source = file.query.source
        self._contract = contract

    def found(self, rule: str, message: str, offset: int = 0, advice: str = "") -> None:
        """Add what is wrong at an offset of the source."""
        self.findings.append(at(self._source, offset, rule, self._file.path, message, advice))

    def run(self) -> None:
        """Look for everything that is wrong."""
        try:
            if self._file.is_copy:
                self._copy()
            else:
                described = self._server.describe(self._file.query.text)
                self._parameters(described.parameters)
                self._columns(described)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            self._server_error(error)
        if not self._file.of_ragflow:
            self._tenants()

    def _tenants(self) -> None:
        """Look for tables of tenants without their tenant."""
        for found in lint_file(self._file, self._server.schema):
            if found.rule.startswith("L12"):
                self.findings.append(replace(found, rule="tenant"))

    # -- what the server says ---------------------------------------------------------------------

    def _server_error(self, error: psycopg.Error) -> None:
        diag = error.diag
        position = source_position(self._file.query, int(diag.statement_position or 0) - 1)
        advice = diag.message_hint or self._suggestion(str(diag.sqlstate), position, diag.message_primary or "")
        message = ": ".join(filter(None, (diag.message_primary or str(error), diag.message_detail)))
        self.found("statement", message, self._of_name(message) if position is None else position, advice)

    def _suggestion(self, code: str, position: int | None, message: str) -> str:
        """Return which name may be meant by one that the server does not know."""
        name = re.search(r'"?([\w.]+)"?(?:\([^)]*\))? (?:of relation \S+ )?does not exist', message)
        if name is None:
            return ""
        known: Sequence[str] = ()
        if code == "42P01":
            known = [f"{schema}.{table}" for schema, table in self._server.tables if schema]
        elif code == "42883":
            known = self._server.functions
        elif code == "42703":
            words = set(re.findall(r"\w+", self._source))
            known = [c for (_, table), columns in self._server.tables.items() if table in words for c in columns]
            return nearest(name[1].rpartition(".")[2], known)
        return nearest(name[1], known)

    def _of_name(self, message: str) -> int:
        """Return where the first name in quotes stands that a message without a position names."""
        for name in re.findall(r'"([^"]+)"', message):
            if (match := re.compile(rf"\b{re.escape(name)}\b").search(self._source, self._body)) is not None:
                return match.start()
        return self._body

    @property
    def _body(self) -> int:
        return len(self._source) - len(self._file.body)

    # -- parameters -------------------------------------------------------------------------------

    def _parameters(self, types: Sequence[str]) -> None:
        passed = None if self._contract is None else self._contract.passed()
        if passed is None:
            return
        query = self._file.query
        for name, server_type in zip(query.parameters, types, strict=True):
            position = query.position_of(name)
            if name not in passed:
                unused = [each for each in passed if each not in query.parameters]
                advice = nearest(name, unused) or f"the methods pass {_listed(passed)}"
                self.found("parameter", f":{name} is passed by no method", position, advice)
            elif not fits(passed[name], server_type):
                message = f":{name} is {server_type} to the server, and Python passes {shown(bare(passed[name])[0])}"
                self.found("parameter", message, position, "cast it to what is passed")
        for name in passed:
            if name not in query.parameters:
                unknown = [each for each in query.parameters if each not in passed]
                advice = nearest(name, unknown) or "use it, or let the method no longer pass it"
                self.found("parameter", f":{name} is passed by Python and not used", self._body, advice)

    # -- result columns ---------------------------------------------------------------------------

    def _columns(self, described: Described) -> None:
        columns = self._resolved(described.columns)
        self._directive(columns)
        if self._contract is None:
            return
        row, returns = self._contract.row, self._file.query.returns
        if (row is None) != (returns == "count"):
            reads = "the number of rows" if row is None else shown(row)
            self.found(
                "column", f"the header says returns: {returns}, and Python reads {reads}", self._header("returns")
            )
        if row is None:
            return
        expected = self._contract.columns()
        if expected is None:
            if len(columns) != 1:
                message = f"has {len(columns)} columns, and Python reads one value"
                self.found("column", message, columns[1].offset if len(columns) > 1 else self._body)
                return
            expected = {columns[0].name: row}
        if self._names(columns, list(expected), shown(row)):
            self._types(columns, expected, shown(row))
            self._nulls(columns, expected, shown(row))

    def _names(self, columns: Sequence[_Column], expected: list[str], row: str) -> bool:
        """Compare the names in their order; return whether they are the same."""
        names = [column.name for column in columns]
        extra = [column for column in columns if column.name not in expected]
        missing = [name for name in expected if name not in names]
        for column in extra:
            advice = nearest(column.name, missing) or f"{row} has {_listed(expected)}"
            self.found("column", f"the column {column.name} is no field of {row}", column.offset, advice)
        for name in missing:
            advice = nearest(name, [column.name for column in extra]) or "add it in its place"
            self.found("column", f"the column {name} of {row} is missing", self._body, advice)
        if extra or missing:
            return False
        for column, name in zip(columns, expected, strict=False):
            if column.name != name:
                message = f"the column {column.name} stands where {row} has {name}: rows are built by position"
                self.found("column", message, column.offset, f"the order is {_listed(expected)}")
                return False
        if len(columns) > len(expected):
            twice = next(column for n, column in enumerate(columns) if column.name in names[:n])
            self.found("column", f"the column {twice.name} is there twice", twice.offset)
            return False
        return True

    def _types(self, columns: Sequence[_Column], expected: Types, row: str) -> None:
        """Compare the types of the columns with those of their fields."""
        for column in columns:
            kind, _ = bare(expected[column.name])
            if not fits(kind, column.type):
                message = f"the column {column.name} is {column.type} to the server, and {shown(kind)} in {row}"
                self.found("type", message, column.offset, "cast it, or change the field")

    def _nulls(self, columns: Sequence[_Column], expected: Types, row: str) -> None:
        """Look for columns that may be NULL, and whose fields may not be None."""
        declared = self._file.not_null
        kinds = {name: bare(hint) for name, hint in expected.items()}
        nullable = [
            column
            for column in columns
            if not column.never_null and column.name not in declared and not kinds[column.name][1]
            if kinds[column.name][0] is not Any
        ]
        if nullable:
            names = _listed(column.name for column in nullable)
            self.found(
                "null",
                f"may be NULL, and {row} has no None for it: {names}",
                nullable[0].offset,
                "make it NOT NULL, let the field be None too, or say in the header why Python never sees it:"
                f" -- not_null: {names}, since …",
            )
        if optional := [name for name in declared if name in kinds and kinds[name][1]]:
            message = f"declared as not NULL, and may be None in {row}: {_listed(optional)}"
            self.found("null", message, self._header("not_null"), "take it out of the directive")

    def _directive(self, columns: Sequence[_Column]) -> None:
        """Compare the columns that the header names with those of the result."""
        by_name = {column.name: column for column in columns}
        for name in self._file.not_null:
            place = self._header("not_null")
            if name not in by_name:
                advice = nearest(name, by_name) or f"the result has {_listed(by_name)}"
                self.found("null", f"{name} is declared as not NULL, and no column of the result", place, advice)
            elif by_name[name].never_null:
                message = f"{name} is declared as not NULL, which it is without that"
                self.found("null", message, place, "take it out of the directive")

    def _resolved(self, described: Sequence[DescribedColumn]) -> list[_Column]:
        """Return the columns with what the parse tree says of them: whether they may be NULL, and where they stand."""
        found: Sequence[ResultColumn] | None = None
        try:
            tables = {
                key: {name: column.not_null for name, column in columns.items()}
                for key, columns in self._server.tables.items()
            }
            found = result_columns(parse(self._source), tables)
        except Unreadable:
            pass
        if found is None or [each.name for each in found] != [each.name for each in described]:
            # Without a tree, columns of tables are never NULL only where nothing is joined so that it may be left out.
            has_outer = re.search(r"\b(LEFT|RIGHT|FULL|ROLLUP|CUBE|SETS)\b", self._file.body, re.IGNORECASE)
            return [_Column(*each[:2], bool(each.not_null) and not has_outer, self._body) for each in described]
        return [
            _Column(each.name, each.type, tree.never_null and each.not_null is not False, tree.offset)
            for each, tree in zip(described, found, strict=True)
        ]

    # -- COPY -------------------------------------------------------------------------------------

    def _copy(self) -> None:
        """Begin the COPY, and compare the columns that the server waits for."""
        passed = None if self._contract is None else self._contract.passed()
        # Any other COPY reads or writes a file, runs a program or a query: it is begun by being sent.
        if not _LOADS_ROWS.fullmatch(self._file.body):
            advice = "write COPY schema.table (…) FROM STDIN;"
            self.found("copy", "is not sent to the server: it does not load rows into a table", self._body, advice)
            return
        if self._server.is_writable:
            waited_for, as_text = self._server.begin_copy(self._file.query.text)
            if not as_text:
                self.found("copy", "the server waits for binary rows, and Python sends text", self._body)
            if passed is not None and waited_for != len(passed):
                message = f"the server waits for {waited_for} columns, and Python sends {len(passed)}"
                self.found("copy", message, self._body, f"Python sends {_listed(passed)}")
        copied = re.match(r"\s*COPY\s+(?:(\w+)\.)?(\w+)\s*\(([^)]*)\)", self._file.body)
        table = None if copied is None else self._server.tables.get((copied[1] or "", copied[2]))
        if copied is None or table is None:
            self.found("copy", "names no table with its columns", self._body, "write COPY schema.table (…) FROM STDIN;")
            return
        offsets = {m[0]: self._body + m.start() for m in re.compile(r"\w+").finditer(self._file.body, *copied.span(3))}
        for name, column in table.items():
            if name not in offsets and column.not_null and not column.has_default:
                message = f"the column {name} of {copied[2]} is NOT NULL, has no default and is not sent"
                self.found("copy", message, self._body, "send it")
        if passed is None:
            return
        for n, (name, expected) in enumerate(zip(offsets, passed, strict=False)):
            if name != expected:
                message = f"column {n + 1} is {name}, and Python sends {expected} there"
                self.found("copy", message, offsets[name], f"the order is {_listed(passed)}")
                return
        for name, offset in offsets.items():
            if name in table and name in passed and not fits(passed[name], table[name].type):
                sent = shown(bare(passed[name])[0])
                self.found("type", f"the column {name} is {table[name].type}, and Python sends {sent}", offset)

    def _header(self, directive: str) -> int:
        """Return where a directive stands."""
        return max(self._source.find(f"\n-- {directive}: "), -1) + 1


def source_position(query: Query, position: int) -> int | None:
    """Return where an offset of the compiled text, with its `$1`, is in the source, with its `:name`."""
    if position < 0:
        return None
    compiled, source = query.text.decode(), query.source
    here = there = 0
    while here < position:
        if compiled[here] == "$" and source[there] == ":":
            number = re.compile(r"\$(\d+)").match(compiled, here)
            assert number is not None  # noqa: S101  # what a parameter is compiled to
            if here + len(number[0]) > position:
                break
            here += len(number[0])
            there += 1 + len(query.parameters[int(number[1]) - 1])
        else:
            here, there = here + 1, there + 1
    return there


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
