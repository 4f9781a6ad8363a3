"""What RAGFlow's callers do with the services, each of their call sites as one claim: the calls are those that they make."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from conversation_store import ConversationStore, RevisionConflict
from conversation_store.ragflow import services
from conversation_store.ragflow.services import (
    NO_SOURCE,
    API4Conversation,
    API4ConversationService,
    APIToken,
    APITokenService,
)
from support.ragflow_services import Configure, new_id, read

Told = list[tuple[str, str]]

pytestmark = pytest.mark.usefixtures("configure")


def contents(id: str) -> list[str]:
    return [message["content"] for message in read(id).message]


def session_page(agent: str, tenant: str, **changes: Any) -> tuple[int, list[dict[str, Any]]]:
    """List as the page of an agent's sessions does: what its address does not have is None."""
    arguments: dict[str, Any] = {
        "page_number": 1, "items_per_page": 30, "orderby": "update_time", "desc": True, "id": None, "user_id": None,
        "include_dsl": True, "keywords": None, "from_date": None, "to_date": None,
    }  # fmt: skip
    get_list: Callable[..., tuple[int, list[dict[str, Any]]]] = API4ConversationService.get_list
    return get_list(agent, tenant, *{**arguments, **changes}.values(), exp_user_id=None)


def first_turn(agent: str, *, reference: Any = None, **columns: Any) -> str:
    """Do as an agent's completion without a session: save a dict, make a row of it, and append the whole row."""
    id = new_id()
    values: dict[str, Any] = {
        "id": id, "dialog_id": agent, "user_id": "", "message": [], "source": "agent", "dsl": "{}", "reference": [],
        "version_title": None, **columns,
    }  # fmt: skip
    assert API4ConversationService.save(**values)
    finish_turn(API4Conversation(**values), "q1", reference)
    return id


def finish_turn(row: API4Conversation, question: str, reference: Any = None) -> None:
    """Do as a completion with the row of its session: change it in place, and append all of it."""
    if isinstance(row.reference, dict):
        row.reference = [row.reference]
    row.message += [{"role": "user", "content": question}, {"role": "assistant", "content": f"answer to {question}"}]
    row.reference.append(reference or {})
    row.errors = ""
    row.dsl = json.dumps({"of": question})
    values = row.to_dict()
    assert API4ConversationService.append_message(values["id"], values) == 1


# -- sessions of an agent ------------------------------------------------------------------------------


def test_the_session_page_lists_by_the_change_which_its_dates_filter_too(
    configured: ConversationStore, agent: str, tenant: str
) -> None:
    ids = [
        configured.conversations.save(
            dialog_id=agent, create_date="2023-05-05", update_date=f"2024-01-0{day}T12:00+08:00"
        ).id
        for day in (1, 2, 3)
    ]
    count, sessions = session_page(agent, tenant, from_date="2024-01-02", to_date="2024-01-03")
    assert (count, [session["id"] for session in sessions]) == (2, [ids[2], ids[1]])
    assert session_page(agent, tenant, orderby="create_time", from_date="2024-01-02")[0] == 0
    page = session_page(agent, tenant, page_number=2, items_per_page=2)
    assert (page[0], [session["id"] for session in page[1]]) == (3, [ids[0]])


def test_a_listed_session_may_be_taken_apart_and_sent_as_json(session: str, agent: str, tenant: str) -> None:
    (values,) = session_page(agent, tenant)[1]
    values["agent_id"] = values.pop("dialog_id")
    del values["reference"]
    assert json.loads(json.dumps(values, default=str))["message"] == [{"role": "assistant", "content": "Hello"}]
    assert "dsl" not in session_page(agent, tenant, include_dsl=False)[1][0]


def test_an_explorer_gets_the_names_of_its_sessions(agent: str) -> None:
    for name in ("first", ""):
        API4ConversationService.save(id=new_id(), dialog_id=agent, name=name, exp_user_id="e", user_id="e", message=[])
    assert [row["name"] for row in API4ConversationService.get_names(agent, "e")] == ["", "first"]


def test_a_session_of_an_agent_that_is_new_is_created_with_it(
    configured: ConversationStore, told: Told, tenant: str
) -> None:
    agent, id = new_id(), new_id()
    values = {
        "id": id, "name": "", "dialog_id": agent, "user_id": "u", "exp_user_id": "u", "source": "agent", "reference": [],
        "message": [{"role": "assistant", "content": "Hi"}], "dsl": {"graph": {}}, "version_title": "v1",
    }  # fmt: skip
    before = json.dumps(values)
    assert API4ConversationService.save(**values)
    assert json.dumps(values) == before
    stored = read(id).to_dict()
    assert {name: stored[name] for name in values} == values
    assert configured.dialogs.get_by_id(agent, tenant_id=tenant) is not None


