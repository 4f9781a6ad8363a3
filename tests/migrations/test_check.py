"""`check_schema` and `check_schema_async`: what is missing, changed or invalid."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from conversation_store import InvalidArgument, check_schema, check_schema_async
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.schema import NAMES, migration, schema_with

Api = SyncApi | AsyncApi


def run(api: Api, conninfo: str) -> list[str]:
    """Check by the function of the API."""
    return check_schema(conninfo) if isinstance(api, SyncApi) else api.run(lambda: check_schema_async(conninfo))


def change(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_migrated_database_has_no_problems(api: Api, database: str) -> None:
    assert run(api, database) == []
    assert call("migrate", "--check", database=database) == (0, "ok\n", "")


def test_an_empty_database_lacks_every_migration(api: Api, empty_database: str) -> None:
    assert run(api, empty_database) == [f"migration {name} is missing" for name in NAMES]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regnamespace('conversation_store')").fetchone() == (None,)


INDEX = "conversation_tenant_id_create_date_idx"
BROKEN: list[tuple[Sequence[str], list[str]]] = [
    ([f"DROP INDEX conversation_store.{INDEX}"], [f"index {INDEX} on conversation_store.conversation is missing"]),
    (
        [f"UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'conversation_store.{INDEX}'::regclass"],
        [f"index {INDEX} on conversation_store.conversation is invalid"],
    ),
    (
        ["ALTER TABLE conversation_store.conversation DROP CONSTRAINT conversation_id_check"],
        ["constraint conversation_id_check on conversation_store.conversation is missing"],
    ),
    (
        [
            "ALTER TABLE conversation_store.conversation DROP CONSTRAINT conversation_id_check",
            "ALTER TABLE conversation_store.conversation ADD CONSTRAINT conversation_id_check CHECK (id <> '') NOT VALID",
        ],
        ["constraint conversation_id_check on conversation_store.conversation is invalid"],
    ),
    (
        ["UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'conversation_store.api_token_pkey'::regclass"],
        ["constraint api_token_pkey on conversation_store.api_token is invalid"],
    ),
    (
        ["DELETE FROM conversation_store.schema_migrations WHERE version = '0003'"],
        [f"migration {NAMES[2]} is missing"],
    ),
    (
        ["UPDATE conversation_store.schema_checksums SET sha256 = '0' WHERE version = '0002'"],
        [f"migration {NAMES[1]} is not what was applied: its file was changed afterwards"],
    ),
    (["DROP TABLE conversation_store.schema_checksums"], []),  # as dbmate leaves it
]


@pytest.mark.parametrize(("statements", "expected"), BROKEN)
def test_what_is_broken_is_named(api: Api, database: str, statements: Sequence[str], expected: list[str]) -> None:
    change(database, *statements)
    assert run(api, database) == expected
    done = call("migrate", "--check", database=database)
    assert done == (1 if expected else 0, "".join(f"{line}\n" for line in expected or ["ok"]), "")


def test_what_a_later_migration_drops_is_not_expected(api: Api, database: str) -> None:
    dropping = migration(f"DROP INDEX CONCURRENTLY IF EXISTS conversation_store.{INDEX};", option=" transaction:false")
    with schema_with(_9999_drop=dropping):
        assert run(api, database) == ["migration 9999_drop is missing"]
        assert call("migrate", database=database).stdout == "9999_drop\n"
        assert run(api, database) == []
    assert run(api, database) == [f"index {INDEX} on conversation_store.conversation is missing"]


def test_a_malformed_connection_string_is_refused(api: Api) -> None:
    with pytest.raises(InvalidArgument, match="conninfo must be"):
        run(api, "mysql://u:p@h/d")
