"""`dialogs.delete_by_ids`: dialogs without conversations, all of them or none, with their tokens."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from conversation_store import AmbiguousId, DialogNotEmpty
from support.both_apis import AsyncApi, SyncApi
from support.tokens import drop_dialog_key, refuse_deletions


@pytest.fixture
def ids(store: Any, tenant: str) -> list[str]:
    """Give the ids of the tenant's three dialogs."""
    ids = [f"{tenant}{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    return ids


def test_the_dialogs_are_deleted_and_counted_and_missing_ones_skipped(store: Any, tenant: str, ids: list[str]) -> None:
    assert store.dialogs.delete_by_ids([*ids[1:], "missing" + tenant]) == 2
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == ids[:1]


def test_an_empty_list_deletes_nothing(store: Any) -> None:
    assert store.dialogs.delete_by_ids([]) == 0


def test_one_dialog_with_conversations_raises_dialog_not_empty_and_deletes_none(
    store: Any, tenant: str, ids: list[str]
) -> None:
    store.conversations.save(dialog_id=ids[2])
    with pytest.raises(DialogNotEmpty, match="has conversations"):
        store.dialogs.delete_by_ids(ids)
    assert len(store.dialogs.query(tenant_id=tenant)) == 3


def test_with_a_tenant_id_only_its_dialogs_are_deleted(store: Any, tenant: str, ids: list[str]) -> None:
    other = store.dialogs.save(id="other" + tenant, tenant_id="other" + tenant).id
    assert store.dialogs.delete_by_ids([*ids, other], tenant_id="other" + tenant) == 1
    assert store.dialogs.delete_by_ids([*ids, other], tenant_id=tenant) == 3


def test_only_the_tokens_bound_to_the_dialogs_are_deleted(store: Any, tenant: str, ids: list[str]) -> None:
    tokens = [store.tokens.issue(tenant_id=tenant, dialog_id=id) for id in (ids[0], ids[1], None)]
    store.dialogs.delete_by_ids(ids[1:])
    assert {token.id for token in store.tokens.query(tenant_id=tenant)} == {tokens[0].id, tokens[2].id}


# -- two tenants ----------------------------------------------------------------------------


def test_dialogs_of_two_tenants_are_deleted_with_their_tokens_and_counted_together(
    store: Any, tenant: str, ids: list[str]
) -> None:
    theirs = store.dialogs.save(id="theirs" + tenant, tenant_id="other" + tenant)
    store.tokens.issue(tenant_id=theirs.tenant_id, dialog_id=theirs.id)
    assert store.dialogs.delete_by_ids([theirs.id, *ids[1:]]) == 3
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == ids[:1]
    assert store.dialogs.query(tenant_id=theirs.tenant_id) == []
    assert store.tokens.query(tenant_id=theirs.tenant_id) == []


def test_a_dialog_with_conversations_of_the_second_of_two_tenants_deletes_none_of_the_first(
    store: Any, tenant: str, ids: list[str]
) -> None:
    theirs = store.dialogs.save(id="theirs" + tenant, tenant_id="other" + tenant)  # the later tenant
    store.conversations.save(dialog_id=theirs.id)
    token = store.tokens.issue(tenant_id=tenant, dialog_id=ids[0])
    with pytest.raises(DialogNotEmpty, match="has conversations"):
        store.dialogs.delete_by_ids([*ids, theirs.id])
    assert len(store.dialogs.query(tenant_id=tenant)) == 3
    assert store.tokens.authenticate(token.token).id == token.id


def test_of_two_tenants_with_the_same_ids_only_the_dialogs_of_the_named_one_are_deleted(
    store: Any, tenant: str, ids: list[str]
) -> None:
    for name in ("one", "two"):
        store.dialogs.insert_many({"id": id, "tenant_id": name + tenant} for id in ids)
    assert store.dialogs.delete_by_ids(ids[1:], tenant_id=tenant) == 2
    assert store.for_tenant("one" + tenant).dialogs.delete_by_ids(ids) == 3
    left = [len(store.dialogs.query(tenant_id=name + tenant)) for name in ("", "one", "two")]
    assert left == [1, 0, 3]


def test_one_id_that_two_tenants_have_raises_ambiguous_id_and_deletes_none(
    store: Any, tenant: str, ids: list[str], dialog: str, other_tenant: str
) -> None:
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}'"):
        store.dialogs.delete_by_ids([*ids, dialog])
    assert len(store.dialogs.query(tenant_id=tenant)) == 4
    assert len(store.dialogs.query(tenant_id=other_tenant)) == 1


# -- tokens where they have no foreign key --------------------------------------------------


def test_without_a_foreign_key_the_tokens_bound_to_the_dialogs_are_deleted_and_no_others(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    dialogs = ("d", "t"), ("e", "t"), ("f", "t"), ("d", "u"), ("g", "u")
    with api.store(database) as store:
        store.dialogs.insert_many({"id": id, "tenant_id": of} for id, of in dialogs)
        tokens = {(id, of): store.tokens.issue(tenant_id=of, dialog_id=id).id for id, of in dialogs}
        assert store.dialogs.delete_by_ids(["d", "e"], tenant_id="t") == 2
        assert store.dialogs.delete_by_ids(["f", "g"]) == 2
        left = [token.id for owner in ("t", "u") for token in store.tokens.query(tenant_id=owner)]
    assert left == [tokens["d", "u"]]


def test_without_a_foreign_key_dialogs_of_which_one_has_conversations_keep_their_tokens(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    dialogs = ("d", "t"), ("e", "t"), ("f", "u")
    with api.store(database) as store:
        store.dialogs.insert_many({"id": id, "tenant_id": of} for id, of in dialogs)
        tokens = [store.tokens.issue(tenant_id=of, dialog_id=id) for id, of in dialogs]
        for full, ids in (("e", ["d", "e"]), ("f", ["d", "f"])):
            conversation = store.conversations.save(dialog_id=full)
            with pytest.raises(DialogNotEmpty):
                store.dialogs.delete_by_ids(ids)
            store.conversations.delete_by_id(conversation.id)
        assert [store.tokens.authenticate(token.token).dialog_id for token in tokens] == ["d", "e", "f"]


def test_without_a_foreign_key_dialogs_whose_tokens_cannot_be_deleted_are_kept(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    refuse_deletions(database)
    with api.store(database) as store:
        store.dialogs.insert_many({"id": id, "tenant_id": "t"} for id in ("d", "e"))
        store.tokens.issue(tenant_id="t", dialog_id="e")
        for dialogs, named in (
            (store.dialogs, {}),
            (store.dialogs, {"tenant_id": "t"}),
            (store.for_tenant("t").dialogs, {}),
        ):
            with pytest.raises(psycopg.errors.RaiseException):
                dialogs.delete_by_ids(["d", "e"], **named)
            assert len(store.dialogs.get_by_ids(["d", "e"])) == 2
