"""`tokens.rotate`: a successor is issued, and the old token expires after a grace period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from conversation_store import (
    AlreadyExists,
    ConversationStore,
    InvalidArgument,
    IssuedToken,
    TokenNotFound,
    new_token,
)
from support.both_apis import AsyncApi, SyncApi
from support.proxy import Mode, proxy
from support.races import call_behind
from support.statements import store_without_server
from support.tokens import WRONG_SECRETS, DateColumn, call_while_token_ends, move_date

HOUR = timedelta(hours=1)


def test_the_successor_has_the_dialog_the_source_and_the_beta_of_the_old_token(
    store: Any, tenant: str, dialog: str
) -> None:
    old = store.tokens.issue(tenant_id=tenant, dialog_id=dialog, source="web")
    beta = store.tokens.fill_beta(old.id, tenant_id=tenant).beta
    new = store.tokens.rotate(old.id, tenant_id=tenant)
    assert isinstance(new, IssuedToken)
    assert (new.tenant_id, new.dialog_id, new.source, new.beta) == (tenant, dialog, "web", beta)
    assert (new.expire_date, new.use_date, new.rotate_date) == (None, None, None)
    assert store.tokens.query(token=old.token)[0].beta is None
    assert store.tokens.authenticate_beta(beta).id == new.id


def test_the_successor_has_a_new_secret_and_its_hint(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    new = store.tokens.rotate(old.id, tenant_id=tenant)
    assert new.token != old.token
    assert new.hint == "…" + new.token[-4:]
    assert store.tokens.authenticate(new.token).id == new.id


def test_the_old_token_authenticates_until_the_end_of_the_grace_period(store: Any, tenant: str, db: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    new = store.tokens.rotate(old.id, tenant_id=tenant, grace=HOUR)
    found = store.tokens.authenticate(old.token)
    assert timedelta(minutes=55) < found.expire_date - datetime.now(UTC) <= HOUR
    assert found.rotate_date is not None
    move_date(db, old.id, "expire_date", -HOUR)
    assert store.tokens.authenticate(old.token) is None
    assert store.tokens.authenticate(new.token).id == new.id


def test_the_grace_period_is_a_day_by_default(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    store.tokens.rotate(old.id, tenant_id=tenant)
    left = store.tokens.query(token=old.token)[0].expire_date - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)


def test_with_a_grace_of_zero_the_old_token_expires_at_once(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(0))
    assert store.tokens.authenticate(old.token) is None


def test_a_grace_period_does_not_postpone_an_earlier_expire_date(store: Any, tenant: str) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    old = store.tokens.issue(tenant_id=tenant, expire_date=soon)
    store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(days=30))
    assert store.tokens.authenticate(old.token).expire_date == soon


def test_the_successor_expires_at_the_given_expire_date(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant, expire_date="2050-01-01")
    new = store.tokens.rotate(old.id, tenant_id=tenant, expire_date="2100-01-01")
    assert new.expire_date == datetime(2100, 1, 1, tzinfo=UTC)


def test_the_successor_expires_when_the_old_token_was_to_by_default(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant, expire_date="2100-01-01")
    assert store.tokens.rotate(old.id, tenant_id=tenant).expire_date == datetime(2100, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("grace", [timedelta(0), HOUR], ids=["no grace", "grace"])
def test_a_rotated_token_raises_token_not_found(store: Any, tenant: str, grace: timedelta) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    store.tokens.rotate(old.id, tenant_id=tenant, grace=grace)
    with pytest.raises(TokenNotFound, match=r"the tenant has no live token \d+, or it was rotated already"):
        store.tokens.rotate(old.id, tenant_id=tenant)
    assert len(store.tokens.query(tenant_id=tenant)) == 2


def test_an_expired_token_raises_token_not_found(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant, expire_date="2024-01-01")
    with pytest.raises(TokenNotFound):
        store.tokens.rotate(old.id, tenant_id=tenant)


def test_a_revoked_token_raises_token_not_found(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(old.id, tenant_id=tenant)
    with pytest.raises(TokenNotFound):
        store.tokens.rotate(old.id, tenant_id=tenant)


def test_a_token_of_another_tenant_raises_token_not_found_and_is_not_changed(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    with pytest.raises(TokenNotFound):
        store.tokens.rotate(old.id, tenant_id="other" + tenant)
    assert store.tokens.query(tenant_id=tenant) == before
    assert store.tokens.query(tenant_id="other" + tenant) == []


@pytest.mark.parametrize("column", ["revoke_date", "expire_date"])
def test_a_token_that_ends_while_the_call_waits_for_it_raises_token_not_found(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, column: DateColumn
) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    result = call_while_token_ends(
        api,
        db,
        store,
        old.id,
        column,
        lambda s: s.tokens.rotate(old.id, tenant_id=tenant, expire_date="2100-01-01"),
    )
    assert isinstance(result, TokenNotFound)
    assert store.tokens.authenticate(old.token) is None
    assert len(store.tokens.query(tenant_id=tenant)) == 1


@pytest.mark.parametrize("grace", [timedelta(0), HOUR], ids=["no grace", "grace"])
def test_a_call_that_waits_for_another_rotation_raises_token_not_found(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, grace: timedelta
) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.rotate(old.id, tenant_id=tenant, grace=grace),
        first=lambda writer: ConversationStore(connection=writer).tokens.rotate(old.id, tenant_id=tenant, grace=grace),
    )
    assert isinstance(result, TokenNotFound)
    assert len(store.tokens.query(tenant_id=tenant)) == 2


def test_a_call_that_waits_for_the_deletion_of_the_dialog_raises_token_not_found_without_a_deadlock(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, dialog: str
) -> None:
    old = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    lock_dialog = "SELECT FROM conversation_store.dialog WHERE id = %s AND tenant_id = %s FOR UPDATE"
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.rotate(old.id, tenant_id=tenant),
        first=lambda writer: writer.execute(lock_dialog, [dialog, tenant]),
        then=lambda writer: ConversationStore(connection=writer).dialogs.delete_by_id(dialog, tenant_id=tenant),
    )
    assert isinstance(result, TokenNotFound)
    assert store.tokens.query(tenant_id=tenant) == []


def test_on_a_bound_store_only_a_token_of_its_tenant_is_rotated(store: Any, tenant: str, dialog: str) -> None:
    old = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    with pytest.raises(TokenNotFound):
        store.for_tenant("other" + tenant).tokens.rotate(old.id)
    assert len(store.tokens.query(tenant_id=tenant)) == 1
    new = store.for_tenant(tenant).tokens.rotate(old.id)
    assert (new.tenant_id, new.dialog_id) == (tenant, dialog)


# -- with a secret that the caller made --------------------------------------------------------------


def test_a_secret_of_new_token_is_that_of_the_successor(store: Any, tenant: str) -> None:
    old, token = store.tokens.issue(tenant_id=tenant), new_token()
    new = store.tokens.rotate(old.id, tenant_id=tenant, token=token)
    assert (new.token, new.predecessor_id) == (token, old.id)
    assert store.tokens.authenticate(token).id == new.id


@pytest.mark.parametrize("grace", [timedelta(0), HOUR], ids=["no grace", "grace"])
def test_repeated_with_the_same_secret_the_call_returns_the_same_successor(
    store: Any, tenant: str, dialog: str, grace: timedelta
) -> None:
    old, token = store.tokens.issue(tenant_id=tenant, dialog_id=dialog), new_token()
    first = store.tokens.rotate(old.id, tenant_id=tenant, grace=grace, token=token)
    again = store.tokens.rotate(old.id, tenant_id=tenant, grace=grace, expire_date="2100-01-01", token=token)
    assert isinstance(again, IssuedToken)
    assert (again, again.token) == (first, token)
    assert len(store.tokens.query(tenant_id=tenant)) == 2


def test_a_call_whose_answer_was_lost_is_repeated_and_the_caller_goes_on(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    old, token = store.tokens.issue(tenant_id=tenant), new_token()
    with proxy(db) as before, api.store(before.conninfo) as far:
        far.tokens.query(tenant_id=tenant)  # so that the connection is there
        before.set(Mode.CUT_ANSWER, only="api_token.rotate")
        with pytest.raises(psycopg.OperationalError):
            far.tokens.rotate(old.id, tenant_id=tenant, token=token)
        assert len(store.tokens.query(tenant_id=tenant)) == 2
        new = far.tokens.rotate(old.id, tenant_id=tenant, token=token)
    assert store.tokens.authenticate(new.token).id == new.id
    assert len(store.tokens.query(tenant_id=tenant)) == 2


def test_of_calls_at_once_with_the_same_secret_each_returns_the_same_successor(
    api: SyncApi | AsyncApi, store: Any, tenant: str
) -> None:
    old, token = store.tokens.issue(tenant_id=tenant), new_token()
    rotated = api.together(store, [lambda s: s.tokens.rotate(old.id, tenant_id=tenant, token=token)] * 4)
    assert len({new.id for new in rotated}) == 1
    assert len(store.tokens.query(tenant_id=tenant)) == 2


def test_of_calls_at_once_with_different_secrets_one_succeeds_and_the_others_raise_token_not_found(
    api: SyncApi | AsyncApi, store: Any, tenant: str
) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    results = api.together(store, [lambda s: s.tokens.rotate(old.id, tenant_id=tenant, token=new_token())] * 4)
    assert [type(result) for result in results if not isinstance(result, IssuedToken)] == [TokenNotFound] * 3
    assert len(store.tokens.query(tenant_id=tenant)) == 2


@pytest.mark.parametrize("owner", ["", "other"], ids=["the same tenant", "another tenant"])
def test_the_secret_of_another_token_raises_already_exists_and_the_old_one_is_not_rotated(
    store: Any, tenant: str, owner: str
) -> None:
    token = store.tokens.issue(tenant_id=owner + tenant).token
    old = store.tokens.issue(tenant_id=tenant)
    with pytest.raises(AlreadyExists, match=r"^this token is stored already$"):
        store.tokens.rotate(old.id, tenant_id=tenant, token=token)
    assert store.tokens.authenticate(old.token).rotate_date is None


def test_the_secret_of_the_successor_of_another_token_raises_token_not_found(store: Any, tenant: str) -> None:
    token = new_token()
    old, another = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant)
    store.tokens.rotate(another.id, tenant_id=tenant, token=token)
    store.tokens.rotate(old.id, tenant_id=tenant)
    with pytest.raises(TokenNotFound):
        store.tokens.rotate(old.id, tenant_id=tenant, token=token)


def test_on_the_bound_store_of_another_tenant_the_repeated_call_raises_token_not_found(store: Any, tenant: str) -> None:
    old, token = store.tokens.issue(tenant_id=tenant), new_token()
    store.tokens.rotate(old.id, tenant_id=tenant, token=token)
    with pytest.raises(TokenNotFound):
        store.for_tenant("other" + tenant).tokens.rotate(old.id, token=token)


@pytest.mark.parametrize("token", WRONG_SECRETS)
def test_a_secret_that_new_token_did_not_make_is_rejected_without_quoting_it(token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^token must be None or what new_token\(\) returned$"):
        store_without_server().tokens.rotate(1, tenant_id="t", token=token)
