"""Moving over: dialogs, agents, API tokens and API conversations of a RAGFlow database in PostgreSQL.

Rows are read page by page and stored batch by batch. What is there already is passed over, so a run that was
interrupted is resumed, and a run that was complete repeated, by running again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast

import psycopg

from conversation_store import _arguments as check
from conversation_store import _fields
from conversation_store._bulk import insert_conversations
from conversation_store._json import loads
from conversation_store._query import load
from conversation_store._rows import milliseconds
from conversation_store._runner import Level, Runner
from conversation_store._statement import many
from conversation_store.api_tokens import hint_of
from conversation_store.dialogs import checked_dialog
from conversation_store.errors import MigrationError, StoreError
from conversation_store.store import ConversationStore, Transaction

Outcome: TypeAlias = Literal["altered", "refused", "dates"]


@dataclass(frozen=True, slots=True)
class Report:
    """A row that was not taken as it was: "altered", "refused", or taken with "dates" that contradict each other."""

    table: str
    id: str
    outcome: Outcome
    reason: str


@dataclass(slots=True)
class Totals:
    """What became of the rows of a table: `read` is the sum of `taken`, `altered`, `present` and `refused`.

    `present` rows were in the store already. `dates` counts, among the taken and the altered, those with two dates of
    their creation or change that contradict each other by more than a second.
    """

    read: int = 0
    taken: int = 0
    altered: int = 0
    present: int = 0
    refused: int = 0
    dates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    name: str
    estimate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialog:
    id: str
    tenant_id: str | None
    name: str | None
    is_dialog: bool
    create_time: int | None
    update_time: int | None
    create_date: datetime | None
    update_date: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ApiToken:
    tenant_id: str
    token: str
    dialog_id: str | None
    source: str | None
    beta: str | None
    create_time: int | None
    update_time: int | None
    create_date: datetime | None
    update_date: datetime | None
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _ConversationId:
    id: str
    dialog_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conversation:
    id: str
    dialog_id: str | None
    name: str | None
    user_id: str | None
    exp_user_id: str | None
    message: str | None
    reference: str | None
    tokens: int | None
    source: str | None
    dsl: str | None
    duration: float | None
    round: int | None
    thumb_up: int | None
    errors: str | None
    version_title: str | None
    create_time: int | None
    update_time: int | None
    create_date: datetime | None
    update_date: datetime | None


_TABLES = load("ragflow.tables")
_DIALOGS = {"dialog": load("ragflow.dialogs"), "user_canvas": load("ragflow.user_canvas")}
_API_TOKENS = load("ragflow.api_tokens")
_CONVERSATION_IDS = load("ragflow.conversation_ids")
_CONVERSATIONS = load("ragflow.conversations")

_NEEDED = ("dialog", "api_token", "api_4_conversation")
_EMPTY: Mapping[str, Any] = {"message": [], "reference": [], "dsl": {}}
_YEAR_2000 = 946_684_800_000


def import_ragflow(
    source: str,
    target: str,
    *,
    time_zone: str = "UTC",
    batch_size: int = 200,
    on_report: Callable[[Report], object] | None = None,
    on_progress: Callable[[str, int, int | None], object] | None = None,
) -> dict[str, Totals]:
    """Copy a RAGFlow database into a migrated store, which may be in the same database; return totals by table.

    *source* and *target* are connection strings. The dates there are the wall clock of that server, in *time_zone*, an
    IANA name. *on_report* hears of each row that was not taken as it was; *on_progress*, after each batch, of the
    table, the number of its rows read so far, and about how many there are, None where the server does not know.
    Raises `MigrationError` when the tables are not there. SQL: `sql/ragflow/`, and the statements of the store.
    """
    zone = check.time_zone("time_zone", time_zone)
    limit = check.integer("batch_size", batch_size, minimum=1, maximum=check.MAX_IDS)
    check.callback("on_report", on_report)
    check.callback("on_progress", on_progress)
    with (
        # Never prepared, and so planned for its actual values.
        psycopg.connect(source, autocommit=True, client_encoding="UTF8", prepare_threshold=None) as reading,
        psycopg.connect(target, autocommit=True, client_encoding="UTF8") as writing,
        ConversationStore(connection=writing) as store,
    ):
        # Where the dates are with a time zone after all, their wall clock in this one is taken, and so they stay.
        reading.execute("SELECT set_config('TimeZone', %s, FALSE)", [zone])
        level = Level(reading)
        return _Import(Runner(level.one, level.nested), store, zone, limit, on_report, on_progress).run()


class _Import:
    def __init__(
        self,
        source: Runner,
        store: ConversationStore,
        zone: str,
        limit: int,
        on_report: Callable[[Report], object] | None,
        on_progress: Callable[[str, int, int | None], object] | None,
    ) -> None:
        self._source = source
        self._store = store
        self._zone = zone
        self._limit = limit
        self._on_report = on_report
        self._on_progress = on_progress
        self._now = milliseconds(datetime.now(UTC))
        self._totals: dict[str, Totals] = {}
        self._estimates: dict[str, int] = {}
        # The dialogs there that are dialogs of the same tenant here: only in these its conversations are at home.
        self._dialogs_here: set[str] = set()
        # Agents that were refused because a dialog there has the same id: their sessions are not the dialog's.
        self._agents_refused: set[str] = set()

    def run(self) -> dict[str, Totals]:
        tables = self._source.run(many(_TABLES, _Table, names=[*_NEEDED, "user_canvas"]))
        self._estimates = {table.name: table.estimate for table in tables}
        if missing := [name for name in _NEEDED if name not in self._estimates]:
            raise MigrationError(f"the database to move from has no table public.{' and no public.'.join(missing)}")
        for table in _DIALOGS:
            if table in self._estimates:
                self._totals[table] = Totals()
                self._dialogs(table)
        for table, move in (("api_token", self._api_tokens), ("api_4_conversation", self._conversations)):
            self._totals[table] = Totals()
            move(table)
        return self._totals

    # -- one table each -----------------------------------------------------------------------

    def _dialogs(self, table: str) -> None:
        after_id: str | None = None
        while page := self._source.run(
            many(_DIALOGS[table], _Dialog, after_id=after_id, time_zone=self._zone, limit=self._limit)
        ):
            after_id = page[-1].id
            there = {dialog.id: dialog.tenant_id for dialog in self._store.dialogs.get_by_ids(_usable(page))}
            new: list[_Row] = []
            for row in page:
                if row.is_dialog:
                    self._agents_refused.add(row.id)
                    self._refuse(table, row.id, "a dialog there has this id too")
                elif there.get(row.id) == row.tenant_id and row.tenant_id:
                    self._dialogs_here.add(row.id)
                    self._present(table)
                elif row.id in there:
                    self._refuse(table, row.id, "a dialog with this id belongs to another tenant")
                else:
                    new.append(
                        self._dated(table, row.id, row, {"id": row.id, "tenant_id": row.tenant_id, "name": row.name})
                    )
            self._store_dialogs(table, new)
            self._progress(table, len(page))

    def _store_dialogs(self, table: str, rows: list[_Row]) -> None:
        good: list[_Row] = []
        for row in rows:
            try:
                checked_dialog("dialog", row.values)
            except (ValueError, TypeError) as error:
                self._refuse(table, row.id, str(error))
            else:
                good.append(row)
        for row in self._stored(table, good, lambda tx, some: tx.dialogs.insert_many([r.values for r in some])):
            self._dialogs_here.add(row.id)

    def _stored(self, table: str, rows: list[_Row], store: Callable[[Transaction, list[_Row]], object]) -> list[_Row]:
        """Store rows together, or one by one where that fails: no single row stops the move. Return those taken.

        What is to be said of a row is said before it is committed: if that is interrupted, the next run says it.
        """
        try:
            with self._store.transaction() as tx:
                store(tx, rows)
                for row in rows:
                    self._say(table, row)
        except (StoreError, psycopg.DataError, psycopg.IntegrityError) as error:
            if len(rows) > 1:
                return [taken for row in rows for taken in self._stored(table, [row], store)]
            for row in rows:
                self._refuse(table, row.id, str(error).partition("\n")[0])
            return []
        for row in rows:
            self._take(table, row)
        return rows

    def _api_tokens(self, table: str) -> None:
        after: dict[str, str | None] = dict.fromkeys(("after_position", "after_tenant_id", "after_token"))
        while page := self._source.run(many(_API_TOKENS, _ApiToken, **after, time_zone=self._zone, limit=self._limit)):
            last = page[-1]
            after = {"after_position": last.position, "after_tenant_id": last.tenant_id, "after_token": last.token}
            for row in page:
                self._api_token(table, row)
            self._progress(table, len(page))

    def _api_token(self, table: str, row: _ApiToken) -> None:
        tokens = self._store.tokens
        id = f"{row.tenant_id} {hint_of(row.token)}"
        there = tokens.query(token=row.token)
        if there:
            if there[0].tenant_id == row.tenant_id:
                self._present(table)
            else:
                self._refuse(table, id, "the same token is another tenant's already")
            return
        values = {key: getattr(row, key) for key in ("tenant_id", "token", "source")}
        new = self._dated(table, id, row, values | {"dialog_id": row.dialog_id or None, "beta": row.beta or None})
        if row.beta and not row.beta.strip():
            new.values["beta"] = None
            new.reasons.append("its beta is blank and was left out")
        if row.dialog_id:
            # Without its dialog it would open all of the tenant's.
            dialog = self._store.dialogs.get_by_id(row.dialog_id) if _fits(row.dialog_id) else None
            if dialog is None or dialog.tenant_id != row.tenant_id:
                self._refuse(table, id, f"the tenant has no dialog {row.dialog_id!r}, to which the token is bound")
                return
        if new.values["beta"] and tokens.query(beta=new.values["beta"]):
            new.values["beta"] = None
            new.reasons.append("its beta is another token's already and was left out")
        try:
            check.text("token", row.token)
            if not row.token.strip():
                raise ValueError("token must not be blank")
        except ValueError as error:
            self._refuse(table, id, str(error))
        else:
            self._stored(table, [new], lambda tx, some: [tx.tokens.save(**one.values) for one in some])

    def _conversations(self, table: str) -> None:
        after_id: str | None = None
        while page := self._source.run(many(_CONVERSATION_IDS, _ConversationId, after_id=after_id, limit=self._limit)):
            after_id = page[-1].id
            there = self._store.conversations.get_dialog_ids(_usable(page))
            wanted = [row.id for row in page if row.id not in there]
            for row in page:
                if row.id in there and there[row.id] == row.dialog_id and row.dialog_id in self._dialogs_here:
                    self._present(table)
                elif row.id in there:
                    self._refuse(table, row.id, "a conversation with this id belongs to another dialog")
            found = (
                self._source.run(many(_CONVERSATIONS, _Conversation, ids=wanted, time_zone=self._zone))
                if wanted
                else []
            )
            self._store_conversations(table, found)
            self._progress(table, len(page) - (len(wanted) - len(found)))  # less those that are gone meanwhile

    def _store_conversations(self, table: str, found: list[_Conversation]) -> None:
        good: list[_Row] = []
        for there in found:
            of_agent = there.source == "agent" and there.dialog_id in self._agents_refused
            if there.dialog_id not in self._dialogs_here or of_agent:
                self._refuse(table, there.id, f"its dialog {there.dialog_id!r} is missing, or was refused")
                continue
            row = self._dated(table, there.id, there, _conversation(there))
            _mend(row)
            try:
                row.new = _fields.new("conversation", row.values)
            except (ValueError, TypeError) as error:
                self._refuse(table, there.id, str(error))
            else:
                good.append(row)

        def store(tx: Transaction, rows: list[_Row]) -> None:
            news = (row.new for row in rows if row.new is not None)
            tx.conversations.run_as_one(insert_conversations(news, None))

        self._stored(table, good, store)

    # -- counting and reporting -----------------------------------------------------------------

    def _dated(self, table: str, id: str, row: _Dialog | _ApiToken | _Conversation, values: dict[str, Any]) -> _Row:
        """Return what is to be stored with its dates, which are the wall clock that people saw."""
        reasons: list[str] = []
        contradictions: list[str] = []
        for kind in ("create", "update"):
            date: datetime | None = getattr(row, f"{kind}_date")
            time: int | None = getattr(row, f"{kind}_time")
            plausible = time is not None and _YEAR_2000 <= time <= self._now + 86_400_000
            if plausible and date is not None and abs(milliseconds(date) - cast(int, time)) > 1_000:
                shown = _instant(cast(int, time)).isoformat(" ", "milliseconds")
                contradictions.append(f"{kind}_date is {date.isoformat(' ')}, {kind}_time is {shown}")
            if date is None:
                date = _instant(cast(int, time)) if plausible else None
                instead = f"{kind}_time" if plausible else "the date of its creation" if kind == "update" else "now"
                reasons.append(f"it had no usable {kind}_date and got {instead}")
            values[f"{kind}_date"] = date
        return _Row(id, values, reasons, "; ".join(contradictions))

    def _say(self, table: str, row: _Row) -> None:
        if row.contradiction:
            self._report(Report(table, row.id, "dates", row.contradiction))
        if row.reasons:
            self._report(Report(table, row.id, "altered", "; ".join(row.reasons)))

    def _take(self, table: str, row: _Row) -> None:
        totals = self._totals[table]
        totals.dates += bool(row.contradiction)
        totals.altered += bool(row.reasons)
        totals.taken += not row.reasons

    def _refuse(self, table: str, id: str, reason: str) -> None:
        self._totals[table].refused += 1
        self._report(Report(table, id, "refused", reason))

    def _present(self, table: str) -> None:
        self._totals[table].present += 1

    def _report(self, report: Report) -> None:
        if self._on_report is not None:
            self._on_report(report)

    def _progress(self, table: str, number: int) -> None:
        totals = self._totals[table]
        totals.read += number
        if self._on_progress is not None:
            estimate = self._estimates[table]
            self._on_progress(table, totals.read, estimate if estimate >= 0 else None)


@dataclass(slots=True)
class _Row:
    """A row on its way: what is to be stored, what was altered, and how its dates contradict each other."""

    id: str
    values: dict[str, Any]
    reasons: list[str]
    contradiction: str
    new: _fields.New | None = None


def _usable(rows: Iterable[_Dialog | _ConversationId]) -> list[str]:
    """Return the ids that the store can be asked for."""
    return [row.id for row in rows if _fits(row.id)]


def _fits(id: str | None) -> bool:
    return id is not None and 0 < len(id) <= check.MAX_ID


def _instant(time: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)


def _conversation(row: _Conversation) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    for field in ("create_time", "update_time"):
        del values[field]
    for field in ("tokens", "duration", "round", "thumb_up"):
        values[field] = values[field] or 0
    return values


def _mend(row: _Row) -> None:
    """Read the JSON of a conversation, and put what the store cannot hold into a form that it can."""
    if not math.isfinite(row.values["duration"]):
        row.reasons.append(f"duration was {row.values['duration']} and is 0")
        row.values["duration"] = 0.0
    for field, empty in _EMPTY.items():
        text: str | None = row.values[field]
        if not text:  # which reads as empty there too
            row.values[field] = empty
            continue
        mended: list[str] = []
        try:
            twice: list[str] = []
            value = loads(text, twice)
            mended = [f"{field} had the key {key!r} twice in one object, and has the last" for key in twice]
            try:
                check.json_text(field, value)
            except ValueError:
                value = _storable(field, value, mended)
                check.json_text(field, value)
        except RecursionError:
            value, mended = text, [f"{field} is nested too deep and was kept as its text"]
        except json.JSONDecodeError:
            value, mended = text, [f"{field} is not JSON and was kept as its text"]
        except ValueError as error:  # of a number that is too long, or of the depth
            value, mended = text, [f"{field} was kept as its text: {error}"]
        row.values[field] = value
        row.reasons.extend(mended)


def _storable(path: str, value: Any, mended: list[str]) -> Any:
    """Return a JSON value without U+0000, lone surrogates, NaN and infinities, and note each in *mended*."""
    if isinstance(value, str):
        text = re.sub("[\0\ud800-\udfff]", "\ufffd", value)
        if text != value:
            mended.append(f"{path} had U+0000 or a lone surrogate, which is U+FFFD now")
        return text
    if isinstance(value, float) and not math.isfinite(value):
        mended.append(f"{path} was {value} and is null")
        return None
    if isinstance(value, list):
        members = cast(Sequence[Any], value)
        return [_storable(f"{path}[{index}]", member, mended) for index, member in enumerate(members)]
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for key, member in cast(Mapping[str, Any], value).items():
            new = _storable(f"a key of {path}", key, mended)
            while new != key and (new in result or new in value):
                new += "\ufffd"  # it is another member, and stays one
            result[new] = _storable(f"{path}[{key!r}]", member, mended)
        return result
    return value
