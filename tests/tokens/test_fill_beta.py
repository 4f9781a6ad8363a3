"""`tokens.fill_beta`: a live token gets a beta unless it has one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from conversation_store import ConversationStore, TokenNotFound
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind
from support.tokens import DateColumn, call_while_token_ends


def test_a_random_beta_is_stored_and_returned(store: Any, tenant: str) -> None:
    one, two = (store.tokens.issue(tenant_id=tenant).id for _ in range(2))
    filled = store.tokens.fill_beta(one, tenant_id=tenant)
    assert len(filled.beta) >= 32
    assert store.tokens.query(beta=filled.beta) == [filled]
    assert store.tokens.fill_beta(two, tenant_id=tenant).beta != filled.beta


def test_a_beta_that_is_there_is_kept(store: Any, tenant: str) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    filled = store.tokens.fill_beta(id, tenant_id=tenant)
    assert store.tokens.fill_beta(id, tenant_id=tenant) == filled


def test_a_call_that_waits_for_another_returns_the_beta_of_the_other(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    earlier: list[Any] = []
    later = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.fill_beta(id, tenant_id=tenant),
        first=lambda writer: earlier.append(
            ConversationStore(connection=writer).tokens.fill_beta(id, tenant_id=tenant)
        ),
    )
    assert [later] == earlier


@pytest.mark.parametrize("column", ["revoke_date", "expire_date"])
def test_a_token_that_ends_while_the_call_waits_for_it_raises_token_not_found(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, column: DateColumn
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    result = call_while_token_ends(
        api, db, store, issued.id, column, lambda s: s.tokens.fill_beta(issued.id, tenant_id=tenant)
    )
    assert isinstance(result, TokenNotFound)
    assert store.tokens.query(tenant_id=tenant)[0].beta is None


def test_a_revoked_token_raises_token_not_found(store: Any, tenant: str) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    store.tokens.revoke(id, tenant_id=tenant)
    with pytest.raises(TokenNotFound):
        store.tokens.fill_beta(id, tenant_id=tenant)


def test_an_expired_token_raises_token_not_found(store: Any, tenant: str) -> None:
    id = store.tokens.issue(tenant_id=tenant, expire_date="2024-01-01").id
    with pytest.raises(TokenNotFound):
        store.tokens.fill_beta(id, tenant_id=tenant)


def test_a_rotated_token_raises_token_not_found_since_its_successor_has_the_beta(store: Any, tenant: str) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    beta = store.tokens.fill_beta(id, tenant_id=tenant).beta
    new = store.tokens.rotate(id, tenant_id=tenant, grace=timedelta(hours=1))
    with pytest.raises(TokenNotFound, match=r"the tenant has no live token \d+, or it was rotated already"):
        store.tokens.fill_beta(id, tenant_id=tenant)
    assert store.tokens.fill_beta(new.id, tenant_id=tenant).beta == beta


def test_a_token_of_another_tenant_raises_token_not_found_and_is_not_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    with pytest.raises(TokenNotFound):
        store.tokens.fill_beta(issued.id, tenant_id="other" + tenant)
    assert store.tokens.query(tenant_id=tenant) == before


def test_on_a_bound_store_only_a_token_of_its_tenant_gets_a_beta(store: Any, tenant: str) -> None:
    id = store.tokens.issue(tenant_id=tenant).id
    with pytest.raises(TokenNotFound):
        store.for_tenant("other" + tenant).tokens.fill_beta(id)
    assert store.tokens.query(tenant_id=tenant)[0].beta is None
    filled = store.for_tenant(tenant).tokens.fill_beta(id)
    assert store.tokens.query(tenant_id=tenant) == [filled]
