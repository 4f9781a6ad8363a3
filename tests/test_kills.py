"""Writers that repeat a call until it is acknowledged, while servers are killed: each turn is there exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import AsyncConversationStore, ConversationStore, migrate
from support.server import Home, Server, embedded_server, running, server_account
from support.standby import primary_and_standby

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="this system has no SIGKILL")]

WRITERS, KILLS, BETWEEN = 16, 5, 150
# All connections from the beginning, so that each kill hits all writers.
POOL: dict[str, Any] = {"min_size": WRITERS, "max_size": WRITERS, "timeout": 5}
# What is acknowledged must outlive the process of the server, though not the machine.
SETTINGS = {"synchronous_commit": "on"}


class Writing:
    """Writers of one conversation, each of which repeats a turn under its id until that is acknowledged."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.rounds: dict[str, int] = {}
        self.errors: Counter[str] = Counter()
        self.is_enough = False
        self._deadline = time.monotonic() + 120

    def _repeats(self, error: psycopg.OperationalError) -> None:
        """Count an error after which a call is repeated, but not for ever."""
        self.errors[type(error).__name__] += 1
        if time.monotonic() > self._deadline:
            raise error

    def _turns(self, writer: int) -> Iterator[str]:
        number = 0
        while not self.is_enough:
            yield f"{writer}-{(number := number + 1)}"

    def sync(self) -> None:
        def write(writer: int) -> None:
            for turn in self._turns(writer):
                while turn not in self.rounds:
                    try:
                        self.rounds[turn] = appends(store, turn)
                    except psycopg.OperationalError as error:
                        self._repeats(error)
                        time.sleep(0.01)

        with ConversationStore(self.conninfo, **POOL) as store, ThreadPoolExecutor(WRITERS) as all:
            list(all.map(write, range(WRITERS)))

    def on_asyncio(self) -> None:
        async def write(store: AsyncConversationStore, writer: int) -> None:
            for turn in self._turns(writer):
                while turn not in self.rounds:
                    try:
                        self.rounds[turn] = await appends(store, turn)
                    except psycopg.OperationalError as error:
                        self._repeats(error)
                        await asyncio.sleep(0.01)

        async def all() -> None:
            async with AsyncConversationStore(self.conninfo, **POOL) as store:
                await asyncio.gather(*(write(store, writer) for writer in range(WRITERS)))

        asyncio.run(all())

    def go_on(self) -> None:
        """Return when more turns are acknowledged."""
        number = len(self.rounds) + BETWEEN
        while len(self.rounds) < number:
            assert time.monotonic() < self._deadline, f"{len(self.rounds)} turns, then {self.errors}"
            time.sleep(0.002)

    def check(self) -> None:
        """Assert that each turn is stored once, in the round that was acknowledged."""
        with ConversationStore(self.conninfo) as store:
            read = store.conversations.get_by_id("c", tenant_id="t")
        assert read is not None
        assert read.message == sorted(self.rounds, key=lambda turn: self.rounds[turn])
        assert read.round == len(self.rounds)
        assert self.errors


def appends(store: Any, turn: str) -> Any:
    return store.conversations.append_round("c", [turn], tenant_id="t", turn_id=turn)


def prepare(conninfo: str) -> None:
    migrate(conninfo)
    with ConversationStore(conninfo) as store:
        store.dialogs.save(id="d", tenant_id="t")
        store.conversations.save(id="c", dialog_id="d", tenant_id="t")


@contextmanager
def killable() -> Generator[tuple[Server, Callable[[], None]]]:
    """Give a server, and what kills its first process and starts it again."""
    account = server_account()
    as_account = {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}
    with embedded_server(SETTINGS) as server, ExitStack() as stack:
        at = Home(Path(server.host), server.bindir, as_account)
        status = at.base / "data" / "postmaster.pid"

        def kill() -> None:
            lines = status.read_text().splitlines(keepends=True)
            os.kill(int(lines[0]), signal.SIGKILL)
            os.waitpid(int(lines[0]), 0)
            deadline = time.monotonic() + 30
            while True:
                # The seven lines by which a new server knows of the old one, without the eighth, "ready".
                status.write_text("".join(lines[:7]))
                try:
                    stack.enter_context(running(at, SETTINGS))
                    return
                except SystemExit:  # processes of the old one are ending still
                    assert time.monotonic() < deadline, (at.base / "log").read_text()
                    time.sleep(0.02)

        yield server, kill


@pytest.mark.parametrize("way", ["sync", "on_asyncio"])
def test_no_turn_is_lost_or_doubled_by_a_server_that_is_killed_again_and_again(way: str) -> None:
    with killable() as (server, kill), ThreadPoolExecutor(1) as executor:
        prepare(server.conninfo())
        writing = Writing(server.conninfo())
        done = executor.submit(getattr(writing, way))
        for _ in range(KILLS):
            writing.go_on()
            kill()
        writing.go_on()
        writing.is_enough = True
        done.result(120)
        writing.check()


@pytest.mark.parametrize("way", ["sync", "on_asyncio"])
def test_no_turn_is_lost_or_doubled_by_a_failover_to_a_synchronous_standby(way: str) -> None:
    with primary_and_standby(synchronous=True) as pair, ThreadPoolExecutor(1) as executor:
        prepare(pair.primary.conninfo())
        hosts = f"{pair.primary.host},{pair.standby.host}"
        writing = Writing(make_conninfo(pair.primary.conninfo(), host=hosts, target_session_attrs="read-write"))
        done = executor.submit(getattr(writing, way))
        writing.go_on()
        pair.kill_primary()
        pair.promote()
        writing.go_on()
        writing.is_enough = True
        done.result(120)
        writing.check()
