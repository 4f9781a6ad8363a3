"""Fields of the tables of RAGFlow and conditions on them, as its callers write them: `[APIToken.tenant_id == "t"]`.

A condition is a function of the values of a row. What it says of single fields narrows what is read from the store.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload
from uuid import UUID

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, InvalidArgumentType

if TYPE_CHECKING:
    from conversation_store.ragflow._rows import Row

T = TypeVar("T")

_NOTHING: Mapping[str, frozenset[Any]] = MappingProxyType({})


class Condition:
    """A condition on the rows of a table; `&` and `|` combine two."""

    def __init__(
        self,
        holds: Callable[[Mapping[str, Any]], bool],
        one_of: Mapping[str, frozenset[Any]] = _NOTHING,
        exact: bool = False,
    ) -> None:
        self.holds = holds
        self.one_of = one_of  # the fields of which a row must have one of some values
        self.exact = exact  # whether that is all that it says

    def __and__(self, other: Condition) -> Condition:
        return Condition(
            lambda row: self.holds(row) and other.holds(row), narrowed((self, other)), self.exact and other.exact
        )

    def __or__(self, other: Condition) -> Condition:
        shared = self.one_of.keys() & other.one_of.keys()
        return Condition(
            lambda row: self.holds(row) or other.holds(row),
            {name: self.one_of[name] | other.one_of[name] for name in shared},
        )

    def __bool__(self) -> bool:
        # `a == 1 and b == 2` would be `b == 2` alone.
        raise InvalidArgumentType("a condition is neither true nor false: combine two with & or |, or list them")


def narrowed(conditions: Iterable[Condition]) -> dict[str, frozenset[Any]]:
    """Return, of conditions that all hold, the fields of which a row must have one of some values."""
    one_of: dict[str, frozenset[Any]] = {}
    for condition in conditions:
        for name, values in condition.one_of.items():
            one_of[name] = one_of[name] & values if name in one_of else values
    return one_of


def checked_conditions(filters: object) -> list[Condition]:
    """Return the conditions of a list, of which there must be one at least."""
    given = cast("list[object]", filters) if isinstance(filters, (list, tuple)) else []
    conditions = [condition for condition in given if isinstance(condition, Condition)]
    if not conditions or len(conditions) < len(given):
        raise InvalidArgumentType(
            "filters must be a list of at least one condition, such as [APIToken.tenant_id == tenant_id]"
        )
    return conditions


class Field(Generic[T]):
    """A field of a table: on the class it makes conditions, on a row it is the value."""

    name = ""

    def __init__(self, *, required: bool = False) -> None:
        self._required = required  # every row has a value

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

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

    def __lt__(self, value: T | str) -> Condition:
        return self._compared(operator.lt, value)

    def __le__(self, value: T | str) -> Condition:
        return self._compared(operator.le, value)

    def __gt__(self, value: T | str) -> Condition:
        return self._compared(operator.gt, value)

    def __ge__(self, value: T | str) -> Condition:
        return self._compared(operator.ge, value)

    def __lshift__(self, values: Iterable[Any]) -> Condition:
        return self.in_(values)

    __hash__ = object.__hash__

    def in_(self, values: Iterable[Any]) -> Condition:
        """Return the condition that the value is one of these."""
        name = self.name
        wanted = frozenset(
            plain
            for value in validate.members(self.name, values, "a list of values")
            if (plain := self.plain(value)) is not None
        )
        return Condition(lambda row: row[name] in wanted, {name: wanted}, exact=True)

    def between(self, least: T | str, most: T | str) -> Condition:
        """Return the condition that the value is in this range, of which both ends are part."""
        return self.__ge__(least) & self.__le__(most)

    def is_null(self, is_null: bool = True) -> Condition:
        """Return the condition that there is no value, or that there is one."""
        if self._required and is_null:
            return self.in_([])
        name = self.name
        return Condition(lambda row: (row[name] is None) is is_null)

    def contains(self, text: str) -> Condition:
        """Return the condition that the value contains a text, whatever its case."""
        name, sought = self.name, text.lower()
        return Condition(lambda row: row[name] is not None and sought in str(row[name]).lower())

    def _compared(self, compare: Callable[[Any, Any], bool], value: object) -> Condition:
        name, other = self.name, self.plain(value)
        return Condition(lambda row: row[name] is not None and other is not None and compare(row[name], other))


class TextField(Field[T]):
    """A field of text; an int or a UUID stands for its text."""

    def plain(self, value: Any) -> str | None:
        """Return a text, which may be empty, or None for a value that no text can be."""
        return "" if value == "" else known(value, maximum=validate.MAX_ERRORS)


class NumberField(Field[T]):
    """A field of numbers."""


class DateField(Field[T]):
    """A field of naive local dates; a condition takes text too."""

    def plain(self, value: Any) -> datetime | None:
        """Return a date; a text that is none raises `InvalidArgument`."""
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise InvalidArgument(f"{self.name} must be a date, not {validate.shown(value)}") from None
        return value.replace(tzinfo=None) if isinstance(value, datetime) else None


class JsonField(Field[T]):
    """A field of JSON, which no condition looks into."""

    def in_(self, values: Iterable[Any]) -> Condition:
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
