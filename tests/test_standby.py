"""A store on a standby: what reads works there, and shows what the standby has replayed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from conversation_store import ConversationStore, migrate
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.operation import Example, Operation, check
from support.standby import Pair, primary_and_standby

READS = [operation for operation in OPERATIONS if not operation.writes]


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
def example(pair: Pair) -> Example:
    """Give an example that is stored on the primary and shown by the standby."""
    example = Example()
    with ConversationStore(pair.primary.conninfo()) as store:
        example.save(store)
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
