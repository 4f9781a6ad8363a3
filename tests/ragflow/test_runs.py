"""Runs of the RAGFlow import: repeated, interrupted, from other layouts, into a store with rows, and with wrong arguments."""

from __future__ import annotations

import random
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from conversation_store import ConversationStore, InvalidArgument, InvalidArgumentType, MigrationError, SourceError
from conversation_store.ragflow import Report, Totals, _import_conversations
from support import ragflow_layout
from support.both_apis import AsyncApi, SyncApi
from support.ragflow_rows import (
    CONVERSATIONS,
    DATES,
    IN_MILLISECONDS,
    IN_UTC,
    SOURCES,
    import_and_report,
    run_import,
    source_of,
    text,
)

Api = SyncApi | AsyncApi
REJECTED = sum(outcome == "rejected" for _, outcome, _, _ in CONVERSATIONS.values())


@pytest.fixture(scope="module", params=SOURCES)
def old(request: pytest.FixtureRequest) -> Generator[str]:
    """Give a database in the layout of RAGFlow with every kind of row, on each kind of server."""
    with source_of(request) as conninfo:
        yield conninfo


# -- repeated and interrupted -------------------------------------------------------------


def test_a_second_run_skips_every_row_and_changes_nothing(api: Api, old: str, database: str) -> None:
    first, _ = import_and_report(api, old, database)

    def everything() -> list[Any]:
        with ConversationStore(database) as store:
            return [*store.dialogs.iter(), *store.conversations.iter(), *store.tokens.query(tenant_id="t1")]

    with ConversationStore(database) as store:
        store.conversations.append_round("escaped", ["meanwhile"])
    before = everything()
    second, _ = import_and_report(api, old, database)
    assert everything() == before
    for table, of in second.items():
        was = first[table]
        assert of == Totals(read=was.read, skipped=was.imported + was.repaired, rejected=was.rejected)


def test_an_interrupted_run_is_resumed_by_the_next(api: Api, old: str, database: str) -> None:
    def stop(table: str, done: int, about: int | None) -> None:
        if table == "api_4_conversation" and done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(api, old, database, batch_size=5, on_progress=stop)
    with ConversationStore(database) as store:
        before = store.conversations.count()
        assert 0 < before < len(CONVERSATIONS) - REJECTED
        totals, _ = import_and_report(api, old, database)
        assert totals["api_4_conversation"].skipped == before
        assert store.conversations.count() == len(CONVERSATIONS) - REJECTED


def test_a_row_whose_report_was_interrupted_is_reported_by_the_next_run(api: Api, old: str, database: str) -> None:
    def stop(report: Report) -> None:
        if report.outcome == "repaired" and report.table == "api_4_conversation":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(api, old, database, on_report=stop)
    totals, _ = import_and_report(api, old, database)
    repaired = sum(outcome == "repaired" for _, outcome, _, _ in CONVERSATIONS.values())
    assert totals["api_4_conversation"].repaired == repaired


# -- other layouts ------------------------------------------------------------------------


def test_source_and_target_may_be_one_database_without_agents_and_with_jsonb(api: Api, database: str) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE public.user_canvas")
        connection.execute("ALTER TABLE public.api_4_conversation ALTER message TYPE jsonb USING message::jsonb")
    ragflow_layout.insert(database, "dialog", [{"id": "d", "tenant_id": "t"}])
    summer = {"create_date": datetime(2024, 7, 1, 0, 30), "update_date": datetime(2024, 12, 1, 0, 30)}
    ragflow_layout.insert(database, "api_4_conversation", [{"id": "c", "dialog_id": "d", "message": '["x"]', **summer}])
    totals, _ = import_and_report(api, database, database, time_zone="Europe/Berlin")
    assert "user_canvas" not in totals
    with ConversationStore(database) as store:
        read = store.conversations.get_by_id("c")
        assert read is not None
        assert read.message == ["x"]
        # Summer time and winter time.
        assert read.create_date == datetime(2024, 6, 30, 22, 30, tzinfo=UTC)
        assert read.update_date == datetime(2024, 11, 30, 23, 30, tzinfo=UTC)


def test_dates_with_a_time_zone_stay_the_instants_that_they_are(api: Api, database: str) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE public.api_4_conversation ALTER create_date TYPE timestamptz")
    ragflow_layout.insert(database, "dialog", [DATES | {"id": "d", "tenant_id": "t"}])
    row = DATES | {"id": "c", "dialog_id": "d", "create_date": IN_UTC}
    ragflow_layout.insert(database, "api_4_conversation", [row])
    _, reports = import_and_report(api, database, database)
    assert reports == []
    with ConversationStore(database) as store:
        assert [c.create_date for c in store.conversations.iter()] == [IN_MILLISECONDS]


