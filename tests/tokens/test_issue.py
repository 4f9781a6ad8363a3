"""`tokens.issue`: a new token, whose secret only the result holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from conversation_store import DialogNotFound, IssuedToken


def test_an_issued_token_has_the_given_fields_and_no_others(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="web")
    assert isinstance(issued, IssuedToken)
    assert (issued.tenant_id, issued.source, issued.dialog_id, issued.beta) == (tenant, "web", None, None)
    assert (issued.use_date, issued.expire_date, issued.rotate_date, issued.revoke_date) == (None,) * 4


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
