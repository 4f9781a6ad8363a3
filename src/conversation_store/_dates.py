"""Days and instants: an instant goes to the server as text in which a local time names its zone.

The arithmetic of zones is the server's, with its own tables.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TypeAlias, cast

from conversation_store._validation import integer, text
from conversation_store.errors import InvalidArgument, InvalidArgumentType

Moment: TypeAlias = date | datetime | str
"""A day or an instant: a date, a datetime, or ISO 8601 text of either."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_TIME, _MAX_TIME = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


def time_zone(name: str, value: object) -> str:
    """Return the name of an IANA time zone; an offset or an abbreviation raises `InvalidArgument`."""
    if not _is_time_zone(text(name, value)):
        raise InvalidArgument(
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
    """Return a date for a whole day and a datetime for an instant, in UTC where it has an offset."""
    if isinstance(value, datetime):
        return _in_utc(name, value)
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise InvalidArgumentType(f"{name} must be a date, a datetime or ISO 8601 text, not {type(value).__name__}")
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
    raise InvalidArgument(
        f"{name} must be ISO 8601, such as '2024-01-31' or '2024-01-31T12:00:00+01:00', not {value!r}"
    )


def needed(name: str, value: object) -> date | datetime:
    """Return the day or instant of an argument that has no default."""
    if value is None or value == "":
        raise InvalidArgument(f"{name} must be given")
    return moment(name, value)


def _in_utc(name: str, instant: datetime) -> datetime:
    # The server knows fewer offsets than Python, and Python fewer years.
    try:
        return instant if instant.utcoffset() is None else instant.astimezone(UTC)
    except OverflowError:
        raise InvalidArgument(f"{name} must lie in the years 1 to 9999 in UTC, not {instant.isoformat()}") from None


def optional_date(name: str, value: object) -> str | None:
    """Return a date to store, a day as its first instant and in UTC where it has no offset, or None for None."""
    if value is None:
        return None
    instant = moment(name, value)
    if not isinstance(instant, datetime):
        instant = datetime(instant.year, instant.month, instant.day)
    return instant.replace(tzinfo=UTC).isoformat(" ")


def date_or_time(name: str, given: Mapping[str, object], kind: str) -> str | None:
    """Return the date to store of a row that has it as `create_date`, or in milliseconds as `create_time`."""
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
