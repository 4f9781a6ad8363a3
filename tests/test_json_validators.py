"""The validators of JSON: what PostgreSQL stores and Python reads back as it was."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_store import NOT_READ, InvalidArgument
from conversation_store import _json as json_values
from conversation_store._json_writer import JsonWriter
from support.validators import WRONG, WRONG_TYPE, Bad, Tables, Validator, accepted, assert_rejects, rejected

NAN, INFINITY = float("nan"), float("inf")


def nested(depth: int) -> Any:
    """Return None in a list in a list, and so on."""
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def circle() -> list[Any]:
    """Return a list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


JSON_ERRORS: Bad = [
    (["b\0"], WRONG, r"x\[0\] must not contain U\+0000"),
    ([{"a": ["b\0"]}], WRONG, r"x\[0\]\['a'\]\[0\] must not contain U\+0000"),
    ([{"a\0": 1}], WRONG, r"a key of x\[0\] must not contain U\+0000"),
    ([{"x": "\ud83d"}], WRONG, r"x\[0\]\['x'\] must not contain the lone surrogate U\+D83D"),
    ([1, NAN], WRONG, r"x\[1\] must be a finite number, not nan"),
    ([{"a": -INFINITY}], WRONG, r"x\[0\]\['a'\] must be a finite number, not -inf"),
    ([10**5000], WRONG, r"x\[0\] must have at most 4298 digits"),
    ([{1: "a"}], WRONG_TYPE, r"x\[0\] must have str keys, not int"),
    ([datetime(2024, 1, 1)], WRONG_TYPE, r"x\[0\] must be a JSON value, not datetime"),
    ([{"a": {1, 2}}], WRONG_TYPE, r"x\[0\]\['a'\] must be a JSON value, not set"),
    ([Decimal(1)], WRONG_TYPE, r"x\[0\] must be a JSON value, not Decimal"),
    ([1, NOT_READ], WRONG, r"x\[1\] was not read; read the row with it, or leave it out"),
    (circle(), WRONG, "x must not be nested deeper than 500 levels"),
    (nested(501), WRONG, "x must not be nested deeper than 500 levels"),
]

VALIDATORS: Tables = {
    "text": (
        partial(JsonWriter().text, "x"),
        [
            (None, "null"),
            (True, "true"),
            ("检\n", '"检\\n"'),
            ({"b": 1, "a": [0.5, ()]}, '{"b":1,"a":[0.5,[]]}'),
            (10**4297, "1" + "0" * 4297),
            (nested(500), "[" * 500 + "null" + "]" * 500),
        ],
        [
            *JSON_ERRORS,
            (NOT_READ, WRONG, "x was not read; read the row with it, or leave it out"),
            ("\0", WRONG, r"x must not contain U\+0000"),
            ({"a\0": 1}, WRONG, r"a key of x must not contain U\+0000"),
            ({"a": [1, NAN]}, WRONG, r"x\['a'\]\[1\] must be a finite number, not nan"),
            (Decimal(1), WRONG_TYPE, "x must be a JSON value, not Decimal"),
        ],
    ),
    "entries": (
        partial(JsonWriter().entries, "x"),
        [([], []), (({"a": 1}, "b"), ['{"a":1}', '"b"']), ({"a": []}, '{"a":[]}'), ("a", '"a"'), (None, "null")],
        [
            *JSON_ERRORS,
            (NOT_READ, WRONG, "x was not read; read the row with it, or leave it out"),
            ("\0", WRONG, r"x must not contain U\+0000"),
        ],
    ),
    "array": (
        partial(JsonWriter().array, "x"),
        [([], "[]"), ((1, [2]), "[1,[2]]")],
        [
            *JSON_ERRORS,
            ("text", WRONG_TYPE, "x must be a list, not str"),
            ({"role": "user"}, WRONG_TYPE, "x must be a list, not dict"),
            (None, WRONG_TYPE, "x must be a list, not NoneType"),
            (iter([1]), WRONG_TYPE, "x must be a list, not list_iterator"),
        ],
    ),
}


@pytest.mark.parametrize(("validator", "value", "result"), accepted(VALIDATORS))
def test_an_allowed_value_is_returned_as_it_is_sent(validator: Validator, value: object, result: object) -> None:
    assert validator(value) == result


@pytest.mark.parametrize(("validator", "value", "error", "message"), rejected(VALIDATORS))
def test_any_other_value_raises_an_error_that_names_the_argument_and_what_is_allowed(
    validator: Validator, value: object, error: type[Exception], message: str
) -> None:
    assert_rejects(validator, value, error, message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
        max_leaves=12,
    )
)
def test_any_value_is_either_written_as_json_that_reads_back_as_it_was_or_rejected(value: Any) -> None:
    try:
        written = JsonWriter().text("value", value)
    except InvalidArgument as error:
        assert str(error).startswith(("value", "a key of value"))
    else:
        assert json.loads(written.encode(), parse_constant=pytest.fail) == value


def test_loads_reports_each_key_that_an_object_has_more_than_once() -> None:
    duplicates: list[str] = []
    assert json_values.loads_and_report('{"b": 1, "a": [{"c": 1, "c": 2}], "b": 3, "b": 4}', duplicates) == {
        "b": 4,
        "a": [{"c": 2}],
    }
    assert duplicates == ["c", "b"]
