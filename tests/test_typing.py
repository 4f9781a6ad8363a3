"""What the type checkers see; `make types` checks this file, pytest only imports it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, assert_type

from conversation_store import (
    ApiToken,
    AsyncConversationStore,
    Conversation,
    ConversationName,
    ConversationStore,
    DailyStats,
    Dialog,
    IssuedToken,
    Page,
    migrate,
)

if TYPE_CHECKING:

    def blocking(store: ConversationStore) -> None:
        assert_type(migrate(""), list[str])
        assert_type(store.dialogs.save(id="d", tenant_id=1), Dialog)
        assert_type(store.dialogs.get_by_id("d"), Dialog | None)
        assert_type(store.conversations.save(dialog_id="d", message=[{"role": "user"}]), Conversation)
        assert_type(store.conversations.get_by_id(1), Conversation | None)
        assert_type(store.conversations.get_list("d", "t", 1, 30, "name"), Page)
        count, sessions = store.conversations.get_list("d", "t")
        assert_type(count, int)
        assert_type(sessions, list[Conversation])
        assert_type(store.conversations.get_names("d", "e"), list[ConversationName])
        assert_type(store.conversations.append_message("c", {"tokens": 1}), int)
        assert_type(store.conversations.append_round("c", [], expected_round=1), int)
        assert_type(store.conversations.stats("t", "2024-01-01", "2024-01-31"), list[DailyStats])
        assert_type(store.conversations.delete_by_id("c"), int)
        assert_type(store.tokens.issue(tenant_id="t"), IssuedToken)
        assert_type(store.tokens.save(tenant_id="t", token="x"), ApiToken)
        assert_type(store.tokens.authenticate("x"), ApiToken | None)
        assert_type(store.tokens.used("x"), int)
        assert_type(store.tokens.query(tenant_id="t"), list[ApiToken])
        assert_type(store.tokens.delete_by_tenant_id("t"), int)
        with ConversationStore("") as opened, opened.transaction() as tx:
            assert_type(tx.conversations.get_by_id("c"), Conversation | None)
        store.conversations.get_list("d", "t", orderby="password")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        store.conversations.save("d")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        store.conversations.append_round("c", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        store.tokens.authenticate(b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def on_asyncio(store: AsyncConversationStore) -> None:
        assert_type(await store.dialogs.save(id="d", tenant_id=1), Dialog)
        assert_type(await store.conversations.get_by_id("c"), Conversation | None)
        assert_type(await store.conversations.get_list("d", "t"), Page)
        assert_type(await store.conversations.append_round("c", []), int)
        assert_type(await store.conversations.stats("t", "2024-01-01", "2024-01-31"), list[DailyStats])
        assert_type(await store.tokens.issue(tenant_id="t"), IssuedToken)
        assert_type(await store.tokens.authenticate("x"), ApiToken | None)
        async with AsyncConversationStore("") as opened, opened.transaction() as tx:
            assert_type(await tx.conversations.get_by_id("c"), Conversation | None)
        await store.conversations.append_round("c")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        store.tokens.used("x").bit_length()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def test_the_marker_for_type_checkers_is_there() -> None:
    assert (files("conversation_store") / "py.typed").is_file()
