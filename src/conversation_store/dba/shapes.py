"""The shapes of a query file: values of its parameters, from its own text, that have plans of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple, TypeAlias

from conversation_store.dba.files import Parameter, QueryFile

Examples: TypeAlias = Mapping[str, Sequence[object]]
"""Values for parameters, by `table.name` of the file's folder, or by name."""

# Beyond this many combinations it is pairs of values that all occur together.
_MOST = 64
# Values of a type are in no table, so that the planner expects what it does of any value.
_BY_TYPE: Examples = {
    "text": ["x"],
    "character varying": ["x"],
    "uuid": ["00000000-0000-4000-8000-000000000000"],
    **dict.fromkeys(("smallint", "integer", "int", "bigint", "numeric"), (7,)),
    **dict.fromkeys(("double precision", "real"), (0.5,)),
    **dict.fromkeys(("timestamptz", "timestamp with time zone", "timestamp", "date"), ("2024-01-10T00:00:00+00:00",)),
    "interval": ["1 day"],
    "json": ["[]"],
    "jsonb": ["{}"],
    "bytea": ["\\x00"],
    "boolean": [True, False],
}
_BY_NAME: Examples = {
    "limit": [30],
    "offset": [0, 1_000],
    "time_zone": ["UTC"],
}


class Shape(NamedTuple):
    """Values for all parameters of a file, and a label that tells them from other shapes of it."""

    label: str
    values: Mapping[str, object]


def shapes(file: QueryFile, examples: Examples | None = None) -> list[Shape]:
    """Return the shapes of a file; there are none of a COPY, which has no plan.

    Every order, in every direction, has its first page and a later one. These, each optional filter with and without
    a value, and all other values are combined: each with each, or beyond 64 shapes so that all pairs are there.
    """
    if file.is_copy:
        return []
    given = examples or {}
    axes: list[list[_Values]] = []
    ordered: list[list[_Values]] = []
    for parameter in file.parameters:
        if not (parameter.of_position and parameter.optional):
            options = _options(file, parameter, given)
            (ordered if parameter.name in file.ordering else axes).append(
                [{parameter.name: value} for value in options]
            )
    pages = _pages(file)
    axes.insert(0, [_merged(row) for row in product(*ordered, pages)])
    found: list[Shape] = []
    fixed = {name for axis in axes if len(axis) == 1 for name in axis[0]}
    for row in _combined(axes):
        values = _merged(row)
        for parameter in file.parameters:
            if values.get(parameter.name) is _LATER:
                values[parameter.name] = _of_position(file, parameter, values, given)
        found.append(Shape(_label(values, fixed), values))
    return found


# -- values ----------------------------------------------------------------------------------

_Values: TypeAlias = dict[str, object]
_LATER = object()  # stands for a part of a position until the order is known


def _options(file: QueryFile, parameter: Parameter, examples: Examples) -> list[object]:
    """Return the values of a parameter that may have plans of their own."""
    values = _examples(file, parameter.name, parameter.type, examples)
    if parameter.choices:
        # What a statement compares with is one value of several: it may be another one.
        return [*parameter.choices, "other"]
    return [None, *values] if parameter.optional else list(values)


def _pages(file: QueryFile) -> list[_Values]:
    """Return the first page, where the position is NULL, a later one, and one before a position."""
    names = [each.name for each in file.parameters if each.of_position and each.optional]
    behind = [name for name in names if name != "before"]
    first: _Values = {**dict.fromkeys(names)}
    pages = [first]
    for part in (behind, [name for name in names if name == "before"]):
        if part:
            pages.append({**first, **dict.fromkeys(part, _LATER)})
    return pages


def _of_position(file: QueryFile, parameter: Parameter, values: _Values, examples: Examples) -> object:
    """Return a value for a part of a position, of the type that it is read as in the order of a shape."""
    choices = [(name, value) for name, value in values.items() if isinstance(value, str)]
    types = [parameter.read_as[choice] for choice in choices if choice in parameter.read_as]
    of_type = types[0] if types else parameter.read_as.get(None, parameter.type)
    # A key is the value of a column that the order decides on.
    return _examples(file, "" if len(parameter.read_as) > 1 else parameter.name, of_type, examples)[0]


def _examples(file: QueryFile, name: str, of_type: str, examples: Examples) -> Sequence[object]:
    """Return values of a name or of a type; of a type that is not known it is NULL."""
    column = name.removeprefix("after_")
    for given in (f"{file.table}.{name}", name, f"{file.table}.{column}", column):
        if given in examples:
            return examples[given]
    if name in _BY_NAME:
        return _BY_NAME[name]
    if of_type.endswith("[]"):
        (first, *_) = _BY_TYPE.get(of_type.removesuffix("[]"), [None])
        return [[first], [first, first, first]]
    return [1_000] if name.endswith("_limit") else _BY_TYPE.get(of_type, [None])


def _label(values: _Values, fixed: set[str]) -> str:
    """Return what is particular to a shape: values that others have others of, and NULL is left out."""
    shown = {name: value for name, value in values.items() if name not in fixed and value is not None}
    return ", ".join(f"{name}={value}" for name, value in shown.items()) or "all"


# -- combinations ----------------------------------------------------------------------------


def _merged(row: Sequence[_Values]) -> _Values:
    return {name: value for part in row for name, value in part.items()}


def _combined(axes: Sequence[Sequence[_Values]]) -> Iterator[tuple[_Values, ...]]:
    if math.prod(map(len, axes)) <= _MOST:
        yield from product(*axes)
    else:
        for row in pairwise([len(axis) for axis in axes]):
            yield tuple(axis[at] for axis, at in zip(axes, row, strict=True))


def pairwise(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield rows of one number below each size, so that of any two places all pairs of numbers occur."""
    pairs = {
        (a, i, b, j) for a, b in combinations(range(len(sizes)), 2) for i in range(sizes[a]) for j in range(sizes[b])
    }
    while pairs:
        a, i, b, j = min(pairs)
        row = {a: i, b: j}
        for place in sorted(set(range(len(sizes))) - {a, b}, key=lambda place: -sizes[place]):
            row[place] = max(
                range(sizes[place]),
                key=lambda number: sum(_pair(place, number, other, row[other]) in pairs for other in row),
            )
        pairs -= {_pair(a, i, b, j) for (a, i), (b, j) in combinations(row.items(), 2)}
        yield [row[place] for place in range(len(sizes))]


def _pair(a: int, i: int, b: int, j: int) -> tuple[int, int, int, int]:
    return (a, i, b, j) if a < b else (b, j, a, i)
