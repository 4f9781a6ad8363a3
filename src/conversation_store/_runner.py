"""Running statements, blocking and on asyncio: what goes over the wire, what errors mean, and transactions."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, Connection, RawCursor
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.types.string import StrDumperUnknown

from conversation_store import _arguments as check
from conversation_store._statement import Statement
from conversation_store.errors import (
    AbortedTransaction,
    AlreadyExists,
    DialogNotEmpty,
    DialogNotFound,
    OutsideTransaction,
    StalePlan,
    StoreError,
)

R = TypeVar("R")
T = TypeVar("T")
ConnectionT = TypeVar("ConnectionT")

OnStatement: TypeAlias = Callable[[str, float, int, str | None], object]
"""Called after each statement with its name, its seconds, its number of rows, and the name of its error or None."""

Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]

_log = logging.getLogger("conversation_store")

# -- values on the wire -------------------------------------------------------------------


class _InstantLoader(Loader):
    """Load timestamptz as an aware datetime in UTC, whatever the session's time zone and date style."""

    format = Format.BINARY
    _epoch = datetime(2000, 1, 1, tzinfo=UTC)

    def load(self, data: Buffer) -> datetime:
        microseconds = int.from_bytes(data, "big", signed=True)
        try:
            return self._epoch + timedelta(microseconds=microseconds)
        except OverflowError:
            raise psycopg.DataError("a stored timestamp lies outside of the years 1 to 9999") from None


class _JsonLoader(Loader):
    """Load json with Python's own reader, whatever reader was set for the process."""

    format = Format.BINARY

    def load(self, data: Buffer) -> object:
        return json.loads(bytes(data))


def _adapters() -> AdaptersMap:
    """Return adapters of our own: a caller's connection may have others registered, and gets none of these."""
    adapters = AdaptersMap(psycopg.adapters)
    # Untyped, so that a parameter has the type that its cast in the SQL says, and one file is one prepared statement.
    adapters.register_dumper(str, StrDumperUnknown)
    adapters.register_loader("timestamptz", _InstantLoader)
    adapters.register_loader("json", _JsonLoader)
    return adapters


_ADAPTERS = _adapters()


class _Cursor(RawCursor[R]):
    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


class _AsyncCursor(AsyncRawCursor[R]):
    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


