"""A token's life: stamped, expired, revoked, rotated, changed and deleted, in both worlds."""

from __future__ import annotations

import traceback
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import AlreadyExists, DialogNotFound, IssuedToken, TokenNotFound
from support.both_apis import AsyncApi, SyncApi, commit_when_waited_for


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


def secret() -> str:
    return "secret-" + uuid.uuid4().hex


def test_a_use_is_stamped_once_in_a_while(store: Any, tenant: str, db: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert issued.use_date is None
    first = store.tokens.authenticate(issued.token)
    assert first.use_date == first.update_date > issued.update_date
    assert store.tokens.authenticate(issued.token) == first  # the stamp is fresh
    assert store.tokens.authenticate(issued.token, stamp_every=timedelta(hours=1)) == first
    again = store.tokens.authenticate(issued.token, stamp_every=timedelta(0))
    assert again.use_date > first.use_date
    with psycopg.connect(db) as connection:
        connection.execute(
            "UPDATE conversation_store.api_token SET use_date = use_date - interval '61 seconds' WHERE id = %s",
            [issued.id],
        )
    assert store.tokens.authenticate(issued.token, stamp_every=timedelta(minutes=2)).use_date < first.use_date
    assert store.tokens.authenticate(issued.token).use_date > again.use_date
    assert store.tokens.query(tenant_id=tenant)[0].use_date > again.use_date
    used = store.tokens.query(tenant_id=tenant)[0].use_date
    assert store.tokens.used(issued.token) == 1  # says so, and so is stamped
    assert store.tokens.query(tenant_id=tenant)[0].use_date > used


@pytest.mark.parametrize("method", ["authenticate", "authenticate_beta"])
def test_who_finds_the_row_locked_is_authenticated_without_waiting(
    api: SyncApi | AsyncApi, db: str, tenant: str, method: str
) -> None:
    token = secret()
    with api.store(make_conninfo(db, options="-c statement_timeout=5s")) as store, psycopg.connect(db) as other:
        id = store.tokens.save(tenant_id=tenant, token=token, beta=token).id
        other.execute("SELECT 1 FROM conversation_store.api_token WHERE id = %s FOR UPDATE", [id])
        found = getattr(store.tokens, method)(token)
        assert (found.id, found.use_date) == (id, None)
        other.rollback()
        assert getattr(store.tokens, method)(token).use_date is not None


@pytest.mark.parametrize("wrong", [timedelta(seconds=-1), timedelta(days=40_000)])
def test_a_span_that_makes_no_sense_is_said(store: Any, tenant: str, wrong: timedelta) -> None:
    calls: list[Any] = [
        lambda span: store.tokens.authenticate("x", stamp_every=span),
        lambda span: store.tokens.authenticate_beta("x", stamp_every=span),
        lambda span: store.tokens.rotate(1, tenant_id=tenant, grace=span),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"(stamp_every|grace) must be between"):
            call(wrong)
        for other in (60, None, "1 minute"):
            with pytest.raises(TypeError, match=r"(stamp_every|grace) must be a timedelta"):
                call(other)


def test_a_token_ceases_to_authenticate_when_it_expires(store: Any, tenant: str) -> None:
    for past in ("2024-01-01", datetime.now(UTC) - timedelta(seconds=1), datetime(2024, 1, 1)):
        issued = store.tokens.issue(tenant_id=tenant, expire_date=past)
        assert store.tokens.authenticate(issued.token) is None
        assert store.tokens.used(issued.token) == 0
    issued = store.tokens.issue(tenant_id=tenant, expire_date=datetime.now(UTC) + timedelta(hours=1))
    assert store.tokens.authenticate(issued.token).expire_date == issued.expire_date
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date=None) == 1
    assert store.tokens.authenticate(issued.token).expire_date is None
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date="2024-01-01T08:00:00+08:00") == 1
    assert store.tokens.authenticate(issued.token) is None
    # What has expired is in lists, and stays so.
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date="2100-01-01") == 0
    assert store.tokens.authenticate(issued.token) is None
    assert store.tokens.query(tenant_id=tenant)[0].expire_date == datetime(2024, 1, 1, tzinfo=UTC)


