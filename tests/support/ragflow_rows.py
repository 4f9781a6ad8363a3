"""Rows of every kind that RAGFlow databases have, with their outcomes, and the import of them with either API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversation_store.ragflow import Report, Totals, import_ragflow, import_ragflow_async
from support import ragflow_layout, ragflow_mysql
from support.both_apis import AsyncApi, SyncApi
from support.mysql import MySql, mysql_database, needs_mysql
from support.server import Server
from support.server import database as new_database

ZONE = "Asia/Shanghai"
# Noon there, which is four o'clock in UTC, and the same with the milliseconds that the bigint keeps.
NOON = datetime(2024, 1, 31, 12)
IN_UTC = datetime(2024, 1, 31, 4, tzinfo=UTC)
TIME = 1706673600123
IN_MILLISECONDS = IN_UTC + timedelta(milliseconds=123)
ONLY_DATES = {"create_date": IN_UTC, "update_date": IN_UTC}  # of a row whose bigints do not agree
DATES: dict[str, Any] = {"create_date": NOON, "update_date": NOON, "create_time": TIME, "update_time": TIME}
MESSAGE = [
    {"role": "user", "content": "检索 École \U0001f600", "created_at": 1706673600.5},
    {"role": "assistant", "content": ""},
]

DIALOGS: list[dict[str, Any]] = [
    {"id": "d1", "tenant_id": "t1", "name": "知识库"},
    {"id": "d2", "tenant_id": "t2", "name": None},
    {"id": "nobodys", "tenant_id": ""},
    {"id": "", "tenant_id": "t1"},
]
CANVASES: list[dict[str, Any]] = [
    {"id": "a1", "user_id": "t1", "title": "An agent"},
    {"id": "d2", "user_id": "t1", "title": "The id of another tenant's dialog"},
    {"id": "d1", "user_id": "t1", "title": "The id of a dialog of the same tenant"},
]
SAME = "ragflow-under-two-tenants"
TOKENS: list[dict[str, Any]] = [
    {"tenant_id": "t1", "token": "ragflow-one-of-the-first", "source": "none", "beta": "beta-1"},
    {"tenant_id": "t1", "token": "ragflow-bound-to-its-dialog", "dialog_id": "d1", "source": "dialog"},
    {"tenant_id": "t1", "token": "ragflow-of-an-agent", "dialog_id": "a1", "beta": ""},
    {"tenant_id": "t2", "token": SAME, "create_date": NOON - timedelta(days=1), "create_time": None},
    {"tenant_id": "t1", "token": SAME},
    {"tenant_id": "t2", "token": "ragflow-bound-to-another-tenants-dialog", "dialog_id": "d1"},
    {"tenant_id": "t2", "token": "ragflow-bound-to-nothing", "dialog_id": "missing"},
    {
        "tenant_id": "t2",
        "token": "ragflow-with-anothers-beta",
        "beta": "beta-1",
        "create_date": NOON + timedelta(days=1),
        "create_time": 0,
    },
    {"tenant_id": "t2", "token": " "},
    {"tenant_id": "t2", "token": "ragflow-with-a-blank-beta", "beta": "   "},
    {"tenant_id": "t2", "token": "ragflow-without-dates", **dict.fromkeys(DATES)},
    {"tenant_id": "t2", "token": "ragflow-with-two-dates", "create_time": TIME + 3_600_000},
]

DIALOG = DATES | {"id": "d", "tenant_id": "t"}


def conversation(id: str, **values: Any) -> dict[str, Any]:
    """Return a conversation of the dialog `DIALOG`."""
    return DATES | {"id": id, "dialog_id": "d"} | values


def text(value: Any, **arguments: Any) -> str:
    return json.dumps(value, **arguments)


# Each conversation with its outcome, part of the reason, and the imported values that differ from the usual.
CONVERSATIONS: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    "escaped": ({"message": text(MESSAGE)}, "imported", "", {}),
    "raw": ({"message": text(MESSAGE, ensure_ascii=False), "dialog_id": "d2"}, "imported", "", {"tenant_id": "t2"}),
    "in another dialog": ({"dialog_id": "d2"}, "imported", "", {"tenant_id": "t2"}),
    "of an agent": ({"dialog_id": "a1", "source": "agent"}, "imported", "", {"source": "agent"}),
    "null": (
        {"message": None, "reference": None, "dsl": None, "name": None, "exp_user_id": None, "errors": None},
        "imported",
        "",
        {"message": [], "reference": [], "dsl": {}},
    ),
    "empty text": ({"message": "", "dsl": ""}, "imported", "", {"message": [], "dsl": {}}),
    "json null": ({"message": "null", "dsl": "null"}, "imported", "", {"message": None, "dsl": None}),
    "json in a string": (
        {"message": text(text(MESSAGE)), "dsl": text(text({"graph": "图"}))},
        "imported",
        "",
        {"message": text(MESSAGE), "dsl": text({"graph": "图"})},
    ),
    "no list": ({"message": "{}", "reference": '{"a": 1e5}'}, "imported", "", {"message": {}, "reference": {"a": 1e5}}),
    "a float4": ({"duration": 0.1, "tokens": 2**31 - 1}, "imported", "", {"duration": 0.1, "tokens": 2**31 - 1}),
    "all digits of a float4": ({"duration": 123456.789}, "imported", "", {"duration": 123456.79}),
    "malformed": (
        {"message": '[{"role": "user", ', "reference": "检索"},
        "repaired",
        "message is not JSON and was kept as its text; reference is not JSON",
        {"message": '[{"role": "user", ', "reference": "检索"},
    ),
    "nul": (
        {"message": '[{"content": "a\\u0000b", "c\\u0000": 1}]'},
        "repaired",
        "message[0]['content'] had U+0000",
        {"message": [{"content": "a\ufffdb", "c\ufffd": 1}]},
    ),
    "surrogate": (
        {"dsl": '{"a": ["\\ud83d", "\\ud83d\\ude00"]}'},
        "repaired",
        "dsl['a'][0] had U+0000 or a lone surrogate",
        {"dsl": {"a": ["\ufffd", "\U0001f600"]}},
    ),
    "nan": (
        {"reference": '[NaN, {"a": -Infinity}, 1e999]', "duration": float("nan")},
        "repaired",
        "reference[0] was not a finite number and is null; reference[1]['a'] was",
        {"reference": [None, {"a": None}, None], "duration": 0.0},
    ),
    "deep": (
        {"dsl": "[" * 600 + "]" * 600, "duration": -3e38},
        "repaired",
        "and is 0; dsl was kept as its text: dsl must not be nested deeper than 500 levels",
        {"dsl": "[" * 600 + "]" * 600, "duration": 0.0},
    ),
    "deeper": ({"dsl": "[" * 10**5}, "repaired", "dsl is nested too deep", {"dsl": "[" * 10**5}),
    "keys": (
        {"dsl": '{"\\u0000": 1, "\ufffd": 2, "a": 3, "a": 4}', "message": "[" + "9" * 5000 + "]"},
        "repaired",
        "had the duplicate key 'a' in one object and has its last value",
        {"dsl": {"\ufffd (2)": 1, "\ufffd": 2, "a": 4}, "message": "[" + "9" * 5000 + "]"},
    ),
    "": ({}, "rejected", "conversation['id'] must be given and not be empty", {}),
    "of a rejected agent": (
        {"dialog_id": "d2", "source": "agent"},
        "rejected",
        "its dialog 'd2' is missing, or was rejected",
        {},
    ),
    "orphan": ({"dialog_id": "missing"}, "rejected", "its dialog 'missing' is missing, or was rejected", {}),
    "of no dialog": ({"dialog_id": ""}, "rejected", "its dialog '' is missing", {}),
    "of nobody's dialog": ({"dialog_id": "nobodys"}, "rejected", "its dialog 'nobodys' is missing", {}),
    "only times": (
        {"create_date": None, "update_date": None},
        "repaired",
        "it had no usable create_date and got create_time; it had no usable update_date and got update_time",
        {},
    ),
    "no update": (
        {"update_date": None, "update_time": None},
        "repaired",
        "it had no usable update_date and got the date of its creation",
        {},
    ),
    "no dates": (
        dict.fromkeys(DATES),
        "repaired",
        "it had no usable create_date and got now",
        {"create_date": None, "update_date": None},
    ),
    "no calendar": (
        {"create_date": "infinity", "update_date": "0044-03-15 BC"},
        "repaired",
        "it had no usable create_date and got create_time; it had no usable update_date and got update_time",
        {},
    ),
    "two dates": (
        {"create_time": TIME - 8 * 3_600_000},
        "date_conflict",
        "create_date is 2024-01-31 04:00:00+00:00, create_time is 2024-01-30 20:00:00.123+00:00",
        {"create_date": IN_UTC},
    ),
    "two updates": ({"update_time": TIME + 1_001}, "date_conflict", "update_date is", {"update_date": IN_UTC}),
    "a second apart": ({"create_time": TIME + 877, "update_time": TIME - 1_123}, "imported", "", ONLY_DATES),
    "implausible times": ({"create_time": TIME // 1000, "update_time": 0}, "imported", "", ONLY_DATES),
    "from the future": ({"create_time": TIME * 10, "update_time": -1}, "imported", "", ONLY_DATES),
    "two dates and repaired": (
        {"create_time": TIME + 60_000, "message": "{"},
        "repaired",
        "message is not JSON",
        {"message": "{", "create_date": IN_UTC},
    ),
}
USUAL: dict[str, Any] = {
    "name": "A name",
    "dialog_id": "d1",
    "user_id": "",
    "message": text(MESSAGE),
    "reference": text([{"chunks": {"0": "检索"}, "doc_aggs": []}]),
    "dsl": text({"z": 1, "a": [1.0, -0.0, 10**25]}),
    "tokens": 3,
    "duration": 1.5,
    "round": 2,
    "thumb_up": 1,
}


def _rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table."""
    return {
        "dialog": [DATES | row for row in DIALOGS],
        "user_canvas": [DATES | row for row in CANVASES],
        "api_token": [DATES | row for row in TOKENS],
        "api_4_conversation": [DATES | USUAL | {"id": id} | given for id, (given, *_) in CONVERSATIONS.items()],
    }


