"""Measure what sql/README.md says about cost: `make measure` prints its tables again, `make measure OF=tokens` one.

lists    a tenant gets 60,000 conversations of four messages, 20,000 of them in one dialog
reads    30 conversations of 40 messages, of about 200 KB each, and one of 1,000 messages are read in whole and in part
tokens   one token is authenticated from 16 threads at once
bulk     200,000 conversations of two messages are loaded, exported, imported and deleted

`measure_appends.py` is `make measure OF=appends`, and so with `search`, `ragflow` and `citus`.
"""

from __future__ import annotations

import hashlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from conversation_store import ConversationStore, migrate
from conversation_store._sql_loader import sql_directory
from conversation_store.jsonl import export_jsonl, import_jsonl
from support.server import Server, database, server


def fill(conninfo: str, number: int = 60_000) -> None:
    """Fill a migrated database with so many conversations of four messages, a third of them in one dialog."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id)"
            " SELECT 'd' || i, 't' FROM generate_series(1, 100) AS i UNION ALL VALUES ('large', 't')"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, name, user_id, source, create_date,"
            " update_date, message_count, round, tokens)"
            " SELECT md5(i::text), 't', CASE WHEN i %% 3 = 0 THEN 'large' ELSE 'd' || 1 + i %% 100 END, 'name ' || i,"
            " 'u' || i %% 500, (ARRAY['web', 'api', NULL])[1 + i %% 3], day, day, 4, 2, i %% 1000"
            " FROM (SELECT i, timestamptz '2024-01-01Z' + i * interval '8 minutes' AS day"
            " FROM generate_series(1, %s) AS i) AS x",
            [number],
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation_message"
            # As the store writes JSON, without blanks.
            " (conversation_id, position, tenant_id, dialog_id, body) SELECT c.id, p, c.tenant_id, c.dialog_id, format("
            '\'{"role":"%s","content":"%s"}\', CASE p % 2 WHEN 1 THEN \'user\' ELSE \'assistant\' END, (SELECT string_agg(words[1 +'
            " abs(hashtext(c.id || p || g)) % 16], ' ') FROM generate_series(1, 25) AS g))::json"
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


def lists(conninfo: str) -> None:
    """Print what pages, searches and statistics cost."""
    scan = (
        "SELECT count(DISTINCT c.id) FROM conversation_store.conversation AS c JOIN conversation_store.conversation_message AS m"
        " ON m.tenant_id = 't' AND m.conversation_id = c.id WHERE c.tenant_id = 't' AND c.dialog_id = 'large'"
        " AND strpos(conversation_store.fold(conversation_store.message_text(m.body)), conversation_store.fold(%s)) > 0"
    )
    with ConversationStore(conninfo) as store, psycopg.connect(conninfo, autocommit=True) as connection:
        of = store.conversations
        get_list, stats, search = of.get_list, of.stats, of.search
        cases: list[tuple[str, Callable[[], object]]] = [
            ("first page and total of 20,000", lambda: get_list("large", "t")),
            ("the same, oldest first", lambda: get_list("large", "t", desc=False)),
            ("page 500", lambda: get_list("large", "t", 500)),
            ("by name, which no index serves", lambda: get_list("large", "t", orderby="name")),
            ("first page of a dialog of 400", lambda: get_list("d1", "t")),
            ("keyword of nine letters in 30 of 20,000", lambda: get_list("large", "t", keywords="xylophone")),
            ("keyword of two ideographs in 30 of 20,000", lambda: get_list("large", "t", keywords="鸑鷟")),
            ("keyword in most of 80,000 messages, and its total", lambda: get_list("large", "t", keywords="museum")),
            ("the same without a total", lambda: get_list("large", "t", keywords="museum", total="none")),
            ("keyword that no index serves, 20,000", lambda: get_list("large", "t", keywords="鸑")),
            ("a plain scan of the texts of 20,000", lambda: connection.execute(scan, ["museum"])),
            ("keyword that no index serves, dialog of 400", lambda: get_list("d1", "t", keywords="鸑")),
            ("search of the tenant, 30 of 60,000", lambda: search("xylophone", tenant_id="t")),
            ("search of the tenant, a common keyword", lambda: search("museum", tenant_id="t")),
            ("statistics of a year, 60,000", lambda: stats("t", "2024-01-01", "2024-12-31")),
        ]
        for title, call in cases:
            print(f"| {title} | {milliseconds(call):.1f} |")


def reads(conninfo: str) -> None:
    """Print what a page costs with its messages and references and without, and the end of a long conversation."""
    turn = [
        {"role": "user", "content": "检索增强生成怎么用 and more " * 20},
        {"role": "assistant", "content": "word " * 140},
    ]
    reference = [{"chunks": [{"id": n, "content": "一段引用的文字 and more " * 40} for n in range(8)], "doc_aggs": []}]
    with ConversationStore(conninfo) as store:
        of = store.for_tenant("t").conversations
        store.dialogs.insert_many([{"id": "list", "tenant_id": "t"}, {"id": "long", "tenant_id": "t"}])
        new = {"dialog_id": "list", "message": turn * 20, "reference": reference * 20}
        of.insert_many({**new, "name": f"name {n}"} for n in range(30))
        of.save(id="long", dialog_id="long", message=turn * 500, reference=reference * 500)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        unread: Any = {"include_messages": False, "include_reference": False}
        megabytes = sum(len(line.encode()) for line in of.export(dialog_id="list")) / 1e6
        cases: list[tuple[str, Callable[[], object]]] = [
            (f"page of 30 conversations of 40 messages, {megabytes:.1f} MB", lambda: of.get_list("list")),
            ("the same without references", lambda: of.get_list("list", include_reference=False)),
            ("without messages and references", lambda: of.get_list("list", **unread)),
            ("the conversation of 1,000 messages", lambda: of.get_by_id("long")),
            ("the same without references", lambda: of.get_by_id("long", include_reference=False)),
            ("without messages and references", lambda: of.get_by_id("long", **unread)),
            ("its last 20 messages", lambda: of.get_messages("long", last=20)),
            ("20 messages in its middle", lambda: of.get_messages("long", before=500, limit=20)),
            (
                "its last 20 messages and 20 references",
                lambda: of.get_messages("long", last=20, include_reference=True),
            ),
        ]
        for title, call in cases:
            print(f"| {title} | {milliseconds(call, 99):.1f} |")


def tokens(on: Server, conninfo: str) -> None:
    """Print how often a second one token is authenticated by 16 at once: by pgbench, and by threads of one process.

    pgbench runs the files as they are, but for their comments, in which it would look for variables too, and for the
    tenant where it may be NULL, which its variables cannot be. Threads of one Python process wait for each other more
    than for the server, and least where the server makes them wait.
    """
    with ConversationStore(conninfo, min_size=16, max_size=16) as store:
        issued = store.tokens.issue(tenant_id="t")
        token = issued.token
        digest = "\\x" + hashlib.sha256(token.encode()).hexdigest()
        cases: list[tuple[str, list[str], int, Callable[[], object]]] = [
            ("stamped once a minute, the default", ["authenticate"], 60, lambda: store.tokens.authenticate(token)),
            (
                "stamped each time",
                ["authenticate", "stamp_use"],
                0,
                lambda: store.tokens.authenticate(token, stamp_every=timedelta(0)),
            ),
            ("stamped each time, waiting for the row (used)", ["used"], 0, lambda: store.tokens.used(token)),
        ]
        for title, files, stamp_every, call in cases:
            call()
            text = b"".join((sql_directory() / "api_token" / f"{file}.sql").read_bytes() for file in files)
            text = re.sub(rb"--[^\n]*", b"", text).replace(b":tenant_id::text IS NULL OR", b"TRUE OR")
            parts = conninfo_to_dict(conninfo)
            done = subprocess.run(
                [
                    *(on.bindir / "pgbench", "-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", "10"),
                    *("-D", f"token_digest={digest}", "-D", f"stamp_every={stamp_every}", "-f", "/dev/stdin"),
                    *("-D", f"id={issued.id}", "-D", "tenant_id=t"),
                    *(
                        "-h",
                        str(parts["host"]),
                        "-p",
                        str(parts["port"]),
                        "-U",
                        str(parts["user"]),
                        str(parts["dbname"]),
                    ),
                ],
                input=text,
                capture_output=True,
                check=True,
            )
            (per_second,) = re.findall(rb"tps = ([0-9.]+)", done.stdout)
            with ThreadPoolExecutor(16) as executor:
                until = time.perf_counter() + 10
                tasks = [executor.submit(calls_until, call, until) for _ in range(16)]
                number = sum(task.result() for task in tasks)
            print(f"| {title} | {float(per_second):,.0f} | {number / 10:,.0f} |")


def calls_until(call: Callable[[], object], until: float) -> int:
    """Call until a moment, and return how often."""
    number = 0
    while time.perf_counter() < until:
        call()
        number += 1
    return number


def bulk(conninfo: str) -> None:
    """Print how fast many conversations come in and go out, and the memory that the process ever had by then."""
    number = 200_000
    message = [
        {"role": "user", "content": "检索增强生成怎么用 and more " * 5},
        {"role": "assistant", "content": "ok " * 60},
    ]

    def print_row(title: str, started: float) -> None:
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"| {title} | {seconds:.0f} s | {number / seconds:,.0f} | {peak} MB |")

    with ConversationStore(conninfo) as store, tempfile.TemporaryFile() as file:
        store.dialogs.insert_many([{"id": f"d{n}", "tenant_id": "t"} for n in range(100)])
        started = time.perf_counter()
        store.conversations.insert_many({"dialog_id": f"d{n % 100}", "message": message} for n in range(20_000))
        store.conversations.delete_by_dialog_ids(f"d{n}" for n in range(100))
        print_row("(20,000, for the memory alone)", started)
        started = time.perf_counter()
        store.conversations.insert_many({"dialog_id": f"d{n % 100}", "message": message} for n in range(number))
        print_row("insert_many", started)
        started = time.perf_counter()
        assert sum(1 for _ in store.conversations.iter()) == number
        print_row("iter", started)
        started = time.perf_counter()
        for line, _ in export_jsonl(store):
            file.write(line.encode())
        print_row(f"export_jsonl, {file.tell() // 1_000_000} MB", started)
        started = time.perf_counter()
        store.tenants.delete_by_id("t")
        print_row("tenants.delete_by_id", started)
        file.seek(0)
        started = time.perf_counter()
        import_jsonl(store, file)
        print_row("import_jsonl", started)


def main(on: Server, of: list[str]) -> None:
    with database(on) as filled:
        migrate(filled)
        if "lists" in of:
            fill(filled)
            lists(filled)
    for title, measure in (
        ("reads", reads),
        ("tokens", lambda empty: tokens(on, empty)),
        ("bulk", bulk),
    ):
        if title in of:
            with database(on) as empty:
                migrate(empty)
                measure(empty)


if __name__ == "__main__":
    with server() as running:
        main(running, sys.argv[1:] or ["lists", "reads", "tokens", "bulk"])
