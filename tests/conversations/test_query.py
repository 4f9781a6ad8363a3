"""`conversations.query`: the conversations of a dialog, of a user, or of both."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conversation_store import AmbiguousId, Conversation, ConversationStore, InvalidArgument

USERS = ("u1", "u2", "")


class Saved:
    """A conversation of each of three users in two dialogs of one tenant and in one of another, oldest first."""

    def __init__(self, store: ConversationStore) -> None:
        self.tenant, self.other_tenant, self.first, self.second, self.foreign = (uuid.uuid4().hex for _ in range(5))
        store.dialogs.insert_many(
            [
                {"id": self.first, "tenant_id": self.tenant},
                {"id": self.second, "tenant_id": self.tenant},
                {"id": self.foreign, "tenant_id": self.other_tenant},
            ]
        )
        keys = [(dialog, user) for dialog in (self.first, self.second, self.foreign) for user in USERS]
        self._by_key: dict[tuple[str, str], Conversation] = {
            (dialog, user): store.conversations.save(
                dialog_id=dialog, user_id=user, create_date=f"2024-01-{day:02}", message=[day], dsl={"day": day}
            )
            for day, (dialog, user) in enumerate(keys, start=1)
        }

    def of(self, *keys: tuple[str, str]) -> list[Conversation]:
        return [self._by_key[key] for key in keys]


@pytest.fixture(scope="module")
def saved(db: str) -> Saved:
    """Save conversations of several dialogs, users and tenants."""
    with ConversationStore(db, min_size=1, max_size=1) as store:
        return Saved(store)


def test_the_conversations_of_a_dialog_are_returned_newest_first(store: Any, saved: Saved) -> None:
    wanted = saved.of((saved.first, ""), (saved.first, "u2"), (saved.first, "u1"))
    assert store.conversations.query(dialog_id=saved.first) == wanted


def test_conversations_of_the_same_date_are_returned_in_order_of_their_ids(store: Any, dialog: str) -> None:
    ids = [f"{dialog}{number}" for number in (1, 3, 0, 2)]
    store.conversations.insert_many([{"id": id, "dialog_id": dialog, "create_date": "2024-01-01"} for id in ids])
    assert [found.id for found in store.conversations.query(dialog_id=dialog)] == sorted(ids, reverse=True)


def test_the_limit_keeps_the_newest(store: Any, saved: Saved) -> None:
    assert store.conversations.query(dialog_id=saved.first, limit=2) == saved.of((saved.first, ""), (saved.first, "u2"))


@pytest.mark.parametrize(("limit", "has_more"), [(0, True), (2, True), (3, False), (4, False)])
def test_has_more_says_whether_there_are_more_than_the_limit(
    store: Any, saved: Saved, limit: int, has_more: bool
) -> None:
    wanted = saved.of((saved.first, ""), (saved.first, "u2"), (saved.first, "u1"))
    found = store.conversations.query(dialog_id=saved.first, limit=limit)
    assert (found, found.has_more) == (wanted[:limit], has_more)


def test_a_dialog_and_a_user_narrow_together(store: Any, saved: Saved) -> None:
    assert store.conversations.query(dialog_id=saved.first, user_id="u1") == saved.of((saved.first, "u1"))


def test_a_user_of_a_tenant_is_found_in_all_dialogs_of_that_tenant(store: Any, saved: Saved) -> None:
    assert store.conversations.query(tenant_id=saved.tenant, user_id="u1") == saved.of(
        (saved.second, "u1"), (saved.first, "u1")
    )


def test_a_tenant_a_user_and_a_dialog_narrow_together(store: Any, saved: Saved) -> None:
    found = store.conversations.query(tenant_id=saved.tenant, user_id="u1", dialog_id=saved.second)
    assert found == saved.of((saved.second, "u1"))


def test_a_dialog_of_another_tenant_returns_nothing(store: Any, saved: Saved) -> None:
    assert store.conversations.query(tenant_id=saved.other_tenant, dialog_id=saved.first) == []


def test_an_unknown_dialog_returns_nothing(store: Any) -> None:
    assert store.conversations.query(dialog_id="nowhere") == []


def test_an_id_narrows_to_one_conversation_of_the_dialog(store: Any, saved: Saved) -> None:
    (mine,) = saved.of((saved.first, "u1"))
    assert store.conversations.query(id=mine.id, dialog_id=saved.first) == [mine]


def test_an_id_of_another_dialog_returns_nothing(store: Any, saved: Saved) -> None:
    (theirs,) = saved.of((saved.foreign, "u1"))
    assert store.conversations.query(id=theirs.id, dialog_id=saved.first) == []


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"user_id": "u1"},
        {"id": "x"},
        {"user_id": "u", "id": "x"},
    ],
)
def test_neither_a_dialog_nor_a_user_of_a_tenant_raises(store: Any, filters: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match=r"^dialog_id must be given, or tenant_id and user_id"):
        store.conversations.query(**filters)


@pytest.mark.parametrize("filters", [{}, {"id": "x"}])
def test_of_one_tenant_neither_a_dialog_nor_a_user_raises(store: Any, filters: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match=r"^dialog_id must be given, or user_id$"):
        store.conversations.query(tenant_id="t", **filters)
    with pytest.raises(InvalidArgument, match=r"^dialog_id must be given, or user_id$"):
        store.for_tenant("t").conversations.query(**filters)


@pytest.mark.parametrize("argument", ["id", "dialog_id", "tenant_id", "user_id"])
def test_an_empty_filter_raises_and_is_not_taken_for_no_filter(store: Any, argument: str) -> None:
    filters = {"id": "x", "dialog_id": "x", "tenant_id": "x", "user_id": "x", argument: ""}
    with pytest.raises(InvalidArgument, match=f"^{argument} must be given and not be empty"):
        store.conversations.query(**filters)


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        store.conversations.query(dialog_id=equal_ids[0].dialog_id)


def test_of_a_dialog_that_two_tenants_have_the_conversations_of_the_given_one_are_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for kept in equal_ids:
        assert store.conversations.query(dialog_id=kept.dialog_id, tenant_id=kept.tenant_id) == [kept]
        assert store.for_tenant(kept.tenant_id).conversations.query(dialog_id=kept.dialog_id) == [kept]


def test_a_bound_store_finds_a_user_without_a_dialog(store: Any, saved: Saved) -> None:
    found = store.for_tenant(saved.tenant).conversations.query(user_id="u1")
    assert found == saved.of((saved.second, "u1"), (saved.first, "u1"))


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.query"
    assert statements_of(lambda s: s.conversations.query(dialog_id=dialog)) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.query(dialog_id=dialog, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.query(dialog_id=dialog)) == [own]
