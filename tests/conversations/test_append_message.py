"""`conversations.append_message`: given fields are applied and the round is incremented, at once."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversation_store import NOT_READ, AmbiguousId, Conversation, ConversationStore, CounterOverflow, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.costs import median_wal_bytes
from support.races import call_behind
from support.stored import JSON_VALUES, as_stored, positions

CHANGES: dict[str, Any] = {
    "name": None,
    "user_id": 5,
    "exp_user_id": "x",
    "tokens": 2**40,
    "source": "s",
    "duration": 1.5,
    "thumb_up": 2,
    "errors": 'it\'s "quoted" \\ 检索',
    "version_title": "v",
    "message": [{"a": 1}],
    "reference": "text",
    "dsl": "{}",
}


@pytest.fixture
def sync_store(db: str) -> Generator[ConversationStore]:
    """Give a sync store to a test that runs once."""
    with ConversationStore(db, min_size=1, max_size=1) as store:
        yield store


def test_without_fields_only_the_round_the_revision_and_the_update_date_change(store: Any, dialog: str) -> None:
    saved = store.conversations.save(
        dialog_id=dialog, name="n", message=[1], reference=[2], dsl={"a": 1}, tokens=5, round=7, errors="e"
    )
    assert store.conversations.append_message(saved.id, {}) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, round=8, revision=1, update_date=read.update_date)


def test_every_given_field_is_changed(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, name="n", message=[1], reference=[2], dsl={"a": 1}, round=7)
    assert store.conversations.append_message(saved.id, CHANGES) == 1
    read = store.conversations.get_by_id(saved.id)
    given = CHANGES | {"user_id": "5"}
    assert read == replace(saved, **given, round=8, revision=1, update_date=read.update_date)


def test_the_given_mapping_is_not_changed(store: Any, dialog: str) -> None:
    changes = copy.deepcopy(CHANGES)
    store.conversations.append_message(store.conversations.save(dialog_id=dialog).id, changes)
    assert changes == CHANGES


@pytest.mark.parametrize("value", JSON_VALUES)
def test_any_json_value_replaces_a_list_and_a_text(store: Any, dialog: str, value: Any) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    store.conversations.append_message(saved.id, {"message": "x", "reference": ["x"]})
    store.conversations.append_message(saved.id, {"message": value, "reference": value, "dsl": value})
    read = store.conversations.get_by_id(saved.id)
    assert (read.message, read.reference, read.dsl) == (value, value, value)


def test_a_whole_row_as_read_leaves_the_round_the_revision_the_dialog_and_the_dates_alone(
    store: Any, dialog: str
) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1])
    for _ in range(3):
        store.conversations.append_round(saved.id, ["turn"])
    row = asdict(saved) | {"create_time": 0, "update_time": 0, "message": [1, 2]}
    row |= {"dialog_id": "foreign", "revision": 99}
    assert store.conversations.append_message(saved.id, row) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, message=[1, 2], round=4, revision=4, update_date=read.update_date)


def test_a_row_of_another_tenant_raises_and_changes_nothing_of_its_namesake(
    store: Any, equal_ids: tuple[Conversation, Conversation]
) -> None:
    first, second = equal_ids
    bound = store.for_tenant(first.tenant_id).conversations
    for change in (bound.append_message, bound.update_by_id):
        with pytest.raises(InvalidArgument, match=r"^conversation\['tenant_id'\] must be '.*' or be left out, not"):
            change(first.id, second.to_dict())
    store.conversations.delete_by_id(first.id, tenant_id=first.tenant_id)
    assert store.conversations.append_message(first.id, first.to_dict()) == 0
    assert store.conversations.get_by_id(second.id, tenant_id=second.tenant_id) == second


@pytest.mark.parametrize("row_of", [lambda listed: listed.to_dict(), lambda listed: {**asdict(listed)}])
def test_a_row_listed_without_its_dsl_leaves_the_dsl_alone(
    store: Any, dialog: str, tenant: str, row_of: Callable[[Conversation], dict[str, Any]]
) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], reference=[2], dsl={"a": 1})
    (listed,) = store.conversations.get_list(dialog, tenant, include_dsl=False).sessions
    assert store.conversations.append_message(saved.id, row_of(listed)) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read == replace(saved, round=1, revision=1, update_date=read.update_date)


def test_not_read_leaves_any_field_alone(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, name="n", message=[1], reference=[2], dsl={"a": 1})
    store.conversations.append_message(saved.id, dict.fromkeys(CHANGES, NOT_READ))
    read = store.conversations.get_by_id(saved.id)
    assert read == replace(saved, round=1, revision=1, update_date=read.update_date)


@pytest.mark.parametrize("wrong", [{"id": "another"}, {"messages": []}, {"tokens": 1, "password": "x"}])
def test_another_id_or_an_unknown_key_raises_invalid_argument_and_changes_nothing(
    store: Any, dialog: str, wrong: dict[str, Any]
) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    with pytest.raises(InvalidArgument, match="conversation"):
        store.conversations.append_message(saved.id, wrong)
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_not_read_inside_of_a_value_raises_and_changes_nothing(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1])
    with pytest.raises(InvalidArgument, match=r"^conversation\['message'\]\[1\] was not read"):
        store.conversations.append_message(saved.id, {"message": [1, NOT_READ]})
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_missing_conversation_returns_0(store: Any) -> None:
    assert store.conversations.append_message("nowhere", {"message": [1]}) == 0


def test_a_round_beyond_its_range_raises_and_changes_nothing(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], round=2**31 - 1)
    with pytest.raises(CounterOverflow):
        store.conversations.append_message(saved.id, {"message": [1, 2], "tokens": 5})
    assert store.conversations.get_by_id(saved.id) == saved


def test_entries_beyond_the_count_are_gone(store: Any, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=[1, 2, 3], reference=[1, 2, 3]).id
    store.conversations.append_message(id, {"message": ["x", "y"], "reference": "y"})
    assert positions(db, id) == ([1, 2], [1])
    store.conversations.append_message(id, {"message": {}, "reference": []})
    assert positions(db, id) == ([1], [])
    store.conversations.append_message(id, {"message": [], "reference": [1, 2]})
    assert positions(db, id) == ([], [1, 2])


VALUES: list[Any] = ["text", None, {}, {"a": 1}]


def as_list(value: Any) -> list[Any]:
    """Return what an append takes a stored value for."""
    if isinstance(value, list):
        return value
    return [value] if value else []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_lists_written_one_after_the_other_are_read_as_written(data: st.DataObject, sync_store: Any) -> None:
    lists = st.one_of(st.lists(st.integers(0, 3) | st.text("ab", max_size=2), max_size=6), st.sampled_from(VALUES))
    dialog = sync_store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
    expected: Any = data.draw(lists)
    id = sync_store.conversations.save(dialog_id=dialog, message=expected, reference=expected).id
    for _ in range(data.draw(st.integers(1, 6))):
        turn = data.draw(lists)
        if isinstance(turn, list) and expected != "text" and data.draw(st.booleans()):
            sync_store.conversations.append_round(id, turn, reference=turn)
            expected = as_list(expected) + turn if turn else expected
        else:
            sync_store.conversations.append_message(id, {"message": turn, "reference": turn})
            expected = turn
        read = sync_store.conversations.get_by_id(id)
        assert (read.message, read.reference) == (expected, expected)


def test_writers_of_whole_lists_at_once_leave_one_of_the_lists(
    api: SyncApi | AsyncApi, store: Any, dialog: str
) -> None:
    for attempt in range(10):
        id = store.conversations.save(dialog_id=dialog, message=[{"w": "old"}] * 6).id
        lists: list[Any] = [
            [{"w": w, "n": n} for n in range(length)] for w, length in (("a", 3 + attempt % 7), ("b", 8))
        ]
        values = [*lists, "text", []]
        calls = [lambda s, v=v: s.conversations.append_message(id, {"message": v, "reference": v}) for v in values]
        assert api.together(store, calls) == [1] * 4
        read = store.conversations.get_by_id(id)
        assert read.message in values
        assert (read.reference, read.round) == (read.message, 4)
        store.conversations.append_message(id, {"message": ["end"]})
        store.conversations.append_round(id, [1, 2, 3])
        assert store.conversations.get_by_id(id).message == ["end", 1, 2, 3]


def test_a_writer_that_waited_writes_its_whole_list_over_the_one_that_it_waited_for(
    api: SyncApi | AsyncApi, store: Any, dialog: str, tenant: str, db: str
) -> None:
    """Its first entries are those of its snapshot, which are no longer the current ones."""
    id = store.conversations.save(dialog_id=dialog, message=["old 1", "old 2"], reference=["old"]).id
    first = {"message": ["first 1", "first 2", "first 3"], "reference": "first"}
    second = {"message": ["old 1", "second 2"], "reference": ["old"]}
    written = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.append_message(id, second),
        first=lambda writer: ConversationStore(connection=writer).conversations.append_message(id, first),
    )
    assert written == 1
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference, read.round) == (second["message"], second["reference"], 2)
    assert store.conversations.get_list(dialog, tenant, keywords="first").count == 0


@pytest.mark.one_server("the WAL is that of the workers")
def test_the_wal_does_not_grow_with_the_conversation(sync_store: ConversationStore, db: str) -> None:
    dialog = sync_store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id

    def entry(i: int) -> dict[str, str]:
        return {"role": "user", "content": f"turn {i:04} " + "text of a turn 检索增强生成 " * 10}

    def written(length: int) -> float:
        message = [entry(i) for i in range(length)]
        id = sync_store.conversations.save(dialog_id=dialog, message=message).id
        calls: list[dict[str, Any]] = []
        for i in range(10):
            message.append(entry(i))
            text = json.dumps(message, ensure_ascii=False)
            given: dict[str, Any] = {"message": text, "reference": None, "dsl": None, "changes": "{}", "increment": 1}
            given |= {"id": id, "tenant_id": "t", "dialog_id": None, "expected_revision": None}
            calls.append(given)
        return median_wal_bytes(connection, "conversation.append_message", calls)

    with psycopg.connect(db, autocommit=True) as connection:
        if connection.execute("SELECT current_setting('full_page_writes')").fetchone() != ("off",):
            pytest.skip("the caller's server writes full-page images")
        short, long = written(10), written(400)
    assert short > 500
    assert long < short * 1.2


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_a_conversation_of_another_dialog_than_the_given_one_is_not_changed(
    store: Any, dialog: str, tenant: str
) -> None:
    other = store.dialogs.save(id="other" + dialog, tenant_id=tenant).id
    saved = store.conversations.save(dialog_id=dialog, message=[1], reference=[2])
    assert store.conversations.append_message(saved.id, CHANGES, dialog_id=other) == 0
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_conversation_of_the_given_dialog_is_changed(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    assert store.conversations.append_message(saved.id, {"message": ["x"]}, dialog_id=dialog) == 1
    assert store.conversations.get_by_id(saved.id).message == ["x"]


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_changes_nothing(
    store: Any, equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.append_message(equal_ids[0].id, {"message": ["x"]})
    assert as_stored(store, equal_ids) == equal_ids


def test_only_the_conversation_of_the_given_tenant_is_changed(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    changes: dict[str, Any] = {"message": [], "reference": "y", "dsl": None}
    assert store.conversations.append_message(two.id, changes, tenant_id=two.tenant_id) == 1
    first, second = as_stored(store, equal_ids)
    assert second is not None
    assert first == one
    assert second == replace(two, **changes, round=1, revision=1, update_date=second.update_date)


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.append_message"
    assert statements_of(lambda s: s.conversations.append_message("x", {})) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.append_message("x", {}, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.append_message("x", {})) == [own]
