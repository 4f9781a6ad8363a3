"""Cursors: a position in one order of one list, as opaque text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from conversation_store import _validation as validate
from conversation_store._json import dumps
from conversation_store.errors import InvalidArgument, InvalidArgumentType

# A list is ordered by so many characters of a name, so that a cursor fits into an address.
SORTED_CHARACTERS = 200


class Position(NamedTuple):
    """The sort key, as the text that the server reads, and the id of the last row before a page."""

    key: str
    id: str


_MAX_CURSOR = 2_000

# How the text of each sort key is read and written again. A cursor comes from outside: a key that reads differently
# from how it is written was not made here.
_KEYS: Mapping[str, Callable[[str], object]] = {
    "id": str,
    "name": str,
    "create_date": lambda text: datetime.fromisoformat(text).astimezone(UTC).isoformat(),
    "update_date": lambda text: datetime.fromisoformat(text).astimezone(UTC).isoformat(),
    "tokens": lambda text: validate.bigint("key", int(text)),
    "duration": lambda text: validate.duration("key", float(text)),
    "round": lambda text: validate.integer("key", int(text)),
    "thumb_up": lambda text: validate.integer("key", int(text)),
}
_NOT_MADE_HERE = "cursor must be a next_cursor, unchanged: this cursor was not made by this method"


def after(fingerprint: str, key: object, id: str) -> str:
    """Return the cursor of what comes after a row, by its sort key and its id."""
    text = key.isoformat() if isinstance(key, datetime) else str("" if key is None else key)[:SORTED_CHARACTERS]
    return _encode(fingerprint, Position(text, id))


def _encode(fingerprint: str, position: Position) -> str:
    # U+0000 is in no text, and needs no escapes that would make a cursor longer.
    value = "\0".join((fingerprint, *position))
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def read(order: str, fingerprint: str, cursor: object) -> Position | None:
    """Return the position that a cursor stands for, None without one, or raise an error that names the argument."""
    # An empty cursor is no cursor, as an empty filter is no filter.
    if cursor is None or (validate.is_a(cursor, str) and not str.__str__(cursor)):
        return None
    if not validate.is_a(cursor, str):
        raise InvalidArgumentType(f"cursor must be a str or None, not {type(cursor).__name__}")
    text = str.__str__(cursor)
    try:
        if len(text) > _MAX_CURSOR:
            raise ValueError
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        own, key, id = found.split("\0")
        validate.text("key", key, maximum=SORTED_CHARACTERS)
        validate.identifier("id", id)
    except ValueError:  # of base64, of UTF-8, of the number of parts, or of one of them
        raise InvalidArgument(_NOT_MADE_HERE) from None
    if own != fingerprint:
        raise InvalidArgument("cursor must be used with the dialog, the order and the filters that it was made for")
    try:
        unchanged = str(_KEYS[order](key)) == key
    except (ValueError, OverflowError):
        unchanged = False
    position = Position(key, id)
    if not unchanged or _encode(fingerprint, position) != text:
        raise InvalidArgument(_NOT_MADE_HERE)
    return position


def fingerprint(order: str, filters: Mapping[str, object]) -> str:
    """Return what tells a list from one of another order or other filters."""
    text = dumps([order, sorted(filters.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
