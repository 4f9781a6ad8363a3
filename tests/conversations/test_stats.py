"""`conversations.stats`: a tenant's conversations summarised by day."""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from conversation_store import (
    NO_SOURCE,
    Conversation,
    ConversationStore,
    DailyStats,
    InvalidArgument,
    InvalidArgumentType,
)
from support.statements import store_without_server

ROWS: list[tuple[int, str, str | None, int, int]] = [
    (2, "a", "web", 10, 1),
    (2, "a", "api", 20, 2),
    (1, "", None, 5, 0),
    (2, "b", "web", 1, 5),
    (4, "a", "web", 2**40, 1),
]


@pytest.fixture(scope="module")
def summarised(db: str) -> str:
    """Save conversations of three days for two tenants; return one of the tenants."""
    tenants = uuid.uuid4().hex, uuid.uuid4().hex
    with ConversationStore(db, min_size=1, max_size=1) as store:
        store.dialogs.insert_many([{"id": f"dialog of {tenant}", "tenant_id": tenant} for tenant in tenants])
        store.conversations.insert_many(
            {
                "dialog_id": f"dialog of {tenant}",
                "user_id": user,
                "source": source,
                "tokens": tokens,
                "duration": 0.5,
                "round": round,
                "thumb_up": 1,
                "create_date": datetime(2024, 1, day, 12, tzinfo=UTC),
            }
            for day, user, source, tokens, round in ROWS
            for tenant in tenants
        )
    return tenants[0]


def per_day(stats: list[DailyStats]) -> list[tuple[int, int]]:
    """Return the day of the month and the number of conversations of each day."""
    return [(day.dt.day, day.pv) for day in stats]


def test_the_tenants_days_with_conversations_are_summarised_in_order(store: Any, summarised: str) -> None:
    assert store.conversations.stats(summarised, "2024-01-01", "2024-01-31") == [
        DailyStats(dt=date(2024, 1, 1), pv=1, uv=1, tokens=5, duration=0.5, round=0.0, thumb_up=1),
        DailyStats(dt=date(2024, 1, 2), pv=3, uv=2, tokens=31, duration=1.5, round=8 / 3, thumb_up=3),
        DailyStats(dt=date(2024, 1, 4), pv=1, uv=1, tokens=2**40, duration=0.5, round=1.0, thumb_up=1),
    ]


def test_fill_adds_the_days_without_conversations_as_zeros(store: Any, summarised: str) -> None:
    stats = store.conversations.stats(summarised, "2024-01-02", "2024-01-04", fill=True)
    assert per_day(stats) == [(2, 3), (3, 0), (4, 1)]
    assert stats[1] == DailyStats(dt=date(2024, 1, 3), pv=0, uv=0, tokens=0, duration=0.0, round=0.0, thumb_up=0)


@pytest.mark.parametrize(("source", "expected"), [("web", [(2, 2), (4, 1)]), ("api", [(2, 1)]), ("nothing", [])])
def test_a_source_narrows_to_its_conversations(
    store: Any, summarised: str, source: str, expected: list[tuple[int, int]]
) -> None:
    assert per_day(store.conversations.stats(summarised, "2024-01-01", "2024-01-04", source)) == expected


@pytest.mark.parametrize("source", [None, ""])
def test_an_empty_source_is_no_filter(store: Any, summarised: str, source: str | None) -> None:
    found = store.conversations.stats(summarised, "2024-01-01", "2024-01-04", source)
    assert per_day(found) == [(1, 1), (2, 3), (4, 1)]


def test_no_source_narrows_to_conversations_whose_source_is_none_or_empty(store: Any, tenant: str, dialog: str) -> None:
    other_tenant = f"other {tenant}"
    store.dialogs.save(id=dialog, tenant_id=other_tenant)
    for owner in (tenant, other_tenant):
        for source, tokens in ((None, 1), ("", 2), ("web", 4), (" ", 8)):
            store.conversations.save(
                dialog_id=dialog, tenant_id=owner, source=source, tokens=tokens, create_date="2024-01-01"
            )
    days = {"from_date": "2024-01-01", "to_date": "2024-01-01"}
    for stats in (
        store.conversations.stats(tenant, **days, source=NO_SOURCE),
        store.conversations.stats(tenant, "2024-01-01", "2024-01-01", NO_SOURCE),
        store.for_tenant(tenant).conversations.stats(**days, source=NO_SOURCE),
        store.for_tenant(tenant).conversations.stats(**days, source=copy.deepcopy(NO_SOURCE)),
    ):
        assert [(day.pv, day.tokens) for day in stats] == [(2, 3)]
    every = store.conversations.stats(tenant, **days, source=None)
    assert [(day.pv, day.tokens) for day in every] == [(4, 15)]


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.conversations.save(dialog_id="d", tenant_id="t", source=NO_SOURCE),
        lambda s: s.conversations.append_message("c", {"source": NO_SOURCE}, tenant_id="t"),
        lambda s: s.conversations.update_many_by_id([{"id": "c", "source": NO_SOURCE}], tenant_id="t"),
        lambda s: s.conversations.save(dialog_id="d", tenant_id="t", message=[NO_SOURCE]),
        lambda s: s.tokens.issue(tenant_id="t", source=NO_SOURCE),
        lambda s: s.tokens.update_by_id(1, {"source": NO_SOURCE}, tenant_id="t"),
    ],
)
def test_no_source_raises_an_invalid_argument_type_anywhere_else(call: Any) -> None:
    for repair_json in (False, True):
        with pytest.raises(InvalidArgumentType, match=r"source|message"):
            call(store_without_server(repair_json=repair_json))


def test_an_unknown_tenant_has_no_days(store: Any) -> None:
    assert store.conversations.stats("nobody", "2024-01-01", "2024-01-04") == []


