"""What the type checkers see; `make types` checks this file, pytest only that every operation is in it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import pytest

from conversation_store import (
    NO_SOURCE,
    ApiToken,
    AsyncConversationStore,
    AsyncTransaction,
    Conversation,
    ConversationName,
    ConversationStore,
    CursorPage,
    DailyStats,
    DeletedTenant,
    Dialog,
    Entry,
    IssuedToken,
    LimitedList,
    MessageList,
    Page,
    SearchPage,
    TenantStore,
    TenantTransaction,
    migrate,
    migrate_async,
)
from conversation_store.jsonl import Imported, export_jsonl, export_jsonl_async, import_jsonl, import_jsonl_async
from conversation_store.ragflow import Totals, import_ragflow, import_ragflow_async, services
from conversation_store.ragflow.services import (
    API4Conversation,
    API4ConversationService,
    APIToken,
    APITokenService,
)
from operations import OPERATIONS

if TYPE_CHECKING:

    def ragflow_services(store: ConversationStore) -> None:
        services.configure(store, time_zone="Asia/Shanghai", owner_of=lambda id: id, stale_writes="allow")
        assert_type(APITokenService.used("t").execute(), int)
        assert_type(APITokenService.query(tenant_id=1), list[APIToken])
        assert_type(APITokenService.filter_delete([APIToken.tenant_id == 1, APIToken.token == "t"]), int)
        assert_type(APIToken.query(beta="b"), list[APIToken])
        token = APIToken.query(token="t")[0]
        assert_type(token.tenant_id, str)
        assert_type(token.beta, str | None)
        assert_type(API4ConversationService.save(id=1, dialog_id=2), int)
        assert_type(API4ConversationService.append_message(42, {"tokens": 100}), int)
        assert_type(API4ConversationService.get_or_none(id=1), API4Conversation | None)
        assert_type(
            API4ConversationService.get_list(1, 1, 1, 10, "create_date", True), tuple[int, list[dict[str, Any]]]
        )
        assert_type(API4ConversationService.stats(1, "2024-01-01", "2024-01-31", NO_SOURCE), list[dict[str, Any]])
        assert_type(API4ConversationService.cut_list([1], 2), list[tuple[int, ...]])
        exists, row = API4ConversationService.get_by_id(1)
        if exists and row is not None:
            assert_type(row.round, int)
            row.reference = [{"chunks": []}]
            assert_type(row.to_dict(), dict[str, Any])

    # Each operation stands once in each of the next two functions, directly in an assert_type.

    def sync_operations(store: ConversationStore) -> None:
        assert_type(store.dialogs.save(id="d", tenant_id=1), Dialog)
        assert_type(store.dialogs.insert_many([{"id": "d"}]), int)
        assert_type(store.dialogs.get_by_id("d"), Dialog | None)
        assert_type(store.dialogs.get_by_ids(["d"]), list[Dialog])
        assert_type(store.dialogs.query(tenant_id="t"), LimitedList[Dialog])
        assert_type(store.dialogs.iter(), Iterator[Dialog])
        assert_type(store.dialogs.update_by_id("d", {}), int)
        assert_type(store.dialogs.delete_by_id("d"), int)
        assert_type(store.dialogs.delete_by_ids(["d"]), int)
        assert_type(store.conversations.save(dialog_id="d", message=[{"role": "user"}]), Conversation)
        assert_type(store.conversations.insert_many([{"dialog_id": "d"}], on_progress=print), int)
        assert_type(store.conversations.get_by_id(1), Conversation | None)
        assert_type(store.conversations.get_by_ids(["c", 1]), list[Conversation])
        assert_type(store.conversations.get_or_none(id="c", dialog_id="d"), Conversation | None)
        assert_type(store.conversations.get_messages("c", last=20, include_reference=True), MessageList | None)
        assert_type(store.conversations.get_references("c", after=20), LimitedList[Entry] | None)
        assert_type(store.conversations.get_dialog_ids(["c"]), dict[str, str])
        assert_type(store.conversations.query(dialog_id="d"), LimitedList[Conversation])
        assert_type(store.conversations.get_list("d", "t", 1, 30, "name"), Page)
        assert_type(store.conversations.list_after("d", "t", orderby="name", cursor=None), CursorPage)
        assert_type(store.conversations.search("x", dialog_ids=["d"], user_id=1), SearchPage)
        assert_type(store.conversations.get_names("d", "e"), LimitedList[ConversationName])
        assert_type(store.conversations.iter(), Iterator[Conversation])
        assert_type(store.conversations.iter_ids(), Iterator[str])
        assert_type(store.conversations.export(), Iterator[str])
        assert_type(store.conversations.count(), int)
        assert_type(store.conversations.stats("t", "2024-01-01", "2024-01-31", NO_SOURCE), list[DailyStats])
        assert_type(store.conversations.append_message("c", {"tokens": 1}, expected_revision=1), int)
        assert_type(store.conversations.append_round("c", [], turn_id=1, expected_round=1), int)
        assert_type(store.conversations.update_by_id("c", {}), int)
        assert_type(store.conversations.update_many_by_id([{"id": "c"}]), int)
        assert_type(store.conversations.delete_by_id("c"), int)
        assert_type(store.conversations.delete_by_ids(["c"], "d"), int)
        assert_type(store.conversations.delete_by_dialog_ids(["d"]), int)
        assert_type(store.conversations.delete_not_updated_since("2024-01-01"), int)
        assert_type(store.tokens.issue(tenant_id="t"), IssuedToken)
        assert_type(store.tokens.save(tenant_id="t", token="x"), ApiToken)
        assert_type(store.tokens.authenticate("x"), ApiToken | None)
        assert_type(store.tokens.authenticate_beta("b"), ApiToken | None)
        assert_type(store.tokens.used("x"), int)
        assert_type(store.tokens.query(tenant_id="t"), LimitedList[ApiToken])
        assert_type(store.tokens.update_by_id(1, {}, tenant_id="t"), int)
        assert_type(store.tokens.fill_beta(1, tenant_id="t"), ApiToken)
        assert_type(store.tokens.rotate(1, tenant_id="t"), IssuedToken)
        assert_type(store.tokens.expire(1, tenant_id="t", expire_date=None), int)
        assert_type(store.tokens.revoke(1, tenant_id="t"), int)
        assert_type(store.tokens.delete(tenant_id="t", token="x"), int)
        assert_type(store.tokens.delete_by_id(1, tenant_id="t"), int)
        assert_type(store.tokens.delete_by_tenant_id("t"), int)
        assert_type(store.tenants.delete_by_id("t", on_progress=print), DeletedTenant)

    async def async_operations(store: AsyncConversationStore) -> None:
        assert_type(await store.dialogs.save(id="d", tenant_id=1), Dialog)
        assert_type(await store.dialogs.insert_many([{"id": "d"}]), int)
        assert_type(await store.dialogs.get_by_id("d"), Dialog | None)
        assert_type(await store.dialogs.get_by_ids(["d"]), list[Dialog])
        assert_type(await store.dialogs.query(tenant_id="t"), LimitedList[Dialog])
        assert_type(store.dialogs.iter(), AsyncIterator[Dialog])
        assert_type(await store.dialogs.update_by_id("d", {}), int)
        assert_type(await store.dialogs.delete_by_id("d"), int)
        assert_type(await store.dialogs.delete_by_ids(["d"]), int)
        assert_type(await store.conversations.save(dialog_id="d", message=[{"role": "user"}]), Conversation)
        assert_type(await store.conversations.insert_many([{"dialog_id": "d"}], on_progress=print), int)
        assert_type(await store.conversations.get_by_id(1), Conversation | None)
        assert_type(await store.conversations.get_by_ids(["c", 1]), list[Conversation])
        assert_type(await store.conversations.get_or_none(id="c", dialog_id="d"), Conversation | None)
        assert_type(await store.conversations.get_messages("c", last=20, include_reference=True), MessageList | None)
        assert_type(await store.conversations.get_references("c", after=20), LimitedList[Entry] | None)
        assert_type(await store.conversations.get_dialog_ids(["c"]), dict[str, str])
        assert_type(await store.conversations.query(dialog_id="d"), LimitedList[Conversation])
        assert_type(await store.conversations.get_list("d", "t", 1, 30, "name"), Page)
        assert_type(await store.conversations.list_after("d", "t", orderby="name", cursor=None), CursorPage)
        assert_type(await store.conversations.search("x", dialog_ids=["d"], user_id=1), SearchPage)
        assert_type(await store.conversations.get_names("d", "e"), LimitedList[ConversationName])
        assert_type(store.conversations.iter(), AsyncIterator[Conversation])
        assert_type(store.conversations.iter_ids(), AsyncIterator[str])
        assert_type(store.conversations.export(), AsyncIterator[str])
        assert_type(await store.conversations.count(), int)
        assert_type(await store.conversations.stats("t", "2024-01-01", "2024-01-31", NO_SOURCE), list[DailyStats])
        assert_type(await store.conversations.append_message("c", {"tokens": 1}, expected_revision=1), int)
        assert_type(await store.conversations.append_round("c", [], turn_id=1, expected_round=1), int)
        assert_type(await store.conversations.update_by_id("c", {}), int)
        assert_type(await store.conversations.update_many_by_id([{"id": "c"}]), int)
        assert_type(await store.conversations.delete_by_id("c"), int)
        assert_type(await store.conversations.delete_by_ids(["c"], "d"), int)
        assert_type(await store.conversations.delete_by_dialog_ids(["d"]), int)
        assert_type(await store.conversations.delete_not_updated_since("2024-01-01"), int)
        assert_type(await store.tokens.issue(tenant_id="t"), IssuedToken)
        assert_type(await store.tokens.save(tenant_id="t", token="x"), ApiToken)
        assert_type(await store.tokens.authenticate("x"), ApiToken | None)
        assert_type(await store.tokens.authenticate_beta("b"), ApiToken | None)
        assert_type(await store.tokens.used("x"), int)
        assert_type(await store.tokens.query(tenant_id="t"), LimitedList[ApiToken])
        assert_type(await store.tokens.update_by_id(1, {}, tenant_id="t"), int)
        assert_type(await store.tokens.fill_beta(1, tenant_id="t"), ApiToken)
        assert_type(await store.tokens.rotate(1, tenant_id="t"), IssuedToken)
        assert_type(await store.tokens.expire(1, tenant_id="t", expire_date=None), int)
        assert_type(await store.tokens.revoke(1, tenant_id="t"), int)
        assert_type(await store.tokens.delete(tenant_id="t", token="x"), int)
        assert_type(await store.tokens.delete_by_id(1, tenant_id="t"), int)
        assert_type(await store.tokens.delete_by_tenant_id("t"), int)
        assert_type(await store.tenants.delete_by_id("t", on_progress=print), DeletedTenant)

    def sync(store: ConversationStore) -> None:
        assert_type(migrate(""), list[str])
        assert_type(import_jsonl(store, BytesIO()), Imported)
        assert_type(export_jsonl(store), Iterator[tuple[str, int]])
        assert_type(import_ragflow("", ""), dict[str, Totals])
        count, sessions = store.conversations.get_list("d", "t")
        assert_type(count, int)
        assert_type(sessions, list[Conversation])
        assert_type(store.conversations.list_after("d", "t").next_cursor, str | None)
        assert_type(store.tokens.issue(tenant_id="t").to_dict(), dict[str, Any])
        assert_type(store.run_in_transaction(lambda tx: tx.conversations.count()), int)
        with ConversationStore("") as opened, opened.transaction() as tx:
            assert_type(tx.conversations.get_by_id("c"), Conversation | None)
        with store.transaction(isolation="serializable", read_only=True) as tx, tx.transaction() as inner:
            assert_type(inner.tenants.delete_by_id("t"), DeletedTenant)
        store.transaction(isolation="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert_type(store.for_tenant("t"), TenantStore)
        assert_type(store.for_tenant(1).conversations.get_list("d"), Page)
        assert_type(store.for_tenant("t").run_in_transaction(lambda tx: tx.conversations.count()), int)
        with store.transaction() as tx, tx.for_tenant("t").transaction() as bound:
            assert_type(bound, TenantTransaction)
        assert_type(store.conversations.query(dialog_id="d").has_more, bool)
        store.for_tenant("t").tenants.delete_by_id("t")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        store.conversations.get_list("d", "t", orderby="password")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        store.conversations.save("d")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        store.conversations.append_round("c", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        store.tokens.authenticate(b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def on_asyncio(store: AsyncConversationStore) -> None:
        assert_type(await migrate_async(""), list[str])
        assert_type(await import_jsonl_async(store, BytesIO()), Imported)
        assert_type(export_jsonl_async(store), AsyncIterator[tuple[str, int]])
        assert_type(await import_ragflow_async("", ""), dict[str, Totals])
        async for line in store.conversations.export(tenant_id="t"):
            assert_type(line, str)

        async def work(tx: AsyncTransaction) -> LimitedList[Dialog]:
            async with tx.transaction() as inner:
                return await inner.dialogs.query(tenant_id="t")

        assert_type(await store.run_in_transaction(work, isolation="repeatable read"), LimitedList[Dialog])
        assert_type(await store.for_tenant("t").conversations.append_round("c", []), int)
        async with AsyncConversationStore("") as opened, opened.transaction() as tx:
            assert_type(await tx.conversations.get_by_id("c"), Conversation | None)
        await store.conversations.append_round("c")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        store.tokens.used("x").bit_length()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("function", ["sync_operations", "async_operations"])
def test_the_type_of_every_operation_is_asserted(function: str) -> None:
    (body,) = [
        node
        for node in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function
    ]
    asserted: list[str] = []
    for node in ast.walk(body):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_type":
            call = node.args[0].value if isinstance(node.args[0], ast.Await) else node.args[0]
            assert isinstance(call, ast.Call)
            asserted.append(ast.unparse(call.func).removeprefix("store."))
    assert Counter(asserted) == Counter(operation.name for operation in OPERATIONS)


def test_the_marker_for_type_checkers_is_there() -> None:
    assert (files("conversation_store") / "py.typed").is_file()
