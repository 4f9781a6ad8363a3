"""Pages behind a cursor, and totals that are exact, capped or not counted, in both worlds."""

from __future__ import annotations

import base64
import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversation_store import ConversationStore, CursorPage
from conversation_store._pagination import OrderBy

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


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def dialog(store: Any, tenant: str) -> Any:
    return store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


@pytest.fixture(scope="module")
def tied(db: str) -> tuple[str, str]:
    """Store conversations with many equal keys; return their dialog and tenant."""
    seeded = random.Random(7)
    dialog = tenant = uuid.uuid4().hex
    with ConversationStore(db) as store:
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
                "duration": seeded.choice([0.0, 0.1, 1e300, -5e-324]),
                "round": seeded.choice([0, 1, 10]),
                "thumb_up": seeded.choice([-1, 0, 1]),
                "create_date": day + timedelta(hours=seeded.randrange(0, 96, 12), microseconds=seeded.choice([0, 1])),
                "update_date": day + timedelta(hours=seeded.randrange(0, 96, 24)),
            }
            for number in range(97)
        )
    return dialog, tenant


def walk(store: Any, dialog: str, tenant: str, sizes: list[int], **query: Any) -> list[Any]:
    """Follow the cursors to their end, with pages of the given sizes in turn."""
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    orderby=st.sampled_from(ORDERS),
    desc=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    query=st.sampled_from(FILTERS),
)
def test_a_walk_gives_exactly_what_offset_pages_give(
    store: Any, tied: tuple[str, str], orderby: str, desc: bool, sizes: list[int], query: dict[str, Any]
) -> None:
    dialog, tenant = tied
    query = {"orderby": orderby, "desc": desc, **query}
    pages: list[Any] = []
    while True:
        count, sessions = store.conversations.get_list(dialog, tenant, len(pages) // 13 + 1, 13, **query)
        pages += sessions
        if len(sessions) < 13:
            break
    assert len(pages) == count
    assert walk(store, dialog, tenant, sizes, **query) == pages


@pytest.mark.parametrize("orderby", ORDERS)
@pytest.mark.parametrize("desc", [True, False])
def test_every_order_walks_over_all_of_them_once(store: Any, tied: tuple[str, str], orderby: str, desc: bool) -> None:
    found = walk(store, *tied, [10], orderby=orderby, desc=desc)
    assert len({c.id for c in found}) == len(found) == 97
    if orderby != "name":  # whose order is the database's
        keys = [(getattr(c, orderby.replace("time", "date")), c.id) for c in found]
        assert keys == sorted(keys, reverse=desc)


@pytest.mark.parametrize("desc", [True, False])
def test_a_name_of_none_is_ordered_as_an_empty_one(store: Any, dialog: str, tenant: str, desc: bool) -> None:
    ids = [uuid.uuid4().hex for _ in range(3)]
    for id, name in zip(sorted(ids), [None, "", "a"], strict=True):
        store.conversations.save(id=id, dialog_id=dialog, name=name)
    wanted = sorted(ids, reverse=desc)
    listed = store.conversations.get_list(dialog, tenant, orderby="name", desc=desc).sessions
    assert [c.id for c in listed] == wanted
    assert [c.id for c in walk(store, dialog, tenant, [1], orderby="name", desc=desc)] == wanted


@pytest.mark.parametrize("orderby", ORDERS)
def test_a_cursor_survives_its_row_and_new_rows_move_no_page(
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


def test_an_empty_list_and_a_list_that_fits_have_no_next_cursor(store: Any, dialog: str, tenant: str) -> None:
    assert store.conversations.list_after(dialog, tenant) == CursorPage([], None)
    one = store.conversations.save(dialog_id=dialog, dsl={"a": 1})
    assert store.conversations.list_after(dialog, tenant, items_per_page=1) == CursorPage([one], None)
    assert store.conversations.list_after(dialog, tenant, include_dsl=False).sessions[0].dsl is None
    assert store.conversations.list_after(dialog, "foreign") == CursorPage([], None)


def test_a_cursor_is_bound_to_the_query_the_order_and_the_filters(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.insert_many([{"dialog_id": dialog} for _ in range(3)])
    cursor = store.conversations.list_after(dialog, tenant, items_per_page=1).next_cursor
    for other in (
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
    ):
        arguments = {"dialog_id": dialog, "tenant_id": tenant, "cursor": cursor, **other}
        with pytest.raises(ValueError, match="cursor must be used with the dialog, the order and the filters"):
            store.conversations.list_after(**arguments)
    # What does not change the walk may change on the way; create_time is another name of the same order.
    for same in ({"items_per_page": 2, "include_dsl": False}, {"orderby": "create_time"}, {"user_id": ""}):
        found = store.conversations.list_after(dialog, tenant, cursor=cursor, **same)
        assert len(found.sessions) == 2


# Some of them are read by Python and not by the server.
KEYS: list[Any] = [
    *("now", "2024-01-01", "2024-01-01T00:00:00", "", "1", 1, None, "\0"),
    *("2024-W01-1T00:00:00+00:00", "20240101T000000,5+00:00", "2024-01-01T00:00:00+23:59:59"),
    *("2024-01-01Z00:00:00+00:00", "0001-01-01T00:00:00+14:00", "2024-01-01T00:00:00Z"),
]
IDS: list[Any] = ["", "x" * 129, 1, None, "\0", []]


def forged(cursor: str, *, key: Any = "2024-01-01T00:00:00+00:00", id: Any = "c") -> str:
    fingerprint = json.loads(base64.urlsafe_b64decode(cursor + "=="))[0]
    return base64.urlsafe_b64encode(json.dumps([fingerprint, key, id]).encode()).decode().rstrip("=")


def test_what_is_no_cursor_is_said_before_any_sql(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.insert_many([{"dialog_id": dialog} for _ in range(2)])
    cursor = store.conversations.list_after(dialog, tenant, items_per_page=1).next_cursor
    assert store.conversations.list_after(dialog, tenant, cursor=forged(cursor)).sessions == []
    # An empty one is none, as an empty filter is.
    assert len(store.conversations.list_after(dialog, tenant, cursor="").sessions) == 2
    nothing = [" ", "x", "null", cursor[:-2], cursor + "A", cursor[1:], "W10", "é", "[1]", "{}" * 50, "A" * 100_000]
    nothing += [forged(cursor, key=key) for key in KEYS]
    nothing += [forged(cursor, id=id) for id in IDS]
    for wrong in nothing:
        with pytest.raises(ValueError, match=r"^cursor must be"):
            store.conversations.list_after(dialog, tenant, cursor=wrong)
    for wrong in (5, b"x", ["x"]):
        with pytest.raises(TypeError, match="cursor must be a str or None"):
            store.conversations.list_after(dialog, tenant, cursor=wrong)
    numbers = store.conversations.list_after(dialog, tenant, items_per_page=1, orderby="tokens").next_cursor
    for key in ("1.5", "x", str(2**63), "nan", "１２", "٣", "1_0", " 1", "+1", "9" * 5000):
        with pytest.raises(ValueError, match=r"^cursor must be"):
            store.conversations.list_after(dialog, tenant, orderby="tokens", cursor=forged(numbers, key=key))
    numbers = store.conversations.list_after(dialog, tenant, items_per_page=1, orderby="duration").next_cursor
    for key in ("1e-400", "1_0", "inf", "nan", "1", "1e5"):
        with pytest.raises(ValueError, match=r"^cursor must be"):
            store.conversations.list_after(dialog, tenant, orderby="duration", cursor=forged(numbers, key=key))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_text_is_a_cursor_or_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^cursor must be"):
        ConversationStore("").conversations.list_after("d", "t", cursor=text)


def test_a_cursor_does_not_open_another_tenants_dialog(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.insert_many([{"dialog_id": dialog} for _ in range(2)])
    other = store.conversations.list_after(dialog, "foreign", items_per_page=1)
    assert other == CursorPage([], None)
    mine = store.conversations.list_after(dialog, tenant, items_per_page=1).next_cursor
    with pytest.raises(ValueError, match="cursor"):
        store.conversations.list_after(dialog, "foreign", cursor=mine)


def test_a_total_is_exact_capped_or_not_counted(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.insert_many([{"dialog_id": dialog, "name": "检索"} for _ in range(12)])

    def count(**arguments: Any) -> Any:
        page = store.conversations.get_list(dialog, tenant, items_per_page=5, **arguments)
        assert len(page.sessions) == 5
        return page.count

    assert count() == count(total="exact", total_limit=3) == 12
    assert [count(total="capped", total_limit=limit) for limit in (0, 3, 11, 12, 13)] == [0, 3, 11, 12, 12]
    assert count(total="capped", total_limit=3, keywords="检索") == 3
    assert count(total="none") == -1
    assert store.conversations.get_list(dialog, "foreign", total="none") == (-1, [])
    assert store.conversations.get_list(dialog, tenant, 100, total="capped", total_limit=3) == (3, [])
    with pytest.raises(ValueError, match="total must be one of exact, capped, none"):
        count(total="about")
    with pytest.raises(ValueError, match="total_limit"):
        count(total="capped", total_limit=-1)
    with pytest.raises(ValueError, match="items_per_page must be at least 1"):
        store.conversations.list_after(dialog, tenant, items_per_page=0)
