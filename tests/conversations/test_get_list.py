"""`conversations.get_list`: pages of a dialog's conversations with their total."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest

from conversation_store import NOT_READ, Conversation, ConversationStore, InvalidArgument, Page
from conversation_store._pagination import OrderBy

ORDERS: tuple[str, ...] = get_args(OrderBy)


def save_in_new_dialog(db: str, rows: list[dict[str, Any]]) -> list[Conversation]:
    """Save conversations in a new dialog of a new tenant; return them in the order of the rows."""
    dialog = uuid.uuid4().hex
    ids = [uuid.uuid4().hex for _ in rows]
    with ConversationStore(db, min_size=1, max_size=1) as store:
        store.dialogs.save(id=dialog, tenant_id=uuid.uuid4().hex)
        store.conversations.insert_many(
            {"id": id, "dialog_id": dialog, **row} for id, row in zip(ids, rows, strict=True)
        )
        saved = {conversation.id: conversation for conversation in store.conversations.get_by_ids(ids)}
    return [saved[id] for id in ids]


def get_list(store: Any, saved: list[Conversation], *args: Any, **arguments: Any) -> Any:
    """Return a page of the dialog that the conversations were saved in."""
    return store.conversations.get_list(saved[0].dialog_id, saved[0].tenant_id, *args, **arguments)


@pytest.fixture(scope="module")
def saved(db: str) -> list[Conversation]:
    """Save 25 conversations in which every field has ties, and a name may be missing."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return save_in_new_dialog(
        db,
        [
            {
                "name": None if i % 5 == 0 else f"name {i % 3}",
                "user_id": f"u{i % 2}",
                "exp_user_id": "e" if i % 10 == 3 else None,
                "tokens": i % 4,
                "duration": i % 3 / 2,
                "round": i % 6,
                "thumb_up": i % 2,
                "create_date": start + timedelta(hours=i // 2),
                "update_date": start + timedelta(hours=(i * 7) % 10),
                "message": [{"content": f"message {i}"}],
                "dsl": {"i": i},
            }
            for i in range(25)
        ],
    )


@pytest.mark.parametrize("desc", [True, False])
@pytest.mark.parametrize("orderby", ORDERS)
def test_pages_hold_each_conversation_once_in_every_order(
    store: Any, saved: list[Conversation], orderby: str, desc: bool
) -> None:
    pages = [get_list(store, saved, page, 9, orderby, desc) for page in range(1, 5)]
    assert [len(page.sessions) for page in pages] == [9, 9, 7, 0]
    assert {page.count for page in pages} == {25}

    def key(conversation: Conversation) -> tuple[Any, str]:
        value = getattr(conversation, orderby)
        return ("" if value is None else value), conversation.id

    assert [session for page in pages for session in page.sessions] == sorted(saved, key=key, reverse=desc)


def test_the_first_page_has_30_of_the_newest_by_default(store: Any, dialog: str, tenant: str) -> None:
    day = datetime(2024, 1, 1, tzinfo=UTC)
    ids = [f"{dialog}{number}" for number in range(31)]
    store.conversations.insert_many(
        {"id": id, "dialog_id": dialog, "create_date": day + timedelta(days=number)} for number, id in enumerate(ids)
    )
    count, sessions = store.conversations.get_list(dialog, tenant)
    assert (count, [session.id for session in sessions]) == (31, ids[:0:-1])


@pytest.mark.parametrize("desc", [True, False])
def test_a_missing_name_is_ordered_as_an_empty_one(store: Any, dialog: str, tenant: str, desc: bool) -> None:
    ids = sorted(uuid.uuid4().hex for _ in range(3))
    store.conversations.insert_many(
        {"id": id, "dialog_id": dialog, "name": name} for id, name in zip(ids, [None, "", "a"], strict=True)
    )
    listed = store.conversations.get_list(dialog, tenant, orderby="name", desc=desc).sessions
    assert [session.id for session in listed] == sorted(ids, reverse=desc)


@pytest.mark.parametrize(("page_number", "items_per_page"), [(1, 0), (10**15, 1000)])
def test_an_empty_page_has_the_total(
    store: Any, saved: list[Conversation], page_number: int, items_per_page: int
) -> None:
    assert get_list(store, saved, page_number, items_per_page) == Page(25, [])


def test_an_unknown_dialog_is_empty(store: Any, tenant: str) -> None:
    assert store.conversations.get_list("nowhere", tenant) == Page(0, [])


