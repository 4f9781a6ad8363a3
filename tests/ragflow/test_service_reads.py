"""Conversations found through the service under its name in RAGFlow, and what a row is there."""

from __future__ import annotations

import uuid
from datetime import timedelta
from inspect import Parameter, signature
from typing import Any

import pytest

from conversation_store import (
    ConversationNotFound,
    ConversationStore,
    InvalidArgument,
)
from conversation_store.ragflow.services import API4Conversation, API4ConversationService
from support.ragflow_services import Configure, listed, new_id, read

UNKNOWN_IDS: list[Any] = ["", "x" * 129, "a\0b", "\ud800", None, {}, ["no such id"], 1.5, True]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("query", "cols reverse order_by"),
        ("get_all", "cols reverse order_by"),
        ("get_by_id", "pid"),
        ("get_by_ids", "pids cols"),
        ("insert_many", "data_list batch_size"),
        ("update_by_id", "pid data"),
        ("update_many_by_id", "data_list"),
        ("delete_by_id", "pid"),
        ("delete_by_ids", "pids"),
        ("filter_update", "filters update_data"),
        ("filter_delete", "filters"),
        ("filter_scope_list", "in_key in_filters_list filters cols"),
        ("cut_list", "tar_list n"),
        (
            "get_list",
            "dialog_id tenant_id page_number items_per_page orderby desc id user_id include_dsl keywords from_date to_date"
            " exp_user_id",
        ),
        ("get_names", "dialog_id exp_user_id"),
        ("append_message", "id conversation"),
        ("stats", "tenant_id from_date to_date source"),
        ("delete_by_dialog_ids", "dialog_ids"),
    ],
)
def test_arguments_have_their_old_names_and_order(method: str, arguments: str) -> None:
    parameters = signature(getattr(API4ConversationService, method)).parameters.values()
    assert [p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD] == arguments.split()


def test_a_row_has_the_old_keys(session: str) -> None:
    assert set(read(session).to_dict()) == {
        "id", "name", "dialog_id", "user_id", "exp_user_id", "message", "reference", "tokens", "source", "dsl", "duration",
        "round", "thumb_up", "errors", "version_title", "create_time", "create_date", "update_time", "update_date",
    }  # fmt: skip


def test_dates_are_naive_local_and_of_whole_seconds(configured: ConversationStore, session: str) -> None:
    stored = configured.conversations.get_by_id(session)
    assert stored is not None
    values = read(session).to_dict()
    local = stored.create_date.replace(tzinfo=None, microsecond=0) + timedelta(hours=8)
    assert values["create_date"] == local
    assert values["create_time"] == stored.create_time


def test_attributes_can_be_assigned_and_are_in_the_dict(session: str) -> None:
    row = read(session)
    row.reference = [{"chunks": []}]
    row.message.append({"role": "user", "content": "q"})
    assert row.to_dict()["reference"] == [{"chunks": []}]
    assert [message["content"] for message in row.to_dict()["message"]] == ["Hello", "q"]
    assert API4ConversationService.append_message(row.id, row.to_dict()) == 1
    again = read(session)
    assert (len(again.message), again.reference, again.round) == (2, [{"chunks": []}], 1)


def test_a_row_that_a_caller_makes_has_defaults_of_its_own() -> None:
    first, second = API4Conversation(id="a", message=[]), API4Conversation(id="b")
    first.reference.append(1)
    assert second.reference == []
    assert first.to_dict() == {
        "reference": [1], "dsl": {}, "tokens": 0, "duration": 0, "round": 0, "thumb_up": 0, "id": "a", "message": [],
    }  # fmt: skip
    assert second.message is None
    assert second.name is None


def test_what_was_none_reads_as_empty_and_of_its_own(agent: str, configure: Configure) -> None:
    id = new_id()
    API4ConversationService.save(id=id, dialog_id=agent, message=None, reference=None, dsl=None, tokens=None)
    row, other = read(id), read(id)
    assert (row.message, row.reference, row.dsl, row.tokens) == ([], [], {}, 0)
    row.message.append(1)
    assert other.message == []


@pytest.mark.parametrize("dsl", ['{"a": 1}', {"a": [1, "é"]}, [], "", 5])
def test_dsl_comes_back_unchanged(agent: str, configure: Configure, dsl: Any) -> None:
    id = new_id()
    API4ConversationService.save(id=id, dialog_id=agent, dsl=dsl)
    assert read(id).dsl == dsl


@pytest.mark.parametrize("value", [{"chunks": []}, {}, "text", {"0": {"chunks": []}}])
def test_message_and_reference_may_be_no_lists(agent: str, configure: Configure, value: Any) -> None:
    id = new_id()
    API4ConversationService.save(id=id, dialog_id=agent, message=value, reference=value)
    assert (read(id).message, read(id).reference) == (value, value)
    assert API4ConversationService.append_message(id, {"reference": {"chunks": [1]}, "message": None}) == 1
    assert (read(id).message, read(id).reference) == ([], {"chunks": [1]})


