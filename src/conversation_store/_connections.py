"""What is looked at before a connection is used: its encoding, and whether it leads to one server only."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Connection, capabilities
from psycopg.pq import TransactionStatus
from psycopg.rows import scalar_row

from conversation_store import _validation as validate
from conversation_store._adapters import AsyncCursor, Cursor
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
    if direct is None and connection.info.transaction_status == TransactionStatus.IDLE:
        direct = _direct[connection] = yield from _is_direct(connection)
    return direct or False


def _is_direct(connection: Connection[Any] | AsyncConnection[Any]) -> Generator[Any, Any, bool]:
    cursor: Any = (
        Cursor(connection, row_factory=scalar_row)
        if isinstance(connection, Connection)
        else AsyncCursor(connection, row_factory=scalar_row)
    )
    yield cursor.execute("SELECT pg_catalog.pg_backend_pid()", prepare=False)
    pid: Any = yield cursor.fetchone()
    if not connection.autocommit:
        yield connection.rollback()  # of the transaction that this question began
    # Some poolers tell no process at all.
    return connection.info.backend_pid > 0 and pid == connection.info.backend_pid


def check_prepare(prepare: bool | None) -> bool | None:
    """Return the *prepare* of a store; raises `InvalidArgument`, also where libpq is too old for True."""
    if prepare is not None and validate.boolean("prepare", prepare) and not capabilities.has_send_close_prepared():
        raise InvalidArgument(
            "prepare must not be True with a libpq before version 17, which cannot close the prepared statements of a"
            " pooler; install psycopg[binary], or leave prepare out"
        )
    return prepare
