"""The schema of a migrated database: what it consists of, and whether a store works on it."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from conversation_store import ConversationStore, _migration_files

NAMES = [migration.name for migration in _migration_files.migrations()]
"""The names of all migrations, in order."""


def migration(text: str, *, option: str = "") -> str:
    """Return a migration file."""
    return f"-- migrate:up{option}\n{text}\n-- migrate:down\n"


@contextmanager
def schema_with(**files: str) -> Generator[Path]:
    """Let migrations be the files of sql/schema and these: each by its name, with its text."""
    real = _migration_files.schema_directory
    with tempfile.TemporaryDirectory() as folder:
        for file in real().iterdir():
            (Path(folder) / file.name).write_bytes(file.read_bytes())
        for name, text in files.items():
            (Path(folder) / f"{name.removeprefix('_')}.sql").write_text(text)
        _migration_files.schema_directory = lambda: Path(folder)
        try:
            yield Path(folder)
        finally:
            _migration_files.schema_directory = real


def shape(conninfo: str) -> list[Any]:
    """Return every column, constraint, index and function of our schema."""
    with psycopg.connect(conninfo) as connection:
        return connection.execute(
            "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull || a.attcollation::regcollation"
            " FROM pg_attribute AS a JOIN pg_class AS c ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'conversation_store'::regnamespace AND c.relname !~ '^schema_' AND a.attnum > 0"
            " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'conversation_store'::regnamespace AND conname !~ '^schema_'"
            " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'conversation_store' AND indexname !~ '^schema_'"
            " UNION ALL SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'conversation_store'::regnamespace"
            " ORDER BY 1, 2"
        ).fetchall()


def assert_works(conninfo: str) -> None:
    """Save, append and search."""
    with ConversationStore(conninfo) as store:
        store.dialogs.save(id="works", tenant_id="t")
        id = store.conversations.save(dialog_id="works", message=[{"content": "检索增强 Été"}]).id
        store.conversations.append_round(id, [{"content": "кино"}])
        for keyword in ("检索", "été", "КИНО"):
            assert store.conversations.get_list("works", "t", keywords=keyword).count == 1
        assert store.conversations.delete_by_id(id) == 1
