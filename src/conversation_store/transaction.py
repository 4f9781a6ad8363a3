"""Transactions on a scope: how they begin and end, and when they run again."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus

from conversation_store import _validation as validate
from conversation_store._connections import Facts, ask, facts_of
from conversation_store._deadlines import AsyncLimited, Limited
from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._scope import AsyncScope, SyncScope
from conversation_store.errors import AbortedTransaction, InvalidArgument, InvalidArgumentType

X = TypeVar("X")
T = TypeVar("T")

Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]


@contextmanager
def begin(executor: Executor, isolation: Isolation | None = None, read_only: bool = False) -> Generator[Executor]:
    """Give an executor inside of one transaction, or of a savepoint where there is a transaction already."""
    with executor.source.enter() as (connection, parent):
        limited = Limited(connection, executor.timeout)
        with connection.lock:
            facts = facts_of(connection)
            if facts is None:
                facts = limited.wait(ask(connection))
        before, after = _opening(connection, parent, isolation, read_only, facts)
        for text in before:
            _run(limited, text)
        scope = SyncScope(connection, parent)
        with limited.transaction():
            with scope.block():
                for text in after:
                    _run(limited, text)
                yield replace(executor, source=scope)
            _check_commits(connection)


@asynccontextmanager
async def begin_async(
    executor: AsyncExecutor, isolation: Isolation | None = None, read_only: bool = False
) -> AsyncGenerator[AsyncExecutor]:
    """Do as `begin` does, on asyncio."""
    async with executor.source.enter() as (connection, parent):
        limited = AsyncLimited(connection, executor.timeout)
        async with connection.lock:
            facts = facts_of(connection)
            if facts is None:
                facts = await limited.wait(ask(connection))
        before, after = _opening(connection, parent, isolation, read_only, facts)
        for text in before:
            await _run_async(limited, text)
        scope = AsyncScope(connection, parent)
        async with limited.transaction():
            async with scope.block():
                for text in after:
                    await _run_async(limited, text)
                yield replace(executor, source=scope)
            # The lock: a statement of another task may run still, and COMMIT waits for it too.
            async with connection.lock:
                _check_commits(connection)


def keeps_locks(connection: Connection[Any] | AsyncConnection[Any] | None) -> bool:
    """Return whether a statement would be part of a longer transaction; None is a connection of a pool."""
    if connection is None:
        return False
    return not (connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE)


def _run(limited: Limited, text: bytes) -> None:
    with limited.cursor() as cursor:
        cursor.execute(text, prepare=False)


async def _run_async(limited: AsyncLimited, text: bytes) -> None:
    async with limited.cursor() as cursor:
        await cursor.execute(text, prepare=False)


_ISOLATION: Mapping[str, bytes] = {
    "read committed": b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "repeatable read": b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "serializable": b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
}


def _opening(
    connection: Connection[Any] | AsyncConnection[Any],
    parent: object,
    isolation: Isolation | None,
    read_only: bool,
    facts: Facts,
) -> tuple[list[bytes], list[bytes]]:
    """Return what is run before psycopg's own BEGIN or SAVEPOINT, and what after it."""
    after = [] if isolation is None else [_ISOLATION[validate.choice("isolation", isolation, tuple(_ISOLATION))]]
    if validate.boolean("read_only", read_only):
        after.append(b"SET TRANSACTION READ ONLY")
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    # A caller's transaction that has not begun yet: psycopg would take it for its own and commit it.
    joins = parent is not None and idle and not connection.autocommit
    if after and (joins or not idle):
        raise InvalidArgument("isolation and read_only must be given to the outermost transaction, not to a savepoint")
    if parent is None and isolation is None and not facts.is_read_committed:
        after.insert(0, _ISOLATION["read committed"])  # whatever the role has set
    return ([b"SELECT 1"] if joins else []), after


def _check_commits(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Raise where nothing would be committed, and without an error.

    After an error, the server answers COMMIT with a rollback. On a lost connection, psycopg sends no COMMIT.
    """
    status = connection.info.transaction_status
    if status == TransactionStatus.UNKNOWN:
        raise AbortedTransaction(
            "the connection was lost inside of the transaction, and the error was caught: nothing is committed;"
            " run the transaction again"
        )
    if status == TransactionStatus.INERROR:
        raise AbortedTransaction(
            "an error inside of the transaction was caught, but the server has undone the whole: nothing is committed;"
            " catch it around a nested transaction"
        )


_RETRIED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
"""What PostgreSQL asks to try again; nothing of it was committed."""
# Of Citus: a result between two parts of a statement is gone, as where a shard changes its place meanwhile.
_NO_INTERMEDIATE_RESULT = "CIINF"


def run_in(
    transaction: Callable[[], AbstractContextManager[X]],
    function: Callable[[X], T],
    attempts: int,
    connection: Connection[Any] | None,
) -> T:
    """Call *function* with a transaction, commit, and return its result; again after what PostgreSQL asks to try again.

    Inside of a caller's transaction, on *connection*, nothing runs again: only the caller can begin it again.
    """
    _check_function(function)
    waits = _pauses(attempts, connection)
    while True:
        try:
            with transaction() as tx:
                result = function(tx)
                if inspect.iscoroutine(result) or inspect.isgenerator(result):
                    result.close()
                    raise InvalidArgumentType(
                        "function must be a plain function, which has done its work when it returns"
                    )
                return result
        except psycopg.Error as error:
            pause = next(waits, None) if _is_to_be_tried_again(error) else None
            if pause is None:
                raise
        time.sleep(pause)


async def run_in_async(
    transaction: Callable[[], AbstractAsyncContextManager[X]],
    function: Callable[[X], Awaitable[T]],
    attempts: int,
    connection: AsyncConnection[Any] | None,
) -> T:
    """Do as `run_in` does, on asyncio."""
    _check_function(function)
    waits = _pauses(attempts, connection)
    while True:
        try:
            async with transaction() as tx:
                result = function(tx)
                if not inspect.isawaitable(result):
                    raise InvalidArgumentType("function must be a coroutine function: this is the store on asyncio")
                return await result
        except psycopg.Error as error:
            pause = next(waits, None) if _is_to_be_tried_again(error) else None
            if pause is None:
                raise
        await asyncio.sleep(pause)


def _is_to_be_tried_again(error: psycopg.Error) -> bool:
    return isinstance(error, _RETRIED) or error.sqlstate == _NO_INTERMEDIATE_RESULT


def _check_function(function: object) -> None:
    if not callable(function):
        raise InvalidArgumentType(
            f"function must be a function that takes a transaction, not {type(function).__name__}"
        )


def _pauses(attempts: int, connection: Connection[Any] | AsyncConnection[Any] | None) -> Iterator[float]:
    """Return how many seconds to wait before each attempt but the first: random, so that two do not meet again."""
    number = validate.integer("attempts", attempts, minimum=1)
    joined = connection is not None and (
        connection.info.transaction_status != TransactionStatus.IDLE or not connection.autocommit
    )
    return (random.uniform(0, min(1.0, 0.01 * 2**n)) for n in range(0 if joined else number - 1))  # noqa: S311