def test_a_revoked_token_and_its_beta_no_longer_authenticate(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    beta = store.tokens.fill_beta(issued.id, tenant_id=tenant).beta
    assert store.tokens.authenticate_beta(beta).id == issued.id
    assert store.tokens.revoke(issued.id, tenant_id=tenant) == 1
    assert store.tokens.revoke(issued.id, tenant_id=tenant) == 0
    assert store.tokens.authenticate(issued.token) is None
    assert store.tokens.authenticate_beta(beta) is None
    assert store.tokens.used(issued.token) == 0
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date=None) == 0
    assert [token.id for token in store.tokens.query(tenant_id=tenant)] == [issued.id]


def test_whoever_waits_for_a_revocation_does_not_bring_the_token_back(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str
) -> None:
    """Each of these waits for the row, and looks again at what it has become."""
    waiters: list[Any] = [
        lambda s, id: s.tokens.expire(id, tenant_id=tenant, expire_date=None),
        lambda s, id: s.tokens.rotate(id, tenant_id=tenant, expire_date="2100-01-01"),
        lambda s, id: s.tokens.fill_beta(id, tenant_id=tenant),
    ]
    for end in ("revoke", "expire"):
        for waiter in waiters:
            issued = store.tokens.issue(tenant_id=tenant)
            with psycopg.connect(db) as other, api.store(db) as waiting:
                other.execute("SELECT FROM conversation_store.api_token WHERE id = %s FOR UPDATE", [issued.id])

                def finish(other: Any = other, id: int = issued.id, end: str = end) -> None:
                    # The end is later than the beginning of the statement that waits.
                    column = "revoke_date" if end == "revoke" else "expire_date"
                    change = f"UPDATE conversation_store.api_token SET {column} = clock_timestamp() WHERE id = %s"
                    other.execute(change, [id])

                calls: list[Any] = [
                    lambda s, w=waiter, id=issued.id: w(s, id),
                    lambda s, o=other, f=finish: commit_when_waited_for(api, db, o, f),
                ]
                result, _ = api.together(waiting, calls)
            assert result == 0 or isinstance(result, TokenNotFound)
            assert store.tokens.authenticate(issued.token) is None


