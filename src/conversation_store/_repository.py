"""A repository method describes statements; its repository decides how to wait for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

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


_RESULT = re.compile(r"Generator\[Statement\[.*\], .*, (\w+)\]")


class _Method(Generic[P, B, A]):
    """A method with one body, which blocks or is awaited as its owner is."""

    # What a method returns, by what its body says that it describes; and in what it stands, in either world.
    _returned = re.compile(r"Statement\[(.*)\]")
    _blocking_in = _awaiting_in = "{}"

    def __init__(self, describe: Callable[..., Any], blocking: Callable[..., B], awaiting: Callable[..., A]) -> None:
        self.describe = describe
        self._blocking = self._signed(blocking, self._blocking_in)
        self._awaiting = self._signed(awaiting, self._awaiting_in)
        self.__doc__ = describe.__doc__

    def _signed(self, method: Callable[..., T], inside: str) -> Callable[..., T]:
        """Give a method the name, the docstring and the arguments of its body, and what it returns itself."""
        wrapped: Any = wraps(self.describe)(method)
        signature = inspect.signature(self.describe)
        described = self._returned.fullmatch(signature.return_annotation)
        returned = inside.format(described[1] if described else signature.return_annotation)
        wrapped.__signature__ = signature.replace(return_annotation=returned)
        return cast("Callable[..., T]", wrapped)

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

    _returned = _RESULT

    def __init__(self, describe: Callable[Concatenate[Any, P], Generator[Statement[Any], Any, T]]) -> None:
        def blocking(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.run_each(describe(self, *args, **kwargs))

        async def awaiting(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run_each(describe(self, *args, **kwargs))

        super().__init__(describe, blocking, awaiting)


class atomic(_Method[P, T, Coroutine[Any, Any, T]]):  # noqa: N801
    """Turn a method that returns a generator of statements into one that runs them in one transaction."""

    _returned = _RESULT

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

    _returned = re.compile(r"Generator\[Statement\[list\[(.*)\]\], list\[.*\], None\]")
    _blocking_in, _awaiting_in = "Iterator[{}]", "AsyncIterator[{}]"

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