def untyped(value: object) -> str | None:
    """Write a value as the text that PostgreSQL reads under the cast in the statement."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return "{" + ",".join(map(_element, cast(Sequence[object], value))) + "}"
    return str(value)


def _element(value: object) -> str:
    text = untyped(value)
    return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- errors -------------------------------------------------------------------------------

_CONSTRAINTS: Mapping[str, tuple[type[StoreError], str]] = {
    "dialog_pkey": (AlreadyExists, "a dialog with this id exists already, perhaps under another tenant"),
    "conversation_pkey": (AlreadyExists, "a conversation with this id exists already"),
    "conversation_tenant_id_dialog_id_fkey": (DialogNotFound, "there is no dialog with this dialog_id"),
    "api_token_token_digest_key": (AlreadyExists, "this token is stored already"),
    "api_token_beta_key": (AlreadyExists, "this beta is in use already"),
    "api_token_tenant_id_dialog_id_fkey": (DialogNotFound, "the tenant has no dialog with this dialog_id"),
}


def _translated(name: str, error: psycopg.Error) -> Exception | None:
    """Return what an error of the server means to a caller, or None where it speaks for itself."""
    constraint = error.diag.constraint_name or ""
    if name.startswith("dialog.delete") and constraint == "conversation_tenant_id_dialog_id_fkey":
        return DialogNotEmpty("the dialog has conversations; delete them first")
    if error.diag.schema_name == "conversation_store" and constraint in _CONSTRAINTS:
        kind, message = _CONSTRAINTS[constraint]
        # Of a token's row nothing may be quoted. The detail is translated, but for the key and its value.
        key = None if name.startswith("api_token.") else re.search(r"\(id\)=\((.*)\)", error.diag.message_detail or "")
        return kind(f"{message}: {key[1]!r}" if key else message)
    if isinstance(error, psycopg.errors.InvalidParameterValue) and error.diag.source_function in _ZONE_CHECKS:
        return ValueError("time_zone must be an IANA time zone that the server knows, such as 'Europe/Paris'")
    return None


# The functions of the server that look up a time zone: in a timestamp's text, and of AT TIME ZONE.
_ZONE_CHECKS = ("DateTimeParseError", "timestamp_zone", "timestamptz_zone", "DecodeTimezoneName", "parse_sane_timezone")


def _is_stale_plan(error: psycopg.errors.FeatureNotSupported) -> bool:
    # The message is translated by the server, the name of its function is not.
    return error.diag.source_function == "RevalidateCachedQuery"


class _Observed:
    """Time a statement, tell the hook, and find the errors that callers know."""

    def __init__(self, name: str, hook: OnStatement | None) -> None:
        self.rows = 0
        # What to raise instead, outside of the block: the server's detail quotes the key, and of a token's row nothing
        # may be quoted, not even in the context of an error.
        self.translated: Exception | None = None
        self._name = name
        self._hook = hook

    def __enter__(self) -> _Observed:
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if self._hook is not None:
            seconds = time.perf_counter() - self._started
            try:
                # The name of the error only: its text may quote values.
                self._hook(self._name, seconds, self.rows, None if kind is None else kind.__name__)
            except Exception:
                # The statement has done its work; a hook must not make it look as if it had not.
                _log.exception("on_statement raised")
        if isinstance(error, psycopg.Error):
            self.translated = _translated(self._name, error)
            if self.translated is not None and not self._name.startswith("api_token."):
                self.translated.__cause__ = error
        return self.translated is not None


# -- the two worlds -----------------------------------------------------------------------


def drive(steps: Generator[Any, Any, T], run: Callable[[Any], Any]) -> T:
    """Do what a generator yields, send it what came of it, and return what it returns."""
    try:
        step = next(steps)
        while True:
            done, failed = None, cast("BaseException | None", None)
            try:
                done = run(step)
            except BaseException as error:
                failed = error
            # Outside of the handler, so that what is raised then has no context that it does not want.
            step = steps.send(done) if failed is None else steps.throw(failed)
    except StopIteration as result:
        return cast(T, result.value)


async def drive_awaiting(steps: Generator[Any, Any, T], run: Callable[[Any], Awaitable[Any]]) -> T:
    """Do the same, and wait for what is yielded."""
    try:
        step = next(steps)
        while True:
            done, failed = None, cast("BaseException | None", None)
            try:
                done = await run(step)
            except BaseException as error:
                failed = error
            # Outside of the handler, so that what is raised then has no context that it does not want.
            step = steps.send(done) if failed is None else steps.throw(failed)
    except StopIteration as result:
        return cast(T, result.value)


def _steps(
    statement: Statement[T], hook: OnStatement | None, connection: Any, cursor: Any, copy: Callable[..., Any]
) -> Generator[Any, Any, T]:
    """Run a statement, in steps that a blocking cursor has done when they are yielded and that asyncio awaits."""
    text, params = statement.query.text, [untyped(value) for value in statement.query.bind(statement.params)]
    with _Observed(statement.query.name, hook) as observed:
        if statement.copied is not None:
            yield copy(cursor, text, statement.copied)
            observed.rows = cursor.rowcount
            return statement.read([], cursor.rowcount)
        idle = connection.info.transaction_status == TransactionStatus.IDLE
        try:
            yield cursor.execute(text, params, binary=True)
        except psycopg.errors.FeatureNotSupported as error:
            if not _is_stale_plan(error):
                raise
            if not idle:
                raise StalePlan("a migration changed a table; roll back and run the transaction again") from error
            # Nothing ran yet, so once more is safe. A transaction here is only the one that the statement opened.
            if not connection.autocommit:
                yield connection.rollback()
            yield cursor.execute(b"DEALLOCATE ALL")
            yield cursor.execute(text, params, binary=True)
        observed.rows = cursor.rowcount
        return statement.read([] if statement.query.returns == "count" else (yield cursor.fetchall()), cursor.rowcount)
    raise cast(Exception, observed.translated)


def _copy(cursor: RawCursor[Any], text: bytes, rows: Sequence[Sequence[object]]) -> None:
    with cursor.copy(text) as copy:
        for row in rows:
            copy.write_row([untyped(value) for value in row])


async def _copy_awaiting(cursor: AsyncRawCursor[Any], text: bytes, rows: Sequence[Sequence[object]]) -> None:
    try:
        async with cursor.copy(text) as copy:
            for row in rows:
                await copy.write_row([untyped(value) for value in row])
    except BaseException:
        # A COPY that is cancelled while it ends leaves the connection in the middle of it, of no use to anybody.
        if cursor.connection.info.transaction_status == TransactionStatus.ACTIVE:
            await cursor.connection.close()
        raise


_ISOLATION: Mapping[str, bytes] = {
    "read committed": b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "repeatable read": b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "serializable": b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
}


def _opening(
    connection: Any, callers: bool, isolation: Isolation | None, read_only: bool
) -> tuple[list[bytes], list[bytes]]:
    """Return what is to be run in front of psycopg's own BEGIN or SAVEPOINT, and what behind it."""
    behind = [] if isolation is None else [_ISOLATION[check.choice("isolation", isolation, tuple(_ISOLATION))]]
    if check.boolean("read_only", read_only):
        behind.append(b"SET TRANSACTION READ ONLY")
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    # psycopg would take the caller's transaction, which has not begun yet, for its own and commit it.
    begun = callers and idle and not connection.autocommit
    if behind and (begun or not idle):
        raise ValueError("isolation and read_only must be left to whoever opens the outermost transaction")
    return ([b"SELECT 1"] if begun else []), behind


