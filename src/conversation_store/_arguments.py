"""Checking arguments before any SQL: each function returns the value to send, or raises an error that names it."""

from __future__ import annotations

import inspect
import json
import math
import re
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias, cast

Moment: TypeAlias = date | datetime | str
"""A day or an instant: a date, a datetime, or ISO 8601 text of either."""

MAX_ID = 128
MAX_USER_ID = 255
MAX_SOURCE = 64
MAX_BETA = 255
MAX_INTEGER = 2**31 - 1
MAX_BIGINT = 2**63 - 1
MAX_JSON_DEPTH = 500
MAX_IDS = 10_000
# Python reads and writes no longer numbers as text; what has so many bits has no more digits.
_MAX_DIGITS = 4_298
_MAX_BITS = 14_281
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_TIME, _MAX_TIME = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


def text(name: str, value: object, *, maximum: int | None = None) -> str:
    """Return *value* when PostgreSQL can store it as text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if (reason := _unstorable(value)) is not None:
        raise ValueError(f"{name} must not contain {reason}")
    if maximum is not None and len(value) > maximum:
        raise ValueError(f"{name} must have at most {maximum} characters, not {len(value)}")
    return value


def optional_text(name: str, value: object, *, maximum: int | None = None) -> str | None:
    """Return text, or None for None."""
    return None if value is None else text(name, value, maximum=maximum)


def identifier(name: str, value: object, *, maximum: int = MAX_ID) -> str:
    """Return an id: text that is not empty, or an int as its decimal text."""
    result = optional_identifier(name, value, maximum=maximum)
    if not result:
        raise ValueError(f"{name} must be given and not be empty")
    return result


def optional_identifier(name: str, value: object, *, maximum: int = MAX_ID) -> str | None:
    """Return an id, which may be empty, or None for None."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    elif value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a str or an int, not {type(value).__name__}")
    return optional_text(name, value, maximum=maximum)


def identifiers(name: str, value: object) -> list[str]:
    """Return the ids of a list, each once, in their own order; a text is no list of ids."""
    members = list(_members(name, value, "a list of ids"))
    if len(members) > MAX_IDS:
        raise ValueError(f"{name} must have at most {MAX_IDS} ids, not {len(members)}")
    return sorted({identifier(f"{name}[{index}]", member) for index, member in enumerate(members)})


def rows(name: str, value: object) -> Iterable[object]:
    """Return something to iterate over, each member of which is a row."""
    return _members(name, value, "an iterable of mappings")


def _members(name: str, value: Any, wanted: str) -> Iterable[object]:
    # A text and a mapping can be iterated over too, but never are what was meant.
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be {wanted}, not {type(cast(object, value)).__name__}")
    return cast(Iterable[object], value)


def seconds(name: str, value: object) -> float:
    """Return a timedelta that is not negative in seconds."""
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
    if not timedelta(0) <= value <= timedelta(days=36_600):
        raise ValueError(f"{name} must be between no time and 36600 days, not {value}")
    return value.total_seconds()


def callback(name: str, value: object) -> None:
    """Check that *value* is None or a function that is called and not awaited."""
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise TypeError(f"{name} must be None or a plain function, which is called and not awaited")


def integer(name: str, value: object, *, minimum: int = -MAX_INTEGER - 1, maximum: int = MAX_INTEGER) -> int:
    """Return an int within its limits; True and False are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} must be between {minimum} and {maximum}, not {value}")
    return value


def bigint(name: str, value: object) -> int:
    """Return an int that fits into 64 bits."""
    return integer(name, value, minimum=-MAX_BIGINT - 1, maximum=MAX_BIGINT)


def number(name: str, value: object) -> float:
    """Return a finite float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a float, not {type(value).__name__}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number")
    return result


def boolean(name: str, value: object) -> bool:
    """Return True or False; nothing else stands for them."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return *value* when it is one of the closed list."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return cast(str, value)


def json_text(name: str, value: object) -> str:
    """Return *value* as JSON text that PostgreSQL stores and Python reads back as it was.

    Raises `ValueError` or `TypeError` naming the path: U+0000, lone surrogates, NaN and infinities, keys that are
    no strings, types that JSON has not, and nesting beyond 500 levels.
    """
    _check_json(name, value)
    return _dumps(value)


def json_entries(name: str, value: object) -> list[str] | str:
    """Return the JSON text of each entry of a list, or that of a value which is no list; raises as `json_text` does."""
    _check_json(name, value)
    return (
        [_dumps(entry) for entry in cast(Sequence[object], value)]
        if isinstance(value, (list, tuple))
        else _dumps(value)
    )


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _check_json(name: str, value: object) -> None:
    pending: list[tuple[str, object, int]] = [(name, value, 0)]
    while pending:
        path, item, depth = pending.pop()
        if depth > MAX_JSON_DEPTH:
            raise ValueError(f"{name} must not be nested deeper than {MAX_JSON_DEPTH} levels")
        if isinstance(item, str):
            if (reason := _unstorable(item)) is not None:
                raise ValueError(f"{path} must not contain {reason}")
        elif isinstance(item, dict):
            for key, member in cast(dict[object, object], item).items():
                if not isinstance(key, str):
                    raise TypeError(f"{path} must have str keys, not {type(key).__name__}")
                if (reason := _unstorable(key)) is not None:
                    raise ValueError(f"a key of {path} must not contain {reason}")
                pending.append((f"{path}[{key!r}]", member, depth + 1))
        elif isinstance(item, (list, tuple)):
            members = cast(Sequence[object], item)
            pending.extend((f"{path}[{index}]", member, depth + 1) for index, member in enumerate(members))
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise ValueError(f"{path} must be a finite number, not {item}")
        elif isinstance(item, int):
            if item.bit_length() > _MAX_BITS:
                raise ValueError(f"{path} must have at most {_MAX_DIGITS} digits")
        elif item is not None:
            raise TypeError(f"{path} must be a JSON value, not {type(item).__name__}")


def json_list(name: str, value: object) -> str:
    """Return a list or tuple as JSON text."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list, not {type(value).__name__}")
    return json_text(name, cast(Sequence[object], value))