@pytest.mark.parametrize("id", UNKNOWN_IDS)
def test_an_id_that_no_row_can_have_is_not_found(agent: str, session: str, tenant: str, id: Any) -> None:
    service = API4ConversationService
    assert service.get_by_id(id) == (False, None)
    assert service.get_or_none(id=id) is None
    assert API4Conversation.get_or_none(API4Conversation.id == id) is None
    assert service.get_by_ids([id]) == []
    assert service.append_message(id, {"name": "n"}) == 0
    assert service.update_by_id(id, {"name": "n"}) == 0
    assert service.delete_by_id(id) == 0
    assert service.delete_by_ids([id]) == 0
    assert service.delete_by_dialog_ids([id]) == 0
    assert service.get_names(id, "u") == []
    assert listed(id, tenant) == (0, [])
    assert listed(agent, id) == (0, [])
    if id:
        assert service.query(id=id) == []
        assert listed(agent, tenant, id=id) == (0, [])
    assert service.stats(id, "2024-01-01", "2024-01-02") == []


def test_ints_and_uuids_are_ids(agent: str, configure: Configure) -> None:
    number = uuid.uuid4().int
    id = uuid.uuid4()
    API4ConversationService.save(id=number, dialog_id=agent, user_id=456)
    API4ConversationService.save(id=id, dialog_id=agent)
    assert read(number).user_id == "456"
    assert read(id).id == id.hex
    assert [row.id for row in API4ConversationService.query(id=number, dialog_id=agent, user_id=456)] == [str(number)]


def test_query_narrows_by_all_that_is_given_and_is_not_none(agent: str, session: str) -> None:
    def ids(**filters: Any) -> list[str]:
        return [row.id for row in API4ConversationService.query(**filters)]

    assert ids(id=session, dialog_id=agent) == [session]
    assert ids(id=session, dialog_id=new_id()) == []
    assert ids(id=None, dialog_id=agent, user_id="u") == [session]
    assert ids(dialog_id=agent, user_id="other") == []
    assert ids(dialog_id=[agent, new_id()], user_id={"u", "v"}, tokens=[0, None], round=[None, 3]) == [session]
    assert ids(dialog_id=agent, tokens=[1, 5]) == []
    assert ids(dialog_id=None) == []
    assert ids() == []
    assert [row.id for row in API4Conversation.query(dialog_id=agent)] == [session]


def test_query_is_ordered_where_that_is_asked_for(agent: str, configure: Configure) -> None:
    for number in (2, 1, 3):
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, name=str(number) if number > 1 else None)

    def names(**arguments: Any) -> list[str | None]:
        return [row.name for row in API4ConversationService.query(dialog_id=agent, **arguments)]

    assert names(reverse=False, order_by="name") == [None, "2", "3"]
    assert names(reverse=True, order_by="name") == ["3", "2", None]
    assert names(reverse=False) == ["2", None, "3"]


def test_what_has_no_id_and_no_dialog_names_the_way_around(configure: Configure) -> None:
    with pytest.raises(NotImplementedError, match="dialog_id"):
        API4ConversationService.query(user_id="u")
    with pytest.raises(NotImplementedError, match=r"API4Conversation\.select: .*search"):
        API4Conversation.select(API4Conversation.dialog_id)
    with pytest.raises(NotImplementedError, match="search"):
        API4Conversation.message.contains("a.pdf")


def test_a_field_that_is_not_there_is_an_error(agent: str, configure: Configure) -> None:
    with pytest.raises(InvalidArgument, match="dialog"):
        API4ConversationService.query(dialog=agent)
    with pytest.raises(InvalidArgument, match="colour"):
        API4ConversationService.save(id="a", dialog_id=agent, colour="red")
    with pytest.raises(InvalidArgument, match="colour"):
        API4ConversationService.update_by_id("a", {"colour": "red"})


def test_get_raises_does_not_exist(configure: Configure) -> None:
    with pytest.raises(API4Conversation.DoesNotExist):
        API4ConversationService.get(id=new_id())
    assert API4Conversation.DoesNotExist is ConversationNotFound


def test_get_by_ids_gives_the_columns_that_are_asked_for(session: str) -> None:
    (row,) = API4ConversationService.get_by_ids([session, new_id()], cols=[API4Conversation.id, "name"])
    assert row.to_dict() == {"id": session, "name": None}
    assert row.message is None


def test_get_all_gives_the_rows_of_all_dialogs(session: str) -> None:
    assert session in {row.id for row in API4ConversationService.get_all(cols=["id"], reverse=True)}


def test_filter_scope_list_gives_the_rows_with_one_of_the_values(agent: str, session: str) -> None:
    many = [new_id() for _ in range(45)]
    rows = API4ConversationService.filter_scope_list("id", [*many, session], [API4Conversation.dialog_id == agent])
    assert [row.id for row in rows] == [session]
    assert API4ConversationService.filter_scope_list("id", [session], [API4Conversation.user_id != "u"]) == []
    assert API4ConversationService.filter_scope_list("id", [], cols=["id"]) == []


def test_cut_list_makes_tuples_of_a_size() -> None:
    assert API4ConversationService.cut_list([1, 2, 3], 2) == [(1, 2), (3,)]
    assert API4ConversationService.cut_list([], 20) == []
