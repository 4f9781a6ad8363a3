"""What the server says of a statement and of its own catalogue, for `check`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import ExecStatus

from conversation_store._adapters import Cursor
from conversation_store.dba.lint._schema import Schema, Table
from conversation_store.dba.reading import prepare, read

# A statement is analysed, and takes the locks of that, for so long at most.
_LIMITS = b"SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s'"


class Described(NamedTuple):
    """What the server makes of a statement: the types of its parameters, and its result columns."""

    parameters: tuple[str, ...]
    columns: tuple[DescribedColumn, ...]


class DescribedColumn(NamedTuple):
    """A result column; `not_null` is that of the table's column which it shows, and None where it shows none."""

    name: str
    type: str
    not_null: bool | None


class TableColumn(NamedTuple):
    """A column of a table: its type, whether it is never NULL, and whether it has a value where none is given."""

    type: str
    not_null: bool
    has_default: bool


class _Enough(Exception):
    """Ends a COPY that was only to be begun."""


class Server:
    """A server that is asked and not changed: each question is a transaction that is rolled back."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def describe(self, text: bytes) -> Described:
        """Prepare a statement and return what the server says of it; raises what `psycopg` does."""
        pgconn = self._connection.pgconn
        with self._transaction():
            prepare(self._connection, text)
            result = pgconn.describe_prepared(b"")
            _raise_error(result)
        parameters = tuple(self._type(result.param_type(n)) for n in range(result.nparams))
        columns = tuple(
            DescribedColumn(
                (result.fname(n) or b"").decode(),
                self._type(result.ftype(n)),
                self._not_null.get((result.ftable(n), result.ftablecol(n))),
            )
            for n in range(result.nfields)
        )
        return Described(parameters, columns)

    def begin_copy(self, text: bytes) -> tuple[int, bool]:
        """Begin a COPY and end it; return how many columns the server waits for, and whether as text."""
        found = (0, True)
        with self._transaction():
            try:
                with Cursor(self._connection) as cursor, cursor.copy(text):
                    if (result := cursor.pgresult) is not None:
                        found = result.nfields, result.binary_tuples == 0
                    raise _Enough
            except _Enough:
                pass
        return found

    @cached_property
    def is_writable(self) -> bool:
        """Whether anything may be written, as it may not on a standby."""
        return bool(self._read("check.writable")[0].is_writable)

    @cached_property
    def tables(self) -> Mapping[tuple[str, str], Mapping[str, TableColumn]]:
        """The columns of each table by its schema and name, and without a schema where its name alone finds it."""
        found: dict[tuple[str, str], dict[str, TableColumn]] = {}
        for row in self._columns:
            column = TableColumn(row.type, row.not_null, row.has_default)
            found.setdefault((row.schema, row.table_name), {})[row.name] = column
            if row.is_visible:
                found.setdefault(("", row.table_name), {})[row.name] = column
        return found

    @cached_property
    def schema(self) -> Schema:
        """The tables as the rules of statements know them: those of the store, and what else the server has."""
        schema = Schema()
        for key, columns in self.tables.items():
            types = {name: column.type for name, column in columns.items()}
            schema.tables.setdefault(key, Table(types))
        return schema

    @cached_property
    def functions(self) -> tuple[str, ...]:
        """The functions of schemas that are not the server's own, qualified."""
        return tuple(row.name for row in self._read("check.functions"))

    @cached_property
    def _columns(self) -> list[Any]:
        return self._read("check.columns")

    @cached_property
    def _not_null(self) -> dict[tuple[int, int], bool]:
        return {(row.relation, row.number): row.not_null for row in self._columns}

    @cached_property
    def _types(self) -> dict[int, str]:
        return {row.oid: row.name for row in self._read("check.types")}

    def _type(self, oid: int) -> str:
        return self._types.get(oid, "unknown")

    def _read(self, query: str) -> list[Any]:
        with self._transaction():
            return read(self._connection, query)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(_LIMITS)
            yield


def _raise_error(result: Any) -> None:
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)