@pytest.mark.parametrize("by_id", [False, True])
@pytest.mark.parametrize("keywords", ["", "message", "name"])
def test_a_dialog_of_another_tenant_is_empty(store: Any, saved: list[Conversation], keywords: str, by_id: bool) -> None:
    id = saved[1].id if by_id else None
    found = store.conversations.get_list(saved[0].dialog_id, "foreign", id=id, keywords=keywords)
    assert found == Page(0, [])


def test_a_dialog_that_two_tenants_have_is_listed_for_the_given_one(store: Any, equal_ids: list[Conversation]) -> None:
    for kept in equal_ids:
        assert store.conversations.get_list(kept.dialog_id, kept.tenant_id) == Page(1, [kept])
        assert store.for_tenant(kept.tenant_id).conversations.get_list(kept.dialog_id) == Page(1, [kept])


def test_a_search_in_a_dialog_that_two_tenants_have_finds_messages_of_the_given_one(
    store: Any, equal_ids: list[Conversation]
) -> None:
    one, two = equal_ids
    assert store.conversations.get_list(one.dialog_id, one.tenant_id, keywords=one.tenant_id) == Page(1, [one])
    assert store.conversations.get_list(two.dialog_id, two.tenant_id, keywords=one.tenant_id) == Page(0, [])


def test_without_a_tenant_it_raises_invalid_argument_that_names_for_tenant(store: Any, dialog: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^tenant_id must be given, .*for_tenant\(tenant_id\)"):
        store.conversations.get_list(dialog)


# -- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"user_id": "u1"}, range(1, 25, 2)),
        ({"exp_user_id": "e"}, [3, 13, 23]),
        ({"exp_user_id": "nobody"}, []),
        ({"id": " "}, []),
        ({"keywords": " "}, range(25)),  # every message has a blank
        ({"keywords": "MESSAGE 11"}, [11]),
        ({"user_id": "u1", "keywords": "MESSAGE 11"}, [11]),
        ({"user_id": "u0", "keywords": "MESSAGE 11"}, []),
        ({"user_id": "u0", "exp_user_id": "e"}, []),
    ],
)
def test_only_conversations_that_match_every_filter_are_listed(
    store: Any, saved: list[Conversation], filters: dict[str, str], expected: list[int]
) -> None:
    page = get_list(store, saved, orderby="create_date", desc=False, **filters)
    assert page.count == len(expected)
    assert {session.id for session in page.sessions} == {saved[number].id for number in expected}


@pytest.mark.parametrize(("user_id", "expected"), [(None, [1]), ("u1", [1]), ("u0", [])])
def test_an_id_narrows_to_one_that_matches_the_other_filters(
    store: Any, saved: list[Conversation], user_id: str | None, expected: list[int]
) -> None:
    found = get_list(store, saved, id=saved[1].id, user_id=user_id)
    assert found == Page(len(expected), [saved[number] for number in expected])


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_filter_is_no_filter(store: Any, saved: list[Conversation], empty: str | None) -> None:
    names = ("id", "user_id", "exp_user_id", "keywords", "from_date", "to_date")
    assert get_list(store, saved, **dict.fromkeys(names, empty)).count == 25


@pytest.mark.parametrize("include_dsl", [True, False])
def test_the_dsl_is_not_read_unless_it_is_included(store: Any, saved: list[Conversation], include_dsl: bool) -> None:
    (session,) = get_list(store, saved, id=saved[7].id, include_dsl=include_dsl).sessions
    assert session.dsl == ({"i": 7} if include_dsl else NOT_READ)
    assert ("dsl" in session.to_dict()) == include_dsl