def test_a_session_is_shown_when_it_is_of_the_agent(session: str, agent: str) -> None:
    row = read(session)
    assert row.dialog_id == agent
    assert getattr(row, "source", "") is None
    assert json.loads(json.dumps(row.to_dict(), default=str))["id"] == session


def test_a_session_is_deleted_once(session: str) -> None:
    assert [API4ConversationService.delete_by_id(session) for _ in range(2)] == [1, 0]
    assert API4ConversationService.get_by_id(session) == (False, None)


def test_sessions_are_deleted_one_by_one_when_they_are_of_the_agent(session: str, agent: str) -> None:
    assert not API4ConversationService.query(id=session, dialog_id=new_id())
    assert not API4ConversationService.query(id="x" * 300, dialog_id=agent)
    for row in API4ConversationService.query(id=session, dialog_id=agent):
        assert API4ConversationService.delete_by_id(row.id)
    assert not API4ConversationService.query(dialog_id=agent)


def test_delete_all_leaves_none_of_1_500_sessions(agent: str) -> None:
    API4ConversationService.insert_many([{"id": new_id(), "dialog_id": agent} for _ in range(1_500)])
    ids = [row.id for row in API4ConversationService.query(dialog_id=agent)]
    assert len(ids) == 1_500
    assert sum(API4ConversationService.delete_by_id(id) for id in ids) == 1_500
    assert API4ConversationService.query(dialog_id=agent) == []


# -- turns --------------------------------------------------------------------------------------------


def test_an_agents_turns_append_to_its_session(agent: str) -> None:
    id = first_turn(agent, version_title="v1", reference={"chunks": {}})
    finish_turn(read(id), "q2")
    row = read(id)
    assert contents(id) == ["q1", "answer to q1", "q2", "answer to q2"]
    assert (row.reference, row.round, row.source, row.version_title) == ([{"chunks": {}}, {}], 2, "agent", "v1")
    assert row.dsl == '{"of": "q2"}'


def test_a_reference_that_is_a_dict_becomes_the_first_of_a_list(agent: str) -> None:
    id = first_turn(agent)
    API4ConversationService.update_by_id(id, {"reference": {"chunks": [1]}})
    finish_turn(read(id), "q2", {"chunks": [2]})
    assert read(id).reference == [{"chunks": [1]}, {"chunks": [2]}]


def test_a_workflow_stores_the_question_and_then_the_answer_with_one_dict(agent: str) -> None:
    id = first_turn(agent, source="workflow")
    values = read(id).to_dict()
    values["message"].append({"role": "user", "content": "q2"})
    assert API4ConversationService.update_by_id(id, values) == 1
    assert (contents(id), read(id).round) == (["q1", "answer to q1", "q2"], 1)
    values["message"].append({"role": "assistant", "content": "a2"})
    values["dsl"] = {"state": 2}
    assert API4ConversationService.append_message(id, values) == 1
    assert (contents(id)[2:], read(id).round, read(id).dsl) == (["q2", "a2"], 2, {"state": 2})


def test_an_embedded_chat_begins_without_a_reference_and_goes_on(agent: str) -> None:
    id = new_id()
    prologue = {"role": "assistant", "content": "Hi", "created_at": 1.5}
    assert API4ConversationService.save(id=id, dialog_id=agent, user_id="", message=[prologue])
    row = read(id)
    assert (row.dialog_id, row.user_id, row.reference, row.message) == (agent, "", [], [prologue])
    row.message.append({"role": "user", "content": "q"})
    row.reference.append({"chunks": [], "doc_aggs": []})
    row.message.append({"role": "assistant", "content": "an"})
    row.message[-1] = {"role": "assistant", "content": "answer"}
    row.reference[-1] = {"chunks": [{"id": "c"}], "doc_aggs": []}
    assert API4ConversationService.append_message(row.id, row.to_dict()) == 1
    assert (contents(id), read(id).round) == (["Hi", "q", "answer"], 1)
    assert read(id).reference == [{"chunks": [{"id": "c"}], "doc_aggs": []}]


def test_a_turn_with_values_that_json_has_not_is_kept_and_told(told: Told, agent: str) -> None:
    id = first_turn(agent)
    chunk = {"text": "pdf\0", "similarity": float("nan"), "on": datetime(2024, 1, 1), "tags": {"a"}, "half": "\ud800"}
    finish_turn(read(id), "q2\0", {"chunks": {417: chunk}, "doc_aggs": {}})
    assert contents(id)[2:] == ["q2\ufffd", "answer to q2\ufffd"]
    stored = read(id).reference[1]["chunks"]["417"]
    assert stored == {
        "text": "pdf\ufffd", "similarity": None, "on": "2024-01-01T00:00:00", "tags": ["a"], "half": "\ufffd",
    }  # fmt: skip
    assert len(told) == 8


