"""A row that was changed since it was read is not written back."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from conversation_store import (
    ConversationStore,
    InvalidArgument,
    RevisionConflict,
)
from conversation_store.ragflow._conversation_rows import LastSaved
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


@pytest.mark.parametrize("made", [lambda conv: conv, lambda conv: API4Conversation(**conv).to_dict()])
def test_who_goes_on_with_what_it_saved_loses_no_turn_of_another_one(
    agent: str, configure: Configure, made: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    conv: dict[str, Any] = {"id": new_id(), "dialog_id": agent, "message": [], "reference": []}
    API4ConversationService.save(**conv)
    values = made(conv)
    other = read(conv["id"])
    other.message.append({"content": "theirs"})
    API4ConversationService.append_message(other.id, other.to_dict())
    values["message"].append({"content": "ours"})
    with pytest.raises(RevisionConflict):
        API4ConversationService.append_message(conv["id"], values)
    assert [message["content"] for message in read(conv["id"]).message] == ["theirs"]


def test_who_goes_on_with_what_it_saved_writes_it(agent: str, configure: Configure) -> None:
    conv: dict[str, Any] = {"id": new_id(), "dialog_id": agent, "message": [], "reference": []}
    API4ConversationService.save(**conv)
    for number, values in enumerate(
        (conv, API4Conversation(**conv).to_dict(), API4Conversation(**conv).to_dict(), conv)
    ):
        values["message"].append({"content": str(number)})
        assert API4ConversationService.append_message(conv["id"], values) == 1
    assert len(read(conv["id"]).message) == 4
    # Of another list with equal members nobody knows.
    copied = API4Conversation(**{**conv, "message": list(conv["message"])})
    assert API4ConversationService.append_message(copied.id, copied.to_dict()) == 1


def test_a_list_that_two_saves_share_does_not_reach_another_tenant(
    configured: ConversationStore, agent: str, configure: Configure
) -> None:
    other = configured.for_tenant(new_id())
    theirs = other.dialogs.save(id=new_id()).id
    id, message = new_id(), [{"content": "x"}]
    mine: dict[str, Any] = {"id": id, "dialog_id": agent, "message": message}
    API4ConversationService.save(**mine)
    API4ConversationService.save(**{**mine, "dialog_id": theirs})
    row = API4Conversation(**mine)
    row.name = "mine"
    assert API4ConversationService.append_message(row.id, row.to_dict()) == 1
    of_the_other = other.conversations.get_by_id(id)
    assert of_the_other is not None
    assert (of_the_other.name, of_the_other.round) == (None, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_among_saves_does_not_stop_the_child() -> None:
    saved, ends = LastSaved(), threading.Event()

    def save() -> None:
        while not ends.is_set():
            saved.add({"id": "a", "message": []}, Origin("t", "a"))

    threads = [threading.Thread(target=save) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                saved.add({"id": "b", "message": []}, Origin("t", "b"))
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_store_that_is_configured_anew_knows_nothing_of_another_ones_saves(agent: str, configure: Configure) -> None:
    conv: dict[str, Any] = {"id": new_id(), "dialog_id": agent, "message": []}
    API4ConversationService.save(**conv)
    API4ConversationService.update_by_id(conv["id"], {"name": "n"})
    configure()
    assert API4ConversationService.update_by_id(conv["id"], conv) == 1


def test_a_whole_row_that_a_filter_writes_may_be_written_again(session: str) -> None:
    values = read(session).to_dict()
    assert API4ConversationService.filter_update([API4Conversation.id == session], values) == 1
    assert API4ConversationService.update_by_id(session, values) == 1


def test_only_the_last_saves_are_remembered() -> None:
    saved = LastSaved(most=2)
    rows: list[dict[str, Any]] = [{"id": str(number), "dialog_id": "d", "message": []} for number in range(3)]
    for row in (rows[0], rows[1], rows[0], rows[2]):
        saved.add(row, Origin("t", row["id"], "d"))
    assert saved.find(rows[1]) is None
    assert saved.find(rows[0]) == Origin("t", "0", "d")
    others: list[dict[str, Any]] = [{"dialog_id": "of another tenant"}, {"message": []}, {"id": "2"}]
    for other in others:
        assert saved.find({**rows[0], **other}) is None
    # Single fields are no row.
    assert saved.find({"id": "0", "message": rows[0]["message"]}) is None


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