class Level(Generic[ConnectionT]):
    """A connection at one level of its transaction: used statement by statement, or lent to one nested transaction.

    While that lasts, and after the end of its own transaction, it gives the connection to nobody: what ran then would
    be part of somebody else's transaction, and be undone with it.
    """

    def __init__(self, connection: ConnectionT, parent: Level[Any] | None = None) -> None:
        self._connection = connection
        self._parent = parent
        # Reentrant: a hook may use the store that it is called by.
        self._lock = threading.RLock()
        self._free = threading.Condition(self._lock)
        self._freed = asyncio.Event()
        self._nested = False
        self._failed = False
        self._ended = False

    @contextmanager
    def one(self) -> Generator[ConnectionT]:
        """Give the connection for one statement of one thread."""
        with self._lock:
            self._check()
            yield self._connection

    @asynccontextmanager
    async def one_awaiting(self) -> AsyncGenerator[ConnectionT]:
        """Give the connection for one statement; psycopg itself has one wait for the other on asyncio."""
        self._check()
        yield self._connection

    @contextmanager
    def nested(self) -> Generator[ConnectionT]:
        """Give the connection for a transaction, alone."""
        with self._lock:
            self._check()
            self._nested = True
            self._freed.clear()
        try:
            yield self._connection
        finally:
            with self._free:
                self._nested = False
                self._free.notify_all()
                self._freed.set()

    @asynccontextmanager
    async def nested_awaiting(self) -> AsyncGenerator[ConnectionT]:
        """Give the connection for a transaction, alone."""
        with self.nested() as connection:
            yield connection

    @contextmanager
    def ending(self) -> Generator[Self]:
        """Give the level itself until its transaction ends, which is when a nested one of another thread has ended."""
        try:
            with self._failing():
                yield self
        finally:
            with self._free:
                self._free.wait_for(lambda: not self._nested)
                self._ended = True

    @asynccontextmanager
    async def ending_awaiting(self) -> AsyncGenerator[Self]:
        """Give the level itself until its transaction ends, which is when a nested one of another task has ended."""
        try:
            with self._failing():
                yield self
        finally:
            while self._nested:
                await self._freed.wait()
            self._ended = True

    @contextmanager
    def _failing(self) -> Generator[None]:
        """Let nested transactions of others fail soon where this one fails."""
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def _check(self) -> None:
        if self._ended or self._failed or (self._parent is not None and self._parent._failed):
            raise OutsideTransaction("this transaction has ended: use the store, or another transaction")
        if self._nested:
            raise OutsideTransaction(
                "a nested transaction, or a call that is one, is open here: use what it gave, or wait for its end"
            )


def _committed(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Check that the server will commit: it answers COMMIT after an error with a rollback, and says nothing."""
    if connection.info.transaction_status == TransactionStatus.INERROR:
        raise AbortedTransaction(
            "an error inside of the transaction was caught, but the server has undone the whole: nothing is committed;"
            " catch it around a nested transaction"
        )


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs statements blocking. *connect* gives a connection for one statement, *enter* one for a transaction."""

    connect: Callable[[], AbstractContextManager[Connection[Any]]]
    enter: Callable[[], AbstractContextManager[Connection[Any]]]
    on_statement: OnStatement | None = None
    callers: bool = False  # the connection is a caller's, and so is its transaction
    level: Level[Any] | None = None  # of the transaction that this is inside of

    def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        with self.connect() as connection, _Cursor(connection, row_factory=statement.row) as cursor:
            return drive(_steps(statement, self.on_statement, connection, cursor, _copy), lambda done: done)

    @contextmanager
    def transaction(self, isolation: Isolation | None = None, read_only: bool = False) -> Generator[Runner]:
        """Give a runner inside of one transaction, or of a savepoint where there is one already."""
        with self.enter() as connection:
            before, behind = _opening(connection, self.callers, isolation, read_only)
            for text in before:
                connection.execute(text)
            with connection.transaction(), Level(connection, self.level).ending() as level:
                for text in behind:
                    connection.execute(text)
                yield replace(self, connect=level.one, enter=level.nested, level=level)
                _committed(connection)


@dataclass(frozen=True, slots=True)
class AsyncRunner:
    """Runs statements on asyncio. *connect* gives a connection for one statement, *enter* one for a transaction."""

    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
    enter: Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
    on_statement: OnStatement | None = None
    callers: bool = False
    level: Level[Any] | None = None

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        async with self.connect() as connection, _AsyncCursor(connection, row_factory=statement.row) as cursor:
            steps = _steps(statement, self.on_statement, connection, cursor, _copy_awaiting)
            return await drive_awaiting(steps, lambda step: step)

    @asynccontextmanager
    async def transaction(
        self, isolation: Isolation | None = None, read_only: bool = False
    ) -> AsyncGenerator[AsyncRunner]:
        """Give a runner inside of one transaction, or of a savepoint where there is one already."""
        async with self.enter() as connection:
            before, behind = _opening(connection, self.callers, isolation, read_only)
            for text in before:
                await connection.execute(text)
            async with connection.transaction(), Level(connection, self.level).ending_awaiting() as level:
                for text in behind:
                    await connection.execute(text)
                yield replace(self, connect=level.one_awaiting, enter=level.nested_awaiting, level=level)
                _committed(connection)
