"""JSON values of callers: checked, repaired where that is wanted, and written, in one pass."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, TypeAlias, cast

from conversation_store._json_repair import REPAIRED, storable
from conversation_store._validation import MAX_BITS, MAX_DIGITS, is_a, shown, unstorable
from conversation_store.errors import InvalidArgument, InvalidArgumentType
from conversation_store.models import NOT_READ

OnRepair: TypeAlias = Callable[[str, str], object]
"""Called with the path of each JSON value that was repaired, and with what was done; never with a value."""

MAX_JSON_DEPTH = 500
MAX_JSON_BYTES = 16 * 2**20
LARGEST_JSON = 10**9  # of which the server takes a little more

_log = logging.getLogger("conversation_store")
_quoted: Callable[[Any], str] = json.encoder.encode_basestring

_Container: TypeAlias = dict[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object]
_Plain: TypeAlias = bool | int | float | str | _Container | None


@dataclass(frozen=True, slots=True)
class JsonWriter:
    """How a store writes JSON: as text that PostgreSQL stores and Python reads back.

    Each method raises `InvalidArgument` or `InvalidArgumentType` with the path: of U+0000, lone surrogates, NaN and
    infinities, keys that are no strings, and types that JSON has not, unless they are repaired; and always of other
    types, nesting beyond 500 levels, numbers that are too long, and more than *max_bytes* of text in UTF-8.
    """

    max_bytes: int = MAX_JSON_BYTES
    repair: bool = False
    on_repair: OnRepair | None = None

    def within(self, place: str) -> JsonWriter:
        """Return the same, whose repairs are told with the place before their path."""
        on_repair = self.on_repair
        if on_repair is None:
            return self

        def told(path: str, what: str) -> None:
            on_repair(f"{place}: {path}", what)

        return replace(self, on_repair=told)

    def text(self, name: str, value: object) -> str:
        """Return the JSON text of a value."""
        written = self.entries(name, value)
        return written if isinstance(written, str) else "[" + ",".join(written) + "]"

    def entries(self, name: str, value: object) -> list[str] | str:
        """Return the JSON text of each entry of a list, or that of a value which is no list."""
        return _Writing(self, name).write(value)

    def array(self, name: str, value: object) -> str:
        """Return the JSON text of a value that must be a list."""
        if not isinstance(value, (list, tuple, set, frozenset) if self.repair else (list, tuple)):
            raise InvalidArgumentType(f"{name} must be a list, not {type(value).__name__}")
        return self.text(name, cast(object, value))


@dataclass(slots=True)
class _Frame:
    """An object or a list that is being written."""

    kind: type
    members: Iterator[tuple[str | int, object]]  # each with its key or its index
    step: str | int = 0  # the key or the index of the member that is being written
    lead: str = ""  # what stands before the next member
    texts: list[str] | None = None  # of its members, where these are kept apart
    mark: int = 0  # the piece that the member begins with which is being written


class _Writing:
    """The writing of one value: without recursion, for which the caller's stack might have no room."""

    def __init__(self, writer: JsonWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._frames: list[_Frame] = []
        self._pieces: list[str] = []
        self._size = 0  # in characters, each of which has one byte at least

    def write(self, value: object) -> list[str] | str:
        """Return the text of a value, or the texts of the entries of a list."""
        try:
            return self._write(value)
        except (InvalidArgument, InvalidArgumentType, RecursionError):
            raise
        except Exception as error:  # of a method of a caller's class
            raise InvalidArgumentType(
                f"{self._path()} must be a JSON value; reading it raised {type(error).__name__}"
            ) from error

    def _write(self, value: object) -> list[str] | str:
        entries: list[str] | None = None
        self._put("", value)
        while self._frames:
            frame = self._frames[-1]
            of_object = frame.kind is dict
            for step, member in frame.members:
                if frame.texts is not None:
                    self._part(frame)
                frame.step = step
                lead = frame.lead + _quoted(step) + ":" if of_object else frame.lead
                frame.lead = ","
                if self._put(lead, member):
                    break
            else:
                entries = self._close(frame)
        written = "".join(self._pieces) if entries is None else entries
        size = _size(written) if isinstance(written, str) else sum(map(_size, written)) + max(len(written), 1) + 1
        if size > self._writer.max_bytes:
            raise self._too_large()
        return written

    def _put(self, lead: str, item: object) -> bool:
        """Write a value, or what it begins with; return whether it has members that are still to be written."""
        kind = type(item)
        if not (kind is str and cast(str, item).isascii() and "\0" not in cast(str, item)):  # which most are
            item = self._plain(item)
        if isinstance(item, str):
            self._add(lead + _quoted(item))
        elif item is None:
            self._add(lead + "null")
        elif isinstance(item, bool):
            self._add(lead + ("true" if item else "false"))
        elif isinstance(item, (int, float)):
            self._add(lead + repr(item))
        else:
            self._open(lead, cast(_Container, item))
            return True
        return False

    def _open(self, lead: str, container: _Container) -> None:
        if len(self._frames) == MAX_JSON_DEPTH:
            raise InvalidArgument(f"{self._name} must not be nested deeper than {MAX_JSON_DEPTH} levels")
        kind: Any = next(kind for kind in (dict, list, tuple, set, frozenset) if is_a(container, kind))
        if kind is dict:
            frame = _Frame(kind, iter(self._members(cast("dict[object, object]", container))))
        else:
            # The members that are there, whatever a class of the caller says.
            members: Iterator[object] = kind.__iter__(container)
            frame = _Frame(kind, enumerate(members))
            if kind in (set, frozenset) or not self._frames:
                frame.texts = []
        self._add(lead if frame.texts is not None else lead + "{" if kind is dict else lead + "[")
        self._frames.append(frame)

    def _close(self, frame: _Frame) -> list[str] | None:
        """Write the end of an object or a list; return the texts of the entries where it is the value itself."""
        if frame.texts is None:
            self._add("}" if frame.kind is dict else "]")
            self._frames.pop()
            return None
        self._part(frame)
        self._frames.pop()
        if frame.kind in (set, frozenset):
            frame.texts.sort()  # the same in every process
        if not self._frames:
            return frame.texts
        self._pieces.append("[" + ",".join(frame.texts) + "]")
        return None

    def _part(self, frame: _Frame) -> None:
        """Keep the text of the member that was written apart, where the frame wants that."""
        if frame.texts is not None:
            if frame.lead:
                frame.texts.append("".join(self._pieces[frame.mark :]))
                del self._pieces[frame.mark :]
                frame.lead = ""
            frame.mark = len(self._pieces)

    def _members(self, container: dict[object, object]) -> list[tuple[str, object]]:
        """Return the members of an object, each under the key that is written."""
        members: list[tuple[object, object]] = []
        for key, member in container.items():
            members.append((key, member))
            if len(members) > self._writer.max_bytes:  # of a class whose items have no end
                raise self._too_large()
        if type(container) is dict and all(type(key) is str and unstorable(key) is None for key, _ in members):
            return cast("list[tuple[str, object]]", members)
        keys = [self._key(key) for key, _ in members]
        kept = [is_a(key, str) and str.__str__(key) == text for (key, _), text in zip(members, keys, strict=True)]
        # A key that stays as it is goes before one that was repaired.
        taken = {text for text, keep in zip(keys, kept, strict=True) if keep}
        numbers: Counter[str] = Counter()
        written: dict[str, object] = {}
        for text, keep, (_, member) in zip(keys, kept, members, strict=True):
            new = text
            if text in written or (text in taken and not keep):
                if not self._writer.repair:
                    raise InvalidArgument(f"{self._path()} must not have the key {shown(text)} twice")
                while new in taken or new in written:
                    numbers[text] += 1
                    new = f"{text} ({numbers[text] + 1})"
                self._repaired("is that of another member too and got a number", of_key=True)
            written[new] = member
        return list(written.items())

    def _key(self, key: object) -> str:
        if is_a(key, str):
            return self._storable(str.__str__(key), of_key=True)
        if not self._writer.repair:
            raise InvalidArgumentType(f"{self._path()} must have str keys, not {type(key).__name__}")
        if is_a(key, float):
            text: _Plain = json.dumps(float.__float__(key))  # NaN too, as json writes it
        else:
            text = self._plain(key, of_key=True)
        if text is None or isinstance(text, (bool, int, float)):
            text = json.dumps(text)
        if not isinstance(text, str):
            raise InvalidArgumentType(f"{self._path()} must have keys that are text, not {type(key).__name__}")
        if is_a(key, (int, float, NoneType)):
            self._repaired(f"was of the type {type(key).__name__} and is its JSON text", of_key=True)
        return text

    def _plain(self, item: Any, *, of_key: bool = False) -> _Plain:
        """Return a value in the types of JSON, and numbers and texts in no class of a caller."""
        for _ in range(MAX_JSON_DEPTH):  # the value of an enum may be an enum
            if item is None or item is True or item is False:
                return item
            if is_a(item, str):
                return self._storable(str.__str__(item), of_key)
            if is_a(item, int):
                if int.bit_length(item) > MAX_BITS:
                    raise InvalidArgument(f"{self._path(of_key)} must have at most {MAX_DIGITS} digits")
                return int.__int__(item)
            if is_a(item, float):
                number = float.__float__(item)
                if math.isfinite(number):
                    return number
                if not self._writer.repair:
                    raise InvalidArgument(f"{self._path(of_key)} must be a finite number, not {number}")
                self._repaired("was not a finite number and is null", of_key)
                return None
            if is_a(item, (dict, list, tuple)):
                return cast(_Container, item)
            if item is NOT_READ:
                raise InvalidArgument(f"{self._path(of_key)} was not read; read the row with it, or leave it out")
            repaired = self._writer.repair and next((row for row in REPAIRED if is_a(item, row[0])), None)
            if not repaired:
                break
            _, what, read = repaired
            self._repaired(f"was of the type {_type(cast(object, item))} and is {what}", of_key)
            item = read(item)
            if is_a(item, (set, frozenset)):
                return cast(_Container, item)
        raise InvalidArgumentType(f"{self._path(of_key)} must be a JSON value, not {_type(cast(object, item))}")

    def _storable(self, text: str, of_key: bool = False) -> str:
        if (reason := unstorable(text)) is None:
            return text
        if not self._writer.repair:
            raise InvalidArgument(f"{self._path(of_key)} must not contain {reason}")
        self._repaired("had U+0000 or a lone surrogate, which is U+FFFD now", of_key)
        return storable(text)

    def _repaired(self, what: str, of_key: bool = False) -> None:
        if self._writer.on_repair is not None:
            try:
                self._writer.on_repair(self._path(of_key), what)
            except Exception:
                # The value is right now; a hook must not make it look as if it were not.
                _log.exception("on_repair raised")

    def _add(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > self._writer.max_bytes:
            raise self._too_large()
        self._pieces.append(piece)

    def _too_large(self) -> InvalidArgument:
        return InvalidArgument(f"{self._name} must have at most {self._writer.max_bytes} bytes of JSON text")

    def _path(self, of_key: bool = False) -> str:
        steps = (f"[{shown(frame.step)}]" if frame.kind not in (set, frozenset) else "[…]" for frame in self._frames)
        path = ("a key of " if of_key else "") + self._name + "".join(steps)
        return path if len(path) <= 500 else path[:300] + "…" + path[-200:]


def _type(value: object) -> str:
    return type(value).__name__


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
