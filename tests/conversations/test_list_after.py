"""`conversations.list_after`: pages of a dialog's conversations, each behind the cursor of the one before."""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_store import NOT_READ, ConversationStore, CursorPage, InvalidArgument, InvalidArgumentType
from conversation_store._pagination import OrderBy
from support.statements import NoServer, store_without_server

ORDERS: tuple[Any, ...] = get_args(OrderBy)
FILTERS: list[dict[str, Any]] = [
    {},
    {"user_id": "u1"},
    {"keywords": "检索"},
    {"keywords": "检"},
    {"exp_user_id": "e"},
    {"from_date": "2024-01-02", "to_date": "2024-01-03", "time_zone": "Asia/Shanghai"},
    {"from_date": "2024-01-02T12:00:00Z", "date_field": "update_date"},
    {"user_id": "nobody"},
]
NUMBER = 41
NOT_MADE_HERE = "^cursor must be a next_cursor, unchanged"


@pytest.fixture(scope="module")
def tied(db: str) -> tuple[str, str]:
    """Save conversations with many equal keys; return their dialog and tenant."""
    seeded = random.Random(7)
    dialog, tenant = uuid.uuid4().hex, uuid.uuid4().hex
    with ConversationStore(db, min_size=1, max_size=1) as store:
        store.dialogs.save(id=dialog, tenant_id=tenant)
        day = datetime(2024, 1, 1, tzinfo=UTC)
        store.conversations.insert_many(
            {
                "id": f"{dialog[:8]}{seeded.choice('aAzZ_-0')}{number}",
                "dialog_id": dialog,
                "name": seeded.choice([None, "", "a", "B", "É", "检索", "a b"]),
                "user_id": seeded.choice(["", "u1", "u2"]),
                "exp_user_id": seeded.choice([None, "e"]),
                "message": [{"role": "user", "content": seeded.choice(["检索", "other"])}],
                "tokens": seeded.choice([-(2**62), 0, 7, 2**62]),
                "duration": seeded.choice([0.0, 0.1, 1e15, -5e-324]),
                "round": seeded.choice([0, 1, 10]),
                "thumb_up": seeded.choice([-1, 0, 1]),
                "create_date": day + timedelta(hours=seeded.randrange(0, 96, 12), microseconds=seeded.choice([0, 1])),
                "update_date": day + timedelta(hours=seeded.randrange(0, 96, 24)),
            }
            for number in range(NUMBER)
        )
    return dialog, tenant


def follow(store: Any, dialog: str, tenant: str, sizes: list[int], **query: Any) -> list[Any]:
    """Follow the cursors to their end, with pages of the given sizes in turn; every page but the last is full."""
    sessions: list[Any] = []
    cursor = None
    while True:
        size = sizes[len(sessions) % len(sizes)]
        found = store.conversations.list_after(dialog, tenant, cursor=cursor, items_per_page=size, **query)
        assert len(found.sessions) <= size
        sessions += found.sessions
        cursor = found.next_cursor
        if cursor is None:
            return sessions
        assert len(found.sessions) == size
        assert len(sessions) <= NUMBER