@contextmanager
def source_database(server: Server) -> Generator[str]:
    """Give a database in the layout of RAGFlow with every kind of row."""
    with new_database(server) as conninfo:
        ragflow_layout.create(conninfo)
        for table, rows in _rows().items():
            ragflow_layout.insert(conninfo, table, rows)
        yield conninfo


@contextmanager
def mysql_source_database(mysql: MySql) -> Generator[str]:
    """Give a database of MySQL with the same rows."""
    with mysql_database(mysql) as name:
        ragflow_mysql.create(mysql, name)
        for table, rows in _rows().items():
            ragflow_mysql.insert(mysql, name, table, rows)
        yield mysql.url(name)


# The kinds of server that an import reads from.
SOURCES = ["PostgreSQL", pytest.param("MySQL", marks=needs_mysql)]


@contextmanager
def source_of(request: pytest.FixtureRequest) -> Generator[str]:
    """Give a database with every kind of row on the kind of server that is the parameter of a fixture."""
    if request.param == "MySQL":
        with mysql_source_database(request.getfixturevalue("mysql")) as url:
            yield url
    else:
        with source_database(request.getfixturevalue("server")) as conninfo:
            yield conninfo


def run_import(api: SyncApi | AsyncApi, source: str, target: str, **arguments: Any) -> dict[str, Totals]:
    """Import with the function of the API, from a source whose wall clock is that of ZONE."""
    arguments = {"time_zone": ZONE, **arguments}
    if isinstance(api, SyncApi):
        return import_ragflow(source, target, **arguments)
    return api.run(lambda: import_ragflow_async(source, target, **arguments))


def import_and_report(
    api: SyncApi | AsyncApi, source: str, target: str, **arguments: Any
) -> tuple[dict[str, Totals], list[Report]]:
    """Import, check that the totals add up and are those of the reports, and return both."""
    reports: list[Report] = []
    totals = run_import(api, source, target, on_report=reports.append, **arguments)
    by_table = Counter((report.table, report.outcome) for report in reports)
    for table, of in totals.items():
        stored = of.imported + of.repaired + of.updated
        assert of.read == stored + of.skipped + of.update_conflicts + of.rejected
        assert (of.repaired, of.rejected, of.update_conflicts, of.date_conflicts) == tuple(
            by_table[table, outcome] for outcome in ("repaired", "rejected", "update_conflict", "date_conflict")
        )
    return totals, reports
