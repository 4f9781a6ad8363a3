"""Import of dialogs, agents, API tokens and API conversations of a RAGFlow database in PostgreSQL.

Rows are read page by page and stored batch by batch. A row that is in the store already is skipped, so a run that was
interrupted is resumed, and a run that was complete repeated, by running again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
from psycopg import IsolationLevel

from conversation_store import _conversation_input as conversation_input
from conversation_store import _dates as dates
from conversation_store import _validation as validate
from conversation_store._conninfo import connector
from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._roots import AsyncConnectionRoot, ConnectionRoot
from conversation_store._statement import many, one
from conversation_store._token_secrets import hint_of
from conversation_store._waiting import drive, drive_async, transact, transact_async
from conversation_store.dialogs import checked_dialog
from conversation_store.errors import InvalidArgument, MigrationError, StoreError
from conversation_store.models import milliseconds
from conversation_store.ragflow import _reader as reader
from conversation_store.ragflow._repair import WRITER, repair
from conversation_store.ragflow._report import Report, Reporter, Row, Totals
from conversation_store.store import AsyncConversationStore, ConversationStore

OnReport = Callable[[Report], object]
OnProgress = Callable[[str, int, int | None], object]

_NEEDED = ("dialog", "api_token", "api_4_conversation")
_YEAR_2000 = 946_684_800_000
# Never prepared, and so planned for its actual values. All of it is one transaction, which the end of the block ends.
_SOURCE: dict[str, Any] = {"client_encoding": "UTF8", "prepare_threshold": None}
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
        connect_source = connector("source", source, psycopg.Connection.connect, **_SOURCE)
        connect_target = connector("target", target, psycopg.Connection.connect, **_TARGET)
    finally:
        del source, target  # a report of a later error may show local variables, and they may hold a password
    zone, limit = _check(time_zone, batch_size, on_report, on_progress)
    with (
        drive(connect_source()) as reading,
        drive(connect_target()) as writing,
        ConversationStore(connection=writing) as store,
    ):
        reporter = Reporter(on_report, on_progress)
        return drive(_Import(Executor(ConnectionRoot(reading)), store, transact, zone, limit, reporter).run())


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
        connect_source = connector("source", source, psycopg.AsyncConnection.connect, **_SOURCE)
        connect_target = connector("target", target, psycopg.AsyncConnection.connect, **_TARGET)
    finally:
        del source, target
    zone, limit = _check(time_zone, batch_size, on_report, on_progress)
    async with (
        await drive_async(connect_source()) as reading,
        await drive_async(connect_target()) as writing,
        AsyncConversationStore(connection=writing) as store,
    ):
        executor = AsyncExecutor(AsyncConnectionRoot(reading))
        steps = _Import(executor, store, transact_async, zone, limit, Reporter(on_report, on_progress)).run()
        return await drive_async(steps)


def _check(
    time_zone: object, batch_size: object, on_report: OnReport | None, on_progress: OnProgress | None
) -> tuple[str, int]:
    validate.callback("on_report", on_report)
    validate.callback("on_progress", on_progress)
    limit = validate.integer("batch_size", batch_size, minimum=1, maximum=validate.MAX_IDS)
    return dates.time_zone("time_zone", time_zone), limit


class _Import:
    """The steps of an import: *source* and *store* are sync or async, and so is what their methods return."""

    def __init__(
        self,
        source: Executor | AsyncExecutor,
        store: Any,
        transact: Callable[..., Any | Awaitable[Any]],
        zone: str,
        limit: int,
        reporter: Reporter,
    ) -> None:
        self._source: Any = source
        self._store = store
        self._transact = transact
        self._zone = zone
        self._limit = limit
        self._reporter = reporter
        self._now = milliseconds(datetime.now(UTC))
        self._estimates: dict[str, int] = {}
        # The tenant of each dialog of the source that is stored: its conversations are this tenant's.
        self._tenants: dict[str, str] = {}
        # Agents that were rejected because a dialog has the same id: their sessions are not the dialog's.
        self._agents_rejected: set[str] = set()

    def run(self) -> Generator[Any, Any, dict[str, Totals]]:
        """Import all tables and return the totals."""
        reading = self._source.source.connection
        yield reading.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        yield reading.set_read_only(True)
        yield self._source.run(one(reader.SETTINGS, reader.SourceSettings, time_zone=self._zone))
        tables = yield self._source.run(many(reader.TABLES, reader.SourceTable, names=[*_NEEDED, "user_canvas"]))
        self._estimates = {table.name: table.estimate for table in tables}
        if missing := [name for name in _NEEDED if name not in self._estimates]:
            raise MigrationError(f"the database to import has no table public.{' and no public.'.join(missing)}")
        totals = self._reporter.totals
        for table in reader.DIALOGS:
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
            yield self._source.run(
                many(
                    reader.DIALOGS[table],
                    reader.SourceDialog,
                    after_id=after_id,
                    time_zone=self._zone,
                    limit=self._limit,
                )
            )
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
        while page := (
            yield self._source.run(
                many(reader.API_TOKENS, reader.SourceToken, **after, time_zone=self._zone, limit=self._limit)
            )
        ):
            last = page[-1]
            after = {"after_position": last.position, "after_tenant_id": last.tenant_id, "after_token": last.token}
            for row in page:
                yield from self._api_token(table, row)
            self._reporter.progress(table, len(page), self._estimates)

    def _api_token(self, table: str, row: reader.SourceToken) -> Generator[Any, Any, None]:
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
            yield self._source.run(
                many(reader.CONVERSATION_IDS, reader.SourceConversationId, after_id=after_id, limit=self._limit)
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
            statement = many(reader.CONVERSATIONS, reader.SourceConversation, ids=wanted, time_zone=self._zone)
            rows: list[reader.SourceConversation] = (yield self._source.run(statement)) if wanted else []
            yield from self._store_conversations(table, rows)
            self._reporter.progress(table, len(page), self._estimates)

    def _store_conversations(self, table: str, found: list[reader.SourceConversation]) -> Generator[Any, Any, None]:
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
        row: reader.SourceDialog | reader.SourceToken | reader.SourceConversation,
        values: dict[str, Any],
    ) -> Row:
        """Return the row to import with its dates, which are the wall clock that people saw."""
        repairs: list[str] = []
        conflicts: list[str] = []
        for kind in ("create", "update"):
            date: datetime | None = getattr(row, f"{kind}_date")
            time: int | None = getattr(row, f"{kind}_time")
            plausible = time is not None and _YEAR_2000 <= time <= self._now + 86_400_000
            if plausible and date is not None and abs(milliseconds(date) - cast(int, time)) > 1_000:
                shown = _instant(cast(int, time)).isoformat(" ", "milliseconds")
                conflicts.append(f"{kind}_date is {date.isoformat(' ')}, {kind}_time is {shown}")
            if date is None:
                date = _instant(cast(int, time)) if plausible else None
                instead = f"{kind}_time" if plausible else "the date of its creation" if kind == "update" else "now"
                repairs.append(f"it had no usable {kind}_date and got {instead}")
            values[f"{kind}_date"] = date
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


def _instant(time: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)


def _conversation(row: reader.SourceConversation) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    for field in ("create_time", "update_time"):
        del values[field]
    for field in ("tokens", "duration", "round", "thumb_up"):
        values[field] = values[field] or 0
    return values
