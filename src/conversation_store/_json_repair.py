"""JSON values of callers that are not plain: checked, repaired where that is wanted, and copied."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Context, Decimal
from enum import Enum
from types import NoneType
from typing import Any, TypeAlias, cast
from uuid import UUID

from conversation_store._dates import exact_date
from conversation_store._json import dump_compact
from conversation_store._validation import MAX_BITS, MAX_DIGITS, is_a, shown, unstorable
from conversation_store.errors import InvalidArgument, InvalidArgumentType
from conversation_store.models import NO_SOURCE, NOT_READ

OnRepair: TypeAlias = Callable[[str, str], object]
"""Called with the path of each JSON value that was repaired, and with what was done; never with a value."""

MAX_JSON_DEPTH = 500

_Members: TypeAlias = dict[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object]
_Plain: TypeAlias = bool | int | float | str | _Members | None

_log = logging.getLogger("conversation_store")


def storable(text: str) -> str:
    """Return a text without U+0000 and lone surrogates; a pair of surrogates is the character that it stands for."""
    return text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _decoded(value: Any) -> str:
    return memoryview(value).tobytes().decode("utf-8", "replace")


# What is repaired, in this order: the types, what they are then, and how they are read.
_REPAIRED: Sequence[tuple[type | tuple[type, ...], str, Callable[[Any], object]]] = (
    (Enum, "its value", lambda item: item.value),
    (date, "its ISO text", lambda item: exact_date(item).isoformat()),  # a datetime too
    (time, "its ISO text", time.isoformat),
    (timedelta, "its text", timedelta.__str__),
    (Decimal, "its exact text", Context(capitals=1).to_sci_string),  # whatever the context of the caller is
    (UUID, "its text", UUID.__str__),
    ((bytes, bytearray, memoryview), "its text in UTF-8", _decoded),
    ((set, frozenset), "a list", lambda item: item),
)


@dataclass(slots=True)
class _Frame:
    """An object or a list that is being copied."""

    kind: type
    members: Iterator[tuple[Any, object]]  # each with its key or its index
    copy: Any  # a dict or a list
    step: object = 0  # the key or the index of the member that is being copied


class JsonCopier:
    """The copying of one value: without recursion, for which the caller's stack might have no room."""

    def __init__(self, name: str, max_bytes: int, repair: bool, on_repair: OnRepair | None) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._repair = repair
        self._on_repair = on_repair
        self._frames: list[_Frame] = []
        self._least = 0  # bytes that the text has at least

    def copy(self, value: object) -> object:
        """Return a copy that has the exact types of JSON and what PostgreSQL stores; raises as `JsonWriter` does."""
        copied = self._begin(value)
        while self._frames:
            frame = self._frames[-1]
            for step, member in frame.members:
                frame.step = step
                copy = self._begin(member)
                if frame.kind is dict:
                    frame.copy[step] = copy
                else:
                    frame.copy.append(copy)
                if self._frames[-1] is not frame:
                    break
            else:
                if frame.kind in (set, frozenset):
                    frame.copy.sort(key=dump_compact)  # the same in every process
                self._frames.pop()
        return copied

    def _begin(self, item: object) -> object:
        """Return the copy of a value, whose members, if it has any, are still to be copied."""
        plain = item if type(item) is str and unstorable(item) is None else self._plain(item)
        if isinstance(plain, str):
            self._count(len(plain) + 2)
            return plain
        if plain is None or isinstance(plain, (bool, int, float)):
            self._count(max(1, plain.bit_length() * 3 // 10) if type(plain) is int else 1)
            return plain
        self._count(2)
        if len(self._frames) == MAX_JSON_DEPTH:
            raise InvalidArgument(f"{self._name} must not be nested deeper than {MAX_JSON_DEPTH} levels")
        kind: Any = next(kind for kind in (dict, list, tuple, set, frozenset) if is_a(plain, kind))
        if kind is dict:
            frame = _Frame(kind, iter(self._members(cast("dict[object, object]", plain)).items()), {})
        else:
            # The members that are there, whatever a class of the caller says.
            frame = _Frame(kind, enumerate(cast(Iterator[object], kind.__iter__(plain))), [])
        self._frames.append(frame)
        return frame.copy

    def _members(self, container: dict[object, object]) -> dict[str, object]:
        """Return the members of an object, each under the key that is written."""
        if type(container) is dict and all(type(key) is str and unstorable(key) is None for key in container):
            plain = cast("dict[str, object]", container)
            self._count(sum(map(len, plain)) + 3 * len(plain))
            return plain
        members: list[tuple[object, object]] = []
        items = container.items()
        length = len(container)
        for key, member in items:
            if len(members) == length:  # the items of a caller's class may have no end
                raise InvalidArgument(f"{self.path()} must not have more members than its len(), {length}")
            self._count(3)  # two quotes and a colon
            members.append((key, member))
        keys = [self._key(key) for key, _ in members]
        kept = [is_a(key, str) and str.__str__(key) == text for (key, _), text in zip(members, keys, strict=True)]
        # A key that stays as it is goes before one that was repaired.
        taken = {text for text, keep in zip(keys, kept, strict=True) if keep}
        numbers: Counter[str] = Counter()
        written: dict[str, object] = {}
        for text, keep, (_, member) in zip(keys, kept, members, strict=True):
            new = text
            if text in written or (text in taken and not keep):
                if not self._repair:
                    raise InvalidArgument(f"{self.path()} must not have the key {shown(text)} twice")
                while new in taken or new in written:
                    numbers[text] += 1
                    new = f"{text} ({numbers[text] + 1})"
                self._repaired("is that of another member too and got a number", of_key=True)
            self._count(len(new))
            written[new] = member
        return written

    def _key(self, key: object) -> str:
        if is_a(key, str):
            return self._text(key, of_key=True)
        if not self._repair:
            raise InvalidArgumentType(f"{self.path()} must have str keys, not {type(key).__name__}")
        if is_a(key, float):
            text: _Plain = json.dumps(float.__float__(key))  # NaN too, as json writes it
        else:
            text = self._plain(key, of_key=True)
        if text is None or isinstance(text, (bool, int, float)):
            text = json.dumps(text)
        if not isinstance(text, str):
            raise InvalidArgumentType(f"{self.path()} must have keys that are text, not {type(key).__name__}")
        if is_a(key, (int, float, NoneType)):
            self._repaired(f"was of the type {type(key).__name__} and is its JSON text", of_key=True)
        return text

    def _plain(self, item: Any, *, of_key: bool = False) -> _Plain:
        """Return a value in the types of JSON, and numbers and texts in no class of a caller."""
        for _ in range(MAX_JSON_DEPTH):  # the value of an enum may be an enum
            if item is None or item is True or item is False:
                return item
            if is_a(item, str):
                return self._text(item, of_key)
            if is_a(item, int):
                if int.bit_length(item) > MAX_BITS:
                    raise InvalidArgument(f"{self.path(of_key)} must have at most {MAX_DIGITS} digits")
                return int.__int__(item)
            if is_a(item, float):
                number = float.__float__(item)
                if math.isfinite(number):
                    return number
                if not self._repair:
                    raise InvalidArgument(f"{self.path(of_key)} must be a finite number, not {number}")
                self._repaired("was not a finite number and is null", of_key)
                return None
            if is_a(item, (dict, list, tuple)):
                return cast(_Members, item)
            if item is NOT_READ:
                raise InvalidArgument(f"{self.path(of_key)} was not read; read the row with it, or leave it out")
            repairable = self._repair and item is not NO_SOURCE
            repaired = repairable and next((row for row in _REPAIRED if is_a(item, row[0])), None)
            if not repaired:
                break
            _, what, read = repaired
            self._repaired(f"was of the type {_type(cast(object, item))} and is {what}", of_key)
            item = read(item)
            if is_a(item, (set, frozenset)):
                return cast(_Members, item)
        raise InvalidArgumentType(f"{self.path(of_key)} must be a JSON value, not {_type(cast(object, item))}")

    def _text(self, item: str, of_key: bool = False) -> str:
        text = str.__str__(item)
        if (reason := unstorable(text)) is None:
            return text
        if not self._repair:
            raise InvalidArgument(f"{self.path(of_key)} must not contain {reason}")
        self._repaired("had U+0000 or a lone surrogate, which is U+FFFD now", of_key)
        return storable(text)

    def _repaired(self, what: str, of_key: bool = False) -> None:
        if self._on_repair is not None:
            try:
                self._on_repair(self.path(of_key), what)
            except Exception:
                # The value is right now; a hook must not make it look as if it were not.
                _log.exception("on_repair raised")

    def _count(self, least: int) -> None:
        """Raise once the text is too large, long before a value without an end has filled the memory."""
        self._least += least
        if self._least > self._max_bytes:
            raise too_large(self._name, self._max_bytes)

    def path(self, of_key: bool = False) -> str:
        """Return where in the value the copying is."""
        steps = (f"[{shown(frame.step)}]" if frame.kind not in (set, frozenset) else "[…]" for frame in self._frames)
        path = ("a key of " if of_key else "") + self._name + "".join(steps)
        return path if len(path) <= 500 else path[:300] + "…" + path[-200:]


def too_large(name: str, max_bytes: int) -> InvalidArgument:
    """Return the error of a value whose text has more than *max_bytes*."""
    return InvalidArgument(f"{name} must have at most {max_bytes} bytes of JSON text")


def _type(value: object) -> str:
    return type(value).__name__