def test_a_stored_null_is_a_dsl_of_none_when_it_is_included(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.save(dialog_id=dialog, dsl=None)
    (session,) = store.conversations.get_list(dialog, tenant).sessions
    assert session.dsl is None
    assert session.to_dict()["dsl"] is None


# -- dates --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dated(db: str) -> list[Conversation]:
    """Save a conversation at the start, in the middle and at the end of a day, and one at the start of the next."""
    moments = ["2024-01-01", "2024-01-01T12:00:00", "2024-01-01T23:59:59.999999", "2024-01-02"]
    return save_in_new_dialog(db, [{"create_date": moment, "update_date": "2030-01-01"} for moment in moments])


@pytest.mark.parametrize(
    ("from_date", "to_date", "expected"),
    [
        ("2024-01-01", "2024-01-01", [0, 1, 2]),
        (date(2024, 1, 1), date(2024, 1, 1), [0, 1, 2]),
        ("2024-01-01T12:00:00Z", None, [1, 2, 3]),
        ("2024-01-01 12:00:00+00:00", None, [1, 2, 3]),
        ("2024-01-01T12:00:00.000001Z", None, [2, 3]),
        ("2024-01-01T20:00+08:00", "2024-01-02T07:59:59.999999+08:00", [1, 2]),
        (None, datetime(2024, 1, 1, 12, tzinfo=UTC), [0, 1]),
        (None, datetime(2024, 1, 1, 12), [0, 1]),
        (None, "2024-01-01T11:59:59.999999", [0]),
        (None, "2024-01-01T11:59:59", [0]),
        (None, "2024-01-01 23:59:59", [0, 1, 2]),
        (None, "2024-01-01T23:59", [0, 1, 2]),
        (None, "2024-01-01T23:59:59.999Z", [0, 1, 2]),
        (None, "2024-01-01T23:59:59.99999", [0, 1, 2]),
        (None, "2024-01-02T08:59:59+09:00", [0, 1, 2]),
        (None, "2024-01-01T23:59:59.999998", [0, 1]),
        (None, datetime(2024, 1, 1, 23, 59, 59), [0, 1]),
        ("0001-01-01", "9999-12-31", [0, 1, 2, 3]),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), [0, 1, 2, 3]),
        ("2024-01-02", "2024-01-01", []),
    ],
)
def test_dates_are_inclusive_days_or_instants(
    store: Any, dated: list[Conversation], from_date: Any, to_date: Any, expected: list[int]
) -> None:
    found = get_list(store, dated, desc=False, from_date=from_date, to_date=to_date)
    assert found == Page(len(expected), [dated[number] for number in expected])


@pytest.mark.parametrize(("day", "expected"), [("2030-01-01", 4), ("2024-01-01", 0)])
def test_dates_apply_to_the_date_field(store: Any, dated: list[Conversation], day: str, expected: int) -> None:
    found = get_list(store, dated, from_date=day, to_date=day, date_field="update_date")
    assert found.count == expected


@pytest.fixture(scope="module")
def hourly(db: str) -> list[Conversation]:
    """Save a conversation of each hour of two days; in Paris, the second is one of 23 hours."""
    start = datetime(2024, 3, 30, tzinfo=UTC)
    return save_in_new_dialog(db, [{"create_date": start + timedelta(hours=hour)} for hour in range(48)])


@pytest.mark.parametrize(
    ("time_zone", "expected"),
    [("UTC", range(24, 48)), ("Europe/Paris", range(23, 46)), ("Asia/Shanghai", range(16, 40))],
)
def test_a_day_is_that_of_the_time_zone(
    store: Any, hourly: list[Conversation], time_zone: str, expected: range
) -> None:
    day = "2024-03-31"
    found = get_list(store, hourly, desc=False, from_date=day, to_date=day, time_zone=time_zone)
    assert found == Page(len(expected), [hourly[number] for number in expected])


def test_an_instant_without_an_offset_is_in_the_time_zone(store: Any, hourly: list[Conversation]) -> None:
    assert get_list(store, hourly, from_date="2024-03-31T00:00", time_zone="Asia/Shanghai").count == 32


# -- totals -------------------------------------------------------------------------------------


def test_an_exact_total_counts_beyond_the_total_limit(store: Any, saved: list[Conversation]) -> None:
    page = get_list(store, saved, items_per_page=5, total="exact", total_limit=3)
    assert (page.count, len(page.sessions)) == (25, 5)


@pytest.mark.parametrize(("total_limit", "expected"), [(0, 0), (3, 3), (24, 24), (25, 25), (26, 25)])
def test_a_capped_total_counts_up_to_the_total_limit(
    store: Any, saved: list[Conversation], total_limit: int, expected: int
) -> None:
    page = get_list(store, saved, items_per_page=5, total="capped", total_limit=total_limit)
    assert (page.count, len(page.sessions)) == (expected, 5)


def test_a_capped_total_of_a_search_counts_up_to_the_total_limit(store: Any, saved: list[Conversation]) -> None:
    page = get_list(store, saved, items_per_page=5, keywords="message", total="capped", total_limit=3)
    assert (page.count, len(page.sessions)) == (3, 5)


def test_an_empty_page_has_the_capped_total(store: Any, saved: list[Conversation]) -> None:
    assert get_list(store, saved, 100, total="capped", total_limit=3) == Page(3, [])


def test_a_total_that_is_not_counted_is_minus_one(store: Any, saved: list[Conversation]) -> None:
    page = get_list(store, saved, items_per_page=5, total="none")
    assert (page.count, len(page.sessions)) == (-1, 5)


def test_a_total_that_is_not_counted_is_minus_one_where_nothing_matches(store: Any, saved: list[Conversation]) -> None:
    assert store.conversations.get_list(saved[0].dialog_id, "foreign", total="none") == Page(-1, [])
