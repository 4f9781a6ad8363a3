"""Moving over from RAGFlow: every kind of row that such a database has been seen with, and the totals add up."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conversation_store import ConversationStore, MigrationError
from conversation_store.ragflow import Report, Totals, import_ragflow
from support import ragflow_layout
from support.server import Server
from support.server import database as new_database

COMMAND = Path(sysconfig.get_path("scripts")) / "conversation-store"
ZONE = "Asia/Shanghai"
# Noon there, which is four o'clock in UTC, and the same with the milliseconds that the bigint keeps.
NOON = datetime(2024, 1, 31, 12)
IN_UTC = datetime(2024, 1, 31, 4, tzinfo=UTC)
TIME = 1706673600123
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


def text(value: Any, **arguments: Any) -> str:
    return json.dumps(value, **arguments)


# Each conversation with what becomes of it: the outcome, part of the reason, and the values that differ from the usual.
CONVERSATIONS: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    "escaped": ({"message": text(MESSAGE)}, "imported", "", {}),
    "raw": ({"message": text(MESSAGE, ensure_ascii=False), "dialog_id": "d2"}, "imported", "", {"tenant_id": "t2"}),
    "into another's": ({"dialog_id": "d2"}, "imported", "", {"tenant_id": "t2"}),
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
        "duration was nan and is 0; reference[0] was nan and is null; reference[1]['a'] was -inf",
        {"reference": [None, {"a": None}, None], "duration": 0.0},
    ),
    "deep": ({"dsl": "[" * 600 + "]" * 600}, "repaired", "dsl is nested too deep", {"dsl": "[" * 600 + "]" * 600}),
    "deeper": ({"dsl": "[" * 10**5}, "repaired", "dsl is nested too deep", {"dsl": "[" * 10**5}),
    "keys": (
        {"dsl": '{"\\u0000": 1, "\ufffd": 2, "a": 3, "a": 4}', "message": "[" + "9" * 5000 + "]"},
        "repaired",
        "had the duplicate key 'a' in one object and has its last value",
        {"dsl": {"\ufffd\ufffd": 1, "\ufffd": 2, "a": 4}, "message": "[" + "9" * 5000 + "]"},
    ),
    "": ({}, "rejected", "conversation['id'] must be given and not be empty", {}),
    "of a refused agent": (
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
        {"create_date": IN_UTC + timedelta(milliseconds=123), "update_date": IN_UTC + timedelta(milliseconds=123)},
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
        {"create_date": IN_UTC + timedelta(milliseconds=123), "update_date": IN_UTC + timedelta(milliseconds=123)},
    ),
    "two dates": (
        {"create_time": TIME - 8 * 3_600_000},
        "date_conflict",
        "create_date is 2024-01-31 04:00:00+00:00, create_time is 2024-01-30 20:00:00.123+00:00",
        {},
    ),
    "two updates": ({"update_time": TIME + 1_001}, "date_conflict", "update_date is", {}),
    "a second apart": ({"create_time": TIME + 877, "update_time": TIME - 1_123}, "imported", "", {}),
    "implausible times": ({"create_time": TIME // 1000, "update_time": 0}, "imported", "", {}),
    "from the future": ({"create_time": TIME * 10, "update_time": -1}, "imported", "", {}),
    "two dates and altered": (
        {"create_time": TIME + 60_000, "message": "{"},
        "repaired",
        "message is not JSON",
        {"message": "{"},
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


@pytest.fixture(scope="module")
def old(server: Server) -> Generator[str]:
    """Give a database in the layout of RAGFlow with every kind of row."""
    with new_database(server) as conninfo:
        ragflow_layout.create(conninfo)
        ragflow_layout.insert(conninfo, "dialog", [DATES | row for row in DIALOGS])
        ragflow_layout.insert(conninfo, "user_canvas", [DATES | row for row in CANVASES])
        ragflow_layout.insert(conninfo, "api_token", [DATES | row for row in TOKENS])
        rows = [DATES | USUAL | {"id": id} | given for id, (given, *_) in CONVERSATIONS.items()]
        ragflow_layout.insert(conninfo, "api_4_conversation", rows)
        yield conninfo


def move(old: str, new: str, **arguments: Any) -> tuple[dict[str, Totals], list[Report]]:
    reports: list[Report] = []
    arguments = {"time_zone": ZONE, "on_report": reports.append, **arguments}
    totals = import_ragflow(old, new, **arguments)
    for of in totals.values():
        assert of.read == of.imported + of.repaired + of.skipped + of.rejected
    by_table = Counter((report.table, report.outcome) for report in reports)
    for table, of in totals.items():
        assert (of.repaired, of.rejected, of.date_conflicts) == tuple(
            by_table[table, o] for o in ("repaired", "rejected", "date_conflict")
        )
    return totals, reports


@pytest.mark.parametrize("batch_size", [1, 4, 500])
def test_every_kind_of_row_is_taken_altered_or_refused_with_its_reason(
    old: str, database: str, batch_size: int
) -> None:
    totals, reports = move(old, database, batch_size=batch_size)
    told = {(str(r.id), str(r.outcome)): r.reason for r in reports if r.table == "api_4_conversation"}
    with ConversationStore(database) as store:
        for id, (given, outcome, reason, changed) in CONVERSATIONS.items():
            read = store.conversations.get_by_id(id) if id else None
            assert (read is None) == (outcome == "rejected"), id
            assert ((id, "repaired") in told, (id, "rejected") in told) == (
                outcome == "repaired",
                outcome == "rejected",
            ), id
            assert reason in told.get((id, outcome), ""), (id, told)
            if read is not None:
                usual = {"tenant_id": "t1", "create_date": IN_UTC, "update_date": IN_UTC}
                wanted: dict[str, Any] = {
                    **USUAL,
                    **usual,
                    **{k: v for k, v in given.items() if k not in DATES},
                    **changed,
                }
                for key, value in wanted.items():
                    if key in ("message", "reference", "dsl") and key not in changed:
                        assert getattr(read, key) == json.loads(value), (id, key)
                    elif value is not None or key not in ("create_date", "update_date"):
                        assert getattr(read, key) == value, (id, key)
        assert list(store.conversations.get_by_id("escaped").dsl) == ["z", "a"]  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    assert {id for id, outcome in told if outcome == "date_conflict"} == {
        "two dates",
        "two updates",
        "two dates and altered",
    }
    kinds = Counter(outcome for _, outcome, _, _ in CONVERSATIONS.values())
    assert asdict(totals["api_4_conversation"]) == {
        "read": len(CONVERSATIONS),
        "imported": kinds["imported"] + kinds["date_conflict"],
        "repaired": kinds["repaired"],
        "present": 0,
        "rejected": kinds["rejected"],
        "date_conflict": 3,
    }


def test_dialogs_and_agents_are_dialogs(old: str, database: str) -> None:
    totals, reports = move(old, database)
    with ConversationStore(database) as store:
        dialogs = [(d.id, d.tenant_id, d.name, d.create_date) for d in store.dialogs.iter()]
        assert dialogs == [
            ("a1", "t1", "An agent", IN_UTC),
            ("d1", "t1", "知识库", IN_UTC),
            ("d2", "t2", None, IN_UTC),
        ]
        days = store.conversations.stats("t1", "2024-01-31", "2024-01-31", source="agent", time_zone=ZONE)
        assert [day.pv for day in days] == [1]  # a session of an agent counts
    assert asdict(totals["dialog"]) == {
        "read": 4,
        "imported": 2,
        "repaired": 0,
        "present": 0,
        "rejected": 2,
        "date_conflict": 0,
    }
    assert asdict(totals["user_canvas"]) == {
        "read": 3,
        "imported": 1,
        "repaired": 0,
        "present": 0,
        "rejected": 2,
        "date_conflict": 0,
    }
    assert [(r.id, r.reason) for r in reports if r.table in ("dialog", "user_canvas")] == [
        ("", "dialog['id'] must be given and not be empty"),
        ("nobodys", "dialog['tenant_id'] must be given and not be empty"),
        ("d1", "a dialog there has this id too"),
        ("d2", "a dialog there has this id too"),
    ]


def test_tokens_authenticate_as_before_and_are_never_told(old: str, database: str) -> None:
    totals, reports = move(old, database)
    told = {report.id: report.reason for report in reports if report.table == "api_token"}
    with ConversationStore(database) as store:
        found = {row["token"]: store.tokens.authenticate(row["token"]) for row in TOKENS}
    taken = {token: row and (row.tenant_id, row.dialog_id, row.source, row.beta) for token, row in found.items()}
    assert taken == {
        "ragflow-one-of-the-first": ("t1", None, "none", "beta-1"),
        "ragflow-bound-to-its-dialog": ("t1", "d1", "dialog", None),
        "ragflow-of-an-agent": ("t1", "a1", None, None),
        SAME: ("t2", None, None, None),  # who had it first
        "ragflow-bound-to-another-tenants-dialog": None,
        "ragflow-bound-to-nothing": None,
        "ragflow-with-anothers-beta": ("t2", None, None, None),
        " ": None,
        "ragflow-with-a-blank-beta": ("t2", None, None, None),
        "ragflow-without-dates": ("t2", None, None, None),
        "ragflow-with-two-dates": ("t2", None, None, None),
    }
    assert asdict(totals["api_token"]) == {
        "read": 12,
        "imported": 5,
        "repaired": 3,
        "present": 0,
        "rejected": 4,
        "date_conflict": 1,
    }
    first = found["ragflow-one-of-the-first"]
    assert first is not None
    assert first.create_date == IN_UTC
    assert told == {
        "t1 …ants": "the same token is another tenant's already",
        "t2 …alog": "the tenant has no dialog 'd1', to which the token is bound",
        "t2 …hing": "the tenant has no dialog 'missing', to which the token is bound",
        "t2 …beta": told["t2 …beta"],
        "t2 …": "token must not be blank",
        "t2 …ates": told["t2 …ates"],
    }
    betas = {report.reason for report in reports if report.id == "t2 …beta"}
    assert betas == {"its beta is another token's already and was left out", "its beta is blank and was left out"}
    for report in reports:
        assert not any(row["token"] in str(report) for row in TOKENS if row["token"].strip())


def test_a_second_run_takes_nothing_twice_and_changes_nothing(old: str, database: str) -> None:
    first, _ = move(old, database)

    def everything() -> list[Any]:
        with ConversationStore(database) as store:
            return [*store.dialogs.iter(), *store.conversations.iter(), *store.tokens.query(tenant_id="t1")]

    with ConversationStore(database) as store:
        store.conversations.append_round("escaped", ["meanwhile"])
    before = everything()
    second, _ = move(old, database)
    assert everything() == before
    for table, of in second.items():
        was = first[table]
        assert (of.imported, of.repaired, of.date_conflicts) == (0, 0, 0)
        assert (of.read, of.skipped, of.rejected) == (was.read, was.imported + was.repaired, was.rejected)


def test_a_run_that_was_interrupted_is_resumed(old: str, database: str) -> None:
    def stop(table: str, done: int, about: int | None) -> None:
        if table == "api_4_conversation" and done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_ragflow(old, database, time_zone=ZONE, batch_size=5, on_progress=stop)
    with ConversationStore(database) as store:
        before = store.conversations.count()
        assert 0 < before < len(CONVERSATIONS) - 5
        totals, _ = move(old, database)
        assert totals["api_4_conversation"].skipped == before
        assert store.conversations.count() == len(CONVERSATIONS) - 5


def test_what_is_said_of_a_row_is_not_lost_by_an_interruption(old: str, database: str) -> None:
    def stop(report: Report) -> None:
        if report.outcome == "repaired" and report.table == "api_4_conversation":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_ragflow(old, database, time_zone=ZONE, on_report=stop)
    totals, _ = move(old, database)
    assert totals["api_4_conversation"].repaired == sum(of == "repaired" for _, of, _, _ in CONVERSATIONS.values())


def test_it_may_be_the_same_database_with_its_own_time_zone_and_without_agents(database: str) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE public.user_canvas")
        connection.execute("ALTER TABLE public.api_4_conversation ALTER message TYPE jsonb USING message::jsonb")
    ragflow_layout.insert(database, "dialog", [{"id": "d", "tenant_id": "t"}])
    summer = {"create_date": datetime(2024, 7, 1, 0, 30), "update_date": datetime(2024, 12, 1, 0, 30)}
    ragflow_layout.insert(database, "api_4_conversation", [{"id": "c", "dialog_id": "d", "message": '["x"]', **summer}])
    totals, _ = move(database, database, time_zone="Europe/Berlin")
    assert "user_canvas" not in totals
    with ConversationStore(database) as store:
        read = store.conversations.get_by_id("c")
        assert read is not None
        assert read.message == ["x"]
        assert read.create_date == datetime(2024, 6, 30, 22, 30, tzinfo=UTC)
        assert read.update_date == datetime(2024, 11, 30, 23, 30, tzinfo=UTC)


def test_what_the_store_has_under_the_same_ids_is_left_alone(old: str, database: str) -> None:
    with ConversationStore(database) as store:
        store.dialogs.save(id="d1", tenant_id="t1", name="mine")
        store.dialogs.save(id="mine", tenant_id="t9")
        store.dialogs.save(id="d2", tenant_id="t9")
        mine = [store.conversations.save(id=id, dialog_id=d) for id, d in (("escaped", "mine"), ("raw", "d2"))]
        store.tokens.save(tenant_id="t9", token="ragflow-one-of-the-first")
        totals, reports = move(old, database)
        assert [store.conversations.get_by_id(one.id) for one in mine] == mine
        assert store.dialogs.get_by_id("d1").name == "mine"  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    told = {(report.table, report.id): report.reason for report in reports}
    # What is in a dialog that is another tenant's here would be another tenant's.
    assert told["api_4_conversation", "into another's"] == "its dialog 'd2' is missing, or was rejected"
    assert told["api_4_conversation", "escaped"] == "a conversation with this id belongs to another dialog"
    assert told["dialog", "d2"] == "a dialog with this id belongs to another tenant"
    assert told["api_token", "t1 …irst"] == "the same token is another tenant's already"
    # Of the same dialog by its id, but of another tenant.
    assert told["api_4_conversation", "raw"] == "a conversation with this id belongs to another dialog"
    assert totals["api_4_conversation"].skipped == 0


def test_dates_with_a_time_zone_stay_the_instants_that_they_are(database: str) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE public.api_4_conversation ALTER create_date TYPE timestamptz")
        connection.execute("SELECT set_config('TimeZone', 'America/New_York', false)")
    ragflow_layout.insert(database, "dialog", [DATES | {"id": "d", "tenant_id": "t"}])
    ragflow_layout.insert(
        database, "api_4_conversation", [DATES | {"id": "c", "dialog_id": "d", "create_date": IN_UTC}]
    )
    _, reports = move(database, database)
    assert reports == []
    with ConversationStore(database) as store:
        assert [c.create_date for c in store.conversations.iter()] == [IN_UTC]


def test_no_single_row_stops_the_move(database: str) -> None:
    """Of rows whose key is not kept by a primary key, one is taken."""
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("dialog", "api_4_conversation"):
            connection.execute(f"ALTER TABLE public.{table} DROP CONSTRAINT {table}_pkey")
    ragflow_layout.insert(database, "dialog", [DATES | {"id": id, "tenant_id": "t"} for id in ("a", "b", "b", "c")])
    rows = [DATES | {"id": id, "dialog_id": "b"} for id in ("1", "2", "2", "3")]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    totals, reports = move(database, database)
    for table in ("dialog", "api_4_conversation"):
        assert (totals[table].read, totals[table].imported, totals[table].rejected) == (4, 3, 1)
    assert [report.reason for report in reports] == [
        "a dialog with this id exists already, perhaps under another tenant: 'b'",
        "a conversation with this id exists already: '2'",
    ]


def test_any_json_comes_over_as_python_reads_it(database: str) -> None:
    seeded = random.Random(5)
    alphabet = ["a", '"', "\\", "/", "\n", "\t", "检", "É", "\U0001f600", "\u2028", "\x7f", "\ue000", "\ufffd"]

    def value(depth: int = 0) -> Any:
        kind = seeded.randrange(8 if depth < 4 else 6)
        return (
            [
                None,
                seeded.random() < 0.5,
                seeded.choice([0, -1, 2**53 + 1, 10**30]),
                seeded.choice([0.1, -0.0, 1e300, 5e-324, 1.0]),
                "".join(seeded.choices(alphabet, k=seeded.randrange(6))),
                "",
            ][kind]
            if kind < 6
            else [value(depth + 1) for _ in range(seeded.randrange(4))]
            if kind == 6
            else {"".join(seeded.choices(alphabet, k=2)): value(depth + 1) for _ in range(seeded.randrange(4))}
        )

    ragflow_layout.create(database)
    ragflow_layout.insert(database, "dialog", [DATES | {"id": "d", "tenant_id": "t"}])
    documents = {f"c{n}": [value(), value(), value()] for n in range(300)}
    ragflow_layout.insert(
        database,
        "api_4_conversation",
        [
            DATES
            | {"id": id, "dialog_id": "d"}
            | {
                field: text(document, ensure_ascii=seeded.random() < 0.5, indent=seeded.choice([None, 1]))
                for field, document in zip(("message", "reference", "dsl"), given, strict=True)
            }
            for id, given in documents.items()
        ],
    )
    totals, reports = move(database, database)
    assert reports == []
    assert totals["api_4_conversation"].imported == 300
    with ConversationStore(database) as store:
        for read in store.conversations.iter():
            assert [repr(v) for v in (read.message, read.reference, read.dsl)] == [repr(v) for v in documents[read.id]]


def test_what_cannot_work_is_said_before_anything_is_stored(old: str, database: str, empty_database: str) -> None:
    with pytest.raises(MigrationError, match=r"has no table public\.dialog and no public\.api_token and no public\."):
        import_ragflow(database, database)
    for wrong in ("+08:00", "CST", "", "Mars/Olympus"):
        with pytest.raises(ValueError, match="time_zone must be the name of an IANA time zone"):
            import_ragflow(old, database, time_zone=wrong)
    with pytest.raises(ValueError, match="batch_size"):
        import_ragflow(old, database, batch_size=0)
    wrong_type: Any = "text"
    with pytest.raises(TypeError, match="on_report must be None or a plain function"):
        import_ragflow(old, database, on_report=wrong_type)
    with pytest.raises(psycopg.errors.UndefinedTable):
        import_ragflow(old, empty_database)
    with pytest.raises(psycopg.OperationalError):
        import_ragflow("host=/nowhere dbname=x", database)
    with ConversationStore(database) as store:
        assert list(store.dialogs.iter()) == []


def run(old: str, new: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "--database", new, "import-ragflow", "--from", old, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_the_command_reports_each_row_and_its_totals_add_up(old: str, database: str) -> None:
    done = run(old, database, "--time-zone", ZONE)
    assert done.returncode == 3, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["table", "read", "imported", "repaired", "present", "rejected", "date_conflict"]
    assert [row[0] for row in rows[1:5]] == ["dialog", "user_canvas", "api_token", "api_4_conversation"]
    for _, read, taken, altered, present, refused, _ in rows[1:5]:
        assert int(read) == int(taken) + int(altered) + int(present) + int(refused)
    _, reports = move(old, database)
    again = [f"refused: {report.table} {report.id}: {report.reason}" for report in reports]
    assert set(again) < set(done.stderr.splitlines())
    assert "altered: api_4_conversation malformed: message is not JSON and was kept as its text" in done.stderr
    assert "dates: api_4_conversation two dates: create_date is 2024-01-31 04:00" in done.stderr
    assert not any(row["token"] in done.stderr + done.stdout for row in TOKENS if row["token"].strip())


def test_the_command_ends_with_0_where_all_was_taken_as_it_was(database: str) -> None:
    ragflow_layout.create(database)
    ragflow_layout.fill(database, 20)
    done = run(database, database, "--time-zone", ZONE)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()][4] == [
        "api_4_conversation",
        "20",
        "20",
        "0",
        "0",
        "0",
        "0",
    ]
    with ConversationStore(database) as store:
        assert store.conversations.count() == 20
    done = run("host=/nowhere dbname=x password=sesame", database)
    assert done.returncode == 1
    assert "sesame" not in done.stderr + done.stdout
    done = run(database, database, "--time-zone", "+08:00")
    assert done.returncode == 1
    assert "IANA" in done.stderr
