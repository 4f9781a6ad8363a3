"""Every shape of every statement has a plan: its index, and never a generic one that does not fit."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor, sql
from pytest_postgresql.executors import NoopExecutor

from conversation_store import (
    Conversation,
    ConversationStore,
)
from conversation_store._adapters import to_text
from conversation_store._sql_loader import load_all
from support import ragflow_layout
from support.server import Server
from support.server import database as new_database
from support.statements import statement_of

QUERIES = load_all()


@pytest.fixture(scope="module")
def db(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database to these tests alone: what others store would change what the planner thinks best."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        ragflow_layout.create(conninfo)
        yield conninfo


@pytest.fixture(scope="module")
def filled(db: str) -> None:
    """Fill a tenant: the dialog "large" with 10,000 conversations of two messages, and "d1" to "d20" with 1,000 each."""
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id)"
            " SELECT 'd' || i, 'owner' FROM generate_series(1, 20) AS i UNION ALL VALUES ('large', 'owner')"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation"
            " (id, tenant_id, dialog_id, name, user_id, exp_user_id, create_date, message_count)"
            " SELECT 'c' || i, 'owner', CASE WHEN i % 3 = 0 THEN 'large' ELSE 'd' || 1 + i % 20 END, 'name ' || i,"
            " 'u' || i % 50, CASE WHEN i % 70 = 0 THEN 'e' || i % 90 END, timestamptz '2024-01-01Z' + i * interval '1 minute',"
            " 2 FROM generate_series(1, 30000) AS i"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation_message"
            " SELECT id, p, tenant_id, dialog_id, json_build_object('role', 'user', 'content', 'number ' || id || ' 检索增强 ' || p)"
            " FROM conversation_store.conversation, generate_series(1, 2) AS p WHERE tenant_id = 'owner'"
        )
        connection.execute(
            "INSERT INTO conversation_store.api_token (tenant_id, token_digest, hint, dialog_id, beta)"
            " SELECT 'owner' || i % 500, sha256(i::text::bytea), '', NULL, 'plan' || i FROM generate_series(1, 5000) AS i"
            " UNION ALL SELECT 'owner', sha256(('d' || i)::bytea), '', 'd' || 1 + i % 20, NULL FROM generate_series(1, 40) AS i"
        )
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id)"
            " SELECT 'other' || i, 'other' || i % 100 FROM generate_series(1, 3000) AS i"
        )
        connection.execute(
            "VACUUM ANALYZE conversation_store.conversation, conversation_store.conversation_message,"
            " conversation_store.dialog, conversation_store.api_token"
        )


def plan(conninfo: str, call: Any, *answers: Any, generic: bool = False) -> str:
    """Return the plan of the statement that a call describes: for its actual values, or the generic one."""
    statement = statement_of(call, *answers)
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if generic:
            types_ = ", ".join(["unknown"] * len(values))
            connection.execute(f"PREPARE p ({types_}) AS ".encode() + statement.query.text)
            connection.execute("SET plan_cache_mode = force_generic_plan")
            # Small tables are scanned, whatever their indexes.
            connection.execute("SET enable_seqscan = off")
            arguments = sql.SQL(", ").join(sql.Literal(value) for value in values)
            rows = connection.execute(sql.SQL("EXPLAIN EXECUTE p ({})").format(arguments)).fetchall()
        else:
            rows = RawCursor(connection).execute(b"EXPLAIN " + statement.query.text, values).fetchall()
        return "\n".join(line for (line,) in rows)


BY_CREATION = "conversation_tenant_id_dialog_id_create_date_id_idx"
OF_THE_DIALOG = "dialog_id\\w*_idx"
BY_CHANGE = "conversation_tenant_id_dialog_id_update_date_id_idx"


@pytest.mark.parametrize(
    ("arguments", "index", "sorts"),
    [
        ({}, BY_CREATION, False),
        ({"desc": False}, BY_CREATION, False),
        ({"orderby": "create_time", "page_number": 20}, BY_CREATION, False),
        ({"orderby": "update_date"}, BY_CHANGE, False),
        ({"orderby": "update_time", "desc": False}, BY_CHANGE, False),
        ({"from_date": "2024-01-02", "to_date": "2024-01-02"}, BY_CREATION, False),
        ({"from_date": "2024-01-02", "to_date": "2024-01-02", "date_field": "update_date"}, BY_CHANGE, None),
        ({"id": "c7"}, "conversation_pkey", None),
        ({"user_id": "u7"}, OF_THE_DIALOG, None),
        ({"exp_user_id": "e70"}, "conversation_dialog_id_exp_user_id_create_date_id_idx", None),
        ({"orderby": "name"}, OF_THE_DIALOG, True),
        ({"orderby": "tokens", "desc": False}, OF_THE_DIALOG, True),
        ({"keywords": "number c777"}, "conversation_message_dialog_id_search_idx", None),
        ({"keywords": "name 777"}, "conversation_dialog_id_search_idx", None),
        ({"keywords": "检索"}, "conversation_message_dialog_id_search_idx", None),
        ({"keywords": "检索增强 2"}, "conversation_message_dialog_id_search_idx", None),
    ],
)
def test_every_shape_of_a_list_has_its_index(
    arguments: dict[str, Any], index: str, sorts: bool | None, db: str, filled: None
) -> None:
    shown = plan(db, lambda store: store.conversations.get_list("d1", "owner", **arguments))
    assert re.search(index, shown), shown
    assert "Seq Scan" not in shown
    if sorts is not None:
        # Two sorts are always there: of what a keyword found, and of the page that was cut.
        keys = [
            key
            for key in re.findall("Sort Key: (.*)", shown)
            if "row_number()" not in key and "conversation_id" not in key
        ]
        assert bool(keys) == sorts, shown


@pytest.mark.parametrize("keywords", ["检", "50", "好 好", " ", "%"])
def test_a_keyword_that_no_index_serves_starts_from_the_dialog(keywords: str, db: str, filled: None) -> None:
    shown = plan(db, lambda store: store.conversations.get_list("d1", "owner", keywords=keywords))
    assert "Seq Scan" not in shown
    assert "search_text" not in shown.replace("conversation_message_dialog_id_search_idx", "")


def a_conversation(**changes: Any) -> Conversation:
    """Return a row as the last of a page."""
    values: dict[str, Any] = dict.fromkeys(f.name for f in fields(Conversation))
    day = datetime(2024, 1, 10, tzinfo=UTC)
    values.update({"id": "c7", "dialog_id": "d1", "create_date": day, "update_date": day, **changes})
    return Conversation(**values)


CURSORS: list[tuple[str, dict[str, Any]]] = [
    ("id", {}),
    ("name", {"name": "name 7"}),
    ("create_date", {}),
    ("update_date", {}),
    ("tokens", {"tokens": 7}),
    ("duration", {"duration": 0.1}),
    ("round", {"round": 7}),
    ("thumb_up", {"thumb_up": -7}),
]


@pytest.mark.parametrize(("orderby", "key"), CURSORS)
@pytest.mark.parametrize("desc", [True, False])
def test_every_order_of_a_walk_is_a_row_value_that_the_index_of_that_order_serves(
    orderby: str, key: dict[str, Any], desc: bool, db: str, filled: None
) -> None:
    def first(store: ConversationStore) -> Any:
        return store.conversations.list_after("d1", "owner", orderby=orderby, desc=desc, items_per_page=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    cursor = statement_of(first).read([(None, a_conversation(**key))] * 2, 2).next_cursor
    shown = plan(
        db,
        lambda store: store.conversations.list_after(
            "d1", "owner", orderby=orderby, desc=desc, cursor=cursor, items_per_page=30
        ),
    )
    assert "Seq Scan" not in shown
    comparison = "<" if desc else ">"
    if orderby in ("create_date", "update_date"):
        index = BY_CREATION if orderby == "create_date" else BY_CHANGE
        assert re.search(rf"{index}.*\n +Index Cond: .*ROW\({orderby}, id\) {comparison} ROW\(", shown), shown
        # Two sorts are always there: of what a keyword found, and of the page that was cut.
        assert [
            k for k in re.findall("Sort Key: (.*)", shown) if not k.startswith(("(row_number()", "conversation_id"))
        ] == []
    else:
        assert (
            re.search(rf"\(*{'id' if orderby == 'id' else orderby}\)?.*id\)* {comparison} ", shown) or orderby == "id"
        )
        assert re.search(OF_THE_DIALOG, shown)


def test_an_uncounted_list_does_not_count_and_a_capped_one_stops(db: str, filled: None) -> None:
    def shown(total: Any) -> str:
        return plan(db, lambda store: store.conversations.get_list("large", "owner", total=total, total_limit=50))

    counting = r"InitPlan.*\n +->  Aggregate.*\n +->  "
    assert re.search(counting + "Index Only Scan", shown("exact"))
    assert re.search(counting + r"Limit  \(cost=\S+ rows=50 .*\n +->  Index Only Scan", shown("capped"))
    assert "InitPlan" not in shown("none")


@pytest.mark.parametrize(
    ("call", "answers", "index", "sorts"),
    [
        (lambda s: s.conversations.query(dialog_id="d1", limit=30), [], BY_CREATION, False),
        (lambda s: s.conversations.query(dialog_id="d1", user_id="u7"), [], OF_THE_DIALOG, None),
        (
            lambda s: s.conversations.query(tenant_id="owner", user_id="u7"),
            [],
            "conversation_tenant_id_user_id_create_date_id_idx",
            False,
        ),
        (lambda s: s.conversations.query(dialog_id="d1", id="c7"), [], "conversation_pkey", None),
        (lambda s: s.conversations.count(tenant_id="other7"), [], r"Index Only Scan using conversation_tenant", False),
        (lambda s: s.conversations.count(dialog_id="d1"), [], r"Index Only Scan using \w+dialog_id", False),
        (lambda s: list(s.conversations.iter(batch_size=30)), [], "dialog_pkey", None),
        (lambda s: list(s.conversations.iter(batch_size=30)), [], BY_CREATION, None),
        (lambda s: list(s.conversations.iter(tenant_id="owner", batch_size=30)), [], BY_CREATION, None),
        (
            lambda s: list(s.conversations.iter(batch_size=1)),
            [[a_conversation()]],
            rf"(?s)dialog_pkey.*id >= 'd1'.*{BY_CREATION}.*Index Cond: .*ROW\(create_date, id\) > ROW",
            None,
        ),
        (lambda s: list(s.conversations.iter(dialog_id="large", batch_size=30)), [], BY_CREATION, None),
        (lambda s: list(s.dialogs.iter()), [], "dialog_pkey", False),
        (lambda s: list(s.dialogs.iter(tenant_id="other7")), [], "dialog_tenant_id_id_key", None),
        (lambda s: s.conversations.delete_not_updated_since("2024-01-02", batch_size=30), [], BY_CHANGE, None),
        (lambda s: s.conversations.delete_not_updated_since("2024-01-02", batch_size=30), [], "dialog_pkey", None),
        (
            lambda s: s.conversations.delete_not_updated_since("2024-01-02", tenant_id="other7", batch_size=30),
            [],
            "dialog_tenant_id_id_key",
            None,
        ),
        (
            lambda s: s.conversations.delete_not_updated_since("2024-01-02", dialog_id="d1", batch_size=30),
            [],
            BY_CHANGE,
            None,
        ),
        (lambda s: s.conversations.delete_by_ids(["c7"], "d1", tenant_id="owner"), [], "conversation_pkey", None),
        (lambda s: s.conversations.delete_by_dialog_ids(["other7", "other8"]), [], OF_THE_DIALOG, None),
        (
            lambda s: s.tenants.delete_by_id("nobody"),
            [[]],  # of the tokens
            r"conversation_tenant_id_\w*idx",
            None,
        ),
        (lambda s: s.tokens.query(tenant_id="owner7"), [], "api_token_tenant_id_dialog_id_idx", None),
        (lambda s: s.tokens.query(dialog_id="d1"), [], "api_token_tenant_id_dialog_id_idx", None),
        (lambda s: s.tokens.query(token="x"), [], "api_token_token_digest_key", None),
        (lambda s: s.tokens.query(beta="plan7", tenant_id="owner7"), [], "api_token_beta_key", None),
    ],
)
def test_every_shape_of_every_other_statement_has_its_index(
    call: Any, answers: list[Any], index: str, sorts: bool | None, db: str, filled: None
) -> None:
    shown = plan(db, call, *answers)
    assert re.search(index, shown), shown
    assert "Seq Scan on conversation" not in shown
    assert "Seq Scan on api_token" not in shown
    if sorts is not None:
        assert ("Sort Key" in shown) == sorts, shown


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (lambda s: s.conversations.get_by_id("x"), "conversation_pkey"),
        (lambda s: s.conversations.get_by_id("x"), "conversation_message_pkey"),
        (lambda s: s.conversations.get_by_id("x"), "conversation_reference_pkey"),
        (lambda s: s.conversations.get_by_ids(["x"]), "conversation_pkey"),
        (lambda s: s.conversations.get_dialog_ids(["x"]), "conversation_pkey"),
        (lambda s: s.conversations.get_or_none(id="x", dialog_id="d"), "conversation_pkey"),
        (lambda s: s.conversations.get_names("d1", "e70"), "conversation_dialog_id_exp_user_id_create_date_id_idx"),
        (lambda s: s.conversations.append_message("x", {"message": [1]}), "conversation_message_pkey"),
        (lambda s: s.conversations.append_round("x", [1]), "conversation_pkey"),
        (lambda s: s.conversations.update_many_by_id([{"id": "x"}]), "conversation_pkey"),
        (
            lambda s: s.conversations.stats("owner", "2024-01-01", "2024-01-31"),
            "conversation_tenant_id_create_date_idx",
        ),
        (lambda s: s.conversations.delete_by_id("x"), "conversation_pkey"),
        (lambda s: s.conversations.save(dialog_id="x"), "dialog_pkey"),
        (lambda s: s.dialogs.get_by_id("x"), "dialog_pkey"),
        (lambda s: s.dialogs.get_by_ids(["x"]), "dialog_pkey"),
        (lambda s: s.dialogs.query(tenant_id="x"), "dialog_tenant_id_id_key"),
        (lambda s: s.dialogs.save(id="x", tenant_id="t"), "dialog_pkey"),
        (lambda s: s.dialogs.update_by_id("x", {}), "dialog_pkey"),
        (lambda s: s.dialogs.delete_by_id("x"), "dialog_pkey"),
        (lambda s: s.dialogs.delete_by_ids(["x"]), "dialog_pkey"),
        (lambda s: s.tokens.authenticate("x"), "api_token_token_digest_key"),
        (lambda s: s.tokens.authenticate_beta("x"), "api_token_beta_key"),
        (lambda s: s.tokens.used("x"), "api_token_token_digest_key"),
        (lambda s: s.tokens.update_by_id(1, {}, tenant_id="t"), "api_token_pkey"),
        (lambda s: s.tokens.fill_beta(1, tenant_id="t"), "api_token_pkey"),
        (lambda s: s.tokens.rotate(1, tenant_id="t"), "api_token_pkey"),
        (lambda s: s.tokens.expire(1, tenant_id="t", expire_date=None), "api_token_pkey"),
        (lambda s: s.tokens.revoke(1, tenant_id="t"), "api_token_pkey"),
        (lambda s: s.tokens.delete(tenant_id="t", token="x"), "api_token_token_digest_key"),
        (lambda s: s.tokens.delete_by_id(1, tenant_id="t"), "api_token_pkey"),
        (lambda s: s.tokens.delete_by_tenant_id("x"), "api_token_tenant_id_dialog_id_idx"),
    ],
)
def test_every_other_statement_keeps_its_index_with_a_generic_plan(
    call: Any, index: str, db: str, filled: None
) -> None:
    shown = plan(db, call, generic=True)
    assert index in shown, shown


@pytest.mark.parametrize(
    ("name", "values", "index"),
    [
        ("ragflow.dialogs", ["UTC", "", 10], "dialog_pkey"),
        ("ragflow.user_canvas", ["UTC", "", 10], "user_canvas_pkey"),
        ("ragflow.conversation_ids", ["", 10], "api_4_conversation_pkey"),
        ("ragflow.conversations", ["UTC", "{a}"], "api_4_conversation_pkey"),
    ],
)
def test_every_page_of_a_move_is_read_by_the_primary_key(name: str, values: list[Any], index: str, db: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        rows = RawCursor(connection).execute(b"EXPLAIN " + QUERIES[name].text, [str(v) for v in values]).fetchall()
    assert index in "\n".join(line for (line,) in rows)


def counted_plans(connection: psycopg.Connection[Any], tag: str) -> list[tuple[int, int]]:
    return connection.execute(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE %s", [f"/* {tag} */%"]
    ).fetchall()


def test_without_the_guard_a_list_is_frozen_in_a_generic_plan_and_with_it_never(db: str, filled: None) -> None:
    statement = statement_of(lambda store: store.conversations.get_list("large", "owner", items_per_page=1_000))
    guard = re.compile(rb"\(\$\d+::text IS NOT NULL OR conversation_store\.force_custom_plan\(c\.id\)\)")
    assert guard.search(statement.query.text)
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with psycopg.connect(db, autocommit=True) as connection:
        cursor = RawCursor(connection)
        for text in (
            statement.query.text,
            guard.sub(b"TRUE", statement.query.text).replace(b"get_list */", b"trap */"),
        ):
            for _ in range(20):
                cursor.execute(text, values, prepare=True)
        assert counted_plans(connection, "conversation.get_list") == [(0, 20)]
        ((generic, custom),) = counted_plans(connection, "conversation.trap")
        assert generic > 0, "the trap is gone: is the guard still needed?"
        assert custom < 20


def test_a_statement_that_says_plan_custom_is_always_planned_for_its_values(db: str, filled: None) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for _ in range(15):
            store.conversations.get_list("large", "owner")
            store.conversations.get_list("d1", "owner", id="c7", keywords="number")
        ((generic, custom),) = counted_plans(connection, "conversation.get_list")
        assert (generic, custom >= 20) == (0, True)


def test_a_point_look_up_keeps_its_generic_plan(db: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for _ in range(20):
            store.conversations.get_by_id("x")
        ((generic, _),) = counted_plans(connection, "conversation.get_by_id")
        assert generic > 0
