"""What every query file promises, held against a real server and against the Python that uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor

from conversation_store import ConversationStore
from conversation_store._adapters import to_text
from conversation_store._sql_loader import Query, load_all, sql_directory
from conversation_store.dba import own_contracts
from conversation_store.dba.check import CheckedFile, check_file
from conversation_store.dba.contract import bare
from conversation_store.dba.files import QueryFile, files
from conversation_store.dba.server import Server
from operations import FILES, MYSQL_FILES, OPERATIONS
from shapes import FINDING
from support.operation import Operation

# Those of PostgreSQL; tests/ragflow/test_mysql_files.py has the others.
QUERIES = {name: query for name, query in load_all().items() if name not in MYSQL_FILES}
# Methods whose file is one batch or page of what they do.
BATCHED = {
    "conversations.export",
    "conversations.iter",
    "conversations.iter_ids",
    "conversations.delete_by_dialog_ids",
    "conversations.delete_not_updated_since",
    "dialogs.iter",
}


def test_each_file_serves_an_operation_or_the_import() -> None:
    served = {file for operation in OPERATIONS for file in operation.files}
    assert served == {file for file in FILES if not file.startswith("ragflow.")} - set(FINDING)


@pytest.fixture(scope="module")
def server_of_files(db: str) -> Iterator[Server]:
    """Give the server that the files are prepared on, whose catalogue is read once."""
    with psycopg.connect(db, autocommit=True) as connection:
        yield Server(connection)


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_the_server_and_python_agree_on_a_file(file: QueryFile, server_of_files: Server) -> None:
    assert check_file(server_of_files, file, own_contracts.FILES) == CheckedFile(file.path)


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_no_field_may_be_none_of_a_column_that_never_is_null(file: QueryFile, server_of_files: Server) -> None:
    expected = own_contracts.FILES[file.name].columns()
    if expected is None or file.is_copy:
        return
    for column in server_of_files.describe(file.query.text).columns:
        kind, optional = bare(expected[column.name])
        # A list leaves its columns out on an empty page, and dsl may be left out on request.
        assert kind is Any or not (column.not_null and optional), column.name


def test_every_parameter_is_cast_wherever_it_stands() -> None:
    for query in QUERIES.values():
        source = re.sub(rb"--[^\n]*", b"", query.text)
        for match in re.finditer(rb"\$\d+(::)?", source):
            assert match[1], f"{query.path}: {query.parameters[int(match[0][1:]) - 1]} is not cast"


def test_slices_are_written_so_that_psql_leaves_them_alone() -> None:
    for query in QUERIES.values():
        assert not re.search(rb"\[\w+:\w", query.text), query.path


def test_no_file_selects_a_star_or_orders_by_a_parameter() -> None:
    for query in QUERIES.values():
        assert not re.search(rb"(SELECT|RETURNING|\.)\s*\*", query.text), query.path
        assert not re.search(rb"ORDER BY\s+\$", query.text), query.path


# Lists that are bounded by what is asked for: a range of days, ids or names.
BOUNDED = {
    "conversation.stats",
    "conversation.get_dialog_ids",
    "conversation.get_import_dates",
    "conversation.update_many_by_id",
    "dialog.get_by_ids",
    "ragflow.columns",
    "ragflow.conversation_sizes",
    "ragflow.conversations",
    "ragflow.tables",
}


def test_every_list_has_an_order_and_a_limit() -> None:
    lists = {query.name: query for query in QUERIES.values() if query.returns == "many"}
    for name, query in lists.items():
        assert b"ORDER BY" in query.text, query.path
        assert (b"LIMIT" in query.text) == (name not in BOUNDED), query.path


def test_the_header_says_plan_custom_where_the_guard_is_and_nowhere_else() -> None:
    for query in QUERIES.values():
        assert (query.plan == "custom") == (b"force_custom_plan" in query.text), query.path
    assert QUERIES["conversation.get_list"].plan == "custom"


def test_every_name_of_a_migration_and_of_a_query_is_qualified(db: str) -> None:
    # Nothing depends on search_path: all is prepared again where there is none.
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute("SET search_path = ''")
        server = Server(connection)
        for query in QUERIES.values():
            server.describe(query.text)


def opening(query: Query) -> str:
    """Return the first sentence of a file's comment."""
    header = (sql_directory() / f"{query.name.replace('.', '/')}.sql").read_text().splitlines()
    assert re.fullmatch(r"-- [A-Z][a-z][^.]*\.", header[1]), query.path
    assert header[2] == "--", query.path
    return header[1].removeprefix("-- ")


