"""`conversations.export`: any number of conversations as lines of JSON."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from typing import Any

import psycopg
import pytest

from conversation_store import AmbiguousId, Conversation, ConversationStore, InvalidArgument
from support.both_apis import AsyncApi, SyncApi
from support.stored import save_with_equal_ids


def test_each_line_is_the_dict_of_a_conversation_in_the_order_of_iter(store: Any, dialog: str, tenant: str) -> None:
    second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
    store.conversations.insert_many(
        {"dialog_id": id, "message": [number], "create_date": f"2024-01-0{1 + number % 2}"}
        for number in range(3)
        for id in (dialog, second)
    )
    lines = list(store.conversations.export(tenant_id=tenant, batch_size=2))
    wanted = [conversation.to_dict() for conversation in store.conversations.iter(tenant_id=tenant)]
    assert len(wanted) == 6
    assert [json.loads(line) for line in lines] == wanted


def test_only_the_dialog_asked_for_is_exported(store: Any, dialog: str, tenant: str) -> None:
    second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
    kept = store.conversations.save(dialog_id=dialog)
    store.conversations.save(dialog_id=second)
    assert [json.loads(line) for line in store.conversations.export(dialog_id=dialog)] == [kept.to_dict()]


def test_a_line_holds_one_newline_at_its_end_whatever_the_texts(store: Any, dialog: str) -> None:
    store.conversations.save(dialog_id=dialog, message=["one\ntwo\r\n检索"], errors="\n")
    (line,) = store.conversations.export(dialog_id=dialog)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert "检索" in line


STORED = (
    "1e400",
    "[1.0, -0, 1E2, 123456789012345678901234567890]",
    '{"b": 1, "a": {"a": 1, "a": 2}}',
    '"\\u68c0\\ud83d\\ude00 \\/"',
    "null",
)


@pytest.mark.parametrize("text", STORED)
def test_json_stands_in_a_line_as_it_is_stored(store: Any, dialog: str, db: str, text: str) -> None:
    ids = [store.conversations.save(dialog_id=dialog, message=message, dsl=[]).id for message in ([1, 2], "x")]
    with psycopg.connect(db) as connection:
        connection.execute("UPDATE conversation_store.conversation SET dsl = %s WHERE id = ANY(%s)", [text, ids])
        connection.execute(
            "UPDATE conversation_store.conversation_message SET body = %s WHERE conversation_id = ANY(%s)", [text, ids]
        )
    lines = list(store.conversations.export(dialog_id=dialog))
    for line, message in zip(lines, (f"[{text}, {text}]", text), strict=True):
        assert line.endswith(f',"message":{message},"reference":[],"dsl":{text}}}\n')


def test_a_value_whose_entry_is_gone_is_null_as_in_iter(store: Any, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message="x").id
    with psycopg.connect(db) as connection:
        connection.execute("DELETE FROM conversation_store.conversation_message WHERE conversation_id = %s", [id])
    (line,) = store.conversations.export(dialog_id=dialog)
    (read,) = store.conversations.iter(dialog_id=dialog)
    assert (json.loads(line)["message"], read.message) == (None, None)


def test_a_newline_between_stored_values_is_a_blank(store: Any, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog).id
    with psycopg.connect(db) as connection:
        connection.execute("UPDATE conversation_store.conversation SET dsl = %s WHERE id = %s", ['{\r\n"a":\n1}', id])
    (line,) = store.conversations.export(dialog_id=dialog)
    assert line.endswith(',"dsl":{  "a": 1}}\n')


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"tenant_id": ""}, {"dialog_id": ""}])
def test_an_invalid_argument_raises_at_the_call_and_not_at_the_first_line(store: Any, wrong: dict[str, Any]) -> None:
    (argument,) = wrong
    with pytest.raises(InvalidArgument, match=f"^{argument} must"):
        store.conversations.export(**wrong)


def test_peak_memory_does_not_grow_with_the_number_of_conversations(db: str) -> None:
    few, many = uuid.uuid4().hex, uuid.uuid4().hex
    with ConversationStore(db, min_size=1, max_size=1) as store:
        for dialog, number in ((few, 300), (many, 1_500)):
            store.dialogs.save(id=dialog, tenant_id=dialog)
            store.conversations.insert_many([{"dialog_id": dialog, "message": ["x" * 2_000]}] * number)

        def peak_of(dialog: str) -> tuple[int, int]:
            tracemalloc.start()
            try:
                number = sum(1 for _ in store.conversations.export(dialog_id=dialog, batch_size=50))
                return number, tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak_of(few)  # what is allocated once
        (number_of_few, peak_of_few), (number_of_many, peak_of_many) = peak_of(few), peak_of(many)
    assert (number_of_few, number_of_many) == (300, 1_500)
    assert peak_of_many < 1.5 * peak_of_few


def test_without_a_tenant_conversations_with_equal_ids_are_exported_of_every_tenant(
    api: SyncApi | AsyncApi, database: str
) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        saved = save_with_equal_ids(store, "x")
        lines = list(store.conversations.export(batch_size=1))
    assert [json.loads(line) for line in lines] == [conversation.to_dict() for conversation in saved]


def test_exported_lines_of_two_tenants_with_equal_ids_are_loaded_as_they_were(
    api: SyncApi | AsyncApi, database: str
) -> None:
    with api.store(database, min_size=1, max_size=1) as store:
        saved = save_with_equal_ids(store, "x")
        store.conversations.update_by_id("x", {"name": "n"}, tenant_id=saved[0].tenant_id)
        lines = list(store.conversations.export())
        store.conversations.delete_not_updated_since("2100-01-01")
        assert store.conversations.insert_many(map(json.loads, lines)) == 2
        assert list(store.conversations.export()) == lines


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        list(store.conversations.export(dialog_id=equal_ids[0].dialog_id))


def test_of_a_dialog_that_two_tenants_have_the_given_one_is_exported(store: Any, equal_ids: list[Conversation]) -> None:
    for kept in equal_ids:
        (line,) = store.conversations.export(dialog_id=kept.dialog_id, tenant_id=kept.tenant_id)
        assert json.loads(line) == kept.to_dict()


def test_a_known_tenant_needs_no_statement_that_finds_it(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.export"
    assert statements_of(lambda s: s.conversations.export(dialog_id=dialog)) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.export(tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.export()) == [own]
