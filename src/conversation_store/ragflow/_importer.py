"""Import of dialogs, agents, API tokens and API conversations of a RAGFlow database.

Rows are read page by page and stored batch by batch. A row that is in the store already is skipped, so a run that was
interrupted is resumed, and a run that was complete repeated, by running again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import closing
from dataclasses import fields
from datetime import datetime
from typing import Any

import psycopg

from conversation_store import _conversation_input as conversation_input
from conversation_store import _validation as validate
from conversation_store._conninfo import connector
from conversation_store._token_secrets import hint_of
from conversation_store._waiting import drive, drive_async, transact, transact_async
from conversation_store.dialogs import checked_dialog
from conversation_store.errors import InvalidArgument, MigrationError, StoreError
from conversation_store.ragflow import _source_rows as source_rows
from conversation_store.ragflow._repair import WRITER, repair
from conversation_store.ragflow._report import Report, Reporter, Row, Totals
from conversation_store.ragflow._source_rows import SourceConversation
from conversation_store.ragflow._sources import Source, async_source_of, source_of
from conversation_store.ragflow._wall_clock import WallClock
from conversation_store.store import AsyncConversationStore, ConversationStore

OnReport = Callable[[Report], object]
OnProgress = Callable[[str, int, int | None], object]

_NEEDED = ("dialog", "api_token", "api_4_conversation")
# The tables that become dialogs, each with the file of its pages.
_DIALOGS = {"dialog": "dialogs", "user_canvas": "user_canvas"}
_TARGET: dict[str, Any] = {"autocommit": True, "client_encoding": "UTF8"}


def import_ragflow(
    source: str,
    target: str,
    *,
    time_zone: str = "UTC",
    batch_size: int = 200,
    on_report: OnReport | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Totals]:
    """Copy a RAGFlow database into a migrated store, and return totals by table.

    The source is read in one transaction, from one snapshot. Raises `MigrationError` when its tables are missing.
    SQL: `sql/ragflow/`, and the statements of the store.

    - *source*, *target*: connection strings; both may name the same database.
    - *time_zone*: the IANA name of the zone whose wall clock the dates of the source are.
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
    clock, limit = _check(time_zone, batch_size, on_report, on_progress)
    with (
        closing(reading),
        drive(connect_target()) as writing,
        ConversationStore(connection=writing) as store,
    ):
        return drive(_Import(reading, store, transact, clock, limit, Reporter(on_report, on_progress)).run())


