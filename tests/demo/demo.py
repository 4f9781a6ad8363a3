"""The store at work on real input: loaded, listed, searched, appended to by many at once, and counted.

python tests/demo/demo.py [FILE] takes JSON lines of the shape
{"id", "dialog", "user_id", "source", "created_at", "tokens", "duration", "messages": [{"role", "content", …}]}.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from rich.bar import Bar
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parents[1]))

from conversation_store import AsyncConversationStore, Conversation, ConversationStore, StoreError, migrate
from support.server import database, server

TENANT = "demo-tenant"
SHIPPED = Path(__file__).with_name("conversations.jsonl")
KEYS: dict[str, Any] = {
    "id": str,
    "dialog": str,
    "user_id": str,
    "source": (str, type(None)),
    "created_at": str,
    "tokens": int,
    "duration": (int, float),
    "messages": list,
}

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Steps:
    """Prints each step with the SQL files that served it and the time they took."""

    def __init__(self) -> None:
        self._served: list[tuple[str, float]] = []

    def heard(self, name: str, seconds: float, rows: int, error: str | None) -> None:
        """Take note of a statement; the store's hook."""
        self._served.append((name, seconds))

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Print a title before, and behind it what served the step."""
        console.print()
        console.print(Text(title, style="bold"))
        self._served.clear()
        started = time.perf_counter()
        yield
        took = time.perf_counter() - started
        for name in sorted({name for name, _ in self._served}):
            times = [seconds for served, seconds in list(self._served) if served == name]
            path = f"sql/{name.replace('.', '/')}.sql"
            console.print(f"  [cyan]{path}[/]  {len(times)} × {1000 * sum(times) / len(times):.2f} ms")
        if not self._served:
            console.print(f"  [cyan]sql/schema/[/]  {took:.2f} s")


def conversation(line: bytes) -> dict[str, Any]:
    """Return what a line says; raises ValueError that says what is wrong with it."""
    try:
        value = json.loads(line)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("is not an object")
    for key, kind in KEYS.items():
        if key not in value:
            raise ValueError(f"has no {key!r}")
        if not isinstance(value[key], kind) or isinstance(value[key], bool):
            raise ValueError(f"{key!r} must not be {json.dumps(value[key], ensure_ascii=False)[:40]}")
    for number, message in enumerate(value["messages"]):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(f"messages[{number}] must be an object with 'role' and 'content'")
    return value


def numbered(file: BinaryIO, progress: Progress, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank with its number, and move the progress bar along."""
    task = progress.add_task("loading", total=size)
    for number, line in enumerate(file, start=1):
        progress.advance(task, len(line))
        if line.strip():
            yield number, line


def load(store: ConversationStore, path: Path) -> tuple[list[Conversation], list[str]]:
    """Save every conversation of a file; return those saved and what was wrong with the others."""
    saved: list[Conversation] = []
    wrong: list[str] = []
    dialogs: set[str] = set()
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with path.open("rb") as file, Progress(*columns, console=console) as progress:
        for number, line in numbered(file, progress, path.stat().st_size):
            try:
                given = conversation(line)
                if given["dialog"] not in dialogs:
                    store.dialogs.save(id=given["dialog"], tenant_id=TENANT, name=given["dialog"])
                    dialogs.add(given["dialog"])
                said = [message["content"] for message in given["messages"] if isinstance(message["content"], str)]
                saved.append(
                    store.conversations.save(
                        id=given["id"],
                        dialog_id=given["dialog"],
                        user_id=given["user_id"],
                        name=said[0][:40] if said else None,
                        message=given["messages"],
                        source=given["source"],
                        tokens=given["tokens"],
                        duration=given["duration"],
                        round=sum(message["role"] == "user" for message in given["messages"]),
                        create_date=given["created_at"],
                    )
                )
            except (ValueError, TypeError, StoreError) as error:
                wrong.append(f"line {number}: {error}")
    return saved, wrong


def frequent(saved: list[Conversation]) -> list[tuple[str, str]]:
    """Return an English word and a Chinese pair that many conversations say, each with the dialog that says it most."""
    found: list[tuple[str, str]] = []
    for pattern in (r"(?<![a-z])[a-z]{6,}(?![a-z])", r"(?=([一-鿿]{2}))"):
        counts: Counter[tuple[str, str]] = Counter()
        for one in saved:
            texts = " ".join(m["content"] for m in one.message if isinstance(m["content"], str))
            counts.update((word, one.dialog_id) for word in set(re.findall(pattern, texts.lower())))
        # Not what everybody says all the time, but what some say.
        some = [key for key, count in counts.most_common() if 2 <= count <= 8] or [
            key for key, _ in counts.most_common(1)
        ]
        found += some[:1]
    return found


def sessions_table(sessions: list[Conversation]) -> Table:
    """Return a table of sessions: the name takes what the others leave."""
    table = Table(box=None, padding=(0, 1), expand=True)
    for title, width in (("id", 8), ("user", 8), ("source", 6), ("rounds", 6), ("tokens", 6), ("created (UTC)", 16)):
        table.add_column(title, width=width, no_wrap=True, justify="right" if title in ("rounds", "tokens") else "left")
    table.add_column("name", ratio=1, no_wrap=True)
    for one in sessions:
        created = f"{one.create_date:%Y-%m-%d %H:%M}"
        row = one.id, one.user_id, one.source or "–", str(one.round), str(one.tokens), created, one.name or "–"
        table.add_row(*map(Text, row))
    return table


