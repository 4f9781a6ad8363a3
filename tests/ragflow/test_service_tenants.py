"""Dialogs and tenants of the services under their names in RAGFlow."""

from __future__ import annotations

import uuid

import pytest

from conversation_store import (
    AmbiguousId,
    ConversationStore,
    DialogNotFound,
    InvalidArgument,
)
from conversation_store.ragflow.services import API4Conversation, API4ConversationService, APITokenService
from support.ragflow_services import Configure, listed, new_id


def test_a_dialog_that_is_not_there_is_created_with_its_owner(
    configured: ConversationStore, configure: Configure, tenant: str
) -> None:
    asked: list[str] = []

    def owner_of(id: str) -> str:
        asked.append(id)
        return tenant

    configure(owner_of=owner_of)
    dialog, other = uuid.uuid4().int, new_id()
    API4ConversationService.save(id=new_id(), dialog_id=dialog)
    API4ConversationService.save(id=new_id(), dialog_id=dialog)
    API4ConversationService.insert_many([{"dialog_id": dialog}, {"dialog_id": other}])
    assert asked == [str(dialog), other]
    assert {row.id for row in configured.dialogs.query(tenant_id=tenant)} == {str(dialog), other}


def test_a_dialog_without_an_owner_is_not_found(configure: Configure) -> None:
    with pytest.raises(DialogNotFound, match="owner_of"):
        API4ConversationService.save(id=new_id(), dialog_id="missing")
    configure(owner_of=lambda id: None)
    with pytest.raises(DialogNotFound, match="missing"):
        API4ConversationService.save(id=new_id(), dialog_id="missing")
    with pytest.raises(InvalidArgument, match="dialog_id"):
        API4ConversationService.save(id=new_id())


def test_a_list_is_that_of_the_callers_tenant(
    configured: ConversationStore, configure: Configure, agent: str, session: str, tenant: str
) -> None:
    member = new_id()
    assert listed(agent, tenant)[0] == 1
    assert listed(agent, member) == (0, [])
    configure(any_tenant=True)
    assert listed(agent, member)[0] == 1
    assert listed(new_id(), member) == (0, [])
    # The caller's own wins, though it is empty.
    configured.dialogs.save(id=agent, tenant_id=member)
    assert listed(agent, member) == (0, [])
    with pytest.raises(AmbiguousId):
        listed(agent, new_id())


def test_an_id_that_two_tenants_have_is_an_error(
    configured: ConversationStore, agent: str, session: str, tenant: str
) -> None:
    other = configured.for_tenant(new_id())
    other.dialogs.save(id="d")
    other.conversations.save(id=session, dialog_id="d")
    for call in (
        lambda: API4ConversationService.get_by_id(session),
        lambda: API4ConversationService.update_by_id(session, {"name": "n"}),
        lambda: API4ConversationService.delete_by_id(session),
        lambda: API4ConversationService.filter_delete([API4Conversation.id == session]),
    ):
        with pytest.raises(AmbiguousId):
            call()
    assert API4ConversationService.query(id=session, dialog_id=agent)[0].dialog_id == agent
    copy_of_it = configured.conversations.save(id=new_id(), dialog_id=agent, tenant_id=tenant)
    other.conversations.save(id=copy_of_it.id, dialog_id="d")
    model = API4Conversation
    assert API4ConversationService.filter_delete([model.id == copy_of_it.id, model.dialog_id == agent]) == 1
    assert other.conversations.get_by_id(copy_of_it.id) is not None
    # A row of a list is known to be the tenant's.
    _, (values,) = listed(agent, tenant)
    assert API4ConversationService.update_by_id(session, values) == 1


def test_an_id_that_two_tenants_have_is_found_by_its_dialog(
    configured: ConversationStore, agent: str, session: str
) -> None:
    other = configured.for_tenant(new_id())
    theirs = other.dialogs.save(id=new_id()).id
    other.conversations.save(id=session, dialog_id=theirs)
    model = API4Conversation
    assert API4ConversationService.filter_update([model.id == session, model.dialog_id == agent], {"name": "n"}) == 1
    assert API4ConversationService.filter_update([model.dialog_id == agent], {"tokens": 3}) == 1
    assert len(API4ConversationService.query(id=session, dialog_id=[agent, theirs])) == 2
    assert API4ConversationService.filter_delete([model.dialog_id.in_([agent, new_id()]), model.user_id == "u"]) == 1
    row = other.conversations.get_by_id(session)
    assert row is not None
    assert (row.name, row.tokens) == (None, 0)


def test_a_dialog_that_another_tenant_has_is_not_created_again(
    configured: ConversationStore, configure: Configure, agent: str, session: str
) -> None:
    other = new_id()
    configure(owner_of=lambda _: other)
    with pytest.raises(DialogNotFound, match="another one has it"):
        APITokenService.save(tenant_id=other, token=new_id(), dialog_id=agent)
    assert configured.dialogs.get_by_id(agent, tenant_id=other) is None
