"""Where an import reads from: a RAGFlow database, each page by a statement file of the folder for its server."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg import IsolationLevel

from conversation_store._conninfo import connector
from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._roots import AsyncConnectionRoot, ConnectionRoot
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, many, one
from conversation_store._waiting import drive, drive_async
from conversation_store.errors import InvalidArgument, SourceError
from conversation_store.ragflow._mysql import AsyncMySqlSource, lost, mysql_source
from conversation_store.ragflow._mysql_url import is_mysql
from conversation_store.ragflow._source_rows import SourceSettings

R = TypeVar("R")


class Source(Protocol):
    """A RAGFlow database. Sync, a method returns its result; on asyncio, an awaitable of it. Errors are `SourceError`.

    Its statement files have the same names, parameters and columns in the folder of each kind of server. Dates are the
    wall clock of its server, without a zone, and None where they are in no calendar.
    """

    def begin(self, time_zone: str) -> Any:
        """Connect, and begin the one transaction: read-only, from one snapshot, for as long as it takes.

        A date that is an instant there is read as the wall clock of *time_zone*, an IANA name.
        """
        ...

    def read(self, name: str, row: type[Any], /, **params: object) -> Any:
        """Run the file of this name, with numbers, texts, None and lists of texts; return a list of its rows."""
        ...

    def close(self) -> Any:
        """End the transaction and close the connection, if there is one."""
        ...


def source_of(name: str, conninfo: object) -> Source:
    """Return the source that a connection string names, not yet connected; raises what `check_conninfo` does.

    A URL that begins with mysql:// names a database in MySQL or MariaDB; anything else is libpq's.
    """
    try:
        _check_given(name, conninfo)
        if is_mysql(conninfo):
            return mysql_source(name, conninfo)
        connect = connector(name, conninfo, psycopg.Connection.connect, **_PARAMETERS)
    finally:
        del conninfo  # it may hold a password, which no traceback shows
    return _Postgres(connect, lambda connection: Executor(ConnectionRoot(connection)), drive)


def async_source_of(name: str, conninfo: object) -> Source:
    """Return the same on asyncio."""
    try:
        _check_given(name, conninfo)
        if is_mysql(conninfo):
            return AsyncMySqlSource(mysql_source(name, conninfo))
        connect = connector(name, conninfo, psycopg.AsyncConnection.connect, **_PARAMETERS)
    finally:
        del conninfo
    return _Postgres(connect, lambda connection: AsyncExecutor(AsyncConnectionRoot(connection)), drive_async)


def _check_given(name: str, conninfo: object) -> None:
    """Refuse what libpq would take for the database that its environment names."""
    if isinstance(conninfo, str) and not conninfo.strip():
        raise InvalidArgument(f"{name} must name the database to import, and is empty")


# Never prepared, and so planned for its actual values. All of it is one transaction.
_PARAMETERS: dict[str, Any] = {"client_encoding": "UTF8", "prepare_threshold": None}


class _Postgres:
    """A RAGFlow database in PostgreSQL."""

    def __init__(
        self,
        connect: Callable[[], Generator[Any, Any, Any]],
        executor: Callable[[Any], Executor | AsyncExecutor],
        drive: Callable[[Generator[Any, Any, Any]], Any],
    ) -> None:
        self._connect = connect
        self._executor_of = executor
        self._drive = drive
        self._connection: Any = None
        self._executor: Any = None

    def begin(self, time_zone: str) -> Any:
        return self._drive(self._translated(self._begin(time_zone)))

    def read(self, name: str, row: type[Any], /, **params: object) -> Any:
        return self._drive(self._translated(self._read(many(load(f"ragflow.{name}"), row, **params))))

    def close(self) -> Any:
        return self._drive(self._close())

    def _begin(self, time_zone: str) -> Generator[Any, Any, None]:
        self._connection = yield from self._connect()
        yield self._connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        yield self._connection.set_read_only(True)
        self._executor = self._executor_of(self._connection)
        yield self._executor.run(one(load("ragflow.settings"), SourceSettings, time_zone=time_zone))

    def _read(self, statement: Statement[list[Any]]) -> Generator[Any, Any, list[Any]]:
        rows: list[Any] = yield self._executor.run(statement)
        return rows

    def _translated(self, steps: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
        """Say of an error which of the two databases it is of."""
        try:
            return (yield from steps)
        except psycopg.Error as error:
            text = error.diag.message_primary or str(error).strip()
            if self._connection is None:
                text = "\n".join([text, *getattr(error, "__notes__", ())])
            elif self._connection.closed:
                raise SourceError(lost(text)) from error
            raise SourceError(f"the database to import: {text}") from error

    def _close(self) -> Generator[Any, Any, None]:
        if self._connection is None:
            return
        with suppress(psycopg.Error):  # of a connection that is lost
            yield self._connection.rollback()
        yield self._connection.close()
