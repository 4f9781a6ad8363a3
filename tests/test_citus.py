"""The same files on a Citus cluster: each statement goes to one shard, and does what it does on one server."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import uuid
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
from support.citus import CITUS_URL, WHY_SKIPPED, citus_database, distribute
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


@pytest.fixture
def new_cluster() -> Generator[str]:
    """Give a database on each node, without our schema."""
    assert CITUS_URL is not None
    with citus_database(CITUS_URL) as conninfo:
        yield conninfo


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


def test_a_load_whose_worker_is_lost_before_the_end_is_undone(
    db: str, store: Any, two: tuple[Example, Example]
) -> None:
    def numbers() -> list[int]:
        return [store.conversations.count(tenant_id=example.tenant) for example in two]

    before = numbers()
    with psycopg.connect(db, autocommit=True) as admin, pytest.raises(psycopg.Error), store.transaction() as tx:
        for example in two:
            tx.conversations.insert_many([{"dialog_id": example.dialog}] * 20, tenant_id=example.tenant)
        # The sessions of this transaction on one of the workers.
        (worker, *_) = admin.execute("SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0").fetchall()
        with psycopg.connect(make_conninfo(db, host=worker[0], port=worker[1]), autocommit=True) as there:
            ended = there.execute(
                "SELECT pg_terminate_backend(pid::integer, 10000::bigint) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            ).fetchall()
        assert (True,) in ended
    assert numbers() == before


# -- transactions ----------------------------------------------------------------------------------


@pytest.fixture
def two(store: Any, db: str) -> tuple[Example, Example]:
    """Give two tenants, whose rows are on different workers."""
    with psycopg.connect(db) as connection:
        found: dict[tuple[str, int], str] = {}
        while len(found) < 2:
            tenant = uuid.uuid4().hex
            row = connection.execute(
                "SELECT nodename, nodeport FROM citus_shards WHERE shardid"
                " = get_shard_id_for_distribution_column('conversation_store.dialog', %s::text)",
                [tenant],
            ).fetchone()
            assert row is not None
            found[row] = tenant
    first, second = (Example(tenant=tenant) for tenant in found.values())
    first.save(store)
    second.save(store)
    return first, second


def rounds(store: Any, examples: Sequence[Example]) -> list[int]:
    return [store.conversations.get_by_id(e.conversation, tenant_id=e.tenant).round for e in examples]


class Undo(Exception):
    """Ends a transaction."""


def test_a_transaction_over_two_workers_is_committed_or_rolled_back_as_a_whole(
    store: Any, two: tuple[Example, Example]
) -> None:
    with pytest.raises(Undo), store.transaction() as tx:
        for example in two:
            tx.conversations.append_round(example.conversation, ["x"], tenant_id=example.tenant)
        raise Undo
    assert rounds(store, two) == [0, 0]
    with store.transaction() as tx:
        tx.conversations.append_round(two[0].conversation, ["x"], tenant_id=two[0].tenant)
        with pytest.raises(Undo), tx.transaction() as inner:
            inner.conversations.append_round(two[1].conversation, ["x"], tenant_id=two[1].tenant)
            raise Undo
        tx.tokens.delete_by_id(two[1].token_id, tenant_id=two[1].tenant)
    assert rounds(store, two) == [1, 0]
    assert store.tokens.authenticate(two[1].token) is None


def test_of_a_deadlock_between_workers_both_transactions_are_done_in_the_end(
    db: str, two: tuple[Example, Example]
) -> None:
    met = threading.Barrier(2)
    tried: list[int] = []

    def append(order: Sequence[Example], store: ConversationStore) -> None:
        def work(tx: Any) -> None:
            first_try = threading.get_ident() not in tried
            tried.append(threading.get_ident())
            tx.conversations.append_round(order[0].conversation, ["x"], tenant_id=order[0].tenant)
            if first_try:
                met.wait()  # each holds what the other wants
            tx.conversations.append_round(order[1].conversation, ["x"], tenant_id=order[1].tenant)

        store.run_in_transaction(work)

    with ConversationStore(db) as store:
        threads = [threading.Thread(target=append, args=[order, store]) for order in (two, two[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rounds(store, two) == [2, 2]
    assert len(tried) >= 3


def test_appends_and_whole_lists_at_once_leave_what_one_order_of_them_leaves(
    api: SyncApi | AsyncApi, store: Any, two: tuple[Example, Example]
) -> None:
    example = two[0]
    whole = [f"w{number}" for number in range(6)]

    def append(number: int) -> Callable[[Any], Any]:
        return lambda s: s.conversations.append_round(example.conversation, [f"a{number}"], tenant_id=example.tenant)

    def replace(s: Any) -> Any:
        return s.conversations.append_message(example.conversation, {"message": whole}, tenant_id=example.tenant)

    results = api.together(store, [append(0), replace, append(1), append(2), replace, append(3)])
    assert not [result for result in results if isinstance(result, BaseException)]
    read = store.conversations.get_by_id(example.conversation, tenant_id=example.tenant)
    assert read.round == 6
    assert read.message[:6] == whole
    assert len(set(read.message)) == len(read.message)
    assert set(read.message[6:]) <= {f"a{number}" for number in range(4)}


def test_a_cancelled_statement_changes_nothing_and_leaves_no_lock(
    db: str, store: Any, two: tuple[Example, Example]
) -> None:
    example = two[0]
    lock = "SELECT FROM conversation_store.conversation WHERE id = %s AND tenant_id = %s FOR UPDATE"
    with psycopg.connect(db) as holder, psycopg.connect(db, autocommit=True) as connection:
        holder.execute(lock, [example.conversation, example.tenant])
        waiting = ConversationStore(connection=connection)
        timer = threading.Timer(0.5, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.conversations.append_round(example.conversation, ["x"], tenant_id=example.tenant)
        timer.join()
        holder.rollback()
        assert store.conversations.append_round(example.conversation, ["y"], tenant_id=example.tenant) == 1
    assert store.conversations.get_by_id(example.conversation, tenant_id=example.tenant).message == ["问题", "y"]


def test_a_snapshot_is_of_one_worker_so_that_an_export_of_a_tenant_is_of_one_moment(
    db: str, store: Any, two: tuple[Example, Example]
) -> None:
    # The first statement of a transaction on a worker begins the snapshot there.
    with ConversationStore(db) as other, other.transaction(isolation="repeatable read", read_only=True) as tx:
        assert rounds(tx, two[:1]) == [0]
        for example in two:
            store.conversations.append_round(example.conversation, ["x"], tenant_id=example.tenant)
        assert rounds(tx, two) == [0, 1]


# -- moving a tenant -------------------------------------------------------------------------------


def shard_of(connection: psycopg.Connection[Any], tenant: str) -> tuple[int, str, int]:
    row = connection.execute(
        "SELECT shardid, nodename, nodeport FROM citus_shards WHERE shardid"
        " = get_shard_id_for_distribution_column('conversation_store.conversation', %s::text)",
        [tenant],
    ).fetchone()
    assert row is not None
    shard, host, port = row
    return int(shard), str(host), int(port)


def move(connection: psycopg.Connection[Any], tenant: str) -> None:
    """Move the shard of a tenant, and those with it, to another worker."""
    shard, host, port = shard_of(connection, tenant)
    target = connection.execute(
        "SELECT node_name, node_port FROM citus_get_active_worker_nodes()"
        " WHERE (node_name, node_port) <> (%s, %s) LIMIT 1",
        [host, port],
    ).fetchone()
    assert target is not None
    connection.execute(
        "SELECT citus_move_shard_placement(%s::bigint, %s::text, %s::integer, %s::text, %s::integer, 'force_logical')",
        [shard, host, port, *target],
    )
    assert shard_of(connection, tenant)[1:] == target


def isolate(connection: psycopg.Connection[Any], tenant: str) -> None:
    """Give a tenant a shard of its own, with those of the other tables; writers wait meanwhile."""
    before = shard_of(connection, tenant)[0]
    isolate = sql.SQL(
        "SELECT isolate_tenant_to_new_shard('conversation_store.conversation', {}, 'CASCADE', 'block_writes')"
    )
    connection.execute(isolate.format(sql.Literal(tenant)))
    assert shard_of(connection, tenant)[0] != before


@pytest.mark.slow
@pytest.mark.parametrize("change", [move, isolate])
def test_while_a_tenant_is_moved_no_acknowledged_append_is_lost(
    new_cluster: str, change: Callable[[psycopg.Connection[Any], str], None]
) -> None:
    migrate(new_cluster)
    distribute(new_cluster)
    example, writers, stop = Example(), 4, threading.Event()
    done: list[list[str]] = [[] for _ in range(writers)]
    failed: list[str | None] = []
    with SyncApi().store(new_cluster) as store, psycopg.connect(new_cluster, autocommit=True) as connection:
        if connection.execute("SHOW wal_level").fetchone() != ("logical",):
            pytest.skip("shards are moved beside writers with wal_level = logical")
        example.save(store)
        bound = store.for_tenant(example.tenant)

        def write(number: int) -> None:
            while not stop.is_set():
                text = f"{number}-{len(done[number])}"
                turn = {"messages": [text], "reference": [{"of": text}], "turn_id": text}
                # What runs while the shard changes its place may fail. With the id of its turn it can be repeated.
                try:
                    bound.conversations.append_round(example.conversation, **turn)
                except psycopg.DatabaseError as error:
                    failed.append(error.sqlstate)
                    store.run_in_transaction(
                        lambda tx: tx.conversations.append_round(example.conversation, tenant_id=example.tenant, **turn)
                    )
                done[number].append(text)

        threads = [threading.Thread(target=write, args=[number]) for number in range(writers)]
        for thread in threads:
            thread.start()
        try:
            change(connection, example.tenant)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        read = bound.conversations.get_by_id(example.conversation)
        for texts in done:
            assert [text for text in read.message if text in texts] == texts
        assert len(read.message) == 1 + sum(map(len, done)) == 1 + read.round
        assert [entry["of"] for entry in read.reference[1:]] == read.message[1:]
        assert all(done)
        # Each writer at most once.
        assert set(failed) <= {"CIINF", "XX000"}
        assert len(failed) <= writers


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
