"""The goals: where the store is to stand beside its peers, and how it stands."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.operations import (
    ASYNC_FLOOR,
    ASYNC_STORE,
    AT_4,
    AT_400,
    FAR_PAGE,
    FIRST_PAGE,
    FLOOR,
    PEEWEE,
    PGBENCH,
    PLAIN_JSON,
    STORE,
)
from benchmarks.processes import DRIVER, IMPORT_TIME, MEMORY
from benchmarks.runner import Measured


@dataclass(frozen=True)
class Goal:
    """A bound of what one peer takes by what another takes.

    - "time": the ratio of their times is at most the limit
    - "rate": the ratio of how many calls they do in a time is at least the limit
    - "difference": the difference is at most the limit, in the unit
    """

    title: str
    operation: str
    of: str
    by: str
    limit: float
    kind: Literal["time", "rate", "difference"] = "time"
    unit: Literal["×", "ms", "MB"] = "×"


@dataclass(frozen=True)
class Standing:
    """The median and quartiles, over the rounds, of what a goal bounds; and the same ratio of processor time, where known."""

    goal: Goal
    median: float
    lower: float
    upper: float
    processor: float | None

    @property
    def is_reached(self) -> bool:
        return self.median >= self.goal.limit if self.goal.kind == "rate" else self.median <= self.goal.limit


def goals(sizes: list[int]) -> list[Goal]:
    """Return the goals of a run over these sizes."""
    small, large = f"{sizes[0]:,}", f"{sizes[-1]:,}"
    return [
        Goal("get_by_id / by hand", "get_by_id", STORE, FLOOR, 1.1),
        Goal("get_by_id / by hand, asyncio", "get_by_id", ASYNC_STORE, ASYNC_FLOOR, 1.1),
        Goal("authenticate / by hand", "authenticate", STORE, FLOOR, 1.1),
        Goal("authenticate / by hand, asyncio", "authenticate", ASYNC_STORE, ASYNC_FLOOR, 1.1),
        Goal("authenticate, calls of one thread / by hand", "authenticate", STORE, FLOOR, 0.9, "rate"),
        Goal("authenticate, calls of 16 threads / by hand", "authenticate, 16 threads", STORE, FLOOR, 0.8, "rate"),
        Goal("get_list, total exact / by hand", "get_list, total exact", STORE, FLOOR, 1.3),
        Goal('get_list, total="none" / by hand', 'get_list, total="none"', STORE, FLOOR, 1.3),
        Goal("list_after, second page / by hand", "list_after, second page", STORE, FLOOR, 1.3),
        Goal("get_list of the large dialog / Peewee", "get_list of the large dialog", STORE, PEEWEE, 0.8),
        Goal("page 3,000 by cursor / page 1", "page by cursor", FAR_PAGE, FIRST_PAGE, 1.3),
        Goal("keyword of 8 letters, times faster than Peewee", "keyword of 8 letters", STORE, PEEWEE, 100, "rate"),
        Goal("keyword of 2 ideographs, times faster", "keyword of 2 ideographs", STORE, PEEWEE, 100, "rate"),
        Goal("append_round at 4 rounds / by hand", "append_round at 4 rounds", STORE, FLOOR, 1.1),
        Goal("append_round at 400 rounds / by hand", "append_round at 400 rounds", STORE, FLOOR, 1.1),
        Goal("append_round at 400 rounds / at 4", "append_round, 4 and 400 rounds", AT_400, AT_4, 1.1),
        Goal("append_round, calls of 16 threads / pgbench", "append_round, 16 threads", STORE, PGBENCH, 0.9, "rate"),
        Goal("update_by_id of scalars / by hand", "update_by_id of scalars", STORE, FLOOR, 1.3),
        Goal("stats of a year / scan of the index", "stats of a year", STORE, FLOOR, 2),
        Goal("stats of a week / scan of the index", "stats of a week", STORE, FLOOR, 2),
        Goal("export / server cursor and json.dumps", "export of a tenant", STORE, PLAIN_JSON, 0.5),
        *(
            Goal(f"{title}, {large} / {small}", f"{title}, by size", large, small, limit)
            for title, limit in (
                ("get_by_id", 1.5),
                ("authenticate", 1.5),
                ("get_list, total exact", 1.5),
                ('get_list, total="none"', 1.5),
                ("keyword in a dialog of 100", 1.3),
            )
            if large != small
        ),
        Goal("import time over the driver's", IMPORT_TIME, STORE, DRIVER, 40, "difference", "ms"),
        Goal("memory of an open store over an open pool's", MEMORY, STORE, DRIVER, 3, "difference", "MB"),
    ]


def standings(sizes: list[int], measured: Mapping[str, Measured]) -> list[Standing]:
    """Return how each goal of what was measured stands."""
    return [stand(goal, measured[goal.operation]) for goal in goals(sizes) if goal.operation in measured]


def stand(goal: Goal, measured: Measured) -> Standing:
    pairs = list(zip(measured.samples[goal.of], measured.samples[goal.by], strict=True))
    if goal.kind == "difference":
        scale = 1000 if goal.unit == "ms" else 1
        return Standing(goal, *quartiles([scale * (of.took - by.took) for of, by in pairs]), None)
    if goal.kind == "rate":
        pairs = [(by, of) for of, by in pairs]
    processor = [of.processor / by.processor for of, by in pairs if of.processor and by.processor]
    return Standing(
        goal, *quartiles([of.took / by.took for of, by in pairs]), statistics.median(processor) if processor else None
    )


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the median, the lower and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return median, lower, upper