@settings(deadline=None, max_examples=40)
@given(
    orderby=st.sampled_from(ORDERS),
    desc=st.booleans(),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    query=st.sampled_from(FILTERS),
)
def test_pages_behind_cursors_are_those_of_get_list(
    store: Any, tied: tuple[str, str], orderby: str, desc: bool, sizes: list[int], query: dict[str, Any]
) -> None:
    query = {"orderby": orderby, "desc": desc, **query}
    pages: list[Any] = []
    while True:
        count, sessions = store.conversations.get_list(*tied, len(pages) // 13 + 1, 13, **query)
        pages += sessions
        if len(sessions) < 13:
            break
    assert len(pages) == count
    assert follow(store, *tied, sizes, **query) == pages


@pytest.mark.parametrize("orderby", ORDERS)
@pytest.mark.parametrize("desc", [True, False])
def test_pages_hold_each_conversation_once_in_every_order(
    store: Any, tied: tuple[str, str], orderby: str, desc: bool
) -> None:
    found = follow(store, *tied, [10], orderby=orderby, desc=desc)
    assert len({c.id for c in found}) == len(found) == NUMBER
    if orderby != "name":  # whose order is the database's
        keys = [(getattr(c, orderby.replace("time", "date")), c.id) for c in found]
        assert keys == sorted(keys, reverse=desc)


@pytest.mark.parametrize("desc", [True, False])
def test_a_missing_name_is_ordered_as_an_empty_one(store: Any, dialog: str, tenant: str, desc: bool) -> None:
    ids = sorted(uuid.uuid4().hex for _ in range(3))
    store.conversations.insert_many(
        {"id": id, "dialog_id": dialog, "name": name} for id, name in zip(ids, [None, "", "a"], strict=True)
    )
    found = follow(store, dialog, tenant, [1], orderby="name", desc=desc)
    assert [c.id for c in found] == sorted(ids, reverse=desc)


@pytest.mark.parametrize("desc", [True, False])
def test_names_that_begin_alike_are_in_order_of_their_first_200_characters(
    store: Any, dialog: str, tenant: str, desc: bool
) -> None:
    alike = "检" * 200
    names = {"a": alike + "z", "b": alike + "a", "c": alike[:199] + "一", "d": alike}
    store.conversations.insert_many({"id": id, "dialog_id": dialog, "name": name} for id, name in names.items())
    in_order = ["c", "a", "b", "d"]
    found = follow(store, dialog, tenant, [1], orderby="name", desc=desc)
    assert [c.id for c in found] == (in_order[::-1] if desc else in_order)
    assert [c.id for c in store.conversations.get_list(dialog, tenant, orderby="name", desc=desc).sessions] == [
        c.id for c in found
    ]


@pytest.mark.parametrize("orderby", ORDERS)
@pytest.mark.parametrize("character", ["\U0010ffff", '"', "\\", "\x01", "检"])
def test_a_cursor_has_less_than_2000_characters_whatever_the_row_holds(
    store: Any, tenant: str, dialog: str, orderby: str, character: str
) -> None:
    worst = {
        "name": character * 1_000,
        "tokens": -(2**63),
        "duration": -1.2345678901234567e-300,
        "round": -(2**31),
        "thumb_up": -(2**31),
        "create_date": "2024-12-31T23:59:59.999999+00:00",
    }
    ids = [character * 127 + last for last in "ab"]
    store.conversations.insert_many({"id": id, "dialog_id": dialog, **worst} for id in ids)
    first = store.conversations.list_after(dialog, tenant, orderby=orderby, desc=False, items_per_page=1)
    assert len(first.next_cursor) < 2_000
    second = store.conversations.list_after(dialog, tenant, orderby=orderby, desc=False, cursor=first.next_cursor)
    assert [c.id for c in (*first.sessions, *second.sessions)] == ids


@pytest.mark.parametrize("orderby", ORDERS)
def test_rows_deleted_and_inserted_between_pages_move_no_other(
    store: Any, dialog: str, tenant: str, orderby: str
) -> None:
    ids = [f"{tenant}{number}" for number in range(9)]
    store.conversations.insert_many([{"id": id, "dialog_id": dialog, "create_date": "2024-01-01"} for id in ids])
    first = store.conversations.list_after(dialog, tenant, orderby=orderby, desc=True, items_per_page=3)
    assert store.conversations.delete_by_id(first.sessions[-1].id) == 1
    store.conversations.save(
        id=f"{tenant}z", dialog_id=dialog, name="z", tokens=1, duration=1, round=1, thumb_up=1, create_date="2024-01-02"
    )
    second = store.conversations.list_after(
        dialog, tenant, orderby=orderby, desc=True, items_per_page=9, cursor=first.next_cursor
    )
    assert [c.id for c in (*first.sessions, *second.sessions)] == ids[::-1]
    assert second.next_cursor is None


def test_an_empty_dialog_has_no_next_cursor(store: Any, dialog: str, tenant: str) -> None:
    assert store.conversations.list_after(dialog, tenant) == CursorPage([], None)


def test_a_page_that_holds_all_has_no_next_cursor(store: Any, dialog: str, tenant: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, dsl={"a": 1})
    assert store.conversations.list_after(dialog, tenant, items_per_page=1) == CursorPage([saved], None)


def test_without_include_dsl_the_dsl_is_not_read(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.save(dialog_id=dialog, dsl={"a": 1})
    (session,) = store.conversations.list_after(dialog, tenant, include_dsl=False).sessions
    assert session.dsl is NOT_READ


def test_a_dialog_of_another_tenant_is_empty(store: Any, tied: tuple[str, str]) -> None:
    dialog, _ = tied
    assert store.conversations.list_after(dialog, "foreign", items_per_page=1) == CursorPage([], None)


# -- which cursors are accepted --------------------------------------------------------------------


@pytest.fixture(scope="module")
def cursor_of(db: str, tied: tuple[str, str]) -> Callable[[Any], str]:
    """Give a function that returns the cursor behind the first conversation in an order."""

    def cursor_of(orderby: Any) -> str:
        with ConversationStore(db, min_size=1, max_size=1) as store:
            cursor = store.conversations.list_after(*tied, items_per_page=1, orderby=orderby).next_cursor
        assert cursor is not None
        return cursor

    cursors = {orderby: cursor_of(orderby) for orderby in ("create_date", "tokens", "duration")}
    return cursors.__getitem__


@pytest.fixture(scope="module")
def cursor(cursor_of: Callable[[str], str]) -> str:
    """Give the cursor behind the newest conversation."""
    return cursor_of("create_date")


def list_without_server(tied: tuple[str, str], cursor: Any, **arguments: Any) -> None:
    """Call list_after where every statement raises NoServer."""
    store_without_server().conversations.list_after(*tied, cursor=cursor, **arguments)


@pytest.mark.parametrize(
    "other",
    [
        {"orderby": "update_date"},
        {"desc": False},
        {"id": "x"},
        {"user_id": "u"},
        {"keywords": "k"},
        {"from_date": "2024-01-01"},
        {"to_date": "2100-01-01"},
        {"exp_user_id": "e"},
        {"date_field": "update_date"},
        {"dialog_id": "other"},
        {"tenant_id": "other"},
    ],
)
def test_a_cursor_of_another_dialog_order_or_filter_raises(
    store: Any, tied: tuple[str, str], cursor: str, other: dict[str, Any]
) -> None:
    arguments = {"dialog_id": tied[0], "tenant_id": tied[1], "cursor": cursor, **other}
    with pytest.raises(InvalidArgument, match=r"^cursor must be used with the dialog, the order and the filters"):
        store.conversations.list_after(**arguments)


@pytest.mark.parametrize("same", [{"include_dsl": False}, {"orderby": "create_time"}, {"user_id": ""}])
def test_a_cursor_may_be_used_with_other_arguments_that_change_neither_filter_nor_order(
    store: Any, tied: tuple[str, str], cursor: str, same: dict[str, Any]
) -> None:
    all_of_them = store.conversations.list_after(*tied, items_per_page=NUMBER).sessions
    found = store.conversations.list_after(*tied, cursor=cursor, items_per_page=2, **same).sessions
    assert [c.id for c in found] == [c.id for c in all_of_them[1:3]]


@pytest.mark.parametrize("last", ["2024-01-03T23:59", "2024-01-03 23:59:59", "2024-01-03T23:59:59.999"])
def test_a_to_date_of_a_whole_minute_or_second_covers_it_with_the_cursors_of_its_day(
    store: Any, tied: tuple[str, str], last: str
) -> None:
    day = store.conversations.list_after(*tied, to_date="2024-01-03", items_per_page=5)
    assert store.conversations.list_after(*tied, to_date=last, items_per_page=5) == day
    after = [
        store.conversations.list_after(*tied, to_date=to_date, cursor=day.next_cursor)
        for to_date in (last, "2024-01-03")
    ]
    assert after[0] == after[1]
    with pytest.raises(InvalidArgument, match=r"^cursor must be used with"):
        store.conversations.list_after(*tied, to_date=datetime(2024, 1, 3, 23, 59, 59), cursor=day.next_cursor)


def test_an_empty_cursor_is_no_cursor(store: Any, tied: tuple[str, str]) -> None:
    assert store.conversations.list_after(*tied, cursor="") == store.conversations.list_after(*tied)


def forged(cursor: str, *, key: Any = "2024-01-01T00:00:00+00:00", id: Any = "c") -> str:
    """Return a cursor for the same list with another position."""
    fingerprint = base64.urlsafe_b64decode(cursor + "==").decode().partition("\0")[0]
    return base64.urlsafe_b64encode("\0".join([fingerprint, key, id]).encode()).decode().rstrip("=")


def test_a_position_of_no_row_is_accepted(store: Any, tied: tuple[str, str], cursor: str) -> None:
    behind_all = forged(cursor, key="2000-01-01T00:00:00+00:00")
    assert store.conversations.list_after(*tied, cursor=behind_all) == CursorPage([], None)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda _, text=text: text for text in (" ", "x", "null", "W10", "é", "[1]", "{}" * 50, "A" * 100_000)),
        lambda cursor: cursor[:-2],
        lambda cursor: cursor + "A",
        lambda cursor: cursor[1:],
    ],
)
def test_a_changed_text_is_rejected_before_any_statement(
    tied: tuple[str, str], cursor: str, change: Callable[[str], str]
) -> None:
    with pytest.raises(NoServer):
        list_without_server(tied, cursor)
    with pytest.raises(InvalidArgument, match=NOT_MADE_HERE):
        list_without_server(tied, change(cursor))


