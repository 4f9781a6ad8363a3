"""What is looked at before a connection is used: its encoding, and whether it leads to one server only."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Connection, capabilities, generators
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, UnsupportedConnection

_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Whether a connection leads to one server only. What is not here was not asked yet."""


def may_prepare(connection: Connection[Any] | AsyncConnection[Any], asked: bool | None) -> Generator[Any, Any, bool]:
    """Return whether statements may be prepared on a connection, in steps for `drive`.

    A pooler that hands its servers from client to client makes one client run what another has prepared under the same
    name. So it is asked once whether the server's process is the one that the connection was told of: a pooler stands
    between where it is not. Never inside of a transaction, where a statement more would take the snapshot; until it was
    asked outside, nothing is prepared. *asked* is the `prepare` of the store.
    """
    if connection.pgconn.parameter_status(b"client_encoding") != b"UTF8":
        raise UnsupportedConnection(
            f"client_encoding must be UTF8, not {connection.info.parameter_status('client_encoding')!r}: other"
            " encodings cannot hold every text; connect with client_encoding='UTF8'"
        )
    if asked is not None:
        return asked
    direct = _direct.get(connection)
    if direct is None:
        direct = yield _ask(connection) if isinstance(connection, Connection) else _ask_async(connection)
        if direct is not None:
            _direct[connection] = direct
    return direct or False


# The lock is held from the look at the status until the answer, and the question is not psycopg's execute(), which
# would begin a transaction: to roll that back would undo what another thread or task has done in it meanwhile.


def _ask(connection: Connection[Any]) -> bool | None:
    with connection.lock:
        if not _send(connection):
            return None
        return _answer(connection, connection.wait(generators.execute(connection.pgconn)))


async def _ask_async(connection: AsyncConnection[Any]) -> bool | None:
    async with connection.lock:
        if not _send(connection):
            return None
        return _answer(connection, await connection.wait(generators.execute(connection.pgconn)))


def _send(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    """Send the question, and return True; where a transaction or a pipeline is open, send nothing."""
    pgconn = connection.pgconn
    if pgconn.transaction_status != TransactionStatus.IDLE or pgconn.pipeline_status != PipelineStatus.OFF:
        return False
    pgconn.send_query(b"SELECT pg_catalog.pg_backend_pid()")
    return True


def _answer(connection: Connection[Any] | AsyncConnection[Any], results: list[PGresult]) -> bool:
    # Some poolers tell no process at all; one may answer with an error.
    pid = connection.info.backend_pid
    return pid > 0 and results[0].get_value(0, 0) == str(pid).encode()


def check_prepare(prepare: bool | None) -> bool | None:
    """Return the *prepare* of a store; raises `InvalidArgument`, also where libpq is too old for True."""
    if prepare is not None and validate.boolean("prepare", prepare) and not capabilities.has_send_close_prepared():
        raise InvalidArgument(
            "prepare must not be True with a libpq before version 17, which cannot close the prepared statements of a"
            " pooler; install psycopg[binary], or leave prepare out"
        )
    return prepare
