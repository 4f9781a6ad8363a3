"""The dates of a RAGFlow database: the wall clock that people saw, in whole seconds, and a bigint of milliseconds."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from conversation_store import _dates as dates
from conversation_store.errors import InvalidArgument
from conversation_store.models import milliseconds

_YEAR_2000 = 946_684_800_000
_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reading(NamedTuple):
    """An instant or None, whether it is the bigint for want of a date, and how the two contradict each other."""

    instant: datetime | None
    from_time: bool = False
    conflict: str = ""


class WallClock:
    """Reads the dates of a source whose wall clock is that of a time zone."""

    def __init__(self, name: str, zone: object) -> None:
        """Check the name of the zone; raises `InvalidArgument` where Python does not know its rules."""
        self.zone = dates.time_zone(name, zone)
        self._rules = _rules(name, self.zone)
        self._last = milliseconds(datetime.now(UTC)) + _DAY

    def read(self, kind: str, date: datetime | None, time: int | None) -> Reading:
        """Return the instant of a date without a zone and of the bigint beside it; *kind* is "create" or "update".

        The bigint is believed where it lies between the year 2000 and tomorrow. Where both show the same second it
        adds its milliseconds, unless the date has a fraction of its own. Where they are more than a second apart the
        date counts.
        """
        instant = None if time is None or not _YEAR_2000 <= time <= self._last else _instant(time)
        if date is None:
            return Reading(instant, from_time=instant is not None)
        # The server of such a date would take the smaller offset, for an hour that comes twice and for one that is left
        # out. The other reading is right where the bigint says so.
        readings = sorted({self._at(date, fold) for fold in (0, 1)}, reverse=True)
        if instant is None:
            return Reading(readings[0])
        for reading in readings:
            if reading.replace(microsecond=0) == instant.replace(microsecond=0):
                return Reading(reading if date.microsecond else instant)
        for reading in readings:
            if abs(reading - instant) <= timedelta(seconds=1):
                return Reading(reading)
        there = instant.isoformat(" ", "milliseconds")
        return Reading(readings[0], conflict=f"{kind}_date is {readings[0].isoformat(' ')}, {kind}_time is {there}")

    def _at(self, date: datetime, fold: int) -> datetime:
        return date.replace(tzinfo=self._rules, fold=fold).astimezone(UTC)


def _instant(time: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time)


def _rules(name: str, zone: str) -> tzinfo:
    if zone == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(zone)
    except zoneinfo.ZoneInfoNotFoundError:
        pass
    raise InvalidArgument(f"{name} is {zone!r}, and this Python has no table of it: pip install tzdata")