def test_of_rows_with_the_same_id_the_first_is_imported_and_the_others_are_rejected(api: Api, database: str) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("dialog", "api_4_conversation"):
            connection.execute(f"ALTER TABLE public.{table} DROP CONSTRAINT {table}_pkey")
    ragflow_layout.insert(database, "dialog", [DATES | {"id": id, "tenant_id": "t"} for id in ("a", "b", "b", "c")])
    rows = [DATES | {"id": id, "dialog_id": "b"} for id in ("1", "2", "2", "3")]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    totals, reports = import_and_report(api, database, database)
    for table in ("dialog", "api_4_conversation"):
        assert totals[table] == Totals(read=4, imported=3, rejected=1)
    assert [report.reason for report in reports] == [
        "another dialog there has this id too",
        "another conversation there has this id too",
    ]


def test_of_two_tenants_with_a_dialog_of_the_same_id_the_conversations_are_those_of_the_first(
    api: Api, database: str
) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE public.dialog DROP CONSTRAINT dialog_pkey")
    ragflow_layout.insert(database, "dialog", [DATES | {"id": "b", "tenant_id": tenant} for tenant in ("t", "u")])
    # A conversation names no tenant.
    ragflow_layout.insert(database, "api_4_conversation", [DATES | {"id": "1", "dialog_id": "b"}])
    totals, reports = import_and_report(api, database, database)
    assert totals["dialog"] == Totals(read=2, imported=1, rejected=1)
    assert [(report.table, report.id) for report in reports] == [("dialog", "b")]
    with ConversationStore(database) as store:
        assert [(d.id, d.tenant_id) for d in store.dialogs.iter()] == [("b", "t")]
        assert [(c.id, c.tenant_id) for c in store.conversations.iter()] == [("1", "t")]


# -- a store with rows of its own ---------------------------------------------------------


def test_rows_that_the_store_has_under_the_same_ids_are_not_changed(api: Api, old: str, database: str) -> None:
    with ConversationStore(database) as store:
        store.dialogs.save(id="d1", tenant_id="t1", name="mine")
        store.dialogs.save(id="mine", tenant_id="t1")
        mine = [store.conversations.save(id=id, dialog_id=d) for id, d in (("escaped", "mine"), ("null", "d1"))]
        store.tokens.save(tenant_id="t9", token="ragflow-one-of-the-first")
        totals, reports = import_and_report(api, old, database)
        assert [store.conversations.get_by_id(one.id) for one in mine] == mine
        dialog = store.dialogs.get_by_id("d1")
        assert dialog is not None
        assert dialog.name == "mine"
    reasons = {(report.table, report.id): report.reason for report in reports}
    assert reasons["api_4_conversation", "escaped"] == "a conversation with this id belongs to another dialog"
    assert reasons["api_token", "t1 …irst"] == "the same token is another tenant's already"
    assert totals["dialog"].skipped == 1
    assert totals["api_4_conversation"].skipped == 1


def test_rows_that_another_tenant_of_the_store_has_under_the_same_ids_prevent_none_and_are_not_changed(
    api: Api, old: str, database: str
) -> None:
    ids = [id for id, (_, outcome, _, _) in CONVERSATIONS.items() if id and outcome != "rejected"]
    with ConversationStore(database) as store:
        theirs = store.for_tenant("t9")
        theirs.dialogs.insert_many({"id": id, "name": "theirs"} for id in ("d1", "d2", "a1", "missing"))
        theirs.conversations.insert_many({"id": id, "dialog_id": "d2"} for id in CONVERSATIONS if id)
        before = [*theirs.dialogs.iter(), *theirs.conversations.iter()]
        totals, reports = import_and_report(api, old, database)
        assert [*theirs.dialogs.iter(), *theirs.conversations.iter()] == before
        dialogs = [(d.id, d.tenant_id) for d in store.dialogs.iter() if d.tenant_id != "t9"]
        imported = [c for tenant in ("t1", "t2") for c in store.conversations.get_by_ids(ids, tenant_id=tenant)]
        # The dialog that is missing there and the one that another tenant has here are not one.
        assert "orphan" in {report.id for report in reports if report.outcome == "rejected"}
    assert dialogs == [("a1", "t1"), ("d1", "t1"), ("d2", "t2")]
    assert sorted(c.id for c in imported) == sorted(ids)
    assert {c.id for c in imported if c.tenant_id == "t2"} == {"raw", "in another dialog"}
    assert (totals["dialog"].skipped, totals["api_4_conversation"].skipped) == (0, 0)
    assert totals["api_4_conversation"].rejected == REJECTED


