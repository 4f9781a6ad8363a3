"""No operation of `tokens` shows a secret or a beta: not in the database, a repr, an event, a log or an error."""

from __future__ import annotations

import hashlib
import logging
import traceback
from typing import Any

import psycopg
import pytest

from conversation_store import AlreadyExists, DialogNotFound
from support.both_apis import AsyncApi, SyncApi
from support.tokens import new_secret


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def assert_not_in(text: str, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in text
        assert digest_of(secret) not in text


def test_the_database_holds_the_digests_and_no_secret(store: Any, db: str, tenant: str) -> None:
    token = new_secret()
    store.tokens.save(tenant_id=tenant, token=token)
    issued = store.tokens.issue(tenant_id=tenant)
    rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
    with psycopg.connect(db) as connection:
        query = "SELECT to_jsonb(t) FROM conversation_store.api_token AS t WHERE tenant_id = %s"
        rows = str(connection.execute(query, [tenant]).fetchall())
    for secret in (token, issued.token, rotated.token):
        assert secret not in rows
        assert digest_of(secret) in rows


def test_no_repr_shows_a_secret_or_a_beta(store: Any, tenant: str) -> None:
    token, beta = new_secret(), "beta-" + tenant
    saved = store.tokens.save(tenant_id=tenant, token=token, beta=beta)
    shown = [saved, store.tokens.authenticate(token), store.tokens.query(tenant_id=tenant)]
    rotated = store.tokens.rotate(saved.id, tenant_id=tenant)
    issued = store.tokens.issue(tenant_id=tenant)
    assert_not_in(repr([*shown, rotated, issued]), token, beta, rotated.token, issued.token)


def test_to_dict_leaves_the_secret_out(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
    assert_not_in(str([issued.to_dict(), rotated.to_dict()]), issued.token, rotated.token)
    assert "token" not in {*issued.to_dict(), *rotated.to_dict()}


def test_neither_on_statement_nor_a_log_shows_a_secret_or_a_beta(
    api: SyncApi | AsyncApi, db: str, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    token, beta = new_secret(), "beta-" + tenant
    events: list[Any] = []
    with caplog.at_level(logging.DEBUG), api.store(db, on_statement=lambda *event: events.append(event)) as store:
        store.tokens.save(tenant_id=tenant, token=token, beta=beta)
        with pytest.raises(AlreadyExists):
            store.tokens.save(tenant_id=tenant, token=token)
        issued = store.tokens.issue(tenant_id=tenant)
        rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
        store.tokens.authenticate(token)
        store.tokens.authenticate_beta(beta)
        store.tokens.query(token=token, beta=beta)
    assert len(events) == 8
    assert_not_in(str(events) + caplog.text, token, beta, issued.token, rotated.token)


@pytest.mark.parametrize("wrong", ["token", "beta", "dialog_id"])
def test_no_error_of_save_shows_the_secret_the_beta_or_a_cause(store: Any, tenant: str, wrong: str) -> None:
    token, beta = new_secret(), "beta-" + tenant
    store.tokens.save(tenant_id=tenant, token=token, beta=beta)
    again = {
        "token": {"token": token},
        "beta": {"token": new_secret(), "beta": beta},
        "dialog_id": {"token": new_secret(), "dialog_id": "missing"},
    }[wrong]
    with pytest.raises((AlreadyExists, DialogNotFound)) as caught:
        store.tokens.save(tenant_id=tenant, **again)
    assert_not_in("".join(traceback.format_exception(caught.value)), token, beta, again["token"])
    # Debuggers and error trackers look at these too.
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
