"""What `check_schema` says of a database that was restored from a dump, as sql/README.md has it."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest

from conversation_store import ConversationStore, check_schema, migrate
from support.schema import assert_works
from support.server import Server


@pytest.fixture
def filled(database: str) -> str:
    """Give a database with a conversation."""
    with ConversationStore(database) as store:
        store.dialogs.save(id="d", tenant_id="t")
        store.conversations.save(dialog_id="d", message=[{"content": "检索增强"}])
    return database


def restore(server: Server, source: str, target: str, *options: str) -> str:
    """Restore a dump of one database in another, and return the errors."""
    run = {"check": True, "capture_output": True, "text": True, "env": {**os.environ, "PSQLRC": "/dev/null"}}
    dump = subprocess.run([f"{server.bindir}/pg_dump", *options, source], **run)  # type: ignore[call-overload]
    done = subprocess.run([f"{server.bindir}/psql", "-q", target], input=dump.stdout, **run)  # type: ignore[call-overload]
    return str(done.stderr)


def test_a_whole_database_is_restored_as_it_was(server: Server, filled: str, empty_database: str) -> None:
    assert restore(server, filled, empty_database) == ""
    assert check_schema(empty_database) == []
    assert_works(empty_database)


def test_a_dump_of_the_schema_alone_is_restored_as_it_was(server: Server, filled: str, empty_database: str) -> None:
    assert restore(server, filled, empty_database, "--schema=conversation_store") == ""
    assert check_schema(empty_database) == []
    assert_works(empty_database)


def test_definitions_alone_need_the_rows_that_migrate_has_recorded(
    server: Server, filled: str, empty_database: str
) -> None:
    assert restore(server, filled, empty_database, "--schema=conversation_store", "--schema-only") == ""
    with pytest.raises(psycopg.errors.DuplicateTable, match='relation "dialog" already exists'):
        migrate(empty_database)
    assert restore(server, filled, empty_database, "--data-only", "--table=conversation_store.schema_*") == ""
    assert migrate(empty_database) == []
    assert check_schema(empty_database) == []
    assert_works(empty_database)


def test_data_alone_collides_with_what_migrate_has_recorded(server: Server, filled: str, empty_database: str) -> None:
    migrate(empty_database)
    without = "--exclude-table-data=conversation_store.schema_*"
    assert restore(server, filled, empty_database, "--data-only", without) == ""
    with ConversationStore(empty_database) as store:
        assert store.conversations.count() == 1
        store.tenants.delete_by_id("t")
    errors = restore(server, filled, empty_database, "--data-only")
    assert "schema_migrations_pkey" in errors
    assert "schema_checksums_pkey" in errors
