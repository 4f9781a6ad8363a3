"""One run of an import: what the steps of its tables share, and how they store rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import psycopg

from conversation_store import _validation as validate
from conversation_store._conversation_input import NewConversation
from conversation_store.errors import AlreadyExists, RevisionConflict, StoreError
from conversation_store.ragflow._report import Reporter
from conversation_store.ragflow._source_rows import SourceConversation, SourceDialog, SourceToken
from conversation_store.ragflow._sources import Source
from conversation_store.ragflow._stored import ImportedConversation
from conversation_store.ragflow._wall_clock import WallClock


@dataclass(slots=True)
class Row:
    """A row to store: its values, what was repaired, and how its dates contradict each other."""

    id: str
    values: dict[str, Any]
    repairs: list[str] = field(default_factory=list[str])
    date_conflict: str = ""
    new: NewConversation | None = None
    stored: ImportedConversation | None = None  # what it replaces


class ChangedMeanwhile(StoreError):
    """A row to take again was changed or deleted here since it was found."""


Write: TypeAlias = Callable[[Any, list[Row]], Generator[Any, Any, None]]
"""The steps that write rows in a transaction."""
IsThere: TypeAlias = Callable[[Row], Generator[Any, Any, bool]]
"""The steps that say whether somebody else has stored a row."""


@dataclass(slots=True)
class Run:
    """The source and the store, sync or on asyncio, as what their methods return is; and what is known so far."""

    source: Source
    transact: Callable[..., Any]
    clock: WallClock
    limit: int
    reporter: Reporter
    check: bool  # write nothing
    update: bool  # take rows again that are newer there
    store: Any = None  # once it is open
    estimates: dict[str, int] = field(default_factory=dict[str, int])
    # The tenant of each dialog of the source that is stored: its conversations are this tenant's.
    tenants: dict[str, str] = field(default_factory=dict[str, str])
    # Agents that were rejected because a dialog has the same id: their sessions are not the dialog's.
    agents_rejected: set[str] = field(default_factory=set[str])

    def write(
        self, table: str, rows: list[Row], write: Write, is_there: IsThere | None = None, *, again: bool = False
    ) -> Generator[Any, Any, list[Row]]:
        """Store rows together, or one by one where that fails: no single row stops the import.

        Return those that are stored, by somebody else too: such a one is skipped. A row is reported before it is
        committed: if the import is interrupted, the next run reports it. A check reports and returns them as if they
        were stored.
        """

        def steps(tx: Any) -> Generator[Any, Any, None]:
            if not self.check:
                yield from write(tx, rows)
            for row in rows:
                self.reporter.changed(table, row.id, row.repairs, row.date_conflict)

        refuse = self.reporter.rejected
        reason: str | None = None
        exists = False
        try:
            if self.check:
                yield from steps(None)
            elif rows:
                yield self.transact(self.store, steps)
        except (RevisionConflict, ChangedMeanwhile):
            refuse = self.reporter.kept
            reason = "it was changed here while it was imported again, and is kept as it is here"
        except (StoreError, psycopg.DataError, psycopg.IntegrityError) as error:
            reason = str(error).partition("\n")[0]
            exists = isinstance(error, AlreadyExists)
        if reason is None:
            for row in rows:
                self.reporter.stored(
                    table, again=again, repaired=bool(row.repairs), date_conflict=bool(row.date_conflict)
                )
            return rows
        if len(rows) == 1:
            if exists and is_there is not None and (yield from is_there(rows[0])):
                self.reporter.skipped(table, newer=False)
                return rows
            refuse(table, rows[0].id, reason)
            return []
        stored: list[Row] = []
        for row in rows:
            stored += yield from self.write(table, [row], write, is_there, again=again)
        return stored

    def dated(
        self,
        id: str,
        row: SourceDialog | SourceToken | SourceConversation,
        values: dict[str, Any],
        *,
        undated: str = "now",
    ) -> Row:
        """Return the row to store with its dates as instants; *undated* says what one without any gets."""
        repairs: list[str] = []
        conflicts: list[str] = []
        for kind in ("create", "update"):
            date: datetime | None = getattr(row, f"{kind}_date")
            read = self.clock.read(kind, date, getattr(row, f"{kind}_time"))
            if date is None:
                instead = "the date of its creation" if kind == "update" else undated
                repairs.append(f"it had no usable {kind}_date and got {f'{kind}_time' if read.from_time else instead}")
            if read.conflict:
                conflicts.append(read.conflict)
            values[f"{kind}_date"] = read.instant
        return Row(id, values, repairs, "; ".join(conflicts))

    def changed(self, row: Any) -> datetime | None:
        """Return when a row there was changed; None where it has no date."""
        return self.clock.read("update", row.update_date, row.update_time).instant

    def is_newer(self, row: Any, than: datetime) -> bool:
        """Return whether a row there was changed later than *than*; one without a date was not."""
        changed = self.changed(row)
        return changed is not None and changed > than


def by_tenant(keys: Iterable[tuple[str | None, str]]) -> Iterable[tuple[str, list[str]]]:
    """Return, of pairs of a tenant and an id, those that the store can be asked for, by tenant."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for tenant_id, id in keys:
        if fits(tenant_id) and fits(id):
            ids[str(tenant_id)].append(id)
    return sorted(ids.items())


def fits(id: str | None) -> bool:
    """Return whether the store can be asked for an id."""
    return id is not None and 0 < len(id) <= validate.MAX_ID and validate.unstorable(id) is None
