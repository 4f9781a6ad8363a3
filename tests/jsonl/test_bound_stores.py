"""Imports into a store of one tenant, or with the tenant given: lines of others are rejected, one by one."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from conversation_store import AsyncConversationStore, ConversationStore, InvalidArgument, InvalidArgumentType
from conversation_store.jsonl import Imported, RejectedLine, import_jsonl, import_jsonl_async
from support.both_apis import AsyncApi, SyncApi
from support.jsonl import import_lines

Api = SyncApi | AsyncApi
Import = Callable[..., Imported]


@pytest.fixture
def store(api: Api, database: str) -> Generator[Any]:
    """Give a store on the database of one test."""
    with api.store(database) as store:
        yield store


@pytest.fixture(params=["bound", "named", "in a bound transaction"])
def load(request: pytest.FixtureRequest, api: Api, store: Any) -> Import:
    """Give a function that imports lines for the tenant mine."""

    def bound(content: bytes, **arguments: Any) -> Imported:
        if request.param == "named":
            return import_lines(api, store, content, tenant_id="mine", **arguments)
        if request.param == "bound":
            return import_lines(api, store.for_tenant("mine"), content, **arguments)
        with store.for_tenant("mine").transaction() as tx:
            return import_lines(api, tx, content, **arguments)

    return bound


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


FOREIGN = [
    ({"dialog": {"id": "d", "tenant_id": "theirs", "name": "n"}}, "the dialog 'd' belongs to the tenant 'theirs'"),
    ({"dialog_id": "d", "id": "c", "tenant_id": "theirs"}, "the conversation 'c' belongs to the tenant 'theirs'"),
]


def test_lines_of_others_are_rejected_and_the_others_imported(store: Any, load: Import) -> None:
    rejected: list[RejectedLine] = []
    content = lines(
        FOREIGN[0][0], {"dialog": {"id": "d", "name": "mine"}}, FOREIGN[1][0], {"dialog_id": "d", "id": "c"}
    )
    imported = load(content, on_rejected=rejected.append)
    assert imported == Imported(dialogs=1, conversations=1, skipped=0, rejected=2)
    assert [(line.number, line.reason) for line in rejected] == [(1, FOREIGN[0][1]), (3, FOREIGN[1][1])]
    assert store.dialogs.get_by_id("d").tenant_id == "mine"
    assert store.dialogs.get_by_id("d").name == "mine"
    assert store.conversations.get_by_id("c").tenant_id == "mine"


@pytest.mark.parametrize(("line", "reason"), FOREIGN)
def test_a_line_of_another_stops_the_import_with_its_number(
    store: Any, load: Import, line: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^line 2: {reason}$"):
        load(lines({"dialog": {"id": "mine"}}, line))
    assert store.dialogs.get_by_ids(["mine", "d"]) == []


def test_missing_dialogs_are_created(store: Any, load: Import) -> None:
    assert load(lines({"dialog_id": "new", "id": "c"})) == Imported(dialogs=1, conversations=1)
    assert store.dialogs.get_by_id("new").tenant_id == "mine"


def test_a_bound_store_takes_no_other_tenant(api: Api, store: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^tenant_id must be that of the bound store, 'mine', or be left out"):
        import_lines(api, store.for_tenant("mine"), b"", tenant_id="theirs")


@pytest.mark.parametrize("file", ["all.jsonl", b"{}", 5, io.StringIO("{}")])
def test_what_is_no_file_of_bytes_is_rejected(file: Any) -> None:
    message = r"^file must be a file that is open for reading bytes, or lines of bytes$"
    with pytest.raises(InvalidArgumentType, match=message):
        import_jsonl(ConversationStore(""), file)
    with pytest.raises(InvalidArgumentType, match=message):
        asyncio.run(import_jsonl_async(AsyncConversationStore(""), file))
