"""Migrations that cannot run in a transaction: indexes that are built while others write."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import MigrationError, migrate, migrate_async
from support.both_apis import AsyncApi, SyncApi
from support.schema import NAMES, migration, schema_with

Api = SyncApi | AsyncApi

FILE = migration(
    "-- For lists by name.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS new_idx ON conversation_store.dialog (name);",
    option=" transaction:false",
)
UNIQUE = FILE.replace("CREATE INDEX", "CREATE UNIQUE INDEX")


def run(api: Api, conninfo: str, lock_wait: float = 60) -> list[str]:
    """Migrate by the function of the API."""
    if isinstance(api, SyncApi):
        return migrate(conninfo, lock_wait=lock_wait)
    return api.run(lambda: migrate_async(conninfo, lock_wait=lock_wait))


def is_valid(conninfo: str) -> bool | None:
    """Return whether the new index is valid, or None where there is none."""
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('conversation_store.new_idx')"
        ).fetchone()
    return None if row is None else bool(row[0])


def test_an_index_is_built_outside_of_a_transaction_and_recorded_afterwards(api: Api, empty_database: str) -> None:
    with schema_with(_9999_new=FILE):
        assert run(api, empty_database) == [*NAMES, "9999_new"]
        assert is_valid(empty_database)
        assert run(api, empty_database) == []
    # A snapshot that the migration kept, by the settings of its role, would be waited for for ever.
    with schema_with(_9999_new=FILE, _99999_new=FILE.replace("new_idx", "newer_idx")):
        serializable = make_conninfo(empty_database, options="-c default_transaction_isolation=serializable")
        assert run(api, serializable) == ["99999_new"]


def test_an_index_that_an_interruption_left_invalid_is_built_again(api: Api, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id, name) VALUES ('a', 't', 'x'), ('b', 't', 'x')"
        )
        with schema_with(_9999_new=UNIQUE):
            with pytest.raises(psycopg.errors.UniqueViolation):
                run(api, database)
            assert is_valid(database) is False
            connection.execute("UPDATE conversation_store.dialog SET name = id")
            assert run(api, database) == ["9999_new"]
    assert is_valid(database)


def test_of_two_that_migrate_at_once_one_builds_the_index(api: Api, database: str) -> None:
    with schema_with(_9999_new=FILE), psycopg.connect(database) as writer, ThreadPoolExecutor(2) as executor:
        # The one that builds waits for this transaction; the other waits for the lock meanwhile.
        writer.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('a', 't')")
        runs = [executor.submit(migrate, database, lock_wait=60) for _ in range(2)]
        time.sleep(0.5)
        with psycopg.connect(database) as watcher:
            building = watcher.execute("SELECT count(*) FROM pg_stat_progress_create_index").fetchone()
        assert building == (1,)
        assert is_valid(database) is False
        writer.commit()
        assert sorted(one.result() for one in runs) == [[], ["9999_new"]]
    assert is_valid(database)


def test_an_index_that_an_interrupted_run_still_builds_is_waited_for(api: Api, database: str) -> None:
    with schema_with(_9999_new=FILE), psycopg.connect(database) as writer:
        writer.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('a', 't')")
        # As a run that was killed leaves it: its server process goes on until the index is built.
        orphan = psycopg.connect(database, autocommit=True)
        build = "CREATE INDEX CONCURRENTLY new_idx ON conversation_store.dialog (name)"
        thread = threading.Thread(target=orphan.execute, args=[build])
        thread.start()
        until = time.monotonic() + 10
        while is_valid(database) is None:
            assert time.monotonic() < until
        with pytest.raises(MigrationError, match=r"9999_new got no lock within 0.2 seconds: the process"):
            run(api, database, 0.2)
        threading.Timer(0.5, writer.commit).start()
        assert run(api, database) == ["9999_new"]
        thread.join()
        orphan.close()
    assert is_valid(database)
