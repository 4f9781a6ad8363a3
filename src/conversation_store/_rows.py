"""What the rows of all tables have in common."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row:
    """A row of a result: a frozen dataclass."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON can say it, under the names of its fields.

        Dates are ISO 8601 text with an offset; `create_time` and `update_time`, in milliseconds since 1970, stand
        beside the dates. A secret is left out. JSON values are those of the row, not copies.
        """
        # Not asdict(), which copies every message.
        result: dict[str, Any] = {}
        for field in fields(cast(Any, self)):
            if not field.metadata.get("secret"):
                value = getattr(self, field.name)
                result[field.name] = value.isoformat() if isinstance(value, date) else value
        return result


class Dated(Row):
    """A row with the dates of its creation and of its last change."""

    __slots__ = ()

    create_date: datetime
    update_date: datetime

    @property
    def create_time(self) -> int:
        """The creation date in milliseconds since 1970."""
        return milliseconds(self.create_date)

    @property
    def update_time(self) -> int:
        """The date of the last change in milliseconds since 1970."""
        return milliseconds(self.update_date)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON can say it; see `Row.to_dict`."""
        return super().to_dict() | {"create_time": self.create_time, "update_time": self.update_time}


def milliseconds(instant: datetime) -> int:
    """Return an instant in milliseconds since 1970."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)
