"""Conditions on fields, as RAGFlow's callers write them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from conversation_store import InvalidArgument, InvalidArgumentType
from conversation_store.ragflow.services import API4Conversation, API4ConversationService, APIToken, APITokenService
from support.ragflow_services import Configure, new_id, read


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


def test_a_condition_on_another_table_is_refused(agent: str, session: str, tenant: str) -> None:
    for call in (
        API4ConversationService.filter_delete,
        lambda f: API4ConversationService.filter_update(f, {"name": "n"}),
    ):
        with pytest.raises(InvalidArgument, match=r"not APIToken\.dialog_id"):
            call([APIToken.dialog_id == agent])
        with pytest.raises(InvalidArgument, match=r"not APIToken\.tenant_id"):
            call([APIToken.tenant_id == tenant, API4Conversation.dialog_id == agent])
    with pytest.raises(InvalidArgument, match=r"not API4Conversation\.dialog_id"):
        APITokenService.filter_delete([API4Conversation.dialog_id == agent])
    with pytest.raises(InvalidArgument, match=r"not APIToken\.dialog_id"):
        API4Conversation.get(APIToken.dialog_id == agent)
    assert (
        API4ConversationService.filter_delete([API4Conversation.create_time > 0, API4Conversation.id == session]) == 1
    )


def test_dates_are_compared_as_the_wall_clock_that_rows_have(session: str) -> None:
    model = API4Conversation

    def found(*conditions: Any) -> bool:
        return bool(model.find([model.id == session, *conditions]))

    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    for later in (now + hour, (now + hour).isoformat(), now.replace(tzinfo=None) + 9 * hour):
        assert not found(model.create_date > later)
        assert found(model.create_date < later)
        assert not found(model.create_time > later)
        assert found(model.create_time < later)
    assert found(model.create_date >= date(2020, 1, 1), model.create_time >= date(2020, 1, 1))
    assert API4ConversationService.query(id=session, create_time=["2020-01-01 00:00:00", "2099-01-01 00:00:00"])
    assert not API4ConversationService.query(id=session, create_time=["2020-01-01", "2021-01-01"])


def test_numbers_are_compared_with_their_text_too(agent: str, configure: Configure) -> None:
    for number in range(3):
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, thumb_up=number)

    def found(**filters: Any) -> list[int]:
        return sorted(row.thumb_up for row in API4ConversationService.query(dialog_id=agent, **filters))

    assert found(thumb_up="1") == [1]
    assert found(thumb_up=["1", None]) == [1, 2]
    assert found(thumb_up={0, 2}) == [0, 2]
    in_dialog = [API4Conversation.dialog_id == agent]
    scope = API4ConversationService.filter_scope_list("thumb_up", [0, 2], in_dialog)
    assert sorted(row.thumb_up for row in scope) == [0, 2]
    assert API4ConversationService.filter_scope_list("create_date", [datetime(2001, 1, 1)], in_dialog) == []


def test_a_filter_that_says_nothing_gives_no_rows(session: str) -> None:
    assert API4ConversationService.query(tokens=[None, None]) == []
    assert API4ConversationService.query(create_date=[None, None]) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: API4Conversation.reference.is_null(False),
        lambda: API4Conversation.dsl == None,  # noqa: E711
        lambda: API4ConversationService.get_or_none(dialog_id="d", dsl=None),
        lambda: ~(API4Conversation.name == "n"),
        lambda: API4Conversation.id.not_in(["a"]),
        lambda: API4Conversation.name.startswith("a"),
        lambda: API4Conversation.create_date.desc(),
        lambda: API4Conversation.round + 1,
        lambda: API4Conversation.create(id="a"),
        lambda: API4Conversation.update({}),
        lambda: API4Conversation.delete(),
        lambda: API4Conversation.insert({}),
        lambda: API4Conversation(id="a").save(),
    ],
)
def test_what_there_is_not_names_what_there_is(configure: Configure, call: Callable[[], Any]) -> None:
    with pytest.raises(NotImplementedError, match=r"there are|use|search|append_message"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: API4Conversation.thumb_up == [1], "thumb_up must be a number"),
        (lambda: API4Conversation.thumb_up > "many", "thumb_up must be a number"),
        (lambda: API4Conversation.create_date > "soon", "create_date must be a date"),
        (lambda: API4Conversation.create_time > "soon", "create_time must be a date"),
        (lambda: API4Conversation.name.contains(None), "name must be a str"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.filter_scope_list(["id"], ["a"]), "a field of"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.filter_scope_list("id", None), "id must be a list"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.update_many_by_id(5), "data_list must be"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.insert_many(None), "data_list must be"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.insert_many([{"dialog_id": ["d"]}]), r"data_list\[0\]\['dialog_id'\] must be"),
        (lambda: APITokenService.insert_many(None), "data_list must be"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.get_by_ids(["a"], cols=5), "cols must be a list"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.query(id="a", reverse="x"), "reverse must be a bool"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.query(id="a", order_by="dsl"), "order_by must be one of"),
        (lambda: API4ConversationService.cut_list(None, 2), "tar_list must be a list"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: API4ConversationService.stats("t", "0001-01-01", "9999-12-31"), "36500 days"),
    ],
)
def test_what_is_wrong_is_named(configure: Configure, call: Callable[[], Any], message: str) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=message):
        call()


def test_one_of_many_callers_at_once_changes_what_a_condition_asks_for(session: str) -> None:
    free = [API4Conversation.id == session, API4Conversation.source.is_null()]
    with ThreadPoolExecutor(6) as executor:
        changed = list(
            executor.map(lambda n: API4ConversationService.filter_update(free, {"source": f"w{n}"}), range(6))
        )
    assert sorted(changed) == [0, 0, 0, 0, 0, 1]


def test_a_row_that_is_changed_before_it_is_updated_is_looked_at_again(
    session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = API4Conversation.find_values

    def update(**changes: Any) -> int:
        todo = [changes]

        def find_and_let_another_one_change(current: Any, where: Any, names: Any = ()) -> Any:
            rows = list(found(current, where, names))
            with ThreadPoolExecutor(1) as executor:
                for data in [todo.pop()] if todo else []:
                    executor.submit(API4ConversationService.update_by_id, session, data).result()
            return rows

        with monkeypatch.context() as patched:
            patched.setattr(API4Conversation, "find_values", find_and_let_another_one_change)
            conditions = [API4Conversation.id == session, API4Conversation.name.is_null()]
            return API4ConversationService.filter_update(conditions, {"source": "agent"})

    assert update(tokens=5) == 1
    assert (read(session).tokens, read(session).source) == (5, "agent")
    assert update(name="changed") == 0


def test_a_row_that_is_changed_before_it_is_deleted_is_kept(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = API4Conversation.find_values
    changes = iter(["changed"])

    def find_and_let_another_one_change(current: Any, where: Any, names: Any = ()) -> Any:
        rows = list(found(current, where, names))
        with ThreadPoolExecutor(1) as executor:
            for name in changes:
                executor.submit(API4ConversationService.update_by_id, session, {"name": name}).result()
        return rows

    monkeypatch.setattr(API4Conversation, "find_values", find_and_let_another_one_change)
    conditions = [API4Conversation.id == session, API4Conversation.name.is_null()]
    assert API4ConversationService.filter_delete(conditions) == 0
    assert read(session).name == "changed"
