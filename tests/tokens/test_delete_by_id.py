"""`tokens.delete_by_id`: a tenant's token, by its id."""

from __future__ import annotations

from typing import Any


def test_only_the_token_with_the_id_is_deleted(store: Any, tenant: str) -> None:
    issued, other = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant)
    assert store.tokens.delete_by_id(issued.id, tenant_id=tenant) == 1
    assert store.tokens.authenticate(issued.token) is None
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [other.id]


def test_a_missing_token_returns_0(store: Any, tenant: str) -> None:
    assert store.tokens.delete_by_id(2**63 - 1, tenant_id=tenant) == 0


def test_a_token_of_another_tenant_returns_0_and_is_kept(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.delete_by_id(issued.id, tenant_id="other" + tenant) == 0
    assert store.tokens.authenticate(issued.token).id == issued.id


def test_on_a_bound_store_only_a_token_of_its_tenant_is_deleted(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant("other" + tenant).tokens.delete_by_id(issued.id) == 0
    assert store.tokens.authenticate(issued.token).id == issued.id
    assert store.for_tenant(tenant).tokens.delete_by_id(issued.id) == 1
    assert store.tokens.authenticate(issued.token) is None
