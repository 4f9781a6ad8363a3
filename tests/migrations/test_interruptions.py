"""A migration whose process is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from conversation_store import check_schema, migrate
from support.schema import migration, schema_with

PROGRAM = """
import sys
from pathlib import Path
from conversation_store import _migration_files, migrate
_migration_files.schema_directory = lambda: Path(sys.argv[2])
migrate(sys.argv[1])
"""
HALF = "CREATE TABLE conversation_store.half (id int); SELECT pg_sleep(1);"
WHOLE = f"{HALF} CREATE TABLE conversation_store.whole (id int);"


def kill_when(conninfo: str, folder: Path, query: str) -> None:
    """Migrate in a process, and kill it as soon as a query of the server's activity finds something."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, conninfo, str(folder)])
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            until = time.monotonic() + 20
            while connection.execute(query.encode()).fetchone() == (0,):
                assert time.monotonic() < until
                assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_migration_leaves_nothing_and_a_second_run_finishes(empty_database: str) -> None:
    with schema_with(_9998_whole=migration(WHOLE), _9999_after=migration("SELECT 1;")) as folder:
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        kill_when(empty_database, folder, sleeping)
        assert check_schema(empty_database) == [f"migration {name} is missing" for name in ("9998_whole", "9999_after")]
        assert migrate(empty_database) == ["9998_whole", "9999_after"]
        assert check_schema(empty_database) == []
        with psycopg.connect(empty_database) as connection:
            connection.execute("SELECT FROM conversation_store.half, conversation_store.whole")


@pytest.mark.slow
def test_a_killed_build_of_an_index_is_finished_by_a_second_run(database: str) -> None:
    file = migration(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS new_idx ON conversation_store.dialog (name);",
        option=" transaction:false",
    )
    with schema_with(_9999_new=file) as folder, psycopg.connect(database) as writer:
        writer.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('a', 't')")
        kill_when(
            database, folder, "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
        )
        writer.commit()
        assert migrate(database) == ["9999_new"]
        assert check_schema(database) == []
