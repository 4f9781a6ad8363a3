"""Lines of JSON for the import: good ones, one of each kind that is rejected, and a store with every kind of row."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import psycopg

from conversation_store import ConversationStore
from conversation_store.jsonl import (
    Imported,
    RejectedLine,
    export_jsonl,
    export_jsonl_async,
    import_jsonl,
    import_jsonl_async,
)
from support.both_apis import AsyncApi, SyncApi

GOOD = b'{"dialog": {"id": "e", "tenant_id": "t"}}\n\n{"dialog_id": "d", "id": "new"}\n'
"""A dialog, a blank line and a conversation; the next line is the fourth."""

REJECTED: dict[str, tuple[bytes, str]] = {
    "not json": (b'{"id": ', "is not JSON: "),
    "null": (b"null", "conversation must be a mapping, not NoneType"),
    "a list": (b"[]", "conversation must be a mapping, not list"),
    "not utf-8": (b'"\xff"', "is not UTF-8"),
    "no dialog id": (b'{"id": "x"}', "conversation['dialog_id'] must be given and not be empty"),
    "a missing dialog": (b'{"dialog_id": "nowhere"}', "there is no dialog 'nowhere'"),
    "a dialog of another tenant": (
        b'{"dialog_id": "d", "tenant_id": "u"}',
        "the tenant 'u' has no dialog 'd', here or in a line before",
    ),
    "an existing id": (b'{"dialog_id": "d", "id": "old"}', "the conversation 'old' exists already"),
    "an id of a line before": (b'{"dialog_id": "d", "id": "new"}', "the conversation 'new' stands in line 3 already"),
    "an unknown field": (b'{"dialog_id": "d", "nothing": 1}', "unknown: 'nothing'"),
    "a wrong type": (b'{"dialog_id": "d", "tokens": "1"}', "conversation['tokens'] must be an int, not str"),
    "nan": (b'{"dialog_id": "d", "message": [NaN]}', "conversation['message'][0] must be a finite number"),
    "nul": (b'{"dialog_id": "d", "message": "\\u0000"}', "conversation['message'] must not contain U+0000"),
    "surrogate": (
        b'{"dialog_id": "d", "name": "\\ud800"}',
        "conversation['name'] must not contain the lone surrogate U+D800",
    ),
    "dsl nested too deep": (
        b'{"dialog_id": "d", "dsl": ' + b"[" * 600 + b"]" * 600 + b"}",
        "conversation['dsl'] must not be nested deeper",
    ),
    "a line nested too deep": (b"[" * 100_000, "is nested too deep"),
    "a wrong date": (b'{"dialog_id": "d", "create_date": "yesterday"}', "conversation['create_date'] must be ISO 8601"),
    "a bad dialog": (b'{"dialog": {"id": "x"}}', "dialog['tenant_id'] must be given"),
    "a duplicate key": (b'{"dialog_id": "d", "id": "1", "id": "2"}', "has the duplicate key 'id' in one object"),
    "a byte order mark": (b'\xef\xbb\xbf{"dialog_id": "d"}', "is not JSON"),
    "a wrong time": (
        b'{"dialog_id": "d", "create_date": "2024-01-01", "create_time": "x"}',
        "conversation['create_time']",
    ),
    "a date before year 1": (
        b'{"dialog_id": "d", "create_date": "0001-01-01T00:00:00+01:00"}',
        "conversation['create_date'] must lie",
    ),
    "a long number": (b'{"dialog_id": "d", "message": ' + b"9" * 5000 + b"}", "digits"),
    "a dialog that is a number": (b'{"dialog": 5}', "dialog must be a mapping, not int"),
}
"""Each line with part of the reason why it is rejected after GOOD, where the dialog d has the conversation old."""

# Values of every kind that message, reference and dsl may have.
_VALUES: list[Any] = [
    [],
    {},
    None,
    "",
    "text",
    '{"a": 1}',
    [None],
    [[]],
    [{"content": "检索\u2028 \U0001f600"}],
    1.5,
    2**70,
]


def fill(database: str) -> list[dict[str, Any]]:
    """Fill a store with 4 dialogs and 11 conversations that hold every kind of value; return them."""
    with ConversationStore(database) as store:
        store.dialogs.insert_many(
            [{"id": f"d{n}", "tenant_id": f"t{n % 2}", "name": (n and f"名字 {n}") or None} for n in range(4)]
        )
        store.conversations.insert_many(
            {
                "id": f"c{number}",
                "dialog_id": f"d{number % 3}",
                "message": value,
                "reference": value,
                "dsl": value,
                "name": "n" if number % 2 else None,
                "tokens": number,
                "duration": 0.1 * number,
                "create_date": f"2024-01-{1 + number:02}T12:00:00.123456+08:00",
            }
            for number, value in enumerate(_VALUES)
        )
        store.conversations.append_round("c0", [{"role": "user"}], reference=[1], tokens=5)
    return everything(database)


def fill_one(database: str) -> None:
    """Store the dialog d of the tenant t with the conversation old."""
    with ConversationStore(database) as store:
        store.dialogs.save(id="d", tenant_id="t")
        store.conversations.save(id="old", dialog_id="d")


def fill_two(database: str) -> list[dict[str, Any]]:
    """Fill a store with two tenants that have the same ids of dialogs and conversations; return their rows."""
    with ConversationStore(database) as store:
        for tenant in ("t", "u"):
            bound = store.for_tenant(tenant)
            bound.dialogs.insert_many({"id": id, "name": f"{id} of {tenant}"} for id in ("d", "e"))
            bound.conversations.insert_many(
                {"id": id, "dialog_id": dialog, "message": [tenant, id], "reference": [{"of": tenant}]}
                for id, dialog in (("c1", "d"), ("c2", "d"), ("c3", "e"))
            )
        # Conversations of one id in dialogs of different ids, and in different revisions.
        for tenant, dialog in (("t", "d"), ("u", "e")):
            store.conversations.save(id="c4", dialog_id=dialog, tenant_id=tenant)
        for _ in range(2):
            store.conversations.append_round("c1", ["more"], tenant_id="t")
        store.conversations.update_by_id("c1", {"name": "renamed"}, tenant_id="u")
    return everything(database)


def everything(database: str) -> list[dict[str, Any]]:
    """Return all dialogs and conversations."""
    with ConversationStore(database) as store:
        return [row.to_dict() for row in (*store.dialogs.iter(), *store.conversations.iter())]


def empty(database: str) -> None:
    """Delete all dialogs and conversations."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE conversation_store.dialog CASCADE")


def import_lines(
    api: SyncApi | AsyncApi,
    store: Any,
    lines: bytes,
    *,
    tenant_id: Any = None,
    on_rejected: Callable[[RejectedLine], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Imported:
    """Import lines with the function of the API of a store or transaction."""
    arguments: dict[str, Any] = {"tenant_id": tenant_id, "on_rejected": on_rejected, "on_progress": on_progress}
    if isinstance(api, SyncApi):
        return import_jsonl(store, io.BytesIO(lines), **arguments)
    return api.run(lambda: import_jsonl_async(store.awaited, io.BytesIO(lines), **arguments))


def export_lines(api: SyncApi | AsyncApi, source: Any, **arguments: Any) -> list[tuple[str, int]]:
    """Export lines with the function of the API of a store or transaction."""
    if isinstance(api, SyncApi):
        return list(export_jsonl(source, **arguments))

    async def collect() -> list[tuple[str, int]]:
        return [line async for line in export_jsonl_async(source.awaited, **arguments)]

    return api.run(collect)
