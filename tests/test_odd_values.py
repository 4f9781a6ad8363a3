"""Values whose class says something else than they are: the right value is sent, or an error names the argument."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest

from conversation_store import InvalidArgument, InvalidArgumentType, jsonl
from conversation_store import _dates as dates
from conversation_store import _validation as validate
from conversation_store.models import NOT_READ
from support.odd_values import (
    HUGE,
    Array,
    Changing,
    Huge,
    Level,
    Liar,
    LiarDate,
    LiarDatetime,
    LiarFloat,
    LiarMapping,
    LiarText,
    Nonsense,
    NoTime,
    Number,
    Raises,
    Unhashable,
)
from support.statements import statement_of, store_without_server

NOON = datetime(2024, 5, 6, 12, 30, tzinfo=timezone(timedelta(hours=8)))
IN_UTC = NOON.astimezone(UTC)


@pytest.mark.parametrize("value", [Level.HIGH, Number.A, Liar(3)])
def test_an_int_of_a_class_of_its_own_is_its_number_everywhere(value: Any) -> None:
    for read in (validate.integer, validate.bigint, validate.identifier, validate.number):
        result = read("x", value)
        assert result == {str: "3", int: 3, float: 3.0}[type(result)]
    assert type(validate.integer("x", value)) is int

    def sent(call: Any) -> Any:
        return statement_of(call).params

    assert sent(lambda s: s.conversations.query(dialog_id="d", tenant_id="t", limit=value))["limit"] == 4
    page = sent(lambda s: s.conversations.get_list("d", "t", page_number=value, items_per_page=value))
    assert (page["limit"], page["offset"]) == (3, 6)
    assert type(page["limit"]) is type(page["offset"]) is int
    saved = sent(lambda s: s.conversations.save(dialog_id="d", tenant_id="t", id=value, tokens=value, round=value))
    assert (saved["id"], saved["tokens"], saved["round"]) == ("3", 3, 3)
    assert type(saved["tokens"]) is int
    change = sent(lambda s: s.conversations.update_by_id("c", {"tokens": value, "thumb_up": value}, tenant_id="t"))
    assert change["changes"] == '{"tokens": 3, "thumb_up": 3}'
    assert sent(lambda s: s.tokens.revoke(value, tenant_id="t"))["id"] == 3


def test_a_float_and_a_text_of_a_class_of_their_own_are_their_value() -> None:
    duration = validate.duration("x", LiarFloat(1.5))
    assert (type(duration), duration) == (float, 1.5)
    text = validate.text("x", LiarText("abc"), maximum=3)
    assert (type(text), text) == (str, "abc")
    with pytest.raises(InvalidArgument, match="at most 3 characters, not 4"):
        validate.text("x", LiarText("abcd"), maximum=3)
    with pytest.raises(InvalidArgument, match=r"U\+0000"):
        validate.text("x", LiarText("a\0"))


def test_a_mapping_that_changes_is_read_once() -> None:
    given = validate.keys("x", LiarMapping(), ("id", "name"))
    assert (type(given), given) == (dict, {"id": "d"})
    assert validate.keys("x", MappingProxyType({LiarText("id"): NOT_READ}), ("id",)) == {"id": NOT_READ}
    with pytest.raises(InvalidArgument, match="unknown: a value of the type Array, 5, "):
        validate.keys("x", Unhashable([(Array(), 1), (5, 1), ("x" * 10_000, 1)]), ("id",))


@pytest.mark.parametrize(
    "call",
    [
        lambda value: validate.integer("x", value),
        lambda value: validate.bigint("x", -value),
        lambda value: validate.number("x", value),
        lambda value: validate.identifier("x", value),
        lambda value: validate.identifiers("x", [value]),
        lambda value: validate.choice("x", value, ("a",)),
        lambda value: validate.keys("x", {value: 1}, ("a",)),
        lambda value: validate.text("x", value),
        lambda value: dates.moment("x", value),
    ],
)
@pytest.mark.parametrize("value", [HUGE, Liar(HUGE)], ids=["int", "of a class"])
def test_an_int_that_python_does_not_write_raises_an_error_that_names_the_argument(call: Any, value: Any) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=r"^x\b") as caught:
        call(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "call",
    [
        lambda s, value: s.conversations.get_list(value, "t"),
        lambda s, value: s.conversations.get_list("d", "t", orderby=value),
        lambda s, value: s.conversations.get_list("d", "t", from_date=value),
        lambda s, value: s.conversations.list_after("d", "t", cursor=value),
        lambda s, value: s.conversations.stats("t", value, value),
        lambda s, value: s.conversations.save(dialog_id="d", tenant_id="t", message=[value]),
        lambda s, value: s.conversations.save(dialog_id="d", tenant_id="t", duration=value),
        lambda s, value: s.conversations.update_by_id("c", {"tokens": value}),
        lambda s, value: s.conversations.delete_by_ids(value),
        lambda s, value: s.dialogs.insert_many([{"id": "d", "tenant_id": "t", "create_time": value}]),
        lambda s, value: s.tokens.issue(tenant_id="t", expire_date=value),
        lambda s, value: s.tokens.authenticate(value),
        lambda s, value: s.dialogs.insert_many(value),
        lambda s, value: jsonl.import_jsonl(s, value),
    ],
)
@pytest.mark.parametrize(
    "value", [Array(), Mock(spec=str), Mock(spec=int), Mock(spec=datetime)], ids=lambda v: type(v).__name__
)
def test_an_array_or_a_mock_raises_an_error_of_this_package(call: Any, value: Any) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=r"^\w+"):
        call(store_without_server(), value)


# -- dates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (LiarDate(2024, 5, 6), date(2024, 5, 6)),
        (LiarDatetime(2024, 5, 6, 12), datetime(2024, 5, 6, 12)),
        (LiarDatetime(2024, 5, 6, 12, 30, tzinfo=NOON.tzinfo), IN_UTC),
        (datetime(2024, 5, 6, 12, 30, tzinfo=Changing()), IN_UTC),
        (datetime(2024, 5, 6, 12, 30, fold=1), datetime(2024, 5, 6, 12, 30)),
        (LiarText("2024-05-06"), date(2024, 5, 6)),
    ],
)
def test_an_odd_date_is_the_day_or_instant_that_it_is(value: Any, result: Any) -> None:
    moment = dates.moment("x", value)
    assert (type(moment), moment) == (type(result), result)
    stored = dates.optional_date("x", value)
    assert stored is not None
    assert datetime.fromisoformat(stored).date() == date(2024, 5, 6)
    assert dates.start(moment, "UTC").startswith("2024-05-06")


@pytest.mark.parametrize(
    "value",
    [
        NoTime(1, 1, 1),
        *(datetime(2024, 1, 1, tzinfo=zone()) for zone in (Raises, Nonsense, Huge)),
    ],
)
def test_a_date_that_cannot_be_read_raises_an_error_that_names_the_argument(value: Any) -> None:
    for call in (dates.moment, dates.optional_date, dates.needed):
        with pytest.raises(InvalidArgument, match=r"^x must be a date that can be read; it raised \w+$"):
            call("x", value)


def test_a_uuid_is_its_digits() -> None:
    class Other(UUID):
        def __str__(self) -> str:
            return "other"

    assert validate.identifier("x", Other(int=5)) == f"{5:032x}"


# -- time zones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone", ["localtime", "Factory", "posixrules", "leapseconds", "posix/UTC", "utc", "x" * 100_000]
)
def test_a_name_that_is_no_zone_of_people_raises_a_short_error(zone: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^x must ") as caught:
        dates.time_zone("x", zone)
    assert len(str(caught.value)) < 300


def test_rejected_zones_are_not_kept() -> None:
    dates.time_zone("x", "UTC")
    tracemalloc.start()
    try:
        for number in range(2_000):
            with pytest.raises(InvalidArgument):
                dates.time_zone("x", f"{number:064}")
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_where_python_has_no_tables_plain_names_are_left_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "_zones", frozenset[str])
    for zone in ("UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "Etc/GMT+8"):
        assert dates.time_zone("x", zone) == zone
    for zone in ("CST", "UTC+8", "Asia/Shanghai+8", "localtime", "posixrules"):
        with pytest.raises(InvalidArgument, match=r"^x must be the name of an IANA time zone"):
            dates.time_zone("x", zone)


class Endless(Mapping[str, object]):
    """A mapping whose keys have no end."""

    def __getitem__(self, key: str) -> object:
        return 1

    def __iter__(self) -> Iterator[str]:
        return map(str, itertools.count())

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.conversations.update_by_id("c", Endless(), tenant_id="t"),
        lambda s: s.tokens.update_by_id(1, Endless(), tenant_id="t"),
        lambda s: s.dialogs.update_by_id("d", Endless(), tenant_id="t"),
    ],
)
def test_a_mapping_whose_keys_have_no_end_is_refused(call: Any) -> None:
    with pytest.raises(InvalidArgument, match="must have keys among"):
        call(store_without_server())
