"""Conversations on sessions with a time zone, a date style and a precision of their own."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from support.both_apis import AsyncApi, SyncApi

OPTIONS = "-c timezone=Pacific/Auckland -c datestyle=German,DMY -c extra_float_digits=-5 -c intervalstyle=sql_standard"


@pytest.fixture
def other(api: SyncApi | AsyncApi, db: str) -> Generator[Any]:
    """Give a store whose sessions have other settings."""
    with api.store(make_conninfo(db, options=OPTIONS)) as other:
        yield other


@pytest.mark.one_server("a coordinator sends dates to the workers in the DateStyle of the session, which must be ISO")
def test_a_date_without_an_offset_is_stored_in_utc(other: Any, dialog: str) -> None:
    saved = other.conversations.save(dialog_id=dialog, create_date="2024-02-03T01:02:03.456789")
    assert saved.create_date == datetime(2024, 2, 3, 1, 2, 3, 456789, tzinfo=UTC)


@pytest.mark.one_server("a coordinator sends dates to the workers in the DateStyle of the session, which must be ISO")
def test_dates_and_durations_are_read_alike_on_both_sessions(store: Any, other: Any, dialog: str) -> None:
    saved = other.conversations.save(dialog_id=dialog, create_date="2024-02-03", duration=0.1234567890123456)
    assert saved.duration == 0.1234567890123456
    assert other.conversations.get_by_id(saved.id) == store.conversations.get_by_id(saved.id) == saved


@pytest.mark.one_server("a coordinator sends dates to the workers in the DateStyle of the session, which must be ISO")
def test_a_day_is_that_of_utc_in_get_list_and_stats(store: Any, other: Any, dialog: str, tenant: str) -> None:
    for instant in ("2024-02-02T23:59:59", "2024-02-03T01:02:03", "2024-02-04"):
        store.conversations.save(dialog_id=dialog, create_date=instant)
    day = "2024-02-03"
    assert other.conversations.get_list(dialog, tenant, from_date=day, to_date=day).count == 1
    stats = other.conversations.stats(tenant, day, day)
    assert [(of.dt, of.pv) for of in stats] == [(date(2024, 2, 3), 1)]
