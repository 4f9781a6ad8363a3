"""Conversations written through the service under its name in RAGFlow."""

from __future__ import annotations

import copy
import logging
from datetime import datetime
from enum import Enum
from typing import Any

import pytest

from conversation_store import (
    AlreadyExists,
    InvalidArgument,
    InvalidArgumentType,
)
from conversation_store.ragflow.services import API4Conversation, API4ConversationService
from support.ragflow_services import Configure, listed, new_id, read


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


def test_a_round_that_is_appended_to_counts_whatever_is_given(session: str) -> None:
    for data in ({"round": 9}, {"update_time": 5}, {}):
        assert API4ConversationService.append_message(session, data) == 1
    assert read(session).round == 3


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