def test_a_range_that_ends_before_it_begins_has_no_days(store: Any, summarised: str) -> None:
    assert store.conversations.stats(summarised, "2024-01-04", "2024-01-01") == []


@pytest.mark.parametrize(
    ("from_date", "to_date", "expected"),
    [
        ("2024-01-02T12:00Z", "2024-01-04T12:00Z", [(2, 3), (4, 1)]),
        ("2024-01-02T12:00Z", "2024-01-04T11:59:59.999999Z", [(2, 3)]),
        ("2024-01-02T12:00:00.000001Z", "2024-01-04T12:00Z", [(4, 1)]),
    ],
)
def test_instants_cut_the_first_and_the_last_day(
    store: Any, summarised: str, from_date: str, to_date: str, expected: list[tuple[int, int]]
) -> None:
    assert per_day(store.conversations.stats(summarised, from_date, to_date)) == expected


@pytest.mark.parametrize(
    ("to_date", "expected"),
    [
        ("2024-03-05 23:59:59", 1),
        ("2024-03-05T23:59", 1),
        ("2024-03-06T07:59:59+08:00", 1),
        ("2024-03-05T23:59:59.4Z", 1),
        ("2024-03-05T23:59:59.399Z", 0),
        (datetime(2024, 3, 5, 23, 59, 59), 0),
    ],
)
def test_a_to_date_of_a_whole_minute_or_second_covers_it(
    store: Any, tenant: str, dialog: str, to_date: Any, expected: int
) -> None:
    store.conversations.save(dialog_id=dialog, create_date="2024-03-05T23:59:59.400Z")
    assert len(store.conversations.stats(tenant, "2024-03-05 00:00:00", to_date)) == expected


def test_days_of_23_and_25_hours_hold_their_conversations(store: Any, tenant: str, dialog: str) -> None:
    store.conversations.insert_many(
        {"dialog_id": dialog, "create_date": start + timedelta(hours=hour)}
        for start in (datetime(2024, 3, 30, tzinfo=UTC), datetime(2024, 10, 26, tzinfo=UTC))
        for hour in range(72)
    )
    spring = store.conversations.stats(tenant, "2024-03-31", "2024-04-01", time_zone="Europe/Paris", fill=True)
    autumn = store.conversations.stats(tenant, "2024-10-27", "2024-10-27", time_zone="Europe/Paris")
    assert [(day.dt, day.pv) for day in spring + autumn] == [
        (date(2024, 3, 31), 23),
        (date(2024, 4, 1), 24),
        (date(2024, 10, 27), 25),
    ]


def test_a_range_of_3660_days_is_summarised(store: Any, tenant: str) -> None:
    first = date(2014, 1, 1)
    stats = store.conversations.stats(tenant, first, first + timedelta(3659), fill=True)
    assert [day.dt for day in stats] == [first + timedelta(number) for number in range(3660)]


def test_a_range_of_3661_days_raises(store: Any, tenant: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^to_date must be less than 3660 days after from_date"):
        store.conversations.stats(tenant, date(2014, 1, 1), date(2014, 1, 1) + timedelta(3660))


def test_sums_of_the_largest_numbers_overflow_nothing(store: Any, tenant: str, dialog: str) -> None:
    largest = {"tokens": 2**63 - 1, "duration": 1e15, "thumb_up": 2**31 - 1, "round": 2**31 - 1}
    least = {"tokens": -(2**63), "duration": -1e15, "thumb_up": -(2**31), "round": -(2**31)}
    for day, fields in ((1, largest), (2, least)):
        store.conversations.insert_many(
            {"dialog_id": dialog, "create_date": f"2024-01-0{day}", **fields} for _ in range(1_000)
        )
    first, second = store.conversations.stats(tenant, "2024-01-01", "2024-01-02")
    assert (first.tokens, first.thumb_up) == (1_000 * (2**63 - 1), 1_000 * (2**31 - 1))
    assert (first.duration, first.round) == (1e18, 2.0**31 - 1)
    assert (second.tokens, second.duration, second.thumb_up) == (-1_000 * 2**63, -1e18, -1_000 * 2**31)
    assert {type(day.tokens) for day in (first, second)} == {int}


def test_the_dates_may_be_given_by_keyword(store: Any, summarised: str) -> None:
    days = {"from_date": "2024-01-01", "to_date": date(2024, 1, 2)}
    expected = [(1, 1), (2, 3)]
    assert per_day(store.conversations.stats(tenant_id=summarised, **days)) == expected
    assert per_day(store.for_tenant(summarised).conversations.stats(**days)) == expected


@pytest.mark.parametrize(
    ("given", "missing"),
    [({}, "from_date"), ({"to_date": "2024-01-02"}, "from_date"), ({"from_date": date.min}, "to_date")],
)
def test_a_missing_date_raises_invalid_argument(store: Any, tenant: str, given: dict[str, Any], missing: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{missing} must be given$"):
        store.conversations.stats(tenant, **given)


def test_without_a_tenant_it_raises_invalid_argument_that_names_for_tenant(store: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^tenant_id must be given, .*for_tenant\(tenant_id\)"):
        store.conversations.stats(from_date="2024-01-01", to_date="2024-01-02")


def test_conversations_with_equal_ids_are_summarised_for_their_own_tenant(
    store: Any, equal_ids: list[Conversation]
) -> None:
    one, two = equal_ids
    store.conversations.append_round(two.id, [], tokens=5, tenant_id=two.tenant_id)
    tokens = [store.conversations.stats(c.tenant_id, "2024-01-01", "2024-01-01")[0].tokens for c in (one, two)]
    assert tokens == [0, 5]
