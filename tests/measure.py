"""Measure what sql/README.md says about cost: `make measure` prints its tables again.

A tenant gets 60,000 conversations of four messages, 20,000 of them in one dialog. Then, on a copy for each row of the
first table, two messages of about 200 characters are appended 1,000 times, once with all indexes and once without each.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from conversation_store import ConversationStore, migrate
from server import Server, database, server

INDEXES = [
    "conversation_message_dialog_id_search_idx",
    "conversation_dialog_id_search_idx",
    "conversation_tenant_id_dialog_id_create_date_id_idx",
    "conversation_tenant_id_dialog_id_update_date_id_idx",
    "conversation_tenant_id_create_date_idx",
]
TURN = [
    {"role": "user", "content": "How do I reset the machine? 请问检索增强生成怎么用 " + "word another 上下文 " * 12},
    {"role": "assistant", "content": "The answer is: " + "这是一个回答 with some English text " * 7},
]


def fill(conninfo: str) -> None:
    """Fill a migrated database."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id)"
            " SELECT 'd' || i, 't' FROM generate_series(1, 100) AS i UNION ALL VALUES ('large', 't')"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, name, user_id, source, create_date,"
            " update_date, message_count, round, tokens)"
            " SELECT md5(i::text), 't', CASE WHEN i % 3 = 0 THEN 'large' ELSE 'd' || 1 + i % 100 END, 'name ' || i,"
            " 'u' || i % 500, (ARRAY['web', 'api', NULL])[1 + i % 3], day, day, 4, 2, i % 1000"
            " FROM (SELECT i, timestamptz '2024-01-01Z' + i * interval '8 minutes' AS day"
            " FROM generate_series(1, 60000) AS i) AS x"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation_message SELECT c.id, p, c.tenant_id, c.dialog_id, json_build_object("
            " 'role', CASE p % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'content', (SELECT string_agg(words[1 +"
            " abs(hashtext(c.id || p || g)) % 16], ' ') FROM generate_series(1, 25) AS g))"
            " FROM conversation_store.conversation AS c, generate_series(1, 4) AS p, (SELECT ARRAY['index', 'search',"
            " 'document', '知道', '检索', '电影', '导演', '上映', '酒店', 'answer', 'question', 'model', 'museum', 'garden',"
            " 'river', '音乐'] AS words) AS w"
        )
        connection.execute(
            'UPDATE conversation_store.conversation_message SET body = \'{"content": "a xylophone 鸑鷟"}\' WHERE position = 2'
            " AND conversation_id IN (SELECT id FROM conversation_store.conversation WHERE dialog_id = 'large' LIMIT 30)"
        )
        connection.execute("VACUUM ANALYZE")


def milliseconds(call: Callable[[], object], times: int = 9) -> float:
    """Return the median of several calls, the first aside."""
    call()
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def append(conninfo: str, without: str) -> tuple[float, float, float]:
    """Return milliseconds and bytes of WAL for each of 1,000 appends, and of WAL for what they left to vacuum."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for index in INDEXES if without == "all" else [without] if without else []:
            connection.execute(sql.SQL("DROP INDEX conversation_store.{}").format(sql.Identifier(index)))
        connection.execute("CHECKPOINT")

        def position() -> Any:
            return (connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone() or [0])[0]

        store = ConversationStore(connection=connection)
        ids = [s.id for s in store.conversations.get_list("large", "t", items_per_page=1000, orderby="id").sessions]
        for id in ids[:100]:
            store.conversations.append_round(id, TURN)
        started_at = position()
        taken: list[float] = []
        for id in ids:
            started = time.perf_counter()
            store.conversations.append_round(id, TURN)
            taken.append(1000 * (time.perf_counter() - started))
        written = position() - started_at
        for index in INDEXES[:2]:
            if without not in (index, "all"):
                connection.execute("SELECT gin_clean_pending_list(%s::regclass)", [f"conversation_store.{index}"])
        return statistics.median(taken), float(written) / len(ids), float(position() - started_at - written) / len(ids)


def lists(conninfo: str) -> None:
    """Print what pages, searches and statistics cost."""
    with ConversationStore(conninfo) as store:
        get_list, stats = store.conversations.get_list, store.conversations.stats
        cases: list[tuple[str, Callable[[], object]]] = [
            ("first page and total of 20,000", lambda: get_list("large", "t")),
            ("the same, oldest first", lambda: get_list("large", "t", desc=False)),
            ("page 500", lambda: get_list("large", "t", 500)),
            ("by name, which no index serves", lambda: get_list("large", "t", orderby="name")),
            ("first page of a dialog of 400", lambda: get_list("d1", "t")),
            ("keyword of nine letters in 30 of 20,000", lambda: get_list("large", "t", keywords="xylophone")),
            ("keyword of two ideographs in 30 of 20,000", lambda: get_list("large", "t", keywords="鸑鷟")),
            ("keyword that no index serves, 20,000", lambda: get_list("large", "t", keywords="鸑")),
            ("keyword that no index serves, dialog of 400", lambda: get_list("d1", "t", keywords="鸑")),
            ("statistics of a year, 60,000", lambda: stats("t", "2024-01-01", "2024-12-31")),
        ]
        for title, call in cases:
            print(f"| {title} | {milliseconds(call):.1f} |")  # noqa: T201


def main(on: Server) -> None:
    with database(on) as filled:
        migrate(filled)
        fill(filled)
        lists(filled)
        name = str(conninfo_to_dict(filled)["dbname"])
        for without in ["", *INDEXES, "all"]:
            with database(on, template=name) as copy:
                took, wal, later = append(copy, without)
            print(f"| {without or '(all are there)'} | {took:.2f} | {wal:,.0f} | {later:,.0f} |")  # noqa: T201


if __name__ == "__main__":
    with server() as running:
        main(running)
