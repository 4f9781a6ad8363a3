"""Migrations and their check on a standby, which can only be read."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from conversation_store import MigrationError, check_schema, check_schema_async, migrate, migrate_async
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.schema import migration, schema_with
from support.standby import Pair, primary_and_standby

pytestmark = pytest.mark.slow

Api = SyncApi | AsyncApi


@pytest.fixture(scope="module")
def pair() -> Generator[Pair]:
    """Give a primary that is migrated, and its standby."""
    with primary_and_standby() as pair:
        migrate(pair.primary.conninfo())
        pair.wait()
        yield pair


def run(api: Api, conninfo: str) -> list[str]:
    """Migrate by the function of the API."""
    return migrate(conninfo) if isinstance(api, SyncApi) else api.run(lambda: migrate_async(conninfo))


def check(api: Api, conninfo: str) -> list[str]:
    """Check by the function of the API."""
    return check_schema(conninfo) if isinstance(api, SyncApi) else api.run(lambda: check_schema_async(conninfo))


def test_on_a_standby_that_is_up_to_date_there_is_nothing_to_do(api: Api, pair: Pair) -> None:
    assert run(api, pair.standby.conninfo()) == []
    assert check(api, pair.standby.conninfo()) == []
    done = call("migrate", database=pair.standby.conninfo())
    assert done == (0, "", "nothing to do: every migration was applied already\n")


def test_on_a_standby_that_is_not_up_to_date_the_error_says_so(api: Api, pair: Pair) -> None:
    with schema_with(_9999_new=migration("SELECT 1;")):
        with pytest.raises(MigrationError, match="9999_new is missing, and this server is a standby"):
            run(api, pair.standby.conninfo())
        assert check(api, pair.standby.conninfo()) == ["migration 9999_new is missing"]
