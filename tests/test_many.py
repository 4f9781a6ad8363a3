"""Many by their ids, their dialog or their user: read, counted, changed and deleted; in both worlds."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest

from conversation_store import (
    ConversationNotFound,
    ConversationStore,
)
from support.both_apis import AsyncApi, SyncApi, commit_when_waited_for
from test_bulk import FULL


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def dialog(store: Any, tenant: str) -> Any:
    return store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


def test_conversations_are_read_by_their_ids(store: Any, dialog: str) -> None:
    saved = [store.conversations.save(dialog_id=dialog, message=[number], dsl={"n": number}) for number in range(3)]
    wanted = sorted(saved, key=lambda c: c.id)
    ids = [c.id for c in saved]
    assert store.conversations.get_by_ids([*ids, "nowhere", ids[0]]) == wanted
    assert store.conversations.get_by_ids(iter(ids)) == wanted
    assert store.conversations.get_by_ids([]) == []
    assert store.conversations.get_dialog_ids([*ids, "nowhere"]) == dict.fromkeys(ids, dialog)
    for call in (store.conversations.get_by_ids, store.conversations.get_dialog_ids, store.conversations.delete_by_ids):
        for wrong in ("text", b"x", 5, None, {"a": 1}):
            with pytest.raises(TypeError, match="ids must be a list of ids"):
                call(wrong)
        for ids, message in ((["a", ""], r"ids\[1\] must be given"), (["\0"], r"ids\[0\] must not contain U\+0000")):
            with pytest.raises(ValueError, match=message):
                call(ids)
        with pytest.raises(ValueError, match="at most 10000"):
            call(map(str, range(10_001)))


def test_a_foreign_session_is_refused(store: Any, dialog: str, tenant: str) -> None:
    other = store.dialogs.save(id="other" + dialog, tenant_id="foreign" + tenant).id
    mine, theirs = store.conversations.save(dialog_id=dialog), store.conversations.save(dialog_id=other)
    assert store.conversations.get_or_none(id=mine.id, dialog_id=dialog) == mine
    assert store.conversations.get_or_none(id=theirs.id, dialog_id=dialog) is None
    assert store.conversations.query(id=mine.id, dialog_id=dialog) == [mine]
    assert store.conversations.query(id=theirs.id, dialog_id=dialog) == []
    # An id that is empty must not turn into no filter.
    for call in (store.conversations.get_or_none, store.conversations.query):
        for wrong in ({"id": "", "dialog_id": dialog}, {"id": mine.id, "dialog_id": ""}):
            with pytest.raises(ValueError, match="must be given and not be empty"):
                call(**wrong)


def test_conversations_are_listed_by_dialog_and_by_user(store: Any, dialog: str, tenant: str) -> None:
    second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
    foreign = store.dialogs.save(id="foreign" + dialog, tenant_id="foreign" + tenant).id
    days = iter(range(1, 29))
    saved = {
        (where, user): store.conversations.save(dialog_id=where, user_id=user, create_date=f"2024-01-{next(days):02}")
        for where in (dialog, second, foreign)
        for user in ("u1", "u2", "")
    }

    def keys(**filters: Any) -> list[Any]:
        found = store.conversations.query(**filters)
        assert all(saved[c.dialog_id, c.user_id] == c for c in found)
        return [(c.dialog_id, c.user_id) for c in found]

    assert keys(dialog_id=dialog) == [(dialog, ""), (dialog, "u2"), (dialog, "u1")]
    assert keys(dialog_id=dialog, limit=2) == [(dialog, ""), (dialog, "u2")]
    assert keys(dialog_id=dialog, user_id="u1") == [(dialog, "u1")]
    assert keys(tenant_id=tenant, user_id="u1") == [(second, "u1"), (dialog, "u1")]
    assert keys(tenant_id=tenant, user_id="u1", dialog_id=second) == [(second, "u1")]
    assert keys(tenant_id="foreign" + tenant, dialog_id=dialog) == keys(dialog_id="nowhere") == []
    for too_little in ({}, {"user_id": "u1"}, {"tenant_id": tenant}, {"id": "x"}, {"tenant_id": tenant, "id": "x"}):
        with pytest.raises(ValueError, match="dialog_id must be given, or tenant_id and user_id"):
            store.conversations.query(**too_little)
    with pytest.raises(ValueError, match="user_id must be given and not be empty"):
        store.conversations.query(tenant_id=tenant, user_id="")


def test_only_owned_ones_are_deleted(store: Any, dialog: str, tenant: str) -> None:
    ids = [store.conversations.save(dialog_id=dialog, message=[1]).id for _ in range(4)]
    other = store.dialogs.save(id="other" + dialog, tenant_id="foreign" + tenant).id
    theirs = store.conversations.save(dialog_id=other).id
    assert store.conversations.delete_by_ids([]) == 0
    assert store.conversations.delete_by_ids([*ids, theirs], other, tenant_id=tenant) == 0
    assert store.conversations.delete_by_ids([ids[0], theirs], dialog) == 1
    assert store.conversations.delete_by_ids([ids[0], ids[1], theirs], tenant_id=tenant) == 1
    assert store.conversations.delete_by_ids([ids[2], ids[2], theirs, "nowhere"]) == 2
    assert store.conversations.count(tenant_id=tenant) == 1
    with pytest.raises(ValueError, match="dialog_id must be given and not be empty"):
        store.conversations.delete_by_ids(ids, "")


def test_those_who_delete_the_same_in_any_order_do_not_deadlock(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    with api.store(db, min_size=8, max_size=8) as store:
        for _ in range(10):
            ids = [f"{dialog}-{number}" for number in range(40)]
            store.conversations.insert_many([{"id": id, "dialog_id": dialog} for id in ids])
            calls = [lambda s, order=order: s.conversations.delete_by_ids(order) for order in (ids, ids[::-1]) * 4]
            assert sum(api.together(store, calls)) == 40


def test_conversations_are_counted(store: Any, dialog: str, tenant: str) -> None:
    assert store.conversations.count(dialog_id=dialog) == 0
    store.conversations.insert_many([{"dialog_id": dialog}] * 3)
    assert store.conversations.count(dialog_id=dialog) == store.conversations.count(tenant_id=tenant) == 3
    assert store.conversations.count(dialog_id=dialog, tenant_id="foreign") == 0
    assert store.conversations.count() >= 3


# -- changing many -------------------------------------------------------------------------------------


def test_a_conversation_is_changed_and_its_round_left_alone(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1, 2], round=5, dsl={"a": 1})
    assert store.conversations.update_by_id(saved.id, {"message": [1, 3, 4], "name": "n", "thumb_up": 1}) == 1
    read = store.conversations.get_by_id(saved.id)
    assert (read.message, read.name, read.thumb_up, read.round, read.dsl) == ([1, 3, 4], "n", 1, 5, {"a": 1})
    assert read.update_date > saved.update_date
    assert store.conversations.update_by_id("nowhere", {"name": "n"}) == 0
    assert store.conversations.update_by_id(saved.id, read.to_dict() | {"errors": "e"}) == 1
    assert store.conversations.get_by_id(saved.id).errors == "e"
    with pytest.raises(ValueError, match="unknown: 'nothing'"):
        store.conversations.update_by_id(saved.id, {"nothing": 1})


def test_many_are_changed_each_in_its_own_way(store: Any, dialog: str) -> None:
    saved = [
        store.conversations.save(
            dialog_id=dialog, round=number, **{k: v for k, v in FULL.items() if k not in ("round", "id")}
        )
        for number in range(12)
    ]
    changes: list[dict[str, Any]] = [
        {},
        {"name": None, "exp_user_id": None, "source": None, "errors": None, "version_title": None},
        {"name": "检索", "user_id": "", "tokens": -1, "duration": 2.5, "thumb_up": 7, "errors": "e", "source": "s"},
        {"message": []},
        {"message": "text", "reference": {"a": None}},
        {"message": None, "reference": None, "dsl": [1]},
        {"message": [1, 2, 3, 4, 5, 6, 7], "reference": [[]]},
        {"dsl": None},
        {"dsl": "{}"},
        {"round": 99, "tenant_id": "foreign", "dialog_id": "foreign", "create_date": "2000-01-01", "update_date": None},
        {"message": [{"role": "user", "content": "new"}]},
    ]
    given = [{"id": c.id, **change} for c, change in zip(saved, changes, strict=False)]
    assert store.conversations.update_many_by_id(iter(given)) == 11
    for before, change in zip(saved, changes, strict=False):
        read = store.conversations.get_by_id(before.id)
        ignored = ("round", "tenant_id", "dialog_id", "create_date", "update_date")
        wanted = {k: v for k, v in change.items() if k not in ignored and not (k == "dsl" and v is None)}
        expected = before.to_dict() | wanted
        assert read.update_date > before.update_date
        assert read.to_dict() == expected | {key: read.to_dict()[key] for key in ("update_date", "update_time")}
    assert store.conversations.get_by_id(saved[11].id) == saved[11]
    assert store.conversations.append_round(saved[3].id, ["x"]) == 4  # the revision and the counts are right
    assert store.conversations.get_by_id(saved[3].id).message == ["x"]
    assert store.conversations.get_list(dialog, saved[0].tenant_id, keywords="new").count == 1
    assert store.conversations.update_many_by_id([]) == 0


def test_all_are_changed_or_none(store: Any, dialog: str) -> None:
    one, two = (store.conversations.save(dialog_id=dialog, message=["before"]) for _ in range(2))
    change = {"name": "after", "message": ["after"], "tokens": 1}
    with pytest.raises(ConversationNotFound, match=r"there is no conversation 'nowhere'; nothing was changed"):
        store.conversations.update_many_by_id([{"id": one.id, **change}, {"id": "nowhere"}, {"id": two.id, **change}])
    for wrong, message in (
        ({"tokens": None}, r"conversations\[1\]\['tokens'\] must be an int"),
        ({"nothing": 1}, "unknown: 'nothing'"),
        ({"message": ["\0"]}, r"conversations\[1\]\['message'\]\[0\]"),
        ({"id": one.id}, r"conversations\[1\] has the duplicate id"),
        ({"id": ""}, r"conversations\[1\]\['id'\] must be given"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            store.conversations.update_many_by_id([{"id": one.id, **change}, {"id": two.id, **wrong}])
    with pytest.raises(TypeError, match="conversations must be an iterable of mappings"):
        store.conversations.update_many_by_id("text")
    assert store.conversations.get_by_ids([one.id, two.id]) == sorted([one, two], key=lambda c: c.id)


def test_those_who_change_the_same_in_any_order_leave_one_of_their_lists(
    api: SyncApi | AsyncApi, db: str, dialog: str
) -> None:
    with api.store(db, min_size=8, max_size=8) as store:
        ids = [store.conversations.save(dialog_id=dialog).id for _ in range(5)]
        for _ in range(20):

            def call(s: Any, writer: int) -> Any:
                order = ids if writer % 2 else ids[::-1]
                if writer == 7:  # a writer that compares with its snapshot
                    return s.conversations.append_message(ids[0], {"message": [[writer, n] for n in range(3)]})
                return s.conversations.update_many_by_id(
                    [{"id": id, "message": [[writer, n] for n in range(writer + 1)]} for id in order]
                )

            calls = [lambda s, writer=writer: call(s, writer) for writer in range(8)]
            assert api.together(store, calls) == [5] * 7 + [1]
            for conversation in store.conversations.get_by_ids(ids):
                (writer,) = {writer for writer, _ in conversation.message}
                assert len(conversation.message) == (3 if writer == 7 else writer + 1)


def test_a_writer_that_compares_with_its_snapshot_learns_of_a_change_of_many(
    api: SyncApi | AsyncApi, db: str, store: Any, dialog: str
) -> None:
    """append_message writes what differs from its snapshot: it must know that the snapshot is old."""
    id = store.conversations.save(dialog_id=dialog, message=["one", "two"]).id
    with psycopg.connect(db) as other, api.store(db) as waiting:
        mine = ConversationStore(connection=other)
        mine.conversations.update_many_by_id([{"id": id, "message": ["changed", "two"]}])
        written, _ = api.together(
            waiting,
            [
                lambda s: s.conversations.append_message(id, {"message": ["one", "two"]}),
                lambda s: commit_when_waited_for(api, db, other),
            ],
        )
        assert written == 1
    assert store.conversations.get_by_id(id).message == ["one", "two"]


def test_entries_beyond_the_count_are_gone(store: Any, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=[1, 2, 3], reference=[1, 2, 3]).id

    def entries() -> list[Any]:
        with psycopg.connect(db) as connection:
            return [
                connection.execute(
                    f"SELECT array_agg(position ORDER BY position) FROM conversation_store.{table} WHERE conversation_id = %s",
                    [id],
                ).fetchone()
                for table in ("conversation_message", "conversation_reference")
            ]

    store.conversations.update_many_by_id([{"id": id, "message": ["x"], "reference": "y"}])
    assert entries() == [([1],), ([0],)]
    store.conversations.update_many_by_id([{"id": id, "message": ["x", "y"], "reference": [1]}])
    store.conversations.update_many_by_id([{"id": id, "message": "x", "reference": [1]}])
    assert entries() == [([0],), ([1],)]
    store.conversations.update_many_by_id([{"id": id, "message": [], "reference": [1, 2]}])
    assert entries() == [(None,), ([1, 2],)]
