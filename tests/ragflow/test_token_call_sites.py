"""What RAGFlow's callers do with tokens and with the data of a user, each of their call sites as one claim."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow.services import API4Conversation, API4ConversationService, APIToken, APITokenService

pytestmark = pytest.mark.usefixtures("configure")


def new_id() -> str:
    return uuid.uuid4().hex


# -- tokens ---------------------------------------------------------------------------------------------


@pytest.fixture
def token(tenant: str) -> dict[str, Any]:
    """Create a token as the page of tokens and the administrator do; give what they answer with."""
    values: dict[str, Any] = {
        "tenant_id": tenant, "token": f"ragflow-{new_id()}", "beta": new_id(), "create_time": 1_700_000_000_000,
        "create_date": "2023-11-14 22:13:20", "update_time": None, "update_date": None,
    }  # fmt: skip
    assert APITokenService.save(**values)
    return values


def test_a_request_comes_in_with_a_token_and_an_embedded_page_with_a_beta(token: dict[str, Any], tenant: str) -> None:
    assert [row.tenant_id for row in APIToken.query(token=token["token"])] == [tenant]
    assert [row.tenant_id for row in APIToken.query(beta=token["beta"])] == [tenant]
    assert not APIToken.query(beta=token["token"])
    assert not APIToken.query(token=token["beta"])


def test_the_page_of_tokens_lists_them_fills_in_a_missing_beta_and_deletes_what_it_shows(tenant: str) -> None:
    secret = f"ragflow-{new_id()}"
    APITokenService.save(tenant_id=tenant, token=secret)
    (shown,) = [row.to_dict() for row in APITokenService.query(tenant_id=tenant)]
    assert not shown["beta"]
    shown["beta"] = new_id()
    APITokenService.filter_update([APIToken.tenant_id == tenant, APIToken.token == shown["token"]], shown)
    (listed,) = json.loads(json.dumps([row.to_dict() for row in APITokenService.query(tenant_id=tenant)], default=str))
    assert (listed["beta"], listed["token"]) == (shown["beta"], shown["token"])
    assert APIToken.query(beta=shown["beta"])
    APITokenService.filter_delete([APIToken.tenant_id == tenant, APIToken.token == listed["token"]])
    assert not APIToken.query(token=secret)


def test_the_administrator_deletes_a_key_of_its_owner_alone(token: dict[str, Any], tenant: str) -> None:
    def deleted(owner: str) -> int:
        return APITokenService.filter_delete([APIToken.tenant_id == owner, APIToken.token == token["token"]])

    assert [deleted("another"), deleted(tenant), deleted(tenant)] == [0, 1, 0]


# -- the data of a user -----------------------------------------------------------------------------------


def test_a_users_tokens_and_sessions_are_deleted_and_counted(token: dict[str, Any], session: str, agent: str) -> None:
    assert APITokenService.delete_by_tenant_id(token["tenant_id"]) == 1
    assert API4ConversationService.delete_by_dialog_ids([agent, new_id()]) == 1
    assert API4ConversationService.delete_by_dialog_ids([]) == 0
    assert not APIToken.query(token=token["token"])


def test_a_file_is_given_to_the_user_or_the_explorer_of_its_session(session: str) -> None:
    row = API4Conversation.get_or_none(API4Conversation.id == session)
    assert row is not None
    assert (str(row.user_id), str(row.exp_user_id or "")) == ("u", "")
    for id in ("", "x" * 300, None):
        assert API4Conversation.get_or_none(API4Conversation.id == id) is None


def test_the_sessions_in_which_a_user_has_a_file_are_found_by_a_search(
    configured: ConversationStore, agent: str, tenant: str
) -> None:
    name = f"{new_id()}.png"
    message = [{"role": "assistant", "content": f"![plot](documents/artifact/{name})"}]
    for user, explorer in (("u", None), ("", "u"), ("other", "other")):
        API4ConversationService.save(id=new_id(), dialog_id=agent, user_id=user, exp_user_id=explorer, message=message)
    with pytest.raises(NotImplementedError, match="search"):
        API4Conversation.select(API4Conversation.dialog_id)
    page = configured.for_tenant(tenant).conversations.search(name, user_id="u", exp_user_id="u")
    assert [hit.conversation.dialog_id for hit in page.hits] == [agent, agent]
