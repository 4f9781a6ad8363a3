"""`conversations.get_messages`: the last messages of a conversation, or a page of them, with their positions."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from conversation_store import NOT_READ, AmbiguousId, Conversation, ConversationStore, InvalidArgument
from conversation_store._adapters import to_text
from support.statements import statement_of

NUMBER = 10


@pytest.fixture
def saved(store: Any, dialog: str) -> str:
    """Save a conversation of ten messages, each its position, and three references; return its id."""
    return str(store.conversations.save(dialog_id=dialog, message=range_of(1, NUMBER), reference=["a", "b", "c"]).id)


def range_of(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def page(store: Any, id: str, **arguments: Any) -> tuple[list[int], bool]:
    """Return the positions of a page, which are its messages too, and whether there are more."""
    found = store.conversations.get_messages(id, **arguments)
    assert all(entry.position == entry.body for entry in found)
    return [entry.position for entry in found], found.has_more


@pytest.mark.parametrize(
    ("arguments", "positions", "has_more"),
    [
        ({}, range_of(1, 10), False),
        ({"limit": 10}, range_of(1, 10), False),
        ({"limit": 4}, range_of(1, 4), True),
        ({"limit": 0}, [], True),
        ({"last": 3}, range_of(8, 10), True),
        ({"last": 9}, range_of(2, 10), True),
        ({"last": 10}, range_of(1, 10), False),
        ({"last": 2**31 - 1}, range_of(1, 10), False),
        ({"last": 0}, [], True),
        ({"last": 5, "limit": 2}, range_of(6, 10), True),
        ({"before": 8, "limit": 3}, range_of(5, 7), True),
        ({"before": 5, "limit": 4}, range_of(1, 4), False),
        ({"before": 5, "limit": 3}, range_of(2, 4), True),
        ({"before": 1}, [], False),
        ({"before": 11, "limit": 2}, [9, 10], True),
        ({"before": 2**31 - 1, "limit": 2}, [9, 10], True),
        ({"after": 0, "limit": 2}, [1, 2], True),
        ({"after": 3, "limit": 3}, range_of(4, 6), True),
        ({"after": 7, "limit": 3}, range_of(8, 10), False),
        ({"after": 10}, [], False),
        ({"after": 2**31 - 1, "limit": 2**31 - 1}, [], False),
    ],
)
def test_a_page_has_its_positions_in_order_and_says_whether_there_are_more_in_its_direction(
    store: Any, saved: str, arguments: dict[str, int], positions: list[int], has_more: bool
) -> None:
    assert page(store, saved, **arguments) == (positions, has_more)


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
def test_pages_forwards_and_backwards_have_each_message_once(store: Any, saved: str, limit: int) -> None:
    forwards, has_more = page(store, saved, limit=limit)
    while has_more:
        found, has_more = page(store, saved, after=forwards[-1], limit=limit)
        forwards += found
    backwards, has_more = page(store, saved, last=limit)
    while has_more:
        found, has_more = page(store, saved, before=backwards[0], limit=limit)
        backwards = found + backwards
    assert forwards == backwards == range_of(1, NUMBER)


def test_without_a_limit_a_page_has_100_messages(store: Any, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=range_of(1, 101)).id
    assert page(store, id) == (range_of(1, 100), True)


def test_each_message_is_the_one_that_get_by_id_returns(store: Any, dialog: str) -> None:
    message: list[Any] = [{"z": 1.0, "a": ["检索", None]}, None, "text", [], [[1, 2]], 1e300, {}]
    id = store.conversations.save(dialog_id=dialog, message=message).id
    found = store.conversations.get_messages(id)
    assert [entry.body for entry in found] == store.conversations.get_by_id(id).message == message
    assert list(found[0].body) == ["z", "a"]
    assert found[0].to_dict() == {"position": 1, "body": message[0]}


def test_a_message_of_500_levels_is_read(store: Any, dialog: str) -> None:
    deep: Any = []
    for _ in range(498):
        deep = [deep]
    id = store.conversations.save(dialog_id=dialog, message=[deep]).id
    assert store.conversations.get_messages(id, last=1)[0].body == deep


@pytest.mark.parametrize("value", [{"a": 1}, {}, None, "text", 0, True])
def test_what_is_stored_in_place_of_a_list_is_the_message_at_position_1(store: Any, dialog: str, value: Any) -> None:
    id = store.conversations.save(dialog_id=dialog, message=value).id
    for arguments in ({}, {"last": 1}, {"before": 2}):
        (entry,) = found = store.conversations.get_messages(id, **arguments)
        assert (entry.position, entry.body, found.has_more) == (1, value, False)
    assert store.conversations.get_messages(id, after=1) == []


def test_an_entry_beyond_the_count_does_not_count(store: Any, saved: str, db: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute("UPDATE conversation_store.conversation SET message_count = 4 WHERE id = %s", [saved])
    assert page(store, saved, last=3) == ([2, 3, 4], True)
    assert page(store, saved, after=2) == ([3, 4], False)
    assert page(store, saved, before=9, limit=2) == ([3, 4], True)


def test_an_unknown_conversation_is_none_and_one_without_messages_an_empty_list(store: Any, dialog: str) -> None:
    empty = store.conversations.save(dialog_id=dialog).id
    for arguments in ({}, {"last": 5}, {"before": 5}, {"after": 5}):
        assert store.conversations.get_messages("nowhere", **arguments) is None
        found = store.conversations.get_messages(empty, **arguments)
        assert (found, found.has_more) == ([], False)


# -- references -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "references", "has_more"),
    [
        ({"last": 2}, [(2, "b"), (3, "c")], True),
        ({"last": 3}, [(1, "a"), (2, "b"), (3, "c")], False),
        ({"limit": 2}, [(1, "a"), (2, "b")], True),
        ({}, [(1, "a"), (2, "b"), (3, "c")], False),
    ],
)
def test_references_come_beside_the_messages_on_request(
    store: Any, saved: str, arguments: dict[str, int], references: list[tuple[int, str]], has_more: bool
) -> None:
    found = store.conversations.get_messages(saved, **arguments, include_reference=True)
    assert [(entry.position, entry.body) for entry in found.reference] == references
    assert found.reference.has_more == has_more
    without = store.conversations.get_messages(saved, **arguments)
    assert without == found
    assert without.reference is NOT_READ


@pytest.mark.parametrize("argument", ["before", "after"])
def test_references_beside_a_page_at_a_position_raise_invalid_argument(store: Any, argument: str) -> None:
    with pytest.raises(
        InvalidArgument, match=r"^include_reference must be False with before or after: .*get_references"
    ):
        store.conversations.get_messages("x", include_reference=True, **{argument: 1})


# -- arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"last": 1, "before": 1}, "of last, before and after one may be given, not last and before"),
        ({"before": 1, "after": 1}, "of last, before and after one may be given, not before and after"),
        ({"last": -1}, "last must be at least 0"),
        ({"before": 0}, "before must be at least 1"),
        ({"after": -1}, "after must be at least 0"),
        ({"limit": -1}, "limit must be at least 0"),
        ({"dialog_id": ""}, "dialog_id must be given and not be empty"),
    ],
)
def test_arguments_that_name_no_page_raise_invalid_argument(
    store: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{message}"):
        store.conversations.get_messages("x", **arguments)


# -- what it reads ----------------------------------------------------------------------------------


@pytest.mark.one_server("a coordinator does not say what a worker reads")
@pytest.mark.parametrize("arguments", [{"last": 20}, {"before": 500, "limit": 20}, {"after": 500, "limit": 20}])
@pytest.mark.parametrize("mode", ["custom", "generic"])
def test_of_a_long_conversation_the_page_alone_is_read(
    db: str, plain_dialog: str, tenant: str, mode: str, arguments: dict[str, int]
) -> None:
    with ConversationStore(db, min_size=1, max_size=1) as store:
        entries = ["word " * 50] * 1_000
        id = store.conversations.save(dialog_id=plain_dialog, message=entries, reference=entries).id
    statement = statement_of(lambda store: store.conversations.get_messages(id, tenant_id=tenant, **arguments))
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute(f"SET plan_cache_mode = force_{mode}_plan".encode())
        # Of a few rows the planner reads a whole page of the table.
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        connection.execute(f"PREPARE p ({', '.join(['unknown'] * len(values))}) AS ".encode() + statement.query.text)
        explain = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE p ({})")
        row: Any = connection.execute(explain.format(sql.SQL(", ").join(map(sql.Literal, values)))).fetchone()
    nodes = [row[0][0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    scanned = {node["Relation Name"]: node for node in nodes if "Relation Name" in node}
    messages = scanned["conversation_message"]
    assert (messages["Actual Rows"], messages.get("Rows Removed by Filter", 0)) == (20, 0)
    assert scanned["conversation_reference"]["Actual Loops"] == 0


# -- dialogs and tenants ----------------------------------------------------------------------------


def test_with_a_dialog_only_a_conversation_of_it_is_read(store: Any, saved: str, dialog: str, tenant: str) -> None:
    for of in ({}, {"tenant_id": tenant}):
        assert page(store, saved, dialog_id=dialog, last=1, **of) == ([NUMBER], True)
        assert store.conversations.get_messages(saved, dialog_id="other", **of) is None


def test_an_id_that_two_tenants_have_raises_ambiguous_id(store: Any, equal_ids: list[Conversation]) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a conversation"):
        store.conversations.get_messages(equal_ids[0].id)


def test_of_an_id_that_two_tenants_have_the_messages_of_the_given_one_are_returned(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for saved in equal_ids:
        for found in (
            store.conversations.get_messages(saved.id, tenant_id=saved.tenant_id, include_reference=True),
            store.for_tenant(saved.tenant_id).conversations.get_messages(saved.id, include_reference=True),
        ):
            assert [entry.body for entry in (*found, *found.reference)] == [saved.tenant_id] * 2


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, tenant: str) -> None:
    own = "conversation.get_messages"
    assert statements_of(lambda s: s.conversations.get_messages("x")) == ["conversation.find", own]
    assert statements_of(lambda s: s.conversations.get_messages("x", tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.get_messages("x")) == [own]
