"""What Python expects of a query file: its parameters with their types, and the row class of its columns."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NewType, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

Json = NewType("Json", str)
"""The text of a JSON value."""

Types: TypeAlias = Mapping[str, Any]
"""Names with their types, as annotations; a type of `X | None` may be NULL."""


@dataclass(frozen=True)
class Contract:
    """What Python expects of a query file.

    - *row*: a dataclass or a named tuple that has the columns as its fields, in their order; a type, where a row has
      one column, whatever its name; None where only the number of rows is asked.
    - *parameters*: the names that are passed, with their types, or a function whose arguments they are; of a COPY, the
      columns that are sent, in their order. None: they are not compared.
    - *before*: columns that stand in front of those of *row*.
    - *methods*: the methods that run the file.
    """

    row: type | None = None
    parameters: Types | Callable[..., Any] | None = None
    before: Types = field(default_factory=dict[str, Any])
    methods: tuple[str, ...] = field(default=(), kw_only=True)

    def passed(self) -> Types | None:
        """Return the names that are passed, with their types, or None where they are not compared."""
        if self.parameters is None or not callable(self.parameters):
            return self.parameters
        hints = get_type_hints(self.parameters)
        names = list(inspect.signature(self.parameters).parameters)
        return {name: hints.get(name, Any) for name in names if name not in ("self", "cls")}

    def columns(self) -> Types | None:
        """Return the columns that are read, with their types; None where one column of any name is, or none."""
        fields = _fields(self.row)
        return None if fields is None else {**self.before, **fields}


def bare(hint: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether it was one of None too."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return (kinds[0] if len(kinds) == 1 else Any), len(kinds) < len(get_args(hint))
    return hint, False


def _fields(row: Any) -> Types | None:
    """Return the fields of a row class with their types, or None where it is no such class."""
    names: Any = getattr(row, "_fields", None)
    if names is None and dataclasses.is_dataclass(row):
        names = [column.name for column in dataclasses.fields(row)]
    if names is None:
        return None
    hints = get_type_hints(row)
    return {name: hints.get(name, Any) for name in names}


def load_contracts(named: str) -> Mapping[str, Contract]:
    """Return the contracts of a service's folder, by `module:NAME` of a mapping from file to contract or row class."""
    module, _, attribute = named.partition(":")
    if not module or not attribute:
        raise ValueError(f"contracts are named as module:MAPPING, not {named!r}")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there are no contracts {named}: {error}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{named} must be a mapping from the names of files to row classes or contracts")
    mapping = cast("Mapping[str, Any]", found)
    return {name: value if isinstance(value, Contract) else Contract(value) for name, value in mapping.items()}
