"""Where many tenants have the same ids, a statement still reads no more than what it is asked for.

Of such an id the planner expects many rows, and would read a whole tenant or dialog for one.
"""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor

from shapes import SHARED, Cost
from support.plans import blocks
from support.server import Server
from support.server import database as new_database
from support.statements import statement_of


@pytest.fixture(scope="module")
def shared(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database in which 2,000 tenants have the conversations "c1" to "c5" in the dialogs "support" and "d2".

    The dialogs "empty" and "empty2" have none. The tenant "big" has all of them too, 100,000 conversations and 20,000 dialogs in all.
    """
    with (
        new_database(server, template=postgresql_noproc.template_dbname) as conninfo,
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id)"
            " SELECT id, tenant FROM unnest(ARRAY['support', 'd2', 'empty', 'empty2']) AS id,"
            " (SELECT 't' || i FROM generate_series(1, 2000) AS i UNION ALL VALUES ('big')) AS t (tenant)"
            " UNION ALL SELECT 'x' || i, 'big' FROM generate_series(1, 19996) AS i"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, create_date, update_date)"
            " SELECT 'c' || k, 't' || i, CASE WHEN k % 2 = 0 THEN 'd2' ELSE 'support' END, day, day"
            " FROM generate_series(1, 2000) AS i, generate_series(1, 5) AS k,"
            " LATERAL (SELECT timestamptz '2024-01-01Z' - k * interval '1 hour' AS day) AS d"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, user_id, create_date, update_date)"
            " SELECT 'c' || k, 'big', CASE WHEN k % 2 = 0 THEN 'support' WHEN k % 10 = 1 THEN 'd2'"
            " ELSE 'x' || 1 + k % 19996 END, CASE WHEN k % 2 = 0 THEN 'u' ELSE '' END, day, day FROM generate_series(1, 100000) AS k,"
            " LATERAL (SELECT timestamptz '2024-01-01Z' - k * interval '1 second' AS day) AS d"
        )
        connection.execute("VACUUM ANALYZE conversation_store.conversation, conversation_store.dialog")
        yield conninfo


@pytest.mark.slow
@pytest.mark.parametrize("cost", SHARED, ids=[cost.name for cost in SHARED])
def test_a_statement_on_ids_that_2000_tenants_have_reads_few_blocks(shared: str, cost: Cost) -> None:
    found = blocks(shared, statement_of(cost.call, *cost.answers))
    assert found <= cost.blocks


@pytest.mark.slow
def test_a_search_in_a_dialog_whose_id_another_tenant_has_too_does_not_read_the_messages_of_the_other(
    database: str,
) -> None:
    words = {"one": "a xylophone 鸑鷟", "two": "a violin 检索"}
    with psycopg.connect(database, autocommit=True) as connection:
        for tenant, word in words.items():
            connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('support', %s)", [tenant])
            connection.execute(
                "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, name, message_count)"
                " SELECT 'c' || i, %s, 'support', %s, 1 FROM generate_series(1, 3000) AS i",
                [tenant, word],
            )
            connection.execute(
                "INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
                " SELECT 'c' || i, 1, %s, 'support', json_build_object('content', %s || repeat(' and more', 100))"
                " FROM generate_series(1, 3000) AS i",
                [tenant, word],
            )
        connection.execute("VACUUM ANALYZE conversation_store.conversation, conversation_store.conversation_message")
    for keyword in ("xylophone", "鸑鷟"):
        found = {
            tenant: blocks(
                database, statement_of(lambda s, t=tenant: s.conversations.get_list("support", t, keywords=keyword))
            )
            for tenant in words
        }
        assert found["two"] < 80 < found["one"]
