"""One statement over the wire: what a cursor of psycopg does, without what a cursor is for.

Each yields its round trips, for `Limited.wait` and `drive`, sync and on asyncio; the lock of the connection must be
held. Beginning a transaction and which statements are prepared is left to psycopg: own statements of a caller share it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import psycopg
from psycopg import generators
from psycopg._preparing import Prepare
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.pq import ExecStatus, Format, PipelineStatus
from psycopg.pq.abc import PGconn, PGresult

from conversation_store._adapters import ADAPTERS, Cursor, to_text

T = TypeVar("T")

Trips: TypeAlias = Generator[PQGen[Any], Any, T]
"""Steps each of which waits for the server once; who is interrupted in one sends nothing more."""

_BINARY = Format.BINARY
_RESULTS = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
_TUPLES = ExecStatus.TUPLES_OK
_PIPELINE_OFF = PipelineStatus.OFF
_NO, _SHOULD = Prepare.NO, Prepare.SHOULD


class _Text(NamedTuple):
    """What psycopg asks of a statement that it may prepare."""

    query: bytes
    types: tuple[int, ...] = ()


class _Context:
    """Reads values with the adapters of this package; without a connection, whose session may have a time zone."""

    adapters: AdaptersMap = ADAPTERS
    connection = None


def execute(connection: Any, text: bytes, values: list[bytes | None], prepare: bool | None) -> Trips[PGresult]:
    """Run a statement and return its result; *prepare* is that of psycopg's `execute`."""
    pgconn, prepared = connection.pgconn, connection._prepared
    if pgconn.pipeline_status != _PIPELINE_OFF:
        result: PGresult = yield _in_pipeline(connection, text, values)
        return result
    if not connection.autocommit:
        yield connection._start_query()
    statement = _Text(text)
    state, name = prepared.get(statement, prepare)
    if state is _NO:
        pgconn.send_query_params(text, values, result_format=_BINARY)
    else:
        if state is _SHOULD:
            pgconn.send_prepare(name, text)
            yield _answer(pgconn)
        pgconn.send_query_prepared(name, values, result_format=_BINARY)
    key = prepared.maybe_add_to_cache(statement, state, name)
    if key is None:
        result = yield _answer(pgconn)
    else:
        result = yield _answer(pgconn, lambda results: prepared.validate(key, state, name, results))
        yield prepared.maintain_gen(connection)
    return result


def forget_prepared(connection: Any) -> Trips[None]:
    """Close all prepared statements."""
    connection._prepared.clear()
    yield connection._prepared.maintain_gen(connection)


def command(connection: Any, text: bytes) -> Trips[None]:
    """Run a command of a transaction, which psycopg begins where the connection is not in autocommit."""
    yield connection._start_query()
    yield connection._exec_command(text)


def number_of_rows(result: PGresult) -> int:
    """Return how many rows were read or changed."""
    return result.ntuples if result.status == _TUPLES else result.command_tuples or 0


def rows_of(result: PGresult) -> list[tuple[Any, ...]]:
    """Return the rows of a result."""
    try:
        reader = _readers.pop()
    except IndexError:
        reader = Transformer(_Context)  # type: ignore[arg-type]
    reader.set_pgresult(result)
    rows: list[tuple[Any, ...]] = reader.load_rows(0, result.ntuples, tuple)
    reader.set_pgresult(None)
    _readers.append(reader)
    return rows


_readers: list[Any] = []
"""What nobody uses now: each knows how a type is read once it has read one."""


def to_bytes(value: object) -> bytes | None:
    """Write a value as the text that PostgreSQL reads under the cast in the statement."""
    kind = type(value)
    if value is None:
        return None
    if kind is int or kind is float:
        return repr(value).encode()
    text = cast(str, value if kind is str else to_text(value))
    if "\0" in text:  # which would end it
        raise psycopg.DataError("text must not contain U+0000")
    return text.encode()


def _answer(pgconn: PGconn, look: Callable[[list[PGresult]], object] = lambda results: None) -> PQGen[PGresult]:
    """Wait for the result, and for what comes behind it.

    In autocommit the server commits when it has sent the rows: an error of that follows them. Where the server has
    ended the session, its last words follow the error.
    """
    results: list[PGresult] = yield from generators.execute(pgconn)
    look(results)
    if not results:
        raise psycopg.InternalError("the server has sent no result")
    for result in results:
        if result.status not in _RESULTS:
            raise psycopg.errors.error_from_result(result)
    return results[0]


def _in_pipeline(connection: Any, text: bytes, values: list[bytes | None]) -> PQGen[PGresult]:
    """Run a statement in a caller's pipeline, which sends what is queued, and wait for it."""
    cursor: Any = Cursor(connection)
    yield from cursor._execute_gen(text, [None if value is None else value.decode() for value in values], binary=True)
    yield from connection._pipeline._fetch_gen(flush=True)
    result: PGresult = cursor.pgresult
    return result
