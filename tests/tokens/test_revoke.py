"""`tokens.revoke`: a token ends now, for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from support.tokens import move_date


def test_a_revoked_token_no_longer_authenticates(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.revoke(issued.id, tenant_id=tenant) == 1
    assert store.tokens.authenticate(issued.token) is None


def test_the_beta_of_a_revoked_token_no_longer_authenticates(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    beta = store.tokens.fill_beta(issued.id, tenant_id=tenant).beta
    assert store.tokens.authenticate_beta(beta).id == issued.id
    store.tokens.revoke(issued.id, tenant_id=tenant)
    assert store.tokens.authenticate_beta(beta) is None


def test_a_revoked_token_is_listed_with_its_revoke_date(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(issued.id, tenant_id=tenant)
    (listed,) = store.tokens.query(tenant_id=tenant)
    assert (listed.id, listed.expire_date) == (issued.id, None)
    assert listed.revoke_date == listed.update_date > issued.update_date


def test_a_revoked_token_returns_0_and_keeps_its_revoke_date(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(issued.id, tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    assert store.tokens.revoke(issued.id, tenant_id=tenant) == 0
    assert store.tokens.query(tenant_id=tenant) == before


def test_an_expired_token_may_be_revoked(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, expire_date="2024-01-01")
    assert store.tokens.revoke(issued.id, tenant_id=tenant) == 1


def test_a_token_stays_revoked_when_the_clock_of_the_server_is_set_back(store: Any, tenant: str, db: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(issued.id, tenant_id=tenant)
    move_date(db, issued.id, "revoke_date", timedelta(days=1))
    assert store.tokens.authenticate(issued.token) is None
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date=None) == 0
    (listed,) = store.tokens.query(tenant_id=tenant)
    assert (listed.expire_date, listed.revoke_date is not None) == (None, True)


def test_a_token_of_another_tenant_returns_0_and_is_not_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    assert store.tokens.revoke(issued.id, tenant_id="other" + tenant) == 0
    assert store.tokens.query(tenant_id=tenant) == before


def test_on_a_bound_store_only_a_token_of_its_tenant_is_revoked(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant("other" + tenant).tokens.revoke(issued.id) == 0
    assert store.tokens.query(tenant_id=tenant)[0].revoke_date is None
    assert store.for_tenant(tenant).tokens.revoke(issued.id) == 1
    assert store.tokens.authenticate(issued.token) is None
