"""How the services under their names in RAGFlow are configured, and what an outage does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from conversation_store import (
    AsyncConversationStore,
    ConversationStore,
    InvalidArgument,
    InvalidArgumentType,
    StoreError,
)
from conversation_store.ragflow import _settings, services
from conversation_store.ragflow.services import API4ConversationService
from support.ragflow_services import Configure, new_id, read


def test_an_outage_is_no_missing_session(configure: Configure) -> None:
    with ConnectionPool("host=127.0.0.1 port=1", min_size=0, max_size=1, timeout=0.3, open=True) as pool:
        services.configure(ConversationStore(pool=pool))
        for call in (
            lambda: API4ConversationService.get_by_id("a"),
            lambda: API4ConversationService.query(id="a"),
            lambda: API4ConversationService.get_or_none(id="a"),
            lambda: API4ConversationService.delete_by_id("a"),
        ):
            with pytest.raises(psycopg.OperationalError):
                call()


def test_a_store_that_cannot_be_opened_is_not_configured(configure: Configure, session: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        services.configure(ConversationStore("host=127.0.0.1 port=1", timeout=0.3))
    assert read(session).id == session


def test_configure_opens_the_store(db: str, configure: Configure) -> None:
    store = ConversationStore(db)
    services.configure(store)
    assert API4ConversationService.get_by_id(new_id()) == (False, None)
    store.close()


def test_services_that_are_not_configured_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_settings, "_settings", None)
    with pytest.raises(StoreError, match="configure"):
        API4ConversationService.get_by_id("a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_zone": "UTC+8"}, "time_zone"),
        ({"owner_of": "me"}, "owner_of"),
        ({"any_tenant": 1}, "any_tenant"),
        ({"stale_writes": "never"}, "stale_writes must be one of raise, allow"),
        ({"on_repair": 1}, "on_repair"),
    ],
)
def test_an_option_that_is_wrong_is_named(configure: Configure, options: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=message):
        configure(**options)


@pytest.mark.slow
def test_a_long_session_is_stored_unless_the_store_has_a_limit_of_its_own(
    db: str, agent: str, session: str, configure: Configure
) -> None:
    # More than the 16 MiB that a store takes by default.
    message = [{"content": "x" * 1_000_000}] * 17
    assert API4ConversationService.append_message(session, {"message": message}) == 1
    with ConversationStore(db, max_json_bytes=1_000) as store:
        services.configure(store)
        with pytest.raises(InvalidArgument, match="1000 bytes"):
            API4ConversationService.append_message(session, {"message": message})


def test_a_store_of_one_connection_is_refused(db: str) -> None:
    with psycopg.connect(db) as connection, pytest.raises(InvalidArgument, match="must have a pool"):
        services.configure(ConversationStore(connection=connection))


def test_a_store_on_asyncio_is_refused() -> None:
    with pytest.raises(InvalidArgumentType, match="ConversationStore"):
        services.configure(AsyncConversationStore("dbname=a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_threads_append_at_once(session: str) -> None:
    with ThreadPoolExecutor(8) as executor:
        done = list(executor.map(lambda n: API4ConversationService.append_message(session, {"tokens": n}), range(40)))
    assert sum(done) == 40
    assert read(session).round == 40
