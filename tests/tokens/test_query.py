"""`tokens.query`: the tokens of a tenant, of a dialog, with a secret or with a beta, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from conversation_store import InvalidArgument, IssuedToken
from support.statements import store_without_server


@dataclass(frozen=True)
class Tokens:
    """Two tokens of one tenant: an older one for all dialogs, which has a beta, and a newer one for one dialog."""

    for_all: IssuedToken
    for_one: IssuedToken
    beta: str


@pytest.fixture
def tokens(store: Any, tenant: str, dialog: str) -> Tokens:
    """Give the two tokens of the tenant."""
    for_all, for_one = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    return Tokens(for_all, for_one, store.tokens.fill_beta(for_all.id, tenant_id=tenant).beta)


def ids(store: Any, **filters: Any) -> list[int]:
    return [token.id for token in store.tokens.query(**filters)]


def test_the_tokens_of_a_tenant_are_listed_newest_first(store: Any, tenant: str, tokens: Tokens) -> None:
    assert ids(store, tenant_id=tenant) == [tokens.for_one.id, tokens.for_all.id]


def test_tokens_of_one_date_are_listed_by_id(store: Any, tenant: str) -> None:
    saved = [
        store.tokens.save(tenant_id=tenant, token=f"{tenant}{number}", create_date="2024-01-01") for number in range(3)
    ]
    assert ids(store, tenant_id=tenant) == [token.id for token in reversed(saved)]


def test_at_most_limit_tokens_are_listed(store: Any, tenant: str, tokens: Tokens) -> None:
    assert ids(store, tenant_id=tenant, limit=1) == [tokens.for_one.id]
    assert ids(store, tenant_id=tenant, limit=0) == []


def test_the_tokens_of_other_tenants_are_not_listed(store: Any, tenant: str, tokens: Tokens) -> None:
    assert tokens
    assert ids(store, tenant_id="other" + tenant) == []


def test_a_token_is_found_by_its_dialog(store: Any, tenant: str, dialog: str, tokens: Tokens) -> None:
    assert ids(store, dialog_id=dialog) == ids(store, tenant_id=tenant, dialog_id=dialog) == [tokens.for_one.id]


def test_a_token_is_found_by_its_secret(store: Any, tokens: Tokens) -> None:
    assert ids(store, token=tokens.for_all.token) == [tokens.for_all.id]


def test_a_token_is_found_by_its_beta(store: Any, tokens: Tokens) -> None:
    assert ids(store, beta=tokens.beta) == [tokens.for_all.id]


def test_a_token_must_match_all_filters(store: Any, dialog: str, tenant: str, tokens: Tokens) -> None:
    assert ids(store, beta=tokens.beta, token=tokens.for_all.token) == [tokens.for_all.id]
    assert ids(store, tenant_id="other" + tenant, dialog_id=dialog) == []
    assert ids(store, tenant_id="other" + tenant, token=tokens.for_all.token) == []
    assert ids(store, beta=tokens.beta, dialog_id=dialog) == []


@pytest.mark.parametrize("filters", [{"beta": ""}, {"beta": "\0"}, {"token": ""}, {"token": "\0"}])
def test_a_text_that_cannot_be_stored_matches_nothing(store: Any, filters: dict[str, str]) -> None:
    assert store.tokens.query(**filters) == []


def test_expired_and_revoked_tokens_are_listed(store: Any, tenant: str) -> None:
    expired = store.tokens.issue(tenant_id=tenant, expire_date="2024-01-01")
    revoked = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(revoked.id, tenant_id=tenant)
    assert ids(store, tenant_id=tenant) == [revoked.id, expired.id]


def test_a_query_stamps_no_use(store: Any, tokens: Tokens) -> None:
    store.tokens.query(token=tokens.for_one.token)
    assert store.tokens.query(token=tokens.for_one.token)[0].use_date is None


@pytest.mark.parametrize("filters", [{}, {"tenant_id": None}, {"limit": 1}])
def test_without_any_filter_the_call_is_rejected(filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="one of tenant_id, dialog_id, token and beta must be given"):
        store_without_server().tokens.query(**filters)
