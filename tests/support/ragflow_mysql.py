"""The tables of RAGFlow in MySQL or MariaDB, as far as an import reads them, and rows in them."""

from __future__ import annotations

import math
from typing import Any

from support.mysql import MySql

_DATES = (
    "create_time bigint, create_date datetime, update_time bigint, update_date datetime,"
    " KEY (create_time), KEY (create_date), KEY (update_time), KEY (update_date)"
)
# As Peewee creates them, with the indexes; columns that an import does not read are left out where they may be.
TABLES = (
    f"""
CREATE TABLE dialog (
    id varchar(32) NOT NULL PRIMARY KEY, {_DATES}, tenant_id varchar(32) NOT NULL, name varchar(255), description longtext,
    icon longtext, language varchar(255), llm_id varchar(128) NOT NULL, llm_setting longtext NOT NULL,
    prompt_type varchar(16) NOT NULL, prompt_config longtext NOT NULL, similarity_threshold float NOT NULL,
    top_n int NOT NULL, kb_ids longtext NOT NULL, status varchar(1), KEY (tenant_id), KEY (name), KEY (status)
)""",
    f"""
CREATE TABLE user_canvas (
    id varchar(32) NOT NULL PRIMARY KEY, {_DATES}, avatar text, user_id varchar(255) NOT NULL, title varchar(255),
    permission varchar(16) NOT NULL, description text, canvas_type varchar(32), dsl longtext, KEY (user_id)
)""",
    f"""
CREATE TABLE api_token (
    {_DATES}, tenant_id varchar(32) NOT NULL, token varchar(255) NOT NULL, dialog_id varchar(32), source varchar(16),
    beta varchar(255), PRIMARY KEY (tenant_id, token), KEY (tenant_id), KEY (token), KEY (dialog_id), KEY (beta)
)""",
    f"""
CREATE TABLE api_4_conversation (
    id varchar(32) NOT NULL PRIMARY KEY, {_DATES}, name varchar(255), dialog_id varchar(32) NOT NULL,
    user_id varchar(255) NOT NULL, exp_user_id varchar(255), message longtext, reference longtext, tokens int NOT NULL,
    source varchar(16), dsl longtext, duration float NOT NULL, round int NOT NULL, thumb_up int NOT NULL, errors text,
    version_title varchar(255), KEY (dialog_id), KEY (user_id), KEY (exp_user_id), KEY (source), KEY (duration),
    KEY (round), KEY (thumb_up)
)""",
)


def create(on: MySql, database: str) -> None:
    """Create the tables in a database."""
    on.run(*TABLES, database=database)


def insert(on: MySql, database: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows; without a mode the server gives an empty text or 0 to what is needed and not given."""
    with on.connect(database) as connection, connection.cursor() as cursor:
        for row in rows:
            places = ", ".join(["%s"] * len(row))
            values = [_as_mysql_has_it(value) for value in row.values()]
            cursor.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)


def _as_mysql_has_it(value: Any) -> Any:
    """Return what is as wrong in MySQL as the value is, which only PostgreSQL can hold."""
    if isinstance(value, float) and math.isnan(value):
        return -1e38
    instead: dict[Any, Any] = {"infinity": "0000-00-00 00:00:00", "0044-03-15 BC": "2024-00-00 00:00:00"}
    return instead.get(value, value)
