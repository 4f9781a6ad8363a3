"""The isolation of a transaction, and transactions that only read."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from conversation_store import InvalidArgument, InvalidArgumentType
from support.both_apis import AsyncApi, SyncApi


@pytest.mark.parametrize("autocommit", [True, False])
def test_isolation_and_read_only_apply_to_the_transaction_and_to_no_later_one(
    api: SyncApi | AsyncApi, db: str, dialog: str, autocommit: bool
) -> None:
    with (
        api.pool(db, max_size=1, kwargs={"autocommit": autocommit}) as pool,
        api.store(pool=pool) as store,
        api.store(db) as other,
    ):
        with store.transaction(isolation="repeatable read", read_only=True) as tx:
            assert tx.conversations.count(dialog_id=dialog) == 0
            other.conversations.save(dialog_id=dialog)
            assert tx.conversations.count(dialog_id=dialog) == 0
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), tx.transaction() as inner:
                inner.conversations.save(dialog_id=dialog)
            assert tx.conversations.count(dialog_id=dialog) == 0
        with store.transaction(isolation="read committed") as tx:
            assert tx.conversations.count(dialog_id=dialog) == 1
            other.conversations.save(dialog_id=dialog)
            assert tx.conversations.count(dialog_id=dialog) == 2
        assert store.conversations.save(dialog_id=dialog).id


def test_serializable_transactions_that_contradict_each_other_do_not_both_commit(
    api: SyncApi | AsyncApi, db: str, dialog: str
) -> None:
    with (
        api.store(db) as one,
        api.store(db) as two,
        pytest.raises(psycopg.errors.SerializationFailure),
        one.transaction(isolation="serializable") as tx,
        two.transaction(isolation="serializable") as other,
    ):
        assert tx.conversations.count(dialog_id=dialog) == other.conversations.count(dialog_id=dialog) == 0
        tx.conversations.save(dialog_id=dialog)
        other.conversations.save(dialog_id=dialog)
    with api.store(db) as store:
        assert store.conversations.count(dialog_id=dialog) == 1


@pytest.mark.parametrize("wrong", ["serialisable", "", 1, "READ COMMITTED; DROP TABLE x"])
def test_an_unknown_isolation_is_an_error_and_no_transaction_begins(store: Any, wrong: Any) -> None:
    allowed = "isolation must be one of read committed, repeatable read, serializable"
    with pytest.raises(InvalidArgument, match=allowed), store.transaction(isolation=wrong):
        pass
    with pytest.raises(InvalidArgumentType, match="read_only must be a bool"), store.transaction(read_only=1):
        pass


def test_a_savepoint_has_no_isolation_of_its_own(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    with api.store(db) as store, store.transaction(isolation="serializable") as tx:
        for arguments in ({"isolation": "serializable"}, {"read_only": True}):
            with pytest.raises(InvalidArgument, match="outermost"), tx.transaction(**arguments):
                pass
        assert tx.conversations.save(dialog_id=dialog).id
    with api.connect(db) as connection, api.store(connection=connection) as store:
        with pytest.raises(InvalidArgument, match="outermost"), store.transaction(read_only=True):
            pass
        assert store.conversations.save(dialog_id=dialog).id
    with api.connect(db, autocommit=True) as connection, api.store(connection=connection) as store:
        with store.transaction(read_only=True) as tx:
            assert tx.conversations.count(dialog_id=dialog) == 2
        with (
            api.entered(connection.transaction()),
            pytest.raises(InvalidArgument, match="outermost"),
            store.transaction(read_only=True),
        ):
            pass
