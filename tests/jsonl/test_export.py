"""`export_jsonl` and `export_jsonl_async`: an export that is imported gives the same rows, and what it can be limited to."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store import AmbiguousId, ConversationStore
from conversation_store.jsonl import Imported
from support.both_apis import AsyncApi, SyncApi
from support.jsonl import empty, everything, export_lines, fill, fill_one, fill_two, import_lines
from support.server import Server
from support.server import database as new_database

Api = SyncApi | AsyncApi


@pytest.fixture(scope="module")
def filled(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database with every kind of row to the tests that only read it."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        fill(conninfo)
        yield conninfo


def test_an_export_that_is_imported_gives_the_same_rows(api: Api, database: str) -> None:
    before = fill(database)
    with api.store(database) as store:
        exported = export_lines(api, store)
        assert [held for _, held in exported] == [0] * 4 + [1] * 11  # dialogs come first
        assert all(line.endswith("\n") for line, _ in exported)
        empty(database)
        done = import_lines(api, store, "".join(line for line, _ in exported).encode())
    assert done == Imported(dialogs=4, conversations=11)
    assert everything(database) == before


def test_an_export_of_two_tenants_with_the_same_ids_that_is_imported_gives_the_same_rows(
    api: Api, database: str
) -> None:
    before = fill_two(database)
    assert {row["revision"] for row in before if "revision" in row} == {0, 1, 2}
    with api.store(database) as store:
        exported = export_lines(api, store)
        empty(database)
        done = import_lines(api, store, "".join(line for line, _ in exported).encode())
    assert done == Imported(dialogs=4, conversations=8)
    assert everything(database) == before


def test_each_of_two_tenants_with_the_same_ids_is_exported_and_imported_without_the_other(
    api: Api, database: str
) -> None:
    before = fill_two(database)
    with api.store(database) as store:
        lines = ["".join(line for line, _ in export_lines(api, store, tenant_id=tenant)) for tenant in ("t", "u")]
        empty(database)
        for tenant, exported in zip(("t", "u"), lines, strict=True):
            done = import_lines(api, store, exported.encode(), tenant_id=tenant)
            assert done == Imported(dialogs=2, conversations=4)
    assert everything(database) == before


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id_and_is_exported_of_the_named_one(
    api: Api, database: str
) -> None:
    fill_two(database)
    with api.store(database) as store:
        with pytest.raises(AmbiguousId, match="two tenants have a dialog 'e'"):
            export_lines(api, store, dialog_id="e")
        lines = [json.loads(line) for line, _ in export_lines(api, store, dialog_id="e", tenant_id="u")]
    assert lines[0]["dialog"]["name"] == "e of u"
    assert {(line["tenant_id"], line["id"]) for line in lines[1:]} == {("u", "c3"), ("u", "c4")}


def test_both_apis_export_the_same_lines(api: Api, filled: str) -> None:
    with ConversationStore(filled) as sync_store, api.store(filled) as store:
        assert export_lines(api, store) == export_lines(SyncApi(), sync_store)


def test_dates_before_1970_are_exported_and_a_byte_order_mark_before_the_first_line_is_skipped(
    api: Api, database: str
) -> None:
    fill_one(database)
    with api.store(database) as store:
        store.conversations.save(dialog_id="d", id="moon", create_date="1969-07-20T20:17:40Z")
        before = everything(database)
        exported = "".join(line for line, _ in export_lines(api, store))
        empty(database)
        import_lines(api, store, b"\xef\xbb\xbf" + exported.encode())
    assert everything(database) == before


@pytest.mark.parametrize(
    ("arguments", "dialogs", "conversations_of"),
    [
        ({"tenant_id": "t0"}, {"d0", "d2"}, {0, 2}),
        ({"dialog_id": "d1"}, {"d1"}, {1}),
        ({"tenant_id": "t0", "dialog_id": "d1"}, set[str](), set[int]()),
        ({"tenant_id": "nobody"}, set[str](), set[int]()),
    ],
)
def test_only_a_tenant_or_a_dialog_is_exported(
    api: Api, filled: str, arguments: dict[str, Any], dialogs: set[str], conversations_of: set[int]
) -> None:
    with api.store(filled) as store:
        lines = [json.loads(line) for line, _ in export_lines(api, store, **arguments)]
    assert {line["dialog"]["id"] for line in lines if "dialog" in line} == dialogs
    assert {int(line["id"][1:]) % 3 for line in lines if "dialog" not in line} == conversations_of


def test_an_export_from_a_transaction_is_from_one_snapshot(api: Api, database: str) -> None:
    fill_one(database)
    with api.store(database) as store:
        with store.transaction(isolation="repeatable read", read_only=True) as tx:
            before = export_lines(api, tx)
            with ConversationStore(database) as other:
                other.conversations.save(dialog_id="d", id="later")
            assert export_lines(api, tx) == before
        assert len(export_lines(api, store)) == len(before) + 1
