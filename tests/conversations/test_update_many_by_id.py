"""`conversations.update_many_by_id`: many are changed, each in its own way, all of them or none."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from conversation_store import (
    NOT_READ,
    AmbiguousId,
    Conversation,
    ConversationNotFound,
    ConversationStore,
    InvalidArgument,
    InvalidArgumentType,
)
from support.both_apis import AsyncApi, SyncApi
from support.costs import shared_blocks
from support.lock_order import locks_in_order_of_ids
from support.races import call_behind
from support.stored import FULL, as_stored, positions

CHANGES: list[dict[str, Any]] = [
    {},
    {"name": None, "exp_user_id": None, "source": None, "errors": None, "version_title": None},
    {"name": "检索", "user_id": "", "tokens": -1, "duration": 2.5, "thumb_up": 7, "errors": "e", "source": "s"},
    {"message": []},
    {"message": "text", "reference": {"a": None}},
    {"message": None, "reference": None, "dsl": [1]},
    {"message": [1, 2, 3, 4, 5, 6, 7], "reference": [[]]},
    {"dsl": "{}"},
    {"dsl": None},
]


def save_many(store: Any, dialog: str, number: int) -> list[Any]:
    """Save conversations with every field, and return them in order of their ids."""
    ids = [f"{dialog}-{i:02}" for i in range(number)]
    store.conversations.insert_many({"id": id, "dialog_id": dialog, **FULL} for id in ids)
    saved: list[Any] = store.conversations.get_by_ids(ids)
    return saved


def test_each_conversation_gets_its_own_changes_and_keeps_the_rest(store: Any, dialog: str) -> None:
    saved = save_many(store, dialog, len(CHANGES))
    updates = ({"id": before.id, **change} for before, change in zip(saved, CHANGES, strict=True))
    assert store.conversations.update_many_by_id(updates) == len(CHANGES)
    after = store.conversations.get_by_ids([before.id for before in saved])
    for before, change, read in zip(saved, CHANGES, after, strict=True):
        assert read.update_date > before.update_date
        assert read == replace(before, **change, revision=1, update_date=read.update_date)


@pytest.mark.parametrize(
    "ignored",
    [
        {"name": NOT_READ, "message": NOT_READ, "dsl": NOT_READ},
        {"round": 99, "revision": 99, "dialog_id": "foreign"},
        {"create_date": "2000-01-01", "update_date": None},
    ],
)
def test_what_was_not_read_the_round_the_revision_the_dialog_and_the_dates_are_ignored(
    store: Any, dialog: str, ignored: dict[str, Any]
) -> None:
    (saved,) = save_many(store, dialog, 1)
    assert store.conversations.update_many_by_id([{"id": saved.id, **ignored}]) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, revision=1, update_date=read.update_date)


def test_rows_that_name_their_tenants_are_changed_there_without_looking_for_them(
    store: Any, equal_ids: tuple[Conversation, Conversation], statements_of: Any
) -> None:
    first, second = equal_ids
    rows = [{**row.to_dict(), "name": row.tenant_id} for row in equal_ids]
    names = statements_of(lambda of: of.conversations.update_many_by_id(rows))
    assert names == ["conversation.update_many_by_id"] * 2
    for row in (first, second):
        assert store.conversations.get_by_id(row.id, tenant_id=row.tenant_id).name == row.tenant_id
    bound = store.for_tenant(first.tenant_id).conversations
    with pytest.raises(InvalidArgument, match=r"^conversations\[0\]\['tenant_id'\] must be .* or be left out, not"):
        bound.update_many_by_id([second.to_dict()])


def test_rows_with_and_without_a_tenant_are_changed_together(
    store: Any, equal_ids: tuple[Conversation, Conversation], dialog: str
) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    first, _ = equal_ids
    rows = [{"id": saved.id, "name": "a"}, {"id": first.id, "tenant_id": first.tenant_id, "name": "b"}]
    assert store.conversations.update_many_by_id(rows) == 2
    assert store.conversations.get_by_id(saved.id).name == "a"
    assert store.conversations.get_by_id(first.id, tenant_id=first.tenant_id).name == "b"
    with pytest.raises(InvalidArgument, match=r"^conversations\[1\] has the duplicate id"):
        store.conversations.update_many_by_id([rows[1], {"id": first.id}])


def test_conversations_that_are_not_given_are_not_changed(store: Any, dialog: str) -> None:
    one, two = save_many(store, dialog, 2)
    store.conversations.update_many_by_id([{"id": one.id, "name": "after"}])
    assert store.conversations.get_by_id(two.id) == two


def test_a_changed_list_can_be_appended_to(store: Any, dialog: str) -> None:
    (saved,) = save_many(store, dialog, 1)
    store.conversations.update_many_by_id([{"id": saved.id, "message": []}])
    assert store.conversations.append_round(saved.id, ["x"]) == saved.round + 1
    assert store.conversations.get_by_id(saved.id).message == ["x"]


def test_changed_messages_are_found_by_keywords(store: Any, dialog: str, tenant: str) -> None:
    (saved,) = save_many(store, dialog, 1)
    store.conversations.update_many_by_id([{"id": saved.id, "message": [{"role": "user", "content": "new"}]}])
    assert store.conversations.get_list(dialog, tenant, keywords="new").count == 1


def test_an_empty_list_changes_nothing(store: Any) -> None:
    assert store.conversations.update_many_by_id([]) == 0


def test_a_missing_conversation_raises_conversation_not_found_and_changes_none(store: Any, dialog: str) -> None:
    one, two = save_many(store, dialog, 2)
    change = {"name": "after", "message": ["after"], "tokens": 1}
    with pytest.raises(ConversationNotFound, match=r"there is no conversation 'nowhere'; nothing was changed"):
        store.conversations.update_many_by_id([{"id": one.id, **change}, {"id": "nowhere"}, {"id": two.id, **change}])
    assert store.conversations.get_by_ids([one.id, two.id]) == [one, two]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"tokens": None}, InvalidArgumentType, r"conversations\[1\]\['tokens'\] must be an int"),
        ({"nothing": 1}, InvalidArgument, "unknown: 'nothing'"),
        ({"message": ["\0"]}, InvalidArgument, r"conversations\[1\]\['message'\]\[0\]"),
        ({"id": "first"}, InvalidArgument, r"conversations\[1\] has the duplicate id"),
        ({"id": ""}, InvalidArgument, r"conversations\[1\]\['id'\] must be given"),
    ],
)
def test_one_wrong_mapping_raises_and_changes_none(
    store: Any, dialog: str, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    one, two = save_many(store, dialog, 2)
    change = {"id": two.id, **wrong}
    if wrong.get("id") == "first":
        change["id"] = one.id
    with pytest.raises(error, match=message):
        store.conversations.update_many_by_id([{"id": one.id, "name": "after"}, change])
    assert store.conversations.get_by_ids([one.id, two.id]) == [one, two]


def test_rows_are_locked_in_order_of_their_ids(api: SyncApi | AsyncApi, store: Any, dialog: str, db: str) -> None:
    assert locks_in_order_of_ids(
        api, db, store, dialog, lambda s, ids: s.conversations.update_many_by_id([{"id": id} for id in ids])
    )


def test_writers_of_the_same_in_any_order_do_not_deadlock_and_leave_one_list_each(
    api: SyncApi | AsyncApi, store: Any, dialog: str
) -> None:
    ids = [f"{dialog}-{number}" for number in range(5)]
    store.conversations.insert_many({"id": id, "dialog_id": dialog} for id in ids)

    def update(writer: int) -> Callable[[Any], Any]:
        order = ids if writer % 2 else ids[::-1]
        message = [[writer, n] for n in range(writer + 1)]
        return lambda s: s.conversations.update_many_by_id([{"id": id, "message": message} for id in order])

    def append(s: Any) -> Any:
        """Write what differs from the snapshot, as one of the writers."""
        return s.conversations.append_message(ids[0], {"message": [[7, n] for n in range(8)]})

    for _ in range(5):
        assert api.together(store, [*map(update, range(7)), append]) == [5] * 7 + [1]
        for conversation in store.conversations.get_by_ids(ids):
            (writer,) = {writer for writer, _ in conversation.message}
            assert conversation.message == [[writer, n] for n in range(writer + 1)]


def test_append_message_that_waited_for_a_change_of_many_writes_its_whole_list(
    api: SyncApi | AsyncApi, store: Any, dialog: str, db: str
) -> None:
    """append_message writes what differs from its snapshot, and the revision must tell that the snapshot is old."""
    id = store.conversations.save(dialog_id=dialog, message=["one", "two"]).id
    change = {"id": id, "message": ["changed", "two"]}
    written = call_behind(
        api,
        db,
        store,
        lambda s: s.conversations.append_message(id, {"message": ["one", "two"]}),
        first=lambda writer: ConversationStore(connection=writer).conversations.update_many_by_id([change]),
    )
    assert written == 1
    assert store.conversations.get_by_id(id).message == ["one", "two"]


def test_entries_beyond_the_count_are_gone(store: Any, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=[1, 2, 3], reference=[1, 2, 3]).id
    for message, reference, left in (
        (["x"], "y", ([1], [1])),
        (["x", "y"], [1], ([1, 2], [1])),
        ("x", [1], ([1], [1])),
        ([], [1, 2], ([], [1, 2])),
    ):
        store.conversations.update_many_by_id([{"id": id, "message": message, "reference": reference}])
        assert positions(db, id) == left


@pytest.mark.one_server("a coordinator does not say what a worker reads")
def test_a_rename_does_not_read_the_dsl(db: str) -> None:
    with psycopg.connect(db) as connection:  # never committed
        conversations = ConversationStore(connection=connection).conversations
        dialog = uuid.uuid4().hex
        ConversationStore(connection=connection).dialogs.save(id=dialog, tenant_id="t")

        def rename_beside(characters: int) -> int:
            # Random, so that it cannot be compressed.
            dsl = base64.b64encode(os.urandom(characters * 3 // 4)).decode()
            ids = [uuid.uuid4().hex for _ in range(10)]
            conversations.insert_many([{"id": id, "dialog_id": dialog, "dsl": dsl} for id in ids])
            updates = ",".join(f'{{"id": "{id}", "changes": {{"name": "after"}}}}' for id in ids)
            given: dict[str, Any] = {"tenant_id": "t", "dialog_id": None, "updates": f"[{updates}]"}
            read = shared_blocks(connection, "conversation.update_many_by_id", **given)
            assert {conversations.get_by_id(id).name for id in ids} == {"after"}  # type: ignore[union-attr]
            return read

        rename_beside(100)  # the catalogue is read once
        small, large = rename_beside(100), rename_beside(1_000_000)
        connection.rollback()
    assert large < small + 500  # a dsl of a million characters is in more than a hundred blocks


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_one_of_another_dialog_than_the_given_one_raises_and_changes_none(store: Any, dialog: str, tenant: str) -> None:
    (mine,) = save_many(store, dialog, 1)
    (theirs,) = save_many(store, str(store.dialogs.save(id="other" + dialog, tenant_id=tenant).id), 1)
    changes = [{"id": mine.id, "name": "after"}, {"id": theirs.id, "name": "after"}]
    with pytest.raises(ConversationNotFound, match=f"there is no conversation '{theirs.id}'; nothing was changed"):
        store.conversations.update_many_by_id(changes, dialog_id=dialog)
    assert as_stored(store, [mine, theirs]) == [mine, theirs]


def test_conversations_of_the_given_dialog_are_changed(store: Any, dialog: str) -> None:
    changes = [{"id": saved.id, "name": "after"} for saved in save_many(store, dialog, 2)]
    assert store.conversations.update_many_by_id(changes, dialog_id=dialog) == 2
    assert {c.name for c in store.conversations.query(dialog_id=dialog)} == {"after"}


def test_conversations_of_two_tenants_are_changed_and_counted_together(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    changes = [{"id": c.id, "name": f"after {c.id}", "message": [c.id, "x"]} for c in in_two_tenants]
    assert store.conversations.update_many_by_id(changes) == 3
    read = store.conversations.get_by_ids([c.id for c in in_two_tenants])
    assert [{"id": c.id, "name": c.name, "message": c.message} for c in read] == changes


def test_a_missing_one_beside_those_of_two_tenants_raises_and_changes_none(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    changes = [*({"id": c.id, "name": "after"} for c in in_two_tenants), {"id": "nowhere"}]
    with pytest.raises(ConversationNotFound, match=r"there is no conversation 'nowhere'; nothing was changed"):
        store.conversations.update_many_by_id(changes)
    assert as_stored(store, in_two_tenants) == in_two_tenants


def test_one_of_the_second_tenant_that_is_not_of_the_dialog_undoes_the_changes_of_the_first(
    store: Any, in_two_tenants: list[Conversation]
) -> None:
    """The statement of the first tenant has run when that of the second finds no such conversation."""
    changes = [{"id": c.id, "name": "after", "message": []} for c in in_two_tenants]
    with pytest.raises(ConversationNotFound, match="nothing was changed"):
        store.conversations.update_many_by_id(changes, dialog_id=in_two_tenants[1].dialog_id)
    assert as_stored(store, in_two_tenants) == in_two_tenants


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_changes_none(
    store: Any, dialog: str, equal_ids: list[Conversation]
) -> None:
    mine = save_many(store, dialog, 1)
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.update_many_by_id([{"id": c.id, "name": "after"} for c in (*mine, equal_ids[0])])
    assert as_stored(store, [*mine, *equal_ids]) == [*mine, *equal_ids]


def test_only_the_conversation_of_the_given_tenant_is_changed(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    change = {"id": two.id, "name": "after", "message": [], "reference": "x"}
    assert store.conversations.update_many_by_id([change], tenant_id=two.tenant_id) == 1
    first, second = as_stored(store, equal_ids)
    assert second is not None
    assert (first, second.name, second.message, second.reference) == (one, "after", [], "x")


def test_without_a_tenant_there_is_a_statement_for_each_that_has_an_id(
    statements_of: Any, in_two_tenants: list[Conversation]
) -> None:
    own, mine = "conversation.update_many_by_id", in_two_tenants[1]
    every, one = [{"id": c.id} for c in in_two_tenants], [{"id": mine.id}]
    assert statements_of(lambda s: s.conversations.update_many_by_id(every)) == ["conversation.find", own, own]
    assert statements_of(lambda s: s.conversations.update_many_by_id(one, tenant_id=mine.tenant_id)) == [own]
    assert statements_of(lambda s: s.for_tenant(mine.tenant_id).conversations.update_many_by_id(one)) == [own]
