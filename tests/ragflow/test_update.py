"""Rows that were changed there after they were imported: counted, and taken again by an update, unless changed here too."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from conversation_store import Conversation, ConversationStore
from conversation_store.ragflow import Report, Totals
from conversation_store.ragflow._repair import repair
from support import ragflow_layout
from support.both_apis import AsyncApi, SyncApi
from support.ragflow_rows import DATES, IN_MILLISECONDS, NOON, TIME, USUAL, import_and_report, run_import, text

Api = SyncApi | AsyncApi

LATER: dict[str, Any] = {"update_date": NOON + timedelta(hours=1), "update_time": TIME + 3_600_000}
THEN = IN_MILLISECONDS + timedelta(hours=1)
# Every field of a conversation that may change.
CHANGED: dict[str, Any] = {
    "name": "Another name",
    "user_id": "somebody",
    "exp_user_id": "an explorer",
    "message": text([{"role": "user", "content": "first"}, {"role": "assistant", "content": "second"}, "third"]),
    "reference": text([]),
    "dsl": text({"other": [1, None]}),
    "tokens": 40,
    "source": "agent",
    "duration": 2.5,
    "round": 7,
    "thumb_up": 3,
    "errors": "none",
    "version_title": "v2",
}


@pytest.fixture
def old(database: str) -> str:
    """Give a database with tables of RAGFlow, beside the store, with five conversations and three tokens imported."""
    ragflow_layout.create(database)
    ragflow_layout.insert(database, "dialog", [DATES | {"id": id, "tenant_id": "t", "name": id} for id in ("d", "e")])
    ragflow_layout.insert(database, "user_canvas", [DATES | {"id": "a", "user_id": "t", "title": "a"}])
    tokens = [
        {"token": f"ragflow-token-number-{n}", "dialog_id": "d", "source": "dialog", "beta": f"beta-{n}"}
        for n in range(3)
    ]
    ragflow_layout.insert(database, "api_token", [DATES | {"tenant_id": "t"} | token for token in tokens])
    rows = [DATES | USUAL | {"id": id, "dialog_id": "d"} for id in ("1", "2", "3", "4", "5")]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    import_and_report(SyncApi(), database, database)
    return database


def conversation(conninfo: str, id: str) -> Conversation:
    with ConversationStore(conninfo) as store:
        read = store.conversations.get_by_id(id)
        assert read is not None
        return read


def everything(conninfo: str) -> list[Any]:
    with ConversationStore(conninfo) as store:
        return [*store.dialogs.iter(), *store.conversations.iter(), *store.tokens.query(tenant_id="t")]


def reasons(reports: list[Report]) -> dict[tuple[str, str], str]:
    return {(report.id, report.outcome): report.reason for report in reports}


# -- conversations ------------------------------------------------------------------------


def test_a_conversation_that_is_newer_there_is_replaced_whole_by_an_update(api: Api, old: str) -> None:
    before = conversation(old, "2")
    ragflow_layout.change(old, "api_4_conversation", "2", **CHANGED, **LATER)
    totals, reports = import_and_report(api, old, old, update=True)
    assert reports == []
    assert totals["api_4_conversation"] == Totals(read=5, updated=1, skipped=4)
    read = conversation(old, "2")
    for field, value in CHANGED.items():
        expected = json.loads(value) if field in ("message", "reference", "dsl") else value
        assert getattr(read, field) == expected, field
    assert (read.create_date, read.update_date) == (before.create_date, THEN)
    # Whoever has read it before is refused.
    assert read.revision > before.revision


def test_without_an_update_a_newer_conversation_is_skipped_and_counted(api: Api, old: str) -> None:
    before = everything(old)
    ragflow_layout.change(old, "api_4_conversation", "2", **CHANGED, **LATER)
    totals, reports = import_and_report(api, old, old)
    assert reports == []
    assert totals["api_4_conversation"] == Totals(read=5, skipped=5, newer=1)
    assert totals["api_4_conversation"].needs_a_look
    assert everything(old) == before


def test_an_update_that_is_repeated_changes_nothing(api: Api, old: str) -> None:
    ragflow_layout.change(old, "api_4_conversation", "2", **CHANGED, **LATER)
    ragflow_layout.change(old, "dialog", "d", name="renamed", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-1", source="none", **LATER)
    import_and_report(api, old, old, update=True)
    before = everything(old)
    totals, reports = import_and_report(api, old, old, update=True)
    assert reports == []
    assert all(of == Totals(read=of.read, skipped=of.read) for of in totals.values())
    assert everything(old) == before
    # What changes there once more is taken again.
    ragflow_layout.change(old, "api_4_conversation", "2", name="again", update_time=TIME + 7_200_000, update_date=None)
    totals, _ = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"].repaired == 1
    assert conversation(old, "2").name == "again"


@pytest.mark.parametrize("there", [THEN, IN_MILLISECONDS + timedelta(milliseconds=1)])
def test_a_conversation_that_was_changed_there_and_here_is_kept_and_reported(api: Api, old: str, there: Any) -> None:
    with ConversationStore(old) as store:
        store.conversations.append_round("2", ["here"], turn_id="t")
    before = conversation(old, "2")
    dates = {"update_time": int(there.timestamp() * 1000), "update_date": None}
    ragflow_layout.change(old, "api_4_conversation", "2", **CHANGED, **dates)
    for _ in range(2):
        totals, reports = import_and_report(api, old, old, update=True)
        assert totals["api_4_conversation"] == Totals(read=5, skipped=4, update_conflicts=1)
        assert reasons(reports) == {
            ("2", "update_conflict"): "it was changed there and here, and is kept as it is here"
        }
        assert conversation(old, "2") == before
    totals, reports = import_and_report(api, old, old)
    assert (totals["api_4_conversation"].newer, reports) == (1, [])


def test_a_conversation_that_was_changed_here_alone_is_skipped(api: Api, old: str) -> None:
    with ConversationStore(old) as store:
        store.conversations.append_round("2", ["here"])
        store.conversations.update_by_id("3", {"name": "here"})
    before = everything(old)
    totals, _ = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals(read=5, skipped=5)
    assert everything(old) == before


def test_a_conversation_that_was_not_imported_is_never_replaced(api: Api, old: str) -> None:
    with ConversationStore(old) as store:
        store.conversations.delete_by_id("2")
        store.conversations.save(id="2", dialog_id="d", tenant_id="t", update_date=IN_MILLISECONDS)
    before = conversation(old, "2")
    ragflow_layout.change(old, "api_4_conversation", "2", **CHANGED, **LATER)
    totals, reports = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals(read=5, skipped=4, update_conflicts=1)
    assert reasons(reports) == {("2", "update_conflict"): "it is newer there, and was not imported from there"}
    assert conversation(old, "2") == before


def test_what_is_repaired_in_an_update_is_reported(api: Api, old: str) -> None:
    dates = {"create_date": None, "create_time": None}
    ragflow_layout.change(old, "api_4_conversation", "2", message="[", **dates, **LATER)
    totals, reports = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals(read=5, repaired=1, skipped=4)
    kept = "it had no usable create_date and got that of the one here"
    assert reasons(reports) == {("2", "repaired"): f"{kept}; message is not JSON and was kept as its text"}
    read = conversation(old, "2")
    assert (read.message, read.create_date) == ("[", IN_MILLISECONDS)


def test_a_conversation_that_the_store_cannot_hold_is_rejected_and_kept(api: Api, old: str) -> None:
    with psycopg.connect(old, autocommit=True) as connection:
        connection.execute("ALTER TABLE public.api_4_conversation ALTER name TYPE text")
    before = conversation(old, "2")
    ragflow_layout.change(old, "api_4_conversation", "2", name="x" * 1_001, **LATER)
    totals, reports = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals(read=5, rejected=1, skipped=4)
    assert "at most 1000 characters" in reasons(reports)["2", "rejected"]
    assert conversation(old, "2") == before


def test_what_is_no_longer_there_stays(api: Api, old: str) -> None:
    before = everything(old)
    with psycopg.connect(old, autocommit=True) as connection:
        for table in ("api_4_conversation", "api_token", "user_canvas"):
            connection.execute(f"DELETE FROM public.{table}")
    totals, _ = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals()
    assert everything(old) == before


def test_a_turn_that_comes_in_before_the_replacement_is_kept(
    api: Api, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ragflow_layout.change(old, "api_4_conversation", "2", **CHANGED, **LATER)

    def append_and_repair(values: dict[str, Any]) -> list[str]:
        with ConversationStore(old) as store:
            store.conversations.append_round("2", ["in between"])
        return repair(values)

    monkeypatch.setattr("conversation_store.ragflow._import_conversations.repair", append_and_repair)
    totals, reports = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals(read=5, skipped=4, update_conflicts=1)
    assert "changed here while it was imported again" in reasons(reports)["2", "update_conflict"]
    read = conversation(old, "2")
    assert (read.name, read.message[-1]) == ("A name", "in between")


def test_a_turn_that_waits_for_the_replacement_is_appended_to_it(api: Api, old: str) -> None:
    ragflow_layout.change(old, "api_4_conversation", "2", **{**CHANGED, "dsl": "["}, **LATER)
    rounds: list[int] = []

    def append() -> None:
        with ConversationStore(old) as store:
            rounds.append(store.conversations.append_round("2", ["behind"]))

    appending = threading.Thread(target=append)

    def report(_: Report) -> None:  # called in the transaction that has replaced it
        appending.start()
        with psycopg.connect(old, autocommit=True) as connection:
            waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            while appending.is_alive() and connection.execute(waiting).fetchone() is None:
                time.sleep(0.01)

    run_import(api, old, old, update=True, on_report=report)
    appending.join()
    assert rounds == [8]
    assert [*map(str, conversation(old, "2").message)][2:] == ["third", "behind"]


def test_an_interrupted_update_is_resumed_by_the_next(api: Api, old: str) -> None:
    for id in ("1", "2", "4"):
        ragflow_layout.change(old, "api_4_conversation", id, name="there", **LATER)

    def stop(table: str, done: int, about: int | None) -> None:
        if table == "api_4_conversation" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(api, old, old, update=True, batch_size=1, on_progress=stop)
    totals, _ = import_and_report(api, old, old, update=True)
    assert totals["api_4_conversation"] == Totals(read=5, updated=1, skipped=4)
    assert [conversation(old, id).name == "there" for id in "12345"] == [True, True, False, True, False]


# -- dialogs and tokens -------------------------------------------------------------------


def test_a_dialog_or_an_agent_that_is_newer_there_gets_its_name(api: Api, old: str) -> None:
    ragflow_layout.change(old, "dialog", "d", name="renamed", **LATER)
    ragflow_layout.change(old, "dialog", "e", description="not moved over", **LATER)
    ragflow_layout.change(old, "user_canvas", "a", title="renamed too", **LATER)
    totals, _ = import_and_report(api, old, old)
    assert totals["dialog"] == Totals(read=2, skipped=2, newer=1)
    totals, _ = import_and_report(api, old, old, update=True)
    assert totals["dialog"] == Totals(read=2, updated=1, skipped=1)
    assert totals["user_canvas"] == Totals(read=1, updated=1)
    with ConversationStore(old) as store:
        assert {d.id: d.name for d in store.dialogs.iter()} == {"a": "renamed too", "d": "renamed", "e": "e"}


def test_a_dialog_that_was_renamed_here_later_keeps_its_name(api: Api, old: str) -> None:
    ragflow_layout.change(old, "dialog", "d", name="renamed", **LATER)
    with ConversationStore(old) as store:
        store.dialogs.update_by_id("d", {"name": "mine"})
        totals, _ = import_and_report(api, old, old, update=True)
        assert totals["dialog"] == Totals(read=2, skipped=2)
        assert [d.name for d in store.dialogs.iter() if d.id == "d"] == ["mine"]


def test_a_token_that_is_newer_there_gets_its_dialog_its_source_and_its_beta(api: Api, old: str) -> None:
    ragflow_layout.change(
        old, "api_token", "ragflow-token-number-0", dialog_id="e", source="agent", beta="new", **LATER
    )
    ragflow_layout.change(old, "api_token", "ragflow-token-number-1", beta="beta-2", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-2", dialog_id="missing", **LATER)
    totals, reports = import_and_report(api, old, old)
    assert totals["api_token"] == Totals(read=3, skipped=3, newer=3)
    totals, reports = import_and_report(api, old, old, update=True)
    assert totals["api_token"] == Totals(read=3, updated=1, repaired=1, rejected=1)
    assert [report.reason for report in reports] == [
        "its beta is another token's already and was left out",
        "the tenant has no dialog 'missing', which the token needs",
    ]
    with ConversationStore(old) as store:
        found = [store.tokens.authenticate(f"ragflow-token-number-{n}") for n in range(3)]
    fields = [token and (token.dialog_id, token.source, token.beta) for token in found]
    assert fields == [("e", "agent", "new"), ("d", "dialog", "beta-1"), ("d", "dialog", "beta-2")]


def test_a_token_that_has_no_beta_and_no_dialog_any_more_there_has_none_here(api: Api, old: str) -> None:
    ragflow_layout.change(old, "api_token", "ragflow-token-number-0", dialog_id=None, source=None, beta="", **LATER)
    totals, reports = import_and_report(api, old, old, update=True)
    assert (totals["api_token"], reports) == (Totals(read=3, updated=1, skipped=2), [])
    with ConversationStore(old) as store:
        (token,) = store.tokens.query(token="ragflow-token-number-0")
    assert (token.dialog_id, token.source, token.beta) == (None, None, None)


def test_a_token_gets_a_beta_that_another_one_gives_up_before_it(api: Api, old: str) -> None:
    ragflow_layout.change(old, "api_token", "ragflow-token-number-0", beta="new", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-1", beta="beta-0", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-2", beta="beta-0", **LATER)
    checked = import_and_report(api, old, old, update=True, check=True)
    assert checked == import_and_report(api, old, old, update=True)
    assert checked[0]["api_token"] == Totals(read=3, updated=2, repaired=1)
    with ConversationStore(old) as store:
        betas = sorted(str(token.beta) for token in store.tokens.query(tenant_id="t"))
    assert betas == ["beta-0", "beta-2", "new"]


def test_a_token_whose_use_hides_when_it_was_changed_here_is_kept_and_reported(api: Api, old: str) -> None:
    ragflow_layout.change(old, "api_token", "ragflow-token-number-0", dialog_id="e", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-1", dialog_id="e", **LATER)
    with ConversationStore(old) as store:
        store.tokens.authenticate("ragflow-token-number-0")
        (changed,) = store.tokens.query(token="ragflow-token-number-1")
        store.tokens.update_by_id(changed.id, {"source": "mine"}, tenant_id="t")  # later than there
        totals, reports = import_and_report(api, old, old)
        assert totals["api_token"] == Totals(read=3, skipped=3, newer=1)
        totals, reports = import_and_report(api, old, old, update=True)
        assert totals["api_token"] == Totals(read=3, skipped=2, update_conflicts=1)
        assert [report.id for report in reports] == ["t …er-0"]
        assert [token.dialog_id for token in store.tokens.query(tenant_id="t")] == ["d", "d", "d"]


# -- both together ------------------------------------------------------------------------


def test_a_check_of_an_update_gives_its_totals_and_reports_and_writes_nothing(api: Api, old: str) -> None:
    with ConversationStore(old) as store:
        store.conversations.append_round("1", ["here"])
    for id in ("1", "2"):
        ragflow_layout.change(old, "api_4_conversation", id, **CHANGED, **LATER)
    ragflow_layout.change(old, "api_4_conversation", "3", message="[", **LATER)
    ragflow_layout.insert(old, "api_4_conversation", [DATES | USUAL | {"id": "6", "dialog_id": "e"}])
    ragflow_layout.change(old, "dialog", "d", name="renamed", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-0", beta="new", **LATER)
    ragflow_layout.change(old, "api_token", "ragflow-token-number-1", beta="new", **LATER)
    before = everything(old)
    checked = import_and_report(api, old, old, update=True, check=True)
    assert everything(old) == before
    assert checked == import_and_report(api, old, old, update=True)
    assert checked[0]["api_4_conversation"] == Totals(
        read=6, imported=1, updated=1, repaired=1, skipped=2, update_conflicts=1
    )
    assert checked[0]["api_token"] == Totals(read=3, updated=1, repaired=1, skipped=1)
