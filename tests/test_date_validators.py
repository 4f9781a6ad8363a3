"""The validators of days, instants and time zones, and the texts that the server gets of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_store import _dates as dates
from support.validators import WRONG, WRONG_TYPE, Bad, Tables, Validator, accepted, assert_rejects, rejected, same

PLUS_8, PLUS_14 = timezone(timedelta(hours=8)), timezone(timedelta(hours=14))
BEFORE_YEAR_1 = r"must lie in the years 1 to 9999 in UTC, not 0001-01-01T00:00:00\+14:00"
AFTER_YEAR_9999 = "must lie in the years 1 to 9999 in UTC, not 9999-12-31T23:59:59-01:00"
ISO = r"must be ISO 8601, such as '2024-01-31' or '2024-01-31T12:00:00\+01:00', not"
ZONE = "x must be the name of an IANA time zone, such as 'Europe/Paris' or 'UTC', not"
NO_DATES = [
    "",
    " ",
    "now",
    "2024",
    "garbage",
    "Jan 2, 2024",
    "2024-01-01 ",
    "2024-13-01",
    "2024-02-30",
    "2024-01-01x10:00",
    "2024-01-01T25:00",
    "infinity",
    "12:00",
    "1704067200",
]
DATE_ERRORS: Bad = [
    *[(text, WRONG, f"x {ISO} '{text}'") for text in NO_DATES],
    (20240101, WRONG_TYPE, "x must be a date, a datetime or ISO 8601 text, not int"),
    (["2024-01-01"], WRONG_TYPE, "x must be a date, a datetime or ISO 8601 text, not list"),
    ("0001-01-01T00:00:00+14:00", WRONG, f"x {BEFORE_YEAR_1}"),
    ("9999-12-31T23:59:59-01:00", WRONG, f"x {AFTER_YEAR_9999}"),
    (datetime(1, 1, 1, tzinfo=PLUS_14), WRONG, f"x {BEFORE_YEAR_1}"),
]
EXAMPLE = datetime(2024, 1, 1, 10, 0)

VALIDATORS: Tables = {
    "time_zone": (
        partial(dates.time_zone, "x"),
        same("UTC", "GMT", "Japan", "Europe/Paris", "Etc/GMT+8", "America/Argentina/Buenos_Aires"),
        [
            *[
                (zone, WRONG, f"{ZONE} '{zone}'".replace("+", r"\+"))
                for zone in ("+08:00", "UTC+8", "CST", "", " ", "Asia/Shanghai+8", "Mars/Olympus", "../../etc/passwd")
            ],
            ("Europe/Paris'", WRONG, f'{ZONE} "Europe/Paris\'"'),
            ("UTC\0", WRONG, r"x must not contain U\+0000"),
            (None, WRONG_TYPE, "x must be a str, not NoneType"),
            (8, WRONG_TYPE, "x must be a str, not int"),
        ],
    ),
    "moment": (
        partial(dates.moment, "x"),
        [
            *same(date(2024, 1, 1), EXAMPLE, EXAMPLE.replace(tzinfo=UTC)),
            ("2024-01-01", date(2024, 1, 1)),
            ("20240102", date(2024, 1, 2)),
            ("2024-W01-1", date(2024, 1, 1)),
            ("2024-01-01T10:00", EXAMPLE),
            ("2024-01-01 10:00:00", EXAMPLE),
            ("2024-01-01T10:00:00Z", EXAMPLE.replace(tzinfo=UTC)),
            ("2024-01-01T10:00:00+0800", datetime(2024, 1, 1, 2, tzinfo=UTC)),
            (EXAMPLE.replace(tzinfo=PLUS_8), datetime(2024, 1, 1, 2, tzinfo=UTC)),
        ],
        [*DATE_ERRORS, (None, WRONG_TYPE, "x must be a date, a datetime or ISO 8601 text, not NoneType")],
    ),
    "last": (
        partial(dates.last, "x"),
        [
            *same(date(2024, 1, 1), EXAMPLE, EXAMPLE.replace(tzinfo=UTC)),
            ("2024-01-01", date(2024, 1, 1)),
            ("2024-01-01T10", datetime(2024, 1, 1, 10, 59, 59, 999999)),
            ("20240101T1000", datetime(2024, 1, 1, 10, 0, 59, 999999)),
            ("2024-01-01 10:00", datetime(2024, 1, 1, 10, 0, 59, 999999)),
            ("20240101T100000", datetime(2024, 1, 1, 10, 0, 0, 999999)),
            ("2024-01-01 10:00:00", datetime(2024, 1, 1, 10, 0, 0, 999999)),
            ("2024-01-01T10:00:00.4", datetime(2024, 1, 1, 10, 0, 0, 499999)),
            ("2024-01-01T10:00:00,400", datetime(2024, 1, 1, 10, 0, 0, 400999)),
            ("2024-01-01T10:00:00.400000", datetime(2024, 1, 1, 10, 0, 0, 400000)),
            ("2024-01-01T10:00:00.4000009", datetime(2024, 1, 1, 10, 0, 0, 400000)),
            ("2024-01-01T10:00:00Z", datetime(2024, 1, 1, 10, 0, 0, 999999, UTC)),
            ("2024-01-01T10:00-04:30", datetime(2024, 1, 1, 14, 30, 59, 999999, UTC)),
            ("2024-01-01T10:00:00.5+05:30:15.5", datetime(2024, 1, 1, 4, 29, 45, 99999, UTC)),
            ("9999-12-31T23:59:59Z", datetime.max.replace(tzinfo=UTC)),
        ],
        [
            *DATE_ERRORS[:-3],
            ("9999-12-31T23:59:59-01:00", WRONG, f"x {AFTER_YEAR_9999}".replace("59-01", r"59.999999-01")),
            (
                "9999-12-31T23-00:01",
                WRONG,
                "x must lie in the years 1 to 9999 in UTC, not 9999-12-31T23:59:59.999999-00:01",
            ),
            *[(text, WRONG, f"x {ISO} '{text}'") for text in ("2024-01-01T10:00:00.", "2024-01-01T1")],
        ],
    ),
    "needed": (
        partial(dates.needed, "x"),
        [*same(date(2024, 1, 1), EXAMPLE), ("2024-01-01", date(2024, 1, 1))],
        [
            (None, WRONG, "x must be given"),
            *[(value, error, "x must be given" if value == "" else text) for value, error, text in DATE_ERRORS],
        ],
    ),
    "optional_date": (
        partial(dates.optional_date, "x"),
        [
            (None, None),
            ("2024-01-01", "2024-01-01 00:00:00+00:00"),
            (date(2024, 1, 1), "2024-01-01 00:00:00+00:00"),
            (EXAMPLE, "2024-01-01 10:00:00+00:00"),
            ("2024-01-01T10:00:00.5+08:00", "2024-01-01 02:00:00.500000+00:00"),
        ],
        DATE_ERRORS,
    ),
    "date_or_time": (
        lambda row: dates.date_or_time("x", row, "create"),
        [
            ({}, None),
            ({"create_date": None, "create_time": None}, None),
            ({"update_date": "2024-01-01", "update_time": 1}, None),
            ({"create_date": "2024-01-01"}, "2024-01-01 00:00:00+00:00"),
            ({"create_date": "2024-01-01", "create_time": 1}, "2024-01-01 00:00:00+00:00"),
            ({"create_time": 0}, "1970-01-01 00:00:00+00:00"),
            ({"create_time": 1_704_067_200_001}, "2024-01-01 00:00:00.001000+00:00"),
            ({"create_time": -62_135_596_800_000}, "0001-01-01 00:00:00+00:00"),
            ({"create_time": 253_402_300_799_999}, "9999-12-31 23:59:59.999000+00:00"),
        ],
        [
            ({"create_date": "now"}, WRONG, rf"x\['create_date'\] {ISO} 'now'"),
            ({"create_date": "0001-01-01T00:00:00+14:00"}, WRONG, rf"x\['create_date'\] {BEFORE_YEAR_1}"),
            ({"create_time": "1"}, WRONG_TYPE, r"x\['create_time'\] must be an int, not str"),
            ({"create_time": True}, WRONG_TYPE, r"x\['create_time'\] must be an int, not bool"),
            (
                {"create_date": "2024-01-01", "create_time": 1.0},
                WRONG_TYPE,
                r"x\['create_time'\] must be an int, not float",
            ),
            (
                {"create_time": -62_135_596_800_001},
                WRONG,
                r"x\['create_time'\] must be at least -62135596800000, not -62135596800001",
            ),
            (
                {"create_time": 253_402_300_800_000},
                WRONG,
                r"x\['create_time'\] must be at most 253402300799999, not 253402300800000",
            ),
        ],
    ),
    "start": (
        lambda value: dates.start(value, "Asia/Tokyo"),
        [
            (date(2024, 12, 31), "2024-12-31 00:00:00 Asia/Tokyo"),
            (EXAMPLE, "2024-01-01 10:00:00 Asia/Tokyo"),
            (EXAMPLE.replace(tzinfo=UTC), "2024-01-01 10:00:00+00:00"),
            (date.min, "0001-01-01 00:00:00 Asia/Tokyo"),
        ],
        [],
    ),
    "end": (
        lambda value: dates.end(value, "Asia/Tokyo"),
        [
            (date(2024, 12, 31), "2025-01-01 00:00:00 Asia/Tokyo"),
            (datetime(2024, 1, 1, 23, 59, 59, 999999), "2024-01-02 00:00:00 Asia/Tokyo"),
            (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01 00:00:00.000001+00:00"),
            (date.max, "10000-01-01 00:00:00 Asia/Tokyo"),
            (datetime.max, "10000-01-01 00:00:00 Asia/Tokyo"),
            (datetime.max.replace(tzinfo=UTC), "10000-01-01 00:00:00 UTC"),
            (datetime.max - timedelta(1), "9999-12-31 00:00:00 Asia/Tokyo"),
        ],
        [],
    ),
}


@pytest.mark.parametrize(("validator", "value", "result"), accepted(VALIDATORS))
def test_an_allowed_value_is_returned_as_it_is_sent(validator: Validator, value: object, result: object) -> None:
    assert validator(value) == result


@pytest.mark.parametrize(("validator", "value", "error", "message"), rejected(VALIDATORS))
def test_any_other_value_raises_an_error_that_names_the_argument_and_what_is_allowed(
    validator: Validator, value: object, error: type[Exception], message: str
) -> None:
    assert_rejects(validator, value, error, message)


@given(st.datetimes(), st.sampled_from(["hours", "minutes", "seconds", "milliseconds", "microseconds"]))
def test_the_text_of_an_instant_covers_all_instants_whose_text_begins_with_it(instant: datetime, unit: str) -> None:
    written = instant.isoformat(timespec=unit)
    covered = dates.last("x", written)
    assert isinstance(covered, datetime)
    assert covered.isoformat(timespec=unit) == written
    assert covered == datetime.max or (covered + timedelta.resolution).isoformat(timespec=unit) != written


@given(st.datetimes() | st.dates())
def test_every_date_of_python_has_a_text_for_its_start_and_a_later_one_for_its_end(value: date) -> None:
    assert dates.start(value, "UTC").startswith(f"{value.year:04}-")
    assert dates.end(value, "UTC") > dates.start(value, "UTC") or value.year == 9999
