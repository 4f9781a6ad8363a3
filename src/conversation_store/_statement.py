"""A repository method describes a statement; its repository decides how to wait for it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from types import MethodType, TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, Connection, RawCursor
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import BaseRowFactory, class_row, tuple_row
from psycopg.types.string import StrDumperUnknown

from conversation_store._query import Query
from conversation_store.errors import AlreadyExists, DialogNotFound, QueryError, StalePlan, StoreError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

OnStatement: TypeAlias = Callable[[str, float, int, str | None], object]
"""Called after each statement with its name, its seconds, its number of rows, and the name of its error or None."""

_log = logging.getLogger("conversation_store")


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """One round trip: a query, its parameters, and how to read the rows and their number. Does no I/O."""

    query: Query
    params: Mapping[str, object]
    row: BaseRowFactory[Any]
    read: Callable[[list[Any], int], T]


def _statement(
    query: Query,
    returns: str,
    row: BaseRowFactory[Any],
    params: Mapping[str, object],
    read: Callable[[list[Any], int], T],
) -> Statement[T]:
    if query.returns != returns:
        raise QueryError(f"{query.path}:1: the header says returns: {query.returns}, the method reads {returns}")
    return Statement(query, params, row, read)


def one(query: Query, row: type[R], /, **params: object) -> Statement[R]:
    """Describe a statement that returns exactly one row."""
    return _statement(query, "one", class_row(row), params, lambda rows, _: rows[0])


def optional(query: Query, row: type[R], /, **params: object) -> Statement[R | None]:
    """Describe a statement that returns a row or none."""
    return _statement(query, "optional", class_row(row), params, lambda rows, _: rows[0] if rows else None)


def many(query: Query, row: type[R], /, **params: object) -> Statement[list[R]]:
    """Describe a statement that returns any number of rows."""
    return _statement(query, "many", class_row(row), params, lambda rows, _: rows)


def count(query: Query, /, **params: object) -> Statement[int]:
    """Describe a statement of which only the number of rows is asked."""
    return _statement(query, "count", tuple_row, params, lambda _, number: number)


def then(statement: Statement[R], read: Callable[[R], T]) -> Statement[T]:
    """Describe the same statement, its result passed on to *read*."""
    return Statement(statement.query, statement.params, statement.row, lambda rows, n: read(statement.read(rows, n)))


class operation(Generic[P, T]):  # noqa: N801  # used as a decorator
    """Turn a method that describes a statement into one that runs it, its owner's way."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Statement[T]]) -> None:
        @wraps(describe)
        def blocking(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(describe(self, *args, **kwargs))

        @wraps(describe)
        async def awaiting(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run(describe(self, *args, **kwargs))

        self.describe = describe
        self._blocking = blocking
        self._awaiting = awaiting
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, repository: Repository, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, repository: AsyncRepository, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, repository: None, owner: type) -> Callable[..., Any]: ...
    def __get__(self, repository: object, owner: type) -> Callable[..., Any]:
        """Return the method bound to *repository*, blocking or on asyncio as its owner is."""
        method = self._awaiting if issubclass(owner, AsyncRepository) else self._blocking
        return method if repository is None else MethodType(method, repository)


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
    "conversation_pkey": (AlreadyExists, "a conversation with this id exists already"),
    "conversation_tenant_id_dialog_id_fkey": (DialogNotFound, "there is no dialog with this dialog_id"),
    "api_token_token_digest_key": (AlreadyExists, "this token is stored already"),
    "api_token_beta_key": (AlreadyExists, "this beta is in use already"),
    "api_token_tenant_id_dialog_id_fkey": (DialogNotFound, "the tenant has no dialog with this dialog_id"),
}


def _translated(error: psycopg.Error) -> Exception | None:
    """Return what an error of the server means to a caller, or None where it speaks for itself."""
    constraint = error.diag.constraint_name or ""
    if error.diag.schema_name == "conversation_store" and constraint in _CONSTRAINTS:
        kind, message = _CONSTRAINTS[constraint]
        return kind(message)
    if isinstance(error, psycopg.errors.InvalidParameterValue) and error.diag.source_function in _ZONE_CHECKS:
        return ValueError("time_zone must be an IANA time zone that the server knows, such as 'Europe/Paris'")
    return None


# The functions of the server that look up a time zone: in a timestamp's text, and of AT TIME ZONE.
_ZONE_CHECKS = ("DateTimeParseError", "timestamp_zone", "timestamptz_zone", "DecodeTimezoneName", "parse_sane_timezone")


def _is_stale_plan(error: psycopg.errors.FeatureNotSupported) -> bool:
    # The message is translated by the server, the name of its function is not.
    return error.diag.source_function == "RevalidateCachedQuery"


class _Observed:
    """Time a statement, tell the hook, and raise the errors that callers know."""

    def __init__(self, name: str, hook: OnStatement | None) -> None:
        self.rows = 0
        self._name = name
        self._hook = hook

    def __enter__(self) -> _Observed:
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._hook is not None:
            seconds = time.perf_counter() - self._started
            try:
                # The name of the error only: its text may quote values.
                self._hook(self._name, seconds, self.rows, None if kind is None else kind.__name__)
            except Exception:
                # The statement has done its work; a hook must not make it look as if it had not.
                _log.exception("on_statement raised")
        if isinstance(error, psycopg.Error) and (translated := _translated(error)) is not None:
            # The server's detail quotes the key; of a token's row nothing may be quoted.
            raise translated from (None if self._name.startswith("api_token.") else error)


# -- the two worlds -----------------------------------------------------------------------


def _steps(statement: Statement[T], hook: OnStatement | None, connection: Any, cursor: Any) -> Generator[Any, Any, T]:
    """Run a statement, in steps that a blocking cursor has done when they are yielded and that asyncio awaits."""
    text, params = statement.query.text, [untyped(value) for value in statement.query.bind(statement.params)]
    with _Observed(statement.query.name, hook) as observed:
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


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs statements blocking. *connect* gives a connection for one statement, as `pool.connection` does."""

    connect: Callable[[], AbstractContextManager[Connection[Any]]]
    on_statement: OnStatement | None = None

    def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        with self.connect() as connection, _Cursor(connection, row_factory=statement.row) as cursor:
            steps = _steps(statement, self.on_statement, connection, cursor)
            try:
                done = next(steps)
                while True:
                    done = steps.send(done)
            except StopIteration as result:
                return cast(T, result.value)


@dataclass(frozen=True, slots=True)
class AsyncRunner:
    """Runs statements on asyncio. *connect* gives a connection for one statement, as `pool.connection` does."""

    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
    on_statement: OnStatement | None = None

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        async with self.connect() as connection, _AsyncCursor(connection, row_factory=statement.row) as cursor:
            steps = _steps(statement, self.on_statement, connection, cursor)
            try:
                step = next(steps)
                while True:
                    try:
                        done = await step
                    except BaseException as error:
                        step = steps.throw(error)
                    else:
                        step = steps.send(done)
            except StopIteration as result:
                return cast(T, result.value)


class Repository:
    """Runs the statements of its methods blocking."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        return self._runner.run(statement)


class AsyncRepository:
    """Runs the statements of its methods on asyncio."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        return await self._runner.run(statement)
