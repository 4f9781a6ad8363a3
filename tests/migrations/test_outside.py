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
from support.pooler import PROGRAM, pooler
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


def test_settings_of_the_role_for_transactions_do_not_end_or_block_a_build(api: Api, database: str) -> None:
    # A snapshot that the migration itself kept would be waited for for ever.
    options = "-c default_transaction_isolation=serializable -c idle_in_transaction_session_timeout=100ms"
    with schema_with(_9999_new=FILE), psycopg.connect(database) as writer:
        writer.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('a', 't')")
        timer = threading.Timer(0.5, writer.commit)
        timer.start()
        assert run(api, make_conninfo(database, options=options)) == ["9999_new"]
        timer.join()
    assert is_valid(database)


def test_an_index_that_is_there_already_stays(api: Api, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE INDEX new_idx ON conversation_store.dialog (name)")
        before = connection.execute("SELECT 'conversation_store.new_idx'::regclass::oid").fetchone()
        with schema_with(_9999_new=FILE):
            assert run(api, database) == ["9999_new"]
        assert connection.execute("SELECT 'conversation_store.new_idx'::regclass::oid").fetchone() == before


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


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
def test_behind_a_pooler_migrations_take_turns_and_leave_no_lock_and_no_setting(api: Api, empty_database: str) -> None:
    with schema_with(_9999_new=FILE), pooler(empty_database, default_pool_size=3) as address:
        with ThreadPoolExecutor(2) as executor:
            runs = [executor.submit(migrate, address, lock_wait=60) for _ in range(2)]
            applied = [name for one in runs for name in one.result()]
        assert sorted(applied) == [*NAMES, "9999_new"]
        assert run(api, address) == []
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as client:
            for _ in range(10):
                assert client.execute("SHOW lock_timeout").fetchone() == ("0",)
                locks = client.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
                assert locks == (0,)
