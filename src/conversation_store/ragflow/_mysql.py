"""A RAGFlow database in MySQL or MariaDB as the source of an import."""

from __future__ import annotations

import asyncio
import importlib
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from conversation_store._conninfo import drop_frames
from conversation_store._sql_lexer import block_end, token_at
from conversation_store._sql_loader import Query, load
from conversation_store.errors import SourceError
from conversation_store.ragflow._mysql_connection import MySqlConnection, driver
from conversation_store.ragflow._mysql_url import arguments_of

R = TypeVar("R")

# As PostgreSQL's calendar is read too: no zone moves these out of the years 1 to 9999.
_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30)
# Gone, lost, ended for silence, killed, shut down.
_LOST = {1053, 1927, 2006, 2013, 4031}
_DENIED, _NO_SUCH_TABLE = 1142, 1146

_CLOSE = 1.0  # seconds, after a cancellation, which has two


def mysql_source(name: str, url: str) -> MySqlSource:
    """Return the source that a URL names, not yet connected.

    Raises `InvalidArgument` in words that quote nothing of the URL, and `SourceError` where PyMySQL is not installed.
    """
    try:
        driver()
        known = arguments_of(name, url)
    finally:
        del url  # it may hold a password, which no traceback shows
    return MySqlSource(MySqlConnection(known))


class MySqlSource:
    """Reads a RAGFlow database in MySQL or MariaDB, as `Source` describes it."""

    def __init__(self, connection: MySqlConnection) -> None:
        self._made = connection
        self._connection: Any = None

    def begin(self, time_zone: str) -> None:
        """Connect, and begin the transaction; dates with a time zone are read as the wall clock of this zone."""
        self._connection = _translated(self._made.connect)
        kind = importlib.import_module("pymysql.constants.FIELD_TYPE")
        zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
        texts = kind.BLOB, kind.TINY_BLOB, kind.MEDIUM_BLOB, kind.LONG_BLOB, kind.STRING, kind.VAR_STRING, kind.VARCHAR
        self._connection.decoders = self._connection.decoders | {
            **dict.fromkeys(texts, _text),
            **dict.fromkeys((kind.DATE, kind.DATETIME), _date),
            kind.TIMESTAMP: partial(_local, zone),
            kind.DOUBLE: _single,
        }
        for name in ("settings", "isolation"):
            self._run(load(f"ragflow_mysql.{name}"), {})
        _translated(self._check_agents)  # before the transaction, which would lock the table until its end
        self._run(load("ragflow_mysql.snapshot"), {})

    def read(self, name: str, row: Callable[..., R], /, **params: object) -> list[R]:
        """Run a file of `sql/ragflow_mysql` and return its rows."""
        rows = self._run(load(f"ragflow_mysql.{name}"), params)
        for values in rows:
            if "is_dialog" in values:  # a number: MySQL has no other truth
                values["is_dialog"] = bool(values["is_dialog"])
        return [row(**values) for values in rows]

    def close(self) -> None:
        """Close the connection, if there is one, which ends the transaction."""
        self._made.close()

    def end(self) -> None:
        """End what another thread reads; it gets a `SourceError`."""
        self._made.end()

    def _check_agents(self) -> None:
        """Raise where the account may not read the agents, which would be as if there were none."""
        try:
            self._fetched(load("ragflow_mysql.agents"), {})
        except driver().Error as error:
            if error.args[0] != _NO_SUCH_TABLE:
                raise

    def _run(self, query: Query, params: Mapping[str, object]) -> list[dict[str, Any]]:
        query.bind(params)  # which checks the names
        return _translated(lambda: self._fetched(query, params))

    def _fetched(self, query: Query, params: Mapping[str, object]) -> list[dict[str, Any]]:
        with self._connection.cursor(driver().cursors.DictCursor) as cursor:
            cursor.execute(compiled(query), params)
            return list(cursor.fetchall())


class AsyncMySqlSource:
    """Reads as `MySqlSource` does, in a thread of its own, since PyMySQL knows no asyncio."""

    def __init__(self, source: MySqlSource) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, "conversation-store-mysql")

    async def begin(self, time_zone: str) -> None:
        """Do as `MySqlSource.begin` does."""
        await self._call(lambda: self._source.begin(time_zone))

    async def read(self, name: str, row: Callable[..., R], /, **params: object) -> list[R]:
        """Do as `MySqlSource.read` does."""
        return await self._call(lambda: self._source.read(name, row, **params))

    async def close(self) -> None:
        """Do as `MySqlSource.close` does, when the thread has ended what it does.

        Of a name that is not found only the system knows when the search ends: then the thread closes later.
        """
        closed = self._submit(self._source.close)
        self._thread.shutdown(wait=False)
        await asyncio.wait([closed], timeout=_CLOSE)

    async def _call(self, function: Callable[[], R]) -> R:
        try:
            return await self._submit(function)
        except asyncio.CancelledError:
            self._source.end()
            raise

    def _submit(self, function: Callable[[], R]) -> asyncio.Future[R]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function)


def lost(reason: str) -> str:
    """Return the message of a connection that was lost."""
    return (
        f"the connection to the database to import was lost: {reason}; run the import again to go on: rows that are"
        " stored are skipped"
    )


@cache
def compiled(query: Query) -> str:
    """Return the text with `%(name)s` for each `:name`, as PyMySQL takes it, and nothing else changed but % doubled."""
    text = query.text.decode()
    parts: list[str] = []
    position = 0
    while position < len(text):
        match = token_at(text, position)
        token = match[0]
        if match.lastgroup == "block":
            token = text[position : block_end(text, position)]
        position += len(token)
        is_parameter = match.lastgroup == "dollar"
        parts.append(f"%({query.parameters[int(token[1:]) - 1]})s" if is_parameter else token.replace("%", "%%"))
    return "".join(parts)


def _translated(call: Callable[[], R]) -> R:
    """Return the result of a call; an error of the driver becomes a `SourceError` without its frames.

    They show rows, and while it connects, the password.
    """
    try:
        return call()
    except (driver().Error, RuntimeError) as error:  # the latter where the driver lacks a library
        problem = _described(error)
    except BaseException as error:
        drop_frames(error)
        raise
    # Outside of the handler: the error of the driver must not be the context of ours.
    raise SourceError(problem)


def _described(error: Exception) -> str:
    code, text = error.args if len(error.args) == 2 else (None, str(error))
    if code in _LOST:
        return lost(text)
    if code == _DENIED:
        # It may hide too that there is no such table.
        text += "; GRANT SELECT ON this table or, where there is none, on the whole database to its account"
    return f"the database to import: {text}" + (f" (error {code} of MySQL)" if code is not None else "")


# -- values ------------------------------------------------------------------------------------


def _text(value: str | bytes) -> str:
    """Return text, of a column of bytes too; what is no UTF-8 becomes lone surrogates, which are repaired and told."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _date(value: str) -> datetime | None:
    """Return the date of a text, or None for zero dates and what else is in no calendar."""
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        return None
    return date if _FIRST <= date <= _LAST else None


def _local(zone: tzinfo, value: str) -> datetime | None:
    """Return the wall clock of a zone at the instant of a text, which is in UTC."""
    instant = _date(value)
    return None if instant is None else instant.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def _single(value: str) -> float:
    """Return the number, of single precision as its shortest decimal: 0.1 and not 0.10000000149011612."""
    number = float(value)
    for digits in range(6, 10):
        shortest = float(f"{number:.{digits}g}")
        try:
            if struct.unpack("f", struct.pack("f", shortest))[0] == number:
                return shortest
        except OverflowError:
            break
    return number
