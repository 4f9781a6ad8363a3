"""`tokens.used`: the use of the live token with a secret is stamped."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import InvalidArgumentType
from support.both_apis import AsyncApi, SyncApi
from support.statements import store_without_server
from support.tokens import UNKNOWN, DateColumn, call_while_token_ends


def test_each_use_is_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    first = store.tokens.authenticate(issued.token)
    assert store.tokens.used(issued.token) == 1
    (stamped,) = store.tokens.query(tenant_id=tenant)
    assert stamped.use_date == stamped.update_date > first.use_date


def test_other_tokens_are_not_stamped(store: Any, tenant: str) -> None:
    issued, other = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant)
    store.tokens.used(issued.token)
    assert store.tokens.query(token=other.token)[0].use_date is None


@pytest.mark.parametrize("token", UNKNOWN, ids=range(len(UNKNOWN)))
def test_an_unknown_text_returns_0(store: Any, token: str) -> None:
    assert store.tokens.used(token) == 0


@pytest.mark.parametrize("token", [None, 1, b"bytes", ["list"]])
def test_a_token_that_is_not_a_str_raises_an_error_that_does_not_quote_it(token: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^token must be a str, not \w+$"):
        store_without_server().tokens.used(token)


def test_an_expired_token_returns_0_and_is_not_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, expire_date="2024-01-01")
    assert store.tokens.used(issued.token) == 0
    assert store.tokens.query(tenant_id=tenant)[0].use_date is None


def test_a_revoked_token_returns_0_and_is_not_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(issued.id, tenant_id=tenant)
    assert store.tokens.used(issued.token) == 0
    assert store.tokens.query(tenant_id=tenant)[0].use_date is None


@pytest.mark.parametrize("column", ["revoke_date", "expire_date"])
def test_a_token_that_ends_while_the_call_waits_for_it_returns_0(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, column: DateColumn
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert call_while_token_ends(api, db, store, issued.id, column, lambda s: s.tokens.used(issued.token)) == 0
    assert store.tokens.query(tenant_id=tenant)[0].use_date is None


def test_on_the_bound_store_of_its_tenant_the_token_is_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant(tenant).tokens.used(issued.token) == 1
    assert store.tokens.query(tenant_id=tenant)[0].use_date is not None


def test_on_the_bound_store_of_another_tenant_the_token_is_unknown_and_not_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    assert store.for_tenant("other" + tenant).tokens.used(issued.token) == 0
    assert before[0].use_date is None
    assert store.tokens.query(tenant_id=tenant) == before
