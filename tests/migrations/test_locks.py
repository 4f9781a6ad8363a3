"""Migrations beside other transactions: nobody waits for them for long, and they wait within bounds."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import ConversationStore, MigrationError, migrate, migrate_async, migrations
from support.both_apis import AsyncApi, SyncApi
from support.schema import migration, schema_with

Api = SyncApi | AsyncApi

# The first statement gets its lock, and holds it while the second waits.
ALTER = migration(
    "ALTER TABLE conversation_store.api_token ADD new text; ALTER TABLE conversation_store.dialog ADD new text;"
)


def run(api: Api, conninfo: str, lock_wait: float) -> list[str]:
    """Migrate by the function of the API."""
    if isinstance(api, SyncApi):
        return migrate(conninfo, lock_wait=lock_wait)
    return api.run(lambda: migrate_async(conninfo, lock_wait=lock_wait))


@contextmanager
def reader(conninfo: str, table: str = "dialog") -> Generator[psycopg.Connection]:
    """Give a connection in an open transaction that has read a table."""
    with psycopg.connect(make_conninfo(conninfo, application_name="a report")) as connection:
        connection.execute(f"SELECT FROM conversation_store.{table}".encode())
        yield connection


@contextmanager
def ended_when_waited_for(holder: psycopg.Connection) -> Generator[list[str]]:
    """Give the messages of migrations, and roll a transaction back as soon as one says that it waits for a lock."""
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())
            if "waits for a lock" in messages[-1]:
                holder.rollback()

    logger, handler = logging.getLogger("conversation_store"), Handler()
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


@contextmanager
def authentications(conninfo: str) -> Generator[list[float]]:
    """Authenticate again and again, and give the seconds that each took."""
    took: list[float] = []
    failed: list[Exception] = []
    ended = threading.Event()

    def loop() -> None:
        try:
            while not ended.is_set():
                began = time.monotonic()
                assert store.tokens.authenticate(token) is not None
                took.append(time.monotonic() - began)
        except Exception as error:
            failed.append(error)

    with ConversationStore(conninfo) as store:
        token = store.tokens.issue(tenant_id="t").token
        threads = [threading.Thread(target=loop) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield took
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert failed == []


@pytest.mark.slow
def test_authentications_never_wait_for_more_than_a_second_while_a_long_reader_holds_a_migration_up(
    api: Api, database: str
) -> None:
    with schema_with(_9999_new=ALTER), authentications(database) as took:
        with reader(database, "dialog") as first, reader(database, "api_token") as second:
            threading.Timer(2, first.rollback).start()
            threading.Timer(4, second.rollback).start()
            began = time.monotonic()
            assert run(api, database, 60) == ["9999_new"]
        assert time.monotonic() - began > 3.9
    assert len(took) > 100
    assert max(took) < 1
    assert max(took) > 0.2  # some have waited: the migration did try


def test_many_statements_that_wait_each_do_not_wait_longer_together(api: Api, database: str) -> None:
    tables = ["api_token", "dialog", "conversation", "conversation_message"]
    waited: list[float] = []

    def attempt() -> None:
        with pytest.raises(MigrationError):
            run(api, database, 0)

    def read() -> None:
        with psycopg.connect(database, autocommit=True) as other:
            while not ended.is_set():
                began = time.monotonic()
                other.execute("SELECT FROM conversation_store.api_token")
                waited.append(time.monotonic() - began)

    file = migration("".join(f"LOCK conversation_store.{table};" for table in tables))
    with schema_with(_9999_new=file), ExitStack() as stack:
        holders = [stack.enter_context(reader(database, table)) for table in tables[1:]]
        # Each ends just before the statement that waits for it would give up.
        timers = [threading.Timer(0.3 * n, holder.rollback) for n, holder in enumerate(holders, start=1)]
        ended = threading.Event()
        threads = [*timers, threading.Thread(target=read)]
        for thread in threads:
            thread.start()
        attempt()
        ended.set()
        for thread in threads:
            thread.join()
    assert 0.3 < max(waited) < 0.8


def test_a_migration_that_gets_no_lock_says_who_holds_it_and_leaves_nothing(
    api: Api, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with schema_with(_9999_new=ALTER), reader(database) as holder, caplog.at_level(logging.INFO, "conversation_store"):
        with pytest.raises(MigrationError) as raised:
            run(api, database, 0.7)
        holder_is = (
            f"the process {holder.info.backend_pid} (role '{holder.info.user}', application 'a report', client backend,"
            " idle in transaction, in a transaction since "
        )
        assert str(raised.value).startswith(f"9999_new got no lock within 0.7 seconds: {holder_is}")
        assert str(raised.value).endswith(") holds AccessShareLock on conversation_store.dialog")
        columns = holder.execute(
            "SELECT count(*) FROM pg_attribute WHERE attname = 'new' AND attrelid = 'conversation_store.api_token'::regclass"
        )
        assert columns.fetchone() == (0,)
        with ended_when_waited_for(holder) as messages:
            assert run(api, database, 30) == ["9999_new"]
        assert messages[0] == "applying 9999_new"
        assert messages.count("applying 9999_new") == 1
        assert messages[1].startswith(f"9999_new waits for a lock: {holder_is}")
        assert messages[1].endswith(" seconds")


def test_a_migration_that_is_running_is_waited_for_within_the_bound(api: Api, database: str) -> None:
    with schema_with(_9999_new=ALTER), reader(database) as older, psycopg.connect(database) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [migrations._LOCK])
        with pytest.raises(
            MigrationError, match=rf"the process {other.info.backend_pid} .* holds the lock of migrations"
        ):
            run(api, database, 0.2)
        older.rollback()
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        assert run(api, database, 30) == ["9999_new"]
        timer.join()


@pytest.mark.parametrize("table", ["schema_migrations", "schema_checksums"])
@pytest.mark.parametrize("new", [{}, {"_9999_new": ALTER}])
def test_a_lock_on_the_tables_of_migrations_is_waited_for_within_the_bound(
    api: Api, database: str, table: str, new: dict[str, str]
) -> None:
    with schema_with(**new), psycopg.connect(database) as holder:
        holder.execute(f"LOCK conversation_store.{table} IN ACCESS EXCLUSIVE MODE".encode())
        is_held = f"the process {holder.info.backend_pid} .* holds AccessExclusiveLock on conversation_store.{table}"
        with pytest.raises(MigrationError, match=f"reading the schema got no lock within 0.5 seconds: {is_held}"):
            run(api, database, 0.5)
        with ended_when_waited_for(holder) as messages:
            assert run(api, database, 30) == [name.removeprefix("_") for name in new]
        assert re.match(f"reading the schema waits for a lock: {is_held}; tried again in ", messages[0])


def test_a_migration_gives_its_lock_back_while_it_cannot_read_what_was_applied(api: Api, database: str) -> None:
    """The tables are locked after the first read, and before the migration reads them again."""
    with schema_with(_9999_new=ALTER), reader(database) as first, psycopg.connect(database) as holder:
        failed: list[BaseException] = []

        def attempt() -> None:
            try:
                run(api, database, 1.5)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        time.sleep(0.2)  # it waits for the reader, or pauses
        holder.execute("LOCK conversation_store.schema_migrations IN ACCESS EXCLUSIVE MODE")
        first.rollback()
        with psycopg.connect(database, autocommit=True) as other:
            until = time.monotonic() + 10
            while other.execute("SELECT pg_try_advisory_lock(%s)", [migrations._LOCK]).fetchone() != (True,):
                assert time.monotonic() < until
        thread.join()
        assert f"9999_new got no lock within 1.5 seconds: the process {holder.info.backend_pid}" in str(failed[0])


def test_an_autovacuum_gives_way_in_time_where_the_role_may_say_so(api: Api, database: str) -> None:
    file = migration("CREATE TABLE conversation_store.seen AS SELECT current_setting('deadlock_timeout') AS value;")
    with schema_with(_9999_new=file):
        assert run(api, database, 0) == ["9999_new"]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT value FROM conversation_store.seen").fetchall() == [("100ms",)]


def test_migrations_do_not_wait_for_each_other_in_a_transaction_that_an_index_waits_for(database: str) -> None:
    """A second migrator beside CREATE INDEX CONCURRENTLY, which waits for every snapshot that is older."""
    file = migration(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS new_idx ON conversation_store.dialog (name);",
        option=" transaction:false",
    )

    async def together() -> list[list[str]]:
        return await asyncio.gather(*(migrate_async(database, lock_wait=60) for _ in range(3)))

    options = "-c default_transaction_isolation=serializable"
    with schema_with(_9999_new=file):
        assert sorted(asyncio.run(together())) == [[], [], ["9999_new"]]
        assert migrate(make_conninfo(database, options=options)) == []
