"""`tokens.query`: the tokens of a tenant, of a dialog, with a secret or with a beta, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from conversation_store import AmbiguousId, InvalidArgument, IssuedToken
from support.both_apis import AsyncApi, SyncApi
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
    assert ids(store, tenant_id=tenant) == sorted((token.id for token in saved), reverse=True)


def test_at_most_limit_tokens_are_listed(store: Any, tenant: str, tokens: Tokens) -> None:
    assert ids(store, tenant_id=tenant, limit=1) == [tokens.for_one.id]
    assert ids(store, tenant_id=tenant, limit=0) == []


@pytest.mark.parametrize(("limit", "has_more"), [(0, True), (1, True), (2, False), (3, False)])
def test_has_more_says_whether_there_are_more_tokens_than_listed(
    store: Any, tenant: str, tokens: Tokens, limit: int, has_more: bool
) -> None:
    assert tokens
    store.tokens.issue(tenant_id="other" + tenant)
    assert store.tokens.query(tenant_id=tenant, limit=limit).has_more is has_more
    assert store.for_tenant(tenant).tokens.query(limit=limit).has_more is has_more


def test_has_more_of_a_dialog_counts_only_the_tokens_of_the_dialog(store: Any, dialog: str, tokens: Tokens) -> None:
    assert tokens
    assert store.tokens.query(dialog_id=dialog, limit=1).has_more is False
    assert store.tokens.query(dialog_id=dialog, limit=0).has_more is True


def test_the_tokens_of_other_tenants_are_not_listed(store: Any, tenant: str, tokens: Tokens) -> None:
    assert tokens
    assert ids(store, tenant_id="other" + tenant) == []


def test_a_token_is_found_by_its_dialog(store: Any, tenant: str, dialog: str, tokens: Tokens) -> None:
    assert ids(store, dialog_id=dialog) == ids(store, tenant_id=tenant, dialog_id=dialog) == [tokens.for_one.id]


def test_only_a_call_with_a_dialog_and_without_a_tenant_finds_the_tenant_by_a_statement_of_its_own(
    api: SyncApi | AsyncApi, db: str, tenant: str, dialog: str, tokens: Tokens
) -> None:
    names: list[str] = []
    with api.store(db, on_statement=lambda name, *_: names.append(name)) as store:
        assert ids(store, dialog_id=dialog) == [tokens.for_one.id]
        assert names == ["dialog.find", "api_token.query"]
        names.clear()
        ids(store, dialog_id=dialog, tenant_id=tenant)
        ids(store, token=tokens.for_one.token)
        ids(store.for_tenant(tenant), dialog_id=dialog)
        assert names == ["api_token.query"] * 3


def test_a_dialog_that_no_tenant_has_gives_no_tokens(store: Any, tenant: str, tokens: Tokens) -> None:
    assert ids(store, dialog_id="missing" + tenant) == []
    assert ids(store, dialog_id="missing" + tenant, token=tokens.for_all.token) == []


def test_a_dialog_id_that_two_tenants_have_raises_ambiguous_id_and_is_that_of_the_named_one(
    store: Any, tenant: str, dialog: str, tokens: Tokens
) -> None:
    store.dialogs.save(id=dialog, tenant_id="other" + tenant)
    theirs = store.tokens.issue(tenant_id="other" + tenant, dialog_id=dialog)
    with pytest.raises(AmbiguousId, match=f"two tenants have a dialog '{dialog}'"):
        store.tokens.query(dialog_id=dialog)
    for owner, token in ((tenant, tokens.for_one), ("other" + tenant, theirs)):
        assert ids(store, dialog_id=dialog, tenant_id=owner) == [token.id]
        assert ids(store.for_tenant(owner), dialog_id=dialog) == [token.id]


def test_on_a_bound_store_the_tokens_of_its_tenant_are_listed(store: Any, tenant: str, tokens: Tokens) -> None:
    assert ids(store.for_tenant(tenant)) == [tokens.for_one.id, tokens.for_all.id]


def test_on_a_bound_store_a_token_of_another_tenant_is_unknown_and_not_stamped(
    store: Any, tenant: str, dialog: str, tokens: Tokens
) -> None:
    before = store.tokens.query(tenant_id=tenant)
    bound = store.for_tenant("other" + tenant)
    for filters in ({}, {"token": tokens.for_one.token}, {"beta": tokens.beta}, {"dialog_id": dialog}):
        listed = bound.tokens.query(**filters)
        assert (listed, listed.has_more) == ([], False)
    assert [token.use_date for token in before] == [None, None]
    assert store.tokens.query(tenant_id=tenant) == before


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
