"""The operations that are measured, and what each peer answers, in a form that all share."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from psycopg_pool import ConnectionPool

from benchmarks.answers import days_of, exported, id_of, ids_of, page_of, tenant_of, written
from benchmarks.data import APPENDED, WEEK, YEAR, Data
from benchmarks.peers.aiosql_ import Aiosql
from benchmarks.peers.asyncpg_ import Asyncpg
from benchmarks.peers.floor import AUTOCOMMIT, AsyncFloor, Floor, dumps
from benchmarks.peers.peewee_ import Peewee
from benchmarks.peers.sqlalchemy_ import SqlAlchemy
from benchmarks.peers.store import AsyncStore, Store
from benchmarks.pgbench import pgbench
from benchmarks.runner import THREADS, Arguments, Case, Operation, by_threads, on_asyncio, one_by_one

STORE, FLOOR, PEEWEE, PGBENCH = "store", "psycopg by hand", "Peewee, RAGFlow's tables", "pgbench, the same file"
ASYNC_STORE, ASYNC_FLOOR, ASYNCPG = "store, asyncio", "psycopg by hand, asyncio", "asyncpg"
CHECKS = "get_by_id, the checks of a connection"
FIRST_PAGE, FAR_PAGE = "store, page 1", "store, page 3,000"  # or the last but one, where there are fewer
AT_4, AT_400 = "store, 4 rounds", "store, 400 rounds"
PLAIN_JSON = "psycopg by hand, json of Python"
AIOSQL, SQLALCHEMY = "aiosql", "SQLAlchemy Core"
TURN = [
    {"role": "user", "content": "How often do I have to descale it? 除垢要多久做一次？"},
    {
        "role": "assistant",
        "content": "Every 200 cups with hard water, and every 400 with soft water. 硬水每200杯一次。",
    },
]


class Operations:
    """Opens the peers on a database, and gives the operations."""

    def __init__(self, stack: ExitStack, bindir: Path, sizes: list[Data]) -> None:
        self.data, self.sizes, self.bindir = sizes[-1], sizes, bindir
        self.loop = stack.enter_context(asyncio.Runner())
        self.threads = stack.enter_context(ThreadPoolExecutor(THREADS))
        of = self.data.conninfo

        def opened(peer: Any) -> Any:
            if hasattr(peer, "open"):
                self.loop.run(peer.open())
                stack.callback(lambda: self.loop.run(peer.close()))
            else:
                stack.callback(peer.close)
            return peer

        self.sync = {
            STORE: opened(Store(of)),
            FLOOR: opened(Floor(of)),
            AIOSQL: opened(Aiosql(of)),
            SQLALCHEMY: opened(SqlAlchemy(of)),
            PEEWEE: opened(Peewee(of)),
        }
        self.asynchronous = {
            ASYNC_STORE: opened(AsyncStore(of)),
            ASYNC_FLOOR: opened(AsyncFloor(of)),
            ASYNCPG: opened(Asyncpg(of)),
        }
        self.threaded = {STORE: opened(Store(of, THREADS)), FLOOR: opened(Floor(of, THREADS))}
        pool = stack.enter_context(ConnectionPool(of, min_size=1, max_size=1, kwargs=AUTOCOMMIT))
        self.checks = {
            STORE: self.sync[STORE],
            "store, statement_timeout=None": opened(Store(of, statement_timeout=None)),
            "store on a caller's pool": opened(Store(None, pool=pool)),
            FLOOR: self.sync[FLOOR],
        }
        self.plain_json = opened(Floor(of, configure=None))
        self.second_pages: dict[tuple[str, str], Arguments] = {}
        self.by_size = [(one, opened(Store(one.conninfo)), opened(Floor(one.conninfo))) for one in sizes]

    def all(self) -> list[Operation]:
        return [*self.points(), *self.lists(), *self.writes(), *self.scans(), *self.growth()]

    def points(self) -> Iterable[Operation]:
        data = self.data
        everybody = {**self.sync, **self.asynchronous}
        cases = self._cases(everybody, "get_by_id", id_of)
        yield Operation("get_by_id", data.conversation, [*cases, Case(PGBENCH, self._pgbench_get_by_id())])
        yield Operation(CHECKS, data.conversation, self._cases(self.checks, "get_by_id", id_of))
        cases = self._cases(everybody, "authenticate", tenant_of)
        yield Operation("authenticate", self._token, [*cases, Case(PGBENCH, self._pgbench_authenticate(1))])
        yield Operation(
            "authenticate, 16 threads",
            self._token,
            [
                *(
                    Case(
                        name, by_threads(self.threads, peer.authenticate), answered(self, peer.authenticate, tenant_of)
                    )
                    for name, peer in self.threaded.items()
                ),
                Case(PGBENCH, self._pgbench_authenticate(THREADS)),
            ],
            least=THREADS * 20,
            most=THREADS * 100,
        )

    def lists(self) -> Iterable[Operation]:
        data, everybody = self.data, {**self.sync, **self.asynchronous}
        yield Operation("get_list, total exact", data.dialog, self._cases(everybody, "first_page", page_of))
        without = self._cases(everybody, "page_without_total", ids_of)
        yield Operation('get_list, total="none"', data.dialog, without)
        yield Operation("list_after, second page", self._second_page, self._cases(everybody, "next_page", ids_of))
        cases = self._cases(everybody, "first_page", page_of)
        yield Operation("get_list of the large dialog", lambda _: data.large, cases)
        yield self._deep_page()
        both = {STORE: self.sync[STORE], PEEWEE: self.sync[PEEWEE]}
        for name, keyword in (("8 letters", data.letters), ("2 ideographs", data.ideographs)):
            yield Operation(
                f"keyword of {name}", partial(self._keyword, data.large, keyword), self._cases(both, "keyword", page_of)
            )

    def writes(self) -> Iterable[Operation]:
        everybody = {**self.sync, **self.asynchronous}
        for rounds, ids in self.data.appended.items():
            cases = self._cases(everybody, "append_round", lambda found: found > 0)
            yield Operation(f"append_round at {rounds} rounds", partial(self._turn, ids), cases, most=100)
        append = self.sync[STORE].append_round
        both = [
            Case(name, of_seeds(append, partial(self._turn, self.data.appended[rounds])))
            for name, rounds in ((AT_4, 4), (AT_400, 400))
        ]
        yield Operation("append_round, 4 and 400 rounds", lambda random: (random.random(),), both, most=100)
        threaded = [Case(name, by_threads(self.threads, peer.append_round)) for name, peer in self.threaded.items()]
        limit = self._pgbench_append(THREADS)
        yield Operation(
            "append_round, 16 threads",
            partial(self._turn, self.data.appended[4]),
            [*threaded, Case(PGBENCH, limit)],
            least=THREADS * 20,
            most=THREADS * 50,
        )
        scalars = self._cases(everybody, "update_scalars", int)
        yield Operation("update_by_id of scalars", self._scalars, scalars, most=100)

    def scans(self) -> Iterable[Operation]:
        tenant = self.data.large[1]
        some = {name: self.sync[name] for name in (STORE, FLOOR, PEEWEE)}
        for name, dates in (("year", YEAR), ("week", WEEK)):
            cases = self._cases(some, "stats", days_of)
            yield Operation(f"stats of a {name}", partial(self._dates, tenant, dates), cases)
        both = {name: self.sync[name] for name in (STORE, FLOOR)} | {PLAIN_JSON: self.plain_json}
        cases = [Case(name, one_by_one(partial(written, peer)), partial(exported, peer)) for name, peer in both.items()]
        yield Operation("export of a tenant", lambda _: (self.data.exported,), cases)

    def growth(self) -> Iterable[Operation]:
        """The same operations in databases of several sizes, of each peer with arguments of its own.

        With those of another, it would find in the processor's cache what that one has just read.
        """
        for title, method, arguments in (
            ("get_by_id", "get_by_id", Data.conversation),
            ("authenticate", "authenticate", lambda data, random: (data.token(random),)),
            ("get_list, total exact", "first_page", Data.dialog),
            ('get_list, total="none"', "page_without_total", Data.dialog),
            ("keyword in a dialog of 100", "keyword", lambda data, random: (*data.dialog(random), data.common)),
        ):
            cases: list[Case] = []
            for data, store, floor in self.by_size:
                for name, peer in ((f"{data.size:,}", store), (f"{data.size:,}, {FLOOR}", floor)):
                    if hasattr(peer, method):
                        cases.append(Case(name, of_seeds(getattr(peer, method), partial(arguments, data), name)))
            yield Operation(f"{title}, by size", lambda random: (random.random(),), cases)

    def _cases(self, peers: dict[str, Any], method: str, form: Callable[[Any], object]) -> list[Case]:
        cases: list[Case] = []
        for name, peer in peers.items():
            if (call := getattr(peer, method, None)) is not None:
                run = partial(on_asyncio, self.loop) if peer in self.asynchronous.values() else one_by_one
                cases.append(Case(name, run(call), answered(self, call, form)))
        return cases

    def _token(self, random: random.Random) -> Arguments:
        return (self.data.token(random),)

    def _keyword(self, dialog: tuple[str, str], keyword: str, _: random.Random) -> Arguments:
        return (*dialog, keyword)

    def _dates(self, tenant: str, dates: Arguments, _: random.Random) -> Arguments:
        return (tenant, *dates)

    def _turn(self, ids: list[str], random: random.Random) -> Arguments:
        dialog, tenant = APPENDED
        return random.choice(ids), tenant, dialog, TURN

    def _scalars(self, random: random.Random) -> Arguments:
        return (*self.data.conversation(random), random.randrange(2))

    def _second_page(self, random: random.Random) -> Arguments:
        dialog = self.data.dialog(random)
        if dialog not in self.second_pages:
            page = self.sync[STORE].next_page(*dialog, None)
            last = page.sessions[-1]
            self.second_pages[dialog] = page.next_cursor, last.create_date, last.id
        return *dialog, *self.second_pages[dialog]

    def _deep_page(self) -> Operation:
        """A page by cursor, far from the first: the cursor is that of the page before it, read a thousand at a time."""
        dialog, tenant = self.data.large
        number = max(2, min(3_000, self.data.size // 5 // 30 - 1))
        list_after = self.sync[STORE].store.for_tenant(tenant).conversations.list_after
        cursor, left = None, (number - 1) * 30
        while left:
            page = list_after(dialog, cursor=cursor, items_per_page=min(left, 1000), include_messages=False)
            cursor, left = page.next_cursor, left - len(page.sessions)
        cases = [
            Case(name, one_by_one(lambda cursor=cursor: self.sync[STORE].next_page(dialog, tenant, cursor)))
            for name, cursor in ((FIRST_PAGE, None), (FAR_PAGE, cursor))
        ]
        return Operation("page by cursor", lambda _: (), cases)

    def _pgbench_get_by_id(self) -> Any:
        id, tenant = self.data.conversation(random.Random(1))
        parts = {f"include_{part}": "true" for part in ("messages", "reference", "dsl")}
        variables = {"id": id, "tenant_id": tenant, "dialog_id": None, **parts}
        return pgbench(self.bindir, self.data.conninfo, "conversation/get_by_id", variables)

    def _pgbench_authenticate(self, clients: int) -> Any:
        digest = "\\x" + hashlib.sha256(b"token-0").hexdigest()
        variables = {"token_digest": digest, "stamp_every": 60, "tenant_id": None}
        return pgbench(self.bindir, self.data.conninfo, "api_token/authenticate", variables, clients)

    def _pgbench_append(self, clients: int) -> Any:
        dialog, tenant = APPENDED
        variables = {
            "tenant_id": tenant,
            "dialog_id": dialog,
            "messages": dumps(TURN),
            "reference": "[]",
            "tokens": 40,
            "duration": 1.5,
            "errors": None,
            "expected_round": None,
            "expected_revision": None,
        }
        before = f"\\set id random(1, {len(self.data.appended[4])})"
        return pgbench(self.bindir, self.data.conninfo, "conversation/append_round", variables, clients, before)


def of_seeds(call: Callable[..., object], arguments: Callable[[random.Random], Arguments], salt: str = "") -> Any:
    """Run a slice of seeds, each of which chooses arguments; choosing them is not measured."""
    run = one_by_one(call)
    return lambda seeds: run([arguments(random.Random(f"{salt} {seed}")) for (seed,) in seeds])


def answered(of: Operations, call: Callable[..., Any], form: Callable[[Any], object]) -> Callable[[Arguments], object]:
    """Return what one call answers, in its common form."""

    def answer(arguments: Arguments) -> object:
        found = call(*arguments)
        return form(of.loop.run(found) if asyncio.iscoroutine(found) else found)

    return answer
