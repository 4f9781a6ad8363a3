"""Days and instants: an instant goes to the server as text in which a local time names its zone.

The arithmetic of zones is the server's, with its own tables.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from typing import TypeAlias

from conversation_store._validation import integer, is_a, shown, text
from conversation_store.errors import InvalidArgument, InvalidArgumentType

Moment: TypeAlias = date | datetime | str
"""A day or an instant: a date, a datetime, or ISO 8601 text of either."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_TIME, _MAX_TIME = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


_MAX_ZONE = 64
# Names in the tables that are no zones of people: the machine's own zone, and rules that stand for others.
_PLAIN_ZONE = re.compile(r"UTC|GMT|[A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT[+-]\d{1,2}", re.ASCII)
_NO_ZONES = {"localtime", "Factory", "posixrules"}


def time_zone(name: str, value: object) -> str:
    """Return the name of an IANA time zone; an offset or an abbreviation raises `InvalidArgument`."""
    zone = text(name, value, maximum=_MAX_ZONE)
    # Where Python has no tables at all, a name that can be nothing else is left to the server. That would also take
    # POSIX rules, in which 'UTC+8' lies west of Greenwich, and abbreviations.
    if zone not in _zones() if _zones() else not _PLAIN_ZONE.fullmatch(zone):
        raise InvalidArgument(
            f"{name} must be the name of an IANA time zone, such as 'Europe/Paris' or 'UTC', not {shown(zone)}"
        )
    return zone


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - _NO_ZONES)


def moment(name: str, value: object) -> date | datetime:
    """Return a date for a whole day and a datetime for an instant, in UTC where it has an offset."""
    return _exact(name, _read(name, value)[0])


def last(name: str, value: object) -> date | datetime:
    """Return the day, or the last instant, that a date covers.

    A datetime covers itself, and a text all of its last unit, as the text of a day does: '23:59' a minute, '23:59:59' a
    second, '23:59:59.999' a millisecond.
    """
    read, unit = _read(name, value)
    # Before it is in UTC, where it may end beyond the calendar.
    return _exact(name, read + (unit - timedelta.resolution) if unit else read)


def _read(name: str, value: object) -> tuple[date | datetime, timedelta | None]:
    """Return a day or an instant as it was given, and how long the last unit is of the text of an instant."""
    if is_a(value, date):
        return value, None
    if not is_a(value, str):
        raise InvalidArgumentType(f"{name} must be a date, a datetime or ISO 8601 text, not {type(value).__name__}")
    written = str.__str__(value)
    try:
        return date.fromisoformat(written), None
    except ValueError:
        pass
    try:
        # Python takes any character between date and time, ISO 8601 a T, and people a blank.
        if time := re.fullmatch(r"[0-9W-]+[T ]([0-9:]+)(?:[.,]([0-9]+))?(?:[Z+-][0-9:.,]*)?", written, re.ASCII):
            return datetime.fromisoformat(written), _unit(*time.groups(default=""))
    except ValueError:
        pass
    raise InvalidArgument(
        f"{name} must be ISO 8601, such as '2024-01-31' or '2024-01-31T12:00:00+01:00', not {shown(written)}"
    )


def _unit(whole: str, fraction: str) -> timedelta:
    """Return how long the last unit is that a time has: its hour, its minute, its second, or a fraction of one."""
    if fraction:
        return timedelta(seconds=1) / 10.0 ** min(len(fraction), 6)
    return timedelta(hours=1) / 60.0 ** (len(whole.replace(":", "")) // 2 - 1)


def needed(name: str, value: object, read: Callable[[str, object], date | datetime] = moment) -> date | datetime:
    """Return the day or instant of an argument that has no default, as `moment` or `last` reads it."""
    if value is None or is_empty(value):
        raise InvalidArgument(f"{name} must be given")
    return read(name, value)


def is_empty(value: object) -> bool:
    """Return whether a value is the empty text; others may not know how to compare themselves with it."""
    return is_a(value, str) and not str.__len__(value)


def bounds(from_date: object, to_date: object, zone: str) -> dict[str, str | None]:
    """Return the first instant of a filter and the first one after it; for None or an empty text there is none."""
    since = None if from_date is None or is_empty(from_date) else moment("from_date", from_date)
    until = None if to_date is None or is_empty(to_date) else last("to_date", to_date)
    return {
        "from_date": None if since is None else start(since, zone),
        "before_date": None if until is None else end(until, zone),
    }


def _exact(name: str, value: date) -> date | datetime:
    """Return a date or an instant in no class of a caller, and in UTC where it has an offset."""
    try:
        exact = exact_date(value)
        offset = exact.utcoffset() if isinstance(exact, datetime) else None
    except Exception as error:  # of a class of the caller, or of its time zone
        raise InvalidArgument(f"{name} must be a date that can be read; it raised {type(error).__name__}") from error
    if not isinstance(exact, datetime):
        return exact
    local = exact.replace(tzinfo=None)
    if offset is None:
        return local
    # The server knows fewer offsets than Python, and Python fewer years.
    try:
        return (local - offset).replace(tzinfo=UTC)
    except OverflowError:
        far = local.replace(tzinfo=timezone(offset)).isoformat()
        raise InvalidArgument(f"{name} must lie in the years 1 to 9999 in UTC, not {far}") from None


def exact_date(value: date) -> date | datetime:
    """Return a date or a datetime as exactly that, of a subclass too.

    Raises `ValueError` when the subclass says of itself that it is another day: such as one that stands for no time.
    """
    day = date.fromordinal(date.toordinal(value))
    if (value.year, value.month, value.day) != (day.year, day.month, day.day):
        raise ValueError("a date must be what it says")
    return datetime.combine(day, datetime.timetz(value)) if isinstance(value, datetime) else day


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
        is_local = not isinstance(value, datetime) or value.utcoffset() is None
        return f"10000-01-01 00:00:00 {zone if is_local else 'UTC'}"
