"""RAGFlow's tables as its models make them on PostgreSQL, with their indexes; of a dialog what its queries read."""

from __future__ import annotations

import json
from typing import Any

from peewee import (
    BigIntegerField,
    CharField,
    CompositeKey,
    DatabaseProxy,
    DateTimeField,
    FloatField,
    IntegerField,
    Model,
    TextField,
)
from playhouse.pool import PooledPostgresqlDatabase  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
from psycopg.conninfo import conninfo_to_dict

DATABASE: Any = DatabaseProxy()


class JSONField(TextField):
    """JSON as text."""

    def db_value(self, value: Any) -> str:
        return json.dumps(value)

    def python_value(self, value: str) -> Any:
        return json.loads(value)


class Table(Model):
    """The dates that each of RAGFlow's tables has."""

    create_time = BigIntegerField(null=True, index=True)
    create_date = DateTimeField(null=True, index=True)
    update_time = BigIntegerField(null=True, index=True)
    update_date = DateTimeField(null=True, index=True)


class Dialog(Table):
    """RAGFlow's dialogs, without their settings."""

    id = CharField(max_length=32, primary_key=True)
    tenant_id = CharField(max_length=32, index=True)
    name = CharField(max_length=255, null=True, index=True)

    class Meta:
        database = DATABASE
        table_name = "dialog"


class APIToken(Table):
    """RAGFlow's API tokens."""

    tenant_id = CharField(max_length=32, index=True)
    token = CharField(max_length=255, index=True)
    dialog_id = CharField(max_length=32, null=True, index=True)
    source = CharField(max_length=16, null=True, index=True)
    beta = CharField(max_length=255, null=True, index=True)

    class Meta:
        database = DATABASE
        table_name = "api_token"
        primary_key = CompositeKey("tenant_id", "token")


class API4Conversation(Table):
    """RAGFlow's API conversations."""

    id = CharField(max_length=32, primary_key=True)
    name = CharField(max_length=255, null=True)
    dialog_id = CharField(max_length=32, index=True)
    user_id = CharField(max_length=255, index=True)
    exp_user_id = CharField(max_length=255, null=True, index=True)
    message = JSONField(null=True)
    reference = JSONField(null=True, default=[])
    tokens = IntegerField(default=0)
    source = CharField(max_length=16, null=True, index=True)
    dsl = JSONField(null=True, default={})
    duration = FloatField(default=0, index=True)
    round = IntegerField(default=0, index=True)
    thumb_up = IntegerField(default=0, index=True)
    errors = TextField(null=True)
    version_title = CharField(max_length=255, null=True)

    class Meta:
        database = DATABASE
        table_name = "api_4_conversation"


TABLES: list[Any] = [Dialog, APIToken, API4Conversation]


def connect(conninfo: str, size: int = 1) -> Any:
    """Return a pool of these tables' database, and bind them to it."""
    parts = conninfo_to_dict(conninfo)
    pool: Any = PooledPostgresqlDatabase(
        parts["dbname"],
        max_connections=size,
        prefer_psycopg3=True,
        **{key: parts[key] for key in ("host", "port", "user", "password") if parts.get(key)},
    )
    DATABASE.initialize(pool)
    return pool


def create_tables(conninfo: str) -> None:
    """Create the tables, with their primary keys alone."""
    pool = connect(conninfo)
    with pool.connection_context():
        for table in TABLES:
            table._schema.create_table()
    pool.close_all()


def create_indexes(conninfo: str) -> None:
    """Create the other indexes."""
    pool = connect(conninfo)
    with pool.connection_context():
        for table in TABLES:
            table._schema.create_indexes()
    pool.close_all()
