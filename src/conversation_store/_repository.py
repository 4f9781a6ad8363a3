"""A repository method describes statements; its repository decides how to wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from conversation_store._runner import AsyncRunner, Runner, drive, drive_awaiting
from conversation_store._statement import Statement

P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B")
A = TypeVar("A")


class Repository:
    """Runs the statements of its methods blocking."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        return self._runner.run(statement)

    def run_each(self, statements: Generator[Statement[Any], Any, T]) -> T:
        """Run the statements of a generator, each by itself, and return what it returns."""
        return drive(statements, self._runner.run)

    def run_as_one(self, statements: Generator[Statement[Any], Any, T]) -> T:
        """Run the statements of a generator in one transaction, and return what it returns."""
        with self._runner.transaction() as runner:
            return drive(statements, runner.run)


class AsyncRepository:
    """Runs the statements of its methods on asyncio."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement and return what it reads."""
        return await self._runner.run(statement)

    async def run_each(self, statements: Generator[Statement[Any], Any, T]) -> T:
        """Run the statements of a generator, each by itself, and return what it returns."""
        return await drive_awaiting(statements, self._runner.run)

    async def run_as_one(self, statements: Generator[Statement[Any], Any, T]) -> T:
        """Run the statements of a generator in one transaction, and return what it returns."""
        async with self._runner.transaction() as runner:
            return await drive_awaiting(statements, runner.run)


class _Method(Generic[P, B, A]):
    """A method with one body, which blocks or is awaited as its owner is."""

    def __init__(self, describe: Callable[..., Any], blocking: Callable[..., B], awaiting: Callable[..., A]) -> None:
        self.describe = describe
        self._blocking = wraps(describe)(blocking)
        self._awaiting = wraps(describe)(awaiting)
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, repository: Repository, owner: type) -> Callable[P, B]: ...
    @overload
    def __get__(self, repository: AsyncRepository, owner: type) -> Callable[P, A]: ...
    @overload
    def __get__(self, repository: None, owner: type) -> Callable[..., Any]: ...
    def __get__(self, repository: object, owner: type) -> Callable[..., Any]:
        """Return the method bound to *repository*, blocking or on asyncio as its owner is."""
        method = self._awaiting if issubclass(owner, AsyncRepository) else self._blocking
        return method if repository is None else MethodType(method, repository)


class operation(_Method[P, T, Coroutine[Any, Any, T]]):  # noqa: N801  # used as a decorator
    """Turn a method that describes a statement into one that runs it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Statement[T]]) -> None:
        def blocking(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(describe(self, *args, **kwargs))

        async def awaiting(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run(describe(self, *args, **kwargs))

        super().__init__(describe, blocking, awaiting)


class batches(_Method[P, T, Coroutine[Any, Any, T]]):  # noqa: N801
    """Turn a method that returns a generator of statements into one that runs each by itself."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Generator[Statement[Any], Any, T]]) -> None:
        def blocking(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.run_each(describe(self, *args, **kwargs))

        async def awaiting(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run_each(describe(self, *args, **kwargs))

        super().__init__(describe, blocking, awaiting)


class atomic(_Method[P, T, Coroutine[Any, Any, T]]):  # noqa: N801
    """Turn a method that returns a generator of statements into one that runs them in one transaction."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Generator[Statement[Any], Any, T]]) -> None:
        def blocking(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.run_as_one(describe(self, *args, **kwargs))

        async def awaiting(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run_as_one(describe(self, *args, **kwargs))

        super().__init__(describe, blocking, awaiting)


class stream(_Method[P, Iterator[T], AsyncIterator[T]]):  # noqa: N801
    """Turn a method that returns a generator of statements into an iterator over the items that each of them reads.

    Each statement runs when its items are asked for; no connection is held while the caller looks at them.
    """

    def __init__(self, describe: Callable[Concatenate[Any, P], Generator[Statement[list[T]], Any, None]]) -> None:
        def blocking(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return _items(describe(self, *args, **kwargs), self.run)

        def awaiting(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            return _awaited_items(describe(self, *args, **kwargs), self.run)

        super().__init__(describe, blocking, awaiting)


def _items(
    steps: Generator[Statement[list[T]], Any, None], run: Callable[[Statement[list[T]]], list[T]]
) -> Iterator[T]:
    items: list[T] | None = None
    while True:
        try:
            statement = steps.send(items)
        except StopIteration:
            return
        items = run(statement)
        yield from items


async def _awaited_items(
    steps: Generator[Statement[list[T]], Any, None],
    run: Callable[[Statement[list[T]]], Coroutine[Any, Any, list[T]]],
) -> AsyncIterator[T]:
    items: list[T] | None = None
    while True:
        try:
            statement = steps.send(items)
        except StopIteration:
            return
        items = await run(statement)
        for item in items:
            yield item
