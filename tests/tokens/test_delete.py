"""`tokens.delete`: a tenant's token, by its secret."""

from __future__ import annotations

from typing import Any


def test_only_the_token_with_the_secret_is_deleted(store: Any, tenant: str) -> None:
    issued, other = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant)
    assert store.tokens.delete(tenant_id=tenant, token=issued.token) == 1
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [other.id]


def test_an_unknown_secret_returns_0(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.delete(tenant_id=tenant, token="another") == 0
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [issued.id]


def test_a_token_of_another_tenant_returns_0_and_is_kept(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.delete(tenant_id="other" + tenant, token=issued.token) == 0
    assert store.tokens.authenticate(issued.token).id == issued.id


def test_on_a_bound_store_only_a_token_of_its_tenant_is_deleted(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant("other" + tenant).tokens.delete(token=issued.token) == 0
    assert store.tokens.authenticate(issued.token).id == issued.id
    assert store.for_tenant(tenant).tokens.delete(token=issued.token) == 1
    assert store.tokens.authenticate(issued.token) is None
