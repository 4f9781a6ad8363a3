"""`tokens.issue`: a new token, whose secret only the result holds."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from conversation_store import (
    AlreadyExists,
    ApiToken,
    ConversationStore,
    DialogNotFound,
    InvalidArgument,
    InvalidArgumentType,
    IssuedToken,
    new_token,
)
from support.both_apis import AsyncApi, SyncApi
from support.proxy import Mode, proxy
from support.races import call_behind
from support.statements import store_without_server
from support.tokens import WRONG_SECRETS


def test_an_issued_token_has_the_given_fields_and_no_others(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="web")
    assert isinstance(issued, IssuedToken)
    assert (issued.tenant_id, issued.source, issued.dialog_id, issued.beta) == (tenant, "web", None, None)
    assert (issued.use_date, issued.expire_date, issued.rotate_date, issued.revoke_date) == (None,) * 4
    assert issued.predecessor_id is None


def test_the_secret_is_long_and_new_each_time(store: Any, tenant: str) -> None:
    secrets = {store.tokens.issue(tenant_id=tenant).token for _ in range(3)}
    assert len(secrets) == 3
    assert all(len(secret) >= 40 for secret in secrets)


def test_the_ids_are_of_no_sequence_and_javascript_reads_them_exactly(store: Any, tenant: str) -> None:
    ids = [store.tokens.issue(tenant_id=tenant).id for _ in range(20)]
    assert all(0 <= id < 2**52 for id in ids)
    assert max(ids) > 2**48
    assert ids != sorted(ids)


def test_the_hint_is_the_end_of_the_secret(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert issued.hint == "…" + issued.token[-4:]


def test_an_issued_token_authenticates(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.authenticate(issued.token).id == issued.id


def test_a_token_may_be_bound_to_a_dialog_of_its_tenant(store: Any, tenant: str, dialog: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    assert store.tokens.query(token=issued.token)[0].dialog_id == issued.dialog_id == dialog


def test_a_dialog_of_another_tenant_raises_dialog_not_found(store: Any, tenant: str, dialog: str) -> None:
    with pytest.raises(DialogNotFound, match="the tenant has no dialog with this dialog_id"):
        store.tokens.issue(tenant_id="other" + tenant, dialog_id=dialog)
    assert store.tokens.query(tenant_id="other" + tenant) == []


def test_a_missing_dialog_raises_dialog_not_found(store: Any, tenant: str) -> None:
    with pytest.raises(DialogNotFound):
        store.tokens.issue(tenant_id=tenant, dialog_id="missing")
    assert store.tokens.query(tenant_id=tenant) == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2100-01-01", datetime(2100, 1, 1, tzinfo=UTC)),
        (datetime(2100, 1, 1, 12), datetime(2100, 1, 1, 12, tzinfo=UTC)),
        ("2024-01-01T08:00:00+08:00", datetime(2024, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_expire_date_is_stored(store: Any, tenant: str, given: Any, stored: datetime) -> None:
    issued = store.tokens.issue(tenant_id=tenant, expire_date=given)
    assert store.tokens.query(token=issued.token)[0].expire_date == issued.expire_date == stored


def test_on_a_bound_store_the_token_is_one_of_its_tenant(store: Any, tenant: str, dialog: str) -> None:
    issued = store.for_tenant(tenant).tokens.issue(dialog_id=dialog)
    assert (issued.tenant_id, issued.dialog_id) == (tenant, dialog)
    with pytest.raises(DialogNotFound):
        store.for_tenant("other" + tenant).tokens.issue(dialog_id=dialog)


def test_a_dialog_with_the_same_id_of_another_tenant_gets_no_token(store: Any, tenant: str, dialog: str) -> None:
    store.dialogs.save(id=dialog, tenant_id="other" + tenant)
    issued = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    assert [token.id for token in store.tokens.query(tenant_id=tenant, dialog_id=dialog)] == [issued.id]
    assert store.tokens.query(tenant_id="other" + tenant, dialog_id=dialog) == []


# -- with a secret that the caller made --------------------------------------------------------------


def row(issued: IssuedToken) -> ApiToken:
    """Return the columns of an issued token, without its secret."""
    return copy.copy(issued)


def test_a_secret_of_new_token_is_that_of_the_issued_token(store: Any, tenant: str) -> None:
    token = new_token()
    issued = store.tokens.issue(tenant_id=tenant, token=token)
    assert issued.token == token
    assert store.tokens.authenticate(token).id == issued.id


def test_repeated_with_the_same_secret_the_call_returns_the_same_token(store: Any, tenant: str, dialog: str) -> None:
    given = {"tenant_id": tenant, "dialog_id": dialog, "source": "web", "token": new_token()}
    first = store.tokens.issue(**given, expire_date="2100-01-01")
    again = store.tokens.issue(**given, expire_date="2100-01-02")
    assert isinstance(again, IssuedToken)
    assert (row(again), again.token) == (row(first), first.token)
    assert len(store.tokens.query(tenant_id=tenant)) == 1


def test_a_call_whose_answer_was_lost_is_repeated_and_issues_one_token(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    token = new_token()
    with proxy(db) as before, api.store(before.conninfo) as far:
        far.tokens.query(tenant_id=tenant)  # so that the connection is there
        before.set(Mode.CUT_ANSWER, only="api_token.save")
        with pytest.raises(psycopg.OperationalError):
            far.tokens.issue(tenant_id=tenant, token=token)
        (stored,) = store.tokens.query(tenant_id=tenant)
        assert far.tokens.issue(tenant_id=tenant, token=token).id == stored.id
    assert store.tokens.authenticate(token).id == stored.id
    assert len(store.tokens.query(tenant_id=tenant)) == 1


def test_of_calls_at_once_with_the_same_secret_each_returns_the_same_token(
    api: SyncApi | AsyncApi, store: Any, tenant: str
) -> None:
    token = new_token()
    issued = api.together(store, [lambda s: s.tokens.issue(tenant_id=tenant, token=token)] * 4)
    assert {one.id for one in issued} == {one.id for one in store.tokens.query(tenant_id=tenant)}
    assert len({one.id for one in issued}) == 1


def test_a_call_that_waits_for_another_with_the_same_secret_returns_its_token(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    token = new_token()
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.issue(tenant_id=tenant, token=token),
        first=lambda writer: ConversationStore(connection=writer).tokens.issue(tenant_id=tenant, token=token),
    )
    assert [one.id for one in store.tokens.query(tenant_id=tenant)] == [result.id]


def test_repeated_in_a_transaction_the_call_returns_the_same_token_and_the_transaction_goes_on(
    store: Any, tenant: str
) -> None:
    token = new_token()
    with store.transaction() as tx:
        first = tx.tokens.issue(tenant_id=tenant, token=token)
        assert tx.tokens.issue(tenant_id=tenant, token=token).id == first.id
    assert [one.id for one in store.tokens.query(tenant_id=tenant)] == [first.id]


@pytest.mark.parametrize("other", ["tenant_id", "dialog_id", "source"])
def test_a_secret_of_another_tenant_dialog_or_source_raises_already_exists(
    store: Any, tenant: str, dialog: str, other: str
) -> None:
    given = {"tenant_id": tenant, "dialog_id": None, "source": None, "token": new_token()}
    issued = store.tokens.issue(**given)
    another = {"tenant_id": "other" + tenant, "dialog_id": dialog, "source": "web"}
    with pytest.raises(AlreadyExists, match=r"^this token is stored already$"):
        store.tokens.issue(**{**given, other: another[other]})
    assert store.tokens.query(token=issued.token) == [row(issued)]


def test_the_secret_of_a_successor_raises_already_exists(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    new = store.tokens.rotate(old.id, tenant_id=tenant)
    with pytest.raises(AlreadyExists):
        store.tokens.issue(tenant_id=tenant, token=new.token)


@pytest.mark.parametrize("token", WRONG_SECRETS)
def test_a_secret_that_new_token_did_not_make_is_rejected_without_quoting_it(token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^token must be None or what new_token\(\) returned$"):
        store_without_server().tokens.issue(tenant_id="t", token=token)


@pytest.mark.parametrize("token", [1, b"bytes", ["list"]])
def test_a_secret_that_is_not_a_str_raises_an_error_that_does_not_quote_it(token: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^token must be a str, not \w+$"):
        store_without_server().tokens.issue(tenant_id="t", token=token)
