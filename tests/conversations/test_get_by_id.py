"""`conversations.get_by_id`: one conversation with everything in it."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import AmbiguousId, Conversation
from support.both_apis import AsyncApi, SyncApi
from support.stored import FULL


def test_every_field_is_returned(store: Any, dialog: str, tenant: str) -> None:
    id = uuid.uuid4().hex
    store.conversations.save(id=id, dialog_id=dialog, **FULL)
    read = store.conversations.get_by_id(id)
    assert asdict(read) == {"id": id, "dialog_id": dialog, "tenant_id": tenant, **FULL, "revision": 0}


def test_dates_are_returned_in_utc_and_in_milliseconds(store: Any, dialog: str) -> None:
    saved = store.conversations.save(
        dialog_id=dialog, create_date="2024-01-01T12:00:00.123456+08:00", update_date="2024-01-02"
    )
    read = store.conversations.get_by_id(saved.id)
    assert read.create_date.utcoffset() == read.update_date.utcoffset() == timedelta(0)
    assert (read.create_time, read.update_time) == (1704081600123, 1704153600000)


def test_an_id_given_as_int_is_its_decimal_text(store: Any, dialog: str) -> None:
    number = uuid.uuid4().int % 10**18
    saved = store.conversations.save(id=str(number), dialog_id=dialog)
    assert store.conversations.get_by_id(number) == saved


def test_a_uuid_is_its_32_hex_digits(store: Any, dialog: str) -> None:
    id = uuid.uuid4()
    saved = store.conversations.save(id=id.hex, dialog_id=dialog)
    assert store.conversations.get_by_id(id) == saved


def test_an_unknown_id_returns_none(store: Any) -> None:
    assert store.conversations.get_by_id("nowhere") is None


def test_a_lost_connection_raises_and_does_not_return_none(api: SyncApi | AsyncApi, db: str) -> None:
    name = uuid.uuid4().hex
    with (
        api.connect(make_conninfo(db, application_name=name), autocommit=True) as connection,
        api.store(connection=connection) as store,
        psycopg.connect(db, autocommit=True) as admin,
    ):
        assert store.conversations.get_by_id("x") is None
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
        assert admin.execute(ended, [name]).fetchall() == [(True,)]
        with pytest.raises(psycopg.OperationalError):
            store.conversations.get_by_id("x")


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_a_conversation_of_another_dialog_than_the_given_one_returns_none(store: Any, dialog: str, tenant: str) -> None:
    other = store.dialogs.save(id="other" + dialog, tenant_id=tenant).id
    id = store.conversations.save(dialog_id=dialog).id
    assert store.conversations.get_by_id(id, dialog_id=other) is None


def test_a_conversation_of_the_given_dialog_is_returned(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    assert store.conversations.get_by_id(saved.id, dialog_id=dialog) == saved


def test_an_id_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match=f"^two tenants have a conversation '{equal_ids[0].id}': give tenant_id"):
        store.conversations.get_by_id(equal_ids[0].id)


def test_of_an_id_that_two_tenants_have_the_conversation_of_the_given_one_is_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for saved in equal_ids:
        assert store.conversations.get_by_id(saved.id, tenant_id=saved.tenant_id) == saved
        assert store.for_tenant(saved.tenant_id).conversations.get_by_id(saved.id) == saved


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, tenant: str) -> None:
    own = "conversation.get_by_id"
    assert statements_of(lambda s: s.conversations.get_by_id("x")) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.get_by_id("x", tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_by_id("x")) == [own]
