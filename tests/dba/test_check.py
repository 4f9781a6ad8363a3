"""`conversation-store check`: each fault that it is for, put into a file or a database, is found where it stands."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from conversation_store._sql_loader import load
from conversation_store.dba.check import check_file, check_files
from conversation_store.dba.contract import Contract, load_contracts
from conversation_store.dba.file_check import source_position
from conversation_store.dba.files import read
from conversation_store.dba.findings import Finding
from conversation_store.dba.own_contracts import FILES
from conversation_store.dba.server import Server
from support.commands import call
from support.service_files import NOTE, NOTE_FILES, folder_of


@pytest.fixture(scope="module")
def checked(db: str) -> Iterator[Server]:
    """Give a server whose catalogue is read once."""
    with psycopg.connect(db, autocommit=True) as connection:
        yield Server(connection)


def edited(server: Server, name: str, *edits: tuple[str, str], contract: Contract | None = None) -> list[Finding]:
    """Return what is found in a file of ours after edits."""
    source = load(name).source
    for old, new in edits:
        assert old in source
        source = source.replace(old, new, 1)
    path = f"copy/{name.replace('.', '/')}.sql"
    contracts = {**FILES, name: contract or FILES[name]}
    return list(check_file(server, read(source.encode(), path, name), contracts).findings)


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    """Return of each finding its rule, its message, and the line with what stands at its column."""
    return [(f.rule, f.message, f.excerpt[f.column - 1 :]) for f in findings]


def test_our_files_are_what_python_expects(db: str) -> None:
    done = call("check", database=db)
    assert done == (0, "checked 77 files and the schema: ok\n", "")


# -- faults in a file ------------------------------------------------------------------------------

NAMES = "conversation.get_names"
A_SECOND = "LIMIT :limit::bigint;\nSELECT 1;\n"


def test_an_unknown_column_is_found_with_the_one_that_is_meant(checked: Server) -> None:
    (found,) = edited(checked, NAMES, ("    c.name\n", "    c.nme AS name\n"))
    line = 1 + load(NAMES).source.splitlines().index("    c.name")
    assert (found.rule, found.line, found.column) == ("statement", line, 5)
    assert str(found) == (
        f"copy/conversation/get_names.sql:{line}:5: column c.nme does not exist (statement)\n"
        f"  {line} |     c.nme AS name\n"
        f"  {' ' * len(str(line))}       ^\n"
        '  = Perhaps you meant to reference the column "c.name".'
    )


def test_a_position_behind_parameters_is_that_of_the_source(checked: Server) -> None:
    # The text that the server has read is shorter there: `$1` stands for `:tenant_id`.
    (found,) = edited(checked, NAMES, ("c.create_date DESC", "c.creation_date DESC"))
    assert found.excerpt[found.column - 1 :] == "c.creation_date DESC,"
    assert found.advice == 'Perhaps you meant to reference the column "c.create_date".'


def test_every_position_of_a_compiled_text_is_found_again() -> None:
    query = load("conversation.get_list")
    text = query.text.decode()
    for word in ("CASE", "ORDER BY", "LIMIT", "s.revision"):
        assert query.source[source_position(query, text.rindex(word)) or 0 :].startswith(word)
    for number, name in enumerate(query.parameters, start=1):
        found = source_position(query, text.index(f"${number}::"))
        assert query.source[found or 0 :].startswith(f":{name}::")


@pytest.mark.parametrize(
    ("old", "new", "message", "advice"),
    [
        (
            "conversation_store.conversation AS",
            "conversation_store.conversations AS",
            'relation "conversation_store.conversations" does not exist',
            "did you mean conversation_store.conversation?",
        ),
        (
            "    c.id,\n",
            "    conversation_store.fld(c.id) AS id,\n",
            "function conversation_store.fld(text) does not exist",
            "argument types",
        ),
        ("= :dialog_id::text", "= :dialog_id::bigint", "operator does not exist: text = bigint", "argument types"),
    ],
)
def test_a_name_or_a_type_that_the_server_does_not_know_is_found(
    checked: Server, old: str, new: str, message: str, advice: str
) -> None:
    (found,) = edited(checked, NAMES, (old, new))
    assert (found.rule, found.message) == ("statement", message)
    assert advice in found.advice


def test_a_column_that_is_named_otherwise_is_found_with_the_field_that_is_meant(checked: Server) -> None:
    found = edited(checked, "dialog.get_by_id", ("d.update_date\n", "d.update_date AS updated_date\n"))
    assert told(found) == [
        ("column", "the column updated_date is no field of Dialog", "updated_date"),
        ("column", "the column update_date of Dialog is missing", "SELECT"),
    ]
    assert [each.advice for each in found] == ["did you mean update_date?", "did you mean updated_date?"]


def test_columns_in_another_order_are_found(checked: Server) -> None:
    (found,) = edited(checked, "dialog.get_by_id", ("d.id,\n    d.tenant_id,", "d.tenant_id,\n    d.id,"))
    assert found.message == "the column tenant_id stands where Dialog has id: rows are built by position"


def test_a_column_that_is_there_twice_is_found(checked: Server) -> None:
    (found,) = edited(checked, "dialog.get_by_id", ("d.update_date\n", "d.update_date,\n    d.name\n"))
    assert told([found]) == [("column", "the column name is there twice", "name")]


def test_a_column_of_another_type_is_found(checked: Server) -> None:
    (found,) = edited(checked, "dialog.get_by_id", ("    d.name,", "    length(d.name) AS name,"))
    assert told([found]) == [("type", "the column name is integer to the server, and str in Dialog", "name,")]


def test_a_column_that_an_outer_join_makes_null_is_found(checked: Server) -> None:
    (found,) = edited(
        checked,
        "dialog.get_by_id",
        (
            "FROM conversation_store.dialog AS d\nWHERE d.id",
            "FROM (SELECT 1) AS one\nLEFT JOIN conversation_store.dialog AS d ON d.id",
        ),
    )
    names = "id, tenant_id, create_date, update_date"
    assert told([found]) == [("null", f"may be NULL, and Dialog has no None for it: {names}", "id,")]
    assert f"-- not_null: {names}, since …" in found.advice


def test_an_expression_that_may_be_null_is_found(checked: Server) -> None:
    (found,) = edited(checked, "conversation.stats", ("coalesce(sum(c.tokens), 0)", "sum(c.tokens)"))
    assert told([found]) == [("null", "may be NULL, and DailyStats has no None for it: tokens", "tokens,")]


@pytest.mark.parametrize(
    ("declared", "message", "advice"),
    [
        ("nme", "nme is declared as not NULL, and no column of the result", "did you mean name?"),
        ("id", "id is declared as not NULL, which it is without that", "take it out"),
        ("name", "declared as not NULL, and may be None in ConversationName: name", "take it out"),
    ],
)
def test_a_directive_is_held_to_the_result(checked: Server, declared: str, message: str, advice: str) -> None:
    line = f"-- not_null: {declared}, since it is\n"
    (found,) = edited(checked, NAMES, ("-- returns: many\n", f"-- returns: many\n{line}"))
    assert told([found]) == [("null", message, line.strip())]
    assert advice in found.advice


def test_a_parameter_that_no_method_passes_is_found_and_so_is_one_that_is_not_used(checked: Server) -> None:
    found = edited(checked, NAMES, (":exp_user_id::text", ":explorer_id::text"))
    assert told(found) == [
        ("parameter", ":explorer_id is passed by no method", ":explorer_id::text"),
        ("parameter", ":exp_user_id is passed by Python and not used", "SELECT"),
    ]
    assert [each.advice for each in found] == ["did you mean exp_user_id?", "did you mean explorer_id?"]


def test_an_unused_parameter_is_found(checked: Server) -> None:
    (found,) = edited(checked, NAMES, ("    AND c.exp_user_id = :exp_user_id::text\n", ""))
    assert found.message == ":exp_user_id is passed by Python and not used"


def test_a_parameter_of_another_type_is_found(checked: Server) -> None:
    (found,) = edited(checked, NAMES, (":limit::bigint", ":limit::text::bigint"))
    assert told([found]) == [
        ("parameter", ":limit is text to the server, and Python passes int", ":limit::text::bigint;")
    ]


def test_a_file_that_returns_other_than_what_is_read_is_found(checked: Server) -> None:
    (found,) = edited(checked, NAMES, ("-- returns: many", "-- returns: count"))
    assert told([found]) == [
        ("column", "the header says returns: count, and Python reads ConversationName", "-- returns: count")
    ]


def test_a_file_that_returns_more_than_one_value_is_found(checked: Server) -> None:
    (found,) = edited(checked, "conversation.count", ("AS number", "AS number,\n    TRUE AS more"))
    assert told([found]) == [("column", "has 2 columns, and Python reads one value", "more")]


def test_a_table_without_its_tenant_is_found(checked: Server) -> None:
    (found,) = edited(
        checked,
        "dialog.get_by_id",
        ("\n    AND d.tenant_id = :tenant_id::text", ""),
        contract=replace(FILES["dialog.get_by_id"], parameters={"id": str}),
    )
    assert (found.rule, found.excerpt) == ("tenant", "FROM conversation_store.dialog AS d")
    assert "d.tenant_id = :tenant_id::text" in found.message


COPY = "conversation_message.insert_many"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    dialog_id,\n",
            "",
            [
                ("copy", "the server waits for 4 columns, and Python sends 5"),
                ("copy", "the column dialog_id of conversation_message is NOT NULL, has no default and is not sent"),
                ("copy", "column 4 is body, and Python sends dialog_id there"),
            ],
        ),
        (
            "    position,\n    tenant_id,",
            "    tenant_id,\n    position,",
            [("copy", "column 2 is tenant_id, and Python sends position there")],
        ),
        ("    body\n", "    bdy\n", [("statement", 'column "bdy" of relation "conversation_message" does not exist')]),
        (
            "FROM STDIN",
            "FROM STDIN (FORMAT binary)",
            [("copy", "the server waits for binary rows, and Python sends text")],
        ),
    ],
    ids=["a column less", "another order", "an unknown column", "another format"],
)
def test_a_copy_is_begun_and_compared(checked: Server, old: str, new: str, expected: list[tuple[str, str]]) -> None:
    assert [(found.rule, found.message) for found in edited(checked, COPY, (old, new))] == expected


def test_an_unknown_column_of_a_copy_is_found_with_the_one_that_is_meant(checked: Server) -> None:
    (found,) = edited(checked, COPY, ("    body\n", "    bdy\n"))
    assert (found.excerpt, found.column, found.advice) == ("    bdy", 5, "did you mean body?")


def test_a_copy_loads_nothing(checked: Server, db: str) -> None:
    with psycopg.connect(db) as connection:
        before = connection.execute("SELECT count(*) FROM conversation_store.conversation_message").fetchone()
        assert edited(checked, COPY) == []
        assert connection.execute("SELECT count(*) FROM conversation_store.conversation_message").fetchone() == before


@pytest.mark.parametrize(
    "statement",
    [
        "COPY conversation_store.dialog (id) FROM PROGRAM 'touch {file}'",
        "COPY conversation_store.dialog (id) TO PROGRAM 'cat > {file}'",
        "COPY conversation_store.dialog (id) TO '{file}'",
        "COPY (SELECT set_config('app.ran', 'yes', FALSE)) TO STDOUT",
        "COPY conversation_store.dialog (id) FROM STDIN WHERE set_config('app.ran', 'yes', FALSE) = ''",
    ],
)
def test_a_copy_that_does_not_load_rows_is_not_sent(db: str, statement: str) -> None:
    # In a folder where the server could write.
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(db, autocommit=True) as connection:
        Path(folder).chmod(0o777)
        written = Path(folder) / "written"
        text = f"/* dialog.copy */\n-- Copy.\n-- returns: count\n\n{statement.format(file=written)};\n"
        file = read(text.encode(), "sql/dialog/copy.sql", "dialog.copy")
        (found,) = [each for each in check_file(Server(connection), file, {}).findings if each.rule == "copy"]
        assert found.message == "is not sent to the server: it does not load rows into a table"
        assert not written.exists()
        assert connection.execute("SELECT current_setting('app.ran', TRUE)").fetchone() == (None,)


def test_where_nothing_may_be_written_a_copy_is_compared_by_its_columns(db: str) -> None:
    with psycopg.connect(db, autocommit=True, options="-c default_transaction_read_only=on") as connection:
        server = Server(connection)
        assert edited(server, COPY) == []
        (found,) = edited(server, COPY, ("    position,\n    tenant_id,", "    tenant_id,\n    position,"))
    assert found.message == "column 2 is tenant_id, and Python sends position there"


def test_a_statement_is_prepared_along_the_search_path_of_the_service(db: str) -> None:
    with psycopg.connect(db, autocommit=True, options="-c search_path=conversation_store") as connection:
        server = Server(connection)
        assert edited(server, "dialog.save") == []
        assert server.tables["", "dialog"] == server.tables["conversation_store", "dialog"]


def test_who_must_wait_for_a_lock_is_told_and_no_fault_is_made_of_it(database: str) -> None:
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE conversation_store.dialog")
        done = call("check", database=database)
    assert done.code == 1
    assert "lock timeout" in done.stderr
    assert "(statement)" not in done.stdout


def test_two_statements_in_a_file_are_found(checked: Server, tmp_path: Path) -> None:
    text = load(NAMES).source.replace("LIMIT :limit::bigint;\n", A_SECOND)
    folder = folder_of(tmp_path, conversation__get_names=text)
    (file,) = check_files(checked, folder, {NAMES: FILES[NAMES]})
    (found,) = file.findings
    assert (found.column, found.excerpt) == (1, "SELECT 1;")
    assert found.message == "must be one statement: only a newline may follow its semicolon"


def test_a_directive_that_is_unknown_is_found_in_its_line(checked: Server, tmp_path: Path) -> None:
    text = load(NAMES).source.replace("-- returns: many", "-- returns: many\n-- unknown: x")
    (file,) = check_files(checked, folder_of(tmp_path, conversation__get_names=text), None)
    assert [(found.column, found.excerpt) for found in file.findings] == [(1, "-- unknown: x")]


def test_a_file_without_a_contract_and_a_contract_without_a_file_are_found(checked: Server, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, conversation__get_name=load(NAMES).source.replace("get_names */", "get_name */"))
    findings = [found for file in check_files(checked, folder, {NAMES: FILES[NAMES]}) for found in file.findings]
    assert [(found.rule, found.advice) for found in findings] == [
        ("contract", "did you mean conversation.get_names?"),
        ("file", "did you mean conversation.get_name?"),
    ]


# -- faults in a database --------------------------------------------------------------------------


def messages(database: str, *statements: str) -> tuple[set[str], set[str]]:
    """Return what the command finds after statements, in files and in the schema."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    done = call("check", "--json", database=database)
    assert (done.code, done.stderr) == (1, "")
    value = json.loads(done.stdout)
    in_files = {f"{each['path']}: {found['message']}" for each in value["files"] for found in each["findings"]}
    return in_files, {found["message"] for found in value["schema"]["findings"]}


