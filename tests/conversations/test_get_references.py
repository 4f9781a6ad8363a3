"""`conversations.get_references`: the last references of a conversation, or a page of them, with their positions."""

from __future__ import annotations

from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, InvalidArgument

REFERENCES = [{"chunks": [number]} for number in range(1, 6)]


@pytest.fixture
def saved(store: Any, dialog: str) -> str:
    """Save a conversation of five references and many messages; return its id."""
    return str(store.conversations.save(dialog_id=dialog, message=["m"] * 20, reference=REFERENCES).id)


@pytest.mark.parametrize(
    ("arguments", "positions", "has_more"),
    [
        ({}, [1, 2, 3, 4, 5], False),
        ({"limit": 2}, [1, 2], True),
        ({"last": 2}, [4, 5], True),
        ({"before": 3}, [1, 2], False),
        ({"before": 10, "limit": 2}, [4, 5], True),
        ({"after": 3, "limit": 2}, [4, 5], False),
        ({"after": 5}, [], False),
    ],
)
def test_a_page_has_positions_of_the_references_and_says_whether_there_are_more(
    store: Any, saved: str, arguments: dict[str, int], positions: list[int], has_more: bool
) -> None:
    found = store.conversations.get_references(saved, **arguments)
    assert [(entry.position, entry.body) for entry in found] == [(p, REFERENCES[p - 1]) for p in positions]
    assert found.has_more == has_more


def test_a_reference_that_is_not_a_list_is_at_position_1(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=["m"] * 5, reference={"chunks": []}).id
    found = store.conversations.get_references(id, last=5)
    assert [entry.to_dict() for entry in found] == [{"position": 1, "body": {"chunks": []}}]
    assert not found.has_more


def test_an_unknown_conversation_is_none_and_one_without_references_an_empty_list(store: Any, dialog: str) -> None:
    assert store.conversations.get_references("nowhere") is None
    id = store.conversations.save(dialog_id=dialog, message=["m"]).id
    assert store.conversations.get_references(id) == []
    assert store.conversations.get_references(id, dialog_id="other") is None


def test_more_than_one_position_raises_invalid_argument(store: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^of last, before and after one may be given, not last and after"):
        store.conversations.get_references("x", last=1, after=1)


def test_an_id_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.get_references(equal_ids[0].id)


def test_of_an_id_that_two_tenants_have_the_references_of_the_given_one_are_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for saved in equal_ids:
        for found in (
            store.conversations.get_references(saved.id, tenant_id=saved.tenant_id),
            store.for_tenant(saved.tenant_id).conversations.get_references(saved.id),
        ):
            assert [entry.body for entry in found] == [saved.tenant_id]


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, tenant: str) -> None:
    own = "conversation.get_messages"
    assert statements_of(lambda s: s.conversations.get_references("x")) == ["conversation.find", own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_references("x")) == [own]
