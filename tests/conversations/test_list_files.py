"""`conversations.get_list` and `list_after`: pages are equal, whichever file serves them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_store import ConversationStore, _pagination
from conversation_store._sql_loader import load

NUMBER = 40
ORDERS = ("create_date", "update_date", "create_time", "update_time")


@pytest.fixture(scope="module")
def tied(db: str) -> tuple[str, str]:
    """Save conversations of few dates; return their dialog and tenant."""
    dialog, tenant = uuid.uuid4().hex, uuid.uuid4().hex
    day = datetime(2024, 1, 1, tzinfo=UTC)
    with ConversationStore(db, min_size=1, max_size=1) as store:
        for id in (dialog, f"{dialog}2"):
            store.dialogs.save(id=id, tenant_id=tenant)
        store.conversations.insert_many(
            {
                "id": f"{dialog}{(number * 7) % NUMBER}",
                "dialog_id": dialog if number % 9 else f"{dialog}2",
                "message": [{"content": str(number)}],
                "dsl": {"number": number},
                "create_date": day + timedelta(hours=number % 5, microseconds=number % 2),
                "update_date": day + timedelta(hours=number % 3),
            }
            for number in range(NUMBER)
        )
    return dialog, tenant


def from_both_files(store: Any, method: str, *args: Any, **arguments: Any) -> Sequence[Any]:
    """Return what a call returns by the file for lists by date, and by the one with all filters."""
    call = getattr(store.conversations, method)
    with patch.object(_pagination, "_GET_LIST_BY_DATE", {}):
        other = call(*args, **arguments)
    return call(*args, **arguments), other


@settings(deadline=None)
@given(
    orderby=st.sampled_from(ORDERS),
    desc=st.booleans(),
    page_number=st.integers(1, 6),
    items_per_page=st.integers(0, 12) | st.just(1_000),
    total=st.sampled_from(["exact", "capped", "none"]),
    total_limit=st.integers(0, NUMBER + 1),
    include_messages=st.booleans(),
    include_dsl=st.booleans(),
    nowhere=st.booleans(),
)
def test_a_page_and_its_total_are_equal(store: Any, tied: tuple[str, str], nowhere: bool, **arguments: Any) -> None:
    dialog, tenant = tied
    one, other = from_both_files(store, "get_list", "nowhere" if nowhere else dialog, tenant, **arguments)
    assert one == other


@settings(deadline=None)
@given(
    orderby=st.sampled_from(ORDERS),
    desc=st.booleans(),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    include_messages=st.booleans(),
    include_dsl=st.booleans(),
)
def test_pages_after_a_cursor_and_their_cursors_are_equal(
    store: Any, tied: tuple[str, str], sizes: list[int], **arguments: Any
) -> None:
    cursor = None
    for number in range(NUMBER):
        size = sizes[number % len(sizes)]
        one, other = from_both_files(store, "list_after", *tied, cursor=cursor, items_per_page=size, **arguments)
        assert one == other
        if (cursor := one.next_cursor) is None:
            return
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ({}, "get_list_by_create_date"),
        ({"orderby": "update_time", "date_field": "update_date"}, "get_list_by_update_date"),
        (
            {"id": "", "user_id": "", "exp_user_id": None, "keywords": "", "from_date": "", "to_date": None},
            "get_list_by_create_date",
        ),
        *(({"orderby": order, "desc": False}, f"get_list_by_{order[:6]}_date_asc") for order in ORDERS),
        *(({"orderby": order}, "get_list") for order in ("id", "name", "tokens", "duration", "round", "thumb_up")),
        *(({name: "x"}, "get_list") for name in ("id", "user_id", "exp_user_id")),
        *(({name: "2024-01-01"}, "get_list") for name in ("from_date", "to_date")),
        ({"keywords": "x"}, "get_list_by_keywords"),
        ({"keywords": "x", "orderby": "name", "user_id": "x"}, "get_list_by_keywords"),
    ],
)
def test_the_file_is_the_simplest_that_can_serve_a_list(
    statements_of: Any, dialog: str, tenant: str, arguments: dict[str, Any], file: str
) -> None:
    for method in ("get_list", "list_after"):
        names = statements_of(lambda s, m=method: getattr(s.conversations, m)(dialog, tenant, **arguments))
        assert names == [f"conversation.{file}"]


def test_a_page_that_is_far_by_its_offset_reads_index_entries_alone(
    statements_of: Any, dialog: str, tenant: str
) -> None:
    for number, file in ((11, "get_list_by_create_date"), (12, "get_list")):
        names = statements_of(lambda s, n=number: s.conversations.get_list(dialog, tenant, n, items_per_page=100))
        assert names == [f"conversation.{file}"]


def test_the_files_by_a_date_differ_in_their_order_alone() -> None:
    first = load("conversation.get_list_by_create_date").text.decode()
    for field in ("create_date", "update_date"):
        newest = first.replace("create_date */", f"{field} */")
        for old, new in (
            ("first by create_date", f"first by {field}"),
            ("create_date_id_idx", f"{field}_id_idx"),
            ("(c.create_date, c.id)", f"(c.{field}, c.id)"),
            ("ORDER BY c.create_date", f"ORDER BY c.{field}"),
            ("ORDER BY s.create_date", f"ORDER BY s.{field}"),
        ):
            assert old in newest
            newest = newest.replace(old, new)
        assert load(f"conversation.get_list_by_{field}").text.decode() == newest
        oldest = newest.replace(f"{field} */", f"{field}_asc */").replace(" DESC", "")
        oldest = (
            oldest.replace("the newest", "the oldest")
            .replace("'infinity'", "'-infinity'")
            .replace("id) < (", "id) > (")
        )
        assert load(f"conversation.get_list_by_{field}_asc").text.decode() == oldest
