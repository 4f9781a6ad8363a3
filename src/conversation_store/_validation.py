"""Checking arguments before any SQL: each function returns the value to send, or raises an error that names it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, TypeAlias, TypeGuard, TypeVar, cast
from uuid import UUID

from conversation_store.errors import InvalidArgument, InvalidArgumentType
from conversation_store.models import NOT_READ

T = TypeVar("T")

Id: TypeAlias = str | int | UUID
"""An id: text, an int, which stands for its decimal text, or a UUID, which stands for its 32 hex digits."""

MAX_ID = 128
MAX_USER_ID = 255
MAX_SOURCE = 64
MAX_BETA = 255
MAX_INTEGER = 2**31 - 1
MAX_BIGINT = 2**63 - 1
MAX_REVISION = 2**62  # which leaves room for its increments
MAX_IDS = 10_000
MAX_NAME = 1_000
MAX_KEYWORDS = 1_000
MAX_ERRORS = 1_000_000
MAX_DURATION = 1e15
_NOTHING, _LONGEST = timedelta(0), timedelta(days=36_600)
# Python reads and writes no longer numbers as text; what has so many bits has no more digits.
MAX_DIGITS = 4_298
MAX_BITS = 14_281


def is_a(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    """Return whether a value is of a type, and does not only say so, as a mock does."""
    return issubclass(type(value), kind)


def shown(value: object) -> str:
    """Return a value as an error quotes it: in bounded length, whatever its class does."""
    try:
        text = repr(value)
    except Exception:
        return f"a value of the type {type(value).__name__}"
    return text if len(text) <= 100 else text[:100] + "…"


def text(name: str, value: object, *, maximum: int | None = None) -> str:
    """Return *value* when PostgreSQL can store it as text."""
    if not is_a(value, str):
        raise InvalidArgumentType(f"{name} must be a str, not {type(value).__name__}")
    exact = str.__str__(value)  # of a subclass too, whose own methods may say something else than what is sent
    if (reason := unstorable(exact)) is not None:
        raise InvalidArgument(f"{name} must not contain {reason}")
    if maximum is not None and len(exact) > maximum:
        raise InvalidArgument(f"{name} must have at most {maximum} characters, not {len(exact)}")
    return exact


def optional_text(name: str, value: object, *, maximum: int | None = None) -> str | None:
    """Return text, or None for None."""
    return None if value is None else text(name, value, maximum=maximum)


def optional_name(name: str, value: object) -> str | None:
    """Return the name of something, or None for None."""
    return optional_text(name, value, maximum=MAX_NAME)


def identifier(name: str, value: object, *, maximum: int = MAX_ID) -> str:
    """Return an id, which is not empty, as its text."""
    result = optional_identifier(name, value, maximum=maximum)
    if not result:
        raise InvalidArgument(f"{name} must be given and not be empty")
    return result


def optional_identifier(name: str, value: object, *, maximum: int = MAX_ID) -> str | None:
    """Return an id, which may be empty, as its text, or None for None."""
    if is_a(value, UUID):
        return text(name, f"{int(value.int):032x}", maximum=maximum)
    if is_a(value, int) and not is_a(value, bool):
        if int.bit_length(value) > MAX_BITS:  # which Python does not write
            raise InvalidArgument(f"{name} must have at most {maximum} characters")
        return text(name, int.__repr__(value), maximum=maximum)  # of a subclass too, such as an IntEnum
    if value is not None and not is_a(value, str):
        raise InvalidArgumentType(f"{name} must be a str, an int or a UUID, not {type(value).__name__}")
    return optional_text(name, value, maximum=maximum)


def optional_filter(name: str, value: object, *, maximum: int = MAX_ID) -> str | None:
    """Return an id that a call narrows to, or None for no filter; an empty one raises `InvalidArgument`."""
    return None if value is None else identifier(name, value, maximum=maximum)


def identifiers(name: str, value: object) -> list[str]:
    """Return the ids of a list, each once, in order; a text raises `InvalidArgumentType`."""
    ids: set[str] = set()
    for index, member in enumerate(members(name, value, "a list of ids")):
        if index == MAX_IDS:  # the rest may have no end
            raise InvalidArgument(f"{name} must have at most {MAX_IDS} ids")
        ids.add(identifier(f"{name}[{index}]", member))
    return sorted(ids)


def rows(name: str, value: object) -> Iterable[object]:
    """Return something to iterate over, each member of which is a row."""
    return members(name, value, "an iterable of mappings")


def members(name: str, value: Any, wanted: str) -> Iterable[object]:
    """Return something to iterate over that is no text and no mapping."""
    # A text and a mapping can be iterated over too, but are never meant.
    if issubclass(type(value), (str, bytes, Mapping)) or not issubclass(type(value), Iterable):
        raise InvalidArgumentType(f"{name} must be {wanted}, not {type(value).__name__}")
    return cast(Iterable[object], value)


def seconds(name: str, value: object) -> float:
    """Return a timedelta that is not negative in seconds."""
    if not is_a(value, timedelta):
        raise InvalidArgumentType(f"{name} must be a timedelta, not {type(value).__name__}")
    exact = timedelta.__pos__(value)  # of a subclass too
    if not _NOTHING <= exact <= _LONGEST:
        raise InvalidArgument(f"{name} must be between 0 and 36600 days, not {exact}")
    return exact.total_seconds()


def callback(name: str, value: object) -> None:
    """Check that *value* is None or a function that is called and not awaited."""
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise InvalidArgumentType(f"{name} must be None or a plain function, which is called and not awaited")


def integer(name: str, value: object, *, minimum: int = -MAX_INTEGER - 1, maximum: int = MAX_INTEGER) -> int:
    """Return an int within its limits, of a subclass too; a bool raises `InvalidArgumentType`."""
    if not is_a(value, int) or is_a(value, bool):
        raise InvalidArgumentType(f"{name} must be an int, not {type(value).__name__}")
    exact = int.__int__(value)
    if exact < minimum:
        raise InvalidArgument(f"{name} must be at least {minimum}, not {shown(exact)}")
    if exact > maximum:
        raise InvalidArgument(f"{name} must be at most {maximum}, not {shown(exact)}")
    return exact


def bigint(name: str, value: object) -> int:
    """Return an int that fits into 64 bits."""
    return integer(name, value, minimum=-MAX_BIGINT - 1, maximum=MAX_BIGINT)


def optional_revision(name: str, value: object) -> int | None:
    """Return a revision, or None for None."""
    return None if value is None else integer(name, value, minimum=0, maximum=MAX_BIGINT)


def number(name: str, value: object) -> float:
    """Return a finite float."""
    if not is_a(value, (int, float)) or is_a(value, bool):
        raise InvalidArgumentType(f"{name} must be a float, not {type(value).__name__}")
    try:
        result = float.__float__(value) if is_a(value, float) else int.__float__(cast(int, value))
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise InvalidArgument(f"{name} must be a finite number")
    return result


def duration(name: str, value: object) -> float:
    """Return a number of seconds, of which any number can be added up."""
    result = number(name, value)
    if abs(result) > MAX_DURATION:
        raise InvalidArgument(f"{name} must be between -1e15 and 1e15 seconds, not {result}")
    return result


def boolean(name: str, value: object) -> bool:
    """Return True or False; any other type raises `InvalidArgumentType`."""
    if not is_a(value, bool):
        raise InvalidArgumentType(f"{name} must be a bool, not {type(value).__name__}")
    return value


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return *value* when it is one of the closed list."""
    if not is_a(value, str) or (exact := str.__str__(value)) not in allowed:
        raise InvalidArgument(f"{name} must be one of {', '.join(allowed)}, not {shown(value)}")
    return exact


