"""Deleting in batches: a tenant's data, dialogs' conversations, and what was not updated for long; in both worlds."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from conversation_store import DeletedTenant
from conversation_store._batches import Batch
from conversation_store._sql_loader import load
from conversation_store._statement import one
from support.both_apis import AsyncApi, SyncApi, commit_when_waited_for


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


def fill(store: Any, tenant: str, dialogs: int = 3, each: int = 7) -> list[str]:
    """Give a tenant tokens, and dialogs with conversations; return the ids of the dialogs."""
    ids = [f"{tenant}-{number}" for number in range(dialogs)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    store.conversations.insert_many(
        [{"dialog_id": id, "message": ["x"], "reference": ["y"]} for id in ids for _ in range(each)]
    )
    for id in (None, *ids):
        store.tokens.issue(tenant_id=tenant, dialog_id=id)
    return ids


def left(store: Any, tenant: str) -> tuple[int, int, int]:
    counted = store.conversations.count(tenant_id=tenant)
    return len(store.tokens.query(tenant_id=tenant)), counted, len(store.dialogs.query(tenant_id=tenant))


@pytest.mark.parametrize("batch_size", [1, 5, 21, 1000])
def test_all_that_a_tenant_has_is_deleted_and_nothing_else(store: Any, tenant: str, batch_size: int, db: str) -> None:
    fill(store, tenant)
    fill(store, "other" + tenant)
    heard: list[DeletedTenant] = []
    deleted = store.tenants.delete_by_id(tenant, batch_size=batch_size, on_progress=heard.append)
    assert deleted == DeletedTenant(tokens=4, conversations=21, dialogs=3) == heard[-1]
    assert heard[0] == DeletedTenant(tokens=4)  # tokens first
    steps = [(of.conversations, of.dialogs) for of in heard]
    assert steps == sorted(steps)
    assert all(b[0] - a[0] <= batch_size and b[1] - a[1] <= batch_size for a, b in pairwise(steps))
    assert left(store, tenant) == (0, 0, 0)
    assert left(store, "other" + tenant) == (4, 21, 3)
    assert store.tenants.delete_by_id(tenant) == DeletedTenant()
    with psycopg.connect(db) as connection:
        for table in ("conversation_message", "conversation_reference"):
            row = connection.execute(
                f"SELECT count(*) FROM conversation_store.{table} WHERE tenant_id = %s", [tenant]
            ).fetchone()
            assert row == (0,)


def test_a_tenant_without_dialogs_loses_its_tokens_too(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    assert store.tenants.delete_by_id(tenant).to_dict() == {"tokens": 1, "conversations": 0, "dialogs": 0}
    assert store.tokens.authenticate(issued.token) is None


def test_what_was_interrupted_is_resumed_by_calling_again(store: Any, tenant: str) -> None:
    fill(store, tenant)

    def stop(of: DeletedTenant) -> None:
        if of.conversations >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.tenants.delete_by_id(tenant, batch_size=5, on_progress=stop)
    assert left(store, tenant) == (0, 11, 3)  # what was done is done, and no token works
    assert store.tenants.delete_by_id(tenant, batch_size=5) == DeletedTenant(conversations=11, dialogs=3)
    assert left(store, tenant) == (0, 0, 0)


def test_inside_of_a_transaction_it_is_all_or_nothing(store: Any, tenant: str) -> None:
    ids = fill(store, tenant)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert tx.tenants.delete_by_id(tenant, batch_size=2).conversations == 21
        assert tx.conversations.delete_by_dialog_ids(ids) == 0
        raise ZeroDivisionError
    assert left(store, tenant) == (4, 21, 3)


def test_what_comes_in_meanwhile_goes_too(api: SyncApi | AsyncApi, db: str, tenant: str) -> None:
    with api.store(db) as store, api.store(db) as other:
        ids = fill(store, tenant)
        more = 3

        def come_in(of: DeletedTenant) -> None:
            nonlocal more
            # A conversation in a dialog that is still there, a dialog, and a token, while the dialogs are deleted.
            if of.conversations and more:
                more -= 1
                with psycopg.connect(db) as connection:
                    connection.execute(
                        "INSERT INTO conversation_store.dialog (id, tenant_id) VALUES (%s, %s)",
                        [f"{ids[0]}{more}", tenant],
                    )
                    connection.execute(
                        "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id) VALUES (%s, %s, %s)",
                        [uuid.uuid4().hex, tenant, f"{ids[0]}{more}"],
                    )
                    connection.execute(
                        "INSERT INTO conversation_store.api_token (tenant_id, token_digest, hint) VALUES (%s, sha256(%s), '')",
                        [tenant, uuid.uuid4().bytes],
                    )

        deleted = store.tenants.delete_by_id(tenant, on_progress=come_in)
        assert deleted == DeletedTenant(tokens=7, conversations=24, dialogs=6)
        assert left(other, tenant) == (0, 0, 0)


def test_whoever_deletes_the_same_at_the_same_time_returns_when_all_is_gone(
    api: SyncApi | AsyncApi, db: str, tenant: str
) -> None:
    with api.store(db, min_size=4, max_size=4) as store:
        for round_ in range(5):
            ids = fill(store, f"{tenant}{round_}", each=60)

            def left_behind(s: Any, call: Any) -> Any:
                if isinstance(api, SyncApi):
                    return call(s), s.conversations.count(tenant_id=f"{tenant}{round_}")

                async def both() -> Any:
                    return await call(s), await s.conversations.count(tenant_id=f"{tenant}{round_}")

                return both()

            by_dialogs = lambda s: s.conversations.delete_by_dialog_ids(ids, batch_size=20)  # noqa: E731
            by_tenant = lambda s: s.tenants.delete_by_id(f"{tenant}{round_}", batch_size=20)  # noqa: E731
            calls = [lambda s, c=c: left_behind(s, c) for c in (by_dialogs, by_dialogs, by_tenant, by_tenant)]
            results = api.together(store, calls)
            assert [left for _, left in results] == [0] * 4
            deleted = [done for done, _ in results]
            assert sum(deleted[:2]) + sum(of.conversations for of in deleted[2:]) == 180
            assert sum(of.dialogs for of in deleted[2:]) == 3


def test_a_conversation_saved_between_two_batches_goes_too(api: SyncApi | AsyncApi, db: str, tenant: str) -> None:
    come: list[str] = []

    def come_in(name: str, _: float, rows: int, error: str | None) -> None:
        """Save one when no conversation is left, just before the dialogs are looked at."""
        if name == "conversation.delete_by_tenant_id" and not come:
            with psycopg.connect(db) as connection:
                left = "SELECT count(*) FROM conversation_store.conversation WHERE tenant_id = %s"
                if connection.execute(left, [tenant]).fetchone() == (0,):
                    come.append(uuid.uuid4().hex)
                    connection.execute(
                        "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id) VALUES (%s, %s, %s)",
                        [come[0], tenant, f"{tenant}-0"],
                    )

    with api.store(db, on_statement=come_in) as store:
        fill(store, tenant)
        assert store.tenants.delete_by_id(tenant) == DeletedTenant(tokens=4, conversations=22, dialogs=3)
        assert len(come) == 1
        assert left(store, tenant) == (0, 0, 0)


def test_a_dialog_that_has_a_conversation_is_skipped(api: SyncApi | AsyncApi, db: str, store: Any, tenant: str) -> None:
    ids = fill(store, tenant, each=0)
    store.conversations.save(dialog_id=ids[1])
    statement = one(load("dialog.delete_by_tenant_id"), Batch, tenant_id=tenant, limit=10)
    with api.store(db) as other:
        executor = getattr(other, "awaited", other)._executor
        assert api.run(lambda: executor.run(statement)) == Batch(deleted=2, found=3)
    assert [dialog.id for dialog in store.dialogs.query(tenant_id=tenant)] == [ids[1]]


def test_the_conversations_of_dialogs_are_deleted(store: Any, tenant: str) -> None:
    ids = fill(store, tenant)
    heard: list[int] = []
    assert store.conversations.delete_by_dialog_ids([]) == 0
    assert store.conversations.delete_by_dialog_ids(["nowhere" + tenant]) == 0
    assert store.conversations.delete_by_dialog_ids(iter(ids[:2]), batch_size=4, on_progress=heard.append) == 14
    assert heard == [4, 8, 12, 14]
    assert left(store, tenant) == (4, 7, 3)
    for wrong in ("text", b"x", 5, None, {"a": 1}):
        with pytest.raises(TypeError, match="ids must be a list of ids"):
            store.conversations.delete_by_dialog_ids(wrong)
    with pytest.raises(ValueError, match=r"ids\[1\] must be given"):
        store.conversations.delete_by_dialog_ids(["a", ""])
    with pytest.raises(ValueError, match="at most 10000 ids, not 10001"):
        store.conversations.delete_by_dialog_ids(map(str, range(10_001)))
    for size in (0, -1, 100_001):
        with pytest.raises(ValueError, match=r"batch_size must be at (least 1|most 100000)"):
            store.conversations.delete_by_dialog_ids(ids, batch_size=size)
    assert left(store, tenant) == (4, 7, 3)


# -- what was not updated since -------------------------------------------------------------------------


@pytest.fixture
def aged(store: Any, tenant: str) -> list[str]:
    """Store, in two dialogs, a conversation of each of the first days of 2024, last updated at noon in UTC."""
    ids = [f"{tenant}-{number}" for number in range(2)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in ids])
    store.conversations.insert_many(
        {
            "id": f"{id}-{day}",
            "dialog_id": id,
            "create_date": "2023-01-01",
            "update_date": datetime(2024, 1, day, 12, tzinfo=UTC),
        }
        for id in ids
        for day in range(1, 8)
    )
    return ids


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 7, 100])
def test_conversations_not_updated_since_a_day_are_deleted(
    store: Any, tenant: str, aged: list[str], batch_size: int
) -> None:
    heard: list[int] = []
    delete = store.conversations.delete_not_updated_since
    assert delete("2024-01-04", tenant_id="foreign" + tenant) == 0
    assert delete("2024-01-04", tenant_id=tenant, batch_size=batch_size, on_progress=heard.append) == 6
    assert heard[-1] == 6
    assert heard == sorted(set(heard))
    kept = sorted(c.id for c in store.conversations.iter(tenant_id=tenant))
    assert kept == sorted(f"{id}-{day}" for id in aged for day in range(4, 8))
    assert delete(date(2024, 1, 4), tenant_id=tenant, batch_size=batch_size) == 0


def test_the_date_may_be_an_instant_or_in_a_time_zone_and_one_dialogs(store: Any, tenant: str, aged: list[str]) -> None:
    delete = store.conversations.delete_not_updated_since
    assert delete("2024-01-02T12:00:00Z", dialog_id=aged[0]) == 1  # that of noon itself is kept
    assert delete(datetime(2024, 1, 2, 12, 0, 0, 1, tzinfo=UTC), dialog_id=aged[0]) == 1
    # The fourth begins at 13:00 of the third in UTC there.
    assert delete("2024-01-04", tenant_id=tenant, time_zone="Pacific/Noumea") == 1 + 3
    assert delete("2024-01-04", dialog_id=aged[0], tenant_id="foreign") == 0
    for wrong, error in (("now", ValueError), ("", ValueError), (None, TypeError), (5, TypeError)):
        with pytest.raises(error, match="date must be"):
            delete(wrong, tenant_id=tenant)
    with pytest.raises(ValueError, match="tenant_id"):
        delete("2024-01-04", tenant_id="")
    assert store.conversations.count(tenant_id=tenant) == 4 + 4


def test_without_a_tenant_it_is_every_tenants(api: SyncApi | AsyncApi, database: str) -> None:
    with api.store(database) as store:
        for tenant in "ab":
            store.dialogs.save(id=tenant, tenant_id=tenant)
            store.conversations.insert_many([{"dialog_id": tenant, "create_date": "2024-01-01"}] * 5)
            store.conversations.save(dialog_id=tenant)
        assert store.conversations.delete_not_updated_since("2024-01-02", batch_size=2) == 10
        assert store.conversations.count() == 2


def test_one_that_is_updated_while_it_is_waited_for_is_kept(
    api: SyncApi | AsyncApi, db: str, store: Any, tenant: str, aged: list[str]
) -> None:
    """The statement finds it old, waits for the writer that holds it, and looks again."""
    id = f"{aged[0]}-1"
    with psycopg.connect(db) as writer, api.store(db) as waiting:
        writer.execute("UPDATE conversation_store.conversation SET update_date = now() WHERE id = %s", [id])
        (deleted, _) = api.together(
            waiting,
            [
                lambda s: s.conversations.delete_not_updated_since("2024-01-02", dialog_id=aged[0]),
                lambda s: commit_when_waited_for(api, db, writer),
            ],
        )
        assert deleted == 0
    assert store.conversations.get_by_id(id) is not None
