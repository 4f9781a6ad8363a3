"""Hostile values in every parameter of every operation: a right answer, or an error that names the argument.

The values are drawn at random from a seed, which a failure prints; `HOSTILE_SEED=…` draws the same again.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conversation_store import ConversationStore, InvalidArgument, InvalidArgumentType
from conversation_store.errors import Conflict, NotFound
from operations import OPERATIONS
from support import hostile
from support.both_apis import AsyncApi, SyncApi
from support.operation import Example, Operation
from support.server import Server

pytestmark = pytest.mark.slow

SEED = os.environ.get("HOSTILE_SEED", "20240101")
CALLS = 20_000
CALLS_ON_ASYNCIO = 2_000

_FIELDS = {
    **dict.fromkeys(("id", "tenant_id", "dialog_id", "user_id", "exp_user_id", "name", "source", "errors"), "text"),
    **dict.fromkeys(("version_title", "keywords", "token", "beta", "turn_id"), "text"),
    **dict.fromkeys(("tokens", "duration", "round", "thumb_up", "revision", "create_time", "update_time"), "number"),
    **dict.fromkeys(
        ("page_number", "items_per_page", "limit", "total_limit", "batch_size", "expected_round", "expected_revision"),
        "number",
    ),
    **dict.fromkeys(("last", "before", "after"), "number"),
    **dict.fromkeys(("create_date", "update_date", "expire_date", "from_date", "to_date", "date"), "moment"),
    **dict.fromkeys(("message", "reference", "dsl"), "json"),
    **dict.fromkeys(("orderby", "date_field", "total"), "choice"),
    **dict.fromkeys(("desc", "fill", "allow_weak", "weak"), "flag"),
    **dict.fromkeys(("include_messages", "include_reference", "include_dsl"), "flag"),
    **dict.fromkeys(("grace", "stamp_every"), "span"),
    **dict.fromkeys(("ids", "dialog_ids"), "ids"),
    "time_zone": "zone",
    "on_progress": "callback",
    "messages": "json list",
}
_OF_CONVERSATIONS = (
    *("id", "tenant_id", "dialog_id", "user_id", "exp_user_id", "name", "source", "errors", "version_title", "tokens"),
    *("duration", "round", "thumb_up", "create_date", "create_time", "message", "reference", "dsl", "revision"),
)
_OF_DIALOGS = ("id", "tenant_id", "name", "create_date", "create_time")
# The parameters that are rows, and the fields of these.
_ROWS: Mapping[str, tuple[str, ...]] = {
    "conversation": _OF_CONVERSATIONS,
    "conversations": _OF_CONVERSATIONS,
    "dialog": _OF_DIALOGS,
    "dialogs": _OF_DIALOGS,
    "tokens.update_by_id token": ("dialog_id", "source", "beta"),
}


class Undo(Exception):
    """Raised to roll a transaction back."""


class Case:
    """The example that all calls are made on, and a cursor of its list."""

    def __init__(self, store: Any) -> None:
        self.example = Example()
        self.example.save(store)
        with suppress(Undo), store.transaction() as tx:
            tx.conversations.save(dialog_id=self.example.dialog, tenant_id=self.example.tenant)
            self.cursor = tx.conversations.list_after(self.example.dialog, self.example.tenant, items_per_page=1)[1]
            raise Undo

    def value(self, random: Random, operation: Operation, parameter: str) -> Any:
        fields = _ROWS.get(f"{operation.name} {parameter}") or _ROWS.get(parameter)
        if fields is not None:
            right = self._right(operation, parameter)
            rows = [
                hostile.mapping(random, {f: _FIELDS[f] for f in fields}, right) for _ in range(random.randint(1, 2))
            ]
            return random.choice((rows, tuple(rows))) if parameter.endswith("s") else rows[0]
        if parameter == "cursor":
            return hostile.cursor(random, self.cursor)
        return hostile.value(random, _FIELDS[parameter])

    def _right(self, operation: Operation, parameter: str) -> Mapping[str, Any]:
        if operation.name == "conversations.insert_many":
            return {"dialog_id": self.example.dialog}
        if operation.name == "dialogs.insert_many":
            return {"id": self.example.new}
        return {"id": self.example.conversation} if parameter == "conversations" else {}


def parameters(operation: Operation) -> list[str]:
    return list(inspect.signature(operation.method_of(ConversationStore(""))).parameters)


def call(store: Any, operation: Operation, arguments: Mapping[str, Any]) -> Any:
    """Make a call in a transaction that is rolled back, and return its result."""
    result: Any = None
    with suppress(Undo), store.transaction() as tx:
        result = operation.method_of(tx)(**arguments)
        if isinstance(result, Iterator):
            result = list(result)
        raise Undo
    return result


def check_result(operation: Operation, arguments: Mapping[str, Any], result: Any, tenant: str) -> None:
    """Assert what is right of every result: rows are of the tenant, and hold what was written."""
    rows = result if isinstance(result, list) else getattr(result, "sessions", [result])
    for row in rows:
        if not operation.writes and arguments.get("tenant_id") == tenant:
            assert getattr(row, "tenant_id", tenant) == tenant
    if operation.name != "conversations.save":
        return
    for name in ("name", "source", "errors", "version_title", "tokens", "duration", "round", "thumb_up"):
        if name in arguments and type(arguments[name]) in (str, int, float):
            assert getattr(result, name) == arguments[name]
    for name in ("message", "reference", "dsl"):
        if name in arguments and (read := hostile.as_json(arguments[name])) is not None:
            assert getattr(result, name) == read
        # Stored, it would be a value that `->>` and `jsonb` refuse. An escaped backslash may stand before `u0000`.
        assert "\\u0000" not in json.dumps(getattr(result, name)).replace("\\\\", "")


def hostile_calls(store: Any, number: int, seed: str) -> Counter[str]:
    """Make so many calls, each with one or two hostile arguments; return how many were answered and refused."""
    case = Case(store)
    outcomes: Counter[str] = Counter()
    refused: defaultdict[str, int] = defaultdict(int)
    places = [(operation, parameter) for operation in OPERATIONS for parameter in parameters(operation)]
    for count in range(number):
        operation, parameter = places[count % len(places)]
        random = Random(f"{seed} {count}")
        bad = {parameter: case.value(random, operation, parameter)}
        if random.randrange(4) == 0:
            other = random.choice(parameters(operation))
            bad.setdefault(other, case.value(random, operation, other))
        named = operation.named(case.example) if random.randrange(3) else {}
        arguments = {**operation.arguments(case.example), **named, **bad}
        if operation.name == "conversations.save" and parameter != "id":
            arguments["id"] = f"{case.example.new}{count}"
        try:
            result = call(store, operation, arguments)
            check_result(operation, arguments, result, case.example.tenant)
            outcomes["answered"] += 1
        except (InvalidArgument, InvalidArgumentType) as error:
            refused[f"{operation.name} {parameter}"] += 1
            outcomes["refused"] += 1
            # A call that needs a tenant says so, whatever else is wrong.
            assert re.search(rf"\b({'|'.join(bad)}|tenant_id)\b", str(error)), (
                f"{where(seed, count, operation, bad)}: {error}"
            )
            assert len(str(error)) < 1_000, where(seed, count, operation, bad)
        except (NotFound, Conflict):
            outcomes["not found or in conflict"] += 1
        except Exception as error:
            raise AssertionError(where(seed, count, operation, bad)) from error
    assert outcomes.total() == number
    for operation, parameter in places:
        assert number < CALLS or refused[f"{operation.name} {parameter}"], f"{operation.name} takes any {parameter}"
    return outcomes


def where(seed: str, count: int, operation: Operation, bad: Mapping[str, Any]) -> str:
    """Say which call it was, and how to draw it again."""
    shown: dict[str, str] = {}
    for name, value in bad.items():
        try:
            shown[name] = repr(value)[:500]
        except Exception:
            shown[name] = f"a value of the type {type(value).__name__}"
    return f"HOSTILE_SEED={seed}, call {count}: {operation.name} with {shown}"


@pytest.fixture
def log(server: Server) -> Generator[None]:
    """Assert at the end that the server has logged no error but those that mean something to a caller."""
    path = Path(server.host) / "log"
    start = path.stat().st_size if path.exists() else 0
    yield
    if path.exists():
        with path.open("rb") as file:
            file.seek(start)
            errors = re.findall(r"(?:ERROR|FATAL|PANIC): +(.*)", file.read().decode("utf-8", "replace"))
        meant = r"duplicate key value|.* violates foreign key constraint|time zone \".*\" not recognized"
        assert [error for error in errors if not re.match(meant, error)] == []


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("repair", [False, True], ids=["", "repair_json"])
def test_a_hostile_value_gets_a_right_answer_or_an_error_that_names_it(db: str, repair: bool) -> None:
    number = CALLS // 5 if repair else CALLS
    with SyncApi().store(db, repair_json=repair) as store:
        outcomes = hostile_calls(store, number, SEED)
    assert outcomes["answered"] > number // 10
    assert outcomes["refused"] > number // 10


@pytest.mark.usefixtures("log")
def test_on_asyncio_too(db: str) -> None:
    with AsyncApi() as api, api.store(db) as store:
        outcomes = hostile_calls(store, CALLS_ON_ASYNCIO, SEED + " on asyncio")
    assert outcomes["answered"] > CALLS_ON_ASYNCIO // 10
