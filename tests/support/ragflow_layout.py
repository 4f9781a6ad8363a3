"""A RAGFlow database: its tables as they are there, and rows with everything that such rows have been seen with."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg import sql

# No foreign keys, no server defaults; JSON is text; dates are the wall clock of the server, in whole seconds.
TABLES = """
CREATE TABLE public.dialog (
    id varchar(32) PRIMARY KEY, create_time bigint, create_date timestamp, update_time bigint, update_date timestamp,
    tenant_id varchar(32) NOT NULL, name varchar(255), description text, icon text, language varchar(32),
    llm_id varchar(128) NOT NULL, llm_setting text NOT NULL, prompt_type varchar(16) NOT NULL,
    prompt_config text NOT NULL, similarity_threshold real NOT NULL, top_n integer NOT NULL, kb_ids text NOT NULL,
    status varchar(1)
);
CREATE TABLE public.user_canvas (
    id varchar(32) PRIMARY KEY, create_time bigint, create_date timestamp, update_time bigint, update_date timestamp,
    avatar text, user_id varchar(255) NOT NULL, title varchar(255), permission varchar(16) NOT NULL, description text,
    canvas_type varchar(32), dsl text
);
CREATE TABLE public.api_token (
    create_time bigint, create_date timestamp, update_time bigint, update_date timestamp,
    tenant_id varchar(32) NOT NULL, token varchar(255) NOT NULL, dialog_id varchar(32), source varchar(16),
    beta varchar(255), PRIMARY KEY (tenant_id, token)
);
CREATE TABLE public.api_4_conversation (
    id varchar(32) PRIMARY KEY, create_time bigint, create_date timestamp, update_time bigint, update_date timestamp,
    name varchar(255), dialog_id varchar(32) NOT NULL, user_id varchar(255) NOT NULL, exp_user_id varchar(255),
    message text, reference text, tokens integer NOT NULL, source varchar(16), dsl text, duration real NOT NULL,
    round integer NOT NULL, thumb_up integer NOT NULL, errors text, version_title varchar(255)
);
"""


def create(conninfo: str) -> None:
    """Create the tables in a database."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(TABLES)


def insert(conninfo: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows, whatever is not given as an empty text, 0 or NULL where that is allowed."""
    with psycopg.connect(conninfo) as connection:
        needed = connection.execute(
            "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass"
            " AND attnotnull AND attnum > 0",
            [f"public.{table}"],
        ).fetchall()
        for row in rows:
            values = {name: 0 if kind in ("integer", "real") else "" for name, kind in needed} | row
            columns = sql.SQL(", ").join(map(sql.Identifier, values))
            places = sql.SQL(", ").join(map(sql.Placeholder, values))
            insert = sql.SQL("INSERT INTO public.{} ({}) VALUES ({})").format(sql.Identifier(table), columns, places)
            connection.execute(insert, values)


def change(conninfo: str, table: str, key: str, **values: Any) -> None:
    """Change the row with this id, or this token."""
    column = "token" if table == "api_token" else "id"
    changes = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in values)
    with psycopg.connect(conninfo) as connection:
        update = sql.SQL("UPDATE public.{} SET {} WHERE {} = %(key)s").format(
            sql.Identifier(table), changes, sql.Identifier(column)
        )
        assert connection.execute(update, {**values, "key": key}).rowcount == 1


def fill(conninfo: str, number: int) -> None:
    """Fill the tables with *number* conversations of five turns: 7 KB of messages, 49 KB of references, 12 KB of dsl."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO public.dialog (id, tenant_id, name, create_date, update_date, llm_id, llm_setting, prompt_type,"
            " prompt_config, similarity_threshold, top_n, kb_ids) SELECT md5('d' || i), md5('t' || i % 10), 'dialog ' || i,"
            " '2024-01-01', '2024-01-01', '', '', '', '', 0, 0, '' FROM generate_series(0, 99) AS i"
        )
        connection.execute(
            "INSERT INTO public.api_token (tenant_id, token, create_date, update_date) SELECT md5('t' || i % 10),"
            " 'ragflow-' || md5(i::text), '2024-01-01', '2024-01-01' FROM generate_series(0, 99) AS i"
        )
        turn = [
            {"role": "user", "content": "检索增强生成怎么用? " * 20, "id": "0" * 32},
            {"role": "assistant", "content": "这是一个回答 with some English text " * 12, "created_at": 1704067200.123},
        ]
        answer = {"chunks": [{"content": "检索 chunk " * 60, "similarity": 0.123456789}] * 12, "doc_aggs": []}
        connection.execute(
            "INSERT INTO public.api_4_conversation SELECT md5('c' || i), extract(epoch FROM day AT TIME ZONE 'Asia/Shanghai')"
            " * 1000 + 123, day, extract(epoch FROM day AT TIME ZONE 'Asia/Shanghai') * 1000 + 123, day, 'name ' || i,"
            " md5('d' || i %% 100), 'user', NULL, %s, %s, 100, 'agent', %s, 1.5, 5, 0, NULL, NULL"
            " FROM (SELECT i, timestamp '2024-01-01' + i * interval '1 minute' AS day FROM generate_series(1, %s) AS i) AS x",
            [json.dumps(turn * 5), json.dumps([answer] * 5), json.dumps({"graph": "node " * 2400}), number],
        )
        connection.execute("ANALYZE")
