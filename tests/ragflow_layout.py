"""A RAGFlow database: its tables as they are there, and rows with everything that such rows have been seen with."""

from __future__ import annotations

import psycopg

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
