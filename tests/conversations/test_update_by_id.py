"""`conversations.update_by_id`: given fields are applied, and the round is left as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from conversation_store import NOT_READ, AmbiguousId, Conversation, ConversationStore, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.costs import shared_blocks
from support.races import call_behind
from support.stored import as_stored

FIELDS: dict[str, Any] = {
    "name": "new",
    "user_id": "v",
    "exp_user_id": None,
    "tokens": 2**40,
    "source": None,
    "duration": 0.1,
    "thumb_up": -2,
    "errors": 'it\'s "quoted" \\ 检索',
    "version_title": "",
    "dsl": ["x"],
}


@pytest.fixture
def saved(store: Any, dialog: str) -> Conversation:
    """Give a conversation with a value in every field."""
    saved: Conversation = store.conversations.save(
        dialog_id=dialog,
        name="n",
        user_id="u",
        exp_user_id="e",
        message=[1, 2],
        reference=[3],
        tokens=1,
        source="s",
        dsl={"a": 1.0},
        duration=1.5,
        round=5,
        thumb_up=1,
        errors="x",
        version_title="v",
    )
    return saved


@pytest.mark.parametrize("fields", [*([field] for field in FIELDS), [*FIELDS], []], ids=",".join)
def test_given_fields_are_changed_and_nothing_else(store: Any, saved: Conversation, fields: list[str]) -> None:
    changes = {field: FIELDS[field] for field in fields}
    assert store.conversations.update_by_id(saved.id, changes) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, **changes, revision=1, update_date=read.update_date)


def test_lists_are_changed_beside_fields_and_the_round_is_kept(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1, 2], round=5, dsl={"a": 1})
    changes: dict[str, Any] = {"message": [1, 3, 4], "name": "n", "thumb_up": 1}
    assert store.conversations.update_by_id(saved.id, changes) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert read == replace(saved, **changes, revision=1, update_date=read.update_date)


def test_a_whole_row_as_read_is_accepted(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], round=5)
    assert store.conversations.update_by_id(saved.id, saved.to_dict() | {"errors": "e"}) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read == replace(saved, errors="e", revision=1, update_date=read.update_date)


def test_a_missing_conversation_returns_0(store: Any) -> None:
    assert store.conversations.update_by_id("nowhere", {"name": "n"}) == 0


def test_an_unknown_key_raises_invalid_argument_and_changes_nothing(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    with pytest.raises(InvalidArgument, match="unknown: 'nothing'"):
        store.conversations.update_by_id(saved.id, {"name": "n", "nothing": 1})
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_rename_increments_the_revision_and_a_given_one_is_ignored(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    for revision in (1, 2):
        store.conversations.update_by_id(saved.id, {"name": "n", "revision": 99})
        assert store.conversations.get_by_id(saved.id).revision == revision


def test_none_stores_null_and_what_was_not_read_is_left_as_it_is(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, dsl={"a": 1}, message=[1])
    store.conversations.update_by_id(saved.id, {"dsl": NOT_READ, "message": NOT_READ})
    read = store.conversations.get_by_id(saved.id)
    assert (read.dsl, read.message) == ({"a": 1}, [1])
    store.conversations.update_by_id(saved.id, {"dsl": None, "message": None})
    read = store.conversations.get_by_id(saved.id)
    assert (read.dsl, read.message) == (None, None)


def test_fields_that_waited_for_another_writer_are_changed_in_the_row_as_that_left_it(
    api: SyncApi | AsyncApi, store: Any, saved: Conversation, db: str
) -> None:
    assert (
        call_behind(
            api,
            db,
            store,
            lambda s: s.conversations.update_by_id(saved.id, {"errors": "e"}),
            first=lambda writer: ConversationStore(connection=writer).conversations.append_round(
                saved.id, [4], tokens=2
            ),
        )
        == 1
    )
    read = store.conversations.get_by_id(saved.id)
    assert (read.errors, read.message, read.tokens, read.round, read.revision) == ("e", [1, 2, 4], 3, 6, 2)


def test_a_large_dsl_is_not_read_where_other_fields_are_changed(store: Any, dialog: str, tenant: str, db: str) -> None:
    large = [f"{number:08}" for number in range(100_000)]
    ids = [store.conversations.save(dialog_id=dialog, dsl=dsl).id for dsl in ([], large)]
    with psycopg.connect(db) as connection:
        blocks = [
            shared_blocks(
                connection,
                "conversation.update_by_id",
                id=id,
                tenant_id=tenant,
                dialog_id=None,
                changes='{"name": "n"}',
                dsl=None,
            )
            for id in (ids[0], *ids)
        ]
    assert blocks[2] < blocks[1] + 20  # of about 30 for each 250,000 bytes, compressed


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_a_conversation_of_another_dialog_than_the_given_one_is_not_changed(
    store: Any, dialog: str, tenant: str
) -> None:
    other = store.dialogs.save(id="other" + dialog, tenant_id=tenant).id
    saved = store.conversations.save(dialog_id=dialog)
    assert store.conversations.update_by_id(saved.id, {"name": "n"}, dialog_id=other) == 0
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_conversation_of_the_given_dialog_is_changed(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    assert store.conversations.update_by_id(saved.id, {"name": "n"}, dialog_id=dialog) == 1
    assert store.conversations.get_by_id(saved.id).name == "n"


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_changes_nothing(
    store: Any, equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.update_by_id(equal_ids[0].id, {"name": "n"})
    assert as_stored(store, equal_ids) == equal_ids


def test_only_the_conversation_of_the_given_tenant_is_changed(store: Any, equal_ids: list[Conversation]) -> None:
    one, two = equal_ids
    assert store.for_tenant(two.tenant_id).conversations.update_by_id(two.id, {"name": "n"}) == 1
    first, second = as_stored(store, equal_ids)
    assert second is not None
    assert (first, second.name) == (one, "n")


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, tenant: str) -> None:
    own = "conversation.update_by_id"
    assert statements_of(lambda s: s.conversations.update_by_id("x", {})) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.update_by_id("x", {}, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.update_by_id("x", {})) == [own]


@pytest.mark.parametrize("changes", [{"message": []}, {"reference": None}])
def test_messages_and_references_take_the_statement_that_locks_them(
    statements_of: Any, tenant: str, changes: dict[str, Any]
) -> None:
    own = "conversation.append_message"
    assert statements_of(lambda s: s.conversations.update_by_id("x", changes, tenant_id=tenant)) == [own]
