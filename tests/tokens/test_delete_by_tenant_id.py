"""`tokens.delete_by_tenant_id`: every token of a tenant."""

from __future__ import annotations

from typing import Any

from conversation_store import ConversationStore, TokenNotFound
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind


def test_every_token_of_the_tenant_is_deleted_and_counted(store: Any, tenant: str, dialog: str) -> None:
    tokens = [store.tokens.issue(tenant_id=tenant, dialog_id=bound) for bound in (None, None, dialog)]
    assert store.tokens.delete_by_tenant_id(tenant) == 3
    assert store.tokens.query(tenant_id=tenant) == []
    assert store.tokens.authenticate(tokens[0].token) is None


def test_the_tokens_of_other_tenants_are_kept(store: Any, tenant: str) -> None:
    other = store.tokens.issue(tenant_id="other" + tenant)
    store.tokens.issue(tenant_id=tenant)
    store.tokens.delete_by_tenant_id(tenant)
    assert store.tokens.authenticate(other.token).id == other.id


def test_a_tenant_without_tokens_returns_0(store: Any, tenant: str) -> None:
    assert store.tokens.delete_by_tenant_id(tenant) == 0


def test_a_successor_issued_while_the_deletion_waits_is_deleted_too(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    deleted = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.delete_by_tenant_id(tenant),
        first=lambda writer: ConversationStore(connection=writer).tokens.rotate(id, tenant_id=tenant),
    )
    assert deleted == 2
    assert store.tokens.query(tenant_id=tenant) == []


def test_a_rotation_that_waits_for_the_deletion_raises_token_not_found_and_issues_no_token(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    rotated = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.rotate(id, tenant_id=tenant),
        first=lambda writer: ConversationStore(connection=writer).tokens.delete_by_tenant_id(tenant),
    )
    assert isinstance(rotated, TokenNotFound)
    assert store.tokens.query(tenant_id=tenant) == []


def test_on_a_bound_store_the_tokens_of_its_tenant_are_deleted_without_naming_it(store: Any, tenant: str) -> None:
    other = store.tokens.issue(tenant_id="other" + tenant)
    store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant(tenant).tokens.delete_by_tenant_id() == 1
    assert store.tokens.query(tenant_id=tenant) == []
    assert store.tokens.authenticate(other.token).id == other.id
