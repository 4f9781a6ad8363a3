"""What both services have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgumentType
from conversation_store.ragflow._conditions import Condition, checked_conditions
from conversation_store.ragflow._rows import Row, field_of
from conversation_store.ragflow._settings import without_secrets

R = TypeVar("R", bound=Row)
T = TypeVar("T")


class Service(Generic[R]):
    """The methods that read rows, which are those of the table `model`."""

    model: type[Any]

    @classmethod
    @without_secrets
    def query(
        cls, cols: Any = None, reverse: bool | None = None, order_by: str | None = None, **filters: Any
    ) -> list[R]:
        """Return the rows that have these values, all of them; *cols* is ignored, as it is there.

        A value of None is no filter, and without any filter there are no rows, as it is there. A list or a set means
        one of its members; of a number or a date, a list has the two ends of a range, of which one may be None.
        """
        return cast("list[R]", cls.model.query(reverse=reverse, order_by=order_by, **filters))

    @classmethod
    @without_secrets
    def get_all(
        cls, cols: Iterable[Any] | None = None, reverse: bool | None = None, order_by: str | None = None
    ) -> list[R]:
        """Return all rows of all tenants, with these columns or with all."""
        return cast("list[R]", cls.model.find([], cols, reverse, order_by))

    @classmethod
    @without_secrets
    def get(cls, **filters: Any) -> R:
        """Return the row that has these values; raises `model.DoesNotExist`."""
        return cast(R, cls.model.get(**filters))

    @classmethod
    @without_secrets
    def get_or_none(cls, **filters: Any) -> R | None:
        """Return the row that has these values, or None."""
        return cast("R | None", cls.model.get_or_none(**filters))

    @classmethod
    @without_secrets
    def filter_scope_list(
        cls,
        in_key: str,
        in_filters_list: Sequence[Any],
        filters: Sequence[Condition] | None = None,
        cols: Iterable[Any] | None = None,
    ) -> list[R]:
        """Return the rows that have one of these values in a field, and for which the conditions hold."""
        where = [field_of(cls.model, in_key).in_(in_filters_list)]
        return cast("list[R]", cls.model.find([*where, *(checked_conditions(filters) if filters else [])], cols))

    @staticmethod
    def cut_list(tar_list: Sequence[T], n: int) -> list[tuple[T, ...]]:
        """Return the members of a list in tuples of *n*, the last with the rest."""
        return cut_list(tar_list, n)


def cut_list(members: Sequence[T], n: int) -> list[tuple[T, ...]]:
    """Return the members of a list in tuples of *n*, the last with the rest."""
    size = validate.integer("n", n, minimum=1)
    if not isinstance(cast(object, members), Sequence):
        raise InvalidArgumentType(f"tar_list must be a list, not {type(members).__name__}")
    return [tuple(members[start : start + size]) for start in range(0, len(members), size)]


def in_chunks(ids: list[str], call: Callable[[list[str]], int]) -> int:
    """Call a function with as many ids as a statement takes at a time, and return the sum of its results."""
    return sum(call(list(some)) for some in cut_list(ids, validate.MAX_IDS))
