"""Reading a server within bounds: the queries of `top` and `doctor`, files in `queries/`, in short transactions."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.rows import namedtuple_row

from conversation_store._adapters import Cursor, to_text
from conversation_store._conninfo import check_conninfo, drop_frames, with_defaults
from conversation_store._schema_state import lock_holder
from conversation_store._sql_loader import Query
from conversation_store._waiting import drive
from conversation_store.dba.files import files

# One SET of many would need as many round trips. A search_path that is empty finds what belongs to the server. With
# other strings than standard ones a file may be several statements.
BOUNDS = (
    b"SELECT set_config('statement_timeout', $1::text, TRUE), set_config('lock_timeout', $2::text, TRUE),"
    b" set_config('search_path', '', TRUE), set_config('standard_conforming_strings', 'on', TRUE)"
)


@contextmanager
def connected(conninfo: str) -> Generator[psycopg.Connection[Any]]:
    """Give a connection of its own, whose errors show no password."""
    known = with_defaults(check_conninfo("conninfo", conninfo))
    try:
        connection = psycopg.connect(**known, autocommit=True, client_encoding="UTF8", prepare_threshold=None)
    except psycopg.Error as error:
        drop_frames(error)
        raise
    finally:
        del known, conninfo
    with connection:
        yield connection


@contextmanager
def bounded(
    connection: psycopg.Connection[Any], seconds: float = 5.0, *, lock_seconds: float = 0.5
) -> Generator[psycopg.Connection[Any]]:
    """Open a transaction that reads, and is rolled back; each statement in it ends after *seconds*.

    It waits for a lock for *lock_seconds* at most: whoever comes later would wait behind it.
    """
    # Not as parameters of the connection, which a pooler refuses or keeps for others.
    connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
    try:
        Cursor(connection).execute(BOUNDS, [f"{seconds * 1000:.0f}ms", f"{lock_seconds * 1000:.0f}ms"])
        yield connection
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def prepare(connection: psycopg.Connection[Any], text: bytes) -> None:
    """Prepare a statement without a name; raises what the server says of it.

    That of libpq would wait in C, where no signal interrupts it.
    """
    connection.pgconn.send_prepare(b"", text)
    for result in connection.wait(generators.execute(connection.pgconn)):
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


@cache
def own_queries() -> Mapping[str, Query]:
    """Return the queries of our own: `doctor.locale` is `queries/doctor/locale.sql`."""
    return {file.name: file.query for file in files(Path(__file__).parent / "queries")}


def read(connection: psycopg.Connection[Any], name: str, **parameters: object) -> list[Any]:
    """Run a query of our own, and return its rows as named tuples."""
    query = own_queries()[name]
    cursor: Cursor[NamedTuple] = Cursor(connection, row_factory=namedtuple_row)
    return cursor.execute(query.text, [to_text(value) for value in query.bind(parameters)]).fetchall()


def read_one(connection: psycopg.Connection[Any], name: str, **parameters: object) -> Any:
    """Run a query of our own that returns one row, and return it."""
    (row,) = read(connection, name, **parameters)
    return row


def holder_of_lock(connection: psycopg.Connection[Any]) -> str:
    """Say which transaction has held a lock on the schema for longest; not in a transaction that has failed."""
    return drive(lock_holder(connection, 0))


def is_distributed(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the tables are distributed by Citus, whose coordinator this is."""
    return bool(read_one(connection, "check.has_citus").has_citus) and bool(
        read_one(connection, "check.distributed").is_distributed
    )
