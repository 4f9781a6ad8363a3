"""Cursors of keyset pages: a position in one order of one list, as opaque text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, cast

from conversation_store import _arguments as check


class Position(NamedTuple):
    """The sort key, as the text that the server reads, and the id of the last row before a page."""

    key: str
    id: str


# How the text of each sort key is read, to be written again: a cursor comes back from outside, and a key that we would
# never have written is none of ours.
_KEYS: Mapping[str, Callable[[str], object]] = {
    "id": str,
    "name": str,
    "create_date": lambda text: datetime.fromisoformat(text).astimezone(UTC).isoformat(),
    "update_date": lambda text: datetime.fromisoformat(text).astimezone(UTC).isoformat(),
    "tokens": lambda text: check.bigint("key", int(text)),
    "duration": lambda text: check.number("key", float(text)),
    "round": lambda text: check.integer("key", int(text)),
    "thumb_up": lambda text: check.integer("key", int(text)),
}


def encode(order: str, query: Mapping[str, object], position: Position) -> str:
    """Return a cursor for a position in a list that *order* and *query* make up."""
    value = [_fingerprint(order, query), *position]
    return base64.urlsafe_b64encode(json.dumps(value, ensure_ascii=False).encode()).decode().rstrip("=")


def decode(order: str, query: Mapping[str, object], cursor: object) -> Position:
    """Return the position of a cursor; raises `ValueError` for one of another list and for what is none."""
    if not isinstance(cursor, str):
        raise TypeError(f"cursor must be a str or None, not {type(cursor).__name__}")
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        fingerprint, key, id = (cast(str, part) for part in found)
        check.text("key", key)
        check.identifier("id", check.text("id", id))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise ValueError("cursor must be a next_cursor, unchanged; this is none") from None
    if fingerprint != _fingerprint(order, query):
        raise ValueError("cursor must be used with the dialog, the order and the filters that it came from")
    try:
        known = str(_KEYS[order](key)) == key
    except (ValueError, OverflowError):
        known = False
    if not known:
        raise ValueError("cursor must be a next_cursor, unchanged; this is none")
    return Position(key, id)


def _fingerprint(order: str, query: Mapping[str, object]) -> str:
    text = json.dumps([order, sorted(query.items())], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
