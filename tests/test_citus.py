"""The same files on a Citus cluster: each statement goes to one shard, and does what it does on one server."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import RawCursor, sql
from psycopg.conninfo import make_conninfo

from conversation_store import (
    AlreadyExists,
    ConversationStore,
    DialogNotEmpty,
    DialogNotFound,
    UnsupportedConnection,
    migrate,
)
from conversation_store._adapters import to_text
from conversation_store._sql_loader import load_all
from conversation_store._statement import Statement
from conversation_store.migrations import check_schema
from operations import FILES
from shapes import FINDING, SHAPES, Shape
from support.both_apis import AsyncApi, SyncApi
from support.citus import CITUS_URL, WHY_SKIPPED, distribute
from support.commands import call
from support.documents import blocks, read
from support.operation import Example
from support.schema import migration, schema_with
from support.statements import statement_of

pytestmark = pytest.mark.skipif(CITUS_URL is None, reason=WHY_SKIPPED)

HERE = Path(__file__).parent
QUERIES = load_all()

# What callers see of the store. Left out is what is about one server: its plans, its restarts, its migrations.
BEHAVIOUR = (
    "conversations",
    "dialogs",
    "tokens",
    "tenants",
    "transactions",
    "jsonl",
    "test_connections.py",
    "test_forks.py",
    "test_hostile_values.py",
    "test_interruptions.py",
    "test_mission.py",
    "test_odd_values.py",
    "test_operations.py",
    "test_own_pool.py",
    "test_poolers.py",
    "test_reading.py",
    "test_tenants_apart.py",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", BEHAVIOUR)
def test_the_tests_of_behaviour_pass_there(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", HERE / name, "-q", "-p", "no:cacheprovider"],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]


# -- one shard -------------------------------------------------------------------------------------


def statements() -> Generator[tuple[str, Statement[Any]]]:
    """Give the statement of each shape of each operation, but for COPY, which has no plan."""
    every: Sequence[tuple[str, Sequence[Shape]]] = [*SHAPES.items(), *((name, [one]) for name, one in FINDING.items())]
    for name, shapes in every:
        for shape in shapes:
            statement = statement_of(shape.call, *shape.answers)
            if b"FROM STDIN" not in statement.query.text:
                yield name, statement


class Tasks(NamedTuple):
    """The number of tasks of a statement itself, and of its parts; none: it is of the coordinator alone."""

    own: int | None
    parts: list[int]


def tasks(connection: psycopg.Connection[Any], statement: Statement[Any], *, executed: int) -> Tasks:
    """Return the number of tasks in the plan of a statement, after it was executed some times."""
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    types = f"({', '.join(['unknown'] * len(values))})" if values else ""
    connection.execute(f"PREPARE p {types} AS ".encode() + statement.query.text)
    arguments = sql.SQL(", ").join(map(sql.Literal, values))
    execute = sql.SQL("EXECUTE p ({})").format(arguments) if values else sql.SQL("EXECUTE p")
    try:
        for _ in range(executed):
            # A shape that inserts names a dialog that is not there.
            with suppress(psycopg.IntegrityError), connection.transaction(force_rollback=True):
                connection.execute(execute)
        rows = connection.execute(sql.SQL("EXPLAIN ") + execute).fetchall()
    finally:
        connection.execute("DEALLOCATE p")
    # An INSERT of rows that come from no table sends each of them to its shard.
    pattern = r"( *)(?:Task Count: (\d+)|INSERT/SELECT method: pull to coordinator)"
    found = [match for (line,) in rows if (match := re.fullmatch(pattern, line))]
    least = min((len(match[1]) for match in found), default=0)
    own = next((int(match[2] or 1) for match in found if len(match[1]) == least), None)
    return Tasks(own, [int(match[2] or 1) for match in found])


@pytest.mark.parametrize("executed", [0, 20])
def test_every_shape_of_every_statement_goes_to_one_shard(db: str, executed: int) -> None:
    of_all = {name for name, query in QUERIES.items() if query.all_tenants}
    seen: set[str] = set()
    with psycopg.connect(db, autocommit=True) as connection:
        for name, statement in statements():
            file = statement.query.name
            found = tasks(connection, statement, executed=executed)
            seen.add(file)
            if file in of_all and not file.startswith("api_token."):
                continue
            # A part that finds nothing by its values alone, as no list of messages, has no task. The statement itself
            # must have one: where it has none, nothing of it is run.
            assert found.own == 1 or (found.own is None and file.startswith("api_token.")), f"{name}: {file}: {found}"
            assert set(found.parts) <= {0, 1}, f"{name}: {file}: {found}"
    copied = {name for name, query in QUERIES.items() if b"FROM STDIN" in query.text}
    assert seen == {name for name in FILES if not name.startswith("ragflow.")} - copied


def test_the_tables_of_tenants_are_together_and_tokens_are_on_the_coordinator(db: str) -> None:
    with psycopg.connect(db) as connection:
        rows = connection.execute(
            "SELECT table_name::text, distribution_column, colocation_id FROM citus_tables ORDER BY 1"
        ).fetchall()
    names = ("conversation", "conversation_message", "conversation_reference", "conversation_turn", "dialog")
    assert [row[:2] for row in rows] == [(f"conversation_store.{name}", "tenant_id") for name in names]
    assert len({row[2] for row in rows}) == 1


def test_the_queries_of_the_page_show_shards_tenants_and_sizes(db: str) -> None:
    queries, _ = blocks(read("sql/README.md"), "postgresql")
    with psycopg.connect(db, autocommit=True) as connection:
        found = [connection.execute(query.encode()).fetchall() for query in queries.split(";\n") if query.strip()]
    tables, nodes, shards, _ = found
    assert len(tables) == 5
    assert len(nodes) >= 2
    assert len(shards) == 1


def test_explain_runs_no_statement_that_writes_there(db: str) -> None:
    arguments = ("explain", "dialog/save", "--set", "id=d", "--set", "tenant_id=t", "--null", "name")
    done = call(*arguments, "--analyze", database=db)
    assert (done.code, "on a Citus coordinator --analyze runs no statement that writes" in done.stderr) == (1, True)
    assert call(*arguments, database=db).code == 0


# -- the steps -------------------------------------------------------------------------------------


def content(conninfo: str) -> dict[str, list[str]]:
    """Return every row of every table, as text."""
    tables = (
        "dialog",
        "conversation",
        "conversation_message",
        "conversation_reference",
        "conversation_turn",
        "api_token",
    )
    with psycopg.connect(conninfo) as connection:
        return {
            table: [
                row
                for (row,) in connection.execute(
                    f"SELECT t::text FROM conversation_store.{table} AS t ORDER BY 1".encode()
                )
            ]
            for table in tables
        }


def test_a_filled_store_is_distributed_with_all_its_rows(new_cluster: str) -> None:
    migrate(new_cluster)
    examples = [Example() for _ in range(20)]
    with SyncApi().store(new_cluster) as store:
        for example in examples:
            example.save(store)
            store.conversations.append_round(example.conversation, ["x"], tenant_id=example.tenant, turn_id="t")
        before = content(new_cluster)
        distribute(new_cluster)
        assert content(new_cluster) == before
        assert all(before.values())
        for example in examples:
            assert store.conversations.get_by_id(example.conversation, tenant_id=example.tenant).message == [
                "问题",
                "x",
            ]
            assert store.dialogs.delete_by_id(example.empty_dialog, tenant_id=example.tenant) == 1
    # Nothing is left below the distributed tables, which a dump would write as well.
    with psycopg.connect(new_cluster, autocommit=True) as connection:
        for table in ("dialog", "conversation", "conversation_message", "conversation_reference", "conversation_turn"):
            size = connection.execute(f"SELECT pg_relation_size('conversation_store.{table}')".encode()).fetchone()
            assert size == (0,), table


def test_beside_writers_no_dialog_is_deleted_that_has_conversations(new_cluster: str) -> None:
    migrate(new_cluster)
    stop = threading.Event()
    deleted: list[str] = []
    with ConversationStore(new_cluster, timeout=60, statement_timeout=60) as store:
        store.dialogs.insert_many([{"id": f"d{number}", "tenant_id": "t"} for number in range(50)])
        store.conversations.insert_many(
            [{"dialog_id": f"d{number % 50}", "message": ["x"] * 10} for number in range(2_000)], tenant_id="t"
        )

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                id = f"d{number % 50}"
                # A call that was running may be ended by a deadlock with the steps.
                with suppress(psycopg.errors.DeadlockDetected, DialogNotEmpty):
                    if store.dialogs.delete_by_id(id, tenant_id="t"):
                        deleted.append(id)

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                try:
                    distribute(new_cluster)
                except psycopg.errors.DeadlockDetected:
                    continue
                break
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert deleted == []
        assert store.conversations.count(tenant_id="t") == 2_000
    assert check_schema(new_cluster) == []


def test_the_steps_are_repeated_without_harm_and_the_schema_is_as_it_should_be(new_cluster: str) -> None:
    migrate(new_cluster)
    for _ in range(2):
        distribute(new_cluster)
        assert migrate(new_cluster) == []
        assert check_schema(new_cluster) == []


def test_without_its_foreign_key_and_not_distributed_the_check_says_so(new_cluster: str) -> None:
    migrate(new_cluster)
    with psycopg.connect(new_cluster, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE conversation_store.api_token DROP CONSTRAINT api_token_tenant_id_dialog_id_fkey"
        )
    assert check_schema(new_cluster) == [
        "constraint api_token_tenant_id_dialog_id_fkey on conversation_store.api_token is missing"
    ]


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_of_a_shard_is_that_of_one_server(store: Any, tenant: str, dialog: str) -> None:
    kept = store.conversations.save(dialog_id=dialog, tenant_id=tenant)
    new = {"dialog_id": dialog, "tenant_id": tenant}
    calls: Sequence[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: store.conversations.save(id=kept.id, **new), AlreadyExists, rf"exists already: '{kept.id}'"),
        (lambda: store.conversations.insert_many([{"id": kept.id, **new}]), AlreadyExists, rf"already: '{kept.id}'"),
        (lambda: store.dialogs.insert_many([{"id": dialog, "tenant_id": tenant}]), AlreadyExists, rf"'{dialog}'"),
        (lambda: store.dialogs.delete_by_id(dialog, tenant_id=tenant), DialogNotEmpty, rf"'{dialog}'"),
        (lambda: store.conversations.save(dialog_id="gone", tenant_id=tenant), DialogNotFound, "'gone'"),
        (lambda: store.tokens.issue(dialog_id="gone", tenant_id=tenant), DialogNotFound, "'gone'"),
    ]
    for make, kind, message in calls:
        with pytest.raises(kind, match=message):
            make()


@pytest.mark.parametrize("setting", ["standard_conforming_strings=off", "DateStyle=German"])
def test_a_session_whose_values_the_workers_would_read_otherwise_is_refused(
    api: SyncApi | AsyncApi, db: str, tenant: str, setting: str
) -> None:
    name, _, value = setting.partition("=")
    with api.connect(db, autocommit=True) as connection, api.store(connection=connection) as store:
        store.dialogs.save(id="a", tenant_id=tenant)
        api.run(lambda: connection.execute(f"SET {name} = {value}"))
        with pytest.raises(UnsupportedConnection, match=name):
            store.dialogs.save(id="b", tenant_id=tenant)
    with (
        api.store(make_conninfo(db, options=f"-c {setting}")) as store,
        pytest.raises(UnsupportedConnection, match=name),
    ):
        store.dialogs.save(id="b", tenant_id=tenant)


# -- migrations ------------------------------------------------------------------------------------


def test_a_later_migration_changes_the_distributed_tables(new_cluster: str) -> None:
    migrate(new_cluster)
    distribute(new_cluster)
    later = migration(
        "ALTER TABLE conversation_store.conversation ADD COLUMN later text;"
        "CREATE FUNCTION conversation_store.later(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT value || ';' $$;"
        "CREATE INDEX conversation_later_idx ON conversation_store.conversation"
        " (tenant_id, conversation_store.later(later));"
    )
    concurrent = migration(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_last_idx ON conversation_store.conversation (tenant_id, later);",
        option=" transaction:false",
    )
    with schema_with(**{"9000_later": later, "9001_concurrent": concurrent}):
        assert migrate(new_cluster) == ["9000_later", "9001_concurrent"]
        assert check_schema(new_cluster) == []
    with psycopg.connect(new_cluster) as connection:
        RawCursor(connection).execute(
            "UPDATE conversation_store.conversation SET later = 'x' WHERE tenant_id = $1 AND id = $2", ["t", "c"]
        )
