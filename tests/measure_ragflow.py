"""Measure an import of RAGFlow from PostgreSQL and from MariaDB: `make measure OF=ragflow`.

NUMBER=50000 conversations of five turns are moved by the command, into a database of their own each time, and gone
through once more: seconds, conversations a second, and the most memory that its process had. A tenth of them are moved
first: the memory does not grow with their number. TEXTS=file.jsonl takes your texts, as `measure_search.py` does; each
answer has two chunks in its reference. Without MariaDB only PostgreSQL is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from conversation_store import ConversationStore, migrate
from measure_search import Texts
from support import ragflow_layout, ragflow_mysql
from support.mysql import INSTALL, PROGRAM, MySql, mysql_database, mysql_server
from support.ragflow_rows import DATES, ZONE
from support.server import Server, database, server

FIELDS = [
    "id",
    "create_time",
    "create_date",
    "update_time",
    "update_date",
    "name",
    "dialog_id",
    "user_id",
    "message",
    "reference",
    "tokens",
    "source",
    "dsl",
    "duration",
    "round",
    "thumb_up",
]


def conversations(texts: Texts, number: int) -> Iterator[tuple[Any, ...]]:
    """Make conversations, of which each thousandth has the same texts."""
    documents = [(json.dumps(_messages(texts)), json.dumps(_reference(texts))) for _ in range(min(number, 1_000))]
    for i in range(number):
        message, reference = documents[i % len(documents)]
        at = 1_704_067_200_000 + i * 60_123
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at // 1000 + 8 * 3600))
        dates = (at, date, at, date)
        yield (
            f"{i:032x}",
            *dates,
            f"name {i}",
            f"{i % 100:032x}",
            "user",
            message,
            reference,
            100,
            "agent",
            "{}",
            1.5,
            5,
            0,
        )


def _messages(texts: Texts) -> list[dict[str, Any]]:
    return [message | {"created_at": 1704067200.123} for _ in range(5) for message in texts.turn()]


def _reference(texts: Texts) -> list[dict[str, Any]]:
    chunk = {"id": "0" * 16, "similarity": 0.123456789}
    return [
        {"chunks": [chunk | {"content": texts.message() + texts.message()} for _ in range(2)], "doc_aggs": []}
        for _ in range(5)
    ]


@contextmanager
def in_postgresql(on: Server, rows: Iterator[tuple[Any, ...]]) -> Generator[str]:
    with database(on) as conninfo:
        ragflow_layout.create(conninfo)
        dialogs = [DATES | {"id": f"{i:032x}", "tenant_id": f"{i % 10}", "name": f"dialog {i}"} for i in range(100)]
        ragflow_layout.insert(conninfo, "dialog", dialogs)
        with psycopg.connect(conninfo, autocommit=True) as connection, connection.cursor() as cursor:
            with cursor.copy(f"COPY public.api_4_conversation ({', '.join(FIELDS)}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute("ANALYZE")
        yield conninfo


@contextmanager
def in_mariadb(on: MySql, rows: Iterator[tuple[Any, ...]]) -> Generator[str]:
    with mysql_database(on) as name:
        ragflow_mysql.create(on, name)
        dialogs = [DATES | {"id": f"{i:032x}", "tenant_id": f"{i % 10}", "name": f"dialog {i}"} for i in range(100)]
        ragflow_mysql.insert(on, name, "dialog", dialogs)
        with on.connect(name, autocommit=False) as connection, connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(FIELDS))
            cursor.executemany(f"INSERT INTO api_4_conversation ({', '.join(FIELDS)}) VALUES ({places})", rows)
            connection.commit()
        on.run("ANALYZE TABLE dialog, api_4_conversation", database=name)
        yield on.url(name)


def move(title: str, source: str, target: str, number: int) -> None:
    """Run the command and print its time and memory."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "conversation_store.cli", "import-ragflow", "--time-zone", ZONE],
        env={**os.environ, "DATABASE_URL": target, "RAGFLOW_DATABASE_URL": source},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    assert process.returncode == 0
    with ConversationStore(target) as store:
        assert store.conversations.count() == number
    print(f"| {title} | {seconds:.1f} s | {number / seconds:,.0f} | {usage.ru_maxrss / 1024:.0f} MB |", flush=True)


def main(on: Server, mysql: MySql | None) -> None:
    number = int(os.environ.get("NUMBER", "50000"))
    print("| | time | a second | memory |\n|---|---|---|---|")
    for of in (number // 10, number):
        for kind in ("PostgreSQL", "MariaDB"):
            rows = conversations(Texts(os.environ.get("TEXTS"), 300), of)
            if kind == "MariaDB" and mysql is None:
                continue
            moved = in_postgresql(on, rows) if kind == "PostgreSQL" or mysql is None else in_mariadb(mysql, rows)
            with moved as source, database(on) as target:
                migrate(target)
                move(f"{of:,} from {kind}", source, target, of)
                move("the same once more: all are there", source, target, of)


if __name__ == "__main__":
    with server() as running:
        if PROGRAM is None or INSTALL is None:
            main(running, None)
        else:
            with mysql_server() as mysql:
                main(running, mysql)