def keys(name: str, value: object, allowed: Sequence[str], *, quote: bool = True) -> dict[str, object]:
    """Return what is in a mapping that has no other keys than the allowed ones, read once.

    Without *quote* the error does not name the other keys.
    """
    if not issubclass(type(value), Mapping):
        raise InvalidArgumentType(f"{name} must be a mapping, not {type(value).__name__}")
    given: dict[str, object] = {}
    unknown: list[str] = []
    # A class of a caller may give keys without an end.
    for key, member in islice(cast(Mapping[object, object], value).items(), len(allowed) + _UNKNOWN):
        if is_a(key, str) and (exact := str.__str__(key)) in allowed and exact not in given:
            given[exact] = member
        else:
            unknown.append(shown(key))
    if unknown:
        others = f"unknown: {', '.join(unknown[:_UNKNOWN])}" if quote else "it has others"
        raise InvalidArgument(f"{name} must have keys among {', '.join(allowed)}; {others}")
    return given


_UNKNOWN = 10  # keys that an error names


def changes(name: str, value: object, allowed: Sequence[str], *, quote: bool = True) -> Mapping[str, object]:
    """Return what a mapping with only the allowed keys changes: all of it but what was not read."""
    given = keys(name, value, allowed, quote=quote)
    return {key: member for key, member in given.items() if member is not NOT_READ}


def unstorable(value: str) -> str | None:
    """Return what PostgreSQL cannot store in a text, or None."""
    if "\0" in value:
        return "U+0000"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"the lone surrogate U+{ord(value[error.start]):04X}"
    return None