def test_a_token_needs_a_dialog_of_its_own_tenant_though_another_one_has_the_same_id(api: Api, database: str) -> None:
    ragflow_layout.create(database)
    token = DATES | {"tenant_id": "t", "token": "ragflow-of-a-dialog", "dialog_id": "d"}
    ragflow_layout.insert(database, "api_token", [token])
    with ConversationStore(database) as store:
        store.dialogs.save(id="d", tenant_id="u")
        totals, _ = import_and_report(api, database, database)
        assert totals["api_token"] == Totals(read=1, rejected=1)
        ragflow_layout.insert(database, "dialog", [DATES | {"id": "d", "tenant_id": "t"}])
        totals, _ = import_and_report(api, database, database)
        assert totals["api_token"] == Totals(read=1, imported=1)
        found = store.tokens.authenticate("ragflow-of-a-dialog")
        assert found is not None
        assert (found.tenant_id, found.dialog_id) == ("t", "d")


# -- JSON ---------------------------------------------------------------------------------

LETTERS = ["a", '"', "\\", "/", "\n", "\t", "检", "É", "\U0001f600", "\u2028", "\x7f", "\ue000", "\ufffd"]


def random_value(seeded: random.Random, depth: int = 0) -> Any:
    """Return any JSON value, up to five levels deep."""
    kind = seeded.randrange(8 if depth < 4 else 6)
    if kind == 6:
        return [random_value(seeded, depth + 1) for _ in range(seeded.randrange(4))]
    if kind == 7:
        keys = ["".join(seeded.choices(LETTERS, k=2)) for _ in range(seeded.randrange(4))]
        return {key: random_value(seeded, depth + 1) for key in keys}
    return [
        None,
        seeded.random() < 0.5,
        seeded.choice([0, -1, 2**53 + 1, 10**30]),
        seeded.choice([0.1, -0.0, 1e300, 5e-324, 1.0]),
        "".join(seeded.choices(LETTERS, k=seeded.randrange(6))),
        "",
    ][kind]


def test_any_json_is_imported_as_python_reads_it(api: Api, database: str) -> None:
    seeded = random.Random(5)
    ragflow_layout.create(database)
    ragflow_layout.insert(database, "dialog", [DATES | {"id": "d", "tenant_id": "t"}])
    documents = {f"c{n}": [random_value(seeded) for _ in range(3)] for n in range(300)}
    rows = [
        DATES
        | {"id": id, "dialog_id": "d"}
        | {
            field: text(document, ensure_ascii=seeded.random() < 0.5, indent=seeded.choice([None, 1]))
            for field, document in zip(("message", "reference", "dsl"), given, strict=True)
        }
        for id, given in documents.items()
    ]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    totals, reports = import_and_report(api, database, database)
    assert reports == []
    assert totals["api_4_conversation"].imported == 300
    with ConversationStore(database) as store:
        for read in store.conversations.iter():
            assert [repr(v) for v in (read.message, read.reference, read.dsl)] == [repr(v) for v in documents[read.id]]


# -- memory -------------------------------------------------------------------------------


def test_no_more_conversations_are_read_at_once_than_have_so_many_bytes(
    api: Api, old: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 100_000
    sizes: list[list[int]] = []

    def store(run: Any, table: str, found: list[Any], wanted: Any) -> Any:
        sizes.append([sum(len((text or "").encode()) for text in (c.message, c.reference, c.dsl)) for c in found])
        return original(run, table, found, wanted)

    original = _import_conversations._store
    monkeypatch.setattr(_import_conversations, "_store", store)
    monkeypatch.setattr(_import_conversations, "PART_BYTES", limit)
    totals, _ = import_and_report(api, old, database)
    assert sum(map(len, sizes)) == totals["api_4_conversation"].read
    assert all(sum(part) <= limit or len(part) == 1 for part in sizes), sizes
    # One conversation is larger; the others are as many at once as fit.
    assert 2 <= len(sizes) <= 4


# -- errors -------------------------------------------------------------------------------


def test_a_wrong_argument_or_database_raises_an_error_before_anything_is_stored(
    api: Api, old: str, database: str, empty_database: str
) -> None:
    missing = "has no table dialog and no api_token and no api_4_conversation"
    with pytest.raises(MigrationError, match=missing):
        run_import(api, database, database)
    for wrong in ("+08:00", "CST", "", "Mars/Olympus"):
        with pytest.raises(InvalidArgument, match="time_zone must be the name of an IANA time zone"):
            run_import(api, old, database, time_zone=wrong)
    with pytest.raises(InvalidArgument, match="batch_size"):
        run_import(api, old, database, batch_size=0)
    for name in ("check", "update"):
        with pytest.raises(InvalidArgumentType, match=f"{name} must be"):
            run_import(api, old, database, **{name: 1})
    for name in ("on_report", "on_progress"):
        with pytest.raises(InvalidArgumentType, match=f"{name} must be None or a plain function"):
            run_import(api, old, database, **{name: "text"})
    for check in (False, True):
        with pytest.raises(MigrationError, match=r"no schema of this store.*run `conversation-store migrate`"):
            run_import(api, old, empty_database, check=check)
    with pytest.raises(SourceError):
        run_import(api, "host=/nowhere dbname=x", database)
    with ConversationStore(database) as store:
        assert list(store.dialogs.iter()) == []