def test_of_two_turns_at_once_one_is_stored_and_the_other_is_told(agent: str) -> None:
    id = first_turn(agent)
    one, other = read(id), read(id)
    finish_turn(one, "q2")
    with pytest.raises(RevisionConflict):
        finish_turn(other, "q3")
    assert (contents(id)[2:], read(id).round) == (["q2", "answer to q2"], 2)
    finish_turn(read(id), "q3")
    assert contents(id)[4:] == ["q3", "answer to q3"]


# -- members of a team ----------------------------------------------------------------------------------


def test_a_member_of_a_team_sees_the_sessions_of_its_agent_where_that_is_allowed(
    configure: Configure, session: str, agent: str, tenant: str
) -> None:
    assert session_page(agent, "member") == (0, [])
    configure(any_tenant=True)
    assert session_page(agent, "member") == session_page(agent, tenant)
    assert session_page(agent, "member")[0] == 1


# -- dates and statistics -----------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["2024-03-05 23:59:59", "2024-03-05", "2024-03-05T15:59:59.999Z"])
def test_the_last_second_of_a_day_is_part_of_it(
    configured: ConversationStore, agent: str, tenant: str, last: str
) -> None:
    created = "2024-03-05T23:59:59.400+08:00"
    configured.conversations.save(dialog_id=agent, create_date=created, update_date=created, tenant_id=tenant)
    assert session_page(agent, tenant, from_date="2024-03-05 00:00:00", to_date=last)[0] == 1
    assert len(API4ConversationService.stats(tenant, "2024-03-05 00:00:00", last)) == 1


def test_the_usage_chart_has_the_last_seven_days_of_every_source_or_of_agents(
    configured: ConversationStore, agent: str, tenant: str
) -> None:
    now = datetime.now(UTC)
    for source, days in (("agent", 1), (None, 1), ("workflow", 2), ("agent", 9)):
        numbers: dict[str, Any] = {"tokens": 1_500, "duration": 0.5, "round": 3, "thumb_up": 1}
        configured.conversations.save(
            dialog_id=agent, source=source, user_id="u", create_date=now - timedelta(days=days), **numbers
        )
    local = now.astimezone(ZoneInfo("Asia/Shanghai"))
    since, until = f"{local - timedelta(days=7):%Y-%m-%d 00:00:00}", f"{local:%Y-%m-%d %H:%M:%S}"

    def chart(source: Any) -> list[tuple[date, int, float, float]]:
        days = API4ConversationService.stats(tenant, since, until, source)
        speed = [float(day["tokens"]) / (float(day["duration"]) + 0.1) for day in days]
        return [(day["dt"].date(), day["pv"], day["round"], round(s)) for day, s in zip(days, speed, strict=True)]

    yesterday, before = (local - timedelta(days=1)).date(), (local - timedelta(days=2)).date()
    assert chart("agent") == [(yesterday, 1, 3.0, 2500)]
    assert chart(None) == [(before, 1, 3.0, 2500), (yesterday, 2, 3.0, round(3_000 / 1.1))]
    assert chart(NO_SOURCE) == [(yesterday, 1, 3.0, 2500)]


# -- outages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: API4ConversationService.get_by_id("a"),
        lambda: API4ConversationService.query(id="a", dialog_id="a"),
        lambda: API4ConversationService.query(dialog_id="a"),
        lambda: API4ConversationService.append_message("a", {"message": []}),
        lambda: API4ConversationService.update_by_id("a", {"message": []}),
        lambda: API4ConversationService.save(id="a", dialog_id="a"),
        lambda: API4ConversationService.delete_by_id("a"),
        lambda: API4ConversationService.delete_by_dialog_ids(["a"]),
        lambda: API4ConversationService.get_names("a", "a"),
        lambda: session_page("a", "a"),
        lambda: API4ConversationService.stats("a", "2024-01-01", "2024-01-02", None),
        lambda: API4Conversation.get_or_none(API4Conversation.id == "a"),
        lambda: APIToken.query(token="a"),
        lambda: APIToken.query(beta="a"),
        lambda: APITokenService.query(tenant_id="a"),
        lambda: APITokenService.used("a"),
        lambda: APITokenService.save(tenant_id="a", token="a"),
        lambda: APITokenService.filter_delete([APIToken.tenant_id == "a", APIToken.token == "a"]),
        lambda: APITokenService.delete_by_tenant_id("a"),
    ],
)
def test_an_outage_raises_wherever_the_services_are_called(call: Callable[[], Any]) -> None:
    with ConnectionPool("host=127.0.0.1 port=1", min_size=0, max_size=1, timeout=0.1, open=True) as pool:
        services.configure(ConversationStore(pool=pool))
        with pytest.raises(psycopg.OperationalError):
            call()
