"""The states of a transaction: where its statements may run.

A `Scope` is a connection at one level of its transaction. Its `State` is the whole state:

    OPEN    --a nested transaction begins-->  NESTED  --it ends-->  OPEN
    OPEN    --the block ends or fails-->      CLOSED
    NESTED  --the block fails, or its wait is interrupted-->  FAILED  --the nested transaction ends-->  CLOSED

A block that ends while a nested transaction is open in it waits until that has ended. An interruption of the wait, by
KeyboardInterrupt or a cancellation, is raised only after it: psycopg can undo a transaction only when no nested one is
open. A statement runs only where its scope is OPEN and no scope around it is FAILED: what ran otherwise would be part
of another transaction, and be undone with it.

Who must hold which lock: sync, all scopes of a connection share one reentrant lock, and a thread that reads or changes
a state or runs a statement holds it. BEGIN, SAVEPOINT, RELEASE and COMMIT run without it: the scope around is NESTED.
On asyncio there is no lock: a state changes only between two awaits, and psycopg lets one statement wait for the other.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from enum import Enum, auto
from typing import Any, Generic

from psycopg import AsyncConnection, Connection

from conversation_store._connections import ConnectionT, Taken
from conversation_store._forks import check_not_forked, process_of
from conversation_store.errors import OutsideTransaction


class State(Enum):
    """What a scope allows."""

    OPEN = auto()
    NESTED = auto()
    FAILED = auto()
    CLOSED = auto()


class Scope(ABC, Generic[ConnectionT]):
    """A connection at one level of its transaction; the parent is the level around it, or None."""

    def __init__(self, connection: ConnectionT, parent: Scope[ConnectionT] | None = None) -> None:
        self.connection = connection
        self.parent = parent
        self.state = State.OPEN
        self._pid = process_of([connection])

    def _check(self) -> None:
        check_not_forked(self._pid, "connection")
        scope: Scope[ConnectionT] | None = self
        while scope is not None:
            if scope.state in (State.FAILED, State.CLOSED):
                raise OutsideTransaction("this transaction has ended: use the store, or another transaction")
            scope = scope.parent
        if self.state is State.NESTED:
            raise OutsideTransaction(
                "a nested transaction is open in this one, or a call that is one: use the nested transaction, or wait"
                " for its end"
            )

    def _begin_nested(self) -> None:
        self._check()
        self._nested_by = self._who()
        self.state = State.NESTED

    def _end_nested(self) -> None:
        self.state = State.CLOSED if self.state is State.FAILED else State.OPEN

    def _fail(self) -> None:
        self.state = State.FAILED if self._is_waiting() else State.CLOSED

    def _is_waiting(self) -> bool:
        # A thread or task that ends a block has left those inside of it, if only because it was interrupted.
        return self.state in (State.NESTED, State.FAILED) and self._nested_by != self._who()

    @abstractmethod
    def _who(self) -> object:
        """Return the thread or the task that runs."""


class SyncScope(Scope[Connection[Any]]):
    """A scope of threads."""

    def __init__(self, connection: Connection[Any], parent: SyncScope | None = None) -> None:
        super().__init__(connection, parent)
        # Reentrant: a hook may use the store that calls it.
        self._changed: threading.Condition = threading.Condition() if parent is None else parent._changed

    def _who(self) -> object:
        return threading.get_ident()

    def take(self) -> Taken[Connection[Any]]:
        """Take the connection for one statement of one thread."""
        check_not_forked(self._pid, "connection")  # a thread of the parent may have the lock, for ever
        taken = Taken(self.connection, None, self._pid)  # before the lock, which an interruption then may keep
        self._changed.acquire()
        try:
            self._check()
        except BaseException:
            self._changed.release()
            raise
        return taken

    def give_back(self, taken: Taken[Connection[Any]]) -> None:
        """Let the statement of another thread run."""
        self._changed.release()

    @contextmanager
    def enter(self) -> Generator[tuple[Connection[Any], SyncScope]]:
        """Give the connection for a nested transaction."""
        # An interruption may come between any two of these lines: then nobody else would end the state.
        is_begun = False
        try:
            with self._changed:
                self._check()  # what it refuses was begun by another, who ends it
                is_begun = True
                self._begin_nested()
            yield self.connection, self
        finally:
            interruption: BaseException | None = None
            while is_begun:
                try:
                    with self._changed:
                        self._end_nested()
                        self._changed.notify_all()
                        is_begun = False
                except BaseException as error:
                    interruption = interruption or error
            if interruption is not None:
                raise interruption

    @contextmanager
    def block(self) -> Generator[None]:
        """Close the scope at the end of the block, once a nested transaction of another thread has ended."""
        try:
            yield
        except BaseException:
            self._end(failed=True)
            raise
        self._end(failed=False)

    def _end(self, failed: bool) -> None:
        interruption: BaseException | None = None
        while True:
            try:
                with self._changed:
                    if failed:
                        self._fail()
                    self._changed.wait_for(lambda: not self._is_waiting())
                    self.state = State.CLOSED
                    break
            except BaseException as error:
                # Waits again, however often it is interrupted: what another thread runs on a connection cannot be
                # stopped from here, and to close it under that thread may crash the process.
                failed, interruption = True, interruption or error
        if interruption is not None:
            raise interruption


class AsyncScope(Scope[AsyncConnection[Any]]):
    """A scope of tasks of one loop."""

    def __init__(self, connection: AsyncConnection[Any], parent: AsyncScope | None = None) -> None:
        super().__init__(connection, parent)
        self._changed = asyncio.Event()

    def _who(self) -> object:
        return asyncio.current_task()

    async def take(self) -> Taken[AsyncConnection[Any]]:
        """Take the connection for one statement."""
        self._check()
        return Taken(self.connection, None, self._pid)

    async def give_back(self, taken: Taken[AsyncConnection[Any]]) -> None:
        """Do nothing."""

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[tuple[AsyncConnection[Any], AsyncScope]]:
        """Give the connection for a nested transaction."""
        self._begin_nested()
        try:
            yield self.connection, self
        finally:
            self._end_nested()
            self._changed.set()

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """Close the scope at the end of the block, once a nested transaction of another task has ended."""
        try:
            yield
        except BaseException:
            self._fail()
            await self._end()
            raise
        await self._end()

    async def _end(self) -> None:
        interruption: asyncio.CancelledError | None = None
        while self._is_waiting():
            self._changed.clear()
            try:
                await self._changed.wait()
            except asyncio.CancelledError as error:
                self._fail()
                interruption = interruption or error
        self.state = State.CLOSED
        if interruption is not None:
            raise interruption
