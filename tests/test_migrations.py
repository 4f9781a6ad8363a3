"""Migrations: applied once, by us or by dbmate, and what a dump of the result can do."""

from __future__ import annotations

import subprocess
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import ConversationStore, MigrationError, migrate, migrations
from conversation_store._sql_loader import sql_directory
from support.server import Server
from support.server import database as new_database

NAMES = [migration.name for migration in migrations.migrations()]


def shape(conninfo: str) -> list[Any]:
    """Return every column, constraint, index and function of our schema."""
    with psycopg.connect(conninfo) as connection:
        return connection.execute(
            "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull || a.attcollation::regcollation"
            " FROM pg_attribute AS a JOIN pg_class AS c ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'conversation_store'::regnamespace AND c.relname !~ '^schema_' AND a.attnum > 0"
            " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'conversation_store'::regnamespace AND conname !~ '^schema_'"
            " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'conversation_store' AND indexname !~ '^schema_'"
            " UNION ALL SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'conversation_store'::regnamespace"
            " ORDER BY 1, 2"
        ).fetchall()


def works(conninfo: str) -> None:
    """Save, append and search."""
    with ConversationStore(conninfo) as store:
        store.dialogs.save(id="works", tenant_id="t")
        id = store.conversations.save(dialog_id="works", message=[{"content": "检索增强 Été"}]).id
        store.conversations.append_round(id, [{"content": "кино"}])
        for keyword in ("检索", "été", "КИНО"):
            assert store.conversations.get_list("works", "t", keywords=keyword).count == 1
        assert store.conversations.delete_by_id(id) == 1


def test_an_empty_database_is_migrated_once(empty_database: str) -> None:
    assert migrate(empty_database) == NAMES
    assert migrate(empty_database) == []
    works(empty_database)


def test_migrations_run_at_once_are_applied_once(empty_database: str) -> None:
    barrier = threading.Barrier(6)

    def run(_: int) -> list[str]:
        barrier.wait()
        return migrate(empty_database)

    with ThreadPoolExecutor(6) as executor:
        applied = list(executor.map(run, range(6)))
    assert sorted(name for names in applied for name in names) == NAMES


def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [*migrations.migrations()]
    changed[1] = migrations.Migration(changed[1].name, changed[1].version, changed[1].up, "0" * 64)
    monkeypatch.setattr(migrations, "migrations", lambda: changed)
    with pytest.raises(MigrationError, match=f"sql/schema/{changed[1].name}.sql"):
        migrate(database)


def test_a_migration_that_fails_leaves_nothing_of_itself_and_the_next_run_goes_on(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = migrations.migrations()
    broken = migrations.Migration(good[1].name, good[1].version, good[1].up + "\nSELECT 1 / 0;", good[1].checksum)
    monkeypatch.setattr(migrations, "migrations", lambda: [good[0], broken, good[2]])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT version FROM conversation_store.schema_migrations").fetchall()
        functions = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE pronamespace = 'conversation_store'::regnamespace"
        ).fetchone()
    assert (rows, functions) == ([(good[0].version,)], (0,))
    monkeypatch.undo()
    assert migrate(empty_database) == NAMES[1:]
    works(empty_database)