def test_no_clock_brings_a_revoked_token_back(store: Any, tenant: str, db: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.revoke(issued.id, tenant_id=tenant) == 1
    with psycopg.connect(db) as connection:  # as if the clock had been set back since
        connection.execute(
            "UPDATE conversation_store.api_token SET revoke_date = revoke_date + interval '1 day' WHERE id = %s",
            [issued.id],
        )
    assert store.tokens.authenticate(issued.token) is None
    assert store.tokens.expire(issued.id, tenant_id=tenant, expire_date=None) == 0
    (listed,) = store.tokens.query(tenant_id=tenant)
    assert (listed.expire_date, listed.revoke_date is not None) == (None, True)


def test_a_successor_that_is_issued_while_a_tenants_tokens_are_deleted_goes_too(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with api.store(db, min_size=2, max_size=2) as store:
        for number in range(150):
            owner = f"{tenant}{number}"
            id = store.tokens.issue(tenant_id=owner).id
            calls = [lambda s: s.tokens.rotate(id, tenant_id=owner), lambda s: s.tokens.delete_by_tenant_id(owner)]
            rotated, deleted = api.together(store, calls)
            assert deleted == (2 if isinstance(rotated, IssuedToken) else 1)
            assert store.tokens.query(tenant_id=owner) == []


def test_a_transaction_that_began_earlier_sees_that_a_token_was_revoked(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with api.store(db) as store, api.store(db) as other:
        issued = other.tokens.issue(tenant_id=tenant)
        other.tokens.authenticate(issued.token)  # so that the transaction stamps nothing, and holds no lock
        with store.transaction() as tx:
            assert tx.tokens.authenticate(issued.token) is not None
            other.tokens.revoke(issued.id, tenant_id=tenant)
            assert tx.tokens.authenticate(issued.token) is None


def test_a_rotated_token_and_its_successor_both_work_for_a_grace_period(store: Any, tenant: str, db: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id
    old = store.tokens.issue(tenant_id=tenant, dialog_id=dialog, source="web")
    beta = store.tokens.fill_beta(old.id, tenant_id=tenant).beta
    new = store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(hours=1))
    assert isinstance(new, IssuedToken)
    assert (new.tenant_id, new.dialog_id, new.source, new.beta) == (tenant, dialog, "web", beta)
    assert (new.expire_date, new.use_date) == (None, None)
    assert new.token != old.token
    assert new.token.endswith(new.hint.removeprefix("…"))
    assert store.tokens.authenticate(new.token).id == new.id
    assert store.tokens.authenticate_beta(beta).id == new.id
    found = store.tokens.authenticate(old.token)
    assert found.beta is None
    assert timedelta(minutes=55) < found.expire_date - datetime.now(UTC) <= timedelta(hours=1)
    with psycopg.connect(db) as connection:  # an hour passes
        connection.execute(
            "UPDATE conversation_store.api_token SET expire_date = expire_date - interval '1 hour' WHERE id = %s",
            [old.id],
        )
    assert store.tokens.authenticate(old.token) is None
    assert store.tokens.authenticate(new.token).id == new.id
    with pytest.raises(TokenNotFound):
        store.tokens.rotate(old.id, tenant_id=tenant)


def test_a_grace_period_may_be_none_and_never_prolongs_a_life(store: Any, tenant: str) -> None:
    old = store.tokens.issue(tenant_id=tenant)
    new = store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(0), expire_date="2100-01-01")
    assert store.tokens.authenticate(old.token) is None
    assert new.expire_date == datetime(2100, 1, 1, tzinfo=UTC)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    old = store.tokens.issue(tenant_id=tenant, expire_date=soon)
    store.tokens.rotate(old.id, tenant_id=tenant, grace=timedelta(days=30))
    assert store.tokens.authenticate(old.token).expire_date == soon


def test_a_token_is_rotated_once_and_its_life_not_prolonged_afterwards(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with api.store(db, min_size=8, max_size=8) as store:
        for grace in (timedelta(0), timedelta(hours=1)):
            old = store.tokens.issue(tenant_id=tenant, expire_date="2100-01-01")
            beta = store.tokens.fill_beta(old.id, tenant_id=tenant).beta
            calls = [lambda s, g=grace: s.tokens.rotate(old.id, tenant_id=tenant, grace=g)] * 8
            results = api.together(store, calls)
            (new,) = [result for result in results if isinstance(result, IssuedToken)]
            assert sum(isinstance(result, TokenNotFound) for result in results) == 7
            assert (new.beta, new.expire_date) == (beta, datetime(2100, 1, 1, tzinfo=UTC))  # as the old one was to
            with pytest.raises(TokenNotFound):
                store.tokens.fill_beta(old.id, tenant_id=tenant)
            assert store.tokens.fill_beta(new.id, tenant_id=tenant).beta == beta
        (found,) = store.tokens.query(token=old.token)
        assert found.rotate_date is not None
        ends = found.expire_date
        for later in (None, "2100-01-01"):
            assert store.tokens.expire(old.id, tenant_id=tenant, expire_date=later) == 1
            assert store.tokens.query(token=old.token)[0].expire_date == ends
        assert store.tokens.expire(old.id, tenant_id=tenant, expire_date="2024-01-01") == 1
        assert store.tokens.authenticate(old.token) is None


def test_a_beta_is_not_filled_into_a_token_that_is_not_live(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.revoke(issued.id, tenant_id=tenant)
    with pytest.raises(TokenNotFound):
        store.tokens.fill_beta(issued.id, tenant_id=tenant)


def test_rotating_tokens_while_their_dialog_is_deleted_does_not_deadlock(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with api.store(db, min_size=6, max_size=6) as store:
        for number in range(60):
            dialog = store.dialogs.save(id=f"{tenant}{number}", tenant_id=tenant).id
            ids = [store.tokens.issue(tenant_id=tenant, dialog_id=dialog).id for _ in range(5)]
            calls: list[Any] = [lambda s, id=id: s.tokens.rotate(id, tenant_id=tenant) for id in ids]
            *rotated, deleted = api.together(store, [*calls, lambda s: s.dialogs.delete_by_id(dialog)])
            assert deleted == 1
            assert all(isinstance(result, (IssuedToken, TokenNotFound)) for result in rotated), rotated


def test_a_beta_is_filled_in_once_however_many_ask(api: SyncApi | AsyncApi, db: str, tenant: str) -> None:
    with api.store(db, min_size=16, max_size=16) as store:
        for _ in range(10):
            id = store.tokens.issue(tenant_id=tenant).id
            filled = api.together(store, [lambda s: s.tokens.fill_beta(id, tenant_id=tenant)] * 16)
            assert len({token.beta for token in filled}) == 1
            assert len(filled[0].beta) >= 32
            (listed,) = store.tokens.query(beta=filled[0].beta)
            assert listed == filled[0]


def test_fields_of_a_token_are_changed(store: Any, tenant: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id
    one, two = store.tokens.issue(tenant_id=tenant, source="a"), store.tokens.issue(tenant_id=tenant)
    beta = "b" + tenant
    assert store.tokens.update_by_id(one.id, {"dialog_id": dialog, "beta": beta}, tenant_id=tenant) == 1
    changed = store.tokens.authenticate(one.token)
    assert (changed.dialog_id, changed.beta, changed.source) == (dialog, beta, "a")
    assert store.tokens.update_by_id(one.id, {}, tenant_id=tenant) == 1
    with pytest.raises(AlreadyExists, match="beta") as caught:
        store.tokens.update_by_id(two.id, {"beta": beta}, tenant_id=tenant)
    assert beta not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(DialogNotFound):
        store.tokens.update_by_id(two.id, {"dialog_id": "nowhere"}, tenant_id=tenant)
    assert store.tokens.update_by_id(one.id, {"dialog_id": None, "beta": None, "source": None}, tenant_id=tenant) == 1
    changed = store.tokens.authenticate(one.token)
    assert (changed.dialog_id, changed.beta, changed.source) == (None, None, None)
    for wrong in ({"token": "x"}, {"tenant_id": "x"}, {"expire_date": None}, {"beta": " "}, {"dialog_id": ""}):
        with pytest.raises(ValueError, match="token"):
            store.tokens.update_by_id(one.id, wrong, tenant_id=tenant)


def test_tokens_are_found_by_tenant_dialog_secret_and_beta(store: Any, tenant: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id
    for_all, for_one = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant, dialog_id=dialog)
    beta = store.tokens.fill_beta(for_all.id, tenant_id=tenant).beta

    def found(**filters: Any) -> list[int]:
        return [token.id for token in store.tokens.query(**filters)]

    assert found(tenant_id=tenant) == [for_one.id, for_all.id]
    assert found(dialog_id=dialog) == found(tenant_id=tenant, dialog_id=dialog) == [for_one.id]
    assert found(token=for_all.token) == found(beta=beta) == found(beta=beta, token=for_all.token) == [for_all.id]
    assert found(tenant_id="foreign", dialog_id=dialog) == found(tenant_id="foreign", token=for_all.token) == []
    assert found(beta=beta, dialog_id=dialog) == found(beta="") == found(token="") == found(beta="\0") == []
    with pytest.raises(ValueError, match="one of tenant_id, dialog_id, token and beta must be given"):
        found()
    for filters in ({"tenant_id": ""}, {"dialog_id": ""}, {"tenant_id": tenant, "limit": -1}):
        with pytest.raises(ValueError, match=r"tenant_id|dialog_id|limit"):
            found(**filters)


@pytest.mark.parametrize("beta", ["", " ", "unknown", "\0", "\ud800", "检索", "x" * 1_000_000])
def test_any_other_text_is_nobodys_beta(store: Any, beta: str) -> None:
    assert store.tokens.authenticate_beta(beta) is None
    with pytest.raises(TypeError, match=r"^beta must be a str, not bytes$"):
        store.tokens.authenticate_beta(b"x")


def test_no_tenant_touches_anothers_token(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    foreign = {"tenant_id": "foreign" + tenant}
    assert store.tokens.update_by_id(issued.id, {"source": "x"}, **foreign) == 0
    assert store.tokens.expire(issued.id, expire_date="2024-01-01", **foreign) == 0
    assert store.tokens.revoke(issued.id, **foreign) == 0
    assert store.tokens.delete_by_id(issued.id, **foreign) == 0
    assert store.tokens.delete(token=issued.token, **foreign) == 0
    for call in (store.tokens.rotate, store.tokens.fill_beta):
        with pytest.raises(TokenNotFound):
            call(issued.id, **foreign)
    assert store.tokens.query(tenant_id=tenant) == before
    assert store.tokens.query(**foreign) == []
    for wrong in (-1, 2**63):
        with pytest.raises(ValueError, match="id must be at"):
            store.tokens.delete_by_id(wrong, tenant_id=tenant)
    for no_number in ("1", True, None):
        with pytest.raises(TypeError, match="id must be an int"):
            store.tokens.delete_by_id(no_number, tenant_id=tenant)
    assert store.tokens.delete_by_id(issued.id, tenant_id=tenant) == 1
    assert store.tokens.authenticate(issued.token) is None


def test_a_token_is_deleted_by_its_secret(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tokens.delete(tenant_id=tenant, token="another") == 0
    assert store.tokens.delete(tenant_id=tenant, token=issued.token) == 1
    assert store.tokens.query(tenant_id=tenant) == []
