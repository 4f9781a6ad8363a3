"""The calls that the services were made for, exactly as their callers write them."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any

import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow import _settings, services
from conversation_store.ragflow.services import API4ConversationService, APITokenService


@pytest.fixture(autouse=True)
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Generator[ConversationStore]:
    """Give a store with a token and the sessions of a dialog, on which the services are configured."""
    monkeypatch.setattr(_settings, "_settings", None)
    with ConversationStore(database) as store:
        services.configure(store, time_zone="Asia/Shanghai")
        store.dialogs.save(id=123, tenant_id=1)
        APITokenService.save(tenant_id=1, token="abc123token")
        for id, user_id, text, date in [
            (42, 456, "Hello there", "2024-01-31T23:59:59.999999+08:00"),
            (43, 456, "good-bye", "2024-01-02T00:00:00+08:00"),
            (44, 457, "hello again", "2024-01-02T23:59:59+08:00"),
            (45, 456, "hello too late", "2024-02-01T00:00:00+08:00"),
        ]:
            store.conversations.save(
                id=id,
                dialog_id=123,
                user_id=user_id,
                message=[{"role": "user", "content": text}],
                source="web",
                tokens=7,
                dsl={"graph": {}},
                create_date=date,
            )
        yield store


def test_a_use_is_stamped_at_the_call(store: ConversationStore) -> None:
    assert APITokenService.used("abc123token").execute() == 1
    assert store.tokens.query(token="abc123token")[0].use_date is not None
    assert APITokenService.used("another").execute() == 0


def test_a_page_is_a_count_and_dicts() -> None:
    count, sessions = API4ConversationService.get_list(
        dialog_id=123,
        tenant_id=1,
        page_number=1,
        items_per_page=10,
        orderby="create_date",
        desc=True,
        id=None,
        user_id=456,
        include_dsl=False,
        keywords="hello",
        from_date="2024-01-01",
        to_date="2024-01-31",
    )
    assert (count, [session["id"] for session in sessions]) == (1, ["42"])
    assert sessions[0]["create_date"] == datetime(2024, 1, 31, 23, 59, 59)
    assert "dsl" not in sessions[0]


def test_a_message_is_appended() -> None:
    assert API4ConversationService.append_message(42, {"message": "New message content", "tokens": 100}) == 1
    exists, conversation = API4ConversationService.get_by_id(42)
    assert exists
    assert conversation is not None
    assert (conversation.message, conversation.tokens, conversation.round) == ("New message content", 100, 1)
    assert API4ConversationService.append_message(4711, {"message": "New message content", "tokens": 100}) == 0


def test_days_are_counted() -> None:
    days = API4ConversationService.stats(tenant_id=1, from_date="2024-01-01", to_date="2024-01-31", source="web")
    numbers: dict[str, Any] = {"duration": 0.0, "round": 0.0, "thumb_up": 0}
    assert days == [
        {"dt": datetime(2024, 1, 2), "pv": 2, "uv": 2, "tokens": 14, **numbers},
        {"dt": datetime(2024, 1, 31), "pv": 1, "uv": 1, "tokens": 7, **numbers},
    ]
