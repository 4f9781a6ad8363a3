"""What an import reports: the rows that were not imported as they were, and totals of each table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["repaired", "rejected", "date_conflict", "update_conflict"]


@dataclass(frozen=True, slots=True)
class Report:
    """A row that was not imported as it was, and why.

    It was repaired; or rejected; or imported though its dates contradict each other; or it was changed there and here
    since it was imported, and is kept as it is here.
    """

    table: str
    id: str
    outcome: Outcome
    reason: str


@dataclass(slots=True)
class Totals:
    """What became of the rows of a table.

    `read` is the sum of `imported`, `repaired`, `updated`, `skipped`, `update_conflicts` and `rejected`. `repaired`
    counts the repaired ones among new rows and among those that were taken again; `imported` and `updated` the others.
    `skipped` rows were in the store already; `newer` counts those among them that were changed there since, which only
    an update takes again. `date_conflicts` counts, among the stored ones, those with two dates of their creation or
    change that are more than a second apart.
    """

    read: int = 0
    imported: int = 0
    repaired: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    update_conflicts: int = 0
    date_conflicts: int = 0
    newer: int = 0

    @property
    def needs_a_look(self) -> bool:
        """Whether a row was reported, or was skipped though it is newer there."""
        return bool(self.repaired or self.rejected or self.update_conflicts or self.date_conflicts or self.newer)


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

    def stored(self, table: str, *, again: bool, repaired: bool, date_conflict: bool) -> None:
        """Count a row that is in the store now, or is there *again*."""
        totals = self.totals[table]
        totals.date_conflicts += date_conflict
        totals.repaired += repaired
        totals.updated += again and not repaired
        totals.imported += not again and not repaired

    def skipped(self, table: str, *, newer: bool) -> None:
        """Count a row that was in the store already, and whether it is newer there."""
        self.totals[table].skipped += 1
        self.totals[table].newer += newer

    def rejected(self, table: str, id: str, reason: str) -> None:
        """Count and report a row that cannot be imported."""
        self.totals[table].rejected += 1
        self._report(Report(table, id, "rejected", reason))

    def kept(self, table: str, id: str, reason: str) -> None:
        """Count and report a row that is newer there and is kept as it is here."""
        self.totals[table].update_conflicts += 1
        self._report(Report(table, id, "update_conflict", reason))

    def changed(self, table: str, id: str, repairs: list[str], date_conflict: str) -> None:
        """Report how a row that is about to be stored differs from what it was."""
        if date_conflict:
            self._report(Report(table, id, "date_conflict", date_conflict))
        if repairs:
            self._report(Report(table, id, "repaired", "; ".join(repairs)))

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
