"""Import of dialogs, agents, API tokens and API conversations of a RAGFlow database.

Rows are read page by page and stored batch by batch. A row that is in the store already is skipped, so a run that was
interrupted is resumed, and a run that was complete repeated, by running again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import psycopg

from conversation_store import _validation as validate
from conversation_store._conninfo import connector
from conversation_store._json_writer import LARGEST_JSON
from conversation_store._operations import executor_of
from conversation_store._sql_loader import load
from conversation_store._statement import one
from conversation_store._waiting import drive, drive_async, transact, transact_async
from conversation_store.errors import MigrationError
from conversation_store.ragflow._import_conversations import import_conversations
from conversation_store.ragflow._import_dialogs import TABLES as DIALOGS
from conversation_store.ragflow._import_dialogs import import_dialogs
from conversation_store.ragflow._import_tokens import import_tokens
from conversation_store.ragflow._layout import check_layout
from conversation_store.ragflow._report import Report, Reporter, Totals
from conversation_store.ragflow._run import Run
from conversation_store.ragflow._source_rows import SourceSettings
from conversation_store.ragflow._sources import Source, async_source_of, source_of
from conversation_store.ragflow._stored import get_import_dates
from conversation_store.ragflow._wall_clock import WallClock
from conversation_store.store import AsyncConversationStore, ConversationStore

OnReport = Callable[[Report], object]
OnProgress = Callable[[str, int, int | None], object]

_TARGET: dict[str, Any] = {"autocommit": True, "client_encoding": "UTF8"}
# Nothing is left behind that fits.
_STORE: dict[str, Any] = {"max_json_bytes": LARGEST_JSON, "repair_json": True}


def import_ragflow(
    source: str,
    target: str,
    *,
    time_zone: str = "UTC",
    check: bool = False,
    update: bool = False,
    batch_size: int = 200,
    on_report: OnReport | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Totals]:
    """Copy a RAGFlow database into a migrated store, and return totals by table.

    A row that is in the store already is skipped. The source is read in one transaction, from one snapshot. Raises
    `MigrationError` when a table or a column of it is missing, or the schema of the store, and `SourceError` when it
    cannot be read. SQL: `sql/ragflow/`, `sql/conversation/get_import_dates.sql`,
    `sql/conversation/set_import_date.sql`, and the statements of the store.

    - *source*, *target*: connection strings; both may name the same database.
    - *time_zone*: the IANA name of the zone whose wall clock the dates of the source are.
    - *check*: read everything and write nothing; the totals and reports are those that the import would give.
    - *update*: take rows again that were changed there since: a conversation that was not changed here is replaced
      whole, one that was is kept and reported; a dialog gets its name, and a token its dialog, source and beta, unless
      it was changed here later. What is no longer there stays here.
    - *batch_size*: how many rows are read and stored at a time.
    - *on_report*: is called with each row that was not imported as it was.
    - *on_progress*: is called after each batch with the table, the number of its rows read so far, and about how many
      there are, None where the server does not know.
    """
    try:
        reading = source_of("source", source)
        connect_target = connector("target", target, psycopg.Connection.connect, **_TARGET)
    finally:
        del source, target  # a report of a later error may show local variables, and they may hold a password
    run = _run(reading, transact, time_zone, check, update, batch_size, on_report, on_progress)
    with (
        closing(reading),
        drive(connect_target()) as writing,
        ConversationStore(connection=writing, **_STORE) as store,
    ):
        return drive(_import(run, store))


async def import_ragflow_async(
    source: str,
    target: str,
    *,
    time_zone: str = "UTC",
    check: bool = False,
    update: bool = False,
    batch_size: int = 200,
    on_report: OnReport | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Totals]:
    """Copy a RAGFlow database as `import_ragflow` does, on asyncio."""
    try:
        reading = async_source_of("source", source)
        connect_target = connector("target", target, psycopg.AsyncConnection.connect, **_TARGET)
    finally:
        del source, target
    run = _run(reading, transact_async, time_zone, check, update, batch_size, on_report, on_progress)
    try:
        async with (
            await drive_async(connect_target()) as writing,
            AsyncConversationStore(connection=writing, **_STORE) as store,
        ):
            return await drive_async(_import(run, store))
    finally:
        await reading.close()


def _run(
    source: Source,
    transact: Callable[..., Any],
    time_zone: object,
    check: object,
    update: object,
    batch_size: object,
    on_report: OnReport | None,
    on_progress: OnProgress | None,
) -> Run:
    validate.callback("on_report", on_report)
    validate.callback("on_progress", on_progress)
    return Run(
        source,
        transact,
        WallClock("time_zone", time_zone),
        validate.integer("batch_size", batch_size, minimum=1, maximum=validate.MAX_IDS),
        Reporter(on_report, on_progress),
        check=validate.boolean("check", check),
        update=validate.boolean("update", update),
    )


def _import(run: Run, store: Any) -> Generator[Any, Any, dict[str, Totals]]:
    def steps(tx: Any) -> Generator[Any, Any, None]:
        yield from _tables(run, tx)

    if run.check:
        yield run.transact(store, steps, read_only=True)  # in which the server refuses to write
    else:
        yield from steps(store)
    return run.reporter.totals


def _tables(run: Run, store: Any) -> Generator[Any, Any, None]:
    """Import all tables into a store, or check them against it in a transaction."""
    run.store = store
    yield from _check_schema(run)
    yield run.source.begin(run.clock.zone)
    run.estimates = yield from check_layout(run.source)
    steps = {
        **{table: import_dialogs for table in DIALOGS if table in run.estimates},
        "api_token": import_tokens,
        "api_4_conversation": import_conversations,
    }
    for table, step in steps.items():
        run.reporter.totals[table] = Totals()
        yield from step(run, table)


def _check_schema(run: Run) -> Generator[Any, Any, None]:
    try:
        yield get_import_dates(run.store, [], "")
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise MigrationError(
            "the database to import into has no schema of this store, or an older one: run `conversation-store migrate`"
        ) from error
    if run.check:
        # The transaction of a check waits too while the source is read.
        settings = one(load("ragflow.settings"), SourceSettings, time_zone=run.clock.zone)
        yield executor_of(run.store).run(settings)
