"""`tokens.authenticate_beta`: the live token with a beta, whose use is stamped."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import ApiToken, InvalidArgumentType
from conversation_store._sql_loader import sql_directory
from support.both_apis import AsyncApi, SyncApi
from support.statements import store_without_server
from support.tokens import UNKNOWN, lock, new_secret


@pytest.fixture
def beta(store: Any, tenant: str) -> str:
    """Give the beta of a new token of the tenant."""
    return str(store.tokens.save(tenant_id=tenant, token=new_secret(), beta="beta-" + tenant).beta)


def test_the_token_is_returned(store: Any, tenant: str, beta: str) -> None:
    found = store.tokens.authenticate_beta(beta)
    assert type(found) is ApiToken
    assert (found.tenant_id, found.beta) == (tenant, beta)


@pytest.mark.parametrize("text", UNKNOWN, ids=range(len(UNKNOWN)))
def test_an_unknown_text_returns_none(store: Any, text: str) -> None:
    assert store.tokens.authenticate_beta(text) is None


@pytest.mark.parametrize("beta", [None, 1, b"x", ["list"]])
def test_a_beta_that_is_not_a_str_raises_an_error_that_does_not_quote_it(beta: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^beta must be a str, not \w+$"):
        store_without_server().tokens.authenticate_beta(beta)


def test_the_secret_of_a_token_is_not_its_beta(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.authenticate_beta(issued.token) is None


def test_a_use_is_stamped_unless_the_last_one_is_within_stamp_every(store: Any, beta: str) -> None:
    first = store.tokens.authenticate_beta(beta)
    assert first.use_date == first.update_date > first.create_date
    assert store.tokens.authenticate_beta(beta) == first
    assert store.tokens.authenticate_beta(beta, stamp_every=timedelta(0)).use_date > first.use_date


def test_a_locked_token_authenticates_without_a_stamp_and_without_waiting(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with api.store(make_conninfo(db, options="-c statement_timeout=5s")) as store, psycopg.connect(db) as other:
        id = store.tokens.save(tenant_id=tenant, token=new_secret(), beta=tenant).id
        lock(other, id)
        found = store.tokens.authenticate_beta(tenant)
        assert (found.id, found.use_date) == (id, None)
        other.rollback()
        assert store.tokens.authenticate_beta(tenant).use_date is not None


def test_in_a_read_only_transaction_a_token_authenticates_without_a_stamp(store: Any, beta: str) -> None:
    with store.transaction(read_only=True) as tx:
        assert tx.tokens.authenticate_beta(beta, stamp_every=timedelta(0)).use_date is None
    assert store.tokens.authenticate_beta(beta).use_date is not None


def test_the_beta_of_an_expired_token_returns_none(store: Any, tenant: str) -> None:
    store.tokens.save(tenant_id=tenant, token=new_secret(), beta=tenant, expire_date="2024-01-01")
    assert store.tokens.authenticate_beta(tenant) is None


def test_on_the_bound_store_of_its_tenant_the_token_is_returned_and_stamped(store: Any, tenant: str, beta: str) -> None:
    found = store.for_tenant(tenant).tokens.authenticate_beta(beta)
    assert (found.beta, found.use_date) == (beta, found.update_date)
    assert store.tokens.query(tenant_id=tenant) == [found]


def test_on_the_bound_store_of_another_tenant_the_token_is_unknown_and_not_stamped(
    store: Any, tenant: str, beta: str
) -> None:
    before = store.tokens.query(tenant_id=tenant)
    bound = store.for_tenant("other" + tenant)
    assert bound.tokens.authenticate_beta(beta, stamp_every=timedelta(0)) is None
    assert before[0].use_date is None
    assert store.tokens.query(tenant_id=tenant) == before


def test_the_statement_differs_from_that_of_authenticate_only_in_its_condition_and_what_names_it() -> None:
    by_secret = lines_in_common("authenticate", "t.token_digest = :token_digest::bytea")
    assert lines_in_common("authenticate_beta", "t.beta = :beta::text") == by_secret
    assert len(by_secret) > 30


def lines_in_common(name: str, condition: str) -> list[str]:
    """Return a file without its tag, its condition, and the lines of its header that name the key or the twin."""
    tag, *lines = (sql_directory() / f"api_token/{name}.sql").read_text("utf-8").splitlines()
    assert tag == f"/* api_token.{name} */"
    assert lines.count(f"WHERE {condition}") == 1
    lines.remove(f"WHERE {condition}")
    end = lines.index("")
    return [line for line in lines[:end] if not re.search("secret|digest|beta|authenticate", line)] + lines[end:]
