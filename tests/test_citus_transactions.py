"""Transactions over the workers of a Citus cluster, and tenants that move: nothing is lost, and all or nothing is stored."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from conversation_store import (
    ConversationStore,
    migrate,
)
from support.both_apis import AsyncApi, SyncApi
from support.citus import CITUS_URL, WHY_SKIPPED, distribute
from support.operation import Example

pytestmark = pytest.mark.skipif(CITUS_URL is None, reason=WHY_SKIPPED)


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
