"""`migrate` and `migrate_async`: each migration is applied once and as a whole, and to a database in UTF-8 only."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import MigrationError, migrate, migrate_async, migrations
from support.both_apis import AsyncApi, SyncApi
from support.schema import NAMES, assert_works, shape
from support.server import Server
from support.server import database as new_database

Api = SyncApi | AsyncApi


def run(api: Api, conninfo: str) -> list[str]:
    """Migrate with the function of the API."""
    return migrate(conninfo) if isinstance(api, SyncApi) else api.run(lambda: migrate_async(conninfo))


def test_an_empty_database_is_migrated_once(api: Api, empty_database: str, database: str) -> None:
    assert run(api, empty_database) == NAMES
    assert run(api, empty_database) == []
    assert shape(empty_database) == shape(database)
    assert_works(empty_database)


def test_migrations_that_run_concurrently_are_applied_once(api: Api, empty_database: str) -> None:
    number = 4
    barrier = threading.Barrier(number)

    def in_thread(_: int) -> list[str]:
        barrier.wait()
        return migrate(empty_database)

    async def in_tasks() -> list[list[str]]:
        return await asyncio.gather(*(migrate_async(empty_database) for _ in range(number)))

    if isinstance(api, SyncApi):
        with ThreadPoolExecutor(number) as executor:
            applied = list(executor.map(in_thread, range(number)))
    else:
        applied = api.run(in_tasks)
    assert sorted(name for names in applied for name in names) == NAMES


def test_a_migration_that_was_changed_after_it_was_applied_is_an_error(
    api: Api, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [*migrations.migrations()]
    changed[1] = migrations.Migration(changed[1].name, changed[1].version, changed[1].up, "0" * 64)
    monkeypatch.setattr(migrations, "migrations", lambda: changed)
    with pytest.raises(MigrationError, match=f"sql/schema/{changed[1].name}.sql"):
        run(api, database)


def test_a_migration_that_fails_leaves_nothing_of_itself_and_the_next_run_applies_it(
    api: Api, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = migrations.migrations()
    broken = migrations.Migration(good[1].name, good[1].version, good[1].up + "\nSELECT 1 / 0;", good[1].checksum)
    monkeypatch.setattr(migrations, "migrations", lambda: [good[0], broken, good[2]])
    with pytest.raises(psycopg.errors.DivisionByZero):
        run(api, empty_database)
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT version FROM conversation_store.schema_migrations").fetchall()
        functions = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE pronamespace = 'conversation_store'::regnamespace"
        ).fetchone()
    assert (rows, functions) == ([(good[0].version,)], (0,))
    monkeypatch.undo()
    assert run(api, empty_database) == NAMES[1:]
    assert_works(empty_database)


def test_a_statement_that_does_not_get_its_lock_fails_and_the_next_run_applies_it(
    api: Api, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = migrations.Migration(
        "9999_new", "9999", "SET LOCAL lock_timeout = '50ms'; ALTER TABLE conversation_store.dialog ADD new text;", "0"
    )
    assert "SET LOCAL lock_timeout = '5s'" in Path(migrations.__file__).read_text()
    monkeypatch.setattr(migrations, "migrations", lambda: [new])
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM conversation_store.dialog")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            run(api, database)
    assert run(api, database) == ["9999_new"]


def test_a_database_that_is_not_in_utf8_is_an_error(api: Api, server: Server) -> None:
    with new_database(server) as conninfo, psycopg.connect(server.conninfo(), autocommit=True) as admin:
        name = conninfo_to_dict(conninfo)["dbname"]
        admin.execute(f'DROP DATABASE "{name}"'.encode())
        admin.execute(
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc".encode()
        )
        with pytest.raises(MigrationError, match="UTF8"):
            run(api, conninfo)


def test_extensions_in_another_schema_are_used_where_they_are(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute('CREATE SCHEMA "My extensions"')
        connection.execute('CREATE EXTENSION pg_trgm SCHEMA "My extensions"')
        connection.execute('CREATE EXTENSION btree_gin SCHEMA "My extensions"')
    assert migrate(empty_database) == NAMES
    assert_works(empty_database)


def test_the_owner_of_a_database_need_not_be_a_superuser(server: Server) -> None:
    with new_database(server) as conninfo, psycopg.connect(server.conninfo(), autocommit=True) as admin:
        name = conninfo_to_dict(conninfo)["dbname"]
        admin.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'".encode())
        try:
            admin.execute(f'ALTER DATABASE "{name}" OWNER TO "{name}"'.encode())
            own = make_conninfo(conninfo, user=name, password="secret")
            assert migrate(own) == NAMES
            assert_works(own)
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            admin.execute(f'DROP ROLE "{name}"'.encode())
