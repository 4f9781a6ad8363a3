"""`tokens.save`: a secret that was issued elsewhere is stored by its digest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from conversation_store import (
    AlreadyExists,
    ApiToken,
    ConversationStore,
    DialogNotFound,
    InvalidArgument,
    InvalidArgumentType,
)
from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind
from support.statements import NoServer, store_without_server
from support.tokens import new_secret


def test_a_saved_secret_authenticates(store: Any, tenant: str) -> None:
    token = new_secret()
    saved = store.tokens.save(tenant_id=tenant, token=token)
    assert type(saved) is ApiToken
    assert store.tokens.authenticate(token).id == saved.id


def test_the_given_fields_are_stored(store: Any, tenant: str, dialog: str) -> None:
    saved = store.tokens.save(
        tenant_id=tenant,
        token=new_secret(),
        dialog_id=dialog,
        source="agent",
        beta="beta-" + tenant,
        expire_date="2100-01-01",
        create_date="2024-01-01",
        update_date="2024-01-02",
    )
    assert (saved.tenant_id, saved.dialog_id, saved.source, saved.beta) == (tenant, dialog, "agent", "beta-" + tenant)
    assert saved.expire_date == datetime(2100, 1, 1, tzinfo=UTC)
    assert saved.create_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert saved.update_date == datetime(2024, 1, 2, tzinfo=UTC)
    assert store.tokens.query(tenant_id=tenant) == [saved]


def test_the_hint_is_the_end_of_a_long_secret(store: Any, tenant: str) -> None:
    token = new_secret()
    assert store.tokens.save(tenant_id=tenant, token=token).hint == "…" + token[-4:]


def test_the_hint_of_a_short_secret_shows_nothing_of_it(store: Any, tenant: str) -> None:
    assert store.tokens.save(tenant_id=tenant, token="short" + tenant[:8], allow_weak=True).hint == "…"
    assert store.tokens.save(tenant_id=tenant, token="longer" + tenant[:13]).hint == "…"


@pytest.mark.parametrize("owner", ["", "other"], ids=["the same tenant", "another tenant"])
def test_a_secret_that_is_stored_raises_already_exists_and_stays_with_its_tenant(
    store: Any, tenant: str, owner: str
) -> None:
    token = new_secret()
    saved = store.tokens.save(tenant_id=tenant, token=token)
    with pytest.raises(AlreadyExists, match="this token is stored already"):
        store.tokens.save(tenant_id=owner + tenant, token=token)
    assert store.tokens.query(token=token) == [saved]


def test_after_already_exists_of_a_secret_a_callers_transaction_goes_on(store: Any, tenant: str) -> None:
    token = new_secret()
    store.tokens.save(tenant_id=tenant, token=token)
    with store.transaction() as tx:
        with pytest.raises(AlreadyExists):
            tx.tokens.save(tenant_id=tenant, token=token)
        tx.tokens.save(tenant_id=tenant, token=new_secret())
    assert len(store.tokens.query(tenant_id=tenant)) == 2


def test_a_call_that_waits_for_another_that_stores_the_secret_raises_already_exists(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    token = new_secret()
    result = call_behind(
        api,
        db,
        store,
        lambda s: s.tokens.save(tenant_id=tenant, token=token),
        first=lambda writer: ConversationStore(connection=writer).tokens.save(tenant_id="other" + tenant, token=token),
    )
    assert isinstance(result, AlreadyExists)
    assert store.tokens.query(tenant_id=tenant) == []


def test_on_a_bound_store_a_secret_of_another_tenant_raises_already_exists_too(store: Any, tenant: str) -> None:
    token = new_secret()
    saved = store.tokens.save(tenant_id=tenant, token=token)
    with pytest.raises(AlreadyExists, match=r"^this token is stored already$"):
        store.for_tenant("other" + tenant).tokens.save(token=token)
    assert store.tokens.query(token=token) == [saved]


def test_a_beta_in_use_raises_already_exists_and_stores_nothing(store: Any, tenant: str) -> None:
    saved = store.tokens.save(tenant_id=tenant, token=new_secret(), beta=tenant)
    for owner in (tenant, "other" + tenant):
        with pytest.raises(AlreadyExists, match="this beta is in use already"):
            store.tokens.save(tenant_id=owner, token=new_secret(), beta=tenant)
        assert store.tokens.query(tenant_id=owner, beta=tenant) == ([saved] if owner == tenant else [])
    assert store.tokens.query(tenant_id=tenant) == [saved]


def test_a_dialog_of_another_tenant_raises_dialog_not_found(store: Any, tenant: str, dialog: str) -> None:
    with pytest.raises(DialogNotFound, match="the tenant has no dialog with this dialog_id"):
        store.tokens.save(tenant_id="other" + tenant, token=new_secret(), dialog_id=dialog)


def test_a_missing_dialog_raises_dialog_not_found(store: Any, tenant: str) -> None:
    with pytest.raises(DialogNotFound):
        store.tokens.save(tenant_id=tenant, token=new_secret(), dialog_id="missing")


@pytest.mark.parametrize("token", [None, 1, b"bytes", ["list"]])
def test_a_token_that_is_not_a_str_raises_an_error_that_does_not_quote_it(token: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"^token must be a str, not \w+$"):
        store_without_server().tokens.save(tenant_id="t", token=token)


@pytest.mark.parametrize("allow_weak", [False, True])
@pytest.mark.parametrize("token", ["", " \t", " " * 16])
def test_a_blank_token_is_rejected(token: str, allow_weak: bool) -> None:
    with pytest.raises(InvalidArgument, match=r"^token must not be blank$"):
        store_without_server().tokens.save(tenant_id="t", token=token, allow_weak=allow_weak)


def test_a_token_of_fewer_than_16_characters_is_rejected_without_quoting_it() -> None:
    message = r"^token must have at least 16 characters, unless allow_weak is True$"
    with pytest.raises(InvalidArgument, match=message):
        store_without_server().tokens.save(tenant_id="t", token="fifteen letters")
    with pytest.raises(NoServer):
        store_without_server().tokens.save(tenant_id="t", token="sixteen letters!")


def test_a_short_token_that_is_allowed_authenticates(store: Any, tenant: str) -> None:
    token = tenant[:15]
    saved = store.tokens.save(tenant_id=tenant, token=token, allow_weak=True)
    assert store.tokens.authenticate(token).id == saved.id


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        ("", r"^beta must be None or not be blank$"),
        (" \t", r"^beta must be None or not be blank$"),
        ("b" * 256, r"^beta must have at most 255 characters, not 256$"),
        ("b\0", r"^beta must not contain U\+0000$"),
    ],
    ids=["empty", "blank", "too long", "U+0000"],
)
def test_a_beta_that_cannot_be_stored_is_rejected_without_quoting_it(beta: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        store_without_server().tokens.save(tenant_id="t", token=new_secret(), beta=beta)
