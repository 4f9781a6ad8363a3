"""API tokens, in both worlds."""

from __future__ import annotations

import hashlib
import logging
import traceback
import uuid
from typing import Any

import psycopg
import pytest

from conversation_store import AlreadyExists, ApiToken, DialogNotFound, IssuedToken
from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


def secret() -> str:
    return "secret-" + uuid.uuid4().hex


def test_an_issued_token_authenticates_and_is_stamped(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="web")
    assert isinstance(issued, IssuedToken)
    assert (issued.tenant_id, issued.source, issued.dialog_id, issued.beta) == (tenant, "web", None, None)
    assert len(issued.token) >= 40
    assert issued.token.endswith(issued.hint.removeprefix("…"))
    assert store.tokens.issue(tenant_id=tenant).token != issued.token
    found = store.tokens.authenticate(issued.token)
    assert type(found) is ApiToken
    assert (found.id, found.tenant_id) == (issued.id, tenant)
    assert found.update_date > issued.update_date
    assert found.create_date == issued.create_date


@pytest.mark.parametrize(
    "token", ["", " ", "unknown", "\0", "\ud800", "检索", "x" * 1_000_000, "'; DROP TABLE api_token; --"]
)
def test_any_other_text_authenticates_nobody(store: Any, token: str) -> None:
    assert store.tokens.authenticate(token) is None
    assert store.tokens.used(token) == 0


@pytest.mark.parametrize("token", [None, 1, b"bytes", ["list"]])
def test_what_is_no_text_is_a_type_error_that_does_not_quote_it(store: Any, tenant: str, token: Any) -> None:
    for call in (store.tokens.authenticate, store.tokens.used, lambda t: store.tokens.save(tenant_id=tenant, token=t)):
        with pytest.raises(TypeError, match=r"^token must be a str, not \w+$"):
            call(token)


def test_an_adopted_secret_authenticates(store: Any, tenant: str) -> None:
    token = secret()
    saved = store.tokens.save(tenant_id=tenant, token=token, source="agent", beta="beta-" + tenant)
    assert (saved.hint, saved.beta) == ("…" + token[-4:], "beta-" + tenant)
    assert store.tokens.authenticate(token).id == saved.id
    short = store.tokens.save(tenant_id=tenant, token="short" + tenant[:8])
    assert short.hint == "…"


def test_a_token_may_be_bound_to_a_dialog_of_its_tenant_only(store: Any, tenant: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id
    issued = store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    assert store.tokens.authenticate(issued.token).dialog_id == dialog
    for other in ({"tenant_id": "foreign", "dialog_id": dialog}, {"tenant_id": tenant, "dialog_id": "nowhere"}):
        with pytest.raises(DialogNotFound):
            store.tokens.issue(**other)
        with pytest.raises(DialogNotFound):
            store.tokens.save(token=secret(), **other)


def test_one_secret_belongs_to_one_tenant(store: Any, tenant: str) -> None:
    token = secret()
    store.tokens.save(tenant_id=tenant, token=token, beta=tenant)
    for other in (tenant, "another"):
        with pytest.raises(AlreadyExists, match="token"):
            store.tokens.save(tenant_id=other, token=token)
    with pytest.raises(AlreadyExists, match="beta"):
        store.tokens.save(tenant_id=tenant, token=secret(), beta=tenant)
    assert store.tokens.authenticate(token).tenant_id == tenant
    assert len(store.tokens.query(tenant_id=tenant)) == 1


def test_a_tenants_tokens_are_listed_newest_first_and_deleted(store: Any, tenant: str) -> None:
    tokens = [store.tokens.issue(tenant_id=tenant) for _ in range(3)]
    other = store.tokens.issue(tenant_id="other" + tenant)
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [token.id for token in reversed(tokens)]
    assert len(store.tokens.query(tenant_id=tenant, limit=2)) == 2
    assert store.tokens.delete_by_tenant_id(tenant) == 3
    assert store.tokens.delete_by_tenant_id(tenant) == 0
    assert store.tokens.query(tenant_id=tenant) == []
    assert store.tokens.authenticate(tokens[0].token) is None
    assert store.tokens.authenticate(other.token) is not None


def test_no_secret_is_in_the_database_in_a_repr_or_in_an_error(
    api: SyncApi | AsyncApi, db: str, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    token, beta = secret(), "beta-" + tenant
    heard: list[Any] = []
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG), api.store(db, on_statement=lambda *event: heard.append(event)) as store:
        saved = store.tokens.save(tenant_id=tenant, token=token, beta=beta)
        issued = store.tokens.issue(tenant_id=tenant)
        rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
        shown += [str(issued.to_dict()), str(rotated.to_dict()), repr(rotated)]
        shown += [
            repr(saved),
            repr(issued),
            repr(store.tokens.authenticate(token)),
            repr(store.tokens.query(tenant_id=tenant)),
        ]
        for again in (
            {"token": token},
            {"token": secret(), "beta": beta},
            {"token": token, "dialog_id": "nowhere"},
            {"token": 5},
        ):
            with pytest.raises((AlreadyExists, DialogNotFound, TypeError)) as caught:
                store.tokens.save(tenant_id=tenant, **again)
            shown.append("".join(traceback.format_exception(caught.value)))
            # Nor in what only debuggers and error trackers look at.
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    with psycopg.connect(db) as connection:
        rows = connection.execute("SELECT to_jsonb(t) - 'beta' FROM conversation_store.api_token AS t").fetchall()
        shown.append(str(rows))
    for text in (*shown, caplog.text, str(heard)):
        assert token not in text
        assert issued.token not in text
        assert rotated.token not in text
        assert beta not in text
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert digest in shown[-1]
    assert all(digest not in text for text in shown[:-1])
