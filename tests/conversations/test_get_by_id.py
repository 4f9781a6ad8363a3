"""`conversations.get_by_id`: one conversation with everything in it."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from support.both_apis import AsyncApi, SyncApi
from support.stored import FULL


def test_every_field_is_returned(store: Any, dialog: str, tenant: str) -> None:
    id = uuid.uuid4().hex
    store.conversations.save(id=id, dialog_id=dialog, **FULL)
    read = store.conversations.get_by_id(id)
    assert asdict(read) == {"id": id, "dialog_id": dialog, "tenant_id": tenant, **FULL}


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


def test_an_unknown_id_returns_none(store: Any) -> None:
    assert store.conversations.get_by_id("nowhere") is None


def test_a_lost_connection_raises_and_does_not_return_none(api: SyncApi | AsyncApi, db: str) -> None:
    name = uuid.uuid4().hex
    with (
        api.store(make_conninfo(db, application_name=name), min_size=1, max_size=1, timeout=0.5) as store,
        psycopg.connect(db, autocommit=True) as admin,
    ):
        assert store.conversations.get_by_id("x") is None
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
        assert admin.execute(ended, [name]).fetchall() == [(True,)]
        with pytest.raises(psycopg.OperationalError):
            store.conversations.get_by_id("x")
