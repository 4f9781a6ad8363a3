"""`tokens.expire`: the date after which a live token no longer authenticates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.both_apis import AsyncApi, SyncApi
from support.tokens import DateColumn, call_while_token_ends


def test_a_date_in_the_future_is_stored_and_the_token_authenticates(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date="2100-01-01") == 1
    assert store.tokens.authenticate(issued.token).expire_date == datetime(2100, 1, 1, tzinfo=UTC)


def test_a_date_in_the_past_is_stored_and_the_token_no_longer_authenticates(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date="2024-01-01T08:00:00+08:00") == 1
    assert store.tokens.authenticate(issued.token) is None
    assert store.tokens.query(tenant_id=tenant)[0].expire_date == datetime(2024, 1, 1, tzinfo=UTC)


def test_a_date_of_none_removes_the_expire_date(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, expire_date=datetime.now(UTC) + timedelta(hours=1))
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date=None) == 1
    assert store.tokens.authenticate(issued.token).expire_date is None


@pytest.mark.parametrize("later", [None, "2100-01-01"])
def test_an_expired_token_returns_0_and_stays_expired(store: Any, tenant: str, later: str | None) -> None:
    issued = store.tokens.issue(tenant_id=tenant, expire_date="2024-01-01")
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date=later) == 0
    assert store.tokens.authenticate(issued.token) is None
    assert store.tokens.query(tenant_id=tenant)[0].expire_date == datetime(2024, 1, 1, tzinfo=UTC)


def test_a_revoked_token_returns_0_and_is_not_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(issued.id, tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date="2100-01-01") == 0
    assert store.tokens.query(tenant_id=tenant) == before


@pytest.mark.parametrize("later", [None, "2100-01-01"])
def test_the_grace_period_of_a_rotated_token_is_not_prolonged(store: Any, tenant: str, later: str | None) -> None:
    old = store.tokens.issue(tenant_id=tenant, expire_date="2100-01-01")
    store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(hours=1))
    end = store.tokens.query(token=old.token)[0].expire_date
    assert store.tokens.expire(old.id, tenant_id=tenant, expire_date=later) == 1
    assert store.tokens.query(token=old.token)[0].expire_date == end


def test_the_grace_period_of_a_rotated_token_may_be_ended(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(hours=1))
    assert store.tokens.expire(old.id, tenant_id=tenant, expire_date="2024-01-01") == 1
    assert store.tokens.authenticate(old.token) is None


@pytest.mark.parametrize("column", ["revoke_date", "expire_date"])
def test_a_token_that_ends_while_the_call_waits_for_it_returns_0_and_stays_ended(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, column: DateColumn
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    result = call_while_token_ends(
        api, db, store, issued.id, column, lambda s: s.tokens.expire(issued.id, tenant_id=tenant, expire_date=None)
    )
    assert result == 0
    assert store.tokens.authenticate(issued.token) is None


def test_a_token_of_another_tenant_returns_0_and_is_not_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    assert store.tokens.expire(issued.id, tenant_id="other" + tenant, expire_date="2024-01-01") == 0
    assert store.tokens.query(tenant_id=tenant) == before


def test_on_a_bound_store_only_a_token_of_its_tenant_is_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant("other" + tenant).tokens.expire(issued.id, expire_date="2024-01-01") == 0
    assert store.tokens.query(tenant_id=tenant)[0].expire_date is None
    assert store.for_tenant(tenant).tokens.expire(issued.id, expire_date="2024-01-01") == 1
    assert store.tokens.authenticate(issued.token) is None
