"""The schema beside `migrate`: applied by dbmate, restored from a dump, and with explicit names."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import psycopg

from conversation_store import ConversationStore, migrate
from conversation_store._sql_loader import sql_directory
from support.schema import NAMES, assert_works, shape
from support.server import Server, database_url


def dbmate(conninfo: str, *command: str) -> str:
    program = Path(sysconfig.get_path("scripts")) / "dbmate"
    options = ["--no-dump-schema", "--migrations-dir", str(sql_directory() / "schema")]
    options += ["--migrations-table", "conversation_store.schema_migrations", "--url", database_url(conninfo)]
    done = subprocess.run([program, *options, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dbmate_applies_the_same_files_and_records_them_in_the_same_table(database: str, empty_database: str) -> None:
    assert dbmate(empty_database, "up").count("Applied:") == len(NAMES)
    assert shape(empty_database) == shape(database)
    assert len(shape(database)) > 80
    assert_works(empty_database)
    assert migrate(empty_database) == []  # and records the checksums of what was applied
    assert f"Applied: {len(NAMES)}" in dbmate(database, "status")
    assert "Applying" not in dbmate(database, "up")
    with psycopg.connect(empty_database) as connection:
        assert len(connection.execute("SELECT 1 FROM conversation_store.schema_checksums").fetchall()) == len(NAMES)


def test_what_is_long_is_compressed_by_lz4_where_the_server_has_it(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchone()
        columns = connection.execute(
            "SELECT c.relname::text, a.attname::text FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'conversation_store'::regnamespace AND a.attcompression = 'l' ORDER BY c.relname"
        ).fetchall()
    long = [("conversation", "dsl"), ("conversation_message", "body"), ("conversation_reference", "body")]
    assert columns == (long if row == (True,) else [])


def test_a_restored_dump_holds_the_same_and_is_searched_and_appended_to(
    server: Server, database: str, empty_database: str
) -> None:
    with ConversationStore(database) as store:
        store.dialogs.save(id="d", tenant_id="t")
        id = store.conversations.save(dialog_id="d", message=[{"content": "检索增强"}], dsl={"z": 1, "a": 2}).id
        before = store.conversations.get_by_id(id)
    dump = subprocess.run([server.bindir / "pg_dump", "-d", database], capture_output=True, check=True).stdout
    # pg_dump may be newer than a caller's server, and set what that does not know.
    dump = dump.replace(b"SET transaction_timeout = 0;\n", b"")
    restore: list[str | Path] = [server.bindir / "psql", "-d", empty_database, "-qX", "-v", "ON_ERROR_STOP=1"]
    restored = subprocess.run(restore, input=dump, capture_output=True)
    assert restored.returncode == 0, restored.stderr.decode()
    assert shape(empty_database) == shape(database)
    assert_works(empty_database)
    with ConversationStore(empty_database) as store:
        assert store.conversations.get_by_id(id) == before
        assert store.conversations.append_round(id, [{"content": "再见"}]) == 1
        for keyword in ("检索", "再见"):
            assert store.conversations.get_list("d", "t", keywords=keyword).count == 1
    assert migrate(empty_database) == []


def test_every_constraint_and_index_has_an_explicit_name_in_the_files(database: str) -> None:
    files = "".join(file.read_text() for file in sorted((Path(str(sql_directory())) / "schema").glob("*.sql")))
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'conversation_store'::regnamespace AND contype <> 'n'"
            " AND conname !~ '^schema_' UNION SELECT indexname FROM pg_indexes"
            " WHERE schemaname = 'conversation_store' AND indexname !~ '^schema_'"
        ).fetchall()
    assert rows
    assert [name for (name,) in rows if name not in files] == []
