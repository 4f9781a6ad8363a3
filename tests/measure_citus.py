"""Measure what calls cost on a Citus cluster: `CITUS_URL=… make measure OF=citus`.

Beside a plain server of this machine, call by call in turn, on 2,000 conversations of four messages of one tenant. It
prints the medians in milliseconds, and the median and the quartiles of their ratios. Both servers need the same settings,
such as `fsync`; the plain one has those of the tests.
"""

from __future__ import annotations

import itertools
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

from conversation_store import ConversationStore, migrate
from support.citus import CITUS_URL, WHY_SKIPPED, distributed_database
from support.server import database, server

ROUNDS, WARM = 150, 10
TURN = [{"role": "user", "content": "next question"}, {"role": "assistant", "content": "answer " * 40}]
numbers = itertools.count()


def one() -> str:
    """Return the id of one conversation after the other."""
    return f"c{next(numbers) % 2_000}"


def load(s: Any) -> object:
    return s.conversations.insert_many({"dialog_id": "d", "message": TURN} for _ in range(200))


CALLS: dict[str, Callable[[Any, str], object]] = {
    "`get_by_id`": lambda s, _: s.conversations.get_by_id("c77"),
    "`get_list`, 30 of 2,000": lambda s, _: s.conversations.get_list("d"),
    "`get_list` of a user": lambda s, _: s.conversations.get_list("d", user_id="u3"),
    "`list_after`": lambda s, _: s.conversations.list_after("d"),
    "`get_list` by a keyword": lambda s, _: s.conversations.get_list("d", keywords="number 177"),
    "`search`": lambda s, _: s.conversations.search(keywords="number 177"),
    "`stats` of a year": lambda s, _: s.conversations.stats(from_date="2024-01-01", to_date="2024-12-31"),
    "`count`": lambda s, _: s.conversations.count(dialog_id="d"),
    "`authenticate`": lambda s, token: s.tokens.authenticate(token),
    "`tokens.issue`": lambda s, _: s.tokens.issue(dialog_id="d"),
    "`append_round`": lambda s, _: s.conversations.append_round(one(), TURN, reference=[{"chunks": []}]),
    "`append_round` with a turn id": lambda s, _: s.conversations.append_round(one(), TURN, turn_id=uuid.uuid4().hex),
    "`append_message`": lambda s, _: s.conversations.append_message(
        one(), {"message": TURN, "errors": str(next(numbers))}
    ),
    "`save`": lambda s, _: s.conversations.save(dialog_id="d", message=TURN),
    "`update_by_id`": lambda s, _: s.conversations.update_by_id("c78", {"name": str(next(numbers))}),
    "`dialogs.save`": lambda s, _: s.dialogs.save(id="e", name=str(next(numbers))),
    "`insert_many` of 200": lambda s, _: load(s),
}


def filled(conninfo: str) -> ConversationStore:
    """Fill a database, and return a store on a connection of its own."""
    store = ConversationStore(connection=psycopg.connect(conninfo, autocommit=True))
    store.dialogs.save(id="d", tenant_id="t")
    store.conversations.insert_many(
        {
            "id": f"c{number}",
            "dialog_id": "d",
            "tenant_id": "t",
            "user_id": f"u{number % 9}",
            "create_date": f"2024-{1 + number % 12:02}-{1 + number % 28:02}",
            "message": [{"role": "user", "content": f"question number {number} 检索增强"}, TURN[1]] * 2,
        }
        for number in range(2_000)
    )
    return store


def measure(stores: list[Any], tokens: list[str], call: Callable[[Any, str], object], rounds: int) -> str:
    """Return the cells of a row."""
    taken: list[list[float]] = [[], []]
    for number in range(WARM + rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            call(stores[which], tokens[which])
            taken[which].append((time.perf_counter() - start) * 1000)
    plain, cluster = (times[WARM:] for times in taken)
    low, middle, high = statistics.quantiles([c / p for c, p in zip(cluster, plain, strict=True)], n=4)
    return f"{statistics.median(plain):.2f} | {statistics.median(cluster):.2f} | {middle:.1f} ({low:.1f}–{high:.1f})"


def main() -> None:
    """Print the table."""
    if CITUS_URL is None:
        raise SystemExit(WHY_SKIPPED)
    with server() as plain, database(plain) as of_one, distributed_database(CITUS_URL) as of_all:
        migrate(of_one)
        stores = [filled(conninfo) for conninfo in (of_one, of_all)]
        bound = [store.for_tenant("t") for store in stores]
        tokens = [store.tokens.issue(dialog_id="d").token for store in bound]
        print("| call | one server, ms | cluster, ms | ratio |\n|---|---|---|---|")
        for name, call in CALLS.items():
            print(f"| {name} | {measure(bound, tokens, call, 20 if '200' in name else ROUNDS)} |", flush=True)


if __name__ == "__main__":
    main()
