"""A property that is computed once, without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  # used as a decorator
    """Compute a property when it is first asked for, and keep it.

    Not `functools.cached_property`, which holds a lock meanwhile on Python 3.11: a child that is forked at that moment
    would wait for it without end. Two threads at the same moment may both compute it.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> T:
        """Return the value."""
        value = vars(instance)[self._name] = self._compute(instance)
        return value
