"""What the server says of a statement and of its own catalogue, for `check`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import ExecStatus
from psycopg.rows import tuple_row

from conversation_store._adapters import Cursor

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
            _raise_error(pgconn.prepare(b"", text))
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
    def is_read_only(self) -> bool:
        """Whether nothing may be written, as on a standby."""
        return self._rows("SELECT current_setting('transaction_read_only') = 'on'")[0][0] is True

    @cached_property
    def tables(self) -> Mapping[tuple[str, str], Mapping[str, TableColumn]]:
        """The columns of each table by its schema and name, and without a schema where its name alone finds it."""
        found: dict[tuple[str, str], dict[str, TableColumn]] = {}
        for _, _, schema, table, visible, column, *facts in self._columns:
            for key in [(schema, table), ("", table)] if visible else [(schema, table)]:
                found.setdefault(key, {})[column] = TableColumn(*facts)
        return found

    @cached_property
    def functions(self) -> frozenset[str]:
        """The functions of schemas that are not the server's own, qualified."""
        return frozenset(name for (name,) in self._rows(_FUNCTIONS))

    @cached_property
    def _columns(self) -> list[tuple[Any, ...]]:
        return self._rows(_COLUMNS)

    @cached_property
    def _not_null(self) -> dict[tuple[int, int], bool]:
        return {(row[0], row[1]): row[7] for row in self._columns}

    @cached_property
    def _types(self) -> dict[int, str]:
        return dict(self._rows("SELECT t.oid::bigint, format_type(t.oid, NULL) FROM pg_catalog.pg_type AS t"))

    def _type(self, oid: int) -> str:
        return self._types.get(oid, "unknown")

    def _rows(self, text: str) -> list[tuple[Any, ...]]:
        with self._transaction(), self._connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(text.encode(), prepare=False).fetchall()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(_LIMITS)
            yield


def _raise_error(result: Any) -> None:
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)


# From PostgreSQL 18 on a NOT NULL may be NOT VALID, and rows from before it be NULL.
_COLUMNS = (
    "SELECT a.attrelid::bigint, a.attnum::integer, n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid),"
    " a.attname, format_type(a.atttypid, NULL), a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k"
    " WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]),"
    " a.atthasdef OR a.attidentity <> ''"
    " FROM pg_catalog.pg_attribute AS a"
    " INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid"
    " INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid"
    " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " ORDER BY c.oid, a.attnum"
)
_FUNCTIONS = (
    "SELECT DISTINCT n.nspname || '.' || p.proname FROM pg_catalog.pg_proc AS p"
    " INNER JOIN pg_catalog.pg_namespace AS n ON p.pronamespace = n.oid"
    " WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')"
)
