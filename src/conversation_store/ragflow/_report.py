"""What an import reports: the rows that were not imported as they were, and totals of each table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from conversation_store._conversation_input import NewConversation

Outcome: TypeAlias = Literal["repaired", "rejected", "date_conflict"]


@dataclass(frozen=True, slots=True)
class Report:
    """A row that was repaired, was rejected, or was imported though its dates contradict each other."""

    table: str
    id: str
    outcome: Outcome
    reason: str


@dataclass(slots=True)
class Totals:
    """What became of the rows of a table: `read` is the sum of `imported`, `repaired`, `skipped` and `rejected`.

    `skipped` rows were in the store already. `date_conflicts` counts, among the imported and the repaired, those with
    two dates of their creation or change that are more than a second apart.
    """

    read: int = 0
    imported: int = 0
    repaired: int = 0
    skipped: int = 0
    rejected: int = 0
    date_conflicts: int = 0


@dataclass(slots=True)
class Row:
    """A row to import: its values for the store, what was repaired, and how its dates contradict each other."""

    id: str
    values: dict[str, Any]
    repairs: list[str]
    date_conflict: str
    new: NewConversation | None = None


class Reporter:
    """Counts the rows of each table and calls the callbacks of the caller."""

    def __init__(
        self,
        on_report: Callable[[Report], object] | None,
        on_progress: Callable[[str, int, int | None], object] | None,
    ) -> None:
        self.totals: dict[str, Totals] = {}
        self._on_report = on_report
        self._on_progress = on_progress

    def imported(self, table: str, row: Row) -> None:
        """Count a row that is in the store now."""
        totals = self.totals[table]
        totals.date_conflicts += bool(row.date_conflict)
        totals.repaired += bool(row.repairs)
        totals.imported += not row.repairs

    def skipped(self, table: str) -> None:
        """Count a row that was in the store already."""
        self.totals[table].skipped += 1

    def rejected(self, table: str, id: str, reason: str) -> None:
        """Count and report a row that cannot be imported."""
        self.totals[table].rejected += 1
        self._report(Report(table, id, "rejected", reason))

    def changed(self, table: str, row: Row) -> None:
        """Report how a row that is about to be stored differs from what it was."""
        if row.date_conflict:
            self._report(Report(table, row.id, "date_conflict", row.date_conflict))
        if row.repairs:
            self._report(Report(table, row.id, "repaired", "; ".join(row.repairs)))

    def progress(self, table: str, number: int, estimates: Mapping[str, int]) -> None:
        """Count the rows of a batch, and report how far the table is read."""
        totals = self.totals[table]
        totals.read += number
        if self._on_progress is not None:
            estimate = estimates[table]
            self._on_progress(table, totals.read, estimate if estimate >= 0 else None)

    def _report(self, report: Report) -> None:
        if self._on_report is not None:
            self._on_report(report)
