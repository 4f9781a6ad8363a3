"""What of a schema is not what the migrations make."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from conversation_store.dba.drift import Drift, Key, as_file, drift, expected_objects, objects
from conversation_store.dba.findings import Finding
from conversation_store.dba.reading import bounded
from support.commands import call

SCHEMA = "conversation_store"


@pytest.fixture
def changed(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection to a database that is to be changed."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def found(connection: psycopg.Connection[Any], *statements: str) -> list[Finding]:
    """Return what is wrong after statements."""
    for statement in statements:
        connection.execute(statement.encode())
    return drift(connection).faults


def test_the_file_of_the_schema_is_what_the_migrations_make(changed: psycopg.Connection[Any]) -> None:
    with bounded(changed):
        text = as_file(objects(changed))
    stored = (files("conversation_store.dba") / "schema.json").read_text("utf-8")
    # Written again by: python -m conversation_store.dba.drift URL > src/conversation_store/dba/schema.json
    assert text == stored


def test_a_migrated_database_has_no_drift(changed: psycopg.Connection[Any]) -> None:
    assert drift(changed) == Drift([], [])


# What was changed, what is said of it, and what to do.
FAULTS = [
    ("DROP INDEX T.conversation_search_idx", "index conversation_search_idx on T.conversation is missing", "run: CREATE INDEX CONCURRENTLY conversation_search_idx ON T.conversation USING gin (T.search_keys("),
    ("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'T.conversation_search_idx'::regclass", "index conversation_search_idx on T.conversation is invalid", "run: REINDEX INDEX CONCURRENTLY T.conversation_search_idx;"),
    ("DROP INDEX T.dialog_tenant_id_id_idx; CREATE INDEX dialog_tenant_id_id_idx ON T.dialog (tenant_id)", "index dialog_tenant_id_id_idx on T.dialog is not what the migrations make: ", "sql/schema/0004_indexes.sql has how it should be"),
    ("ALTER TABLE T.dialog DROP CONSTRAINT dialog_name_check", "constraint dialog_name_check on T.dialog is missing", "run: ALTER TABLE T.dialog ADD CONSTRAINT dialog_name_check CHECK ((char_length(name) <= 1000));"),
    ("ALTER TABLE T.dialog DROP CONSTRAINT dialog_name_check; ALTER TABLE T.dialog ADD CONSTRAINT dialog_name_check CHECK (char_length(name) <= 2000)", "constraint dialog_name_check on T.dialog is not what the migrations make: 'CHECK ((char_length(name) <= 1000))' is now 'CHECK ((char_length(name) <= 2000))'", "sql/schema/0001_tables.sql has how it should be"),
    ("ALTER TABLE T.dialog DROP CONSTRAINT dialog_name_check; ALTER TABLE T.dialog ADD CONSTRAINT dialog_name_check CHECK (char_length(name) <= 1000) NOT VALID", "constraint dialog_name_check on T.dialog is invalid", "run: ALTER TABLE T.dialog VALIDATE CONSTRAINT dialog_name_check;"),
    ("ALTER TABLE T.api_token DROP CONSTRAINT api_token_tenant_id_dialog_id_fkey", "constraint api_token_tenant_id_dialog_id_fkey on T.api_token is missing", "run: ALTER TABLE T.api_token ADD CONSTRAINT"),
    ("ALTER TABLE T.dialog ALTER name SET DEFAULT 'x'", "column name on T.dialog is not what the migrations make: 'text' is now \"text DEFAULT 'x'::text\"", "sql/schema/0001_tables.sql"),
    ("ALTER TABLE T.dialog ALTER create_date DROP NOT NULL", "column create_date on T.dialog is not what the migrations make: 'timestamp with time zone NOT NULL DEFAULT now()' is now 'timestamp with time zone DEFAULT now()'", "run: ALTER TABLE T.dialog ALTER COLUMN create_date SET NOT NULL;"),
    ("ALTER TABLE T.conversation DROP COLUMN import_date", "column import_date on T.conversation is missing", "run: ALTER TABLE T.conversation ADD COLUMN import_date timestamp with time zone;"),
    ("DROP TABLE T.conversation_turn", "table T.conversation_turn is missing", "sql/schema/0001_tables.sql has how it should be"),
    ("ALTER TABLE T.api_token RESET (fillfactor)", "table T.api_token is not what the migrations make: 'table with fillfactor=80' is now 'table'", "sql/schema/0001_tables.sql"),
    ("ALTER TABLE T.conversation_message DISABLE TRIGGER ALL", "constraint conversation_message_tenant_id_conversation_id_fkey on T.conversation_message is not what the migrations make: ", "run: ALTER TABLE T.conversation_message ENABLE TRIGGER ALL;"),
    ("ALTER TABLE T.conversation ALTER dialog_id RESET (n_distinct)", "setting n_distinct of dialog_id on T.conversation is missing", "run: ALTER TABLE T.conversation ALTER COLUMN dialog_id SET (n_distinct = -0.01);"),
    ("ALTER TABLE T.conversation ALTER dialog_id SET (n_distinct = 5)", "setting n_distinct of dialog_id on T.conversation is not what the migrations make: '-0.01' is now '5'", "run: ALTER TABLE T.conversation ALTER COLUMN dialog_id SET (n_distinct = -0.01);"),
    ("ALTER INDEX T.conversation_search_idx ALTER COLUMN 1 SET STATISTICS -1", "index conversation_search_idx on T.conversation is not what the migrations make: ", "run: ALTER INDEX T.conversation_search_idx ALTER COLUMN 1 SET STATISTICS 0;"),
    ("ALTER TABLE T.dialog ADD COLUMN extra text NOT NULL", "column extra on T.dialog is not of these migrations: each INSERT fails", "drop its NOT NULL, or give it a default"),
    ("ALTER TABLE T.dialog ADD CONSTRAINT extra CHECK (name <> 'x')", "constraint extra on T.dialog is not of these migrations: it may refuse", "drop it: it is CHECK ((name <> 'x'::text))"),
    ("CREATE UNIQUE INDEX extra ON T.conversation (user_id)", "index extra on T.conversation is not of these migrations: it may refuse", "drop it: it is CREATE UNIQUE INDEX"),
    ("CREATE OR REPLACE FUNCTION T.force_custom_plan(t text) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1e12 AS 'BEGIN RETURN false;END'", "function T.force_custom_plan(t text) is not what the migrations make: its body was changed", "sql/schema/0002_functions.sql has how it should be"),
    ("ALTER FUNCTION T.force_custom_plan COST 1", "function T.force_custom_plan(t text) is not what the migrations make: ", "sql/schema/0002_functions.sql"),
    ("DROP FUNCTION T.bitmap_fits", "function T.bitmap_fits() is missing", "sql/schema/0003_search.sql has how it should be"),
    ("UPDATE T.schema_checksums SET sha256 = '0' WHERE version = '0002'", "migration 0002_functions is not what was applied: its file was changed afterwards", "a new migration"),
    ("DELETE FROM T.schema_migrations WHERE version = '0003'", "migration 0003_search is missing", "run: conversation-store migrate"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message", "advice"), FAULTS, ids=[change[:70] for change, _, _ in FAULTS])
def test_a_fault_is_told_once_with_what_to_do(
    changed: psycopg.Connection[Any], change: str, message: str, advice: str
) -> None:
    message, advice = message.replace("T.", f"{SCHEMA}."), advice.replace("T.", f"{SCHEMA}.")
    (fault,) = found(changed, *change.replace("T.", f"{SCHEMA}.").split("; "))
    assert fault.message.startswith(message)
    assert advice in fault.advice


def test_what_is_advised_mends_what_is_missing(changed: psycopg.Connection[Any], database: str) -> None:
    faults = found(
        changed,
        f"DROP INDEX {SCHEMA}.conversation_search_idx",
        f"ALTER TABLE {SCHEMA}.dialog DROP CONSTRAINT dialog_name_check",
        f"ALTER TABLE {SCHEMA}.dialog ALTER create_date DROP NOT NULL",
        f"ALTER TABLE {SCHEMA}.conversation DROP COLUMN import_date",
    )
    assert len(faults) == 4
    # The command tells the same, and the statements that cannot run.
    lines = call("migrate", "--check", database=database).stdout.splitlines()
    assert {line for line in lines if not line.startswith("the statement")} == {fault.message for fault in faults}
    for fault in faults:
        for statement in fault.advice.removeprefix("run: ").split("; "):
            changed.execute(statement.encode())
    assert drift(changed) == Drift([], [])


def test_a_column_that_was_renamed_is_asked_for(changed: psycopg.Connection[Any]) -> None:
    fault, *_ = found(changed, f"ALTER TABLE {SCHEMA}.conversation RENAME COLUMN thumb_up TO thumbs_up")
    assert fault.advice.startswith("was it renamed to thumbs_up? if not, run: ALTER TABLE")


def test_what_others_have_added_is_told_and_is_no_fault(changed: psycopg.Connection[Any], database: str) -> None:
    for statement in (
        "CREATE INDEX own_idx ON T.dialog (name)",
        "CREATE TABLE T.own (id integer PRIMARY KEY)",
        "CREATE FUNCTION T.own() RETURNS integer LANGUAGE sql RETURN 1",
        "ALTER TABLE T.dialog ADD COLUMN own text",
        "ALTER TABLE T.dialog ADD COLUMN given integer NOT NULL DEFAULT 1",
        "ALTER TABLE T.dialog ADD COLUMN number bigint NOT NULL GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE T.dialog ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE T.conversation SET (autovacuum_vacuum_scale_factor = 0.02)",
    ):
        changed.execute(statement.replace("T.", f"{SCHEMA}.").encode())
    done = call("check", database=database)
    assert (done.code, done.stdout.endswith(" files and the schema: ok\n")) == (0, True)
    assert set(done.stderr.splitlines()) >= {
        f"note: index own_idx on {SCHEMA}.dialog is not of these migrations",
        f"note: table {SCHEMA}.own is not of these migrations",
        f"note: function {SCHEMA}.own() is not of these migrations",
        f"note: column own on {SCHEMA}.dialog is not of these migrations",
        f"note: column given on {SCHEMA}.dialog is not of these migrations",
        f"note: column number on {SCHEMA}.dialog is not of these migrations",
        f"note: setting row-level security on {SCHEMA}.dialog is not of these migrations",
        f"note: setting autovacuum_vacuum_scale_factor on {SCHEMA}.conversation is not of these migrations",
    }


def test_a_newer_schema_is_not_compared(changed: psycopg.Connection[Any]) -> None:
    changed.execute(f"INSERT INTO {SCHEMA}.schema_migrations (version) VALUES ('9998')")
    changed.execute(f"DROP INDEX {SCHEMA}.dialog_tenant_id_id_idx")
    result = drift(changed)
    assert [fault.message for fault in result.faults] == [
        f"index dialog_tenant_id_id_idx on {SCHEMA}.dialog is missing"
    ]
    assert result.notes == ["objects are not compared: the migrations are not those of this version"]


def test_where_tables_are_distributed_the_foreign_key_of_tokens_is_not_missed(changed: psycopg.Connection[Any]) -> None:
    # The catalogue of Citus, as far as it is asked.
    changed.execute("SET allow_system_table_mods = on")
    changed.execute(
        f"ALTER TABLE {SCHEMA}.api_token DROP CONSTRAINT api_token_tenant_id_dialog_id_fkey;"
        "CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod char);"
        "INSERT INTO pg_catalog.pg_dist_partition SELECT c.oid, 'h' FROM pg_class AS c"
        f" WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^(dialog|conversation)'"
    )
    result = drift(changed)
    assert result.faults == []
    assert result.notes == [
        f"constraint api_token_tenant_id_dialog_id_fkey on {SCHEMA}.api_token is missing, as it is where tables are distributed"
    ]


def test_nothing_is_changed_and_no_lock_is_left(changed: psycopg.Connection[Any], database: str) -> None:
    drift(changed)
    assert changed.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert Key("table", "", "dialog") in expected_objects()
