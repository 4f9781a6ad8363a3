"""The dates of a RAGFlow database: the wall clock of a zone, and the bigint beside each that keeps the milliseconds."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from conversation_store import ConversationStore, InvalidArgument
from conversation_store.models import milliseconds
from conversation_store.ragflow._wall_clock import Reading, WallClock
from support import ragflow_layout
from support.both_apis import AsyncApi, SyncApi
from support.ragflow_rows import DATES, NOON, TIME, ZONE, import_and_report

# Clocks in Berlin go from 02:00 to 03:00 on the one day, and from 03:00 to 02:00 on the other.
LEFT_OUT, TWICE = datetime(2024, 3, 31, 2, 30), datetime(2024, 10, 27, 2, 30)
BERLIN = "Europe/Berlin"


def utc(month: int, day: int, hour: int, minute: int = 0, microsecond: int = 0) -> datetime:
    return datetime(2024, month, day, hour, minute, 0, microsecond, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["UTC", ZONE, BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_date_is_the_instant_that_postgresql_reads_in_the_zone(zone: str, db: str) -> None:
    # Every twenty minutes of two years: each change of the clocks, and the hours around it.
    dates = [datetime(2023, 1, 1) + timedelta(minutes=20 * n) for n in range(2 * 365 * 24 * 3)]
    with psycopg.connect(db) as connection:
        rows = connection.execute(
            "SELECT d, d AT TIME ZONE %s FROM unnest(%s::timestamp[]) AS d", [zone, dates]
        ).fetchall()
    clock = WallClock("time_zone", zone)
    assert [clock.read("create", date, None) for date, _ in rows] == [Reading(there) for _, there in rows]


def test_an_hour_that_comes_twice_is_the_one_that_the_bigint_says() -> None:
    clock = WallClock("time_zone", BERLIN)
    first, second = utc(10, 27, 0, 30), utc(10, 27, 1, 30)
    assert clock.read("create", TWICE, None) == Reading(second)
    for instant in (first, second):
        there = instant + timedelta(milliseconds=250)
        assert clock.read("create", TWICE, milliseconds(there)) == Reading(there)
        # Of neighbouring seconds the date counts, in the hour of the bigint.
        assert clock.read("create", TWICE, milliseconds(instant) - 250) == Reading(instant)
        assert clock.read("create", TWICE, milliseconds(instant) + 60_000).conflict


def test_an_hour_that_is_left_out_is_the_one_that_the_bigint_says() -> None:
    clock = WallClock("time_zone", BERLIN)
    usual, other = utc(3, 31, 1, 30), utc(3, 31, 0, 30)
    assert clock.read("create", LEFT_OUT, None) == Reading(usual)
    for instant in (usual, other):
        assert clock.read("create", LEFT_OUT, milliseconds(instant)) == Reading(instant)


def test_the_milliseconds_of_a_bigint_that_shows_the_same_second_are_kept() -> None:
    clock = WallClock("time_zone", ZONE)
    noon = utc(1, 31, 4)
    for more in (0, 1, 123, 999):
        there = noon + timedelta(milliseconds=more)
        assert clock.read("create", NOON, milliseconds(there)) == Reading(there)
    for apart in (-1_000, -1, 1_000):
        assert clock.read("create", NOON, milliseconds(noon) + apart) == Reading(noon)
    for apart in (-1_001, 1_001):
        read = clock.read("update", NOON, milliseconds(noon) + apart)
        assert read.instant == noon
        assert read.conflict.startswith("update_date is 2024-01-31 04:00:00+00:00, update_time is 2024-01-31 0")


def test_a_date_with_a_fraction_of_its_own_is_kept() -> None:
    clock = WallClock("time_zone", ZONE)
    date = NOON + timedelta(microseconds=123_456)
    assert clock.read("create", date, TIME) == Reading(utc(1, 31, 4, 0, 123_456))
    assert clock.read("create", date, None) == Reading(utc(1, 31, 4, 0, 123_456))


def test_sessions_of_one_second_keep_their_order(api: SyncApi | AsyncApi, database: str) -> None:
    ragflow_layout.create(database)
    ragflow_layout.insert(database, "dialog", [DATES | {"id": "d", "tenant_id": "t"}])
    times = {"a": TIME + 20, "b": TIME, "c": TIME + 10}
    rows = [DATES | {"id": id, "dialog_id": "d", "create_time": time} for id, time in times.items()]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    import_and_report(api, database, database)
    with ConversationStore(database) as store:
        _, sessions = store.conversations.get_list("d", "t", orderby="create_date", desc=False)
        assert [session.id for session in sessions] == ["b", "c", "a"]
        assert [session.create_time for session in sessions] == sorted(times.values())


def test_where_python_has_no_table_of_the_zone_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(key: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    with pytest.raises(InvalidArgument, match=f"time_zone is '{ZONE}', .*pip install tzdata"):
        WallClock("time_zone", ZONE)
    assert WallClock("time_zone", "UTC").read("create", NOON, None) == Reading(NOON.replace(tzinfo=UTC))