def test_a_renamed_column_is_found_in_every_file_that_reads_it_and_in_the_schema(database: str) -> None:
    files, schema = messages(database, "ALTER TABLE conversation_store.dialog RENAME COLUMN name TO title")
    assert schema == {
        "column name on conversation_store.dialog is missing",
        "constraint dialog_name_check on conversation_store.dialog is not what the migrations make:"
        " 'CHECK ((char_length(name) <= 1000))' is now 'CHECK ((char_length(title) <= 1000))'",
    }
    assert "sql/dialog/get_by_id.sql: column d.name does not exist" in files
    assert 'sql/dialog/insert_many.sql: column "name" of relation "dialog" does not exist' in files


def test_a_changed_type_is_found(database: str) -> None:
    files, schema = messages(
        database,
        "ALTER TABLE conversation_store.conversation DROP CONSTRAINT conversation_version_title_check",
        "ALTER TABLE conversation_store.conversation ALTER COLUMN version_title TYPE bytea USING version_title::bytea",
    )
    assert (
        "sql/conversation/get_by_id.sql: the column version_title is bytea to the server, and str in Conversation"
        in files
    )
    assert (
        "column version_title on conversation_store.conversation is not what the migrations make: 'text' is now 'bytea'"
        in schema
    )
    assert "sql/conversation/insert_many.sql: the column version_title is bytea, and Python sends str" in files


