"""What goes over the wire: parameters as text without a type, results read the same on every connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar, cast

import psycopg
from psycopg import AsyncRawCursor, RawCursor
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.pq import Format
from psycopg.types.numeric import NumericBinaryLoader
from psycopg.types.string import StrDumperUnknown

from conversation_store._json import read

R = TypeVar("R")


class _JsonLoader(Loader):
    """Load json with our own reader, whatever reader was set for the process."""

    format = Format.BINARY

    load = staticmethod(read)  # pyright: ignore[reportAssignmentType]  # a frame less for each value


class _SumLoader(NumericBinaryLoader):
    """Load numeric as an int: it is only sums of integers, which overflow nothing."""

    def load(self, data: Buffer) -> int:  # type: ignore[override]
        return int(super().load(data))


def _adapters() -> AdaptersMap:
    """Return adapters of our own: a caller's connection may have others registered, and gets none of these."""
    adapters = AdaptersMap(psycopg.adapters)
    # Untyped, so that a parameter has the type that its cast in the SQL says, and one file is one prepared statement.
    adapters.register_dumper(str, StrDumperUnknown)
    adapters.register_loader("json", _JsonLoader)
    adapters.register_loader("numeric", _SumLoader)
    return adapters


ADAPTERS = _adapters()


class Cursor(RawCursor[R]):
    """A cursor with the adapters of this package, whatever is registered on its connection."""

    @property
    def adapters(self) -> AdaptersMap:
        """Return the adapters of this package."""
        return ADAPTERS


class AsyncCursor(AsyncRawCursor[R]):
    """The same on asyncio."""

    @property
    def adapters(self) -> AdaptersMap:
        """Return the adapters of this package."""
        return ADAPTERS


def to_text(value: object) -> str | None:
    """Write a value as the text that PostgreSQL reads under the cast in the statement."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return "{" + ",".join(map(_element, cast(Sequence[object], value))) + "}"
    return str(value)


def _element(value: object) -> str:
    text = to_text(value)
    return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
