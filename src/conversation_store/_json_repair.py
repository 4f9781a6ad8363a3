"""What the values that JSON and PostgreSQL cannot hold are repaired to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, time, timedelta
from decimal import Context, Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from conversation_store._dates import exact_date


def storable(text: str) -> str:
    """Return a text without U+0000 and lone surrogates; a pair of surrogates is the character that it stands for."""
    return text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _decoded(value: Any) -> str:
    return memoryview(value).tobytes().decode("utf-8", "replace")


# What is repaired, in this order: the types, what they are then, and how they are read.
REPAIRED: Sequence[tuple[type | tuple[type, ...], str, Callable[[Any], object]]] = (
    (Enum, "its value", lambda item: item.value),
    (date, "its ISO text", lambda item: exact_date(item).isoformat()),  # a datetime too
    (time, "its ISO text", time.isoformat),
    (timedelta, "its text", timedelta.__str__),
    (Decimal, "its exact text", Context(capitals=1).to_sci_string),  # whatever the context of the caller is
    (UUID, "its text", UUID.__str__),
    ((bytes, bytearray, memoryview), "its text in UTF-8", _decoded),
    ((set, frozenset), "a list", lambda item: item),
)
