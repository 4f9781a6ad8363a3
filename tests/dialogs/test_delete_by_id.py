"""`dialogs.delete_by_id`: one dialog without conversations, with its tokens."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from conversation_store import AmbiguousId, ConversationStore, DialogNotEmpty
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind
from support.tokens import drop_dialog_key, refuse_deletions


def test_a_dialog_is_deleted(store: Any, dialog: str) -> None:
    assert store.dialogs.delete_by_id(dialog) == 1
    assert store.dialogs.get_by_id(dialog) is None


def test_a_missing_dialog_returns_0(store: Any, dialog: str) -> None:
    assert store.dialogs.delete_by_id("missing" + dialog) == 0


def test_a_dialog_with_conversations_raises_dialog_not_empty_and_is_kept(store: Any, dialog: str) -> None:
    store.conversations.save(dialog_id=dialog)
    with pytest.raises(DialogNotEmpty, match=r"^the dialog '.*' has conversations; delete them first"):
        store.dialogs.delete_by_id(dialog)
    assert store.dialogs.get_by_id(dialog) is not None


def test_a_dialog_is_deleted_once_its_conversations_are(store: Any, dialog: str) -> None:
    conversation = store.conversations.save(dialog_id=dialog)
    assert store.conversations.delete_by_id(conversation.id) == 1
    assert store.dialogs.delete_by_id(dialog) == 1


def test_only_the_tokens_bound_to_the_dialog_are_deleted(store: Any, tenant: str, dialog: str) -> None:
    store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    for_all = store.tokens.issue(tenant_id=tenant)
    store.dialogs.delete_by_id(dialog)
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [for_all.id]


def test_a_successor_issued_while_the_deletion_waits_is_deleted_too(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, dialog: str
) -> None:
    id = store.tokens.issue(tenant_id=tenant, dialog_id=dialog).id
    deleted = call_behind(
        api,
        db,
        store,
        lambda s: s.dialogs.delete_by_id(dialog),
        first=lambda writer: ConversationStore(connection=writer).tokens.rotate(id, tenant_id=tenant),
    )
    assert deleted == 1
    assert store.tokens.query(tenant_id=tenant) == []


# -- two tenants ----------------------------------------------------------------------------


def test_a_dialog_of_another_tenant_returns_0_and_is_kept_with_its_tokens(store: Any, tenant: str, dialog: str) -> None:
    token = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    assert store.dialogs.delete_by_id(dialog, tenant_id="other" + tenant) == 0
    assert store.for_tenant("other" + tenant).dialogs.delete_by_id(dialog) == 0
    assert store.dialogs.get_by_id(dialog) is not None
    assert store.tokens.authenticate(token.token) is not None


def test_of_two_tenants_with_the_same_id_only_the_dialog_of_the_named_one_is_deleted_with_its_tokens(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    mine, theirs = (store.tokens.issue(tenant_id=owner, dialog_id=dialog) for owner in (tenant, other_tenant))
    assert store.dialogs.delete_by_id(dialog, tenant_id=tenant) == 1
    assert store.dialogs.get_by_id(dialog).tenant_id == other_tenant
    assert store.tokens.authenticate(mine.token) is None
    assert store.tokens.authenticate(theirs.token).id == theirs.id


def test_the_conversations_of_another_tenants_dialog_with_the_same_id_do_not_prevent_a_deletion(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    kept = store.conversations.save(dialog_id=dialog, tenant_id=other_tenant)
    assert store.for_tenant(tenant).dialogs.delete_by_id(dialog) == 1
    assert store.conversations.get_by_id(kept.id) == kept


def test_an_id_that_two_tenants_have_raises_ambiguous_id_and_deletes_neither(
    store: Any, tenant: str, dialog: str, other_tenant: str
) -> None:
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}'"):
        store.dialogs.delete_by_id(dialog)
    for owner in (tenant, other_tenant):
        assert store.dialogs.get_by_id(dialog, tenant_id=owner) is not None


# -- tokens where they have no foreign key --------------------------------------------------


def test_without_a_foreign_key_the_tokens_bound_to_the_dialog_are_deleted_and_no_others(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    with api.store(database) as store:
        store.dialogs.insert_many({"id": id, "tenant_id": of} for id, of in (("d", "t"), ("e", "t"), ("d", "u")))
        store.tokens.issue(tenant_id="t", dialog_id="d")
        kept = [store.tokens.issue(tenant_id=of, dialog_id=id) for id, of in ((None, "t"), ("e", "t"), ("d", "u"))]
        assert store.dialogs.delete_by_id("d", tenant_id="t") == 1
        left = [token.id for owner in ("t", "u") for token in store.tokens.query(tenant_id=owner)]
    assert sorted(left) == sorted(token.id for token in kept)


def test_without_a_foreign_key_a_dialog_with_conversations_keeps_its_tokens(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    with api.store(database) as store:
        store.dialogs.save(id="d", tenant_id="t")
        store.conversations.save(dialog_id="d")
        token = store.tokens.issue(tenant_id="t", dialog_id="d")
        with pytest.raises(DialogNotEmpty):
            store.dialogs.delete_by_id("d")
        assert store.tokens.authenticate(token.token).dialog_id == "d"


def test_without_a_foreign_key_a_dialog_whose_tokens_cannot_be_deleted_is_kept(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    refuse_deletions(database)
    with api.store(database) as store:
        store.dialogs.save(id="d", tenant_id="t")
        store.tokens.issue(tenant_id="t", dialog_id="d")
        for dialogs, named in (
            (store.dialogs, {}),
            (store.dialogs, {"tenant_id": "t"}),
            (store.for_tenant("t").dialogs, {}),
        ):
            with pytest.raises(psycopg.errors.RaiseException):
                dialogs.delete_by_id("d", **named)
            assert store.dialogs.get_by_id("d") is not None


def test_without_a_foreign_key_a_successor_issued_while_the_deletion_waits_is_deleted_too(
    api: SyncApi | AsyncApi, database: str
) -> None:
    drop_dialog_key(database)
    with api.store(database, min_size=2) as store:
        store.dialogs.save(id="d", tenant_id="t")
        id = store.tokens.issue(tenant_id="t", dialog_id="d").id
        deleted = call_behind(
            api,
            database,
            store,
            lambda s: s.dialogs.delete_by_id("d"),
            first=lambda writer: ConversationStore(connection=writer).tokens.rotate(id, tenant_id="t"),
        )
        assert (deleted, store.tokens.query(tenant_id="t")) == (1, [])
