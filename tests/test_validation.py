"""Bad arguments are errors that name the argument, before any SQL."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_store import AsyncConversationStore, ConversationStore
from conversation_store import _dates as dates
from conversation_store import _json as json_values
from support.statements import NoServer, store_without_server


@pytest.fixture
def store() -> Any:
    """Return a store that has no server: what reaches it has passed every check."""
    return store_without_server()


DATES = [
    "now",
    "2024",
    "garbage",
    " ",
    "Jan 2, 2024",
    "2024-01-01 ",
    "2024-13-01",
    "2024-02-30",
    "2024-01-01x10:00",
    "infinity",
    "12:00",
    "1704067200",
]


async def coroutine(_: int) -> None: ...


LIST = {"dialog_id": "d", "tenant_id": "t"}


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("get_list", {"dialog_id": "", "tenant_id": "t"}, ValueError, "dialog_id"),
        ("get_list", {"dialog_id": "d", "tenant_id": ""}, ValueError, "tenant_id"),
        ("get_list", {"dialog_id": None, "tenant_id": "t"}, ValueError, "dialog_id"),
        ("get_list", {"dialog_id": ["d"], "tenant_id": "t"}, TypeError, "dialog_id"),
        ("get_list", {"dialog_id": True, "tenant_id": "t"}, TypeError, "dialog_id"),
        ("get_list", {"dialog_id": 1.5, "tenant_id": "t"}, TypeError, "dialog_id"),
        ("get_list", {"dialog_id": b"d", "tenant_id": "t"}, TypeError, "dialog_id"),
        ("get_list", {"dialog_id": "d" * 129, "tenant_id": "t"}, ValueError, "dialog_id .* 128"),
        ("get_list", {"dialog_id": "d\0", "tenant_id": "t"}, ValueError, r"dialog_id .* U\+0000"),
        ("get_list", {"dialog_id": "d", "tenant_id": "\udc80"}, ValueError, r"tenant_id .* U\+DC80"),
        ("get_list", {**LIST, "page_number": 0}, ValueError, "page_number"),
        ("get_list", {**LIST, "page_number": -1}, ValueError, "page_number"),
        ("get_list", {**LIST, "page_number": 1.0}, TypeError, "page_number"),
        ("get_list", {**LIST, "page_number": True}, TypeError, "page_number"),
        ("get_list", {**LIST, "page_number": "1"}, TypeError, "page_number"),
        ("get_list", {**LIST, "page_number": None}, TypeError, "page_number"),
        ("get_list", {**LIST, "page_number": 2**62}, ValueError, "page_number"),
        ("get_list", {**LIST, "items_per_page": -1}, ValueError, "items_per_page must be at (least 0|most 1000)"),
        ("get_list", {**LIST, "items_per_page": 1001}, ValueError, "items_per_page must be at (least 0|most 1000)"),
        ("get_list", {**LIST, "items_per_page": 30.0}, TypeError, "items_per_page"),
        ("get_list", {**LIST, "orderby": "password"}, ValueError, "orderby .* create_date.*thumb_up"),
        ("get_list", {**LIST, "orderby": ""}, ValueError, "orderby"),
        ("get_list", {**LIST, "orderby": None}, ValueError, "orderby"),
        ("get_list", {**LIST, "orderby": ["id"]}, ValueError, "orderby"),
        ("get_list", {**LIST, "orderby": "create_date; DROP TABLE"}, ValueError, "orderby"),
        ("get_list", {**LIST, "desc": "true"}, TypeError, "desc"),
        ("get_list", {**LIST, "desc": 1}, TypeError, "desc"),
        ("get_list", {**LIST, "include_dsl": None}, TypeError, "include_dsl"),
        ("get_list", {**LIST, "keywords": ["a"]}, TypeError, "keywords"),
        ("get_list", {**LIST, "keywords": "a\0b"}, ValueError, "keywords"),
        ("get_list", {**LIST, "user_id": "u" * 256}, ValueError, "user_id"),
        ("get_list", {**LIST, "id": {"a": 1}}, TypeError, "id"),
        ("get_list", {**LIST, "date_field": "create_time"}, ValueError, "date_field"),
        *[("get_list", {**LIST, "from_date": wrong}, ValueError, "from_date") for wrong in DATES],
        *[("get_list", {**LIST, "to_date": wrong}, ValueError, "to_date") for wrong in DATES],
        ("get_list", {**LIST, "to_date": 20240101}, TypeError, "to_date"),
        *[
            ("get_list", {**LIST, "time_zone": wrong}, ValueError, "time_zone")
            for wrong in ("+08:00", "UTC+8", "CST", "", " ", "Asia/Shanghai+8", "Mars/Olympus", "../../etc/passwd", "Europe/Paris'")
        ],
        ("get_list", {**LIST, "time_zone": None}, TypeError, "time_zone"),
        ("get_names", {"dialog_id": "d", "exp_user_id": ""}, ValueError, "exp_user_id"),
        ("get_names", {"dialog_id": "", "exp_user_id": "e"}, ValueError, "dialog_id"),
        ("get_names", {"dialog_id": "d", "exp_user_id": "e", "limit": -1}, ValueError, "limit"),
        ("get_by_id", {"id": ""}, ValueError, "id"),
        ("get_by_id", {"id": None}, ValueError, "id"),
        ("get_by_id", {"id": ["a"]}, TypeError, "id"),
        ("delete_by_id", {"id": ""}, ValueError, "id"),
        ("save", {"dialog_id": ""}, ValueError, "dialog_id"),
        ("save", {"dialog_id": "d", "id": ""}, ValueError, "id"),
        ("save", {"dialog_id": "d", "tokens": 1.5}, TypeError, "tokens"),
        ("save", {"dialog_id": "d", "tokens": 2**63}, ValueError, "tokens"),
        ("save", {"dialog_id": "d", "round": 2**31}, ValueError, "round"),
        ("save", {"dialog_id": "d", "thumb_up": True}, TypeError, "thumb_up"),
        ("save", {"dialog_id": "d", "duration": "1"}, TypeError, "duration"),
        ("save", {"dialog_id": "d", "duration": float("nan")}, ValueError, "duration"),
        ("save", {"dialog_id": "d", "duration": 10**400}, ValueError, "duration"),
        ("save", {"dialog_id": "d", "source": "s" * 65}, ValueError, "source"),
        ("save", {"dialog_id": "d", "name": 5}, TypeError, "name"),
        ("save", {"dialog_id": "d", "create_date": "now"}, ValueError, "create_date"),
        ("save", {"dialog_id": "d", "create_date": "0001-01-01T00:00:00+14:00"}, ValueError, "create_date .* years 1 to 9999"),
        ("save", {"dialog_id": "d", "update_date": "9999-12-31T23:59:59-01:00"}, ValueError, "update_date .* years 1 to 9999"),
        ("get_list", {**LIST, "from_date": "9999-12-31T23:59:59-14:00"}, ValueError, "from_date .* years 1 to 9999"),
        ("save", {"dialog_id": "d", "message": [10**5000]}, ValueError, r"message\[0\] must have at most 4298 digits"),
        ("insert_many", {"conversations": [], "on_progress": "x"}, TypeError, "on_progress"),
        ("delete_by_dialog_ids", {"ids": [], "on_progress": coroutine}, TypeError, "on_progress must be None or a plain"),
        ("save", {"dialog_id": "d", "message": [{"a": ["b\0"]}]}, ValueError, r"message\[0\]\['a'\]\[0\] .* U\+0000"),
        ("save", {"dialog_id": "d", "message": {"a\0": 1}}, ValueError, r"key of message"),
        ("save", {"dialog_id": "d", "reference": [{"x": "\ud83d"}]}, ValueError, r"reference\[0\]\['x'\] .* U\+D83D"),
        ("save", {"dialog_id": "d", "dsl": {"a": [1, float("nan")]}}, ValueError, r"dsl\['a'\]\[1\]"),
        ("save", {"dialog_id": "d", "dsl": {"a": float("-inf")}}, ValueError, r"dsl\['a'\]"),
        ("save", {"dialog_id": "d", "dsl": {1: "a"}}, TypeError, "dsl .* str keys"),
        ("save", {"dialog_id": "d", "message": [datetime(2024, 1, 1)]}, TypeError, r"message\[0\] .* datetime"),
        ("save", {"dialog_id": "d", "message": {"a": {1, 2}}}, TypeError, r"message\['a'\] .* set"),
        ("save", {"dialog_id": "d", "message": Decimal(1)}, TypeError, "message .* Decimal"),
        ("append_message", {"id": "c", "conversation": {"message": "a\0"}}, ValueError, r"conversation\['message'\]"),
        ("append_message", {"id": "c", "conversation": {"tokens": None}}, TypeError, r"conversation\['tokens'\]"),
        ("append_message", {"id": "c", "conversation": {"nothing": 1}}, ValueError, "unknown: 'nothing'"),
        ("append_message", {"id": "c", "conversation": {"id": "d"}}, ValueError, r"conversation\['id'\]"),
        ("append_message", {"id": "c", "conversation": [("tokens", 1)]}, TypeError, "conversation"),
        ("append_message", {"id": "", "conversation": {}}, ValueError, "id"),
        ("append_round", {"id": "c", "messages": "text"}, TypeError, "messages must be a list"),
        ("append_round", {"id": "c", "messages": {"role": "user"}}, TypeError, "messages must be a list"),
        ("append_round", {"id": "c", "messages": None}, TypeError, "messages must be a list"),
        ("append_round", {"id": "c", "messages": [], "reference": "text"}, TypeError, "reference must be a list"),
        ("append_round", {"id": "c", "messages": [], "expected_round": "1"}, TypeError, "expected_round"),
        ("append_round", {"id": "c", "messages": [], "tokens": "1"}, TypeError, "tokens"),
        ("stats", {"tenant_id": "", "from_date": "2024-01-01", "to_date": "2024-01-01"}, ValueError, "tenant_id"),
        ("stats", {"tenant_id": "t", "from_date": "", "to_date": "2024-01-01"}, ValueError, "from_date"),
        ("stats", {"tenant_id": "t", "from_date": None, "to_date": "2024-01-01"}, TypeError, "from_date"),
        ("stats", {"tenant_id": "t", "from_date": "2024-01-01", "to_date": "2035-01-01"}, ValueError, "to_date"),
        ("stats", {"tenant_id": "t", "from_date": "2024-01-01", "to_date": "2024-01-01", "fill": 1}, TypeError, "fill"),
        ("stats", {"tenant_id": "t", "from_date": "2024-01-01", "to_date": "2024-01-01", "source": 1}, TypeError, "source"),
        ("stats", {"tenant_id": "t", "from_date": "2024-01-01", "to_date": "2024-01-01", "time_zone": "+08:00"}, ValueError, "time_zone"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(
    store: ConversationStore, method: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(store.conversations, method)(**arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.dialogs.save(id="", tenant_id="t"), ValueError, "id"),
        (lambda s: s.dialogs.save(id="d", tenant_id=""), ValueError, "tenant_id"),
        (lambda s: s.dialogs.save(id="d", tenant_id="t", name="\0"), ValueError, "name"),
        (lambda s: s.dialogs.get_by_id(None), ValueError, "id"),
        (lambda s: s.tokens.issue(tenant_id=""), ValueError, "tenant_id"),
        (lambda s: s.tokens.issue(tenant_id="t", dialog_id=""), ValueError, "dialog_id"),
        (lambda s: s.tokens.save(tenant_id="t", token=""), ValueError, "token"),
        (lambda s: s.tokens.save(tenant_id="t", token=" \t"), ValueError, "token"),
        (lambda s: s.tokens.save(tenant_id="t", token="x", beta=""), ValueError, "beta"),
        (lambda s: s.tokens.save(tenant_id="t", token="x", beta="b" * 256), ValueError, "beta"),
        (lambda s: s.tokens.query(tenant_id=None), ValueError, "tenant_id"),
        (lambda s: s.tokens.delete_by_tenant_id(""), ValueError, "tenant_id"),
        (lambda s: s.tokens.delete_by_tenant_id(["t"]), TypeError, "tenant_id"),
    ],
)
def test_a_bad_argument_of_dialogs_and_tokens_is_named(
    store: ConversationStore, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(store)


def test_good_arguments_reach_the_server(store: Any) -> None:
    for arguments in (
        {"time_zone": "Europe/Paris"},
        {"time_zone": "Japan"},
        {"time_zone": "Etc/GMT+8"},
        {"time_zone": "America/Argentina/Buenos_Aires"},
        {"from_date": "2024-01-01T10:00:00+0800", "to_date": "20240102"},
        {"items_per_page": 1000, "page_number": 2**63 // 1000},
    ):
        with pytest.raises(NoServer):
            store.conversations.get_list("d", "t", **arguments)


def test_the_greatest_page_is_configurable(store: ConversationStore) -> None:
    small = store_without_server(max_items_per_page=5)
    with pytest.raises(ValueError, match="at most 5"):
        small.conversations.get_list("d", "t", items_per_page=6)


def test_json_beyond_the_depth_or_in_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = None
    for _ in range(501):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(ValueError, match="message must not be nested deeper"):
            json_values.json_text("message", value)
    assert json_values.json_text("message", deep[0]).count("[") == 500


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    )
)
def test_json_is_either_written_for_the_server_or_refused(value: Any) -> None:
    try:
        written = json_values.json_text("value", value)
    except ValueError as error:
        assert str(error).startswith(("value", "a key of value"))
    else:
        written.encode()
        assert "NaN" not in written.replace('"', "") or '"' in written


@given(st.datetimes() | st.dates())
def test_every_date_of_python_has_a_text_for_the_server(value: date) -> None:
    assert dates.start(value, "UTC").startswith(f"{value.year:04}-")
    assert dates.end(value, "UTC") > dates.start(value, "UTC") or value.year == 9999


def test_the_end_of_an_instant_is_the_next_microsecond() -> None:
    assert dates.end(datetime(2024, 1, 1, 23, 59, 59, 999999), "Asia/Tokyo") == "2024-01-02 00:00:00 Asia/Tokyo"
    assert dates.end(datetime(2024, 1, 1, tzinfo=UTC), "Asia/Tokyo") == "2024-01-01 00:00:00.000001+00:00"
    assert dates.end(date(2024, 12, 31), "UTC") == "2025-01-01 00:00:00 UTC"
    assert dates.end(date.max, "UTC") == "10000-01-01 00:00:00 UTC"
    assert dates.end(datetime.max - timedelta(1), "UTC").startswith("9999-12-31")


@pytest.mark.parametrize("store_class", [ConversationStore, AsyncConversationStore])
def test_a_store_takes_exactly_one_of_conninfo_pool_and_connection(store_class: Any) -> None:
    for arguments in ({}, {"conninfo": "", "pool": object()}, {"pool": object(), "connection": object()}):
        with pytest.raises(TypeError, match="exactly one of conninfo, pool and connection"):
            store_class(**arguments)
    with pytest.raises(TypeError, match="conninfo must be a str"):
        store_class(5)


def test_both_worlds_have_the_same_methods_signatures_and_docstrings() -> None:
    blocking, on_asyncio = ConversationStore(""), AsyncConversationStore("")
    for name in ("dialogs", "conversations", "tokens", "tenants"):
        one, two = getattr(blocking, name), getattr(on_asyncio, name)
        methods = [method for method in dir(type(one)) if not method.startswith("_")]
        assert methods == [method for method in dir(type(two)) if not method.startswith("_")]
        for method in methods:
            signatures = [inspect.signature(getattr(side, method)) for side in (one, two)]
            assert signatures[0].parameters == signatures[1].parameters
            returned = [signature.return_annotation for signature in signatures]
            assert returned[1] == ("Async" if method in ("iter", "export") else "") + returned[0]
            assert "Statement" not in returned[0]
            assert getattr(one, method).__doc__ == getattr(two, method).__doc__
            assert "SQL: `sql/" in " ".join(getattr(one, method).__doc__.split())
            streams = method in ("iter", "export")
            assert inspect.iscoroutinefunction(getattr(two, method)) != streams
            assert not inspect.iscoroutinefunction(getattr(one, method))
