"""`include_messages`, `include_reference` and `include_dsl`: what is left out is not read, and not lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import Any

import psycopg
import pytest
from psycopg import sql

from conversation_store import NOT_READ, Conversation, ConversationStore, InvalidArgument, InvalidArgumentType
from conversation_store._adapters import to_text
from support.statements import statement_of

FIELDS = {"message": "include_messages", "reference": "include_reference", "dsl": "include_dsl"}
# Each way to read the conversation "c…" of a dialog and its tenant, with its parts or without.
READS: dict[str, Callable[..., Any]] = {
    "get_by_id": lambda s, d, t, **parts: [s.conversations.get_by_id(f"c{d}", tenant_id=t, **parts)],
    "get_or_none": lambda s, d, t, **parts: [
        s.conversations.get_or_none(id=f"c{d}", dialog_id=d, tenant_id=t, **parts)
    ],
    "get_by_ids": lambda s, d, t, **parts: s.conversations.get_by_ids([f"c{d}"], tenant_id=t, **parts),
    "query": lambda s, d, t, **parts: s.conversations.query(dialog_id=d, tenant_id=t, **parts),
    "get_list": lambda s, d, t, **parts: s.conversations.get_list(d, t, **parts).sessions,
    "get_list, by id": lambda s, d, t, **parts: s.conversations.get_list(d, t, id=f"c{d}", **parts).sessions,
    "get_list, by keyword": lambda s, d, t, **parts: s.conversations.get_list(d, t, keywords=d, **parts).sessions,
    "list_after": lambda s, d, t, **parts: s.conversations.list_after(d, t, **parts).sessions,
    **{
        f"list_after, by {field}, desc={desc}": lambda s, d, t, field=field, desc=desc, **parts: (
            s.conversations.list_after(d, t, orderby=field, desc=desc, **parts).sessions
        )
        for field, desc in (("create_date", False), ("update_date", True), ("update_date", False), ("name", True))
    },
    "list_after, by keyword": lambda s, d, t, **parts: s.conversations.list_after(d, t, keywords=d, **parts).sessions,
}
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@each_read
@pytest.mark.parametrize(
    "values",
    [
        {"message": [{"content": "a"}, "b"], "reference": [{"chunks": []}], "dsl": {"a": 1}},
        {"message": None, "reference": None, "dsl": None},
        {"message": {"a": 1}, "reference": "text", "dsl": "text"},
        {"message": [], "reference": {}, "dsl": []},
        {"message": {}, "reference": [], "dsl": {}},
    ],
)
def test_a_row_has_what_is_included_and_not_read_for_the_rest(
    store: Any, dialog: str, tenant: str, read: Callable[..., Any], values: dict[str, Any]
) -> None:
    saved = store.conversations.save(id=f"c{dialog}", dialog_id=dialog, **values)
    for included in product((True, False), repeat=3):
        unread: dict[str, Any] = {name: NOT_READ for name, there in zip(FIELDS, included, strict=True) if not there}
        (found,) = read(store, dialog, tenant, **dict(zip(FIELDS.values(), included, strict=True)))
        assert found == replace(saved, **unread)
        assert all(getattr(found, name) is NOT_READ for name in unread)
        assert saved.to_dict().keys() - found.to_dict().keys() == unread.keys()


# -- on the server ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connection(db: str) -> Generator[psycopg.Connection[Any]]:
    """Give a connection to a database that has the conversation "cparts" in the dialog "parts"."""
    with ConversationStore(db, min_size=1, max_size=1) as store:
        store.dialogs.save(id="parts", tenant_id="parts")
        store.conversations.save(id="cparts", dialog_id="parts", message=["a", "b"], reference=["c"])
    with psycopg.connect(db, autocommit=True) as connection:
        yield connection


def read_by(connection: psycopg.Connection[Any], call: Callable[[Any], Any], mode: str) -> set[str]:
    """Run the statement of a call with a plan of a kind; return the tables whose entries it puts together, by their letters."""
    statement = statement_of(call)
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    connection.execute(f"SET plan_cache_mode = force_{mode}_plan".encode())
    connection.execute(f"PREPARE p ({', '.join(['unknown'] * len(values))}) AS ".encode() + statement.query.text)
    explain = sql.SQL("EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) EXECUTE p ({})")
    row: Any = connection.execute(explain.format(sql.SQL(", ").join(map(sql.Literal, values)))).fetchone()
    connection.execute("DEALLOCATE p")
    nodes, read = [row[0][0]["Plan"]], set[str]()
    for node in nodes:
        nodes += node.get("Plans", [])
        if node["Actual Loops"]:
            read |= set(re.findall(r"json_agg\((m|r)\w*\.body", str(node.get("Output"))))
    return read


@pytest.mark.one_server("a coordinator does not say what a worker reads")
@pytest.mark.parametrize("mode", ["custom", "generic"])
@each_read
def test_what_is_left_out_is_not_read_on_the_server_with_any_plan(
    connection: psycopg.Connection[Any], read: Callable[..., Any], mode: str
) -> None:
    for messages, reference in product((True, False), repeat=2):
        call = partial(read, d="parts", t="parts", include_messages=messages, include_reference=reference)
        assert read_by(connection, call, mode) == {
            letter for letter, there in (("m", messages), ("r", reference)) if there
        }


# -- written back -----------------------------------------------------------------------------------


@pytest.fixture
def saved(store: Any, dialog: str) -> Conversation:
    """Save a conversation with every part."""
    result = store.conversations.save(dialog_id=dialog, name="n", message=[1, 2], reference=[{"r": 1}], dsl={"a": 1})
    assert isinstance(result, Conversation)
    return result


@pytest.mark.parametrize("row_of", [lambda row: row.to_dict(), asdict], ids=["to_dict", "asdict"])
@pytest.mark.parametrize("method", ["append_message", "update_by_id", "update_many_by_id"])
def test_a_row_that_is_written_back_changes_nothing_of_what_was_not_read(
    store: Any, saved: Conversation, method: str, row_of: Callable[[Conversation], dict[str, Any]]
) -> None:
    row = {**row_of(store.conversations.get_by_id(saved.id, **dict.fromkeys(FIELDS.values(), False))), "name": "new"}
    change = getattr(store.conversations, method)
    assert (change([row]) if method == "update_many_by_id" else change(saved.id, row)) == 1
    after = store.conversations.get_by_id(saved.id)
    rounds = 1 if method == "append_message" else 0
    assert after == replace(saved, name="new", round=rounds, revision=1, update_date=after.update_date)


@pytest.mark.parametrize("field", FIELDS)
def test_where_a_new_value_is_needed_not_read_raises_an_error_that_names_the_field(
    store: Any, saved: Conversation, field: str
) -> None:
    read = store.conversations.get_by_id(saved.id, **{FIELDS[field]: False})
    new = {**asdict(read), "id": "new" + read.id}
    with pytest.raises(InvalidArgument, match=rf"^conversations\[0\]\['{field}'\] was not read; read the row with it"):
        store.conversations.insert_many([new])
    with pytest.raises(InvalidArgument, match=f"^{field} was not read; read the row with it"):
        store.conversations.save(dialog_id=read.dialog_id, **{field: getattr(read, field)})
    argument = {"message": "messages"}.get(field, field)
    if argument != "dsl":
        with pytest.raises(InvalidArgumentType, match=f"^{argument} must be a list, not NotRead$"):
            store.conversations.append_round(saved.id, **{"messages": [], argument: getattr(read, field)})
    assert store.conversations.query(dialog_id=saved.dialog_id) == [saved]
