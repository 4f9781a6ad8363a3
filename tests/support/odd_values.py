"""Values whose class says something else than they are, and classes that raise or return nonsense."""

from __future__ import annotations

import enum
from datetime import date, datetime, timedelta, tzinfo
from typing import Any


class Level(enum.IntEnum):
    HIGH = 3


class Number(int, enum.Enum):
    A = 3


class Liar(int):
    """An int whose every text is another one."""

    def __str__(self) -> str:
        return "7; DROP TABLE conversation"

    __repr__ = __format__ = __str__  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __lt__(self, other: object) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __eq__ = __lt__  # pyright: ignore[reportAssignmentType]

    def __hash__(self) -> int:
        return 0

    def __int__(self) -> int:
        return 7

    __index__ = __int__


class LiarFloat(float):
    def __float__(self) -> float:
        return 7.0

    def __repr__(self) -> str:
        return "7"

    __str__ = __repr__


class LiarText(str):
    def __str__(self) -> str:
        return "other"

    def __len__(self) -> int:
        return 0

    def __contains__(self, part: object) -> bool:
        return False

    def isascii(self) -> bool:
        return True


class LiarDate(date):
    def isoformat(self) -> str:
        return "1999-01-01"


class LiarDatetime(datetime):
    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return "1999-01-01"

    def astimezone(self, tz: Any = None) -> Any:
        return "1999-01-01"

    def __add__(self, other: Any) -> Any:
        return "1999-01-01"

    def replace(self, *_: Any, **__: Any) -> Any:
        return "1999-01-01"


class NoTime(datetime):
    """As the value of a data frame that stands for no time: by its class a datetime, of the year 1."""

    @property
    def year(self) -> Any:
        return float("nan")


class _Zone(tzinfo):
    def tzname(self, _: Any) -> None: ...

    def dst(self, _: Any) -> None: ...


class Raises(_Zone):
    def utcoffset(self, _: Any) -> timedelta:
        raise LookupError


class Nonsense(_Zone):
    def utcoffset(self, _: Any) -> Any:
        return "+08:00"


class Huge(_Zone):
    def utcoffset(self, _: Any) -> timedelta:
        return timedelta(days=400)


class Changing(_Zone):
    """Another offset at each look."""

    looks = 0

    def utcoffset(self, _: Any) -> timedelta:
        self.looks += 1
        return timedelta(hours=8 if self.looks == 1 else 1)


class Array:
    """As an array of numbers: a comparison gives an array, which has no truth."""

    def __eq__(self, other: object) -> Any:
        return Array()

    __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__  # pyright: ignore[reportAssignmentType]
    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return Array()

    def __repr__(self) -> str:
        raise ValueError("no text")


class LiarMapping(dict[str, Any]):
    """Says that it has other keys at each look."""

    looks = 0

    def items(self) -> Any:
        self.looks += 1
        return [("id", "d")] if self.looks == 1 else [("id", "d"), ("unknown", 1)]

    def __iter__(self) -> Any:
        return iter(["id"])

    def get(self, *_: Any) -> Any:
        return "another"


class Unhashable(dict[Any, Any]):
    """A mapping with keys that no dict takes."""

    def __init__(self, members: list[tuple[Any, Any]]) -> None:
        super().__init__()
        self._members = members

    def items(self) -> Any:
        return self._members


HUGE = 10**5_000  # which Python does not write