@pytest.fixture
def older(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a database as version 0.1.0 left it, with a token and a conversation."""
    before = [migration for migration in migrations.migrations() if migration.version < "0004"]
    monkeypatch.setattr(migrations, "migrations", lambda: before)
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "INSERT INTO conversation_store.api_token (tenant_id, token_digest, hint) VALUES ('t', sha256('a'), '');"
            "INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', 't');"
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, user_id) VALUES ('c', 't', 'd', 'u')"
        )
    monkeypatch.undo()
    return empty_database


def test_what_was_there_before_works_after_an_upgrade(older: str) -> None:
    assert migrate(older) == ["0004_token_life", "0005_user_index"]
    with ConversationStore(older) as store:
        (token,) = store.tokens.query(tenant_id="t")
        assert (token.use_date, token.expire_date, token.rotate_date, token.revoke_date) == (None, None, None, None)
        assert store.tokens.authenticate("a") is not None
        assert [c.id for c in store.conversations.query(tenant_id="t", user_id="u")] == ["c"]


def test_an_index_that_was_built_by_hand_is_taken_unless_it_is_invalid(older: str) -> None:
    create = next(m.up for m in migrations.migrations() if m.name == "0005_user_index").partition("DO $$")[0]
    with psycopg.connect(older, autocommit=True) as connection:
        connection.execute(create.replace("CREATE INDEX IF", "CREATE INDEX CONCURRENTLY IF").encode())
        name = "conversation_tenant_id_user_id_create_date_id_idx"
        valid = f"UPDATE pg_index SET indisvalid = %s WHERE indexrelid = 'conversation_store.{name}'::regclass"
        connection.execute(valid.encode(), [False])
        with pytest.raises(psycopg.errors.RaiseException, match=f"{name} is invalid: drop it, and migrate again"):
            migrate(older)
        connection.execute(valid.encode(), [True])
    assert migrate(older) == ["0005_user_index"]


def test_a_statement_that_does_not_get_its_lock_gives_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    new = migrations.Migration(
        "9999_new", "9999", "SET LOCAL lock_timeout = '50ms'; ALTER TABLE conversation_store.dialog ADD new text;", "0"
    )
    assert "SET LOCAL lock_timeout = '5s'" in Path(migrations.__file__).read_text()
    monkeypatch.setattr(migrations, "migrations", lambda: [new])
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM conversation_store.dialog")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrate(database)
    assert migrate(database) == ["9999_new"]


def test_a_database_that_is_not_in_utf8_is_refused(server: Server) -> None:
    with new_database(server) as conninfo, psycopg.connect(server.conninfo(), autocommit=True) as admin:
        name = conninfo_to_dict(conninfo)["dbname"]
        admin.execute(f'DROP DATABASE "{name}"'.encode())
        admin.execute(
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc".encode()
        )
        with pytest.raises(MigrationError, match="UTF8"):
            migrate(conninfo)


def test_extensions_are_used_where_they_are(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute('CREATE SCHEMA "My extensions"')
        connection.execute('CREATE EXTENSION pg_trgm SCHEMA "My extensions"')
        connection.execute('CREATE EXTENSION btree_gin SCHEMA "My extensions"')
    assert migrate(empty_database) == NAMES
    works(empty_database)


def test_the_owner_of_a_database_needs_no_superuser(server: Server) -> None:
    with new_database(server) as conninfo, psycopg.connect(server.conninfo(), autocommit=True) as admin:
        name = conninfo_to_dict(conninfo)["dbname"]
        admin.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'".encode())
        try:
            admin.execute(f'ALTER DATABASE "{name}" OWNER TO "{name}"'.encode())
            own = make_conninfo(conninfo, user=name, password="secret")
            assert migrate(own) == NAMES
            works(own)
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            admin.execute(f'DROP ROLE "{name}"'.encode())


def url(conninfo: str) -> str:
    """Return the address as dbmate reads it."""
    parts = conninfo_to_dict(conninfo)
    host, port = str(parts["host"]), parts["port"]
    password = f":{parts['password']}" if parts.get("password") else ""
    if host.startswith("/"):
        return f"postgres://{parts['user']}{password}@/{parts['dbname']}?socket={host}&port={port}&sslmode=disable"
    return f"postgres://{parts['user']}{password}@{host}:{port}/{parts['dbname']}?sslmode=disable"


def dbmate(conninfo: str, *command: str) -> str:
    program = Path(sysconfig.get_path("scripts")) / "dbmate"
    options = ["--no-dump-schema", "--migrations-dir", str(sql_directory() / "schema")]
    options += ["--migrations-table", "conversation_store.schema_migrations", "--url", url(conninfo)]
    done = subprocess.run([program, *options, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dbmate_runs_the_same_folder_and_either_goes_on_where_the_other_stopped(
    database: str, empty_database: str
) -> None:
    assert dbmate(empty_database, "up").count("Applied:") == len(NAMES)
    assert shape(empty_database) == shape(database)
    assert len(shape(database)) > 80
    works(empty_database)
    assert migrate(empty_database) == []  # and takes note of what was applied
    assert f"Applied: {len(NAMES)}" in dbmate(database, "status")
    assert "Applying" not in dbmate(database, "up")
    with psycopg.connect(empty_database) as connection:
        assert len(connection.execute("SELECT 1 FROM conversation_store.schema_checksums").fetchall()) == len(NAMES)


def test_a_dump_restored_elsewhere_searches_and_appends(server: Server, database: str, empty_database: str) -> None:
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
    works(empty_database)
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
