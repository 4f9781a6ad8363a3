"""`conversations.append_round`: a turn is appended, and the new round is returned."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from conversation_store import (
    AmbiguousId,
    Conflict,
    Conversation,
    ConversationNotFound,
    ConversationStore,
    CounterOverflow,
    NotAppendable,
    RoundConflict,
)
from support.both_apis import AsyncApi, SyncApi
from support.costs import median_wal_bytes
from support.races import call_behind
from support.stored import as_stored, positions


def test_messages_and_references_are_appended_and_the_new_round_is_returned(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=[0], round=4).id
    assert store.conversations.append_round(id, ["a", {"b": 1}], reference=[{"c": 1}]) == 5
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference, read.round) == ([0, "a", {"b": 1}], [{"c": 1}], 5)


def test_tokens_and_duration_are_added(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, tokens=10, duration=1.0).id
    store.conversations.append_round(id, [], tokens=5, duration=0.5)
    read = store.conversations.get_by_id(id)
    assert (read.tokens, read.duration) == (15, 1.5)


def test_errors_are_replaced_unless_they_are_none(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, errors="before").id
    store.conversations.append_round(id, [], errors="after")
    store.conversations.append_round(id, [], errors=None)
    assert store.conversations.get_by_id(id).errors == "after"


def test_an_empty_turn_in_the_expected_round_changes_only_the_round_the_revision_and_the_update_date(
    store: Any, dialog: str
) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], reference=[2], tokens=3, errors="e", round=5)
    assert store.conversations.append_round(saved.id, (), expected_round=5) == 6
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, round=6, revision=1, update_date=read.update_date)


def test_a_missing_conversation_raises_conversation_not_found(store: Any) -> None:
    with pytest.raises(ConversationNotFound):
        store.conversations.append_round("nowhere", [])


@pytest.mark.parametrize("wrong", [0, 2, 4, 2**31 - 1])
def test_another_expected_round_raises_round_conflict_and_changes_nothing(store: Any, dialog: str, wrong: int) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], round=3)
    with pytest.raises(RoundConflict) as caught:
        store.conversations.append_round(saved.id, [2], expected_round=wrong)
    assert (caught.value.expected, caught.value.current) == (wrong, 3)
    assert store.conversations.get_by_id(saved.id) == saved


@pytest.mark.parametrize("value", ["text", "", 0, 1.5, False])
@pytest.mark.parametrize("field", ["message", "reference"])
def test_a_stored_text_number_or_bool_raises_not_appendable_and_is_kept(
    store: Any, dialog: str, field: str, value: Any
) -> None:
    saved = store.conversations.save(dialog_id=dialog, **{field: value})
    with pytest.raises(NotAppendable, match="a text, a number or a bool") as caught:
        store.conversations.append_round(saved.id, [1], reference=[2])
    assert isinstance(caught.value, Conflict)
    assert store.conversations.get_by_id(saved.id) == saved


@pytest.mark.parametrize("value", ["text", 0, None, {}, {"a": 1}])
def test_an_append_of_nothing_leaves_a_value_that_is_not_a_list_as_it_is(store: Any, dialog: str, value: Any) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=value, reference=value)
    assert store.conversations.append_round(saved.id, [], tokens=1) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read == replace(saved, tokens=1, round=1, revision=1, update_date=read.update_date)


@pytest.mark.parametrize(
    ("value", "first"), [({"chunks": []}, [{"chunks": []}]), ({"": {}}, [{"": {}}]), ({}, []), (None, [])]
)
@pytest.mark.parametrize("load", [False, True], ids=["saved", "loaded"])
def test_an_append_turns_a_dict_into_the_first_entry_and_an_empty_one_or_none_into_no_entry(
    store: Any, dialog: str, db: str, load: bool, value: Any, first: list[Any]
) -> None:
    id = uuid.uuid4().hex
    row: dict[str, Any] = {"id": id, "dialog_id": dialog, "message": value, "reference": value}
    if load:
        store.conversations.insert_many([row])
    else:
        store.conversations.save(**row)
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference) == (value, value)
    store.conversations.append_round(id, ["m"], reference=["r 1", "r 2"])
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference) == ([*first, "m"], [*first, "r 1", "r 2"])
    assert positions(db, id) == (list(range(1, len(first) + 2)), list(range(1, len(first) + 3)))
    store.conversations.append_round(id, ["m 2"], reference=["r 3"])
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference) == ([*first, "m", "m 2"], [*first, "r 1", "r 2", "r 3"])


def test_only_what_is_appended_to_becomes_a_list(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message={"a": 1}, reference={"b": 1}).id
    store.conversations.append_round(id, [2])
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference) == ([{"a": 1}, 2], {"b": 1})
    store.conversations.append_round(id, [], reference=[2])
    read = store.conversations.get_by_id(id)
    assert (read.message, read.reference) == ([{"a": 1}, 2], [{"b": 1}, 2])


def test_a_dict_that_an_append_made_an_entry_is_found_by_keywords(store: Any, dialog: str, tenant: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message={"role": "user", "content": "кино"}).id
    for appended in ([], ["x"]):
        store.conversations.append_round(id, appended)
        assert store.conversations.get_list(dialog, tenant, keywords="кино").count == 1


@pytest.mark.parametrize("value", [{"new": 1}, {}, None, ["new 1", "new 2", "new 3"], "new"])
def test_an_append_that_waited_for_the_lock_appends_to_the_value_that_it_waited_for(
    api: SyncApi | AsyncApi, store: Any, dialog: str, db: str, value: Any
) -> None:
    """In its snapshot, another value is stored."""
    id = store.conversations.save(dialog_id=dialog, message={"old": 1}, reference=["old 1", "old 2"]).id
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.append_round(id, ["m"], reference=["r"]),
        first=lambda writer: ConversationStore(connection=writer).conversations.append_message(
            id, {"message": value, "reference": value}
        ),
    )
    read = store.conversations.get_by_id(id)
    if value == "new":
        assert isinstance(result, NotAppendable)
        assert (read.message, read.reference, read.round) == (value, value, 1)
    else:
        before = value if isinstance(value, list) else [value] if value else []
        assert (read.message, read.reference, read.round) == ([*before, "m"], [*before, "r"], 2)


@pytest.mark.parametrize("turn_id", [None, "t"])
@pytest.mark.parametrize(
    ("stored", "added"),
    [
        ({"round": 2**31 - 1}, {}),
        ({"tokens": 2**63 - 1}, {"tokens": 1}),
        ({"tokens": -(2**63)}, {"tokens": -1}),
        ({"duration": 1e15}, {"duration": 1e15}),
        ({"duration": -1e15}, {"duration": -1e15}),
    ],
)
def test_a_sum_beyond_its_range_raises_counter_overflow_and_changes_nothing(
    store: Any, dialog: str, stored: dict[str, Any], added: dict[str, Any], turn_id: str | None
) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], **stored)
    with pytest.raises(CounterOverflow, match=r"^tokens, duration or round would leave its range; nothing") as caught:
        store.conversations.append_round(saved.id, [2], **added, turn_id=turn_id)
    assert isinstance(caught.value, Conflict)
    assert store.conversations.get_by_id(saved.id) == saved


def test_of_24_writers_at_once_each_appends_its_turn_as_a_whole(
    api: SyncApi | AsyncApi, store: Any, dialog: str
) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    calls = [
        lambda s, i=i: s.conversations.append_round(id, [{"turn": i}, {"answer": i}], reference=[i]) for i in range(24)
    ]
    assert sorted(api.together(store, calls)) == list(range(1, 25))
    read = store.conversations.get_by_id(id)
    turns = [entry["turn"] for entry in read.message[::2]]
    assert (sorted(turns), read.round) == (list(range(24)), 24)
    assert [entry["answer"] for entry in read.message[1::2]] == turns
    assert read.reference == turns


def test_of_16_writers_at_once_with_the_same_expected_round_one_succeeds(
    api: SyncApi | AsyncApi, store: Any, dialog: str
) -> None:
    id = store.conversations.save(dialog_id=dialog, round=7).id
    calls = [lambda s, i=i: s.conversations.append_round(id, [i], expected_round=7) for i in range(16)]
    results = api.together(store, calls)
    assert results.count(8) == 1
    conflicts = [result for result in results if isinstance(result, RoundConflict)]
    assert [(conflict.expected, conflict.current) for conflict in conflicts] == [(7, 8)] * 15
    assert len(store.conversations.get_by_id(id).message) == 1


@pytest.mark.one_server("the WAL is that of the workers")
def test_the_wal_does_not_grow_with_the_conversation(db: str) -> None:
    def entry(i: int) -> dict[str, str]:
        return {"role": "user", "content": f"turn {i:04} " + "text of a turn 检索增强生成 " * 10}

    def written(length: int) -> float:
        id = store.conversations.save(dialog_id=dialog, message=[entry(i) for i in range(length)]).id
        given: dict[str, Any] = {"reference": "[]", "tokens": 1, "duration": 1.0, "errors": None}
        given |= {"id": id, "tenant_id": "t", "dialog_id": None, "expected_round": None, "expected_revision": None}
        turns = [json.dumps([entry(i)], ensure_ascii=False) for i in range(10)]
        calls = [{"messages": turn, **given} for turn in turns]
        return median_wal_bytes(connection, "conversation.append_round", calls)

    with ConversationStore(db) as store, psycopg.connect(db, autocommit=True) as connection:
        if connection.execute("SELECT current_setting('full_page_writes')").fetchone() != ("off",):
            pytest.skip("the caller's server writes full-page images")
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        short, long = written(10), written(400)
    assert short > 500
    assert long < short * 1.2


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_another_dialog_than_the_given_one_raises_conversation_not_found_and_changes_nothing(
    store: Any, dialog: str, tenant: str
) -> None:
    other = store.dialogs.save(id="other" + dialog, tenant_id=tenant).id
    saved = store.conversations.save(dialog_id=dialog, message=[1])
    with pytest.raises(ConversationNotFound):
        store.conversations.append_round(saved.id, [2], reference=[3], dialog_id=other)
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_turn_is_appended_to_a_conversation_of_the_given_dialog(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1])
    assert store.conversations.append_round(saved.id, [2], dialog_id=dialog) == 1
    assert store.conversations.get_by_id(saved.id).message == [1, 2]


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_changes_nothing(
    store: Any, equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.append_round(equal_ids[0].id, ["x"])
    assert as_stored(store, equal_ids) == equal_ids


def test_a_turn_is_appended_to_the_conversation_of_the_given_tenant_alone(
    store: Any, equal_ids: list[Conversation]
) -> None:
    one, two = equal_ids
    assert store.conversations.append_round(two.id, ["x"], reference=["y"], tenant_id=two.tenant_id) == 1
    first, second = as_stored(store, equal_ids)
    assert second is not None
    assert first == one
    assert (second.message, second.reference) == ([two.tenant_id, "x"], [two.tenant_id, "y"])


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, store: Any, dialog: str, tenant: str) -> None:
    id, own = store.conversations.save(dialog_id=dialog).id, "conversation.append_round"
    assert statements_of(lambda s: s.conversations.append_round(id, [])) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.append_round(id, [], tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.append_round(id, [])) == [own]
