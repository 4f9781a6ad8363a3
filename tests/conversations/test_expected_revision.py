"""`expected_revision`: what was changed since it was read is not written over."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from conversation_store import Conflict, ConversationNotFound, ConversationStore, InvalidArgument, RevisionConflict
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind

Change: TypeAlias = Callable[..., Any]

CHANGES: dict[str, Change] = {
    "append_message": lambda s, id, **given: s.conversations.append_message(id, {"message": ["x"], "dsl": 1}, **given),
    "update_by_id": lambda s, id, **given: s.conversations.update_by_id(id, {"message": ["x"], "name": "n"}, **given),
    "append_round": lambda s, id, **given: s.conversations.append_round(id, ["x"], reference=["y"], **given),
    "append_round with a turn_id": lambda s, id, turn_id=1, **given: s.conversations.append_round(
        id, ["x"], turn_id=turn_id, **given
    ),
}

each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))


@each_change
def test_a_change_of_the_expected_revision_is_made(store: Any, dialog: str, change: Change) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    assert change(store, id, expected_revision=0) == 1
    read = store.conversations.get_by_id(id)
    assert (read.message, read.revision) == (["x"], 1)
    store.conversations.delete_by_id(id)
    store.conversations.insert_many([{"id": id, "dialog_id": dialog, "revision": 2**62}])
    assert change(store, id, expected_revision=2**62) == 1


@each_change
@pytest.mark.parametrize("expected", [0, 2, 2**63 - 1])
def test_a_change_of_another_revision_raises_revision_conflict_and_changes_nothing(
    store: Any, dialog: str, change: Change, expected: int
) -> None:
    id = store.conversations.save(dialog_id=dialog, message=[1], reference=[2]).id
    store.conversations.update_by_id(id, {"message": [1, 2, 3]})
    before = store.conversations.get_by_id(id)
    with pytest.raises(RevisionConflict, match=f"expected revision {expected},.* in revision 1; nothing was") as caught:
        change(store, id, expected_revision=expected)
    assert (caught.value.expected, caught.value.current) == (expected, 1)
    assert isinstance(caught.value, Conflict)
    assert store.conversations.get_by_id(id) == before


@each_change
def test_a_change_that_waited_for_the_lock_compares_the_revision_after_it(
    api: SyncApi | AsyncApi, store: Any, dialog: str, db: str, change: Change
) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    result = call_behind(
        api,
        db,
        store,
        lambda s: change(s, id, expected_revision=0),
        first=lambda writer: ConversationStore(connection=writer).conversations.append_round(id, ["first"]),
    )
    assert isinstance(result, RevisionConflict)
    assert (result.expected, result.current) == (0, 1)
    assert store.conversations.get_by_id(id).message == ["first"]


@each_change
def test_of_8_changes_of_a_revision_at_once_one_is_made(
    api: SyncApi | AsyncApi, store: Any, dialog: str, change: Change
) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    own = change is CHANGES["append_round with a turn_id"]

    def call(n: int) -> Change:
        return lambda s: change(s, id, **({"turn_id": n} if own else {}), expected_revision=0)

    results = api.together(store, [call(n) for n in range(8)])
    assert results.count(1) == 1
    conflicts = [result for result in results if isinstance(result, RevisionConflict)]
    assert [(conflict.expected, conflict.current) for conflict in conflicts] == [(0, 1)] * 7


def test_a_conversation_that_is_not_there_is_none_of_any_revision(store: Any) -> None:
    for change in ("append_message", "update_by_id"):
        assert CHANGES[change](store, "nowhere", expected_revision=0) == 0
    for change in ("append_round", "append_round with a turn_id"):
        with pytest.raises(ConversationNotFound):
            CHANGES[change](store, "nowhere", expected_revision=0)


def test_a_row_that_was_read_is_written_back_only_while_it_is_the_current_one(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=["question"]).id
    row = store.conversations.get_by_id(id)
    store.conversations.append_round(id, ["a turn of another writer"])
    row.message[0] = "edited"
    with pytest.raises(RevisionConflict):
        store.conversations.update_by_id(id, row.to_dict(), expected_revision=row.revision)
    row = store.conversations.get_by_id(id)
    row.message[0] = "edited"
    assert store.conversations.update_by_id(id, row.to_dict(), expected_revision=row.revision) == 1
    assert store.conversations.get_by_id(id).message == ["edited", "a turn of another writer"]


def test_the_revision_inside_of_a_row_is_not_the_expected_one(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    store.conversations.append_round(saved.id, ["x"])
    assert store.conversations.update_by_id(saved.id, saved.to_dict()) == 1


@each_change
@pytest.mark.parametrize("wrong", [-1, 2**63])
def test_no_conversation_has_a_revision_out_of_range(store: Any, change: Change, wrong: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^expected_revision must be at"):
        change(store, "x", expected_revision=wrong)


def test_an_expected_round_that_is_wrong_too_is_reported_first(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, round=3).id
    with pytest.raises(Conflict, match="expected round 2, but the conversation is in round 3"):
        store.conversations.append_round(id, [], expected_round=2, expected_revision=5)


def test_the_error_crosses_to_another_process() -> None:
    crossed = pickle.loads(pickle.dumps(RevisionConflict(1, 2)))  # noqa: S301
    assert (crossed.expected, crossed.current, str(crossed)) == (1, 2, str(RevisionConflict(1, 2)))