def keys(name: str, value: object, allowed: Sequence[str]) -> Mapping[str, object]:
    """Return a mapping that has no other keys than the allowed ones."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(value).__name__}")
    mapping = cast(Mapping[str, object], value)
    if unknown := [key for key in mapping if key not in allowed]:
        raise ValueError(f"{name} must have keys among {', '.join(allowed)}; unknown: {', '.join(map(repr, unknown))}")
    return mapping


def _unstorable(value: str) -> str | None:
    if "\0" in value:
        return "U+0000"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"the lone surrogate U+{ord(value[error.start]):04X}"
    return None


# -- days and instants --------------------------------------------------------------------
#
# An instant goes to the server as text in which a local time carries its zone by name: the arithmetic of zones is
# the server's, with its own tables.


def time_zone(name: str, value: object) -> str:
    """Return the name of an IANA time zone; offsets and abbreviations are none."""
    if not _is_time_zone(text(name, value)):
        raise ValueError(
            f"{name} must be the name of an IANA time zone, such as 'Europe/Paris' or 'UTC', not {value!r}"
        )
    return cast(str, value)


@cache
def _is_time_zone(value: str) -> bool:
    # The server would also take POSIX rules, in which 'UTC+8' lies west of Greenwich, and abbreviations.
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", value):
        return False
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, OSError):
        # Where Python has no tables at all, a name that can be nothing else is left to the server.
        plain = re.fullmatch(r"UTC|GMT|[A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT[+-]\d{1,2}", value) is not None
        return plain and not zoneinfo.available_timezones()
    return True


def moment(name: str, value: object) -> date | datetime:
    """Return a date for a whole day and a datetime for an instant, in UTC where it says its offset."""
    if isinstance(value, datetime):
        return _in_utc(name, value)
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a date, a datetime or ISO 8601 text, not {type(value).__name__}")
    try:
        return date.fromisoformat(value)
    except ValueError:
        pass
    instant = None
    try:
        # Python takes any character between date and time, ISO 8601 a T, and people a blank.
        if re.fullmatch(r"[0-9W-]+[T ][0-9:.,Z+-]+", value, re.ASCII):
            instant = datetime.fromisoformat(value)
    except ValueError:
        pass
    if instant is not None:
        return _in_utc(name, instant)
    raise ValueError(f"{name} must be ISO 8601, such as '2024-01-31' or '2024-01-31T12:00:00+01:00', not {value!r}")


def _in_utc(name: str, instant: datetime) -> datetime:
    # The server knows fewer offsets than Python, and Python fewer years.
    try:
        return instant if instant.utcoffset() is None else instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} must lie in the years 1 to 9999 in UTC, not {instant.isoformat()}") from None


def optional_date(name: str, value: object) -> str | None:
    """Return a date to store, a day as its first instant and in UTC where it says no offset, or None for None."""
    if value is None:
        return None
    instant = moment(name, value)
    if not isinstance(instant, datetime):
        instant = datetime(instant.year, instant.month, instant.day)
    return instant.replace(tzinfo=UTC).isoformat(" ")


def date_or_time(name: str, given: Mapping[str, object], kind: str) -> str | None:
    """Return the stored date of a row that says it as `create_date`, or in milliseconds as `create_time`."""
    date_key, time_key = f"{kind}_date", f"{kind}_time"
    date = optional_date(f"{name}[{date_key!r}]", given.get(date_key))
    if given.get(time_key) is None:
        return date
    time = integer(f"{name}[{time_key!r}]", given[time_key], minimum=_MIN_TIME, maximum=_MAX_TIME)
    return date or (_EPOCH + timedelta(milliseconds=time)).isoformat(" ")


def start(value: date | datetime, zone: str) -> str:
    """Return the first instant of a day, or the instant itself."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value.isoformat(" ") + ("" if value.utcoffset() is not None else f" {zone}")


def end(value: date | datetime, zone: str) -> str:
    """Return the first instant after a day, or after the instant itself."""
    step = timedelta(microseconds=1) if isinstance(value, datetime) else timedelta(days=1)
    try:
        return start(value + step, zone)
    except OverflowError:  # Python's calendar ends with the year 9999, the server's does not
        return f"10000-01-01 00:00:00 {zone}"