def excerpt(one: Conversation, keyword: str) -> Text:
    """Return some of what a conversation says around a keyword, the keyword marked."""
    texts = [m["content"] for m in one.message if isinstance(m, dict) and isinstance(m["content"], str)]
    text = next((t for t in [*texts, one.name or one.id] if keyword in t.lower()), one.id).replace("\n", " ")
    at = max(text.lower().find(keyword), 0)
    shown = Text(f"  {one.id[:8]}  …{text[max(at - 12, 0) : at + 24]}…", no_wrap=True, overflow="ellipsis")
    shown.highlight_words([keyword], style="bold yellow", case_sensitive=False)
    return shown


async def read_on_asyncio(conninfo: str, id: str, steps: Steps) -> Conversation | None:
    async with AsyncConversationStore(conninfo, on_statement=steps.heard) as store:
        return await store.conversations.get_by_id(id)


def show(conninfo: str, path: Path) -> int:
    """Run all steps on an empty database; return the exit code."""
    steps = Steps()
    with steps.step("Migrate: the schema, from plain SQL"):
        console.print("  applied " + ", ".join(migrate(conninfo)))
    with ConversationStore(conninfo, max_size=9, on_statement=steps.heard) as store:
        with steps.step(f"Load {path.name}"):
            saved, wrong = load(store, path)
            for reason in wrong:
                console.print(Text(f"  {reason}", style="red", no_wrap=True, overflow="ellipsis"))
            console.print(f"  {len(saved)} conversations loaded, {len(wrong)} lines not")
        if not saved:
            errors.print(f"{path}: nothing could be loaded")
            return 1

        with steps.step("Issue a token and authenticate with it"):
            issued = store.tokens.issue(tenant_id=TENANT)
            found = store.tokens.authenticate(issued.token)
            console.print(f"  token {issued.token[:6]}…, kept as a digest and the hint {issued.hint}")
            console.print(
                f"  authenticates {found.tenant_id if found else 'nobody'}; another text: {store.tokens.authenticate('x')}"
            )

        dialog = Counter(one.dialog_id for one in saved).most_common(1)[0][0]
        with steps.step(f"List a page of the dialog {dialog}"):
            count, sessions = store.conversations.get_list(dialog, TENANT, items_per_page=8, include_dsl=False)
            console.print(sessions_table(sessions))
            console.print(f"  {len(sessions)} of {count}")

        for keyword, where in frequent(saved):
            with steps.step(f"Find {keyword!r} in the dialog {where}"):
                count, sessions = store.conversations.get_list(where, TENANT, items_per_page=3, keywords=keyword)
                for one in sessions:
                    console.print(excerpt(one, keyword))
                console.print(f"  {count} conversations")

        with steps.step("Append from eight threads at once to one conversation"):
            one = store.conversations.save(
                dialog_id=dialog, user_id="demo", id=uuid.uuid4().hex, create_date=saved[0].create_date
            )
            turns = [{"role": "user", "content": f"turn {number}"} for number in range(200)]
            with ThreadPoolExecutor(8) as executor:
                rounds = list(executor.map(lambda turn: store.conversations.append_round(one.id, [turn]), turns))
            read = store.conversations.get_by_id(one.id)
            kept = {entry["content"] for entry in read.message} if read else set[str]()
            lost = len(turns) - len(kept)
            console.print(
                f"  200 turns from 8 threads: round {max(rounds)}, {len(kept)} different turns stored, {lost} lost"
            )
            store.conversations.delete_by_id(one.id)

        with steps.step("The same store on asyncio"):
            awaited = asyncio.run(read_on_asyncio(conninfo, saved[0].id, steps))
            console.print(f"  read with await: {awaited == saved[0] and 'the conversation as it was saved'}")

        last = max(one.create_date for one in saved).date()
        first = max(min(one.create_date for one in saved).date(), last - timedelta(days=30))
        with steps.step("Count by day"):
            days = store.conversations.stats(TENANT, first, last)
            table = Table(
                "day", "sessions", "users", "seconds", "rounds", "tokens", "", box=None, padding=(0, 1), expand=True
            )
            for column in table.columns[1:6]:
                column.justify = "right"
            table.columns[6].ratio = 1
            most = max(1, *(day.tokens for day in days))
            for day in days:
                bar = Bar(most, 0, day.tokens, color="cyan")
                row = f"{day.dt}", f"{day.pv}", f"{day.uv}", f"{day.duration:.1f}", f"{day.round:.1f}", f"{day.tokens}"
                table.add_row(*row, bar)
            console.print(table)
    return 1 if lost else 0


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    if not path.is_file():
        errors.print(f"{path}: {'is no file' if path.exists() else 'does not exist'}")
        return 1
    # As Ctrl-C, so that the server is stopped and its directory removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        path.open("rb").close()
        with server() as running, database(running) as conninfo:
            return show(conninfo, path)
    except OSError as error:
        errors.print(f"{path}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted; nothing is left behind")
        return 130


if __name__ == "__main__":
    sys.exit(main())
