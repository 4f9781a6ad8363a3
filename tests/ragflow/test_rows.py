"""Every kind of row of a RAGFlow database is imported, repaired, skipped or rejected, with its reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from typing import Any, NamedTuple

import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store import ConversationStore
from conversation_store.ragflow import Report, Totals
from support.both_apis import AsyncApi, SyncApi
from support.ragflow_rows import (
    CONVERSATIONS,
    DATES,
    IN_MILLISECONDS,
    SAME,
    SOURCES,
    TOKENS,
    USUAL,
    ZONE,
    import_and_report,
    source_of,
)
from support.server import Server
from support.server import database as new_database


class Import(NamedTuple):
    """The totals and reports of an import, and a store on its target."""

    totals: dict[str, Totals]
    reports: list[Report]
    store: ConversationStore

    def reasons(self, table: str) -> dict[tuple[str, str], str]:
        """Return the reasons of a table by id and outcome."""
        return {(str(r.id), str(r.outcome)): r.reason for r in self.reports if r.table == table}


@pytest.fixture(scope="module", params=SOURCES)
def old(request: pytest.FixtureRequest) -> Generator[str]:
    """Give a database in the layout of RAGFlow with every kind of row, on each kind of server."""
    with source_of(request) as conninfo:
        yield conninfo


@pytest.fixture(scope="module", params=[1, 4, 500], ids=lambda size: f"batches of {size}")
def imported(
    api: SyncApi | AsyncApi,
    old: str,
    server: Server,
    postgresql_noproc: NoopExecutor,
    request: pytest.FixtureRequest,
) -> Generator[Import]:
    """Give an import of every kind of row, with each API and in batches of some sizes."""
    with (
        new_database(server, template=postgresql_noproc.template_dbname) as target,
        ConversationStore(target) as store,
    ):
        yield Import(*import_and_report(api, old, target, batch_size=request.param), store)


def test_every_conversation_is_imported_repaired_or_rejected_with_its_reason(imported: Import) -> None:
    reasons = imported.reasons("api_4_conversation")
    for id, (_, outcome, reason, _) in CONVERSATIONS.items():
        read = imported.store.conversations.get_by_id(id) if id else None
        assert (read is None) == (outcome == "rejected"), id
        for kind in ("repaired", "rejected"):
            assert ((id, kind) in reasons) == (outcome == kind), id
        assert reason in reasons.get((id, outcome), ""), (id, reasons)
    assert {id for id, outcome in reasons if outcome == "date_conflict"} == {
        "two dates",
        "two updates",
        "two dates and repaired",
    }
    kinds = Counter(outcome for _, outcome, _, _ in CONVERSATIONS.values())
    assert imported.totals["api_4_conversation"] == Totals(
        read=len(CONVERSATIONS),
        imported=kinds["imported"] + kinds["date_conflict"],
        repaired=kinds["repaired"],
        skipped=0,
        rejected=kinds["rejected"],
        date_conflicts=3,
    )


def test_every_value_of_a_conversation_is_imported(imported: Import) -> None:
    for id, (given, outcome, _, changed) in CONVERSATIONS.items():
        if outcome == "rejected":
            continue
        read = imported.store.conversations.get_by_id(id)
        usual = {"tenant_id": "t1", "create_date": IN_MILLISECONDS, "update_date": IN_MILLISECONDS}
        given = {key: value for key, value in given.items() if key not in DATES}
        wanted: dict[str, Any] = {**USUAL, **usual, **given, **changed}
        for key, value in wanted.items():
            if key in ("message", "reference", "dsl") and key not in changed:
                assert getattr(read, key) == json.loads(value), (id, key)
            elif value is not None or key not in ("create_date", "update_date"):
                assert getattr(read, key) == value, (id, key)
    escaped = imported.store.conversations.get_by_id("escaped")
    assert escaped is not None
    assert list(escaped.dsl) == ["z", "a"]


def test_dialogs_and_agents_are_imported_as_dialogs(imported: Import) -> None:
    store = imported.store
    assert [(d.id, d.tenant_id, d.name, d.create_date) for d in store.dialogs.iter()] == [
        ("a1", "t1", "An agent", IN_MILLISECONDS),
        ("d1", "t1", "知识库", IN_MILLISECONDS),
        ("d2", "t2", None, IN_MILLISECONDS),
    ]
    days = store.conversations.stats("t1", "2024-01-31", "2024-01-31", source="agent", time_zone=ZONE)
    assert [day.pv for day in days] == [1]  # a session of an agent counts
    assert imported.totals["dialog"] == Totals(read=4, imported=2, rejected=2)
    assert imported.totals["user_canvas"] == Totals(read=3, imported=1, rejected=2)
    assert [(r.id, r.reason) for r in imported.reports if r.table in ("dialog", "user_canvas")] == [
        ("", "dialog['id'] must be given and not be empty"),
        ("nobodys", "dialog['tenant_id'] must be given and not be empty"),
        ("d1", "a dialog there has this id too"),
        ("d2", "a dialog there has this id too"),
    ]


def test_an_imported_token_authenticates_for_the_same_tenant_and_dialog(imported: Import) -> None:
    found = {row["token"]: imported.store.tokens.authenticate(row["token"]) for row in TOKENS}
    fields = {token: row and (row.tenant_id, row.dialog_id, row.source, row.beta) for token, row in found.items()}
    assert fields == {
        "ragflow-one-of-the-first": ("t1", None, "none", "beta-1"),
        "ragflow-bound-to-its-dialog": ("t1", "d1", "dialog", None),
        "ragflow-of-an-agent": ("t1", "a1", None, None),
        SAME: ("t2", None, None, None),  # whose token is older
        "ragflow-bound-to-another-tenants-dialog": None,
        "ragflow-bound-to-nothing": None,
        "ragflow-with-anothers-beta": ("t2", None, None, None),
        " ": None,
        "ragflow-with-a-blank-beta": ("t2", None, None, None),
        "ragflow-without-dates": ("t2", None, None, None),
        "ragflow-with-two-dates": ("t2", None, None, None),
    }
    first = found["ragflow-one-of-the-first"]
    assert first is not None
    assert first.create_date == IN_MILLISECONDS


def test_every_token_that_was_repaired_or_rejected_is_reported_without_its_secret(imported: Import) -> None:
    assert imported.totals["api_token"] == Totals(read=12, imported=5, repaired=3, rejected=4, date_conflicts=1)
    reports = [report for report in imported.reports if report.table == "api_token"]
    reported = Counter((str(report.id), str(report.outcome), report.reason) for report in reports)
    conflict = "create_date is 2024-01-31 04:00:00+00:00, create_time is 2024-01-31 05:00:00.123+00:00"
    assert reported == Counter(
        [
            ("t1 …ants", "rejected", "the same token is another tenant's already"),
            ("t2 …alog", "rejected", "the tenant has no dialog 'd1', which the token needs"),
            ("t2 …hing", "rejected", "the tenant has no dialog 'missing', which the token needs"),
            ("t2 …", "rejected", "token must not be blank"),
            ("t2 …beta", "repaired", "its beta is another token's already and was left out"),
            ("t2 …beta", "repaired", "its beta is blank and was left out"),
            (
                "t2 …ates",
                "repaired",
                "it had no usable create_date and got now;"
                " it had no usable update_date and got the date of its creation",
            ),
            ("t2 …ates", "date_conflict", conflict),
        ]
    )
    for report in imported.reports:
        assert not any(row["token"] in str(report) for row in TOKENS if row["token"].strip())


def test_both_apis_import_the_same_rows_with_the_same_reports(
    old: str, server: Server, postgresql_noproc: NoopExecutor
) -> None:
    results: list[Any] = []
    with AsyncApi() as async_api:
        for api in (SyncApi(), async_api):
            with new_database(server, template=postgresql_noproc.template_dbname) as target:
                totals, reports = import_and_report(api, old, target, batch_size=7)
                results.append((totals, reports, *rows_of(target)))
    assert results[0] == results[1]


def rows_of(conninfo: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what is stored, but for dates that are the moment of the import."""
    with ConversationStore(conninfo) as store:
        conversations = [row.to_dict() for row in store.conversations.iter() if row.id != "no dates"]
        tokens = [
            (row.tenant_id, row.dialog_id, row.source, row.beta, store.tokens.authenticate(secret) == row)
            for secret in (str(token["token"]) for token in TOKENS)
            for row in store.tokens.query(token=secret)
        ]
        return list(store.dialogs.iter()), conversations, tokens
