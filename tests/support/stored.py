"""Conversations with every field, of every kind of JSON value and of two tenants, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg

from conversation_store import Conversation

# Every field that save takes, but for the ids.
FULL: dict[str, Any] = {
    "name": "Été",
    "user_id": "u",
    "exp_user_id": "e",
    "message": [
        {"role": "user", "content": "检索 \\ \t\n \\. \x7f \u2028 \U0001f600", "created_at": 1.5},
        None,
        [1, {"a": []}],
        "text",
    ],
    "reference": [{"chunks": [], "doc_aggs": {"z": 1, "a": 2}}],
    "dsl": {"z": 1, "a": [1.0, 1e300, -0.0, 12345678901234567890]},
    "tokens": 2**62,
    "source": "web",
    "duration": 0.1,
    "round": 3,
    "thumb_up": -1,
    "errors": "a\tb\\N\n",
    "version_title": "\\N",
    "create_date": datetime(2024, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
    "update_date": datetime(2024, 1, 2, tzinfo=UTC),
}

JSON_VALUES: list[Any] = [
    [],
    {},
    None,
    "",
    "text",
    '{"a": 1}',
    0,
    -1.5,
    True,
    [None],
    [[]],
    {"role": "user"},
    "\U0001f600",
    list(range(2000)),
]


def positions(conninfo: str, id: str) -> tuple[list[int], list[int]]:
    """Return the positions of the stored messages and references of a conversation, in order."""
    found: list[list[int]] = []
    with psycopg.connect(conninfo) as connection:
        for table in ("conversation_message", "conversation_reference"):
            rows = connection.execute(
                f"SELECT position FROM conversation_store.{table} WHERE conversation_id = %s ORDER BY position", [id]
            )
            found.append([position for (position,) in rows])
    return found[0], found[1]


def save_with_equal_ids(store: Any, id: str) -> list[Conversation]:
    """Store a dialog with a conversation in each of two tenants, all under this id; return the conversations."""
    tenants = f"{id}-a", f"{id}-b"
    for tenant in tenants:
        store.dialogs.save(id=id, tenant_id=tenant)
    return [
        store.conversations.save(
            id=id,
            dialog_id=id,
            tenant_id=tenant,
            exp_user_id="e",
            message=[tenant],
            reference=[tenant],
            dsl={"of": tenant},
            create_date="2024-01-01",
        )
        for tenant in tenants
    ]


def as_stored(store: Any, conversations: Iterable[Conversation]) -> list[Conversation | None]:
    """Return the same conversations as they are stored now, None for one that is not."""
    return [store.conversations.get_by_id(c.id, tenant_id=c.tenant_id) for c in conversations]
