"""The sync and the async API called alike: an async store whose calls are awaited here, so that one test serves both."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from conversation_store import AsyncConversationStore, ConversationStore
from support.citus import CITUS_URL

T = TypeVar("T")


class SyncApi:
    """The sync API."""

    name = "sync"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @contextmanager
    def store(self, *args: Any, **kwargs: Any) -> Generator[Any]:
        with ConversationStore(*args, **kwargs) as store:
            yield store

    @contextmanager
    def pool(self, conninfo: str, **kwargs: Any) -> Generator[Any]:
        with ConnectionPool(conninfo, min_size=1, open=True, **kwargs) as pool:
            yield pool

    @contextmanager
    def connect(self, conninfo: str, **kwargs: Any) -> Generator[Any]:
        with Connection.connect(conninfo, **kwargs) as connection:
            yield connection

    @contextmanager
    def connection_of(self, pool: Any) -> Generator[Any]:
        with pool.connection() as connection:
            yield connection

    @contextmanager
    def entered(self, manager: Any) -> Generator[Any]:
        with manager as value:
            yield value

    def run(self, call: Callable[[], Any]) -> Any:
        return call()

    def together(self, store: Any, calls: Sequence[Callable[[Any], Any]]) -> list[Any]:
        """Make all calls at the same moment, each in a thread; return their results or errors."""
        barrier = threading.Barrier(len(calls))

        def run(call: Callable[[Any], Any]) -> Any:
            barrier.wait()
            try:
                return call(store)
            except Exception as error:
                return error

        with ThreadPoolExecutor(len(calls)) as executor:
            return list(executor.map(run, calls))


class AsyncApi:
    """The async API, each of whose calls is awaited here."""

    name = "async"

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    @contextmanager
    def entered(self, manager: Any) -> Generator[Any]:
        value = self.run(manager.__aenter__)
        try:
            yield value
        except BaseException as error:
            details = type(error), error, error.__traceback__
            if not self.run(lambda: manager.__aexit__(*details)):
                raise
        else:
            self.run(lambda: manager.__aexit__(None, None, None))

    @contextmanager
    def store(self, *args: Any, **kwargs: Any) -> Generator[Any]:
        with self.entered(AsyncConversationStore(*args, **kwargs)) as store:
            yield Awaited(store, self)

    @contextmanager
    def pool(self, conninfo: str, **kwargs: Any) -> Generator[Any]:
        with self.entered(AsyncConnectionPool(conninfo, min_size=1, open=False, **kwargs)) as pool:
            yield pool

    @contextmanager
    def connect(self, conninfo: str, **kwargs: Any) -> Generator[Any]:
        connection = self.run(lambda: AsyncConnection.connect(conninfo, **kwargs))
        with self.entered(connection):
            yield connection

    @contextmanager
    def connection_of(self, pool: Any) -> Generator[Any]:
        with self.entered(pool.connection()) as connection:
            yield connection

    def together(self, store: Any, calls: Sequence[Callable[[Any], Any]]) -> list[Any]:
        """Start all calls at once on the loop; return their results or errors."""

        async def gather() -> list[Any]:
            return await asyncio.gather(*(call(store.awaited) for call in calls), return_exceptions=True)

        return self.run(gather)

    def run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._runner.run(call())


class Awaited:
    """An object of the async API whose methods are awaited for the caller."""

    def __init__(self, awaited: Any, api: AsyncApi) -> None:
        self.awaited = awaited
        self._api = api

    def __getattr__(self, name: str) -> Any:
        value: Any = getattr(self.awaited, name)
        if name == "transaction":
            return self._transaction
        if name == "for_tenant":
            return lambda tenant_id: Awaited(value(tenant_id), self._api)
        return self._method(value) if callable(value) else Awaited(value, self._api)

    def _method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if isinstance(result, AsyncIterator):
                return self._each(result)

            async def wait() -> Any:
                return await result

            return self._api.run(wait)

        return call

    def _each(self, items: AsyncIterator[Any]) -> Generator[Any]:
        done = object()

        async def following() -> Any:
            return await anext(items, done)

        while (item := self._api.run(following)) is not done:
            yield item

    @contextmanager
    def _transaction(self, *args: Any, **kwargs: Any) -> Generator[Awaited]:
        with self._api.entered(self.awaited.transaction(*args, **kwargs)) as transaction:
            yield Awaited(transaction, self._api)


def commit_when_waited_for(
    api: SyncApi | AsyncApi, db: str, writer: psycopg.Connection[Any], finish: Callable[[], None] = lambda: None
) -> Any:
    """Finish and commit a transaction as soon as a call waits for its locks; one of the calls made together."""

    def commit() -> None:
        wait_for(db, writer)
        finish()
        writer.commit()

    return commit() if isinstance(api, SyncApi) else asyncio.to_thread(commit)


def wait_for(db: str, writer: psycopg.Connection[Any], number: int = 1) -> None:
    """Return when as many calls wait for the locks of a transaction, or for one that waits for them."""
    # Of a distributed table the lock is on another machine.
    blocked_by = (
        "SELECT waiting_gpid %% 10000000000 AS pid, blocking_gpid %% 10000000000 AS blocker FROM citus_lock_waits"
        if CITUS_URL
        else "SELECT pid, unnest(pg_blocking_pids(pid)) AS blocker FROM pg_stat_activity"
    )
    waiting = f"""
        WITH RECURSIVE waits AS MATERIALIZED ({blocked_by}), waiting AS (
            SELECT %s::bigint AS pid
            UNION
            SELECT b.pid FROM waits AS b JOIN waiting AS w ON w.pid = b.blocker
        )
        SELECT count(*) > %s FROM waiting
    """
    with psycopg.connect(db, autocommit=True) as connection:
        deadline = time.monotonic() + 10
        while connection.execute(waiting.encode(), [writer.info.backend_pid, number]).fetchone() != (True,):
            assert time.monotonic() < deadline, "no call waits for the writer's locks"
