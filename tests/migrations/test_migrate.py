"""`migrate` and `migrate_async`: each migration is applied once and as a whole, and to a database in UTF-8 only."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import InvalidArgument, InvalidArgumentType, MigrationError, migrate, migrate_async
from conversation_store._sql_loader import sql_directory
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.schema import NAMES, assert_works, migration, schema_with, shape
from support.server import Server
from support.server import database as new_database

Api = SyncApi | AsyncApi


def run(api: Api, conninfo: str) -> list[str]:
    """Migrate by the function of the API."""
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


def test_a_migration_that_was_changed_after_it_was_applied_is_an_error(api: Api, database: str) -> None:
    with schema_with(**{NAMES[1]: migration("SELECT 1;")}), pytest.raises(MigrationError, match=f"{NAMES[1]}.sql"):
        run(api, database)


def test_a_migration_that_fails_leaves_nothing_of_itself_and_the_next_run_applies_it(
    api: Api, empty_database: str
) -> None:
    good = (sql_directory() / "schema" / f"{NAMES[1]}.sql").read_text()
    with (
        schema_with(**{NAMES[1]: good.replace("-- migrate:down", "SELECT 1 / 0;\n-- migrate:down")}),
        pytest.raises(psycopg.errors.DivisionByZero),
    ):
        run(api, empty_database)
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT version FROM conversation_store.schema_migrations").fetchall()
        functions = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE pronamespace = 'conversation_store'::regnamespace"
        ).fetchone()
    assert (rows, functions) == ([(NAMES[0].partition("_")[0],)], (0,))
    assert run(api, empty_database) == NAMES[1:]
    assert_works(empty_database)


def test_an_up_to_date_database_is_only_read(api: Api, database: str) -> None:
    read_only = make_conninfo(database, options="-c default_transaction_read_only=on")
    with psycopg.connect(database) as connection:
        # Any lock but that of a plain read would wait for this one.
        connection.execute("LOCK conversation_store.schema_migrations IN EXCLUSIVE MODE")
        assert run(api, read_only) == []


def test_what_is_missing_although_all_was_applied_is_a_warning(
    api: Api, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP INDEX conversation_store.conversation_tenant_id_create_date_idx")
    assert run(api, database) == []
    missing = "index conversation_tenant_id_create_date_idx on conversation_store.conversation is missing"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", missing)]
    with psycopg.connect(database) as connection:
        connection.execute("LOCK conversation_store.dialog IN ACCESS EXCLUSIVE MODE")
        assert run(api, database) == []
        assert caplog.records[-1].getMessage().startswith("checking the schema got no lock within ")
        done = call("migrate", "--lock-wait", "0", database=database)
    assert done.code == 0
    assert done.stderr.startswith("warning: checking the schema got no lock within 0 seconds: the process ")
    assert done.stderr.endswith("\nnothing to do: every migration was applied already\n")


def test_settings_of_the_role_for_timeouts_and_transactions_change_nothing(api: Api, empty_database: str) -> None:
    options = (
        "-c statement_timeout=200ms -c default_transaction_read_only=on -c default_transaction_isolation=serializable"
    )
    with schema_with(_9999_slow=migration("SELECT pg_sleep(0.3);")):
        assert run(api, make_conninfo(empty_database, options=options)) == [*NAMES, "9999_slow"]


@pytest.mark.parametrize(
    ("conninfo", "lock_wait", "error", "message"),
    [
        ("postgresql://u:a@b@h/d", 1, InvalidArgument, "conninfo must be"),
        (b"host=h", 1, InvalidArgumentType, "conninfo must be"),
        ("", -1, InvalidArgument, "lock_wait must be at least 0"),
        ("", "1", InvalidArgumentType, "lock_wait must be a float"),
    ],
)
def test_arguments_are_checked_before_a_connection_is_made(
    api: Api, conninfo: Any, lock_wait: Any, error: type[Exception], message: str
) -> None:
    call: Any = migrate if isinstance(api, SyncApi) else migrate_async
    with pytest.raises(error, match=message):
        api.run(lambda: call(conninfo, lock_wait=lock_wait))


def test_a_database_that_is_not_in_utf8_is_an_error(api: Api, server: Server) -> None:
    with new_database(server) as conninfo, psycopg.connect(server.conninfo(), autocommit=True) as admin:
        name = conninfo_to_dict(conninfo)["dbname"]
        admin.execute(f'DROP DATABASE "{name}"'.encode())
        admin.execute(
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc".encode()
        )
        with pytest.raises(MigrationError, match="UTF8"):
            run(api, conninfo)


def test_no_extension_is_needed(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT extname FROM pg_extension").fetchall() == [("plpgsql",)]


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
