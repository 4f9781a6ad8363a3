"""A row that was changed since it was read is not written back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from conversation_store import (
    InvalidArgument,
    RevisionConflict,
)
from conversation_store.ragflow._conversation_rows import _LastSaved
from conversation_store.ragflow._rows import Origin
from conversation_store.ragflow.services import API4Conversation, API4ConversationService
from support.ragflow_services import Configure, listed, new_id, read


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
