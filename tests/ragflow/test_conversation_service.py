"""API4ConversationService and API4Conversation, as RAGFlow's callers know them."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from inspect import Parameter, signature
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from conversation_store import (
    NO_SOURCE,
    AlreadyExists,
    AmbiguousId,
    AsyncConversationStore,
    ConversationNotFound,
    ConversationStore,
    DialogNotFound,
    InvalidArgument,
    InvalidArgumentType,
    RevisionConflict,
    StoreError,
)
from conversation_store.ragflow import _settings, services
from conversation_store.ragflow._conversation_rows import _LastSaved
from conversation_store.ragflow._rows import Origin
from conversation_store.ragflow.services import API4Conversation, API4ConversationService

Configure = Callable[..., None]

UNKNOWN_IDS: list[Any] = ["", "x" * 129, "a\0b", "\ud800", None, {}, ["a"], 1.5, True]


def new_id() -> str:
    return uuid.uuid4().hex


def read(id: Any) -> API4Conversation:
    exists, row = API4ConversationService.get_by_id(id)
    assert exists
    assert row is not None
    return row


def listed(dialog_id: Any, tenant_id: Any, **arguments: Any) -> tuple[int, list[dict[str, Any]]]:
    defaults: dict[str, Any] = {"page_number": 1, "items_per_page": 30, "orderby": "create_date", "desc": True}
    return API4ConversationService.get_list(dialog_id, tenant_id, **{**defaults, **arguments})


# -- signatures ------------------------------------------------------------------------------------


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


# -- rows ------------------------------------------------------------------------------------------


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


# -- found and not found ---------------------------------------------------------------------------


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
    with pytest.raises(NotImplementedError, match="search"):
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


# -- conditions ------------------------------------------------------------------------------------


def test_conditions_are_those_that_the_callers_write(agent: str, configure: Configure) -> None:
    model = API4Conversation
    for number in range(4):
        name = None if number == 3 else f"N{number}"
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, tokens=number, name=name)

    def found(*conditions: Any) -> list[int]:
        return sorted(row.tokens for row in model.find([model.dialog_id == agent, *conditions]))

    assert found(model.tokens > 1) == [2, 3]
    assert found(model.tokens >= 1, model.tokens < 3) == [1, 2]
    assert found(model.tokens.between(1, 2)) == [1, 2]
    assert found(model.tokens <= 0) == [0]
    assert found((model.tokens == 1) | (model.name == "N2")) == [1, 2]
    assert found((model.tokens == 1) & (model.name == "N2")) == []
    assert found(model.name << ["N0", "N1"]) == [0, 1]
    assert found(model.name == None) == [3]  # noqa: E711  # as those callers write it
    assert found(model.name != None) == [0, 1, 2]  # noqa: E711
    assert found(model.name != "N0") == [1, 2]
    assert found(model.name.contains("n1")) == [1]
    assert found(model.create_date >= datetime(2024, 1, 1), model.create_date >= "2024-01-01 00:00:00") == [0, 1, 2, 3]
    assert found(model.create_date < "2024-01-01") == []
    assert len(model.find([(model.id == f"{agent}-0") | (model.id == f"{agent}-1")])) == 2


def test_a_condition_is_no_truth_value() -> None:
    with pytest.raises(InvalidArgumentType, match="&"):
        bool(API4Conversation.id == "a")


@pytest.mark.parametrize("filters", [[], None, "id", [True], {"id": "a"}])
def test_a_change_without_conditions_is_refused(configure: Configure, filters: Any) -> None:
    with pytest.raises(InvalidArgumentType, match="filters"):
        API4ConversationService.filter_delete(filters)
    with pytest.raises(InvalidArgumentType, match="filters"):
        API4ConversationService.filter_update(filters, {"name": "n"})


def test_filter_update_and_filter_delete_change_what_the_conditions_name(agent: str, configure: Configure) -> None:
    model = API4Conversation
    for number in range(4):
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, tokens=number)
    assert API4ConversationService.filter_update([model.dialog_id == agent, model.tokens > 1], {"name": "n"}) == 2
    assert sorted(row.tokens for row in API4ConversationService.query(dialog_id=agent, name="n")) == [2, 3]
    assert API4ConversationService.filter_delete([model.id == f"{agent}-0", model.dialog_id == new_id()]) == 0
    assert API4ConversationService.filter_delete([model.id == f"{agent}-0", model.dialog_id == agent]) == 1
    assert API4ConversationService.filter_delete([model.dialog_id == agent, model.tokens == 1]) == 1
    assert API4ConversationService.filter_delete([model.dialog_id == agent, model.tokens > 2]) == 1
    assert API4ConversationService.filter_delete([model.dialog_id == agent]) == 1


# -- written ---------------------------------------------------------------------------------------


def test_a_save_of_an_id_that_is_there_raises(agent: str, session: str) -> None:
    with pytest.raises(AlreadyExists):
        API4ConversationService.save(id=session, dialog_id=agent)


def test_dates_that_are_given_are_those_of_the_store(agent: str, configure: Configure) -> None:
    id = new_id()
    API4ConversationService.save(
        id=id, dialog_id=agent, create_time=1, create_date=datetime(2001, 1, 1), update_time=None, update_date=None
    )
    assert read(id).create_time > 1_700_000_000_000


def test_insert_makes_an_id(agent: str, configure: Configure) -> None:
    assert API4ConversationService.insert(dialog_id=agent, name="n") == 1
    assert len(API4ConversationService.query(dialog_id=agent)) == 1


def test_insert_many_stores_all_fields_and_leaves_the_rows_as_they_are(agent: str, configure: Configure) -> None:
    rows: list[dict[str, Any]] = [
        {"id": f"{agent}-0", "dialog_id": agent},
        {"id": f"{agent}-1", "dialog_id": agent, "name": "n", "tokens": 5},
    ]
    before = copy.deepcopy(rows)
    API4ConversationService.insert_many(rows, batch_size=1)
    assert rows == before
    assert (read(f"{agent}-1").name, read(f"{agent}-1").tokens) == ("n", 5)
    with pytest.raises(AlreadyExists):
        API4ConversationService.insert_many([{"id": f"{agent}-2", "dialog_id": agent}, rows[0]])
    assert API4ConversationService.get_by_id(f"{agent}-2") == (False, None)


def test_append_message_increments_the_round_and_update_by_id_does_not(session: str) -> None:
    assert API4ConversationService.append_message(session, {"message": "New message content", "tokens": 100}) == 1
    assert API4ConversationService.update_by_id(session, {"errors": "e"}) == 1
    row = read(session)
    assert (row.message, row.tokens, row.errors, row.round) == ("New message content", 100, "e", 1)


def test_the_dict_of_a_caller_is_not_changed(session: str) -> None:
    data = {"name": "n"}
    API4ConversationService.update_by_id(session, data)
    assert data == {"name": "n"}


@pytest.mark.parametrize("data", [{"round": 5}, {"dialog_id": "d"}, {"update_time": 5}])
def test_a_change_that_cannot_be_made_is_refused(session: str, data: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match="nothing that can be changed"):
        API4ConversationService.update_by_id(session, data)


def test_what_callers_cannot_change_is_ignored_beside_what_they_can(agent: str, session: str) -> None:
    data = {"dialog_id": new_id(), "round": 9, "update_time": 5, "create_date": datetime(2001, 1, 1), "name": "n"}
    assert API4ConversationService.update_by_id(session, data) == 1
    row = read(session)
    assert (row.name, row.dialog_id, row.round) == ("n", agent, 0)
    assert row.create_date.year > 2001
    assert row.update_time > 5


def test_another_id_in_the_data_is_refused(session: str) -> None:
    with pytest.raises(InvalidArgument, match="id"):
        API4ConversationService.update_by_id(session, {"id": new_id(), "name": "n"})


def test_update_many_by_id_skips_what_does_not_exist(agent: str, session: str) -> None:
    API4ConversationService.update_many_by_id([{"id": new_id(), "name": "x"}, {"id": session, "name": "n"}])
    assert read(session).name == "n"
    with pytest.raises(InvalidArgument, match=r"data_list\[0\] must have an id"):
        API4ConversationService.update_many_by_id([{"name": "x"}])


def test_many_ids_are_deleted_at_once(agent: str, configure: Configure) -> None:
    ids = [f"{agent}-{number}" for number in range(30)]
    API4ConversationService.insert_many([{"id": id, "dialog_id": agent} for id in ids])
    more = [f"{agent}-none-{number}" for number in range(10_000)]
    assert API4ConversationService.delete_by_ids([*ids[:10], *more]) == 10
    assert API4ConversationService.delete_by_dialog_ids([agent, *more]) == 20


@pytest.mark.parametrize("ids", ["abc", None, {"a": 1}, 5])
def test_what_is_no_list_of_ids_is_refused(configure: Configure, ids: Any) -> None:
    for call in (
        API4ConversationService.get_by_ids,
        API4ConversationService.delete_by_ids,
        API4ConversationService.delete_by_dialog_ids,
        API4Conversation.id.in_,
    ):
        with pytest.raises(InvalidArgumentType, match="a list of"):
            call(ids)


@pytest.mark.slow
def test_nothing_is_cut_at_a_thousand(agent: str, tenant: str, configure: Configure) -> None:
    API4ConversationService.insert_many([{"dialog_id": agent, "exp_user_id": "e"} for _ in range(1_500)])
    assert len(API4ConversationService.query(dialog_id=agent)) == 1_500
    assert len(API4ConversationService.get_names(agent, "e")) == 1_500
    count, sessions = listed(agent, tenant, items_per_page=1_500)
    assert (count, len(sessions)) == (1_500, 1_500)
    ids = [row.id for row in API4ConversationService.query(dialog_id=agent)]
    assert API4ConversationService.delete_by_ids(ids) == 1_500


# -- repairs ---------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


def test_what_json_has_not_is_repaired_and_told(agent: str, told: list[tuple[str, str]]) -> None:
    id = new_id()
    reference = [{"chunks": {417: {"similarity": float("nan"), "at": datetime(2024, 1, 2), "kinds": {"b"}}}}]
    message = [{"content": "pdf\0", "colour": Colour.RED, "lone": "\ud800"}]
    API4ConversationService.save(id=id, dialog_id=agent, reference=reference, message=message, name="n\0")
    row = read(id)
    assert row.reference == [{"chunks": {"417": {"similarity": None, "at": "2024-01-02T00:00:00", "kinds": ["b"]}}}]
    assert row.message == [{"content": "pdf\ufffd", "colour": "red", "lone": "\ufffd"}]
    assert row.name == "n\ufffd"
    assert len(told) == 8
    told.clear()
    assert API4ConversationService.append_message(id, {"reference": reference, "errors": "e\0"}) == 1
    API4ConversationService.insert_many([{"dialog_id": agent, "reference": reference, "duration": float("inf")}])
    assert len(told) == 10


def test_texts_of_any_kind_and_length_are_taken_and_told(agent: str, told: list[tuple[str, str]]) -> None:
    id = new_id()
    API4ConversationService.save(id=id, dialog_id=agent, name=7, user_id={"a": 1}, errors=ValueError("why"))
    row = read(id)
    assert (row.name, row.user_id, row.errors) == ("7", "{'a': 1}", "why")
    assert API4ConversationService.append_message(id, {"errors": "é" * 1_000_001, "name": "n" * 1_001}) == 1
    assert (read(id).errors, read(id).name) == ("é" * 1_000_000, "n" * 1_000)
    assert sorted(path for path, _ in told) == ["errors", "errors", "name", "name", "user_id"]


def test_repairs_are_logged_where_nobody_is_told(
    agent: str, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "conversation_store.ragflow"):
        API4ConversationService.save(dialog_id=agent, reference=[{"secret": float("nan")}])
    assert "reference[0]['secret']" in caplog.text
    assert "nan" not in caplog.text.lower()


# -- stale rows ------------------------------------------------------------------------------------


def test_a_stale_row_is_not_written_back(session: str) -> None:
    row, other = read(session), read(session)
    other.message.append({"content": "theirs"})
    assert API4ConversationService.append_message(session, other.to_dict()) == 1
    row.message.append({"content": "ours"})
    for write in (API4ConversationService.append_message, API4ConversationService.update_by_id):
        with pytest.raises(RevisionConflict):
            write(session, row.to_dict())
    with pytest.raises(RevisionConflict):
        API4ConversationService.update_many_by_id([row.to_dict()])
    assert [message["content"] for message in read(session).message] == ["Hello", "theirs"]


def test_a_stale_row_of_a_list_is_not_written_back(agent: str, tenant: str, session: str) -> None:
    _, (values,) = listed(agent, tenant)
    API4ConversationService.update_by_id(session, {"name": "n"})
    with pytest.raises(RevisionConflict):
        API4ConversationService.update_by_id(session, values)


def test_a_row_may_be_written_again_by_who_wrote_it(session: str) -> None:
    values = read(session).to_dict()
    for number in range(3):
        values["name"] = str(number)
        assert API4ConversationService.update_by_id(session, values) == 1
    assert API4ConversationService.append_message(session, values) == 1
    API4ConversationService.update_many_by_id([values, values])
    assert API4ConversationService.update_by_id(session, values) == 1
    assert (read(session).name, read(session).round) == ("2", 1)


def test_a_write_that_failed_does_not_count_as_one(session: str) -> None:
    values = read(session).to_dict()
    with pytest.raises(InvalidArgument):
        API4ConversationService.update_many_by_id([values, {"id": session, "colour": "red"}])
    assert API4ConversationService.update_by_id(session, values) == 1


@pytest.mark.parametrize(
    "copied",
    [lambda v: v.copy(), copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))],  # noqa: S301
)
def test_a_copy_remembers_what_it_was_read_from(session: str, copied: Callable[[Any], Any]) -> None:
    values = copied(read(session).to_dict())
    API4ConversationService.update_by_id(session, {"name": "n"})
    with pytest.raises(RevisionConflict):
        API4ConversationService.update_by_id(session, values)


def test_a_row_that_a_caller_makes_of_what_it_saved_is_known_to_be_stale(agent: str, configure: Configure) -> None:
    conv = {"id": new_id(), "dialog_id": agent, "message": [], "reference": []}
    API4ConversationService.save(**conv)
    row = API4Conversation(**conv)
    other = read(row.id)
    other.message.append({"content": "theirs"})
    API4ConversationService.append_message(other.id, other.to_dict())
    row.message.append({"content": "ours"})
    with pytest.raises(RevisionConflict):
        API4ConversationService.append_message(row.id, row.to_dict())
    assert [message["content"] for message in read(row.id).message] == ["theirs"]


def test_a_row_that_a_caller_makes_of_what_it_saved_is_written(agent: str, configure: Configure) -> None:
    conv = {"id": new_id(), "dialog_id": agent, "message": [], "reference": []}
    API4ConversationService.save(**conv)
    row = API4Conversation(**conv)
    for number in range(2):
        row.message.append({"content": str(number)})
        assert API4ConversationService.append_message(row.id, row.to_dict()) == 1
    assert len(read(row.id).message) == 2
    # Of another row with equal values nobody knows.
    copied = API4Conversation(**{**conv, "message": list(row.message)})
    assert API4ConversationService.append_message(copied.id, copied.to_dict()) == 1


def test_only_the_last_saves_are_remembered() -> None:
    saved = _LastSaved()
    lists: list[list[Any]] = [[] for _ in range(1_001)]
    for number, message in enumerate(lists):
        saved.add(message, Origin("t", str(number)))
    assert saved.take(lists[0]) is None
    assert saved.take(lists[1]) == Origin("t", "1")
    assert saved.take(lists[1]) is None


@pytest.mark.parametrize("copied", [dict, lambda v: {**v}, lambda v: json.loads(json.dumps(v, default=str))])
def test_another_dict_of_the_values_of_a_row_is_written_whatever_was_changed_since(
    session: str, copied: Callable[[Any], Any]
) -> None:
    values = copied(read(session).to_dict())
    API4ConversationService.update_by_id(session, {"name": "n"})
    assert API4ConversationService.update_by_id(session, values) == 1
    assert read(session).name is None


def test_single_fields_are_written_whatever_was_changed_since(session: str) -> None:
    row = read(session)
    API4ConversationService.append_message(session, {"tokens": 5})
    assert API4ConversationService.update_by_id(row.id, {"name": "n"}) == 1


def test_stale_rows_are_written_where_that_is_configured(session: str, configure: Configure) -> None:
    configure(stale_writes="allow")
    row = read(session)
    API4ConversationService.append_message(session, {"tokens": 5})
    assert API4ConversationService.update_by_id(session, row.to_dict()) == 1
    assert read(session).tokens == 0


# -- dialogs and tenants ---------------------------------------------------------------------------


def test_a_dialog_that_is_not_there_is_created_with_its_owner(
    configured: ConversationStore, configure: Configure, tenant: str
) -> None:
    asked: list[str] = []

    def owner_of(id: str) -> str:
        asked.append(id)
        return tenant

    configure(owner_of=owner_of)
    dialog, other = uuid.uuid4().int, new_id()
    API4ConversationService.save(id=new_id(), dialog_id=dialog)
    API4ConversationService.save(id=new_id(), dialog_id=dialog)
    API4ConversationService.insert_many([{"dialog_id": dialog}, {"dialog_id": other}])
    assert asked == [str(dialog), other]
    assert {row.id for row in configured.dialogs.query(tenant_id=tenant)} == {str(dialog), other}


def test_a_dialog_without_an_owner_is_not_found(configure: Configure) -> None:
    with pytest.raises(DialogNotFound, match="owner_of"):
        API4ConversationService.save(id=new_id(), dialog_id="missing")
    configure(owner_of=lambda id: None)
    with pytest.raises(DialogNotFound, match="missing"):
        API4ConversationService.save(id=new_id(), dialog_id="missing")
    with pytest.raises(InvalidArgument, match="dialog_id"):
        API4ConversationService.save(id=new_id())


def test_a_list_is_that_of_the_callers_tenant(
    configured: ConversationStore, configure: Configure, agent: str, session: str, tenant: str
) -> None:
    member = new_id()
    assert listed(agent, tenant)[0] == 1
    assert listed(agent, member) == (0, [])
    configure(any_tenant=True)
    assert listed(agent, member)[0] == 1
    assert listed(new_id(), member) == (0, [])
    # The caller's own wins, though it is empty.
    configured.dialogs.save(id=agent, tenant_id=member)
    assert listed(agent, member) == (0, [])
    with pytest.raises(AmbiguousId):
        listed(agent, new_id())


def test_an_id_that_two_tenants_have_is_an_error(
    configured: ConversationStore, agent: str, session: str, tenant: str
) -> None:
    other = configured.for_tenant(new_id())
    other.dialogs.save(id="d")
    other.conversations.save(id=session, dialog_id="d")
    for call in (
        lambda: API4ConversationService.get_by_id(session),
        lambda: API4ConversationService.update_by_id(session, {"name": "n"}),
        lambda: API4ConversationService.delete_by_id(session),
        lambda: API4ConversationService.filter_delete([API4Conversation.id == session]),
    ):
        with pytest.raises(AmbiguousId):
            call()
    assert API4ConversationService.query(id=session, dialog_id=agent)[0].dialog_id == agent
    copy_of_it = configured.conversations.save(id=new_id(), dialog_id=agent, tenant_id=tenant)
    other.conversations.save(id=copy_of_it.id, dialog_id="d")
    model = API4Conversation
    assert API4ConversationService.filter_delete([model.id == copy_of_it.id, model.dialog_id == agent]) == 1
    assert other.conversations.get_by_id(copy_of_it.id) is not None
    # A row of a list is known to be the tenant's.
    _, (values,) = listed(agent, tenant)
    assert API4ConversationService.update_by_id(session, values) == 1


# -- lists and statistics --------------------------------------------------------------------------


def test_the_dates_of_a_list_are_local_and_include_their_whole_second(
    configured: ConversationStore, configure: Configure, agent: str, tenant: str
) -> None:
    # 23:59:59.4 of the 5th of March in Shanghai.
    at = datetime(2024, 3, 5, 15, 59, 59, 400_000, tzinfo=UTC)
    configured.conversations.save(dialog_id=agent, create_date=at, update_date=at + timedelta(days=1), source="agent")

    def count(since: Any, until: Any, orderby: str = "create_date") -> int:
        return listed(agent, tenant, from_date=since, to_date=until, orderby=orderby)[0]

    assert count("2024-03-05 00:00:00", "2024-03-05 23:59:59") == 1
    assert count("2024-03-05", "2024-03-05") == 1
    assert count(date(2024, 3, 5), datetime(2024, 3, 5, 23, 59, 59)) == 1
    assert count("2024-03-05T15:59:59Z", "2024-03-05T15:59:59Z") == 1
    assert count("2024-03-06", "2024-03-07") == 0
    assert count("2024-03-06", "2024-03-07", "update_time") == 1
    assert count("", "") == 1
    for until in ("2024-03-05 23:59:59", datetime(2024, 3, 5, 23, 59, 59)):
        (day,) = API4ConversationService.stats(tenant, "2024-03-05 00:00:00", until)
        assert day["dt"] == datetime(2024, 3, 5)


def test_a_list_finds_text_and_no_json(agent: str, tenant: str, session: str) -> None:
    assert listed(agent, tenant, keywords="hELLO")[0] == 1
    assert listed(agent, tenant, keywords=None)[0] == 1
    for keyword in ("role", "content", "{", "a\0"):
        assert listed(agent, tenant, keywords=keyword) == (0, [])
    with pytest.raises(NotImplementedError, match="JSON"):
        listed(agent, tenant, keywords='{"role": "assistant"')
    with pytest.raises(InvalidArgument, match="1000 characters"):
        listed(agent, tenant, keywords="k" * 1_001)


def test_a_list_has_pages_and_leaves_out_dsl(agent: str, tenant: str, configure: Configure) -> None:
    for number in range(5):
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, dsl={"n": number}, tokens=number)
    count, page = listed(
        agent, tenant, page_number=2, items_per_page=2, orderby="tokens", desc=False, include_dsl=False
    )
    assert (count, [row["tokens"] for row in page]) == (5, [2, 3])
    assert "dsl" not in page[0]
    assert listed(agent, tenant, page_number=0, items_per_page=2)[1] == listed(agent, tenant, items_per_page=2)[1]
    assert json.loads(json.dumps(page, default=str))[0]["tokens"] == 2
    with pytest.raises(InvalidArgument, match="orderby"):
        listed(agent, tenant, orderby="password")


def test_names_are_dicts(agent: str, configure: Configure) -> None:
    API4ConversationService.save(id=f"{agent}-1", dialog_id=agent, exp_user_id="e", name="n")
    assert API4ConversationService.get_names(agent, "e") == [{"id": f"{agent}-1", "name": "n"}]


def test_no_source_counts_the_sessions_without_one(agent: str, tenant: str, configure: Configure) -> None:
    for source in (None, "agent", "agent"):
        API4ConversationService.save(dialog_id=agent, source=source, user_id="u", duration=1.5, tokens=2)
    today = datetime.now(UTC) + timedelta(hours=8)

    def days(source: Any) -> list[dict[str, Any]]:
        return API4ConversationService.stats(tenant, f"{today:%Y-%m-%d}", f"{today:%Y-%m-%d}", source)

    (day,) = days(None)
    assert day == {
        "dt": datetime(today.year, today.month, today.day),
        "pv": 3, "uv": 1, "tokens": 6, "duration": 4.5, "round": 0.0, "thumb_up": 0,
    }  # fmt: skip
    assert [days(source)[0]["pv"] for source in ("agent", NO_SOURCE)] == [2, 1]


def test_statistics_of_any_number_of_days_are_those_of_each_day(
    configured: ConversationStore, agent: str, tenant: str, configure: Configure
) -> None:
    # Both sides of where one statement ends and the next one begins, at midnight in Shanghai, 3,650 days later.
    midnight = datetime(2009, 12, 29, 16, tzinfo=UTC)
    for at in (midnight - timedelta(seconds=1), midnight, datetime(2025, 12, 31, 15, 59, 59, 500_000, tzinfo=UTC)):
        configured.conversations.save(dialog_id=agent, create_date=at)
    days = API4ConversationService.stats(tenant, "2000-01-01 00:00:00", "2025-12-31 23:59:59")
    assert [(day["dt"], day["pv"]) for day in days] == [
        (datetime(2009, 12, 29), 1),
        (datetime(2009, 12, 30), 1),
        (datetime(2025, 12, 31), 1),
    ]


# -- configuration and outages ---------------------------------------------------------------------


def test_an_outage_is_no_missing_session(configure: Configure) -> None:
    with ConnectionPool("host=127.0.0.1 port=1", min_size=0, max_size=1, timeout=0.3, open=True) as pool:
        services.configure(ConversationStore(pool=pool))
        for call in (
            lambda: API4ConversationService.get_by_id("a"),
            lambda: API4ConversationService.query(id="a"),
            lambda: API4ConversationService.get_or_none(id="a"),
            lambda: API4ConversationService.delete_by_id("a"),
        ):
            with pytest.raises(psycopg.OperationalError):
                call()


def test_a_store_that_cannot_be_opened_is_not_configured(configure: Configure, session: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        services.configure(ConversationStore("host=127.0.0.1 port=1", timeout=0.3))
    assert read(session).id == session


def test_configure_opens_the_store(db: str, configure: Configure) -> None:
    store = ConversationStore(db)
    services.configure(store)
    assert API4ConversationService.get_by_id(new_id()) == (False, None)
    store.close()


def test_services_that_are_not_configured_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_settings, "_settings", None)
    with pytest.raises(StoreError, match="configure"):
        API4ConversationService.get_by_id("a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_zone": "UTC+8"}, "time_zone"),
        ({"owner_of": "me"}, "owner_of"),
        ({"any_tenant": 1}, "any_tenant"),
        ({"stale_writes": "never"}, "stale_writes must be one of raise, allow"),
        ({"on_repair": 1}, "on_repair"),
    ],
)
def test_an_option_that_is_wrong_is_named(configure: Configure, options: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=message):
        configure(**options)


@pytest.mark.slow
def test_a_long_session_is_stored_unless_the_store_has_a_limit_of_its_own(
    db: str, agent: str, session: str, configure: Configure
) -> None:
    # More than the 16 MiB that a store takes by default.
    message = [{"content": "x" * 1_000_000}] * 17
    assert API4ConversationService.append_message(session, {"message": message}) == 1
    with ConversationStore(db, max_json_bytes=1_000) as store:
        services.configure(store)
        with pytest.raises(InvalidArgument, match="1000 bytes"):
            API4ConversationService.append_message(session, {"message": message})


def test_a_store_on_asyncio_is_refused() -> None:
    with pytest.raises(InvalidArgumentType, match="ConversationStore"):
        services.configure(AsyncConversationStore("dbname=a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_threads_append_at_once(session: str) -> None:
    with ThreadPoolExecutor(8) as executor:
        done = list(executor.map(lambda n: API4ConversationService.append_message(session, {"tokens": n}), range(40)))
    assert sum(done) == 40
    assert read(session).round == 40
