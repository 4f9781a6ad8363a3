"""A tenant that came after the last ANALYZE is not read from end to end for one of its rows.

Of a tenant that the statistics do not know the planner expects one row, so that every index of it looks like a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pytest_postgresql.executors import NoopExecutor

from conversation_store import ConversationStore
from conversation_store._adapters import to_text
from support.plans import blocks
from support.server import Server
from support.server import database as new_database
from support.statements import statement_of

NUMBER = 5_000


@pytest.fixture(scope="module")
def young(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database whose statistics know 51 conversations of "old", and in which "new" has 5,000 in the dialog "d"."""
    with (
        new_database(server, template=postgresql_noproc.template_dbname) as conninfo,
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        for tenant, number in (("old", 51), ("new", NUMBER)):
            connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', %s)", [tenant])
            connection.execute(
                "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, user_id, message_count, create_date, update_date)"
                " SELECT %s || i, %s, 'd', 'u' || i %% 50, 1, day, day FROM generate_series(1, %s) AS i,"
                " LATERAL (SELECT timestamptz '2024-01-01Z' + i * interval '5 minutes' AS day) AS d",
                [tenant, tenant, number],
            )
            connection.execute(
                "INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
                " SELECT id, 1, tenant_id, dialog_id, json_build_object('content', 'about ' || id)"
                " FROM conversation_store.conversation WHERE tenant_id = %s",
                [tenant],
            )
            if tenant == "old":
                connection.execute("ANALYZE")
        yield conninfo


# The ways to name conversations by their ids, each tried within a tenant, and within a dialog of it.
LOOK_UPS: dict[str, Callable[..., Any]] = {
    "get_by_id": lambda c, **of: c.get_by_id("new7", **of),
    "get_by_ids": lambda c, **of: c.get_by_ids(["new7", "new8"], **of),
    "get_dialog_ids": lambda c, dialog_id="", **of: c.get_dialog_ids(["new7", "new8"], **of),
    "get_messages": lambda c, **of: c.get_messages("new7", **of),
    "get_references": lambda c, **of: c.get_references("new7", **of),
    "append_message": lambda c, **of: c.append_message("new7", {"message": [1], "reference": [1]}, **of),
    "append_round": lambda c, **of: c.append_round("new7", [1], reference=[1], **of),
    "append_round, of a turn": lambda c, **of: c.append_round("new7", [1], turn_id="t", **of),
    "update_by_id": lambda c, **of: c.update_by_id("new7", {"name": "n"}, **of),
    "update_many_by_id": lambda c, **of: c.update_many_by_id([{"id": "new7"}, {"id": "new8"}], **of),
    "delete_by_id": lambda c, **of: c.delete_by_id("new7", **of),
    "delete_by_ids": lambda c, **of: c.delete_by_ids(["new7", "new8"], **of),
}
OF = {
    "of a tenant": {"tenant_id": "new"},
    "of a dialog": {"tenant_id": "new", "dialog_id": "d"},
    "of a tenant to be found": {},
    "of a tenant to be found, of a new dialog": {"dialog_id": "new"},
}


def prepare(connection: psycopg.Connection[Any], text: bytes, parameters: int) -> None:
    connection.execute(f"PREPARE p ({', '.join(['unknown'] * parameters)}) AS ".encode() + text)


def plans(connection: psycopg.Connection[Any], values: list[Any]) -> Iterator[str]:
    """Give the plans of a prepared statement, as a server chooses them: of ten executions, and the generic one."""
    execute = sql.SQL("EXPLAIN EXECUTE p ({})").format(sql.SQL(", ").join(map(sql.Literal, values)))
    for mode in (*["auto"] * 10, "force_generic_plan"):
        connection.execute(f"SET plan_cache_mode = {mode}".encode())
        yield "\n".join(line for (line,) in connection.execute(execute).fetchall())


def used(plan: str) -> set[str]:
    """Return how a plan reads conversations: the names of indexes, and whole tables."""
    indexes = re.findall(r"(?:Scan|Scan Backward) using (conversation_\w+) on conversation\b", plan)
    bitmaps = re.findall(r"Bitmap Index Scan on (conversation_(?!message|reference|turn)\w+)", plan)
    return {*indexes, *bitmaps, *re.findall(r"Seq Scan on conversation\b", plan)}


@pytest.mark.parametrize("of", OF)
@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_a_conversation_of_a_new_tenant_is_looked_up_by_the_primary_key_alone(
    young: str, look_up: str, of: str
) -> None:
    statement = statement_of(lambda s: LOOK_UPS[look_up](s.conversations, **OF[of]))
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with psycopg.connect(young, autocommit=True) as connection:
        prepare(connection, statement.query.text, len(values))
        # A statement with the guard has no generic plan.
        found = list(plans(connection, values))[: 10 if statement.query.plan == "custom" else 11]
    for plan in found:
        assert used(plan) == {"conversation_pkey"}, plan


# Calls for 30 conversations, or for a month, with the blocks that they may read. A search scans what waits in the pending lists.
READING: dict[str, tuple[Callable[[Any], Any], int]] = {
    "get_list": (lambda c: c.get_list("d", "new", total="none"), 250),
    "get_list, with a filter": (lambda c: c.get_list("d", "new", from_date="2024-01-01", total="none"), 250),
    "get_list, of a user": (lambda c: c.get_list("d", "new", user_id="u7", total="none"), 350),
    "get_list, of an id": (lambda c: c.get_list("d", "new", id="new7"), 150),
    "get_list, by name": (lambda c: c.get_list("d", "new", orderby="name", total="none"), 450),
    "list_after": (lambda c: c.list_after("d", "new"), 250),
    "query": (lambda c: c.query(tenant_id="new", dialog_id="d", limit=30), 250),
    "query, of a user": (lambda c: c.query(tenant_id="new", user_id="u7", limit=30), 250),
    "iter": (lambda c: list(c.iter(tenant_id="new", batch_size=30)), 250),
    "iter_ids": (lambda c: list(c.iter_ids(tenant_id="new", batch_size=30)), 30),
    "update_many_by_id": (
        lambda c: c.update_many_by_id([{"id": f"new{i}"} for i in range(1, 31)], tenant_id="new"),
        250,
    ),
    "delete_by_dialog_ids": (lambda c: c.delete_by_dialog_ids(["d"], tenant_id="new", batch_size=30), 300),
    "search": (lambda c: c.search("about new4999", tenant_id="new"), 3_000),
    "stats": (lambda c: c.stats("new", "2024-01-01", "2024-01-31"), 300),
}


@pytest.mark.parametrize("name", READING)
def test_a_call_for_some_conversations_of_a_new_tenant_reads_few_blocks(young: str, name: str) -> None:
    call, most = READING[name]
    assert blocks(young, statement_of(lambda s: call(s.conversations))) <= most


# What the server runs for each message, reference and turn that is written.
OF_THE_FOREIGN_KEYS = (
    b"SELECT 1 FROM ONLY conversation_store.conversation x WHERE tenant_id OPERATOR(pg_catalog.=) $1::text"
    b" AND id OPERATOR(pg_catalog.=) $2::text FOR KEY SHARE OF x"
)


def test_the_check_of_a_foreign_key_to_a_conversation_of_a_new_tenant_takes_the_primary_key(young: str) -> None:
    with psycopg.connect(young, autocommit=True) as connection:
        prepare(connection, OF_THE_FOREIGN_KEYS, 2)
        for plan in plans(connection, ["new", "new7"]):
            assert used(plan) == {"conversation_pkey"}, plan


@pytest.mark.parametrize("before", [51, 1_000])
def test_a_load_into_a_new_tenant_looks_each_of_its_rows_up_once_whenever_the_tables_are_analyzed(
    database: str, before: int
) -> None:
    def rows(number: int) -> Iterator[dict[str, Any]]:
        for n in range(number):
            if n in (2_500, 3_500):  # not before the rows of the other tenant are in the statistics
                analyzer.execute("ANALYZE")
            yield {"dialog_id": "d", "message": [{"content": f"a{n}"}, {"content": f"b{n}"}], "reference": [{}]}

    with psycopg.connect(database, autocommit=True) as analyzer, psycopg.connect(database) as connection:
        for tenant, number in (("old", before), ("new", NUMBER)):
            store = ConversationStore(connection=connection).for_tenant(tenant)
            store.dialogs.save(id="d")
            connection.commit()
            store.conversations.insert_many(rows(number))
            connection.commit()
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        (read,) = analyzer.execute(
            "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'conversation'"
        ).fetchone() or (0,)
    # Each of the two messages and the reference.
    assert 3 * NUMBER <= int(read) < 3 * (NUMBER + before) + 2_000
