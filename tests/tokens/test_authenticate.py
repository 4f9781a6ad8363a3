"""`tokens.authenticate`: the live token with a secret, whose use is stamped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import ApiToken, ConversationStore, InvalidArgumentType
from support.both_apis import AsyncApi, SyncApi
from support.statements import store_without_server
from support.tokens import UNKNOWN, DateColumn, end, lock, move_date, new_secret


def test_the_token_is_returned_without_its_secret(store: Any, tenant: str, dialog: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    found = store.tokens.authenticate(issued.token)
    assert type(found) is ApiToken
    assert (found.id, found.tenant_id, found.dialog_id) == (issued.id, tenant, dialog)
    assert found.create_date == issued.create_date


@pytest.mark.parametrize("token", UNKNOWN, ids=range(len(UNKNOWN)))
def test_an_unknown_text_returns_none(store: Any, token: str) -> None:
    assert store.tokens.authenticate(token) is None


@pytest.mark.parametrize("token", [None, 1, b"bytes", ["list"]])
def test_a_token_that_is_not_a_str_raises_an_error_that_does_not_quote_it(token: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^token must be a str, not \w+$"):
        store_without_server().tokens.authenticate(token)


def test_the_first_use_is_stamped_and_is_the_update_date(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    found = store.tokens.authenticate(issued.token)
    assert found.use_date == found.update_date > issued.update_date
    assert store.tokens.query(tenant_id=tenant) == [found]


def test_a_use_within_stamp_every_is_not_stamped_again(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    first = store.tokens.authenticate(issued.token)
    assert store.tokens.authenticate(issued.token) == first
    assert store.tokens.authenticate(issued.token, stamp_every=timedelta(hours=1)) == first


def test_with_a_stamp_every_of_zero_each_use_is_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    first = store.tokens.authenticate(issued.token)
    assert store.tokens.authenticate(issued.token, stamp_every=timedelta(0)).use_date > first.use_date


def test_a_stamp_older_than_stamp_every_is_renewed_by_default_after_a_minute(store: Any, tenant: str, db: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    first = store.tokens.authenticate(issued.token)
    move_date(db, issued.id, "use_date", -timedelta(seconds=61))
    assert store.tokens.authenticate(issued.token, stamp_every=timedelta(minutes=2)).use_date < first.use_date
    renewed = store.tokens.authenticate(issued.token)
    assert renewed.use_date > first.use_date
    assert store.tokens.query(tenant_id=tenant) == [renewed]


def test_a_locked_token_authenticates_without_a_stamp_and_without_waiting(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    token = new_secret()
    with api.store(make_conninfo(db, options="-c statement_timeout=5s")) as store, psycopg.connect(db) as other:
        id = store.tokens.save(tenant_id=tenant, token=token).id
        lock(other, id)
        found = store.tokens.authenticate(token)
        assert (found.id, found.use_date) == (id, None)
        other.rollback()
        assert store.tokens.authenticate(token).use_date is not None


@pytest.mark.parametrize("past", ["2024-01-01", datetime(2024, 1, 1), timedelta(seconds=-1)], ids=str)
def test_an_expired_token_returns_none(store: Any, tenant: str, past: Any) -> None:
    expire_date = datetime.now(UTC) + past if isinstance(past, timedelta) else past
    issued = store.tokens.issue(tenant_id=tenant, expire_date=expire_date)
    assert store.tokens.authenticate(issued.token) is None


def test_a_token_that_expires_later_is_returned_with_its_expire_date(store: Any, tenant: str) -> None:
    expire_date = datetime.now(UTC) + timedelta(hours=1)
    issued = store.tokens.issue(tenant_id=tenant, expire_date=expire_date)
    assert store.tokens.authenticate(issued.token).expire_date == expire_date


@pytest.mark.parametrize("column", ["revoke_date", "expire_date"])
def test_a_token_that_ended_after_the_beginning_of_a_transaction_returns_none_inside_it(
    store: Any, db: str, tenant: str, column: DateColumn
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.authenticate(issued.token)  # so that the transaction stamps nothing, and holds no lock
    with psycopg.connect(db, autocommit=True) as connection, store.transaction() as tx:
        assert tx.tokens.authenticate(issued.token) is not None
        end(connection, issued.id, column)
        assert tx.tokens.authenticate(issued.token) is None


def test_in_a_read_only_transaction_a_token_authenticates_without_a_stamp(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    with store.transaction(read_only=True) as tx:
        assert tx.tokens.authenticate(issued.token, stamp_every=timedelta(0)).use_date is None
    assert store.tokens.authenticate(issued.token).use_date is not None


def test_where_transactions_are_read_only_by_default_a_token_authenticates_without_a_stamp(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    with api.store(make_conninfo(db, options="-c default_transaction_read_only=on")) as reading:
        assert reading.tokens.authenticate(issued.token).use_date is None


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_in_a_transaction_that_cannot_see_the_stamps_of_others_a_token_authenticates_without_a_stamp(
    store: Any, db: str, tenant: str, isolation: str
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    with store.transaction(isolation=isolation) as tx:
        tx.tokens.query(tenant_id=tenant)  # takes the snapshot
        with psycopg.connect(db) as other:
            ConversationStore(connection=other).tokens.used(issued.token)
        found = tx.tokens.authenticate(issued.token, stamp_every=timedelta(0))
        assert (found.id, found.use_date) == (issued.id, None)
        tx.tokens.issue(tenant_id=tenant)  # it is not aborted


def test_a_use_that_is_stamped_already_costs_one_read_and_one_that_is_due_two_statements(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    names: list[str] = []
    with api.store(db, on_statement=lambda name, *_: names.append(name)) as store:
        issued = store.tokens.issue(tenant_id=tenant)
        names.clear()
        store.tokens.authenticate(issued.token)
        assert names == ["api_token.authenticate", "api_token.stamp_use"]
        names.clear()
        store.tokens.authenticate(issued.token)
        assert names == ["api_token.authenticate"]


def test_a_use_that_another_stamps_meanwhile_is_not_stamped_again(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    issued = store.tokens.issue(tenant_id=tenant)

    def stamp(name: str, *_: Any) -> None:
        if name == "api_token.authenticate":
            with psycopg.connect(db, autocommit=True) as other:
                ConversationStore(connection=other).tokens.used(issued.token)

    with api.store(db, on_statement=stamp) as stamping:
        found = stamping.tokens.authenticate(issued.token)
    # It read the token before the other stamp.
    assert (found.id, found.use_date) == (issued.id, None)
    (stored,) = store.tokens.query(tenant_id=tenant)
    with api.store(db, on_statement=stamp) as stamping:
        assert stamping.tokens.authenticate(issued.token) == stored
    assert store.tokens.query(tenant_id=tenant)[0].use_date > stored.use_date


def test_on_the_bound_store_of_its_tenant_the_token_is_returned_and_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    found = store.for_tenant(tenant).tokens.authenticate(issued.token)
    assert (found.id, found.use_date) == (issued.id, found.update_date)
    assert store.tokens.query(tenant_id=tenant) == [found]


def test_on_the_bound_store_of_another_tenant_the_token_is_unknown_and_not_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    bound = store.for_tenant("other" + tenant)
    assert bound.tokens.authenticate(issued.token, stamp_every=timedelta(0)) is None
    with bound.transaction() as tx:
        assert tx.tokens.authenticate(issued.token, stamp_every=timedelta(0)) is None
    assert before[0].use_date is None
    assert store.tokens.query(tenant_id=tenant) == before
