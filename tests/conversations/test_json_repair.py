"""JSON that callers really have: with `repair_json` it is stored as JSON can hold it, without it it raises."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import signal
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Generator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_store import NOT_READ, AsyncConversationStore, ConversationStore, InvalidArgument, InvalidArgumentType
from conversation_store._json_writer import JsonWriter
from conversation_store.jsonl import import_jsonl, import_jsonl_async
from support.both_apis import AsyncApi, SyncApi
from support.statements import store_without_server

NAN, INFINITY = float("nan"), float("inf")


class Color(enum.Enum):
    RED = "red"
    DAY = date(2024, 1, 1)
    OTHER = ({"a": NAN},)


class Level(enum.IntEnum):
    HIGH = 3
    TOP = 8


class Kind(str, enum.Enum):  # noqa: UP042  # what callers have
    A = "a"


class Point(NamedTuple):
    x: float
    y: float


class Backwards(dict[str, Any]):
    """Says of itself that it has other items at each look."""

    def items(self) -> Any:
        self["looks"] = self.get("looks", 0) + 1
        return [("text", "fine" if self["looks"] == 1 else "\0")]


class Endless(dict[str, Any]):
    def items(self) -> Any:
        while True:
            yield "a", 1


class Longest(Endless):
    def __len__(self) -> int:
        return sys.maxsize


class Sly(list[Any]):
    def __iter__(self) -> Any:
        return iter(["fine"])


class Broken(dict[str, Any]):
    def items(self) -> Any:
        raise LookupError


# What any JSON value is made of.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)
# Values that JSON has, in classes of their own: stored without any repair.
STORED: list[tuple[Any, Any]] = [
    ({"k": Level.HIGH, "l": Kind.A}, {"k": 3, "l": "a"}),
    (Point(1.5, 2), [1.5, 2]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    ({Kind.A: 1}, {"a": 1}),
    (Backwards(), {"text": "fine"}),
    (Sly(["what there is"]), ["what there is"]),
]
# Values that JSON has not, what they are repaired to, and the paths of what was repaired.
REPAIRED: list[tuple[Any, Any, list[str]]] = [
    ({417: {"id": "c"}}, {"417": {"id": "c"}}, ["a key of x"]),
    ({1.5: 1, True: 2, None: 3}, {"1.5": 1, "true": 2, "null": 3}, ["a key of x"] * 3),
    ({NAN: 1, -INFINITY: 2}, {"NaN": 1, "-Infinity": 2}, ["a key of x"] * 2),
    ({Color.RED: 1, UUID(int=5): 2}, {"red": 1, str(UUID(int=5)): 2}, ["a key of x"] * 2),
    ({417: "int", "417": "str"}, {"417 (2)": "int", "417": "str"}, ["a key of x"] * 2),
    ({"417 (2)": 0, 417: 1, "417": 2}, {"417 (2)": 0, "417 (3)": 1, "417": 2}, ["a key of x"] * 2),
    (
        {"a\0": 1, "a\ud800": 2} | {"a\ufffd": 3},
        {"a\ufffd (2)": 1, "a\ufffd (3)": 2, "a\ufffd": 3},
        ["a key of x"] * 4,
    ),
    ([{"a": NAN}, INFINITY, -INFINITY], [{"a": None}, None, None], ["x[0]['a']", "x[1]", "x[2]"]),
    ({"a": ["pdf\0", "\ud83d"]}, {"a": ["pdf\ufffd", "\ufffd"]}, ["x['a'][0]", "x['a'][1]"]),
    ("\ud83d\ude00\ude00", "\U0001f600\ufffd", ["x"]),
    (datetime(2024, 1, 1, 12, tzinfo=UTC), "2024-01-01T12:00:00+00:00", ["x"]),
    ([date(2024, 1, 1), time(12, 5)], ["2024-01-01", "12:05:00"], ["x[0]", "x[1]"]),
    (timedelta(days=1, seconds=1), "1 day, 0:00:01", ["x"]),
    ({3, 1, 2}, [1, 2, 3], ["x"]),
    ([frozenset({"b", "a", 10, 9})], [["a", "b", 10, 9]], ["x[0]"]),
    ([{frozenset({2, 1}), "c"}], [["c", [1, 2]]], ["x[0]", "x[0][…]"]),
    ([Color.RED, Color.DAY], ["red", "2024-01-01"], ["x[0]", "x[1]", "x[1]"]),
    (Color.OTHER, [{"a": None}], ["x", "x[0]['a']"]),
    ([Decimal("1.10"), Decimal("1E+400")], ["1.10", "1E+400"], ["x[0]", "x[1]"]),
    (UUID(int=255), "00000000-0000-0000-0000-0000000000ff", ["x"]),
    (b"caf\xc3\xa9 \xff\0", "café \ufffd\ufffd", ["x", "x"]),
    ([bytearray(b"a"), memoryview(b"bxc")[::2]], ["a", "bc"], ["x[0]", "x[1]"]),
]
# Values that are never stored, whatever the store repairs.
REFUSED: list[tuple[Any, type[Exception], str]] = [
    ({"a": [object()]}, InvalidArgumentType, r"x\['a'\]\[0\] must be a JSON value, not object"),
    ([{(1, 2): 3}], InvalidArgumentType, r"x\[0\] must have .*keys.*, not tuple"),
    ([1, NOT_READ], InvalidArgument, r"x\[1\] was not read; read the row with it, or leave it out"),
    ([10**5000], InvalidArgument, r"x\[0\] must have at most 4298 digits"),
    ([Broken()], InvalidArgumentType, r"x\[0\] must be a JSON value; reading it raised LookupError"),
    ([Endless(b=1)], InvalidArgument, r"x\[0\] must not have more members than its len\(\), 1"),
    ([Longest()], InvalidArgument, "x must have at most 1000 bytes of JSON text"),
    (["检" * 333], InvalidArgument, "x must have at most 1000 bytes of JSON text"),
]


class Repairing(NamedTuple):
    """A store that repairs, what it was told, and the dialog that it writes to."""

    store: Any
    told: list[tuple[str, str]]
    dialog: str


@pytest.fixture
def repairing(api: SyncApi | AsyncApi, db: str, dialog: str) -> Generator[Repairing]:
    """Give a store that repairs."""
    told: list[tuple[str, str]] = []
    with api.store(db, repair_json=True, on_repair=lambda path, what: told.append((path, what))) as store:
        yield Repairing(store, told, dialog)


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize(("value", "read"), STORED)
def test_what_json_has_is_stored_as_its_value_and_told_to_nobody(value: Any, read: Any, repair: bool) -> None:
    told: list[str] = []
    if isinstance(value, Backwards):
        value.clear()
    writer = JsonWriter(repair=repair, on_repair=lambda path, _: told.append(path))
    assert json.loads(writer.text("x", value)) == read
    assert told == []


@pytest.mark.parametrize(("value", "read", "paths"), REPAIRED)
def test_what_json_has_not_is_repaired_and_told_with_its_path(value: Any, read: Any, paths: list[str]) -> None:
    told: list[tuple[str, str]] = []
    text = JsonWriter(repair=True, on_repair=lambda *args: told.append(args)).text("x", value)
    assert json.loads(text.encode(), parse_constant=pytest.fail) == read
    assert sorted(path for path, _ in told) == sorted(paths)
    assert JsonWriter(repair=True).text("x", value) == text


@pytest.mark.parametrize(("value", "_read", "_paths"), REPAIRED)
def test_without_repair_json_it_raises_an_error_with_the_path(value: Any, _read: Any, _paths: list[str]) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=r"^(a key of )?x"):
        JsonWriter().text("x", value)


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize(("value", "error", "message"), REFUSED)
def test_what_cannot_be_repaired_raises(value: Any, error: type[Exception], message: str, repair: bool) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        JsonWriter(1_000, repair).text("x", value)


def test_a_key_that_is_there_twice_raises() -> None:
    class Twice(dict[str, Any]):
        def items(self) -> Any:
            return [("a", 1), ("a", 2)]

        def __len__(self) -> int:
            return 2

    with pytest.raises(InvalidArgument, match=r"^x\[0\] must not have the key 'a' twice$"):
        JsonWriter().text("x", [Twice()])
    assert JsonWriter(repair=True).text("x", [Twice()]) == '[{"a":1,"a (2)":2}]'


def test_what_is_told_has_no_values() -> None:
    told: list[tuple[str, str]] = []
    secret = "secret-4711"
    value = [secret + "\0", {secret}, Decimal("4711"), b"4711", {4711: 1}, timedelta(4711), UUID(int=0x4711)]
    JsonWriter(repair=True, on_repair=lambda *args: told.append(args)).text("x", value)
    assert len(told) == 7
    assert "4711" not in str(told)


def test_sets_are_in_the_same_order_in_every_process() -> None:
    program = (
        "from conversation_store._json_writer import JsonWriter;"
        "print(JsonWriter(repair=True).text('x', {'b', 'a', 'c', frozenset('xyz'), 1, None, 2.5}))"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert written == {'["a","b","c",1,2.5,["x","y","z"],null]\n'}


def test_a_key_in_a_path_is_cut() -> None:
    with pytest.raises(InvalidArgument) as caught:
        JsonWriter().text("x", {"k" * 100_000: NAN})
    assert len(str(caught.value)) < 200
    deep: Any = NAN
    for level in range(400):
        deep = {f"key {level}": deep}
    with pytest.raises(InvalidArgument, match=r"^x\['key 399'\].*….*\['key 0'\] must be a finite number") as caught:
        JsonWriter().text("x", deep)
    assert len(str(caught.value)) < 600


def test_the_limit_counts_the_bytes_of_the_text() -> None:
    values: list[Any] = ["检" * 3, ["检", "a"], [[], []], {"a": "é"}, [], ""]
    values += [Level.TOP, {"a": Level.TOP}, OrderedDict(a=1), OrderedDict(é="é"), [OrderedDict()], Kind.A]
    for value in values:
        text = JsonWriter().text("x", value)
        size = len(text.encode())
        assert JsonWriter(size).text("x", value) == text
        with pytest.raises(InvalidArgument, match=f"^x must have at most {size - 1} bytes of JSON text$"):
            JsonWriter(size - 1).text("x", value)


def test_a_value_of_many_references_to_one_raises_once_it_is_too_large() -> None:
    value: Any = []
    for _ in range(100):
        value = [value, value]
    with pytest.raises(InvalidArgument, match="bytes of JSON text"):
        JsonWriter(100_000).text("x", value)


@pytest.mark.parametrize(
    "one", ["x" * 100_000, 10**4_000, {"k" * 100_000: 1}, OrderedDict({"k" * 100_000: 1}), Longest()], ids=type
)
@pytest.mark.parametrize("repair", [False, True])
def test_a_value_that_would_be_too_large_is_not_written(one: Any, repair: bool) -> None:
    value = [one] * 100_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgument, match=r"^x must have at most 1000000 bytes of JSON text$"):
            JsonWriter(1_000_000, repair).text("x", value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000


def test_a_text_that_quotes_the_escape_of_u0000_is_stored_as_it_is() -> None:
    for text in (r"\u0000", r"a\\u0000"):
        assert json.loads(JsonWriter().text("x", {text: [text]})) == {text: [text]}
    with pytest.raises(InvalidArgument, match=r"^x\[1\] must not contain U\+0000$"):
        JsonWriter().text("x", [r"\u0000", "\0"])


@given(VALUES)
def test_what_is_copied_is_written_as_it_would_be_without_a_copy(value: Any) -> None:
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    odd = ["\\u0000", value]  # which is looked at twice
    text = '["\\\\u0000",' + expected + "]"
    assert JsonWriter().text("x", value) == expected
    assert JsonWriter(len(text.encode())).text("x", odd) == text
    assert JsonWriter(len(text.encode())).entries("x", odd) == ['"\\\\u0000"', expected]
    with pytest.raises(InvalidArgument, match=r"^x must have at most \d+ bytes"):
        JsonWriter(len(text.encode()) - 1).text("x", odd)


# -- the methods that write, on both APIs ----------------------------------------------------------

GIVEN: dict[Any, Any] = {417: NAN, "s": {"b", "a"}, "t": "pdf\0"}
READ = {"417": None, "s": ["a", "b"], "t": "pdf\ufffd"}


def test_every_method_that_writes_repairs(repairing: Repairing) -> None:
    store, told, dialog = repairing
    conversations = store.conversations
    saved = conversations.save(dialog_id=dialog, message=[GIVEN], reference=GIVEN, dsl={"x": GIVEN})
    assert (saved.message, saved.reference, saved.dsl) == ([READ], READ, {"x": READ})
    assert sorted(path for path, _ in told) == sorted(
        path
        for name in ("message[0]", "reference", "dsl['x']")
        for path in (f"a key of {name}", f"{name}['417']", f"{name}['s']", f"{name}['t']")
    )

    def read() -> Any:
        return conversations.get_by_id(saved.id)

    assert conversations.append_message(saved.id, {"message": {"x"}, "dsl": GIVEN}) == 1
    assert (read().message, read().dsl) == (["x"], READ)
    assert conversations.update_by_id(saved.id, {"message": [], "reference": [GIVEN]}) == 1
    assert conversations.append_round(saved.id, [GIVEN], reference={"r"}) == 2
    assert (read().message, read().reference) == ([READ], [READ, "r"])
    assert conversations.update_many_by_id([{"id": saved.id, "message": [GIVEN, GIVEN], "dsl": {1, 2}}]) == 1
    assert (read().message, read().dsl) == ([READ, READ], [1, 2])
    new = {"id": saved.id + "n", "dialog_id": dialog, "message": {"b", "a"}, "reference": [GIVEN], "dsl": GIVEN}
    assert conversations.insert_many([new]) == 1
    loaded = conversations.get_by_id(new["id"])
    assert (loaded.message, loaded.reference, loaded.dsl) == (["a", "b"], [READ], READ)
    assert ("conversations[0]['dsl']['417']", "was not a finite number and is null") in told


def test_a_bound_store_and_a_transaction_repair_too(repairing: Repairing, tenant: str) -> None:
    store, _, dialog = repairing
    with store.for_tenant(tenant).transaction() as tx:
        saved = tx.conversations.save(dialog_id=dialog, message=[GIVEN])
    with store.transaction() as tx:
        tx.conversations.append_round(saved.id, [GIVEN])
    assert store.conversations.get_by_id(saved.id).message == [READ, READ]


def test_a_store_that_does_not_repair_stores_nothing(store: Any, tenant: str, dialog: str) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^message\[0\] must have str keys, not int$"):
        store.conversations.save(dialog_id=dialog, message=[GIVEN])
    assert store.conversations.count(tenant_id=tenant) == 0


def test_what_on_repair_raises_is_logged(
    api: SyncApi | AsyncApi, db: str, dialog: str, caplog: pytest.LogCaptureFixture
) -> None:
    def on_repair(path: str, what: str) -> None:
        raise RuntimeError("of the hook")

    with api.store(db, repair_json=True, on_repair=on_repair) as store:
        assert store.conversations.save(dialog_id=dialog, message=[NAN]).message == [None]
    assert ("conversation_store", logging.ERROR, "on_repair raised") in caplog.record_tuples


def test_lines_of_json_are_repaired_and_told_with_their_number(db: str, plain_dialog: str, tenant: str) -> None:
    file = b'\n{"dialog_id": "%b", "message": [NaN, "\\u0000"]}\n' % plain_dialog.encode()
    for on_asyncio in (False, True):
        told: list[tuple[str, str]] = []

        def on_repair(path: str, what: str, told: list[tuple[str, str]] = told) -> None:
            told.append((path, what))

        async def run() -> None:
            async with AsyncConversationStore(db, repair_json=True, on_repair=on_repair) as store:
                await import_jsonl_async(store, BytesIO(file), tenant_id=tenant)

        if on_asyncio:
            asyncio.run(run())
        else:
            with ConversationStore(db, repair_json=True, on_repair=on_repair) as store:
                import_jsonl(store, BytesIO(file), tenant_id=tenant)
        assert [path for path, _ in told] == [f"line 2: conversation['message'][{n}]" for n in (0, 1)]
    with ConversationStore(db) as store:
        assert [c.message for c in store.conversations.iter(tenant_id=tenant)] == [[None, "\ufffd"]] * 2


@pytest.mark.parametrize(
    "call",
    [
        lambda c, value: c.save(dialog_id="d", message=value),
        lambda c, value: c.save(dialog_id="d", reference=value),
        lambda c, value: c.save(dialog_id="d", dsl=value),
        lambda c, value: c.append_message("c", {"message": value}),
        lambda c, value: c.update_by_id("c", {"dsl": value}),
        lambda c, value: c.update_many_by_id([{"id": "c", "reference": value}]),
        lambda c, value: c.append_round("c", value),
        lambda c, value: c.append_round("c", [], reference=value),
    ],
)
def test_a_value_above_max_json_bytes_raises_before_any_sql(call: Any) -> None:
    store = store_without_server(max_json_bytes=100)
    with pytest.raises(InvalidArgument, match=r"(message|reference|dsl)('\])?s? must have at most 100 bytes of JSON"):
        call(store.conversations, ["x" * 97])


def test_a_loaded_value_above_max_json_bytes_raises_and_nothing_is_loaded(
    api: SyncApi | AsyncApi, db: str, tenant: str, dialog: str
) -> None:
    rows = [{"dialog_id": dialog, "message": ["x" * 90]}, {"dialog_id": dialog, "message": ["x" * 97]}]
    with api.store(db, max_json_bytes=100) as store:
        with pytest.raises(InvalidArgument, match=r"^conversations\[1\]\['message'\] must have at most 100 bytes"):
            store.conversations.insert_many(rows)
        assert store.conversations.count(tenant_id=tenant) == 0


# -- deep values, where little of the stack is left ------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = "检"
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


def with_little_stack(call: Any, left: int) -> Any:
    """Call a function with so many frames left."""
    depth = 0
    frame: Any = sys._getframe()
    while frame is not None:
        frame, depth = frame.f_back, depth + 1

    def deeper(levels: int) -> Any:
        return call() if levels <= 0 else deeper(levels - 1)

    return deeper(sys.getrecursionlimit() - depth - left)


def test_a_value_of_500_levels_is_written_and_read_where_little_of_the_stack_is_left(
    db: str, plain_dialog: str
) -> None:
    value: Any = nested(499)
    with ConversationStore(db) as store:

        def write_and_read() -> Any:
            saved = store.conversations.save(dialog_id=plain_dialog, message=[value], dsl=value)
            store.conversations.append_round(saved.id, [value])
            store.conversations.update_many_by_id([{"id": saved.id, "reference": [value]}])
            (line,) = store.conversations.export(dialog_id=plain_dialog)
            return store.conversations.get_by_id(saved.id), line

        if sys.version_info < (3, 12):  # newer ones count no C function against the limit
            with pytest.raises(RecursionError):
                with_little_stack(lambda: json.dumps(value), 200)
        with_little_stack(lambda: JsonWriter().text("x", OrderedDict(a=value)), 100)
        read, line = with_little_stack(write_and_read, 200)
    assert (read.message, read.reference, read.dsl) == ([value, value], [value], value)
    assert json.loads(line)["message"] == [value, value]


def test_on_asyncio_too(db: str, plain_dialog: str) -> None:
    value = nested(499)

    async def run() -> Any:
        async with AsyncConversationStore(db) as store:
            saved = await store.conversations.save(dialog_id=plain_dialog, message=[value], dsl=value)
            return await store.conversations.get_by_id(saved.id)

    read = with_little_stack(lambda: asyncio.run(run()), 300)
    assert (read.message, read.dsl) == ([value], value)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that interrupt")
@pytest.mark.parametrize("repair", [False, True])
def test_what_a_handler_of_signals_raises_meanwhile_is_not_blamed_on_the_value(repair: bool) -> None:
    class TimeIsUp(Exception):
        pass

    def handler(*_: object) -> None:
        raise TimeIsUp

    value = [[n] for n in range(1_000_000)]
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeIsUp):
            while True:
                JsonWriter(2**30, repair).text("value", value)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
