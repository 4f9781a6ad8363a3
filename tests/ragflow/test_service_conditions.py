"""Conditions on fields, as RAGFlow's callers write them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from conversation_store import (
    InvalidArgumentType,
)
from conversation_store.ragflow.services import API4Conversation, API4ConversationService
from support.ragflow_services import Configure, new_id


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


def test_an_empty_text_is_a_value(agent: str, configure: Configure) -> None:
    model = API4Conversation
    for number, user in enumerate(("", "u")):
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, user_id=user, errors="")

    def found(*conditions: Any) -> list[str]:
        return sorted(row.user_id for row in model.find([model.dialog_id == agent, *conditions]))

    assert found(model.user_id == "") == [""]
    assert found(model.user_id != "") == ["u"]
    assert found(model.user_id << ["", "u"], model.errors == "") == ["", "u"]
    assert found(model.user_id != {}) == found(model.user_id != "a\0") == ["", "u"]
    assert [row.user_id for row in API4ConversationService.query(dialog_id=agent, user_id="")] == [""]
    assert API4ConversationService.filter_delete([model.dialog_id == agent, model.user_id == ""]) == 1
    assert found() == ["u"]


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