@pytest.mark.parametrize(
    ("orderby", "valid", "keys"),
    [
        (
            "create_date",
            "2024-01-01T00:00:00+00:00",
            [
                *("now", "2024-01-01", "2024-01-01T00:00:00", "", "1", "\0"),
                # Some of them are read by Python and not by the server.
                *("2024-W01-1T00:00:00+00:00", "20240101T000000,5+00:00", "2024-01-01T00:00:00+23:59:59"),
                *("2024-01-01Z00:00:00+00:00", "0001-01-01T00:00:00+14:00", "2024-01-01T00:00:00Z"),
            ],
        ),
        ("tokens", "1", ["1.5", "x", str(2**63), "nan", "１２", "٣", "1_0", " 1", "+1", "9" * 5000]),
        ("duration", "1.0", ["1e-400", "1_0", "inf", "nan", "1", "1e5", "1e+16"]),
    ],
)
def test_a_forged_key_is_rejected_before_any_statement(
    tied: tuple[str, str], cursor_of: Callable[[str], str], orderby: str, valid: str, keys: list[Any]
) -> None:
    with pytest.raises(NoServer):
        list_without_server(tied, forged(cursor_of(orderby), key=valid), orderby=orderby)
    for key in keys:
        with pytest.raises(InvalidArgument, match=NOT_MADE_HERE):
            list_without_server(tied, forged(cursor_of(orderby), key=key), orderby=orderby)


@pytest.mark.parametrize("id", ["", "x" * 129, "\0"])
def test_a_forged_id_is_rejected_before_any_statement(tied: tuple[str, str], cursor: str, id: Any) -> None:
    with pytest.raises(InvalidArgument, match=NOT_MADE_HERE):
        list_without_server(tied, forged(cursor, id=id))


@pytest.mark.parametrize("wrong", [5, b"x", ["x"]])
def test_a_cursor_of_another_type_raises(tied: tuple[str, str], wrong: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^cursor must be a str or None"):
        list_without_server(tied, wrong)


@settings(deadline=None)
@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_other_text_is_rejected_before_any_statement(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^cursor must be"):
        list_without_server(("d", "t"), text)
