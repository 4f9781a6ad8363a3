"""`tokens.update_by_id`: the dialog, the source and the beta of a tenant's token are changed."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from conversation_store import NOT_READ, AlreadyExists, DialogNotFound, InvalidArgument
from support.statements import store_without_server


def test_only_the_given_fields_are_changed(store: Any, tenant: str, dialog: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="a")
    assert store.tokens.update_by_id(issued.id, {"dialog_id": dialog, "beta": "b" + tenant}, tenant_id=tenant) == 1
    (changed,) = store.tokens.query(tenant_id=tenant)
    assert (changed.dialog_id, changed.beta, changed.source) == (dialog, "b" + tenant, "a")
    assert changed.update_date > issued.update_date


def test_a_changed_token_still_authenticates(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    store.tokens.update_by_id(issued.id, {"source": "b"}, tenant_id=tenant)
    assert store.tokens.authenticate(issued.token).source == "b"


def test_a_field_of_none_is_removed(store: Any, tenant: str, dialog: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="a", dialog_id=dialog)
    store.tokens.fill_beta(issued.id, tenant_id=tenant)
    none = {"dialog_id": None, "beta": None, "source": None}
    assert store.tokens.update_by_id(issued.id, none, tenant_id=tenant) == 1
    (changed,) = store.tokens.query(tenant_id=tenant)
    assert (changed.dialog_id, changed.beta, changed.source) == (None, None, None)


def test_without_a_field_all_fields_are_kept(store: Any, tenant: str, dialog: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="a", dialog_id=dialog)
    assert store.tokens.update_by_id(issued.id, {}, tenant_id=tenant) == 1
    (changed,) = store.tokens.query(tenant_id=tenant)
    assert (changed.dialog_id, changed.source) == (dialog, "a")


def test_what_was_not_read_is_kept(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant, source="a")
    assert store.tokens.update_by_id(issued.id, {"source": NOT_READ}, tenant_id=tenant) == 1
    assert store.tokens.query(tenant_id=tenant)[0].source == "a"


def test_a_beta_in_use_raises_already_exists_without_quoting_it(store: Any, tenant: str) -> None:
    one, two = store.tokens.issue(tenant_id=tenant), store.tokens.issue(tenant_id=tenant)
    beta = store.tokens.fill_beta(one.id, tenant_id=tenant).beta
    with pytest.raises(AlreadyExists, match="this beta is in use already") as caught:
        store.tokens.update_by_id(two.id, {"beta": beta}, tenant_id=tenant)
    assert beta not in "".join(traceback.format_exception(caught.value))
    assert store.tokens.query(token=two.token)[0].beta is None


def test_a_missing_dialog_raises_dialog_not_found(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    with pytest.raises(DialogNotFound):
        store.tokens.update_by_id(issued.id, {"dialog_id": "missing"}, tenant_id=tenant)


def test_a_dialog_of_another_tenant_raises_dialog_not_found(store: Any, tenant: str, dialog: str) -> None:
    issued = store.tokens.issue(tenant_id="other" + tenant)
    with pytest.raises(DialogNotFound):
        store.tokens.update_by_id(issued.id, {"dialog_id": dialog}, tenant_id="other" + tenant)


def test_a_token_of_another_tenant_returns_0_and_is_not_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    before = store.tokens.query(tenant_id=tenant)
    assert store.tokens.update_by_id(issued.id, {"source": "x"}, tenant_id="other" + tenant) == 0
    assert store.tokens.query(tenant_id=tenant) == before


def test_on_a_bound_store_only_a_token_of_its_tenant_is_changed(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.for_tenant("other" + tenant).tokens.update_by_id(issued.id, {"source": "x"}) == 0
    assert store.tokens.query(tenant_id=tenant)[0].source is None
    assert store.for_tenant(tenant).tokens.update_by_id(issued.id, {"source": "x"}) == 1
    assert store.tokens.query(tenant_id=tenant)[0].source == "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a secret": "token"}, "token must have keys among dialog_id, source, beta; it has others$"),
        ({"token": "x"}, "token must have keys among dialog_id, source, beta; it has others"),
        ({"tenant_id": "x"}, "token must have keys among dialog_id, source, beta; it has others"),
        ({"expire_date": None}, "token must have keys among dialog_id, source, beta; it has others"),
        ({"beta": " "}, r"token\['beta'\] must be None or not be blank"),
        ({"dialog_id": ""}, r"token\['dialog_id'\] must be given and not be empty"),
        ({"source": "s" * 65}, r"token\['source'\] must have at most 64 characters, not 65"),
    ],
)
def test_invalid_changes_are_rejected_before_any_statement(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        store_without_server().tokens.update_by_id(1, changes, tenant_id="t")
