"""Measure search indexes beside none: `make measure OF=search`.

none      no search index
trigrams  pg_trgm and btree_gin over the text with every ideograph doubled
pairs     that of the schema: a number for each pair of neighbouring characters, one for the tenant and one for the dialog

TEXTS=file.jsonl takes your texts, an object a line with `messages: [{content}]`. They are joined to messages of some
CHARACTERS=300, three quarters of them not ASCII where there are such; CHARACTERS=1 takes each text as it is. Of
MESSAGES=40000, one dialog has a fifth, the others have 80 each, a conversation 2 to 20. Each index has a database of
its own, and each step is run on one after the other.

Milliseconds are of the processor that the server's process used, on Linux, so that what else the machine does counts
little; `client` is that of this process. Autovacuum is off and no build is parallel, so that all work is counted where
it arises; what waits in the pending lists is merged at the end and counted too.
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from conversation_store import ConversationStore, migrate
from support.search_indexes import Index, indexes
from support.server import Server, database, server

LOAD_SETTINGS = ["", "SET LOCAL gin_pending_list_limit = '64MB'; SET LOCAL work_mem = '64MB'"]


class Texts:
    """Messages of a few hundred characters, joined from texts, the same in each run."""

    def __init__(self, file: str | None, characters: int) -> None:
        self.random = random.Random(1)
        self.characters = characters
        texts = self._made() if file is None else self._read(file)
        self.wide = [text for text in texts if not text.isascii()] or texts
        self.narrow = [text for text in texts if text.isascii() and text] or texts

    def message(self) -> str:
        pool, between = (self.narrow, " ") if self.random.random() < 0.25 else (self.wide, "")
        size = self.random.randint(self.characters * 2 // 3, self.characters * 4 // 3)
        text = self.random.choice(pool)
        while len(text) < size:
            text += between + self.random.choice(pool)
        return text

    def turn(self) -> list[dict[str, str]]:
        return [{"role": role, "content": self.message()} for role in ("user", "assistant")]

    @staticmethod
    def _read(file: str) -> list[str]:
        with Path(file).open(encoding="utf-8") as lines:
            return [
                m["content"] for line in lines for m in json.loads(line)["messages"] if isinstance(m["content"], str)
            ]

    def _made(self) -> list[str]:
        """Return sentences whose words are as unequally common as those of a language."""
        words = [["".join(chr(self.random.randint(a, z)) for _ in range(n)) for n in s] for a, z, s in (
            (0x4E00, 0x5600, [1, 2, 2, 3] * 1000), (0x61, 0x7A, [2, 4, 5, 7] * 1000))]  # fmt: skip
        weights = [1 / rank for rank in range(1, 4001)]
        return [
            between.join(self.random.choices(pool, weights, k=8)) + end
            for pool, between, end in ((words[0], "", "。"), (words[1], " ", "."))
            for _ in range(4000)
        ]


def fill(conninfo: str, texts: Texts, number: int) -> tuple[list[str], list[str]]:
    """Fill a migrated database; return ids of conversations, and some texts of the large dialog."""
    conversations: list[tuple[str, str, int]] = []
    for dialog, left in [("large", number // 5)] + [(f"d{n}", 80) for n in range((number - number // 5) // 80)]:
        while left:
            size = min(left, texts.random.randint(2, 20))
            conversations.append((f"{texts.random.getrandbits(128):032x}", dialog, size))
            left -= size
    texts.random.shuffle(conversations)
    some: list[str] = []
    with psycopg.connect(conninfo, autocommit=True) as connection:
        gin = connection.execute(
            "SELECT c.relname FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam WHERE a.amname = 'gin' AND c.relkind = 'i'"
            " AND c.relnamespace = 'conversation_store'::regnamespace"
        )
        for (name,) in gin.fetchall():
            connection.execute(sql.SQL("DROP INDEX conversation_store.{}").format(sql.Identifier(name)))
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id) SELECT DISTINCT unnest(%s::text[]), 't'",
            [["loaded", *(dialog for _, dialog, _ in conversations)]],
        )
        copy_conversations(connection, [(id, dialog, texts.message()[:30], n) for id, dialog, n in conversations])

        def messages() -> Iterator[tuple[str, int, str, str]]:
            for id, dialog, size in conversations:
                for position in range(1, size + 1):
                    text = texts.message()
                    if dialog == "large" and len(some) < 2000:
                        some.append(text)
                    yield id, position, dialog, text

        copy_messages(connection, messages())
        connection.execute("VACUUM ANALYZE")
    return [id for id, dialog, _ in conversations if dialog != "large"], some


def copy_conversations(connection: psycopg.Connection[Any], rows: list[tuple[str, str, str, int]]) -> None:
    into = "conversation_store.conversation (id, tenant_id, dialog_id, name, message_count)"
    with connection.cursor().copy(f"COPY {into} FROM STDIN".encode()) as copy:
        for id, dialog, name, number in rows:
            copy.write_row((id, "t", dialog, name, number))


def copy_messages(connection: psycopg.Connection[Any], rows: Iterator[tuple[str, int, str, str]]) -> None:
    into = "conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
    with connection.cursor().copy(f"COPY {into} FROM STDIN".encode()) as copy:
        for id, position, dialog, text in rows:
            body = json.dumps({"role": "user", "content": text}, ensure_ascii=False, separators=(",", ":"))
            copy.write_row((id, position, "t", dialog, body))


def build(compared: list[Index], number: int) -> None:
    print("| index | build, µs a message | MB | ANALYZE, ms |\n|---|---|---|---|")
    for index in compared:
        index.add("build", index.create, per=number)
        index.connection.execute("VACUUM")
        index.add("ANALYZE", lambda: index.connection.execute("ANALYZE conversation_store.conversation_message"))
        size = index.one("SELECT coalesce(pg_relation_size(to_regclass('conversation_store.searched')), 0)") / 1e6
        print(f"| {index.name} | {1000 * index.figures['build']:.0f} | {size:.0f} | {index.figures['ANALYZE']:.0f} |")


def appends(compared: list[Index], texts: Texts, ids: list[str]) -> None:
    """Print what 2,000 turns of two messages cost by `append_round`, merging included."""
    number, chunk = 2_000, 200
    turns = [texts.turn() for _ in range(number)]
    for start in range(0, number, chunk):
        for index in compared:
            conversations = ConversationStore(connection=index.connection).conversations

            def run() -> None:
                for n in range(start, start + chunk):
                    conversations.append_round(ids[n % len(ids)], turns[n], tenant_id="t")
                if start + chunk == number:
                    index.merge()

            index.add("append_round", run, per=number)
    print("\n| append_round of two messages | server, ms | client, ms | bytes of WAL | × |\n|---|---|---|---|---|")
    total = [index.figures["append_round"] + index.figures["append_round, client"] for index in compared]
    for index, sum_ in zip(compared, total, strict=True):
        server_, client, wal = (index.figures[f"append_round{of}"] for of in ("", ", client", ", WAL"))
        print(f"| {index.name} | {server_:.2f} | {client:.2f} | {wal:,.0f} | {sum_ / total[0]:.1f} |")


def loads(compared: list[Index], texts: Texts) -> None:
    """Print what a COPY of 10,000 conversations of two messages costs, merging included."""
    number = 10_000
    ids = [f"{texts.random.getrandbits(128):032x}" for _ in range(number)]
    pairs = [(texts.message(), texts.message()) for _ in ids]
    print("\n| COPY of 10,000 conversations | µs a message | bytes of WAL | × |\n|---|---|---|---|")
    for settings in LOAD_SETTINGS:
        for index in compared if not settings else compared[1:]:

            def run() -> None:
                with index.connection.transaction(force_rollback=True):
                    if settings:
                        index.connection.execute(settings.encode())
                    copy_conversations(index.connection, [(id, "loaded", "", 2) for id in ids])
                    rows = (
                        (i, p, "loaded", t) for i, pair in zip(ids, pairs, strict=True) for p, t in enumerate(pair, 1)
                    )
                    copy_messages(index.connection, rows)
                    index.merge()

            name = f"{index.name} {settings.replace('SET LOCAL ', '')}".strip()
            index.add(name, run, per=2 * number)
            index.connection.execute("VACUUM")
            took, wal = index.figures[name], index.figures[f"{name}, WAL"]
            print(f"| {name} | {1000 * took:.0f} | {wal:,.0f} | {took / compared[0].figures['none']:.1f} |")


def loads_beside_appends(index: Index, texts: Texts, ids: list[str]) -> None:
    """Print what `insert_many` of 10,000 conversations costs, and an append of another session after each 1,000."""
    rows = [{"dialog_id": "loaded", "message": texts.turn()} for _ in range(10_000)]
    turn, other = texts.turn(), replace(index)
    print(
        "\n| insert_many beside appends of others | µs a message | an append, median, ms | longest |\n|---|---|---|---|"
    )
    for settings in LOAD_SETTINGS:
        appended: list[float] = []
        with psycopg.connect(index.database, autocommit=True) as other.connection:
            appending = ConversationStore(connection=other.connection).conversations

            def append(done: int) -> None:
                used = other.processor()
                appending.append_round(ids[done % len(ids)], turn, tenant_id="t")
                appended.append(other.processor() - used)

            with index.connection.transaction(force_rollback=True):
                if settings:
                    index.connection.execute(settings.encode())
                used = index.processor()
                store = ConversationStore(connection=index.connection)
                store.conversations.insert_many(rows, tenant_id="t", on_progress=append)
                loaded = 1000 * (index.processor() - used) / 20_000
        index.merge()
        name = f"{index.name} {settings.replace('SET LOCAL ', '')}".strip()
        print(f"| {name} | {loaded:.0f} | {statistics.median(appended):.1f} | {max(appended):.1f} |")


def searches(compared: list[Index], keywords: list[str], dialogs: list[str], work_mem: str, times: int) -> None:
    """Print the medians of searches by each index; all have to find the same."""
    print(f"\n| work_mem = {work_mem} | in | finds | " + " | ".join(f"{index.name}, ms" for index in compared) + " |")
    print("|---" * (3 + len(compared)) + "|")
    for index in compared:
        index.connection.execute(f"SET work_mem = '{work_mem}'".encode())
    for dialog in dialogs:
        for keyword in keywords:
            taken: dict[str, list[float]] = {index.name: [] for index in compared}
            found: set[int] = set()
            for _ in range(1 + times):
                for index in compared:
                    took, number = index.search(dialog, keyword)
                    taken[index.name].append(took)
                    found.add(number)
            assert len(found) == 1, f"{keyword!r} in {dialog}: {found}"
            medians = " | ".join(f"{statistics.median(each[1:]):.2f}" for each in taken.values())
            print(f"| `{keyword}` | {dialog} | {found.pop():,} | {medians} |")
    for index in compared:
        index.connection.execute("RESET work_mem")


def choose_keywords(some: list[str]) -> list[str]:
    """Return a rare and a common keyword of 1, 2, 3 and 8 characters, of texts in ASCII and of others."""
    chooser, folded, chosen = random.Random(5), [text.lower() for text in some], list[str]()
    for length in (1, 2, 3, 8):
        for narrow in (False, True):
            pool = [text for text in folded if text.isascii() == narrow and len(text) > length] or folded
            counts: dict[str, int] = {}
            for _ in range(100):
                text = chooser.choice(pool)
                start = chooser.randrange(len(text) - length + 1)
                if (keyword := text[start : start + length]).strip(" `|") == keyword:
                    counts[keyword] = sum(keyword in other for other in folded)
            ordered = sorted(counts, key=lambda keyword: (counts[keyword], keyword))
            chosen += [ordered[0], ordered[-1]]
    return list(dict.fromkeys(chosen))


def main(on: Server, file: str | None, number: int, characters: int) -> None:
    """Print all tables."""
    texts, compared = Texts(file, characters), indexes()
    times = 9 if number <= 100_000 else 3
    with ExitStack() as stack:
        with database(on) as filled:
            migrate(filled)
            ids, some = fill(filled, texts, number)
            for index in compared:
                index.database = stack.enter_context(database(on, template=str(conninfo_to_dict(filled)["dbname"])))
        for index in compared:
            index.connection = stack.enter_context(psycopg.connect(index.database, autocommit=True))
            index.connection.execute(
                b"SET max_parallel_maintenance_workers = 0; SET max_parallel_workers_per_gather = 0"
            )
            if index.functions:
                index.connection.execute(index.functions.encode())
        build(compared, number)
        keywords = choose_keywords(some)
        searches(compared, keywords, ["large", "d0"], "4MB", times)
        searches(
            compared, [keyword for keyword in keywords if len(keyword) > 1][1::2], ["large"], "64kB", min(times, 3)
        )
        loads(compared, texts)
        loads_beside_appends(compared[-1], texts, ids)
        appends(compared, texts, ids)


if __name__ == "__main__":
    with server({"autovacuum": "off"}) as running:
        main(
            running,
            os.environ.get("TEXTS") or None,
            int(os.environ.get("MESSAGES") or 40_000),
            int(os.environ.get("CHARACTERS") or 300),
        )
