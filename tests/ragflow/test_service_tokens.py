"""APITokenService and APIToken, as RAGFlow's callers know them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from inspect import signature
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg import OperationalError
from psycopg_pool import ConnectionPool

from conversation_store import AlreadyExists, ConversationStore, DialogNotFound, InvalidArgument, InvalidArgumentType
from conversation_store.ragflow import services
from conversation_store.ragflow.services import APIToken, APITokenService
from support.tracebacks import everything

Configure = Callable[..., None]


@pytest.fixture
def secret(configure: Configure, tenant: str) -> str:
    """Give the secret of a new token of the tenant."""
    secret = "ragflow-" + uuid.uuid4().hex
    assert APITokenService.save(tenant_id=tenant, token=secret, source="none") == 1
    return secret


def test_a_use_is_stamped_at_the_call_and_execute_repeats_nothing(
    configured: ConversationStore, secret: str, tenant: str
) -> None:
    assert configured.tokens.query(token=secret)[0].use_date is None
    used = APITokenService.used(secret)
    date = configured.tokens.query(token=secret)[0].use_date
    assert date is not None
    assert (used.execute(), used.execute(), used) == (1, 1, 1)
    assert configured.tokens.query(token=secret)[0].use_date == date
    for unknown in ("unknown", "", "a\0", "\ud800", None):
        assert APITokenService.used(unknown).execute() == 0


def test_a_row_found_by_its_secret_has_it(secret: str, tenant: str) -> None:
    (row,) = APIToken.query(token=secret)
    assert (row.tenant_id, row.token, row.source, row.beta, row.dialog_id) == (tenant, secret, "none", None, None)
    assert set(row.to_dict()) == {
        "tenant_id", "token", "dialog_id", "source", "beta", "create_time", "create_date", "update_time", "update_date",
    }  # fmt: skip
    assert row.to_dict()["create_date"].tzinfo is None


@pytest.mark.parametrize("text", ["unknown", "", "a\0b", "\ud800", "x" * 5_000, None, 5])
def test_a_text_that_is_no_secret_and_no_beta_finds_nothing(configure: Configure, text: Any) -> None:
    assert APIToken.query(token=text) == []
    assert APIToken.query(beta=text) == []
    assert APITokenService.query(token=text) == []


def test_a_secret_and_a_beta_are_found_as_they_are(configure: Configure, tenant: str) -> None:
    secret, beta = "ragflow-" + uuid.uuid4().hex, "b" + uuid.uuid4().hex
    APITokenService.save(tenant_id=tenant, token=secret, beta=beta)
    for changed in (str.upper, lambda text: text + " "):
        assert APIToken.query(token=changed(secret)) == []
        assert APIToken.query(beta=changed(beta)) == []


def test_a_token_that_is_not_live_finds_nothing(configured: ConversationStore, secret: str, tenant: str) -> None:
    (row,) = configured.tokens.query(token=secret)
    beta = uuid.uuid4().hex
    configured.tokens.update_by_id(row.id, {"beta": beta}, tenant_id=tenant)
    assert len(APIToken.query(beta=beta)) == 1
    configured.tokens.revoke(row.id, tenant_id=tenant)
    assert APIToken.query(token=secret) == []
    assert APIToken.query(beta=beta) == []
    assert APITokenService.query(tenant_id=tenant) == []
    expired = uuid.uuid4().hex
    configured.tokens.save(tenant_id=tenant, token=expired, expire_date=datetime.now(UTC) - timedelta(days=1))
    assert APIToken.query(token=expired) == []
    assert APITokenService.query(tenant_id=tenant) == []
    # They can still be deleted.
    assert APITokenService.filter_delete([APIToken.tenant_id == tenant, APIToken.token == secret]) == 1
    assert APITokenService.filter_delete([APIToken.tenant_id == tenant]) == 1


def test_to_authenticate_is_a_use(configured: ConversationStore, secret: str) -> None:
    APIToken.query(token=secret)
    assert configured.tokens.query(token=secret)[0].use_date is not None


def test_the_secret_in_a_list_names_the_way_around(secret: str, tenant: str) -> None:
    (row,) = APITokenService.query(tenant_id=tenant)
    with pytest.raises(NotImplementedError, match=r"save"):
        _ = row.token
    assert secret not in json.dumps(row.to_dict(), default=str)
    assert secret[-4:] in row.to_dict()["token"]


def test_what_stands_for_a_secret_in_a_list_names_the_token_in_changes_alone(secret: str, tenant: str) -> None:
    (row,) = APITokenService.query(tenant_id=tenant)
    reference = json.loads(json.dumps(row.to_dict(), default=str))["token"]
    # A web page puts it into an address as it is.
    assert urlsplit(f"http://host/system/tokens/{reference}").path.rpartition("/")[2] == reference
    assert APIToken.query(token=reference) == []
    assert APIToken.query(tenant_id=tenant, token=reference) == []
    assert APITokenService.used(reference) == 0
    other = uuid.uuid4().hex
    with pytest.raises(NotImplementedError, match="tenant_id"):
        APITokenService.filter_delete([APIToken.token == reference])
    assert APITokenService.filter_delete([APIToken.tenant_id == other, APIToken.token == reference]) == 0
    assert APITokenService.filter_delete([APIToken.tenant_id == tenant, APIToken.token == reference]) == 1
    assert APIToken.query(token=secret) == []


def test_what_stands_for_a_secret_is_no_secret(secret: str, tenant: str) -> None:
    row = APITokenService.query(tenant_id=tenant)[0].to_dict()
    for store in (lambda: APITokenService.save(**row), lambda: APITokenService.insert_many([row])):
        with pytest.raises(InvalidArgument, match="stands for one in a list"):
            store()


def test_a_row_of_a_list_may_be_written_beside_the_secret(secret: str, tenant: str) -> None:
    row = APITokenService.query(tenant_id=tenant)[0].to_dict()
    row["source"] = "agent"
    assert APITokenService.filter_update([APIToken.tenant_id == tenant, APIToken.token == secret], row) == 1
    # Written again, a row is compared with what it wrote.
    row["source"] = "none"
    assert APITokenService.filter_update([APIToken.token == secret], row) == 1
    assert APIToken.query(token=secret)[0].source == "none"


def test_a_secret_that_reads_as_what_stands_for_another_one_takes_nothing_from_it(
    configured: ConversationStore, secret: str, tenant: str
) -> None:
    reference = str(APITokenService.query(tenant_id=tenant)[0].to_dict()["token"])
    other = uuid.uuid4().hex
    configured.tokens.save(tenant_id=other, token=reference)
    both = [APIToken.tenant_id == tenant, APIToken.token.in_([reference, secret])]
    assert APITokenService.filter_update(both, {"source": "agent"}) == 1
    assert APITokenService.filter_delete([APIToken.tenant_id == tenant, APIToken.token == reference]) == 1
    assert len(APIToken.query(token=reference)) == 1
    assert APIToken.query(token=secret) == []


def test_a_secret_is_no_part_of_an_alternative(secret: str, tenant: str) -> None:
    token = APIToken.token == secret
    with pytest.raises(NotImplementedError, match="of every token"):
        APITokenService.filter_delete([APIToken.tenant_id == tenant, token | (APIToken.beta == "nope")])
    either = ((APIToken.tenant_id == tenant) & token) | ((APIToken.tenant_id == "b") & (APIToken.token == "other"))
    assert APITokenService.filter_delete([either]) == 1


@pytest.mark.parametrize("method", ["contains", "between", "__ne__", "__lt__", "__ge__"])
def test_a_secret_is_compared_with_a_secret_alone(method: str) -> None:
    with pytest.raises(NotImplementedError, match="=="):
        getattr(APIToken.token, method)(*(["a", "b"] if method == "between" else ["d"]))


def test_one_of_many_callers_at_once_changes_what_a_condition_asks_for(secret: str, tenant: str) -> None:
    free = [APIToken.tenant_id == tenant, APIToken.token == secret, APIToken.source == "none"]
    with ThreadPoolExecutor(6) as executor:
        changed = list(executor.map(lambda n: APITokenService.filter_update(free, {"source": f"w{n}"}), range(6)))
    assert sorted(changed) == [0, 0, 0, 0, 0, 1]


def test_a_missing_beta_is_filled_in(secret: str, tenant: str) -> None:
    for values in [row.to_dict() for row in APITokenService.query(tenant_id=tenant)]:
        assert not values["beta"]
        values["beta"] = beta = uuid.uuid4().hex
        filters = [APIToken.tenant_id == tenant, APIToken.token == values["token"]]
        assert APITokenService.filter_update(filters, values) == 1
        assert APIToken.query(beta=beta)[0].tenant_id == tenant


def test_only_what_a_caller_changed_in_a_row_is_written(
    configured: ConversationStore, secret: str, tenant: str
) -> None:
    values = APIToken.query(token=secret)[0].to_dict()
    (row,) = configured.tokens.query(token=secret)
    configured.tokens.update_by_id(row.id, {"source": "agent"}, tenant_id=tenant)
    values["beta"] = uuid.uuid4().hex
    assert APITokenService.filter_update([APIToken.token == secret], values) == 1
    assert configured.tokens.query(token=secret)[0].source == "agent"


def test_a_change_without_a_read_row_writes_all_of_it(configured: ConversationStore, secret: str, tenant: str) -> None:
    changes = {"beta": uuid.uuid4().hex, "source": None, "dialog_id": ""}
    assert APITokenService.filter_update([APIToken.tenant_id == tenant], changes) == 1
    (row,) = configured.tokens.query(token=secret)
    assert (row.beta, row.source, row.dialog_id) == (changes["beta"], None, None)


@pytest.mark.parametrize("changes", [{"token": "another"}, {"tenant_id": "another"}])
def test_a_token_keeps_its_secret_and_its_tenant(secret: str, changes: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match="rotate"):
        APITokenService.filter_update([APIToken.token == secret], changes)


def test_short_secrets_and_dates_of_callers_are_taken(
    configured: ConversationStore, configure: Configure, tenant: str
) -> None:
    secret = uuid.uuid4().hex[:12]
    values = {"tenant_id": tenant, "token": secret, "create_time": 1, "update_time": None, "update_date": None}
    assert APITokenService.save(**values, create_date=datetime(2001, 1, 1)) == 1
    assert APIToken.query(token=secret)[0].create_time > 1_700_000_000_000
    with pytest.raises(AlreadyExists):
        APITokenService.save(**values)


def test_a_token_is_bound_to_a_dialog_that_is_created_with_its_owner(
    configured: ConversationStore, configure: Configure, tenant: str
) -> None:
    dialog = uuid.uuid4().hex
    with pytest.raises(DialogNotFound, match="owner_of"):
        APITokenService.save(tenant_id=tenant, token=uuid.uuid4().hex, dialog_id=dialog)
    configure(owner_of=lambda _: uuid.uuid4().hex)
    with pytest.raises(DialogNotFound, match="owner is another"):
        APITokenService.save(tenant_id=tenant, token=uuid.uuid4().hex, dialog_id=dialog)
    configure(owner_of=lambda _: tenant)
    APITokenService.insert(id="ignored", tenant_id=tenant, token=uuid.uuid4().hex, dialog_id=dialog)
    assert [row.dialog_id for row in APITokenService.query(dialog_id=dialog)] == [dialog]
    assert configured.dialogs.get_by_id(dialog, tenant_id=tenant) is not None


def test_insert_many_stores_all_or_none(configure: Configure, tenant: str) -> None:
    secrets = [uuid.uuid4().hex for _ in range(3)]
    rows = [{"tenant_id": tenant, "token": secret} for secret in secrets]
    with pytest.raises(AlreadyExists):
        APITokenService.insert_many([*rows, rows[0]])
    assert APITokenService.query(tenant_id=tenant) == []
    APITokenService.insert_many([rows[0], {**rows[1], "source": "agent"}, rows[2]], batch_size=1)
    assert sorted(row.source or "" for row in APITokenService.query(tenant_id=tenant)) == ["", "", "agent"]


def test_delete_by_tenant_id_deletes_those_of_the_tenant(secret: str, tenant: str) -> None:
    assert APITokenService.delete_by_tenant_id(uuid.uuid4().hex) == 0
    assert APITokenService.delete_by_tenant_id(tenant) == 1
    assert APITokenService.delete_by_tenant_id("x" * 500) == 0


@pytest.mark.slow
def test_a_list_of_tokens_is_not_cut(configure: Configure, tenant: str) -> None:
    APITokenService.insert_many([{"tenant_id": tenant, "token": uuid.uuid4().hex} for _ in range(1_200)])
    assert len(APITokenService.query(tenant_id=tenant)) == 1_200
    assert APITokenService.filter_delete([APIToken.tenant_id == tenant]) == 1_200


@pytest.mark.parametrize(
    "method", ["get_by_id", "get_by_ids", "update_many_by_id", "delete_by_id", "delete_by_ids", "update_by_id"]
)
def test_what_needs_an_id_names_the_way_around(method: str) -> None:
    arguments = ["a", {}] if method == "update_by_id" else ["a"]
    with pytest.raises(NotImplementedError, match="filter_"):
        getattr(APITokenService, method)(*arguments)


def test_what_tokens_cannot_do_names_the_way_around(configure: Configure) -> None:
    with pytest.raises(NotImplementedError, match="tenant_id"):
        APITokenService.get_all()
    with pytest.raises(NotImplementedError, match="tenant_id"):
        APITokenService.query(source="agent")
    with pytest.raises(NotImplementedError, match="=="):
        _ = APIToken.token != "secret"


def test_get_finds_one_or_raises(secret: str, tenant: str) -> None:
    assert APITokenService.get(token=secret).tenant_id == tenant
    assert APITokenService.get_or_none(tenant_id=tenant, source="agent") is None
    with pytest.raises(APIToken.DoesNotExist):
        APITokenService.get(token="unknown")


def test_no_error_and_no_repr_has_the_secret(secret: str, tenant: str) -> None:
    (row,) = APIToken.query(token=secret)
    assert secret not in repr(row)
    with pytest.raises(InvalidArgument) as caught:
        APITokenService.save(tenant_id=tenant, **{secret: 1})
    assert secret not in str(caught.value)
    with pytest.raises(NotImplementedError) as refused:
        APITokenService.filter_update([APIToken.token == secret], {"token": "other-secret"})
    assert secret not in str(refused.value)
    assert "other-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda tenant, secret: APITokenService.save(tenant_id=tenant, token=secret),
        lambda tenant, secret: APITokenService.insert(tenant_id=tenant, token=secret),
        lambda tenant, secret: APITokenService.insert_many([{"tenant_id": tenant, "token": secret}]),
        lambda tenant, secret: APITokenService.save(tenant_id=tenant, token=secret, colour=secret),
        lambda tenant, secret: APITokenService.used(secret),
        lambda tenant, secret: APITokenService.query(token=secret),
        lambda tenant, secret: APITokenService.get(token=secret),
        lambda tenant, secret: APITokenService.get_or_none(token=secret),
        lambda tenant, secret: APITokenService.filter_scope_list("token", [secret]),
        lambda tenant, secret: APIToken.query(beta=secret),
        lambda tenant, secret: APIToken.get(APIToken.token == secret),
        lambda tenant, secret: APIToken.token != secret,
        lambda tenant, secret: APITokenService.filter_delete([APIToken.token == secret]),
        lambda tenant, secret: APITokenService.filter_update([APIToken.token == secret], {"beta": secret}),
        lambda tenant, secret: APITokenService.filter_update([APIToken.token == secret], {"token": secret + "x"}),
        lambda tenant, secret: APITokenService.update_by_id(secret, {"beta": secret}),
    ],
)
def test_no_traceback_shows_a_secret(configure: Configure, tenant: str, call: Callable[[str, str], Any]) -> None:
    secret = "ragflow-" + uuid.uuid4().hex
    with ConnectionPool("host=127.0.0.1 port=1", min_size=0, max_size=1, timeout=0.1, open=True) as pool:
        services.configure(ConversationStore(pool=pool))
        with pytest.raises((OperationalError, NotImplementedError, InvalidArgument)) as caught:
            call(tenant, secret)
    assert secret not in everything(caught.value)


def test_an_error_with_a_circle_of_causes_is_raised(configure: Configure, tenant: str) -> None:
    def owner_of(_: str) -> str:
        error = ValueError("no owner")
        raise error from error

    configure(owner_of=owner_of)
    with pytest.raises(ValueError, match="no owner"):
        APITokenService.save(tenant_id=tenant, token=uuid.uuid4().hex, dialog_id=uuid.uuid4().hex)


def test_what_a_caller_is_handling_stays_as_it_is(configure: Configure, tenant: str) -> None:
    def failing() -> None:
        kept = "a local variable"
        raise KeyError(kept)

    try:
        failing()
    except KeyError as handled:
        with pytest.raises(InvalidArgument):
            APITokenService.save(tenant_id=tenant)
        assert handled.__traceback__ is not None
        assert handled.__traceback__.tb_next is not None
        assert handled.__traceback__.tb_next.tb_frame.f_locals == {"kept": "a local variable"}


@pytest.mark.parametrize(
    "call",
    [
        lambda secret: APIToken.token << secret,
        lambda secret: APIToken.beta.in_(secret),
        lambda secret: APIToken.token + secret,
        lambda secret: (APIToken.token == secret) & secret,
        lambda secret: APITokenService.get(**{secret: 1}),
        lambda secret: APITokenService.filter_scope_list(secret, [1]),
        lambda secret: getattr(APIToken.token, secret),
    ],
)
def test_no_error_of_a_condition_shows_a_secret(configure: Configure, call: Callable[[str], Any]) -> None:
    secret = "ragflow_" + uuid.uuid4().hex
    with pytest.raises((InvalidArgument, InvalidArgumentType, NotImplementedError)) as caught:
        call(secret)
    assert secret not in everything(caught.value)


def test_arguments_have_their_old_names() -> None:
    assert list(signature(APITokenService.used).parameters) == ["token"]
    assert list(signature(APITokenService.delete_by_tenant_id).parameters) == ["tenant_id"]