async def import_ragflow_async(
    source: str,
    target: str,
    *,
    time_zone: str = "UTC",
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
    clock, limit = _check(time_zone, batch_size, on_report, on_progress)
    try:
        async with (
            await drive_async(connect_target()) as writing,
            AsyncConversationStore(connection=writing) as store,
        ):
            steps = _Import(reading, store, transact_async, clock, limit, Reporter(on_report, on_progress)).run()
            return await drive_async(steps)
    finally:
        await reading.close()


def _check(
    time_zone: object, batch_size: object, on_report: OnReport | None, on_progress: OnProgress | None
) -> tuple[WallClock, int]:
    validate.callback("on_report", on_report)
    validate.callback("on_progress", on_progress)
    limit = validate.integer("batch_size", batch_size, minimum=1, maximum=validate.MAX_IDS)
    return WallClock("time_zone", time_zone), limit


class _Import:
    """The steps of an import: *source* and *store* are sync or async, and so is what their methods return."""

    def __init__(
        self,
        source: Source,
        store: Any,
        transact: Callable[..., Any | Awaitable[Any]],
        clock: WallClock,
        limit: int,
        reporter: Reporter,
    ) -> None:
        self._source = source
        self._store = store
        self._transact = transact
        self._clock = clock
        self._limit = limit
        self._reporter = reporter
        self._estimates: dict[str, int] = {}
        # The tenant of each dialog of the source that is stored: its conversations are this tenant's.
        self._tenants: dict[str, str] = {}
        # Agents that were rejected because a dialog has the same id: their sessions are not the dialog's.
        self._agents_rejected: set[str] = set()

    def run(self) -> Generator[Any, Any, dict[str, Totals]]:
        """Import all tables and return the totals."""
        yield self._source.begin(self._clock.zone)
        tables = yield self._source.read("tables", source_rows.SourceTable, names=[*_NEEDED, "user_canvas"])
        self._estimates = {table.name: table.estimate for table in tables}
        if missing := [name for name in _NEEDED if name not in self._estimates]:
            raise MigrationError(f"the database to import has no table {' and no '.join(missing)}")
        totals = self._reporter.totals
        for table in _DIALOGS:
            if table in self._estimates:
                totals[table] = Totals()
                yield from self._dialogs(table)
        for table, steps in (("api_token", self._api_tokens), ("api_4_conversation", self._conversations)):
            totals[table] = Totals()
            yield from steps(table)
        return totals

    def _dialogs(self, table: str) -> Generator[Any, Any, None]:
        after_id: str | None = None
        while page := (
            yield self._source.read(_DIALOGS[table], source_rows.SourceDialog, after_id=after_id, limit=self._limit)
        ):
            after_id = page[-1].id
            stored: set[tuple[str, str]] = set()
            for tenant_id, rows in _by_tenant((row.tenant_id, row.id) for row in page):
                found = yield self._store.dialogs.get_by_ids(rows, tenant_id=tenant_id)
                stored |= {(tenant_id, dialog.id) for dialog in found}
            new: list[Row] = []
            # A conversation names no tenant: of two dialogs of one id, the one that is stored has it, or the first.
            owners = {row.id: self._tenants[row.id] for row in page if row.id in self._tenants}
            for row in sorted(page, key=lambda row: (row.tenant_id, row.id) not in stored):
                owners.setdefault(row.id, row.tenant_id)
            for row in page:
                if row.is_dialog:
                    self._agents_rejected.add(row.id)
                    self._reporter.rejected(table, row.id, "a dialog there has this id too")
                elif owners[row.id] != row.tenant_id:
                    self._reporter.rejected(table, row.id, "a dialog of another tenant there has this id too")
                elif (row.tenant_id, row.id) in stored:
                    self._tenants[row.id] = row.tenant_id
                    self._reporter.skipped(table)
                else:
                    new.append(self._dated(row.id, row, {"id": row.id, "tenant_id": row.tenant_id, "name": row.name}))
            yield from self._store_dialogs(table, new)
            self._reporter.progress(table, len(page), self._estimates)

    def _store_dialogs(self, table: str, rows: list[Row]) -> Generator[Any, Any, None]:
        good: list[Row] = []
        for row in rows:
            try:
                checked_dialog("dialog", row.values)
            except (ValueError, TypeError) as error:
                self._reporter.rejected(table, row.id, str(error))
            else:
                good.append(row)

        def insert(tx: Any, some: list[Row]) -> Generator[Any, Any, None]:
            yield tx.dialogs.insert_many([row.values for row in some])

        stored = yield from self._stored(table, good, insert)
        self._tenants.update((row.id, row.values["tenant_id"]) for row in stored)

    def _stored(
        self, table: str, rows: list[Row], insert: Callable[[Any, list[Row]], Generator[Any, Any, None]]
    ) -> Generator[Any, Any, list[Row]]:
        """Store rows together, or one by one where that fails: no single row stops the import. Return those stored.

        A row is reported before it is committed: if the import is interrupted, the next run reports it.
        """

        def steps(tx: Any) -> Generator[Any, Any, None]:
            yield from insert(tx, rows)
            for row in rows:
                self._reporter.changed(table, row)

        try:
            yield self._transact(self._store, steps)
        except (StoreError, psycopg.DataError, psycopg.IntegrityError) as error:
            failed = str(error).partition("\n")[0]
        else:
            for row in rows:
                self._reporter.imported(table, row)
            return rows
        if len(rows) == 1:
            self._reporter.rejected(table, rows[0].id, failed)
            return []
        stored: list[Row] = []
        for row in rows:
            stored += yield from self._stored(table, [row], insert)
        return stored

    def _api_tokens(self, table: str) -> Generator[Any, Any, None]:
        after: dict[str, str | None] = dict.fromkeys(("after_position", "after_tenant_id", "after_token"))
        while page := (yield self._source.read("api_tokens", source_rows.SourceToken, **after, limit=self._limit)):
            last = page[-1]
            after = {"after_position": last.position, "after_tenant_id": last.tenant_id, "after_token": last.token}
            for row in page:
                yield from self._api_token(table, row)
            self._reporter.progress(table, len(page), self._estimates)

    def _api_token(self, table: str, row: source_rows.SourceToken) -> Generator[Any, Any, None]:
        tokens = self._store.tokens
        id = f"{row.tenant_id} {hint_of(row.token)}"
        if found := (yield tokens.query(token=row.token)):
            if found[0].tenant_id == row.tenant_id:
                self._reporter.skipped(table)
            else:
                self._reporter.rejected(table, id, "the same token is another tenant's already")
            return
        values = {key: getattr(row, key) for key in ("tenant_id", "token", "source")}
        new = self._dated(id, row, values | {"dialog_id": row.dialog_id or None, "beta": row.beta or None})
        if row.beta and not row.beta.strip():
            new.values["beta"] = None
            new.repairs.append("its beta is blank and was left out")
        if row.dialog_id:
            # Without its dialog it would open all of the tenant's.
            usable = _fits(row.dialog_id) and _fits(row.tenant_id)
            if not usable or not (yield self._store.dialogs.get_by_id(row.dialog_id, tenant_id=row.tenant_id)):
                self._reporter.rejected(table, id, f"the tenant has no dialog {row.dialog_id!r}, which the token needs")
                return
        if new.values["beta"] and (yield tokens.query(beta=new.values["beta"])):
            new.values["beta"] = None
            new.repairs.append("its beta is another token's already and was left out")
        try:
            validate.text("token", row.token)
            if not row.token.strip():
                raise InvalidArgument("token must not be blank")
        except ValueError as error:
            self._reporter.rejected(table, id, str(error))
            return

        def insert(tx: Any, some: list[Row]) -> Generator[Any, Any, None]:
            for token in some:
                yield tx.tokens.save(**token.values, allow_weak=True)

        yield from self._stored(table, [new], insert)

    def _conversations(self, table: str) -> Generator[Any, Any, None]:
        after_id: str | None = None
        while page := (
            yield self._source.read(
                "conversation_ids", source_rows.SourceConversationId, after_id=after_id, limit=self._limit
            )
        ):
            after_id = page[-1].id
            dialogs: dict[tuple[str, str], str] = {}
            for tenant_id, ids in _by_tenant((self._tenants.get(row.dialog_id), row.id) for row in page):
                found = yield self._store.conversations.get_dialog_ids(ids, tenant_id=tenant_id)
                dialogs |= {(tenant_id, id): dialog_id for id, dialog_id in found.items()}
            wanted: list[str] = []
            for row in page:
                dialog_id = dialogs.get((self._tenants.get(row.dialog_id, ""), row.id))
                if dialog_id is None:
                    wanted.append(row.id)
                elif dialog_id == row.dialog_id:
                    self._reporter.skipped(table)
                else:
                    self._reporter.rejected(table, row.id, "a conversation with this id belongs to another dialog")
            if wanted:
                rows = yield self._source.read("conversations", SourceConversation, ids=wanted)
                yield from self._store_conversations(table, rows)
            self._reporter.progress(table, len(page), self._estimates)

    def _store_conversations(self, table: str, found: list[SourceConversation]) -> Generator[Any, Any, None]:
        good: list[Row] = []
        for source in found:
            of_agent = source.source == "agent" and source.dialog_id in self._agents_rejected
            if source.dialog_id not in self._tenants or of_agent:
                reason = f"its dialog {source.dialog_id!r} is missing, or was rejected"
                self._reporter.rejected(table, source.id, reason)
                continue
            row = self._dated(source.id, source, _conversation(source) | {"tenant_id": self._tenants[source.dialog_id]})
            row.repairs.extend(repair(row.values))
            try:
                row.new = conversation_input.read_new("conversation", row.values, WRITER)
            except (ValueError, TypeError) as error:
                self._reporter.rejected(table, source.id, str(error))
            else:
                good.append(row)

        def insert(tx: Any, rows: list[Row]) -> Generator[Any, Any, None]:
            yield tx.conversations.insert_many(row.new for row in rows)

        yield from self._stored(table, good, insert)

    def _dated(
        self,
        id: str,
        row: source_rows.SourceDialog | source_rows.SourceToken | SourceConversation,
        values: dict[str, Any],
    ) -> Row:
        """Return the row to import with its dates, which are the wall clock that people saw."""
        repairs: list[str] = []
        conflicts: list[str] = []
        for kind in ("create", "update"):
            date: datetime | None = getattr(row, f"{kind}_date")
            read = self._clock.read(kind, date, getattr(row, f"{kind}_time"))
            if date is None:
                instead = "the date of its creation" if kind == "update" else "now"
                repairs.append(f"it had no usable {kind}_date and got {f'{kind}_time' if read.from_time else instead}")
            if read.conflict:
                conflicts.append(read.conflict)
            values[f"{kind}_date"] = read.instant
        return Row(id, values, repairs, "; ".join(conflicts))


def _by_tenant(keys: Iterable[tuple[str | None, str]]) -> Iterable[tuple[str, list[str]]]:
    """Return, of pairs of a tenant and an id, those that the store can be asked for, by tenant."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for tenant_id, id in keys:
        if tenant_id is not None and _fits(tenant_id) and _fits(id):
            ids[tenant_id].append(id)
    return sorted(ids.items())


def _fits(id: str | None) -> bool:
    return id is not None and 0 < len(id) <= validate.MAX_ID


def _conversation(row: SourceConversation) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    for field in ("create_time", "update_time"):
        del values[field]
    for field in ("tokens", "duration", "round", "thumb_up"):
        values[field] = values[field] or 0
    return values
