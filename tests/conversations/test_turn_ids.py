"""The ids of turns: an append that is sent again is done once, and returns the round that it got."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import OperationalError

from conversation_store import (
    Conflict,
    ConversationNotFound,
    ConversationStore,
    CounterOverflow,
    NotAppendable,
    RevisionConflict,
    RoundConflict,
    TurnConflict,
)
from conversation_store._sql_loader import sql_directory
from support.both_apis import AsyncApi, SyncApi
from support.proxy import Mode, proxy
from support.races import call_behind

TURN: dict[str, Any] = {
    "messages": [{"role": "user", "content": "问题"}],
    "reference": [{"a": 1, "b": [1.5, None]}],
    "tokens": 3,
    "duration": 0.5,
    "errors": "e",
}


@pytest.fixture
def id(store: Any, dialog: str) -> str:
    """Give the id of a new conversation without messages, in round 7."""
    return str(store.conversations.save(dialog_id=dialog, round=7).id)


@pytest.mark.parametrize("turn_id", ["t", "x" * 128, 5, uuid.UUID(int=5)])
def test_a_turn_that_is_sent_again_returns_its_round_and_changes_nothing(store: Any, id: str, turn_id: Any) -> None:
    assert store.conversations.append_round(id, turn_id=turn_id, **TURN) == 8
    assert store.conversations.append_round(id, ["between"]) == 9
    before = store.conversations.get_by_id(id)
    assert store.conversations.append_round(id, turn_id=turn_id, **TURN) == 8
    assert store.conversations.get_by_id(id) == before
    assert (before.message, before.reference) == ([*TURN["messages"], "between"], TURN["reference"])
    assert (before.tokens, before.duration, before.errors, before.revision) == (3, 0.5, "e", 2)


def test_another_store_is_told_the_round_too(api: SyncApi | AsyncApi, store: Any, db: str, id: str) -> None:
    store.conversations.append_round(id, turn_id="t", **TURN)
    with api.store(db) as other:
        assert other.conversations.append_round(id, turn_id="t", **TURN) == 8


@pytest.mark.parametrize(
    "other",
    [
        {"messages": []},
        {"messages": [*TURN["messages"], 1]},
        {"messages": [{"role": "user", "content": "问 题"}]},
        {"reference": []},
        {"reference": [{"a": 1, "b": [None, 1.5]}]},
        {"tokens": 4},
        {"duration": 0.25},
        {"errors": None},
    ],
)
def test_other_content_under_the_same_id_raises_turn_conflict_and_changes_nothing(
    store: Any, id: str, other: dict[str, Any]
) -> None:
    store.conversations.append_round(id, turn_id="t", **TURN)
    before = store.conversations.get_by_id(id)
    with pytest.raises(TurnConflict, match=r"'t'.* was appended before, with other content") as caught:
        store.conversations.append_round(id, turn_id="t", **{**TURN, **other})
    assert isinstance(caught.value, Conflict)
    assert "问" not in str(caught.value)
    assert store.conversations.get_by_id(id) == before


def test_the_order_of_the_keys_of_an_object_is_no_other_content(store: Any, id: str) -> None:
    store.conversations.append_round(id, turn_id="t", **TURN)
    reference = [{"b": [1.5, None], "a": 1}]
    assert store.conversations.append_round(id, turn_id="t", **{**TURN, "reference": reference}) == 8


def test_the_digest_that_is_stored_of_a_content_stays_the_same(store: Any, id: str, db: str) -> None:
    store.conversations.append_round(id, turn_id="t", **TURN)
    with psycopg.connect(db) as connection:
        stored = "SELECT encode(digest, 'hex') FROM conversation_store.conversation_turn WHERE conversation_id = %s"
        row = connection.execute(stored, [id]).fetchone()
    assert row == ("460fbc5a6d8afc4bce442808fe762d62b6cfab0a42e1a2f7363e6988b0ce755f",)


def test_a_turn_is_looked_at_before_the_expected_round_and_revision(store: Any, id: str) -> None:
    expected: dict[str, Any] = {"expected_round": 7, "expected_revision": 0}
    for _ in range(2):
        assert store.conversations.append_round(id, turn_id="t", **TURN, **expected) == 8
    with pytest.raises(TurnConflict):
        store.conversations.append_round(id, [], turn_id="t", **expected)
    with pytest.raises(RoundConflict):
        store.conversations.append_round(id, [], turn_id="another", **expected)


def test_a_turn_is_looked_at_before_what_can_be_appended_to(store: Any, id: str) -> None:
    store.conversations.append_round(id, turn_id="t", **TURN)
    store.conversations.update_by_id(id, {"message": "text"})
    assert store.conversations.append_round(id, turn_id="t", **TURN) == 8
    with pytest.raises(NotAppendable):
        store.conversations.append_round(id, turn_id="another", **TURN)


def test_a_turn_of_the_last_round_that_is_sent_again_is_no_overflow(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, round=2**31 - 2).id
    for _ in range(2):
        assert store.conversations.append_round(id, turn_id="t", **TURN) == 2**31 - 1
    for _ in range(2):
        with pytest.raises(CounterOverflow):
            store.conversations.append_round(id, turn_id="another", **TURN)


@pytest.mark.parametrize(
    ("expected", "error"),
    [({"expected_round": 6}, RoundConflict), ({"expected_revision": 1}, RevisionConflict), ({}, NotAppendable)],
)
def test_an_append_that_fails_takes_no_id(
    store: Any, id: str, expected: dict[str, int], error: type[Exception]
) -> None:
    if error is NotAppendable:
        store.conversations.update_by_id(id, {"message": "text"})
    with pytest.raises(error):
        store.conversations.append_round(id, ["first"], turn_id="t", **expected)
    store.conversations.update_by_id(id, {"message": []})
    assert store.conversations.append_round(id, ["second"], turn_id="t") == 8
    assert store.conversations.get_by_id(id).message == ["second"]


def test_an_id_is_of_one_conversation(store: Any, dialog: str, id: str) -> None:
    other = store.conversations.save(dialog_id=dialog).id
    assert store.conversations.append_round(id, ["x"], turn_id="t") == 8
    assert store.conversations.append_round(other, ["y"], turn_id="t") == 1
    assert store.conversations.append_round(id, ["x"], turn_id="t") == 8
    assert store.conversations.append_round(other, ["y"], turn_id="t") == 1


def test_an_id_is_free_again_when_its_conversation_was_deleted(store: Any, dialog: str, id: str, db: str) -> None:
    for turn in ("first", "second"):
        assert store.conversations.append_round(id, [turn], turn_id="t") == 8
        store.conversations.delete_by_id(id)
        with psycopg.connect(db) as connection:
            left = "SELECT count(*) FROM conversation_store.conversation_turn WHERE conversation_id = %s"
            assert connection.execute(left, [id]).fetchone() == (0,)
        with pytest.raises(ConversationNotFound):
            store.conversations.append_round(id, [turn], turn_id="t")
        store.conversations.save(id=id, dialog_id=dialog, round=7)


def test_a_turn_that_is_sent_again_for_another_dialog_raises_conversation_not_found(
    store: Any, id: str, dialog: str
) -> None:
    assert store.conversations.append_round(id, [], turn_id="t", dialog_id=dialog) == 8
    with pytest.raises(ConversationNotFound):
        store.conversations.append_round(id, [], turn_id="t", dialog_id="another")


def test_only_a_turn_that_was_there_takes_a_second_statement(statements_of: Any, id: str, tenant: str) -> None:
    def append(turn_id: str | None) -> Callable[[Any], Any]:
        return lambda s: s.for_tenant(tenant).conversations.append_round(id, [], turn_id=turn_id)

    assert statements_of(append(None)) == ["conversation.append_round"]
    assert statements_of(append("t")) == ["conversation.append_turn"]
    assert statements_of(append("t")) == ["conversation.append_turn", "conversation_turn.get"]


def test_the_file_for_turns_is_that_for_rounds_with_the_turn() -> None:
    round_, turn = (
        (sql_directory() / f"conversation/append_{name}.sql").read_text().partition("WITH ")[2]
        for name in ("round", "turn")
    )
    before, _, after = turn.partition("-- A turn that is there already")
    without = before + "appended AS (" + after.partition("\nappended AS (")[2]
    assert without.replace("        AND EXISTS (SELECT FROM claimed)\n", "") == round_


# -- transactions ------------------------------------------------------------------------------------


def test_after_a_repeat_and_a_turn_conflict_a_transaction_goes_on(store: Any, id: str) -> None:
    store.conversations.append_round(id, turn_id="t", **TURN)
    with store.transaction() as tx:
        assert tx.conversations.append_round(id, turn_id="t", **TURN) == 8
        with pytest.raises(TurnConflict):
            tx.conversations.append_round(id, ["other"], turn_id="t")
        for _ in range(2):
            assert tx.conversations.append_round(id, ["next"], turn_id="u") == 9
    assert store.conversations.get_by_id(id).message == [*TURN["messages"], "next"]


def test_a_transaction_that_is_rolled_back_takes_no_id(store: Any, id: str) -> None:
    with pytest.raises(RuntimeError), store.transaction() as tx:
        tx.conversations.append_round(id, ["lost"], turn_id="t")
        raise RuntimeError
    assert store.conversations.append_round(id, ["kept"], turn_id="t") == 8
    assert store.conversations.get_by_id(id).message == ["kept"]


# -- at the same time --------------------------------------------------------------------------------


def test_of_16_senders_of_a_turn_at_once_all_are_told_its_round(api: SyncApi | AsyncApi, store: Any, id: str) -> None:
    calls = [lambda s: s.conversations.append_round(id, turn_id="t", **TURN)] * 16
    assert api.together(store, calls) == [8] * 16
    assert store.conversations.get_by_id(id).message == TURN["messages"]


def test_of_two_turns_under_one_id_at_once_one_raises_turn_conflict(
    api: SyncApi | AsyncApi, store: Any, id: str
) -> None:
    calls = [lambda s, n=n: s.conversations.append_round(id, [n], turn_id="t") for n in range(2)]
    results = api.together(store, calls)
    assert sorted(type(result).__name__ for result in results) == ["TurnConflict", "int"]
    assert store.conversations.get_by_id(id).message == [results.index(8)]


@pytest.mark.parametrize(
    ("first", "ends", "outcome", "stored"),
    [
        (["x"], "commit", 8, ["x"]),
        (["other"], "commit", "TurnConflict", ["other"]),
        (["x"], "rollback", 8, ["x"]),
        (["other"], "rollback", 8, ["x"]),
    ],
)
def test_a_sender_that_waited_for_the_same_turn_sees_how_it_ended(
    api: SyncApi | AsyncApi,
    store: Any,
    id: str,
    db: str,
    first: list[str],
    ends: str,
    outcome: Any,
    stored: list[str],
) -> None:
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.append_round(id, ["x"], turn_id="t"),
        first=lambda writer: ConversationStore(connection=writer).conversations.append_round(id, first, turn_id="t"),
        then=lambda writer: getattr(writer, ends)(),
    )
    assert (result if isinstance(result, int) else type(result).__name__) == outcome
    read = store.conversations.get_by_id(id)
    assert (read.message, read.round) == (stored, 8)


def test_a_sender_that_waited_for_another_writer_appends_behind_it(
    api: SyncApi | AsyncApi, store: Any, id: str, db: str
) -> None:
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.append_round(id, ["second"], turn_id="t"),
        first=lambda writer: ConversationStore(connection=writer).conversations.append_round(id, ["first"]),
    )
    assert (result, store.conversations.get_by_id(id).message) == (9, ["first", "second"])


def test_a_sender_that_waited_for_the_deletion_raises_conversation_not_found(
    api: SyncApi | AsyncApi, store: Any, id: str, db: str
) -> None:
    store.conversations.append_round(id, ["x"], turn_id="t")
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.append_round(id, ["x"], turn_id="t"),
        first=lambda writer: ConversationStore(connection=writer).conversations.delete_by_id(id),
    )
    assert isinstance(result, ConversationNotFound)


def test_a_conversation_that_is_deleted_between_the_two_statements_is_not_found(
    api: SyncApi | AsyncApi, store: Any, id: str, db: str
) -> None:
    store.conversations.append_round(id, ["x"], turn_id="t")

    def delete(name: str, *_: Any) -> None:
        if name == "conversation.append_turn":
            with psycopg.connect(db) as connection:
                ConversationStore(connection=connection).conversations.delete_by_id(id)

    with api.store(db, on_statement=delete) as observed, pytest.raises(ConversationNotFound, match="any longer"):
        observed.conversations.append_round(id, ["x"], turn_id="t")


# -- lost answers ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_of_1000_turns_over_connections_that_are_cut_at_random_each_is_there_once(
    api: SyncApi | AsyncApi, store: Any, dialog: str, db: str
) -> None:
    """Each turn is sent until it is answered; of a cut, its sender does not know whether it was before the commit."""
    chosen = random.Random(5)
    id = store.conversations.save(dialog_id=dialog).id
    answered: dict[int, int] = {}
    statements: list[str] = []

    def send(n: int) -> Callable[[Any], Any]:
        return lambda s: s.conversations.append_round(id, [{"turn": n}], reference=[n], tokens=1, turn_id=n)

    with (
        proxy(db) as between,
        api.store(between.conninfo, on_statement=lambda name, *_: statements.append(name)) as far,
    ):
        to_send = list(range(1000))
        while to_send:
            between.set(chosen.choice([Mode.PASS, Mode.CUT_QUERY, Mode.CUT_ANSWER]), only='{"turn":')
            sent, to_send = to_send[-4:], to_send[:-4]
            for n, result in zip(sent, api.together(far, [send(n) for n in sent]), strict=True):
                if isinstance(result, int):
                    answered[n] = result
                else:
                    assert isinstance(result, OperationalError), result
                    to_send.append(n)
        assert between.cuts > 100
    read = store.conversations.get_by_id(id)
    assert (read.round, read.tokens, len(read.message), len(answered)) == (1000, 1000, 1000, 1000)
    assert {entry["turn"]: position for position, entry in enumerate(read.message, start=1)} == answered
    assert read.reference == [entry["turn"] for entry in read.message]
    assert statements.count("conversation_turn.get") > 30
