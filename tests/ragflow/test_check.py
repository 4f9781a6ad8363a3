"""A check of an import: it reports what the import would do, and writes nothing."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow._run import Run
from support import ragflow_layout
from support.both_apis import AsyncApi, SyncApi
from support.ragflow_rows import DATES, SOURCES, import_and_report, run_import, source_of

Api = SyncApi | AsyncApi


@pytest.fixture(scope="module", params=SOURCES)
def old(request: pytest.FixtureRequest) -> Generator[str]:
    """Give a database in the layout of RAGFlow with every kind of row, on each kind of server."""
    with source_of(request) as conninfo:
        yield conninfo


def everything(conninfo: str) -> list[Any]:
    with ConversationStore(conninfo) as store:
        tokens = [token for tenant in ("t1", "t2") for token in store.tokens.query(tenant_id=tenant)]
        return [*store.dialogs.iter(), *store.conversations.iter(), *tokens]


@pytest.mark.parametrize("batch_size", [1, 4, 500])
def test_a_check_gives_the_totals_and_reports_of_the_import_and_writes_nothing(
    api: Api, old: str, database: str, batch_size: int
) -> None:
    checked = import_and_report(api, old, database, batch_size=batch_size, check=True)
    assert everything(database) == []
    assert checked == import_and_report(api, old, database, batch_size=batch_size)


def test_a_check_of_a_store_that_has_a_part_already_gives_the_totals_of_the_next_run(
    api: Api, old: str, database: str
) -> None:
    def stop(table: str, done: int, about: int | None) -> None:
        if table == "api_4_conversation" and done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(api, old, database, batch_size=5, on_progress=stop)
    before = everything(database)
    checked = import_and_report(api, old, database, check=True)
    assert everything(database) == before
    assert checked == import_and_report(api, old, database)
    assert 0 < checked[0]["api_4_conversation"].skipped < checked[0]["api_4_conversation"].read


def test_a_check_counts_what_two_rows_of_one_run_would_take_from_each_other(api: Api, database: str) -> None:
    ragflow_layout.create(database)
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("dialog", "api_4_conversation", "api_token"):
            connection.execute(f"ALTER TABLE public.{table} DROP CONSTRAINT {table}_pkey")
    ragflow_layout.insert(database, "dialog", [DATES | {"id": id, "tenant_id": "t"} for id in ("a", "b", "b", "c")])
    rows = [DATES | {"id": id, "dialog_id": "b"} for id in ("1", "2", "2", "3")]
    ragflow_layout.insert(database, "api_4_conversation", rows)
    keys = [("t", "one", "x"), ("t", "one", "x"), ("u", "one", None), ("u", "two", "x"), ("u", "three", "x")]
    tokens = [DATES | {"tenant_id": tenant, "token": token, "beta": beta} for tenant, token, beta in keys]
    ragflow_layout.insert(database, "api_token", tokens)
    checked = import_and_report(api, database, database, check=True)
    assert checked == import_and_report(api, database, database)
    counted = {table: (of.imported, of.repaired, of.skipped, of.rejected) for table, of in checked[0].items()}
    assert counted["dialog"] == counted["api_4_conversation"] == (3, 0, 0, 1)
    assert counted["api_token"] == (1, 2, 1, 1)


def test_the_server_refuses_what_a_check_would_write(
    api: Api, old: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Run.write

    def unguarded(self: Run, *args: Any, **kwargs: Any) -> Any:
        return write(replace(self, check=False), *args, **kwargs)

    monkeypatch.setattr(Run, "write", unguarded)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        run_import(api, old, database, check=True)
    assert everything(database) == []
