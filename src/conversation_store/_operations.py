"""The decorators of repository methods: a method describes statements, its repository decides how to wait for them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import wraps
from traceback import clear_frames
from types import MethodType
from typing import (
    Any,
    Concatenate,
    Generic,
    NamedTuple,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._json_writer import JsonWriter
from conversation_store._once import once
from conversation_store._statement import Described, Statement, Steps
from conversation_store._waiting import drive, drive_async, each, each_async
from conversation_store.transaction import begin, begin_async, keeps_locks

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
A = TypeVar("A")


class Settings(NamedTuple):
    """What a store passes to its repositories: the tenant that it is bound to, or None, limits, how JSON is written."""

    tenant_id: str | None = None
    max_items_per_page: int = 1_000
    json: JsonWriter = JsonWriter()


class Methods:
    """What the methods of both kinds of repositories know of their store."""

    _settings: Settings

    @property
    def _bound(self) -> str | None:
        return self._settings.tenant_id


class Repository:
    """Runs the statements of its methods sync."""

    def __init__(self, executor: Executor, settings: Settings = Settings()) -> None:  # noqa: B008
        self._executor = executor
        self._settings = settings


class AsyncRepository:
    """Runs the statements of its methods on asyncio."""

    def __init__(self, executor: AsyncExecutor, settings: Settings = Settings()) -> None:  # noqa: B008
        self._executor = executor
        self._settings = settings


def settings_of(repositories: Any) -> Settings:
    """Return what a store, or a transaction, passes to its repositories."""
    return cast(Settings, repositories._settings)


def executor_of(repositories: Any) -> Any:
    """Return what runs the statements of a store, or of a transaction: an executor, sync or on asyncio."""
    return repositories.conversations._executor


def _executor(repository: Repository) -> Executor:
    return repository._executor  # pyright: ignore[reportPrivateUsage]  # its methods are made here


def _async_executor(repository: AsyncRepository) -> AsyncExecutor:
    return repository._executor  # pyright: ignore[reportPrivateUsage]


class _Method(ABC, Generic[P, S, A]):
    """A method with one body, which is sync or on asyncio as its owner is.

    Its annotations are read when it is first asked for: those of all methods would be a good part of the import.
    """

    def __init__(self, describe: Callable[..., Any], sync: Callable[..., S], on_asyncio: Callable[..., A]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__
        self._plain_sync, self._plain_on_asyncio = sync, on_asyncio

    @once
    def _sync(self) -> Callable[..., S]:
        return self._signed(self._plain_sync, 0)

    @once
    def _on_asyncio(self) -> Callable[..., A]:
        return self._signed(self._plain_on_asyncio, 1)

    def _signed(self, method: Callable[..., T], api: int) -> Callable[..., T]:
        """Give a method the name, the docstring and the arguments of its body, and what it returns itself."""
        hints = get_type_hints(self.describe)
        returns = self._returns(hints["return"])[api]
        signed: Any = wraps(self.describe)(method)
        signed.__signature__ = inspect.signature(self.describe, eval_str=True).replace(return_annotation=returns)
        signed.__annotations__ = {**hints, "return": returns}
        return cast("Callable[..., T]", signed)

    @staticmethod
    @abstractmethod
    def _returns(described: Any) -> tuple[Any, Any]:
        """Return what the method returns, sync and on asyncio, by the annotation of its body."""

    @overload
    def __get__(self, repository: Repository, owner: type) -> Callable[P, S]: ...
    @overload
    def __get__(self, repository: AsyncRepository, owner: type) -> Callable[P, A]: ...
    @overload
    def __get__(self, repository: None, owner: type) -> Callable[..., Any]: ...
    def __get__(self, repository: object, owner: type) -> Callable[..., Any]:
        """Return the method bound to *repository*, sync or on asyncio as its owner is."""
        method = self._on_asyncio if issubclass(owner, AsyncRepository) else self._sync
        return method if repository is None else MethodType(method, repository)


def _of(container: Any, item: Any) -> Any:
    """Return the type of a container of items."""
    return container[item]


class operation(_Method[P, T, Coroutine[Any, Any, T]]):  # noqa: N801  # used as a decorator
    """Turn a method that describes one statement, or several, into one that runs them.

    A traceback may be shown with the local variables of its frames, and an argument may be the secret of a token. So
    the arguments are dropped before anything is sent, and so are the variables of a description that fails.
    """

    def __init__(self, describe: Callable[Concatenate[Any, P], Described[T]]) -> None:
        def sync(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                described, executor = describe(self, *args, **kwargs), _executor(self)
            except BaseException as error:
                clear_frames(error.__traceback__)
                raise
            finally:
                del args, kwargs
            if isinstance(described, Statement):
                result: T = executor.run(described)
                return result
            if not described.atomic:
                if described.locks is not None and keeps_locks(executor.source.connection):
                    executor.run(described.locks)
                return drive(described.generator, executor.run)
            with begin(executor) as nested:
                return drive(described.generator, nested.run)

        async def on_asyncio(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                described, executor = describe(self, *args, **kwargs), _async_executor(self)
            except BaseException as error:
                clear_frames(error.__traceback__)
                raise
            finally:
                del args, kwargs
            if isinstance(described, Statement):
                return await executor.run(described)
            if not described.atomic:
                if described.locks is not None and keeps_locks(executor.source.connection):
                    await executor.run(described.locks)
                return await drive_async(described.generator, executor.run)
            async with begin_async(executor) as nested:
                return await drive_async(described.generator, nested.run)

        super().__init__(describe, sync, on_asyncio)

    @staticmethod
    def _returns(described: Any) -> tuple[Any, Any]:
        # Statement[T], Steps[T], or either of them: T is what the method returns.
        kinds = get_args(described) if get_origin(described) not in (Statement, Steps) else (described,)
        (returns,) = get_args(kinds[0])
        return returns, returns


class stream(_Method[P, Iterator[T], AsyncIterator[T]]):  # noqa: N801
    """Turn a method that returns a generator of statements into an iterator over the items that each of them reads.

    Each statement runs when its items are asked for; no connection is held while the caller looks at them.
    """

    def __init__(self, describe: Callable[Concatenate[Any, P], Generator[Statement[list[T]], Any, None]]) -> None:
        def sync(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return each(describe(self, *args, **kwargs), _executor(self).run)

        def on_asyncio(self: AsyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            return each_async(describe(self, *args, **kwargs), _async_executor(self).run)

        super().__init__(describe, sync, on_asyncio)

    @staticmethod
    def _returns(described: Any) -> tuple[Any, Any]:
        (items,) = get_args(get_args(described)[0])
        (item,) = get_args(items)
        return _of(Iterator, item), _of(AsyncIterator, item)
