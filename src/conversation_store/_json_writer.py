"""JSON values of callers, checked and written by Python's own `json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeVar, cast

from conversation_store._json import dump_compact, dump_each
from conversation_store._json_repair import MAX_JSON_DEPTH, JsonCopier, OnRepair, too_large
from conversation_store._validation import unstorable
from conversation_store.errors import InvalidArgument, InvalidArgumentType

W = TypeVar("W", bound="list[str] | str")

MAX_JSON_BYTES = 16 * 2**20
LARGEST_JSON = 200_000_000  # the server takes four times as much memory for the text of a message, and at most 1 GB

_LONG_INT = 2**64  # from which an int may be too long


@dataclass(frozen=True, slots=True)
class JsonWriter:
    """How a store writes JSON: as text that PostgreSQL stores and Python reads back.

    Each method raises `InvalidArgument` or `InvalidArgumentType` with the path: of U+0000, lone surrogates, NaN and
    infinities, keys that are no strings, and types that JSON has not, unless they are repaired; and always of other
    types, nesting beyond 500 levels, numbers that are too long, objects that give more members than their `len()`,
    and more than *max_bytes* of text in UTF-8.
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
        return self._write(name, value, dump_compact)

    def entries(self, name: str, value: object) -> list[str] | str:
        """Return the JSON text of each entry of a list, or that of a value which is no list."""
        return self._write(name, value, _dump_entries)

    def array(self, name: str, value: object) -> str:
        """Return the JSON text of a value that must be a list."""
        if not isinstance(value, (list, tuple, set, frozenset) if self.repair else (list, tuple)):
            raise InvalidArgumentType(f"{name} must be a list, not {type(value).__name__}")
        return self.text(name, cast(object, value))

    def _write(self, name: str, value: object, dump: Callable[[object], W]) -> W:
        copier = JsonCopier(name, self.max_bytes, self.repair, self.on_repair)
        try:
            written = dump(value) if _is_plain(name, value, self.max_bytes) else None
            if written is None or not _is_storable(_joined(written)):
                # What the copy holds is what was checked, and it is what is written.
                written = dump(copier.copy(value))
        except (InvalidArgument, InvalidArgumentType, RecursionError):
            raise
        # Of a method of a caller's class; what a handler of signals raises is no fault of the value.
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidArgumentType(
                f"{copier.path()} must be a JSON value; reading it raised {type(error).__name__}"
            ) from error
        if len(_joined(written).encode()) > self.max_bytes:
            raise too_large(name, self.max_bytes)
        return written


def _dump_entries(value: object) -> list[str] | str:
    return dump_each(cast("list[object]", value)) if isinstance(value, (list, tuple)) else dump_compact(value)


def _is_plain(name: str, value: object, max_bytes: int) -> bool:
    """Return whether a value has only the types of JSON, of no caller's class, at a first look.

    Texts are looked at when they are written. Raises `InvalidArgument` of a value that is too large for sure.
    Without recursion: the caller's stack might have no room.
    """
    least = 0  # bytes of the text: a value that refers to another one many times may be endless
    open_members: list[Iterator[Any]] = [iter((value,))]
    while open_members:
        for item in open_members[-1]:
            kind = type(item)  # pyright: ignore[reportUnknownVariableType]  # a cast would be a call for each
            if kind is str:
                least += len(item)
            elif kind is dict:
                for key in item:
                    if type(key) is not str:
                        return False
                    least += len(key)
                open_members.append(iter(item.values()))
                break
            elif kind is list or kind is tuple:
                least += len(item) + 1
                open_members.append(iter(item))
                break
            elif kind is int:
                if not -_LONG_INT < item < _LONG_INT:
                    return False
            elif kind is float:
                if not isfinite(item):
                    return False
            elif item is not None and kind is not bool:
                return False
        else:
            open_members.pop()
        if len(open_members) > MAX_JSON_DEPTH + 1:
            return False
        if least > max_bytes:
            raise too_large(name, max_bytes)
    return True


def _joined(written: list[str] | str) -> str:
    return written if isinstance(written, str) else "[" + ",".join(written) + "]"


def _is_storable(text: str) -> bool:
    """Return whether a text that was written surely has no U+0000 and no lone surrogate."""
    # So U+0000 is written, and so is a backslash with `u0000`, of which only the value says that it is none.
    return "\\u0000" not in text and unstorable(text) is None
