"""Hostile values of every kind that a parameter takes, drawn at random."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock
from uuid import UUID

from conversation_store import NOT_READ
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
)

NAN, INFINITY = float("nan"), float("inf")

_PARTS = (
    *(
        "'",
        "''",
        '"',
        "\\",
        "\\\\'",
        "\\x00",
        "\\u0000",
        "$1",
        "$$",
        ":name",
        ":tenant_id::text",
        "%",
        "%s",
        "%(id)s",
        "_",
    ),
    *(";", "--", "/*", "*/", "\n", "\r", "\t", "\x01", "\x1f", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "\uffff"),
    *(
        "\0",
        "\ud800",
        "\udfff",
        "\ud83d\ude00",
        "\U0010ffff",
        "检索",
        "é",
        "e\u0301",
        "İ",
        "ß",
        "ſ",
        "\u202e",
        " ",
        "\u3000",
    ),
    *("{", "}", ",", "[", "]", "(", ")", "NULL", "null", "true", "0", "-1", "1e400", "NaN", "infinity", "now", "epoch"),
    *(
        "' OR 1=1 --",
        "'; DROP TABLE conversation_store.dialog; --",
        "E'\\000'",
        "\\copy",
        "\\.",
        "*",
        ".",
        "|",
        "~",
        "a",
    ),
)
_ZONES = (
    *("UTC", "Europe/Paris", "Asia/Kathmandu", "Etc/GMT+12", "America/Argentina/Buenos_Aires", "Pacific/Kiritimati"),
    *(
        "localtime",
        "Factory",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        "UTC+8",
        "CST6CDT",
        "EST5EDT4,M3",
        "+08:00",
        "utc",
        "",
    ),
    *(
        "Europe/paris",
        "../UTC",
        "UTC'",
        "UTC\0",
        "Zulu",
        "US/Pacific-New",
        "GMT0",
        "Asia/Shanghai ",
        "zone.tab",
        "tzdata.zi",
    ),
)
_DATES = (
    *(
        "2024-01-01",
        "20240101",
        "2024-W01-1",
        "2024-01-01T00:00:00.000001Z",
        "2024-01-01T24:00:00",
        "2024-02-30",
        "0000-01-01",
    ),
    *(
        "9999-12-31",
        "9999-12-31T23:59:59.999999",
        "0001-01-01",
        "0001-01-01T00:00:00+14:00",
        "10000-01-01",
        "-0001-01-01",
    ),
    *(
        "2024-01-01T00:00:00+23:59",
        "2024-01-01T00:00:00-23:59:59.999999",
        "2024-01-01T00:00:00+24:00",
        "2024-06-31",
        "now",
    ),
    *(
        "infinity",
        "-infinity",
        "epoch",
        "today",
        "1704067200",
        "2024-01-01 00:00:00 Europe/Paris",
        "2024-01-01\0",
        "２０２４-０１-０１",
    ),
    *("2024-03-31T02:30:00", "2024-10-27T02:30:00", "J2451545", "2024-01-01 BC", "", " "),
)
_ZONES_OF_DATES: tuple[Callable[[], Any], ...] = (
    *(Raises, Nonsense, Huge, Changing, lambda: UTC, lambda: timezone(timedelta(hours=23, minutes=59, microseconds=1))),
    *(lambda: None, lambda: timezone(-timedelta(hours=14))),
)


def text(random: Random) -> Any:
    """Return a text that some layer could misread, or that is too long."""
    value = "".join(random.choices(_PARTS, k=random.choice((1, 1, 2, 3, 8))))
    kind = random.randrange(40)
    if kind == 0:
        return value * random.choice((100, 2_000))
    if kind == 1:
        return LiarText(value)
    if kind == 2:
        return ""
    if kind < 12:
        return "".join(part for part in value if part != "\0" and not "\ud800" <= part <= "\udfff")
    return value


def number(random: Random) -> Any:
    """Return a number near a bound, or of a class of its own."""
    bound = random.choice((0, 1, 2, 100, 1_000, 10_000, 100_000, 2**31, 2**53, 2**63, 2**64, 10**15, 10**308, HUGE))
    return random.choice(
        (
            *(
                bound,
                -bound,
                bound - 1,
                bound + 1,
                1 - bound,
                -1 - bound,
                Liar(bound),
                Level.HIGH,
                Number.A,
                True,
                False,
            ),
            *(NAN, INFINITY, -INFINITY, -0.0, 1e15, 1.1e15, 1e308, 5e-324, LiarFloat(1.5), LiarFloat(INFINITY)),
            *(Decimal("1.1"), Decimal("NaN"), 1j, "1", "1e5"),
        )
    )


def moment(random: Random) -> Any:
    """Return a date or what looks like one."""
    kind = random.randrange(6)
    if kind < 3:
        return random.choice(_DATES)
    if kind == 3:
        day = date.fromordinal(random.choice((1, 2, 738_000, 3_652_058, 3_652_059)))
        return random.choice((day, LiarDate.fromordinal(day.toordinal())))
    instant = random.choice((datetime.min, datetime.max, datetime(2024, 3, 31, 2, 30), LiarDatetime(2024, 1, 1)))
    return random.choice(
        (instant, NoTime(1, 1, 1), datetime.combine(instant, instant.time(), random.choice(_ZONES_OF_DATES)()))
    )


def anything(random: Random) -> Any:
    """Return what is of no kind that a parameter takes."""
    return random.choice(
        (
            *(
                None,
                object(),
                Array(),
                [Array()],
                Mock(spec=str),
                Mock(spec=int),
                Mock(spec=dict),
                Mock(spec=datetime),
                Mock(),
            ),
            *(
                b"x",
                bytearray(b"x"),
                memoryview(b"x"),
                [],
                (),
                {},
                set[str](),
                [[]],
                {"": ""},
                range(3),
                iter("ab"),
                NOT_READ,
            ),
            *(
                NotImplemented,
                UUID(int=7),
                timedelta(1),
                timedelta.min,
                timedelta.max,
                MappingProxyType({}),
                Ellipsis,
                1j,
            ),
        )
    )


def span(random: Random) -> Any:
    """Return a length of time."""
    return random.choice(
        (timedelta(0), timedelta(microseconds=1), -timedelta(1), timedelta.max, timedelta(days=36_600), 5, NAN)
    )


def json_value(random: Random, depth: int = 0) -> Any:
    """Return a value that JSON has, or has not."""
    kind = random.randrange(9 if depth < 3 else 5)
    if kind == 0:
        return text(random)
    if kind == 1:
        return number(random)
    if kind == 2:
        return random.choice((moment, anything, span))(random)
    if kind < 5:
        return random.choice((None, True, 0, 1.5, "检索", "a", "a\0", [], {}))
    members = [json_value(random, depth + 1) for _ in range(random.randrange(4))]
    if kind < 7:
        return random.choice((list, tuple, list))(members)
    if kind == 7 and random.randrange(30) == 0:
        return nested(random.choice((10, 498, 500, 501, 3_000)))
    keys = [random.choice(("content", "role", "a", text(random), number(random), None, 417, True)) for _ in members]
    return {key if key.__hash__ else "k": member for key, member in zip(keys, members, strict=True)}


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def cursor(random: Random, made: str) -> Any:
    """Return a cursor that was changed, or one for the same list with a forged position."""
    kind = random.randrange(5)
    if kind == 0:
        at = random.randrange(len(made))
        return made[:at] + random.choice("Aa0-_=+/é\0") + made[at + random.randrange(2) :]
    if kind == 1:
        return made[: random.randrange(len(made))]
    parts: list[Any] = base64.urlsafe_b64decode(made + "=" * (-len(made) % 4)).decode().split("\0")
    parts[random.randrange(len(parts))] = random.choice((str(text(random)), random.choice(_DATES)))
    forged = "\0".join(parts).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(forged).decode().rstrip("=") if kind < 4 else forged.decode("latin-1")


def mapping(random: Random, fields: Mapping[str, str], right: Mapping[str, Any]) -> Any:
    """Return a row with hostile fields, each of its kind or of another."""
    kind = random.randrange(20)
    if kind == 0:
        return anything(random)
    if kind == 1:
        return LiarMapping()
    names = random.sample(sorted(fields), k=random.randint(1, 3))
    row = {name: value(random, fields[name]) for name in names}
    if kind == 2:
        row[random.choice(("unknown", text(random)))] = 1
    return {**row, **right} if kind < 14 else {**right, **row}


_KINDS: Mapping[str, Callable[[Random], Any]] = {
    "text": text,
    "number": number,
    "moment": moment,
    "span": span,
    "json": json_value,
    "json list": lambda random: [json_value(random) for _ in range(random.randrange(4))],
    "ids": lambda random: [random.choice((text, number, anything))(random) for _ in range(random.randrange(4))],
    "zone": lambda random: random.choice((*_ZONES, text(random))),
    "choice": lambda random: random.choice(("id", "name", "tokens", "exact", "none", "update_date", text(random))),
    "flag": lambda random: random.choice((True, False, 0, 1, "true")),
    "callback": lambda random: random.choice((None, print.__name__, 5, [])),
}


def value(random: Random, kind: str) -> Any:
    """Return a hostile value of a kind, and now and then of another one."""
    if random.randrange(5) == 0:
        return random.choice((text, number, moment, anything, json_value))(random)
    return _KINDS[kind](random)


def as_json(given: Any) -> Any:
    """Return what a JSON value is read as, or None where that is not known."""
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
        text.encode()
        return None if "\\u0000" in text else json.loads(text, object_pairs_hook=_unique)
    except (TypeError, ValueError, RecursionError):
        return None


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members) > len(dict(members)):
        raise ValueError
    return dict(members)
