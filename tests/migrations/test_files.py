"""The files of the schema: what a file must have, and the names that it creates."""

from __future__ import annotations

import psycopg
import pytest

from conversation_store import MigrationError
from conversation_store._migration_files import migrations, parse
from support.schema import NAMES, migration

BAD = [
    ("0001_a.sql", "SELECT 1;", "needs '-- migrate:up'"),
    ("0001_a.sql", "-- migrate:up transaction:maybe\nSELECT 1;\n-- migrate:down\n", "needs '-- migrate:up'"),
    ("a.sql", migration("SELECT 1;"), "a number and _ before its name"),
    ("0001_a.sql", migration("SELECT 1;\r"), "carriage returns"),
    ("0001_a.sql", migration("SELECT 'a;"), "' is never closed"),
    ("0001_a.sql", migration("SELECT 1; commit; SELECT 2;"), "must not begin or end a transaction"),
    ("0001_a.sql", migration("/* ; */ Begin;"), "must not begin or end a transaction"),
    *(
        (
            "0001_a.sql",
            migration(text, option=" transaction:false"),
            "with transaction:false it must have one statement",
        )
        for text in (
            "",
            "ALTER TABLE t ADD a int;",
            "CREATE INDEX i ON t (a);",
            "CREATE INDEX CONCURRENTLY i ON t (a);",
            "DROP INDEX CONCURRENTLY i;",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a); CREATE INDEX CONCURRENTLY IF NOT EXISTS j ON t (a);",
        )
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_a_bad_file_is_an_error_that_names_it_and_what_it_needs(name: str, text: str, message: str) -> None:
    with pytest.raises(MigrationError, match=f"^sql/schema/{name}: .*{message}"):
        parse(name, text.encode())


@pytest.mark.parametrize(
    ("option", "expected"), [("", True), (" transaction:true", True), (" transaction:false", False)]
)
def test_an_option_says_whether_a_file_is_one_transaction(option: str, expected: bool) -> None:
    text = migration("-- why\ncreate unique index concurrently\n if not exists i on s.t (a);", option=option)
    assert parse("0001_a.sql", text.encode()).in_transaction is expected


def test_the_files_name_every_index_and_constraint_that_they_create(database: str) -> None:
    named: set[str] = set()
    for file in migrations():
        named = (named - file.dropped) | file.created.keys()
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'conversation_store'::regnamespace AND contype <> 'n'"
            " UNION SELECT indexname FROM pg_indexes WHERE schemaname = 'conversation_store'"
        ).fetchall()
    assert named == {name for (name,) in rows if not name.startswith("schema_")}
    assert [file.name for file in migrations()] == NAMES


def test_names_that_are_dropped_or_renamed_again_are_not_expected() -> None:
    text = migration(
        """
        CREATE TABLE s.t (a int CONSTRAINT a_check CHECK (a > 0), CONSTRAINT t_pkey PRIMARY KEY (a));
        CREATE INDEX i ON s.t (a); CREATE UNIQUE INDEX IF NOT EXISTS j ON ONLY s.t USING btree (a);
        DROP INDEX conversation_store.i;
        ALTER TABLE s.t RENAME CONSTRAINT t_pkey TO t_key;
        ALTER TABLE s.t DROP CONSTRAINT a_check, ADD CONSTRAINT b_check CHECK (a > 1) NOT VALID;
        ALTER TABLE s.t VALIDATE CONSTRAINT b_check;
        ALTER TABLE s.u DROP CONSTRAINT IF EXISTS old_check;
        DROP INDEX CONCURRENTLY IF EXISTS conversation_store.old_idx;
        """
    )
    file = parse("0001_a.sql", text.encode())
    assert file.created == {
        "j": "index j on s.t",
        "t_key": "constraint t_key on s.t",
        "b_check": "constraint b_check on s.t",
    }
    assert file.dropped == {"old_check", "old_idx"}
