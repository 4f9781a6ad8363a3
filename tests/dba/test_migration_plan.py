"""What `migrate --plan` says of locks and of work is what a server does: each statement runs in a transaction there."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store._migration_files import migrations, parse
from conversation_store.dba.migration_locks import Known, Mode, Work, known, locks_of
from conversation_store.dba.migration_plan import pending, plan
from support.commands import call
from support.schema import NAMES, migration, schema_with
from support.server import Server
from support.server import database as new_database

SCHEMA = known(migrations())

# Statements with S for the schema, T for a table that others refer to, and U for one that refers to it.
STATEMENTS = [
    "CREATE TABLE S.new (id text PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS S.new (id text, tenant_id text, CONSTRAINT a FOREIGN KEY (tenant_id, id) REFERENCES T (tenant_id, id))",
    "CREATE TABLE S.new (id text REFERENCES S.schema_migrations (version))",
    "CREATE INDEX new_idx ON T (name)",
    "CREATE UNIQUE INDEX IF NOT EXISTS new_idx ON ONLY T USING btree (name, id, tenant_id) WHERE name <> ''",
    "DROP INDEX S.dialog_tenant_id_id_idx CASCADE",
    "ALTER INDEX S.conversation_search_idx ALTER COLUMN 1 SET STATISTICS 10",
    "ALTER INDEX S.dialog_pkey RENAME TO other",
    "ALTER INDEX S.dialog_pkey SET (fillfactor = 70)",
    "DROP TABLE S.conversation_turn",
    "DROP TABLE S.conversation_turn, S.conversation_message",
    "DROP TABLE IF EXISTS T CASCADE",
    "CREATE FUNCTION S.f() RETURNS text LANGUAGE sql AS $$ SELECT 'a; UPDATE T' $$",
    "CREATE OR REPLACE FUNCTION S.f() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$",
    "DROP FUNCTION S.bitmap_fits()",
    "CREATE SCHEMA other",
    "COMMENT ON TABLE T IS 'where; on'",
    "COMMENT ON COLUMN S.dialog.name IS 'a name'",
    "UPDATE T SET name = 'x'",
    "UPDATE T AS d SET name = 'x' WHERE d.id = 'a'",
    "DELETE FROM ONLY T WHERE id = 'x'",
    "INSERT INTO T (id, tenant_id) VALUES ('seldom', 't')",
    "TRUNCATE S.conversation_turn",
    "ANALYZE S.dialog, S.api_token",
    "GRANT SELECT ON S.dialog TO PUBLIC",
    "CREATE TRIGGER a BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER TABLE T ADD COLUMN new text",
    "ALTER TABLE T ADD new text NOT NULL DEFAULT 'a'",
    "ALTER TABLE T ADD COLUMN IF NOT EXISTS new timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE T ADD COLUMN new uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE T ADD COLUMN new timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE T ADD COLUMN new bigserial",
    "ALTER TABLE T ADD COLUMN new bigint GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE T ADD COLUMN new text GENERATED ALWAYS AS (id || 'x') STORED",
    "ALTER TABLE T ADD COLUMN new integer CHECK (new > 0)",
    "ALTER TABLE T ADD COLUMN new integer CONSTRAINT new_key UNIQUE",
    "ALTER TABLE T ADD COLUMN a text, ADD COLUMN b text DEFAULT 'x,y', ADD CONSTRAINT c CHECK (a <> b) NOT VALID",
    "ALTER TABLE T ADD CONSTRAINT a CHECK (name <> '')",
    "ALTER TABLE T ADD CONSTRAINT a CHECK (name <> '') NOT VALID",
    "ALTER TABLE T ADD CONSTRAINT a_key UNIQUE (name, id, tenant_id)",
    "ALTER TABLE U ADD CONSTRAINT a FOREIGN KEY (tenant_id, dialog_id) REFERENCES T (tenant_id, id)",
    "ALTER TABLE U ADD CONSTRAINT a FOREIGN KEY (tenant_id, dialog_id) REFERENCES T (tenant_id, id) NOT VALID",
    "ALTER TABLE U DROP CONSTRAINT conversation_tenant_id_dialog_id_fkey",
    "ALTER TABLE U DROP COLUMN dialog_id",
    "ALTER TABLE U DROP CONSTRAINT IF EXISTS conversation_source_check",
    "ALTER TABLE T VALIDATE CONSTRAINT later",
    "ALTER TABLE ONLY T DROP COLUMN name",
    "ALTER TABLE T RENAME COLUMN name TO title",
    "ALTER TABLE T RENAME CONSTRAINT dialog_id_check TO other",
    "ALTER TABLE T RENAME TO other",
    "ALTER TABLE T ALTER COLUMN name SET NOT NULL",
    "ALTER TABLE T ALTER name DROP NOT NULL",
    "ALTER TABLE T ALTER COLUMN name SET DEFAULT 'a'",
    "ALTER TABLE T ALTER COLUMN name TYPE varchar(10)",
    "ALTER TABLE T ALTER COLUMN name SET DATA TYPE text",
    "ALTER TABLE T ALTER COLUMN name SET STATISTICS 10",
    "ALTER TABLE T ALTER COLUMN name SET (n_distinct = -0.5)",
    "ALTER TABLE T ALTER COLUMN name SET STORAGE EXTERNAL",
    "ALTER TABLE T SET (fillfactor = 80)",
    "ALTER TABLE T RESET (fillfactor)",
    "ALTER TABLE S.conversation_turn SET UNLOGGED, ALTER round SET DEFAULT 0",
    "ALTER TABLE U DISABLE TRIGGER USER",
    "ALTER TABLE T ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE T ADD CONSTRAINT a_key UNIQUE USING INDEX ready_idx",
    "DO $$ BEGIN IF true THEN ALTER TABLE S.api_token ADD COLUMN new text; UPDATE T SET name = '' WHERE id = ''; END IF; END $$",
]
READY = (
    "ALTER TABLE conversation_store.dialog ADD CONSTRAINT later CHECK (name <> 'never') NOT VALID;"
    "CREATE UNIQUE INDEX ready_idx ON conversation_store.dialog (tenant_id, name, id)"
)


class Truth(NamedTuple):
    """The strongest lock of each table and index, and which tables were read or written whole."""

    modes: dict[str, Mode]
    read: set[str]
    written: set[str]


@pytest.fixture(scope="module")
def conninfo(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(READY.encode())
        yield conninfo


def named(statement: str) -> str:
    names = {"T": "S.dialog", "U": "S.conversation"}
    words = " ".join(names.get(word, word) for word in statement.split(" "))
    return words.replace("S.", "conversation_store.")


RELATIONS = (
    "SELECT c.oid, c.oid::regclass::text, pg_relation_filenode(c.oid), pg_stat_get_xact_numscans(c.oid), c.relkind"
    " FROM pg_class AS c WHERE c.relnamespace = 'conversation_store'::regnamespace AND c.relkind IN ('r', 'i')"
)


def modes(connection: psycopg.Connection[Any], pid: int) -> dict[int, Mode]:
    """Return the strongest lock that a process has of each relation, but for those of readers."""
    by_name = {mode.replace(" ", "").lower() + "lock": mode for mode in Mode}
    found: dict[int, Mode] = {}
    query = "SELECT relation, lower(mode) FROM pg_locks WHERE pid = %s AND granted AND relation IS NOT NULL"
    for relation, name in connection.execute(query, [pid]):
        if name in by_name:
            found[relation] = max(by_name[name], found.get(relation, by_name[name]), key=lambda mode: mode.strength)
    return found


def truth(conninfo: str, statement: str) -> Truth:
    """Run a statement, and read what the server says of it before it is rolled back."""
    with psycopg.connect(conninfo) as connection:
        before = {oid: (name, node) for oid, name, node, _, _ in connection.execute(RELATIONS)}
        connection.execute(statement.encode())
        after = {oid: row for oid, *row in connection.execute(RELATIONS)}
        locks = modes(connection, connection.info.backend_pid)
        connection.rollback()
    name = {oid: name for oid, (name, *_) in after.items()} | {oid: name for oid, (name, _) in before.items()}
    return Truth(
        {name[oid]: mode for oid, mode in locks.items() if oid in name},
        {name[oid] for oid, (_, _, scans, kind) in after.items() if scans and kind == "r" and oid in before},
        {name[oid] for oid, (_, node, _, _) in after.items() if oid in before and before[oid][1] != node},
    )


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_takes_the_locks_and_does_the_work_that_the_plan_says(conninfo: str, statement: str) -> None:
    locks = locks_of(named(statement), SCHEMA)
    actual = truth(conninfo, named(statement))
    said = {lock.relation: lock.mode for lock in locks}
    # What a change of a table does to its indexes is a part of it.
    indexes = {name for name in actual.modes if name.endswith(("_idx", "_pkey", "_key")) and name not in said}
    assert {name: mode for name, mode in actual.modes.items() if name not in indexes} == said
    for lock in locks[:1]:
        if lock.relation in actual.written:
            assert lock.work in (Work.REWRITES, Work.MAY_REWRITE)
        else:
            assert lock.work is not Work.REWRITES
        if lock.work in (Work.NONE, Work.SCANS):
            assert (lock.relation in actual.read) == (lock.work is Work.SCANS)


def test_every_migration_takes_the_locks_that_the_plan_says(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for planned in plan(migrations()):
            for step in planned.steps:
                with connection.transaction():
                    connection.execute(step.statement.encode())
                    locks = modes(connection, connection.info.backend_pid)
                    tables: dict[int, str] = dict(
                        connection.execute(
                            "SELECT c.oid, c.oid::regclass::text FROM pg_class AS c"
                            " WHERE c.relnamespace = to_regnamespace('conversation_store')"
                            " AND (c.relkind = 'r' OR c.oid::regclass::text = ANY(%s))",
                            [[lock.relation for lock in step.locks]],
                        ).fetchall()
                    )
                said = {lock.relation: lock.mode for lock in step.locks}
                actual = {tables[oid]: mode for oid, mode in locks.items() if oid in tables}
                if "DO $$" in step.statement:  # what it does depends on the server
                    assert actual.items() <= said.items()
                else:
                    assert actual == said, step.statement


def test_an_index_that_is_built_concurrently_takes_the_lock_that_the_plan_says(database: str) -> None:
    statement = named("CREATE INDEX CONCURRENTLY IF NOT EXISTS new_idx ON T (name)")
    (lock,) = locks_of(statement, SCHEMA)
    with (
        psycopg.connect(database) as writer,
        psycopg.connect(database, autocommit=True) as builder,
        psycopg.connect(database, autocommit=True) as observer,
    ):
        writer.execute(named("INSERT INTO T (id, tenant_id) VALUES ('a', 't')").encode())
        thread = threading.Thread(target=lambda: builder.execute(statement.encode()))
        thread.start()
        oid = observer.execute("SELECT 'conversation_store.dialog'::regclass::oid").fetchone()
        assert oid
        # It waits for the writer to end, with its lock.
        while oid[0] not in (found := modes(observer, builder.info.backend_pid)):
            time.sleep(0.01)
        writer.rollback()
        thread.join()
    assert found[oid[0]] is lock.mode


def test_who_waits_for_a_lock_is_who_the_plan_says(conninfo: str) -> None:
    def waits(other: psycopg.Connection[Any], mode: str) -> bool:
        try:
            with other.transaction():
                other.execute(f"LOCK TABLE conversation_store.dialog IN {mode} MODE NOWAIT".encode())
        except psycopg.errors.LockNotAvailable:
            return True
        return False

    for mode in Mode:
        if mode is Mode.UNKNOWN:
            continue
        with psycopg.connect(conninfo) as holder, psycopg.connect(conninfo, autocommit=True) as other:
            holder.execute(f"LOCK TABLE conversation_store.dialog IN {mode} MODE".encode())
            said = mode.waiting
            assert waits(other, "ACCESS SHARE") == said.startswith("reads")
            assert waits(other, "ROW EXCLUSIVE") == ("writes wait" in said)


@pytest.mark.parametrize(
    "statement",
    ["VACUUM S.dialog", "ALTER TABLE T FROBNICATE", "DO $$ BEGIN EXECUTE 'DROP TABLE x'; END $$", "CLUSTER T USING a"],
)
def test_what_no_rule_knows_is_said_to_be_unknown(statement: str) -> None:
    assert Mode.UNKNOWN in {lock.mode for lock in locks_of(named(statement), Known())}


def test_a_table_of_the_same_run_keeps_nobody_waiting() -> None:
    files = [
        parse("1_a.sql", migration("CREATE TABLE a.b (id text);").encode()),
        parse("2_c.sql", migration("CREATE INDEX b_idx ON a.b (id); ALTER TABLE a.d ADD x text;").encode()),
    ]
    assert [step.new for planned in plan(files) for step in planned.steps] == [{"a.b"}, {"a.b"}, frozenset()]


def test_the_command_prints_what_sql_readme_shows_and_changes_nothing(database: str) -> None:
    readme = (Path(__file__).parents[2] / "sql" / "README.md").read_text()
    shown = readme.partition("$ conversation-store migrate --plan\n")[2].partition("```")[0]
    statements = [line for line in shown.splitlines() if line.endswith(";")]
    files = {
        "_0005_title": migration(statements[0]),
        "_0006_title_idx": migration(statements[1], option=" transaction:false"),
    }
    with schema_with(**files):
        for _ in range(2):
            assert call("migrate", "--plan", database=database) == (0, f"{shown}\n", "")
        assert [planned.migration.name for planned in pending(database)] == ["0005_title", "0006_title_idx"]


def test_what_locks_no_table_is_said_to(database: str) -> None:
    with schema_with(_0005_function=migration("DROP FUNCTION IF EXISTS conversation_store.old();")):
        shown = call("migrate", "--plan", database=database).stdout
    assert shown.endswith("DROP FUNCTION IF EXISTS conversation_store.old();\n-- locks no table\n\n")


def test_the_plan_of_an_empty_database_has_every_migration(empty_database: str) -> None:
    done = call("migrate", "--plan", database=empty_database)
    assert [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if "one transaction" in line] == NAMES
    assert "conversation_store.dialog: ACCESS EXCLUSIVE, new: nobody waits\n" in done.stdout


def test_where_nothing_is_missing_the_plan_says_so(database: str) -> None:
    done = call("migrate", "--plan", database=database)
    assert done == (0, "", "nothing to do: every migration was applied already\n")


def test_a_changed_file_is_an_error_of_the_plan_too(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE conversation_store.schema_checksums SET sha256 = 'x' WHERE version = '0001'")
    done = call("migrate", "--plan", database=database)
    assert done.code == 1
    assert "it must not be changed afterwards" in done.stderr


def test_check_and_plan_are_not_asked_at_once(database: str) -> None:
    assert call("migrate", "--plan", "--check", database=database).code == 2
