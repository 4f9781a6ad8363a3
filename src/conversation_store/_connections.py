"""What is looked at before a connection is used: its encoding, whether it leads to one server, how it isolates."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection, Connection, capabilities, generators
from psycopg.abc import PQGen
from psycopg.pq import DiagnosticField, PipelineStatus, TransactionStatus

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, UnsupportedConnection

ConnectionT = TypeVar("ConnectionT", bound="Connection[Any] | AsyncConnection[Any]")


class Taken(NamedTuple, Generic[ConnectionT]):
    """A connection for one statement, the pool that it is of, or None, and the process that has taken it."""

    connection: ConnectionT
    pool: Any
    pid: int


class Facts(NamedTuple):
    """What is known of a connection."""

    may_prepare: bool
    is_read_committed: bool  # whether a transaction is, unless it says otherwise
    is_distributed: bool = False  # whether the server may send what it is told to other servers, by Citus


# Of one that was not asked yet: what was asked for in a transaction would take the snapshot of it.
_UNKNOWN = Facts(may_prepare=False, is_read_committed=True)

_CANCELLED = b"57014"

QUESTION = (
    b"SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('default_transaction_isolation'),"
    b" pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
)
"""What each new connection is asked, which is no operation of a store and so in no file."""

_facts: WeakKeyDictionary[Any, Facts] = WeakKeyDictionary()


def facts_of(connection: Connection[Any] | AsyncConnection[Any]) -> Facts | None:
    """Return what is known of a connection, or None where it is to be asked; its lock must be held until then.

    Never inside of a transaction or a pipeline: until it was asked outside, nothing is prepared.
    """
    pgconn = connection.pgconn
    if pgconn.parameter_status(b"client_encoding") != b"UTF8":
        raise UnsupportedConnection(
            f"client_encoding must be UTF8, not {connection.info.parameter_status('client_encoding')!r}: other"
            " encodings cannot hold every text; connect with client_encoding='UTF8'"
        )
    facts = _facts.get(connection)
    if facts is None and (
        pgconn.transaction_status != TransactionStatus.IDLE or pgconn.pipeline_status != PipelineStatus.OFF
    ):
        return _UNKNOWN
    if facts is not None and facts.is_distributed:
        _check_settings(connection)
    return facts


def _check_settings(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Raise `UnsupportedConnection` where other servers would read texts or dates otherwise than this one writes them.

    A coordinator of Citus writes the values of a statement into its text by the settings of the session, which the
    workers do not have: they would take an id for that of another tenant.
    """
    told = {name: connection.info.parameter_status(name) or "" for name in ("standard_conforming_strings", "DateStyle")}
    if told["standard_conforming_strings"] != "on" or not told["DateStyle"].startswith("ISO"):
        raise UnsupportedConnection(
            "on a coordinator of Citus standard_conforming_strings must be on, and DateStyle must begin with ISO, not"
            f" {told['standard_conforming_strings']!r} and {told['DateStyle']!r}: the workers would read other values"
        )


def ask(connection: Connection[Any] | AsyncConnection[Any]) -> PQGen[Facts]:
    """Ask a connection, for `Limited.wait`, and remember the answer.

    A pooler that hands its servers from client to client makes one client run what another has prepared under the same
    name. So it is asked once whether the server's process is the one that the connection was told of: a pooler stands
    between where it is not.
    """
    # Not psycopg's execute(), which would begin a transaction: to roll that back would undo what another thread or task
    # has done in it meanwhile.
    connection.pgconn.send_query(QUESTION)
    (answer, *_) = yield from generators.execute(connection.pgconn)
    if answer.error_field(DiagnosticField.SQLSTATE) == _CANCELLED:
        raise psycopg.errors.error_from_result(answer)
    # Some poolers tell no process at all; one may answer with an error.
    pid = connection.info.backend_pid
    process, isolation, distributed = (answer.get_value(0, column) for column in range(3))
    facts = Facts(pid > 0 and process == str(pid).encode(), isolation in (b"read committed", None), distributed == b"t")
    _facts[connection] = facts
    if facts.is_distributed:
        _check_settings(connection)
    return facts


def check_prepare(prepare: bool | None) -> bool | None:
    """Return the *prepare* of a store; raises `InvalidArgument`, also where libpq is too old for True."""
    if prepare is not None and validate.boolean("prepare", prepare) and not capabilities.has_send_close_prepared():
        raise InvalidArgument(
            "prepare must not be True with a libpq before version 17, which cannot close the prepared statements of a"
            " pooler; install psycopg[binary], or leave prepare out"
        )
    return prepare
