"""The drivers of generators: a body of several steps is written once, and run sync or on asyncio by one of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from types import coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


def drive(steps: Generator[Any, Any, T], run: Callable[[Any], Any] = lambda step: step) -> T:
    """Call *run* with each step of a generator, send it the result or the error, and return what it returns.

    Without *run*, a step is its own result: the expression that yields it has done the work, as a sync cursor does.
    """
    try:
        step = next(steps)
        while True:
            result = failed = None
            try:
                result = run(step)
            except BaseException as error:
                failed = error
            # Outside of the handler: an error that the generator then raises has no context.
            step = steps.send(result) if failed is None else steps.throw(failed)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def drive_async(
    steps: Generator[Any, Any, T], run: Callable[[Any], Awaitable[Any]] = lambda step: cast("Awaitable[Any]", step)
) -> T:
    """Do as `drive` does, and await what *run* returns, or each step itself."""
    try:
        step = next(steps)
        while True:
            result = failed = None
            try:
                result = await run(step)
            except BaseException as error:
                failed = error
            # Outside of the handler: an error that the generator then raises has no context.
            step = steps.send(result) if failed is None else steps.throw(failed)
    except StopIteration as stop:
        value: T = stop.value
        return value


def begun(steps: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
    """Run a coroutine until it waits; return the rest of it, or None when it has ended without waiting."""
    try:
        waited = steps.send(None)
    except StopIteration:
        return None
    return _rest(steps, waited)


async def _rest(steps: Coroutine[Any, Any, None], waited: Any) -> None:
    await _resumed(steps, waited)


@coroutine
def _resumed(steps: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    while True:
        answer = failed = None
        try:
            answer = yield waited
        except BaseException as error:
            failed = error
        try:
            waited = steps.send(answer) if failed is None else steps.throw(failed)
        except StopIteration:
            return


def each(steps: Generator[Any, Any, None], run: Callable[[Any], list[T]]) -> Iterator[T]:
    """Call *run* with each step of a generator, and iterate over the items that it returns."""
    items: list[T] | None = None
    while True:
        try:
            step = steps.send(items)
        except StopIteration:
            return
        items = run(step)
        yield from items


async def each_async(steps: Generator[Any, Any, None], run: Callable[[Any], Awaitable[list[T]]]) -> AsyncIterator[T]:
    """Do as `each` does, and await what *run* returns."""
    items: list[T] | None = None
    while True:
        try:
            step = steps.send(items)
        except StopIteration:
            return
        items = await run(step)
        for item in items:
            yield item


def transact(store: Any, steps: Callable[[Any], Generator[Any, Any, T]], **options: Any) -> T:
    """Run the steps that *steps* returns for a transaction of *store*, in that transaction; *options* are its own."""
    with store.transaction(**options) as tx:
        return drive(steps(tx))


async def transact_async(store: Any, steps: Callable[[Any], Generator[Any, Any, T]], **options: Any) -> T:
    """Do as `transact` does, on asyncio."""
    async with store.transaction(**options) as tx:
        return await drive_async(steps(tx))
