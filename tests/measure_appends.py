"""Measure what each index costs an append: `make measure OF=appends`.

Copies of a database of 20,000 conversations, each without an index, or with the indexes that a row says, get two messages
of about 200 characters 2,000 times, a hundred on one after the other, in an order that changes. Milliseconds are of the
processor that the server's process used, on Linux, so that what else the machine does counts little. Bytes of WAL are
without images of whole pages. What an append leaves in the pending lists of the search indexes is merged at the end, and
has columns of its own: `gin_pending_list_limit` is so high that no append merges. HOT is the share of appends that wrote
no index entry for the conversation's row.
"""

from __future__ import annotations

import random
import statistics
from contextlib import ExitStack

import psycopg
from psycopg.conninfo import conninfo_to_dict

from conversation_store import ConversationStore, migrate
from measure import fill
from support.search_indexes import Index
from support.server import Server, database, server

SEARCH = ["conversation_message_search_idx", "conversation_search_idx"]
BY_CHANGE = "conversation_dialog_id_tenant_id_update_date_id_idx"
BY_DAY = "conversation_tenant_id_create_date_idx"
INDEXES = [
    *SEARCH,
    BY_CHANGE,
    "conversation_dialog_id_tenant_id_create_date_id_idx",
    "conversation_tenant_id_dialog_id_idx",
    BY_DAY,
    "conversation_tenant_id_user_id_create_date_id_idx",
]
# What keeps every append from being HOT: these indexes have columns that an append changes.
NO_COUNTERS = (
    f"CREATE INDEX {BY_DAY} ON conversation_store.conversation (tenant_id, create_date)"
    " INCLUDE (source, user_id) WHERE create_date >= '-infinity'"
)
ROOM = (
    "ALTER TABLE conversation_store.conversation SET (fillfactor = 85)",
    "VACUUM (FULL, ANALYZE) conversation_store.conversation",
)
TURN = [
    {"role": "user", "content": "How do I reset the machine? 请问检索增强生成怎么用 " + "word another 上下文 " * 12},
    {"role": "assistant", "content": "The answer is: " + "这是一个回答 with some English text " * 7},
]


def drop(*names: str) -> list[str]:
    return [f"DROP INDEX conversation_store.{name}" for name in names]


CASES: dict[str, list[str]] = {
    "(all are there)": [],
    **{f"`{name}`": drop(name) for name in INDEXES},
    "all": drop(*INDEXES),
    f"`{BY_CHANGE}`, and `{BY_DAY}` without its counters": [*drop(BY_CHANGE, BY_DAY), NO_COUNTERS],
    "the same, with a fillfactor of 85": [*drop(BY_CHANGE, BY_DAY), NO_COUNTERS, *ROOM],
}


def merge(case: Index) -> None:
    """Do what waits in the pending lists."""
    for name in SEARCH:
        if case.one("SELECT to_regclass(%s)", f"conversation_store.{name}"):
            case.one("SELECT gin_clean_pending_list(%s::regclass)", f"conversation_store.{name}")


def hot(case: Index) -> float:
    """Return the share of updates of a conversation that were HOT, in percent."""
    case.one("SELECT pg_stat_force_next_flush()")
    return float(
        case.one(
            "SELECT 100 * n_tup_hot_upd / n_tup_upd::float8 FROM pg_stat_user_tables"
            " WHERE relid = 'conversation_store.conversation'::regclass"
        )
    )


def main(on: Server, rounds: int = 20, chunk: int = 100) -> None:
    """Print the table."""
    order, taken = random.Random(1), {name: list[float]() for name in CASES}
    with ExitStack() as stack:
        cases: list[Index] = []
        with database(on) as filled:
            migrate(filled)
            fill(filled, 20_000)
            for name in CASES:
                copy = stack.enter_context(database(on, template=str(conninfo_to_dict(filled)["dbname"])))
                cases.append(Index(name, database=copy))
        for case in cases:
            case.connection = stack.enter_context(psycopg.connect(case.database, autocommit=True))
            for statement in ["SET gin_pending_list_limit = '1GB'", *CASES[case.name]]:
                case.connection.execute(statement.encode())
        first = ConversationStore(connection=cases[0].connection).conversations
        ids = [one.id for one in first.get_list("large", "t", items_per_page=1_000, orderby="id").sessions]

        def append(case: Index, start: int) -> None:
            conversations = ConversationStore(connection=case.connection).conversations
            for number in range(start, start + chunk):
                conversations.append_round(ids[number % len(ids)], TURN, tenant_id="t")

        for number in range(rounds):
            for case in order.sample(cases, len(cases)):
                used = case.processor()
                case.add("append", lambda c=case, n=number: append(c, n * chunk), per=rounds * chunk)  # type: ignore[misc]
                taken[case.name].append((case.processor() - used) / chunk)
        print("| without | ms | of all | WAL, bytes | later, ms | later, WAL | HOT |\n|---|---|---|---|---|---|---|")
        for case in cases:
            case.add("later", lambda c=case: merge(c), per=rounds * chunk)  # type: ignore[misc]
            pairs = zip(taken[case.name], taken[cases[0].name], strict=True)
            ratio, of = statistics.median(one / all_ for one, all_ in pairs), case.figures
            print(
                f"| {case.name} | {statistics.median(taken[case.name]):.2f} | {ratio:.2f} | {of['append, WAL']:,.0f}"
                f" | {of['later']:.2f} | {of['later, WAL']:,.0f} | {hot(case):.0f} % |"
            )


if __name__ == "__main__":
    with server({"autovacuum": "off"}) as running:
        main(running)
