"""Conditions on the rows of a table, as RAGFlow's callers write them: `[APIToken.tenant_id == "t"]`.

A condition is a function of the values of a row. What it says of single fields narrows what is read from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, cast

from conversation_store.errors import InvalidArgument, InvalidArgumentType
from conversation_store.ragflow._settings import without_secrets

Column = tuple[type[Any], str]
"""The class of a table and the name of a field."""

_NOTHING: Mapping[str, frozenset[Any]] = MappingProxyType({})


class Condition:
    """A condition on the rows of a table; `&` and `|` combine two."""

    def __init__(
        self,
        holds: Callable[[Mapping[str, Any]], bool],
        columns: frozenset[Column],
        one_of: Mapping[str, frozenset[Any]] = _NOTHING,
        exact: bool = False,
    ) -> None:
        self.holds = holds
        self.columns = columns  # what it is about
        self.one_of = one_of  # the fields of which a row must have one of some values
        self.exact = exact  # whether that is all that it says

    @without_secrets
    def __and__(self, other: Condition) -> Condition:
        _check(other)
        return Condition(
            lambda row: self.holds(row) and other.holds(row),
            self.columns | other.columns,
            narrowed((self, other)),
            self.exact and other.exact,
        )

    @without_secrets
    def __or__(self, other: Condition) -> Condition:
        _check(other)
        shared = self.one_of.keys() & other.one_of.keys()
        return Condition(
            lambda row: self.holds(row) or other.holds(row),
            self.columns | other.columns,
            {name: self.one_of[name] | other.one_of[name] for name in shared},
        )

    def __invert__(self) -> NoReturn:
        raise NotImplementedError("a condition has no ~: use !=, or is_null(False)")

    def __bool__(self) -> bool:
        # `a == 1 and b == 2` would be `b == 2` alone.
        raise InvalidArgumentType("a condition is neither true nor false: combine two with & or |, or list them")


def _check(other: object) -> None:
    if not isinstance(other, Condition):
        raise InvalidArgumentType("a condition is combined with another condition alone")


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


def check_table(table: type[Any], conditions: Iterable[Condition]) -> None:
    """Raise `InvalidArgument` where a condition is about the field of another table."""
    for condition in conditions:
        for owner, name in condition.columns:
            if not issubclass(table, owner):
                raise InvalidArgument(f"filters must be about {table.__name__}, not {owner.__name__}.{name}")
