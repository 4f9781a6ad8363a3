"""`check_schema` and `check_schema_async`: what is missing, changed or invalid."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import InvalidArgument, MigrationError, check_schema, check_schema_async
from conversation_store._sql_loader import load_all
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.pooler import PROGRAM, pooler
from support.schema import NAMES, migration, schema_with

Api = SyncApi | AsyncApi


def run(api: Api, conninfo: str) -> list[str]:
    """Check by the function of the API."""
    return check_schema(conninfo) if isinstance(api, SyncApi) else api.run(lambda: check_schema_async(conninfo))


def change(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_migrated_database_has_no_problems(api: Api, database: str) -> None:
    assert run(api, database) == []
    assert call("migrate", "--check", database=database) == (0, "ok\n", "")


def test_an_empty_database_lacks_every_migration(api: Api, empty_database: str) -> None:
    assert run(api, empty_database) == [f"migration {name} is missing" for name in NAMES]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regnamespace('conversation_store')").fetchone() == (None,)


INDEX = "conversation_tenant_id_create_date_idx"
BROKEN: list[tuple[Sequence[str], list[str]]] = [
    ([f"DROP INDEX conversation_store.{INDEX}"], [f"index {INDEX} on conversation_store.conversation is missing"]),
    (
        [f"UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'conversation_store.{INDEX}'::regclass"],
        [f"index {INDEX} on conversation_store.conversation is invalid"],
    ),
    (
        ["ALTER TABLE conversation_store.conversation DROP CONSTRAINT conversation_id_check"],
        ["constraint conversation_id_check on conversation_store.conversation is missing"],
    ),
    (
        [
            "ALTER TABLE conversation_store.conversation DROP CONSTRAINT conversation_id_check",
            "ALTER TABLE conversation_store.conversation ADD CONSTRAINT conversation_id_check CHECK (id <> '') NOT VALID",
        ],
        ["constraint conversation_id_check on conversation_store.conversation is invalid"],
    ),
    (
        ["UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'conversation_store.api_token_pkey'::regclass"],
        ["constraint api_token_pkey on conversation_store.api_token is invalid"],
    ),
    (
        ["DELETE FROM conversation_store.schema_migrations WHERE version = '0003'"],
        [f"migration {NAMES[2]} is missing"],
    ),
    (
        ["UPDATE conversation_store.schema_checksums SET sha256 = '0' WHERE version = '0002'"],
        [f"migration {NAMES[1]} is not what was applied: its file was changed afterwards"],
    ),
    (["DROP TABLE conversation_store.schema_checksums"], []),  # as dbmate leaves it
    (
        [
            f"DROP INDEX conversation_store.{INDEX}",
            f"CREATE INDEX {INDEX} ON conversation_store.dialog (tenant_id)",
        ],
        [f"index {INDEX} on conversation_store.conversation is missing"],
    ),
    (
        ["ALTER TABLE conversation_store.conversation_turn RENAME COLUMN digest TO other"],
        [
            f"the statement {name}.sql cannot run: {words}"
            for name, words in (
                ("conversation/append_turn", 'column "digest" of relation "conversation_turn" does not exist'),
                ("conversation_turn/get", "column t.digest does not exist"),
            )
        ],
    ),
]


@pytest.mark.parametrize(("statements", "expected"), BROKEN)
def test_what_is_broken_is_named(api: Api, database: str, statements: Sequence[str], expected: list[str]) -> None:
    change(database, *statements)
    assert run(api, database) == expected
    done = call("migrate", "--check", database=database)
    assert (done.code, done.stderr) == (1 if expected else 0, "")
    lines = done.stdout.splitlines()
    assert lines[: len(expected)] == expected
    # The command tells too what is there and not what it was; see tests/dba/test_drift.py.
    more = lines[len(expected) :] if expected else []
    others = ("is not what the migrations make", "is missing", "is not of these migrations")
    assert all(any(words in line for words in others) for line in more), more
    assert expected or lines == ["ok"]


def test_what_a_later_migration_drops_is_not_expected(api: Api, database: str) -> None:
    dropping = migration(f"DROP INDEX CONCURRENTLY IF EXISTS conversation_store.{INDEX};", option=" transaction:false")
    with schema_with(_9999_drop=dropping):
        assert run(api, database) == ["migration 9999_drop is missing"]
        assert call("migrate", database=database).stdout == "9999_drop\n"
        assert run(api, database) == []
    assert run(api, database) == [f"index {INDEX} on conversation_store.conversation is missing"]


def test_a_malformed_connection_string_is_refused(api: Api) -> None:
    with pytest.raises(InvalidArgument, match="conninfo must be"):
        run(api, "mysql://u:p@h/d")


def test_a_function_that_is_missing_is_named_with_the_statements_that_need_it(api: Api, database: str) -> None:
    change(database, "ALTER FUNCTION conversation_store.force_custom_plan(text) RENAME TO other")
    found = run(api, database)
    custom = [query.path for query in load_all().values() if query.plan == "custom" and "ragflow" not in query.path]
    words = "function conversation_store.force_custom_plan(text) does not exist"
    assert found == [f"the statement {path.removeprefix('sql/')} cannot run: {words}" for path in custom]
    assert len(found) > 3


def test_a_column_that_is_missing_is_named_with_the_statements_that_need_it(api: Api, database: str) -> None:
    change(database, "ALTER TABLE conversation_store.api_token DROP COLUMN predecessor_id")
    found = run(api, database)
    assert "the statement api_token/authenticate.sql cannot run: column t.predecessor_id does not exist" in found
    assert len(found) > 3
    assert all(line.startswith("the statement api_token/") and "predecessor_id" in line for line in found)


def test_a_newer_schema_is_said_and_is_no_problem(api: Api, database: str, caplog: pytest.LogCaptureFixture) -> None:
    change(database, "INSERT INTO conversation_store.schema_migrations (version) VALUES ('9998')")
    assert run(api, database) == []
    said = "migration 9998 was applied, which this package does not know: the schema is newer"
    assert [record.getMessage() for record in caplog.records] == [said]
    done = call("migrate", "--check", database=database)
    assert done == (0, "ok\n", f"warning: {said}\n")


def test_the_check_leaves_nothing_and_reads_only(api: Api, database: str) -> None:
    assert run(api, make_conninfo(database, options="-c default_transaction_read_only=on")) == []
    with psycopg.connect(database) as connection:
        connection.execute(
            "LOCK conversation_store.schema_migrations, conversation_store.dialog IN SHARE UPDATE EXCLUSIVE MODE"
        )
        assert run(api, database) == []  # beside an autovacuum


@pytest.mark.parametrize("table", ["schema_migrations", "schema_checksums", "conversation_turn"])
def test_a_lock_that_is_held_ends_the_check_soon_with_the_holder(api: Api, database: str, table: str) -> None:
    with psycopg.connect(database) as older, psycopg.connect(database) as holder:
        older.execute("SELECT FROM conversation_store.dialog")
        holder.execute(f"LOCK conversation_store.{table} IN ACCESS EXCLUSIVE MODE".encode())
        began = time.monotonic()
        with pytest.raises(MigrationError) as raised:
            run(api, database)
        assert time.monotonic() - began < 4
        said = str(raised.value)
        assert said.startswith(
            f"checking the schema got no lock within 1.5 seconds: the process {holder.info.backend_pid} ("
        )
        assert said.endswith(f" holds AccessExclusiveLock on conversation_store.{table}")
        done = call("migrate", "--check", database=database)
        assert (done.code, done.stdout) == (1, "")
        assert f"the process {holder.info.backend_pid} (" in done.stderr


def test_a_lock_that_is_given_back_in_time_does_not_end_the_check(api: Api, database: str) -> None:
    with psycopg.connect(database) as holder:
        holder.execute("LOCK conversation_store.schema_migrations IN ACCESS EXCLUSIVE MODE")
        timer = threading.Timer(0.6, holder.rollback)
        timer.start()
        assert run(api, database) == []
        timer.join()


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
def test_behind_a_pooler_checks_do_not_meet_and_leave_nothing(api: Api, database: str) -> None:
    with pooler(database) as conninfo:
        with ThreadPoolExecutor(4) as executor:
            assert list(executor.map(check_schema, [conninfo] * 8)) == [[]] * 8
        assert run(api, conninfo) == []
        with psycopg.connect(conninfo, autocommit=True) as connection:
            left = connection.execute("SELECT count(*), current_setting('lock_timeout') FROM pg_prepared_statements")
            assert left.fetchone() == (0, "0")