def test_the_comment_of_every_file_opens_with_one_sentence() -> None:
    for query in QUERIES.values():
        assert opening(query)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_docstring_of_a_method_opens_as_the_file_of_its_name_does(operation: Operation) -> None:
    own = [file for file in operation.files if file.endswith(f".{operation.method}")]
    # What a call of several statements does is not what one of them does.
    if len(operation.files) == 1 and own and operation.name not in BATCHED:
        doc = " ".join(operation.method_of(ConversationStore("")).__doc__.split())
        assert doc.startswith(opening(QUERIES[own[0]]).removesuffix(".")), doc


# -- one file, one prepared statement, one row in pg_stat_statements ---------------------------


def values_of_every_kind() -> list[object]:
    return [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**62,
        1.5,
        1e300,
        Decimal("1.25"),
        date(2024, 1, 1),
        datetime(2024, 1, 1, 12),
        datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=8))),
        [],
        ["a"],
        [1, 2, 3],
        ["a,b", 'quo"te', "back\\slash", "{}", "", None, "NULL"],
        "text",
    ]


def test_a_value_of_any_kind_is_sent_without_a_type() -> None:
    assert all(to_text(value) is None or isinstance(to_text(value), str) for value in values_of_every_kind())


def test_a_list_arrives_as_it_was(connection: psycopg.Connection[Any]) -> None:
    elements = ["a,b", 'quo"te', "back\\slash", "{}", "", None, "NULL", "检索", "new\nline"]
    cursor = RawCursor(connection)
    cursor.execute(b"SELECT $1::text[]", [to_text(elements)])
    assert cursor.fetchone() == (elements,)


def test_one_file_is_one_row_of_pg_stat_statements_and_one_prepared_statement(database: str) -> None:
    moments: list[Any] = [None, "2024-01-01", date(2024, 1, 1), datetime(2024, 1, 1, 12), datetime.now(UTC)]
    with psycopg.connect(database, autocommit=True) as connection:
        preloaded = connection.execute("SELECT current_setting('shared_preload_libraries')").fetchone() or ("",)
        if "pg_stat_statements" not in preloaded[0]:
            pytest.skip("the caller's server does not preload pg_stat_statements")
        connection.execute("CREATE EXTENSION pg_stat_statements")
        store = ConversationStore(connection=connection).for_tenant("t")
        for number, (moment, text, flag) in enumerate(product(moments, [None, 7, "x"], [True, False])):
            store.dialogs.save(id="d", tenant_id="t", name=None if text is None else "n")
            conversation = store.conversations.save(
                dialog_id="d",
                name=None,
                exp_user_id=text,
                tokens=2 ** (number * 2),
                duration=number / 2,
                create_date=moment,
            )
            store.conversations.get_list("d", "t", id=text, user_id=text, desc=flag, include_dsl=flag, from_date=moment)
            store.conversations.get_list("d", "t", keywords="" if text is None else "检索", to_date=moment)
            store.conversations.list_after("d", orderby="update_date" if text else "create_date", desc=flag)
            store.conversations.append_round(conversation.id, [], tokens=number, expected_round=0 if flag else None)
            store.conversations.append_message(conversation.id, {"tokens": number} if flag else {"message": [text]})
            store.conversations.stats(
                "t", "2024-01-01", date(2024, 1, 2), None if text is None else str(text), fill=flag
            )
        statements = connection.execute(
            # To older servers the body of a function that folds while a statement is planned is a statement too.
            "SELECT query FROM pg_stat_statements WHERE query LIKE '%conversation_store.%' AND query NOT LIKE 'SELECT CASE%'"
            " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
        prepared = connection.execute(
            "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '/*%'"
        ).fetchall()
    # The server may leave out the comment in front of a statement here; it keeps it for a prepared one.
    assert len(statements) == 11
    tags = [
        "/* conversation.append_message */",
        "/* conversation.append_round */",
        "/* conversation.get_list */",
        "/* conversation.get_list_by_create_date */",
        "/* conversation.get_list_by_create_date_asc */",
        "/* conversation.get_list_by_keywords */",
        "/* conversation.get_list_by_update_date */",
        "/* conversation.get_list_by_update_date_asc */",
        "/* conversation.save */",
        "/* conversation.stats */",
        "/* dialog.save */",
    ]
    assert sorted(query.splitlines()[0] for (query,) in prepared) == tags
