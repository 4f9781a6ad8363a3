"""A statement as a value: a query, its parameters, and how to read its rows; and several of them. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

from conversation_store._sql_loader import Query
from conversation_store.errors import QueryError
from conversation_store.models import LimitedList

R = TypeVar("R")
T = TypeVar("T")


class Statement(NamedTuple, Generic[T]):
    """One round trip: a query, its parameters, and how to read the rows and their number."""

    query: Query
    params: Mapping[str, object]
    row: Callable[..., Any] | None  # is called with the columns of each row, in their order; None leaves them a tuple
    read: Callable[[list[Any], int], T]
    copied: Sequence[Sequence[object]] | None = None  # the rows that a COPY sends


class Steps(NamedTuple, Generic[T]):
    """Several statements: a generator that yields them, is sent their results, and returns the result of the call."""

    generator: Generator[Statement[Any], Any, T]
    atomic: bool = False  # whether they run in one transaction
    locks: Statement[Any] | None = None  # runs before them where they are part of a transaction, which keeps its locks


Described: TypeAlias = Statement[T] | Steps[T]
"""What a repository method describes: one statement, or several."""


def run(described: Described[T]) -> Generator[Statement[Any], Any, T]:
    """Yield the statements that are described, and return their result."""
    if isinstance(described, Statement):
        return cast(T, (yield described))
    return (yield from described.generator)


def _statement(
    query: Query,
    returns: str,
    row: Callable[..., Any] | None,
    params: Mapping[str, object],
    read: Callable[[list[Any], int], T],
    copied: Sequence[Sequence[object]] | None = None,
) -> Statement[T]:
    if query.returns != returns:
        raise QueryError(f"{query.path}:1: the header says returns: {query.returns}, the method reads {returns}")
    return Statement(query, params, row, read, copied)


def _first(rows: list[R], _: int) -> R:
    return rows[0]


def _first_or_none(rows: list[R], _: int) -> R | None:
    return rows[0] if rows else None


def _all(rows: list[R], _: int) -> list[R]:
    return rows


def _number(_: list[Any], number: int) -> int:
    return number


def one(query: Query, row: Callable[..., R], /, **params: object) -> Statement[R]:
    """Describe a statement that returns exactly one row."""
    return _statement(query, "one", row, params, _first)


def optional(query: Query, row: Callable[..., R], /, **params: object) -> Statement[R | None]:
    """Describe a statement that returns a row or none."""
    return _statement(query, "optional", row, params, _first_or_none)


def many(query: Query, row: Callable[..., R], /, **params: object) -> Statement[list[R]]:
    """Describe a statement that returns any number of rows."""
    return _statement(query, "many", row, params, _all)


def limited(query: Query, row: Callable[..., R], limit: int, /, **params: object) -> Statement[LimitedList[R]]:
    """Describe a statement that returns at most *limit* rows; it reads one more, to know whether there are more."""

    def read(rows: list[R], _: int) -> LimitedList[R]:
        return LimitedList(rows[:limit], has_more=len(rows) > limit)

    return _statement(query, "many", row, {**params, "limit": limit + 1}, read)


def scalar(query: Query, kind: type[R], /, **params: object) -> Statement[R]:
    """Describe a statement that returns one value of this type."""
    return _statement(query, "one", None, params, lambda rows, _: rows[0][0])


def count(query: Query, /, **params: object) -> Statement[int]:
    """Describe a statement of which only the number of rows is asked."""
    return _statement(query, "count", None, params, _number)


def then(statement: Statement[R], read: Callable[[R], T]) -> Statement[T]:
    """Describe the same statement, its result passed on to *read*."""

    def both(rows: list[Any], number: int) -> T:
        return read(statement.read(rows, number))

    return Statement(statement.query, statement.params, statement.row, both)


def copy(query: Query, rows: Sequence[Sequence[object]]) -> Statement[int]:
    """Describe a COPY that sends rows, in the order of its columns, and returns how many it has stored."""
    return _statement(query, "count", None, {}, _number, rows)
