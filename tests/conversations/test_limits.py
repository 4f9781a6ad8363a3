"""How large the fields of a conversation may be, wherever they are written, and what the server itself refuses."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from conversation_store import InvalidArgument
from support.statements import NoServer, store_without_server

LIMITS: list[tuple[str, Any, Any, str]] = [
    ("name", "检" * 1_000, "检" * 1_001, "must have at most 1000 characters, not 1001"),
    ("version_title", "检" * 1_000, "检" * 1_001, "must have at most 1000 characters, not 1001"),
    ("errors", "检" * 1_000_000, "检" * 1_000_001, "must have at most 1000000 characters, not 1000001"),
    ("duration", 1e15, 1.0000000000000002e15, "must be between -1e15 and 1e15 seconds, not 1000000000000000.2"),
    ("duration", -1e15, float("-1e16"), "must be between -1e15 and 1e15 seconds, not -1e+16"),
]
CALLS: dict[str, Any] = {
    "save": lambda c, fields: c.save(dialog_id="d", **fields),
    "append_message": lambda c, fields: c.append_message("c", fields),
    "update_by_id": lambda c, fields: c.update_by_id("c", fields),
    "update_many_by_id": lambda c, fields: c.update_many_by_id([{"id": "c", **fields}]),
}


@pytest.mark.parametrize(("field", "allowed", "refused", "message"), LIMITS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_field_beyond_its_limit_raises_before_any_sql(
    call: Any, field: str, allowed: Any, refused: Any, message: str
) -> None:
    conversations = store_without_server().conversations
    with pytest.raises(NoServer):
        call(conversations, {field: allowed})
    with pytest.raises(InvalidArgument, match=f"{field}.* {message.replace('+', '.')}$"):
        call(conversations, {field: refused})


@pytest.mark.parametrize(("field", "allowed", "refused", "message"), LIMITS)
def test_what_is_allowed_is_stored_and_read_back(
    store: Any, dialog: str, field: str, allowed: Any, refused: Any, message: str
) -> None:
    saved = store.conversations.save(dialog_id=dialog, **{field: allowed})
    assert getattr(saved, field) == allowed
    with pytest.raises(InvalidArgument, match=rf"^conversations\[1\]\['{field}'\] {message.replace('+', '.')}$"):
        store.conversations.insert_many([{"dialog_id": dialog, field: value} for value in (allowed, refused)])
    assert store.conversations.query(dialog_id=dialog) == [saved]


def test_the_limits_of_an_append_are_the_same() -> None:
    conversations = store_without_server().conversations
    with pytest.raises(InvalidArgument, match=r"^duration must be between -1e15 and 1e15 seconds, not 1e\+16$"):
        conversations.append_round("c", [], duration=1e16)
    with pytest.raises(InvalidArgument, match=r"^errors must have at most 1000000 characters, not 1000001$"):
        conversations.append_round("c", [], errors="e" * 1_000_001)


def test_the_name_of_a_dialog_has_at_most_1000_characters(store: Any, tenant: str) -> None:
    assert store.dialogs.save(id="d", tenant_id=tenant, name="检" * 1_000).name == "检" * 1_000
    message = "must have at most 1000 characters, not 1001$"
    with pytest.raises(InvalidArgument, match=f"^name {message}"):
        store.dialogs.save(id="d", tenant_id=tenant, name="n" * 1_001)
    with pytest.raises(InvalidArgument, match=rf"^dialog\['name'\] {message}"):
        store.dialogs.update_by_id("d", {"name": "n" * 1_001}, tenant_id=tenant)
    with pytest.raises(InvalidArgument, match=rf"^dialogs\[0\]\['name'\] {message}"):
        store.dialogs.insert_many([{"id": "e", "name": "n" * 1_001}], tenant_id=tenant)


@pytest.mark.one_server("the name of a shard's constraint is in its message alone")
@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("dialog SET name = repeat('n', 1001)", "dialog_name_check"),
        ("conversation SET name = repeat('n', 1001)", "conversation_name_check"),
        ("conversation SET version_title = repeat('n', 1001)", "conversation_version_title_check"),
        ("conversation SET duration = 1.1e15", "conversation_duration_check"),
        ("conversation SET duration = 'NaN'", "conversation_duration_check"),
        ("conversation SET duration = '-Infinity'", "conversation_duration_check"),
    ],
)
def test_the_server_refuses_what_others_write_beyond_a_limit(database: str, change: str, constraint: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', 't')")
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id) VALUES ('c', 't', 'd')"
        )
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            connection.execute(f"UPDATE conversation_store.{change}".encode())
    assert caught.value.diag.constraint_name == constraint
