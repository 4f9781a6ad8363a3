"""Tables of validators: the values that each accepts, and the error that each other value raises."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest

from conversation_store import InvalidArgument, InvalidArgumentType

Validator: TypeAlias = Callable[[Any], object]
"""A validator of an argument that is called x."""

Good: TypeAlias = list[tuple[object, object]]
"""Values, each with what the validator returns for it."""

Bad: TypeAlias = list[tuple[object, type[Exception], str]]
"""Values, each with the error that the validator raises for it, and a regular expression of its whole text."""

Tables: TypeAlias = Mapping[str, tuple[Validator, Good, Bad]]

WRONG, WRONG_TYPE = InvalidArgument, InvalidArgumentType


def same(*values: object) -> Good:
    """Return values that a validator returns as they are."""
    return [(value, value) for value in values]


def accepted(tables: Tables) -> list[Any]:
    """Return the parameters of a test: a validator, a value, and what it returns."""
    return [
        pytest.param(call, value, result, id=f"{name}-{number}")
        for name, (call, good, _) in tables.items()
        for number, (value, result) in enumerate(good)
    ]


def rejected(tables: Tables) -> list[Any]:
    """Return the parameters of a test: a validator, a value, the class and the text of its error."""
    return [
        pytest.param(call, value, error, message, id=f"{name}-{number}")
        for name, (call, _, bad) in tables.items()
        for number, (value, error, message) in enumerate(bad)
    ]


def assert_rejects(validator: Validator, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        validator(value)
    assert type(caught.value) is error
    assert re.fullmatch(message, str(caught.value))
