"""The calls that the package was made for, exactly as their callers write them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from conversation_store import NOT_READ
from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def store(api: SyncApi | AsyncApi, database: str) -> Any:
    with api.store(database) as store:
        store.dialogs.save(id=123, tenant_id=1, name="Support")
        store.tokens.save(tenant_id=1, token="abc123token", allow_weak=True)
        for id, user_id, text, day in [
            (42, 456, "Hello there", "2024-01-31T23:59:59.999999"),
            (43, 456, "good-bye", "2024-01-02"),
            (44, 457, "hello again", "2024-01-02"),
            (45, 456, "hello too late", "2024-02-01"),
        ]:
            store.conversations.save(
                id=id,
                dialog_id=123,
                user_id=user_id,
                message=[{"role": "user", "content": text}],
                source="web",
                tokens=7,
                dsl={"graph": {}},
                create_date=day,
            )
        yield store


def test_a_use_of_a_token_is_stamped(store: Any) -> None:
    (before,) = store.tokens.query(tenant_id=1)
    assert store.tokens.used("abc123token") == 1
    (after,) = store.tokens.query(tenant_id=1)
    assert after.update_date > before.update_date
    assert store.tokens.used("another") == 0


def test_a_page_is_listed(store: Any) -> None:
    count, sessions = store.conversations.get_list(
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
    assert count == 1
    assert [session.id for session in sessions] == ["42"]
    assert sessions[0].dsl is NOT_READ


def test_a_message_is_appended(store: Any) -> None:
    assert store.conversations.append_message(42, {"message": "New message content", "tokens": 100}) == 1
    conversation = store.conversations.get_by_id(42)
    assert (conversation.message, conversation.tokens, conversation.round) == ("New message content", 100, 1)
    assert store.conversations.append_message(4711, {"message": "New message content", "tokens": 100}) == 0


def test_days_are_counted(store: Any) -> None:
    days = store.conversations.stats(tenant_id=1, from_date="2024-01-01", to_date="2024-01-31", source="web")
    assert [(day.dt, day.pv, day.uv, day.tokens) for day in days] == [
        (datetime.date(2024, 1, 2), 2, 2, 14),
        (datetime.date(2024, 1, 31), 1, 1, 7),
    ]
