"""A database that is filled for plans, the plan of a statement, and how much it reads."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import RawCursor, sql

from conversation_store._adapters import to_text
from conversation_store._statement import Statement
from conversation_store.dba.shapes import Examples

# Values of parameters that rows of `fill` have.
EXAMPLES: Examples = {
    "tenant_id": ["owner"],
    "dialog_id": ["d1"],
    "dialog_ids": [["d1"], ["d1", "d2"]],
    "id": ["c7"],
    "ids": [["c7"], ["c7", "c8", "c9"]],
    "dialog.id": ["d1"],
    "dialog.ids": [["d1"], ["d1", "d2"]],
    "api_token.tenant_id": ["owner7"],
    "api_token.id": [7],
    "api_token.ids": [["d1"], ["d1", "d2"]],
    "user_id": ["u7"],
    "exp_user_id": ["e70"],
    "beta": ["plan7"],
    # One that is rare, one that is common and one that no index serves.
    "keywords": ["number c777", "检索", "检"],
    "from_date": ["2024-01-05"],
    "before_date": ["2024-01-06"],
}


def fill(conninfo: str, then: str = "VACUUM ANALYZE") -> None:
    """Fill a tenant: the dialog "large" with 10,000 conversations of two messages, and "d1" to "d20" with 1,000 each."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
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
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, user_id, create_date)"
            " SELECT 'o' || i, 'other' || i % 100, 'other' || 1 + (i - 1) % 3000, 'u' || i % 50,"
            " timestamptz '2024-01-01Z' + i * interval '1 minute' FROM generate_series(1, 30000) AS i"
        )
        # Of all rows: the statistics of a sample, and so the plans, would differ from run to run.
        connection.execute("SET default_statistics_target = 250")
        tables = "conversation", "conversation_message", "dialog", "api_token"
        connection.execute(f"{then} {', '.join(f'conversation_store.{table}' for table in tables)}".encode())


def plan_of(connection: psycopg.Connection[Any], statement: Statement[Any]) -> str:
    """Return the plan of a statement: for its actual values, or the generic one where it may freeze in that."""
    if statement.query.plan == "custom":
        return custom_plan(connection, statement)
    # Small tables are scanned, whatever their indexes.
    connection.execute("SET LOCAL enable_seqscan = off")
    return generic_plan(connection, statement)


def custom_plan(connection: psycopg.Connection[Any], statement: Statement[Any]) -> str:
    """Return the plan of a statement for its actual values."""
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    rows = RawCursor(connection).execute(b"EXPLAIN " + statement.query.text, values).fetchall()
    return "\n".join(line for (line,) in rows)


def generic_plan(connection: psycopg.Connection[Any], statement: Statement[Any]) -> str:
    """Return the generic plan of a statement, within a transaction."""
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    types_ = f"({', '.join(['unknown'] * len(values))})" if values else ""
    connection.execute(f"PREPARE p {types_} AS ".encode() + statement.query.text)
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    arguments = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, values))) if values else sql.SQL("")
    rows = connection.execute(sql.SQL("EXPLAIN EXECUTE p ") + arguments).fetchall()
    connection.execute("DEALLOCATE p")
    return "\n".join(line for (line,) in rows)


def blocks(conninfo: str, statement: Statement[Any]) -> int:
    """Return how many blocks a statement reads: planned for its values or, where it may be, with a generic plan."""
    query = statement.query
    values = [to_text(value) for value in query.bind(statement.params)]
    execute: sql.SQL | sql.Composed = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE p")
    if values:
        execute += sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Literal, values)))
    read: list[int] = []
    # Where the planner knows no memoize, or has no use for it, the plan must be good too.
    with psycopg.connect(conninfo, autocommit=True, options="-c enable_memoize=off") as connection:
        connection.execute(f"PREPARE p ({', '.join(['unknown'] * len(values))}) AS ".encode() + query.text)
        for mode in ("custom",) if query.plan == "custom" else ("custom", "generic"):
            connection.execute(f"SET plan_cache_mode = force_{mode}_plan".encode())
            row: Any = None
            for _ in range(2):  # the first cleans the pages up
                with connection.transaction(force_rollback=True):
                    row = connection.execute(execute).fetchone()
            plan = row[0][0]["Plan"]
            read.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return max(read)
