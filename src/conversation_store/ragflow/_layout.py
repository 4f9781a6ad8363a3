"""The tables and columns that a RAGFlow database must have, looked at before anything is written."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import fields
from typing import Any

from conversation_store.errors import MigrationError
from conversation_store.ragflow._source_rows import SourceColumn, SourceConversation, SourceTable, SourceToken
from conversation_store.ragflow._sources import Source

_DATES = ("create_time", "create_date", "update_time", "update_date")
# What the statement files read.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "dialog": ("id", "tenant_id", "name", *_DATES),
    "user_canvas": ("id", "user_id", "title", *_DATES),
    "api_token": tuple(field.name for field in fields(SourceToken) if field.name != "position"),
    "api_4_conversation": tuple(field.name for field in fields(SourceConversation)),
}
_OPTIONAL = "user_canvas"


def check_layout(source: Source) -> Generator[Any, Any, dict[str, int]]:
    """Return about how many rows each table has, -1 where the server does not know; agents may have no table.

    Raises `MigrationError` where a table or a column is missing.
    """
    names = list(_COLUMNS)
    tables: list[SourceTable] = yield source.read("tables", SourceTable, names=names)
    estimates = {table.name: table.estimate for table in tables}
    if missing := [name for name in names if name not in estimates and name != _OPTIONAL]:
        raise MigrationError(
            f"the database to import has no table {' and no '.join(missing)}, or its account may not read it"
        )
    names = [name for name in names if name in estimates]
    columns: list[SourceColumn] = yield source.read("columns", SourceColumn, names=names)
    there = {(column.table_name, column.name) for column in columns}
    lacks = [f"{table}.{name}" for table in names for name in _COLUMNS[table] if (table, name) not in there]
    if lacks:
        raise MigrationError(
            f"the database to import has no column {' and no '.join(lacks)}: it is that of an older RAGFlow, or its"
            " account may not read them; start the current RAGFlow on it once, which adds them, and import again"
        )
    return estimates
