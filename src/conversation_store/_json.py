"""JSON that was read or is to be read: Python's own reader and writer, on a stack that has room for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from typing import Any, TypeVar

from psycopg.abc import Buffer

try:
    import orjson
except ImportError:  # an extra
    orjson = None  # type: ignore[assignment]

T = TypeVar("T")

_decode = json.JSONDecoder().decode
# orjson reads an integer of more than 64 bits as a float. Such a one has 19 digits or more.
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_MANY = b"0" * 19

_plain = json.JSONEncoder(ensure_ascii=False).encode
_sorted = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
# For values that are checked: a circle is none of them.
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def loads(text: str | bytes, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Read JSON as `json.loads` does, however little of the stack is left."""
    return _with_a_stack(lambda: json.loads(text, object_pairs_hook=object_pairs_hook))


def read(data: Buffer) -> Any:
    """Read JSON that the server has checked, as `loads` does: by orjson when it is installed."""
    text = bytes(data)
    if orjson is not None and (len(text) < len(_MANY) or _MANY not in text.translate(_ZEROS)):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:  # of a lone surrogate, of what is too deep for it
            pass
    return _with_a_stack(lambda: _decode(text.decode()))


def dumps(value: object, *, sort_keys: bool = False) -> str:
    """Write JSON as `json.dumps` does, with few escapes, however little of the stack is left."""
    encode = _sorted if sort_keys else _plain
    return _with_a_stack(lambda: encode(value))


def dump_compact(value: object) -> str:
    """Write JSON without spaces, however little of the stack is left."""
    return _with_a_stack(lambda: _compact(value))


def quoted(text: str) -> str:
    """Write a string of JSON as `dump_compact` does."""
    return encode_basestring(text)


def dump_each(values: Sequence[object]) -> list[str]:
    """Write each value as `dump_compact` does."""
    return _with_a_stack(lambda: list(map(_compact, values)))


def _with_a_stack(call: Callable[[], T]) -> T:
    """Call a function, again in a thread of its own when the stack ends: Python's `json` is recursive."""
    try:
        return call()
    except RecursionError:
        pass
    from concurrent.futures import ThreadPoolExecutor  # seldom needed, and slow to import

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(call).result()


def loads_and_report(text: str, duplicates: list[str]) -> Any:
    """Read JSON as `loads` does, and add to *duplicates* each key that an object has more than once."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        members_by_key = dict(members)
        if len(members_by_key) < len(members):
            counts = Counter(key for key, _ in members)
            duplicates.extend(sorted(key for key, number in counts.items() if number > 1))
        return members_by_key

    return loads(text, pairs)