def test_a_dropped_not_null_is_found(database: str) -> None:
    files, schema = messages(database, "ALTER TABLE conversation_store.dialog ALTER COLUMN create_date DROP NOT NULL")
    assert "sql/dialog/get_by_id.sql: may be NULL, and Dialog has no None for it: create_date" in files
    assert len(schema) == 1


def test_a_dropped_index_is_found(database: str) -> None:
    files, schema = messages(database, "DROP INDEX conversation_store.conversation_search_idx")
    assert files == set()
    assert schema == {"index conversation_search_idx on conversation_store.conversation is missing"}


def test_a_not_null_that_was_not_validated_is_none(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        if connection.info.server_version < 180000:
            pytest.skip("NOT NULL may be NOT VALID from PostgreSQL 18 on")
        connection.execute("ALTER TABLE conversation_store.dialog ALTER COLUMN create_date DROP NOT NULL")
        connection.execute("ALTER TABLE conversation_store.dialog ADD CONSTRAINT later NOT NULL create_date NOT VALID")
        (found,) = edited(Server(connection), "dialog.get_by_id")
    assert found.message == "may be NULL, and Dialog has no None for it: create_date"


def test_without_the_schema_the_missing_migrations_are_told_and_no_file(empty_database: str) -> None:
    done = call("check", database=empty_database)
    assert done.code == 1
    assert "migration 0001_tables is missing" in done.stdout
    assert "run: conversation-store migrate" in done.stdout
    assert "sql/dialog" not in done.stdout
    assert done.stdout.endswith("checked 0 files and the schema: 4 faults\n")


# -- a service's own files -------------------------------------------------------------------------


def test_the_files_of_a_service_are_checked_against_its_classes_and_methods(
    empty_database: str, tmp_path: Path
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(NOTE)
    folder = folder_of(tmp_path, **NOTE_FILES)
    (tmp_path / "service_of_notes.py").write_text(
        "from dataclasses import dataclass\nfrom typing import Any\n"
        "from conversation_store.dba.contract import Contract, Json\n\n"
        "@dataclass\nclass Note:\n    id: int\n    text: str | None\n    data: dict[str, Any]\n\n"
        "def add(self, id: int, text: str, data: Json): ...\n\n"
        'QUERIES = {"note.get": Note, "note.add": Contract(None, add)}\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr("sys.path", [*sys.path])
        arguments = "check", str(folder), "--contracts", "service_of_notes:QUERIES"
        assert call(*arguments, database=empty_database) == (0, "checked 2 files: ok\n", "")
        (folder / "note" / "add.sql").write_text(NOTE_FILES["note__add"].replace(":text::text", ":texts::text"))
        done = call(*arguments, database=empty_database)
    assert done.code == 1
    assert ":texts is passed by no method (parameter)" in done.stdout
    assert "did you mean text?" in done.stdout


def test_without_contracts_the_files_of_a_service_are_prepared_alone(empty_database: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **NOTE_FILES)
    done = call("check", folder, database=empty_database)
    assert done.code == 1
    assert done.stdout.count('relation "note" does not exist (statement)') == 2
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(NOTE)
    assert call("check", folder, database=empty_database) == (0, "checked 2 files: ok\n", "")


def test_a_table_of_a_service_that_has_tenants_is_held_to_them(empty_database: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(NOTE.replace("(id", "(tenant_id text, id"))
        (found,) = next(
            iter(
                check_files(
                    Server(connection),
                    folder_of(tmp_path, note__get=NOTE_FILES["note__get"].replace("FROM note", "FROM public.note")),
                    None,
                )
            )
        ).findings
    assert found.rule == "tenant"


@pytest.mark.parametrize(
    ("named", "message"),
    [("notes", "module:MAPPING"), ("no_such_module:X", "no_such_module"), ("json:dumps", "must be a mapping")],
)
def test_contracts_that_cannot_be_had_are_an_error(named: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_contracts(named)


def test_one_file_is_held_to_its_own_contract(empty_database: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **NOTE_FILES)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(NOTE)
        contracts = {"note.get": Contract(None), "note.add": Contract(None), "note.gone": Contract(None)}
        (checked,) = check_files(Server(connection), folder / "note" / "add.sql", contracts)
    assert checked.path.endswith("note/add.sql")
    assert "there is no such file" not in str(checked.findings)


def test_a_table_that_others_lock_is_an_error_that_names_them(database: str) -> None:
    with psycopg.connect(database, application_name="the-other") as other:
        other.execute("LOCK TABLE conversation_store.dialog IN ACCESS EXCLUSIVE MODE")
        done = call("check", database=database)
    assert done.code == 1
    assert "lock timeout: the process " in done.stderr
    assert "application 'the-other'" in done.stderr
    assert "AccessExclusiveLock on conversation_store.dialog" in done.stderr


def test_characters_that_steer_a_terminal_are_shown(database: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **NOTE_FILES)
    (folder / "note" / "add.sql").write_text(NOTE_FILES["note__add"].replace("note (", "note\x1b[2J ("))
    done = call("check", folder, database=database)
    assert "\\x1b[2J" in done.stdout
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CREATE INDEX "\x1b]0;own" ON conversation_store.dialog (name)')
    told = call("check", database=database)
    assert "\\x1b]0;own" in told.stderr
    assert "\x1b" not in done.stdout + told.stdout + told.stderr


def test_a_file_that_is_nested_too_deep_is_found_and_the_others_are_checked(
    empty_database: str, tmp_path: Path
) -> None:
    deep = "/* note.deep */\n-- Return a number.\n-- returns: one\n\nSELECT " + "1 = 1 AND " * 20_000 + "TRUE AS id;\n"
    folder = folder_of(tmp_path, note__deep=deep, **NOTE_FILES)
    done = call("check", folder, database=empty_database)
    assert "note/deep.sql" in done.stdout
    assert done.stdout.count('relation "note" does not exist (statement)') == 2


def test_a_column_that_was_renamed_is_not_guessed_in_each_file(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE conversation_store.conversation RENAME user_id TO uid")
    done = call("check", database=database)
    assert "was it renamed to uid?" in done.stdout
    assert "column c.user_id does not exist (statement)" in done.stdout
    assert "  = mend the schema first, which lacks what is told above\n" in done.stdout
    assert "exp_user_id?" not in done.stdout
    assert "Perhaps you meant" not in done.stdout


def test_contracts_need_a_path(db: str) -> None:
    done = call("check", "--contracts", "x:Y", database=db)
    assert done.code == 2
    assert "--contracts needs a PATH" in done.stderr


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    done = call("check", database="postgresql://u:secret-word@127.0.0.1:1/d")
    assert done.code == 1
    assert "secret-word" not in done.stdout + done.stderr
    assert done.stderr.startswith("Error: ")
