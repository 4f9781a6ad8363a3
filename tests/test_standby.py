"""A store on a standby: what does not write works there, and shows what the standby has replayed."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from conversation_store import ConversationStore, migrate
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.operation import Example, Operation, check
from support.standby import Pair, primary_and_standby

READS = [operation for operation in OPERATIONS if not operation.writes]
WRITES = [operation for operation in OPERATIONS if operation.writes]


@pytest.fixture(scope="module")
def pair() -> Generator[Pair]:
    """Give a primary with our schema, and a standby of it."""
    with primary_and_standby() as pair:
        migrate(pair.primary.conninfo())
        yield pair


@pytest.fixture(scope="module")
def standby(api: SyncApi | AsyncApi, pair: Pair) -> Generator[Any]:
    """Give a store of each API on the standby."""
    pair.wait()
    with api.store(pair.standby.conninfo()) as store:
        yield store


@pytest.fixture(scope="module")
def primary(pair: Pair) -> Generator[ConversationStore]:
    """Give a store on the primary."""
    with ConversationStore(pair.primary.conninfo()) as store:
        yield store


@pytest.fixture(scope="module")
def example(pair: Pair, primary: ConversationStore) -> Example:
    """Give an example that is stored on the primary and shown by the standby."""
    example = Example()
    example.save(primary)
    pair.wait()
    return example


@pytest.mark.parametrize("operation", READS, ids=lambda operation: operation.name)
def test_an_operation_that_does_not_write_runs_on_a_standby(
    standby: Any, example: Example, operation: Operation
) -> None:
    check(operation, standby, example)


def test_operations_that_do_not_write_run_in_a_read_only_transaction_on_a_standby(
    standby: Any, example: Example
) -> None:
    with standby.transaction(read_only=True) as tx:
        for operation in READS:
            check(operation, tx, example)


@pytest.mark.parametrize("operation", WRITES, ids=lambda operation: operation.name)
def test_an_operation_that_writes_raises_the_error_of_the_server(
    standby: Any, example: Example, operation: Operation
) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        operation.call(standby, example, **operation.named(example))


def test_a_use_is_not_stamped_on_a_standby(standby: Any, example: Example) -> None:
    for found in (
        standby.tokens.authenticate(example.token, stamp_every=timedelta(0)),
        standby.tokens.authenticate_beta(example.beta, stamp_every=timedelta(0)),
    ):
        assert (found.id, found.use_date) == (example.token_id, None)


def test_a_token_that_was_revoked_authenticates_until_the_standby_has_replayed_it(
    pair: Pair, primary: ConversationStore, standby: Any
) -> None:
    issued = primary.tokens.issue(tenant_id="t")
    pair.wait()
    with pair.lag():
        assert primary.tokens.revoke(issued.id, tenant_id="t") == 1
        assert primary.tokens.authenticate(issued.token) is None
        assert standby.tokens.authenticate(issued.token).id == issued.id
    pair.wait()
    assert standby.tokens.authenticate(issued.token) is None


def test_a_token_that_was_just_issued_is_unknown_until_the_standby_has_replayed_it(
    pair: Pair, primary: ConversationStore, standby: Any
) -> None:
    with pair.lag():
        issued = primary.tokens.issue(tenant_id="t")
        assert standby.tokens.authenticate(issued.token) is None
    pair.wait()
    assert standby.tokens.authenticate(issued.token).id == issued.id
