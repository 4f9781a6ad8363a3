"""The validators of texts, ids, numbers and choices, and the constructor of the stores."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import AsyncConnectionPool

from conversation_store import AsyncConversationStore, ConversationStore, InvalidArgument, InvalidArgumentType, migrate
from conversation_store import _validation as validate
from support.statements import NoServer, store_without_server
from support.validators import WRONG, WRONG_TYPE, Bad, Tables, Validator, accepted, assert_rejects, rejected, same

NAN, INFINITY = float("nan"), float("inf")
UUID_TEXT = "0191d8f0-0a1b-7c2d-8e3f-00000000000a"
HEX = UUID_TEXT.replace("-", "")


async def coroutine(_: int) -> None: ...


TEXT_ERRORS: Bad = [
    (5, WRONG_TYPE, "x must be a str, not int"),
    (b"a", WRONG_TYPE, "x must be a str, not bytes"),
    (["a"], WRONG_TYPE, "x must be a str, not list"),
    ("abcd", WRONG, "x must have at most 3 characters, not 4"),
    ("a\0", WRONG, r"x must not contain U\+0000"),
    ("é\udc80", WRONG, r"x must not contain the lone surrogate U\+DC80"),
]
ID_ERRORS: Bad = [
    (["d"], WRONG_TYPE, "x must be a str, an int or a UUID, not list"),
    (True, WRONG_TYPE, "x must be a str, an int or a UUID, not bool"),
    (1.5, WRONG_TYPE, "x must be a str, an int or a UUID, not float"),
    (b"d", WRONG_TYPE, "x must be a str, an int or a UUID, not bytes"),
    ({"a": 1}, WRONG_TYPE, "x must be a str, an int or a UUID, not dict"),
    ("d" * 129, WRONG, "x must have at most 128 characters, not 129"),
    (10**128, WRONG, "x must have at most 128 characters, not 129"),
    ("d\0", WRONG, r"x must not contain U\+0000"),
    ("\udc80", WRONG, r"x must not contain the lone surrogate U\+DC80"),
]
# For each validator: how it is called, the values that it accepts with what it returns, and those that it rejects.
VALIDATORS: Tables = {
    "text": (
        lambda value: validate.text("x", value, maximum=3),
        same("", "abc", "检索é", "😀😀😀", "\n"),
        [*TEXT_ERRORS, (None, WRONG_TYPE, "x must be a str, not NoneType")],
    ),
    "optional_text": (
        lambda value: validate.optional_text("x", value, maximum=3),
        same(None, "", "abc"),
        TEXT_ERRORS,
    ),
    "identifier": (
        partial(validate.identifier, "x"),
        [*same("d", " ", "d" * 128, "检"), (0, "0"), (-12, "-12"), (10**127, "1" + "0" * 127), (UUID(UUID_TEXT), HEX)],
        [
            *ID_ERRORS,
            ("", WRONG, "x must be given and not be empty"),
            (None, WRONG, "x must be given and not be empty"),
        ],
    ),
    "identifier with a maximum": (
        lambda value: validate.identifier("x", value, maximum=2),
        [("ab", "ab"), (12, "12")],
        [("abc", WRONG, "x must have at most 2 characters, not 3")],
    ),
    "optional_identifier": (
        partial(validate.optional_identifier, "x"),
        [*same(None, "", "d"), (5, "5"), (UUID(UUID_TEXT), HEX)],
        ID_ERRORS,
    ),
    "optional_filter": (
        partial(validate.optional_filter, "x"),
        [(None, None), ("d", "d"), (5, "5")],
        [*ID_ERRORS, ("", WRONG, "x must be given and not be empty")],
    ),
    "identifiers": (
        partial(validate.identifiers, "x"),
        [
            ([], []),
            (["b", "a", "b"], ["a", "b"]),
            ((2, "2", 1), ["1", "2"]),
            ([UUID(UUID_TEXT), HEX], [HEX]),
            (iter(["a"]), ["a"]),
            ({"b", "a"}, ["a", "b"]),
            (["a"] * 10_000, ["a"]),
        ],
        [
            (None, WRONG_TYPE, "x must be a list of ids, not NoneType"),
            ("ab", WRONG_TYPE, "x must be a list of ids, not str"),
            (b"ab", WRONG_TYPE, "x must be a list of ids, not bytes"),
            ({"a": 1}, WRONG_TYPE, "x must be a list of ids, not dict"),
            (5, WRONG_TYPE, "x must be a list of ids, not int"),
            (["a", ""], WRONG, r"x\[1\] must be given and not be empty"),
            (["a", 1.5], WRONG_TYPE, r"x\[1\] must be a str, an int or a UUID, not float"),
            (["a"] * 10_001, WRONG, "x must have at most 10000 ids"),
        ],
    ),
    "rows": (
        lambda value: list(validate.rows("x", value)),
        [([], []), (({"a": 1},), [{"a": 1}]), (iter([5]), [5])],
        [
            (None, WRONG_TYPE, "x must be an iterable of mappings, not NoneType"),
            ("x", WRONG_TYPE, "x must be an iterable of mappings, not str"),
            (b"x", WRONG_TYPE, "x must be an iterable of mappings, not bytes"),
            ({"id": "x"}, WRONG_TYPE, "x must be an iterable of mappings, not dict"),
            (5, WRONG_TYPE, "x must be an iterable of mappings, not int"),
        ],
    ),
    "seconds": (
        partial(validate.seconds, "x"),
        [(timedelta(0), 0.0), (timedelta(milliseconds=1500), 1.5), (timedelta(days=36_600), 3_162_240_000.0)],
        [
            (60, WRONG_TYPE, "x must be a timedelta, not int"),
            (None, WRONG_TYPE, "x must be a timedelta, not NoneType"),
            ("1 minute", WRONG_TYPE, "x must be a timedelta, not str"),
            (timedelta(seconds=-1), WRONG, "x must be between 0 and 36600 days, not -1 day, 23:59:59"),
            (timedelta(days=40_000), WRONG, "x must be between 0 and 36600 days, not 40000 days, 0:00:00"),
        ],
    ),
    "callback": (
        partial(validate.callback, "x"),
        [(None, None), (print, None), (lambda: None, None)],
        [
            (value, WRONG_TYPE, "x must be None or a plain function, which is called and not awaited")
            for value in ("x", 5, coroutine)
        ],
    ),
    "integer": (
        lambda value: validate.integer("x", value, minimum=0, maximum=1_000),
        same(0, 1_000),
        [
            (-1, WRONG, "x must be at least 0, not -1"),
            (1_001, WRONG, "x must be at most 1000, not 1001"),
            (1.0, WRONG_TYPE, "x must be an int, not float"),
            (True, WRONG_TYPE, "x must be an int, not bool"),
            ("1", WRONG_TYPE, "x must be an int, not str"),
            (None, WRONG_TYPE, "x must be an int, not NoneType"),
        ],
    ),
    "integer without limits of its own": (
        partial(validate.integer, "x"),
        same(-(2**31), 2**31 - 1),
        [
            (2**31, WRONG, "x must be at most 2147483647, not 2147483648"),
            (-(2**31) - 1, WRONG, "x must be at least -2147483648, not -2147483649"),
        ],
    ),
    "bigint": (
        partial(validate.bigint, "x"),
        same(-(2**63), 2**63 - 1),
        [
            (2**63, WRONG, "x must be at most 9223372036854775807, not 9223372036854775808"),
            (-(2**63) - 1, WRONG, "x must be at least -9223372036854775808, not -9223372036854775809"),
            (1.5, WRONG_TYPE, "x must be an int, not float"),
            (True, WRONG_TYPE, "x must be an int, not bool"),
        ],
    ),
    "number": (
        partial(validate.number, "x"),
        [(1, 1.0), (-0.5, -0.5), (10**300, 1e300)],
        [
            ("1", WRONG_TYPE, "x must be a float, not str"),
            (None, WRONG_TYPE, "x must be a float, not NoneType"),
            (True, WRONG_TYPE, "x must be a float, not bool"),
            (Decimal(1), WRONG_TYPE, "x must be a float, not Decimal"),
            *[(value, WRONG, "x must be a finite number") for value in (NAN, INFINITY, -INFINITY, 10**400)],
        ],
    ),
    "boolean": (
        partial(validate.boolean, "x"),
        same(True, False),
        [
            (1, WRONG_TYPE, "x must be a bool, not int"),
            ("true", WRONG_TYPE, "x must be a bool, not str"),
            (None, WRONG_TYPE, "x must be a bool, not NoneType"),
        ],
    ),
    "choice": (
        lambda value: validate.choice("x", value, ("one", "two")),
        same("one", "two"),
        [
            ("three", WRONG, "x must be one of one, two, not 'three'"),
            ("One", WRONG, "x must be one of one, two, not 'One'"),
            ("one; DROP TABLE", WRONG, "x must be one of one, two, not 'one; DROP TABLE'"),
            ("", WRONG, "x must be one of one, two, not ''"),
            (None, WRONG, "x must be one of one, two, not None"),
            (["one"], WRONG, r"x must be one of one, two, not \['one'\]"),
        ],
    ),
    "keys": (
        lambda value: validate.keys("x", value, ("a", "b")),
        same({}, {"a": 1}, OrderedDict(b=None, a=1)),
        [
            ([("a", 1)], WRONG_TYPE, "x must be a mapping, not list"),
            (None, WRONG_TYPE, "x must be a mapping, not NoneType"),
            ("a", WRONG_TYPE, "x must be a mapping, not str"),
            ({"a": 1, "c": 1, 5: 1}, WRONG, "x must have keys among a, b; unknown: 'c', 5"),
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


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", None),
        ("检索 😀 \u0001", None),
        ("a\0", "U+0000"),
        ("\ud83d\0", "U+0000"),
        ("a\ud83d", "the lone surrogate U+D83D"),
        ("\udfff", "the lone surrogate U+DFFF"),
    ],
)
def test_unstorable_names_the_character_that_postgresql_cannot_store(value: str, reason: str | None) -> None:
    assert validate.unstorable(value) == reason


@pytest.mark.parametrize("store_class", [ConversationStore, AsyncConversationStore])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"conninfo": "", "pool": object()},
        {"conninfo": "", "connection": object()},
        {"pool": object(), "connection": object()},
        {"conninfo": "", "pool": object(), "connection": object()},
    ],
    ids=lambda arguments: " and ".join(arguments) or "none",
)
def test_a_store_takes_exactly_one_of_conninfo_pool_and_connection(store_class: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^exactly one of conninfo, pool and connection must be given$"):
        store_class(**arguments)


@pytest.mark.parametrize("store_class", [ConversationStore, AsyncConversationStore])
def test_the_conninfo_of_a_store_must_be_a_str(store_class: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^conninfo must be of the type str, not int$"):
        store_class(5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_items_per_page": 0}, r"^max_items_per_page must be at least 1, not 0$"),
        ({"max_items_per_page": "x"}, r"^max_items_per_page must be an int, not str$"),
        ({"max_json_bytes": 0}, r"^max_json_bytes must be at least 1, not 0$"),
        ({"max_json_bytes": 200_000_001}, r"^max_json_bytes must be at most 200000000, not 200000001$"),
        ({"repair_json": None}, r"^repair_json must be a bool, not NoneType$"),
        ({"on_repair": 5}, r"^on_repair must be None or a plain function, which is called and not awaited$"),
        ({"on_statement": 5}, r"^on_statement must be None or a plain function, which is called and not awaited$"),
        ({"min_size": -1}, r"^min_size must be at least 0, not -1$"),
        ({"min_size": 5, "max_size": 2}, r"^max_size must be at least 5, not 2$"),
        ({"timeout": "x"}, r"^timeout must be a float, not str$"),
        ({"timeout": 0}, r"^timeout must be more than 0 and at most 1000000 seconds, not 0$"),
        ({"prepare": 1}, r"^prepare must be a bool, not int$"),
    ],
)
@pytest.mark.parametrize("store_class", [ConversationStore, AsyncConversationStore])
def test_invalid_settings_of_a_store_are_rejected_when_it_is_made(
    store_class: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=message):
        store_class("", **arguments)


def test_what_is_no_function_and_no_conninfo_is_rejected() -> None:
    of_any: Any = ConversationStore("")
    with pytest.raises(InvalidArgumentType, match=r"^function must be a function that takes a transaction, not int$"):
        of_any.run_in_transaction(5)
    anything: Any = 5
    with pytest.raises(InvalidArgumentType, match=r"^conninfo must be of the type str, not int$"):
        migrate(anything)


@pytest.mark.parametrize("argument", ["pool", "connection"])
def test_a_store_takes_the_pool_or_the_connection_of_its_own_world(argument: str) -> None:
    of_any: Any = ConversationStore
    with pytest.raises(InvalidArgumentType, match=rf"^{argument} must be of the type Connection.*, not object$"):
        of_any(**{argument: object()})
    pool: Any = AsyncConnectionPool("", open=False)
    with pytest.raises(
        InvalidArgumentType, match=r"^pool must be of the type ConnectionPool, not AsyncConnectionPool$"
    ):
        of_any(pool=pool)


def test_max_items_per_page_is_the_largest_page() -> None:
    store = store_without_server(max_items_per_page=5)
    with pytest.raises(NoServer):
        store.conversations.get_list("d", "t", items_per_page=5)
    with pytest.raises(InvalidArgument, match=r"^items_per_page must be at most 5, not 6$"):
        store.conversations.get_list("d", "t", items_per_page=6)
