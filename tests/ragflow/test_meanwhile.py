"""What others do to the store between the import's look at a row and its write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow import Totals, _import_conversations, _import_dialogs, _import_tokens
from support import ragflow_layout
from support.both_apis import AsyncApi, SyncApi
from support.ragflow_rows import DATES, NOON, TIME, USUAL, import_and_report

Api = SyncApi | AsyncApi

SECRETS = [f"ragflow-token-number-{n}" for n in range(2)]


def later(hours: int) -> dict[str, Any]:
    return {"update_date": NOON + timedelta(hours=hours), "update_time": TIME + 3_600_000 * hours}


@pytest.fixture
def old(database: str) -> str:
    """Give a database with tables of RAGFlow, beside the store: two dialogs, two tokens and two conversations."""
    ragflow_layout.create(database)
    ragflow_layout.insert(database, "dialog", [DATES | {"id": id, "tenant_id": "t", "name": id} for id in ("d", "e")])
    tokens = [{"tenant_id": "t", "token": secret, "source": "none"} for secret in SECRETS]
    ragflow_layout.insert(database, "api_token", [DATES | token for token in tokens])
    rows = [DATES | USUAL | {"id": id, "dialog_id": "d"} for id in ("1", "2")]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    return database


def first(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, do: Callable[[], object]) -> None:
    """Let somebody do something, once, just before a function of the import is called."""
    function, todo = getattr(module, name), [do]

    def called(*args: Any, **kwargs: Any) -> Any:
        if todo:
            todo.pop()()
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, called)


def here(conninfo: str) -> tuple[list[str | None], list[str | None]]:
    """Return the names of the dialogs and the sources of the tokens."""
    with ConversationStore(conninfo) as store:
        tokens = [store.tokens.query(token=secret) for secret in SECRETS]
        return [d.name for d in store.dialogs.iter()], [found[0].source if found else "deleted" for found in tokens]


def test_what_is_changed_or_deleted_here_meanwhile_is_kept_and_reported(
    api: Api, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_and_report(api, old, old)
    for id in ("d", "e"):
        ragflow_layout.change(old, "dialog", id, name="there", **later(1))
    for secret in SECRETS:
        ragflow_layout.change(old, "api_token", secret, source="dialog", **later(1))

    def rename_and_delete() -> None:
        with ConversationStore(old) as store:
            store.dialogs.update_by_id("d", {"name": "HERE"})
            store.conversations.delete_by_dialog_ids(["e"])
            store.dialogs.delete_by_id("e")

    def change_and_delete() -> None:
        with ConversationStore(old) as store:
            tokens = [store.tokens.query(token=secret)[0] for secret in SECRETS]
            for token in tokens:
                store.tokens.update_by_id(token.id, {"source": "HERE"}, tenant_id="t")
            store.tokens.delete_by_id(tokens[1].id, tenant_id="t")

    first(monkeypatch, _import_dialogs, "reimport_dialog", rename_and_delete)
    first(monkeypatch, _import_tokens, "reimport_token", change_and_delete)
    totals, reports = import_and_report(api, old, old, update=True)
    assert totals["dialog"] == Totals(read=2, update_conflicts=2)
    assert (totals["api_token"].updated, totals["api_token"].update_conflicts) == (0, 1)
    assert here(old) == (["HERE"], ["HERE", "dialog"])  # what was deleted here before it is looked at comes back
    assert {(report.table, report.outcome) for report in reports} == {
        ("dialog", "update_conflict"),
        ("api_token", "update_conflict"),
    }


def test_what_is_changed_there_during_an_update_is_taken_by_the_next(
    api: Api, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_and_report(api, old, old)

    def change(name: str, source: str, hours: int) -> None:
        ragflow_layout.change(old, "dialog", "d", name=name, **later(hours))
        ragflow_layout.change(old, "api_token", SECRETS[0], source=source, **later(hours))

    change("two", "dialog", 1)
    first(monkeypatch, _import_dialogs, "reimport_dialog", lambda: change("three", "agent", 2))
    import_and_report(api, old, old, update=True)
    assert here(old) == (["two", "e"], ["dialog", "none"])
    totals, _ = import_and_report(api, old, old)
    assert (totals["dialog"].newer, totals["api_token"].newer) == (1, 1)
    totals, _ = import_and_report(api, old, old, update=True)
    assert (totals["dialog"].updated, totals["api_token"].updated) == (1, 1)
    assert here(old) == (["three", "e"], ["agent", "none"])


def test_what_somebody_else_stores_first_is_skipped(api: Api, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another import is done before the first one has stored its page of dialogs.
    first(monkeypatch, _import_dialogs, "_checked", lambda: import_and_report(SyncApi(), old, old))
    totals, reports = import_and_report(api, old, old)
    assert reports == []
    assert totals["dialog"] == Totals(read=2, skipped=2)
    assert totals["api_4_conversation"] == Totals(read=2, skipped=2)


def test_a_conversation_that_somebody_else_stores_first_is_skipped(
    api: Api, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store_the_first() -> None:
        with ConversationStore(old) as store:
            store.conversations.save(id="1", dialog_id="d", name="HERE")
            store.conversations.save(id="2", dialog_id="e", name="HERE")

    first(monkeypatch, _import_conversations, "repair", store_the_first)
    totals, reports = import_and_report(api, old, old)
    assert totals["api_4_conversation"] == Totals(read=2, skipped=1, rejected=1)
    assert [(report.id, report.outcome) for report in reports] == [("2", "rejected")]
    with ConversationStore(old) as store:
        assert [row.name for row in store.conversations.iter()] == ["HERE", "HERE"]


@pytest.mark.parametrize(("tenant", "outcome"), [("t", "skipped"), ("another", "rejected")])
def test_a_token_that_somebody_else_stores_first_is_skipped_when_it_is_the_tenants(
    api: Api, old: str, monkeypatch: pytest.MonkeyPatch, tenant: str, outcome: str
) -> None:
    def store_it() -> None:
        with ConversationStore(old) as store:
            store.tokens.save(tenant_id=tenant, token=SECRETS[0])

    first(monkeypatch, _import_tokens, "_write", store_it)
    totals, reports = import_and_report(api, old, old)
    assert totals["api_token"] == Totals(read=2, imported=1, **{outcome: 1})
    assert [report.outcome for report in reports] == ["rejected"] * (outcome == "rejected")


def test_a_beta_that_was_left_out_is_no_conflict(api: Api, old: str) -> None:
    for secret in SECRETS:
        ragflow_layout.change(old, "api_token", secret, beta="shared", **later(1))
    import_and_report(api, old, old)
    with ConversationStore(old) as store:
        for secret in SECRETS:
            assert store.tokens.used(secret) == 1
    totals, reports = import_and_report(api, old, old, update=True)
    assert (totals["api_token"], reports) == (Totals(read=2, skipped=2), [])
