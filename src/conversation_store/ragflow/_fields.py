"""Fields of the tables of RAGFlow: on the class of a table they make conditions, on a row they are values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload
from uuid import UUID

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument
from conversation_store.models import milliseconds
from conversation_store.ragflow._conditions import Column, Condition
from conversation_store.ragflow._settings import settings, without_secrets

if TYPE_CHECKING:
    from conversation_store.ragflow._rows import Row

T = TypeVar("T")


class Field(Generic[T]):
    """A field of a table: on the class it makes conditions, on a row it is the value."""

    name = ""

    def __init__(self, *, required: bool = False) -> None:
        self._required = required  # every row has a value
        self._columns: frozenset[Column] = frozenset()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self._columns = frozenset({(owner, name)})

    @overload
    def __get__(self, row: None, owner: type) -> Self: ...
    @overload
    def __get__(self, row: Row, owner: type) -> T: ...
    def __get__(self, row: Row | None, owner: type) -> Any:
        """Return the field itself, or its value in a row, None where it was not read."""
        return self if row is None else row.to_dict().get(self.name)

    def __set__(self, row: Row, value: T) -> None:
        """Change the value in a row, which is stored when the row is written back."""
        row.to_dict()[self.name] = value

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        del name  # a caller may have given anything
        raise NotImplementedError(
            "a field has no such method: there are ==, !=, <, <=, >, >=, <<, in_, between, is_null and contains;"
            " query and get_all take order_by and reverse"
        )

    @without_secrets
    def __add__(self, value: object) -> NoReturn:
        raise NotImplementedError(f"a statement cannot compute {self.name}; append_message increments the round")

    def plain(self, value: Any) -> Any:
        """Return a value as rows have it, or None for one that no row can have."""
        return value

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # as those callers write it
        return self.is_null() if value is None else self.in_([value])

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        if value is None:
            return self.is_null(False)
        # A value that none can be is another than each.
        return self._compared(operator.ne, value) if self.plain(value) is not None else self.is_null(False)

    def __lt__(self, value: T | str | date) -> Condition:
        return self._compared(operator.lt, value)

    def __le__(self, value: T | str | date) -> Condition:
        return self._compared(operator.le, value)

    def __gt__(self, value: T | str | date) -> Condition:
        return self._compared(operator.gt, value)

    def __ge__(self, value: T | str | date) -> Condition:
        return self._compared(operator.ge, value)

    @without_secrets
    def __lshift__(self, values: Iterable[Any]) -> Condition:
        return self.in_(values)

    __hash__ = object.__hash__

    @without_secrets
    def in_(self, values: Iterable[Any]) -> Condition:
        """Return the condition that the value is one of these."""
        name = self.name
        given = map(self.plain, validate.members(name, values, "a list of values"))
        wanted = frozenset(plain for plain in given if plain is not None)
        return Condition(lambda row: row[name] in wanted, self._columns, {name: wanted}, exact=True)

    def between(self, least: T | str | date, most: T | str | date) -> Condition:
        """Return the condition that the value is in this range, of which both ends are part."""
        return self.__ge__(least) & self.__le__(most)

    def is_null(self, is_null: bool = True) -> Condition:
        """Return the condition that there is no value, or that there is one."""
        if self._required and is_null:
            return self.in_([])
        name = self.name
        return Condition(lambda row: (row[name] is None) is is_null, self._columns)

    @without_secrets
    def contains(self, text: str) -> Condition:
        """Return the condition that the value contains a text, whatever its case."""
        name, sought = self.name, validate.text(f"contains of {self.name}", text).lower()
        return Condition(lambda row: row[name] is not None and sought in str(row[name]).lower(), self._columns)

    def _compared(self, compare: Callable[[Any, Any], bool], value: object) -> Condition:
        name, other = self.name, self.plain(value)
        if other is None:
            return self.in_([])
        return Condition(lambda row: row[name] is not None and compare(row[name], other), self._columns)


class TextField(Field[T]):
    """A field of text; an int or a UUID stands for its text."""

    def plain(self, value: Any) -> str | None:
        """Return a text, which may be empty, or None for a value that no text can be."""
        return "" if isinstance(value, str) and not value else known(value, maximum=validate.MAX_ERRORS)


class NumberField(Field[T]):
    """A field of numbers; a condition takes the text of one too."""

    def plain(self, value: Any) -> float:
        """Return a number; what is none raises `InvalidArgument`."""
        if isinstance(value, (int, float)):
            return value
        try:
            return int(value) if isinstance(value, str) and value.strip("+-").isdecimal() else float(value)
        except (ValueError, TypeError):
            raise InvalidArgument(f"{self.name} must be a number, not {validate.shown(value)}") from None


class DateField(Field[T]):
    """A field of naive local dates; a condition takes days, instants and their text, with an offset or without."""

    def plain(self, value: Any) -> datetime:
        """Return the wall clock of a date in the zone that is configured; what is none raises `InvalidArgument`."""
        instant = _date(self.name, value)
        if instant.tzinfo is None:
            return instant
        try:
            return instant.astimezone(settings().zone).replace(tzinfo=None)
        except OverflowError:
            raise InvalidArgument(f"{self.name} must lie in the calendar, not {validate.shown(value)}") from None


class TimeField(NumberField[T]):
    """A field of milliseconds since 1970; a condition takes a date of them too."""

    def plain(self, value: Any) -> float:
        """Return milliseconds; a date without an offset is one of the zone that is configured."""
        if not isinstance(value, (str, date)) or (isinstance(value, str) and value.isdecimal()):
            return super().plain(value)
        instant = _date(self.name, value)
        try:
            aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=settings().zone)
            return milliseconds(aware.astimezone(UTC))
        except OverflowError:
            raise InvalidArgument(f"{self.name} must lie in the calendar, not {validate.shown(value)}") from None


class JsonField(Field[T]):
    """A field of JSON, which no condition looks into."""

    def in_(self, values: Iterable[Any]) -> Condition:
        """Raise `NotImplementedError`."""
        raise self._no_condition()

    def is_null(self, is_null: bool = True) -> Condition:
        """Raise `NotImplementedError`."""
        raise self._no_condition()

    def contains(self, text: str) -> Condition:
        """Raise `NotImplementedError`."""
        raise self._no_condition()

    def _compared(self, compare: Callable[[Any, Any], bool], value: object) -> Condition:
        raise self._no_condition()

    def _no_condition(self) -> NotImplementedError:
        return NotImplementedError(
            f"no condition looks into {self.name};"
            " store.for_tenant(tenant_id).conversations.search(keywords, user_id=…) finds text in messages"
        )


def _date(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise InvalidArgument(f"{name} must be a date, not {validate.shown(value)}") from None


def known(value: object, *, maximum: int = validate.MAX_ID) -> str | None:
    """Return an id as its text, or None for what no row has: an empty, too long or unstorable one, or no id at all."""
    if not isinstance(value, (str, int, UUID)) or isinstance(value, bool):
        return None
    try:
        return validate.identifier("id", value, maximum=maximum)
    except InvalidArgument:
        return None


def all_known(name: str, values: object) -> list[str]:
    """Return the ids of a list that some row may have, each once."""
    return sorted({id for value in validate.members(name, values, "a list of ids") if (id := known(value)) is not None})
