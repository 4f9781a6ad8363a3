"""JSON: what the store can hold, written as text, and text of others, read with its duplicate keys reported."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, cast

from conversation_store._validation import unstorable
from conversation_store.errors import InvalidArgument, InvalidArgumentType
from conversation_store.models import NOT_READ

MAX_JSON_DEPTH = 500
# Python reads and writes no longer numbers as text; what has so many bits has no more digits.
_MAX_DIGITS = 4_298
_MAX_BITS = 14_281


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
            raise InvalidArgument(f"{name} must not be nested deeper than {MAX_JSON_DEPTH} levels")
        if isinstance(item, str):
            if (reason := unstorable(item)) is not None:
                raise InvalidArgument(f"{path} must not contain {reason}")
        elif isinstance(item, dict):
            for key, member in cast(dict[object, object], item).items():
                if not isinstance(key, str):
                    raise InvalidArgumentType(f"{path} must have str keys, not {type(key).__name__}")
                if (reason := unstorable(key)) is not None:
                    raise InvalidArgument(f"a key of {path} must not contain {reason}")
                pending.append((f"{path}[{key!r}]", member, depth + 1))
        elif isinstance(item, (list, tuple)):
            members = cast(Sequence[object], item)
            pending.extend((f"{path}[{index}]", member, depth + 1) for index, member in enumerate(members))
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise InvalidArgument(f"{path} must be a finite number, not {item}")
        elif isinstance(item, int):
            if item.bit_length() > _MAX_BITS:
                raise InvalidArgument(f"{path} must have at most {_MAX_DIGITS} digits")
        elif item is NOT_READ:
            raise InvalidArgument(f"{path} was not read; read the row with it, or leave it out")
        elif item is not None:
            raise InvalidArgumentType(f"{path} must be a JSON value, not {type(item).__name__}")


def json_list(name: str, value: object) -> str:
    """Return a list or tuple as JSON text."""
    if not isinstance(value, (list, tuple)):
        raise InvalidArgumentType(f"{name} must be a list, not {type(value).__name__}")
    return json_text(name, cast(Sequence[object], value))


def loads(text: str, duplicates: list[str]) -> Any:
    """Read JSON as `json.loads` does, and add to *duplicates* each key that an object has more than once."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        members_by_key = dict(members)
        if len(members_by_key) < len(members):
            keys = [key for key, _ in members]
            duplicates.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return members_by_key

    return json.loads(text, object_pairs_hook=pairs)
