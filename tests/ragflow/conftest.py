"""The services under their old names, on the database that all tests share; and an empty database to import in MySQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from typing import Any

import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow import _settings
from conversation_store.ragflow import services as module
from conversation_store.ragflow.services import API4ConversationService
from support import ragflow_mysql
from support.mysql import MySql, mysql_database

ZONE = "Asia/Shanghai"


@pytest.fixture(scope="session")
def configured(db: str) -> Generator[ConversationStore]:
    """Give the store that the services use."""
    with ConversationStore(db) as store:
        yield store


@pytest.fixture
def configure(configured: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that configures the services anew; they are configured with the zone of the tests."""
    monkeypatch.setattr(_settings, "_settings", None)

    def configure(**options: Any) -> None:
        given: dict[str, Any] = {"time_zone": ZONE, **options}
        module.configure(configured, **given)

    configure()
    return configure


@pytest.fixture
def told(configure: Callable[..., None], tenant: str) -> list[tuple[str, str]]:
    """Configure the services with an owner of every dialog, the tenant of the test; give what they tell of repairs."""
    told: list[tuple[str, str]] = []
    configure(owner_of=lambda _: tenant, on_repair=lambda path, what: told.append((path, what)))
    return told


@pytest.fixture
def agent(configured: ConversationStore, tenant: str) -> str:
    """Give the id of a new dialog of the tenant."""
    return configured.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


@pytest.fixture
def session(configure: Callable[..., None], agent: str) -> str:
    """Give the id of a new session of the dialog, with one message."""
    id = uuid.uuid4().hex
    message = [{"role": "assistant", "content": "Hello"}]
    assert API4ConversationService.save(id=id, dialog_id=agent, user_id="u", message=message, reference=[]) == 1
    return id


@pytest.fixture
def old_mysql(mysql: MySql) -> Generator[str]:
    """Give the name of a database in MySQL with the tables of RAGFlow."""
    with mysql_database(mysql) as name:
        ragflow_mysql.create(mysql, name)
        yield name
