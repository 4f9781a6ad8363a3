"""The documents: their examples and commands run, and their tables are those of the operations."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import sysconfig
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import conversation_store
from conversation_store import AsyncConversationStore, ConversationStore, IssuedToken, check_schema
from conversation_store.models import Row
from operations import FILES, OPERATIONS
from support.commands import call
from support.documents import CHECKOUT, blocks, read
from support.operation import check_all
from support.server import Server, database_url
from support.statements import REPOSITORIES

README = read("README.md")
SQL_README = read("sql/README.md")
CHANGELOG = read("CHANGELOG.md")


def test_the_examples_of_the_readme_run_as_they_stand(database: str) -> None:
    examples = [block for block in blocks(README, "python") if "FastAPI" not in block]  # which test_service runs
    printed: list[str] = []
    assert len(examples) == 5
    for example in examples:
        assert "postgresql://localhost/app" in example
        assert len(example.strip().splitlines()) <= 20
        code = example.replace('"postgresql://localhost/app"', repr(database))
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert printed[2] == "another writer was faster: the conversation is in round 0\n"
    assert printed[3] == "the oldest: u1\nthe first: 1 line 1\n"
    assert printed[4] == f"Lines 50 line 50\n{list(range(31, 51))}\n"
    with ConversationStore(database) as store:
        dialog = store.dialogs.get_by_id("support")
        assert dialog is not None
        assert dialog.name == "Support"
        assert store.conversations.get_list("support", "acme").count == 4
        assert store.conversations.get_list("support", "acme", keywords="您好").count == 1


def of_repository(repository: str) -> list[str]:
    return sorted(operation.method for operation in OPERATIONS if operation.repository == repository)


def test_the_readme_lists_the_methods_of_each_repository() -> None:
    table = README.partition("## What there is")[2].partition("\n\n## ")[0]
    listed: dict[str, list[str]] = {}
    repository = ""
    for cell, methods in re.findall(r"^\| (.*?) \| (.*) \|$", table, re.MULTILINE):
        if found := re.match(r"`store\.(\w+)`", cell):
            repository = found[1]
        if found or cell.startswith("…"):
            listed.setdefault(repository, []).extend(re.findall(r"`(\w+)`", methods))
    assert {name: sorted(methods) for name, methods in listed.items()} == {
        name: of_repository(name) for name in REPOSITORIES
    }


def test_the_readme_names_the_fields_of_what_methods_return() -> None:
    table = README.partition("| | has |\n|---|---|\n")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `(\w+)`.*? \| (.*) \|$", table, re.MULTILINE))
    public: dict[str, Any] = {name: getattr(conversation_store, name) for name in conversation_store.__all__}
    returned = {name: of for name, of in public.items() if isinstance(of, type) and issubclass(of, Row | tuple | list)}
    assert shown.keys() == returned.keys()
    for name in returned:
        of = public[name]
        named = re.findall(r"`(\w+)`", shown[name])
        if issubclass(of, list):
            assert set(named) - {"Entry"} == set(vars(of()))
        elif of is IssuedToken:
            assert named == ["ApiToken", "token"]
        else:
            fields = getattr(of, "_fields", None) or [field.name for field in dataclasses.fields(of)]
            assert sorted(named) == sorted(fields), name


def test_the_readme_lists_what_a_store_has_beside_its_repositories() -> None:
    table = README.partition("## What there is")[2]
    for name in dir(AsyncConversationStore):
        if not name.startswith("_"):
            assert name in ("open", "close") or f"`store.{name}()`" in table, name


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_the_changelog_names_every_method(repository: str) -> None:
    (listed,) = re.findall(rf"^- `store\.{repository}`: (.*?)\.$", CHANGELOG, re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", listed)) == of_repository(repository)


def test_the_map_names_for_each_file_its_methods_and_the_indexes_of_its_header() -> None:
    shown = dict(re.findall(r"^\| [^|]* \| `(\w+/\w+)\.sql` \| (.*) \|$", SQL_README, re.MULTILINE))
    cells = re.findall(r"^\| ([^|]*) \| `(\w+/\w+)\.sql` \|", SQL_README, re.MULTILINE)
    ours = {name: file for name, file in FILES.items() if not name.startswith("ragflow.")}
    assert shown == {
        name.replace(".", "/"): ", ".join(" or ".join(f"`{index}`" for index in group) for group in file.groups)
        or "(no index)"
        for name, file in ours.items()
    }
    called = {file.replace("/", "."): re.findall(r"`([\w.]+)`", cell) for cell, file in cells}
    assert called == {name: [operation.name for operation in OPERATIONS if name in operation.files] for name in ours}


def test_the_files_of_the_import_are_named() -> None:
    for name in FILES:
        folder, _, file = name.partition(".")
        assert folder != "ragflow" or f"`{file}.sql`" in SQL_README


def test_each_index_serves_a_statement(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'conversation_store'").fetchall()
    named = {index for file in FILES.values() for index in file.indexes}
    unnamed = {index for (index,) in rows} - named
    # Of dbmate's table, and of the sums of the migrations.
    assert unnamed == {"schema_migrations_pkey", "schema_checksums_pkey"}


def test_the_commands_for_psql_run_with_values_that_contain_quotes(server: Server, database: str) -> None:
    with ConversationStore(database) as store:
        store.dialogs.save(id="support", tenant_id="acme")
        store.conversations.save(id="O'Brien's session", dialog_id="support", message=["hello"], exp_user_id="O'Brien")
    commands = [block for block in blocks(SQL_README, "sh") if "psql" in block]
    assert len(commands) == 7
    parts = {key: str(value) for key, value in conninfo_to_dict(database).items()}
    environment = {
        **os.environ,
        "PATH": f"{server.bindir}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": parts["host"],
        "PGPORT": parts["port"],
        "PGUSER": parts["user"],
        "PGDATABASE": parts["dbname"],
        "PGPASSWORD": parts.get("password", ""),
        "PGOPTIONS": "-c enable_seqscan=off",
        "PSQLRC": "/dev/null",
    }
    printed: list[str] = []
    for command in commands:
        assert "O'" in command
        assert "Brien" in command
        script = 'psql() { command psql -v ON_ERROR_STOP=1 "$@"; }\n' + command
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=CHECKOUT, env=environment)
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr
        printed.append(done.stdout)
    assert '["hello"]' in printed[0]
    assert printed[1].count('[[1, "hello"]]') == 2
    assert re.search(
        r"""^ +0 \| \["", "", "O'Brien", "'s session", ""\] +\| O'Brien's session""", printed[2], re.MULTILINE
    )
    assert "conversation_tenant_id_dialog_id_exp_user_id_idx" in printed[3]
    assert "strpos(" in printed[4]
    assert re.search(r"0 \| t +\| +1", printed[5])
    assert "COPY 1" in printed[6]
    with ConversationStore(database) as store:
        read = store.conversations.get_by_id("O'Brien's session")
        assert read is not None
        assert read.message == ["hello"]


def test_the_command_for_dbmate_runs(empty_database: str) -> None:
    (command,) = [block for block in blocks(SQL_README, "sh") if block.startswith("dbmate")]
    environment = {
        **os.environ,
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": database_url(empty_database),
    }
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=CHECKOUT, env=environment)
    assert done.returncode == 0, done.stderr
    with ConversationStore(empty_database) as store:
        check_all(OPERATIONS, store)


def test_a_service_role_needs_no_more_than_the_grants_that_are_listed(server: Server, database: str) -> None:
    grants, _ = blocks(SQL_README, "sql")
    role = str(conninfo_to_dict(database)["dbname"]) + "_service"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
        try:
            # Where nobody may call a function who was not granted to.
            admin.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA conversation_store FROM PUBLIC")
            admin.execute(re.sub(r"\bservice\b", role, grants).encode())
            with ConversationStore(make_conninfo(database, user=role, password="secret")) as store:
                check_all(OPERATIONS, store)
            assert check_schema(make_conninfo(database, user=role, password="secret")) == []
            assert call("check", database=make_conninfo(database, user=role, password="secret")).code == 0
            with (
                psycopg.connect(make_conninfo(database, user=role, password="secret")) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute("DELETE FROM conversation_store.schema_migrations")
        finally:
            admin.execute(f"DROP OWNED BY {role}".encode())
            admin.execute(f"DROP ROLE {role}".encode())


def test_the_search_indexes_are_made_again_by_hand_as_they_are_in_their_file(database: str) -> None:
    _, by_hand = blocks(SQL_README, "sql")
    statements = [statement.strip() for statement in by_hand.split(";\n") if statement.strip()]
    file = (CHECKOUT / "sql/schema/0003_search.sql").read_text()
    of_file = re.findall(r"^(?:CREATE|ALTER) INDEX [^;]*", file, re.MULTILINE)
    by_hand_alone = [statement for statement in statements if not statement.startswith("DROP INDEX CONCURRENTLY")]
    assert sorted(statement.replace(" CONCURRENTLY", "") for statement in by_hand_alone) == sorted(of_file)
    with psycopg.connect(database, autocommit=True) as connection:
        for index in ("conversation_message_search_idx", "conversation_search_idx"):
            connection.execute(f"DROP INDEX conversation_store.{index}".encode())
        assert len(check_schema(database)) == 2
        for statement in statements:
            connection.execute(statement.encode())
    assert check_schema(database) == []


def test_the_makefile_explains_every_target() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    shown = subprocess.run(["make", "-s"], capture_output=True, text=True, cwd=CHECKOUT).stdout
    for target in phony.split():
        assert re.search(rf"^  make {target} +\w", shown, re.MULTILINE), target
