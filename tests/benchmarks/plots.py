"""The plots, as small SVG: how each goal stands, what a call of each peer takes, and what grows with the size."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import processes
from benchmarks.goals import Standing, quartiles
from benchmarks.operations import (
    AIOSQL,
    ASYNC_FLOOR,
    ASYNC_STORE,
    ASYNCPG,
    CHECKS,
    FLOOR,
    PEEWEE,
    PGBENCH,
    SQLALCHEMY,
    STORE,
)
from benchmarks.runner import Measured, Sample

# Colours that most who see few colours tell apart; a marker of its own for each peer too.
REACHED, MISSED, QUIET = "#0072b2", "#d55e00", "#999999"
PEERS = {
    STORE: ("o", "#0072b2"),
    FLOOR: ("|", "#000000"),
    ASYNC_STORE: ("^", "#0072b2"),
    ASYNC_FLOOR: ("x", "#000000"),
    ASYNCPG: ("v", "#009e73"),
    AIOSQL: ("s", "#cc79a7"),
    SQLALCHEMY: ("D", "#e69f00"),
    PEEWEE: ("P", "#d55e00"),
    PGBENCH: ("*", "#56b4e9"),
}
STYLE: Any = {  # matplotlib names each key in its type
    "svg.fonttype": "none",  # text stays text: small, and found by a search
    "svg.hashsalt": "benchmarks",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def write(folder: Path, size: int, stands: list[Standing], measured: dict[str, Measured]) -> list[Path]:
    """Write the plots into a folder, and return their paths."""
    figures = {"goals": plot_goals(stands), "peers": plot_peers(measured), "growth": plot_growth(measured)}
    paths: list[Path] = []
    for name, figure in figures.items():
        figure.suptitle(f"{size:,} conversations", x=0.01, ha="left", fontsize=9, color=QUIET)
        paths.append(folder / f"{size}-{name}.svg")
        with mpl.rc_context(STYLE):
            figure.savefig(paths[-1], bbox_inches="tight", metadata={"Date": None})
    return paths


def plot_goals(stands: list[Standing]) -> Figure:
    """Each goal as a part of its limit: left of the line is reached; the bar is from quartile to quartile."""
    shown = list(reversed(stands))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.24 * len(shown) + 1))
        axes: Any = figure.subplots()
    for row, stand in enumerate(shown):
        limit, colour = stand.goal.limit, REACHED if stand.is_reached else MISSED
        # A rate is to be large: its inverse is shown, so that left is always better.
        of = [limit / x if stand.goal.kind == "rate" else x / limit for x in (stand.lower, stand.median, stand.upper)]
        low, middle, high = (max(x, 0.01) for x in sorted(of))
        axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot(middle, row, "o", color=colour, markersize=5)
        unit = "" if stand.goal.unit == "×" else f" {stand.goal.unit}"
        sign = "≥" if stand.goal.kind == "rate" else "≤"
        text = f"{stand.median:.3g}{unit}  ({sign} {limit:g})"
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", color=colour)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [stand.goal.title for stand in shown])
    axes.tick_params(axis="y", length=0)
    _plain(axes.xaxis, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    axes.set_xlabel("part of the goal's limit: left of 1 is reached")
    return figure


def plot_peers(measured: dict[str, Measured]) -> Figure:
    """What a call takes, of the operations that several peers have."""
    left_out = {CHECKS, *processes.TITLES}
    shown = [
        one
        for one in reversed(measured.values())
        if len(PEERS.keys() & one.samples.keys()) > 1 and one.title not in left_out
    ]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.3 * len(shown) + 1.6))
        axes: Any = figure.subplots()
    for row, one in enumerate(shown):
        axes.axhline(row, color="#eeeeee", linewidth=0.8, zorder=0)
        for peer, (marker, colour) in PEERS.items():
            if peer in one.samples:
                # By hand on top: where others do as well, its mark is thin enough to see theirs.
                above = 3 if peer == FLOOR else 2
                axes.plot(
                    median_ms(one.samples[peer]),
                    row,
                    marker,
                    color=colour,
                    markersize=7,
                    markeredgewidth=1.5,
                    alpha=0.85,
                    zorder=above,
                )
    for peer, (marker, colour) in PEERS.items():
        axes.plot([], [], marker, color=colour, label=peer)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [one.title for one in shown])
    axes.tick_params(axis="y", length=0)
    _plain(axes.xaxis, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000])
    axes.set_xlabel("ms a call, median (16 threads: the time of all, divided by the calls of all)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.35, -0.16 * 10 / max(len(shown), 4)), ncols=3, frameon=False)
    return figure


def plot_growth(measured: dict[str, Measured]) -> Figure:
    """What a call of the store takes in databases of several sizes."""
    shown = [one for one in measured.values() if one.title.endswith(", by size")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4))
        axes: Any = figure.subplots()
    lowest = 0.0
    for n, one in enumerate(sorted(shown, key=lambda one: median_ms(list(by_size(one).values())[-1]))):
        samples_of = by_size(one)
        sizes, medians = list(samples_of), [median_ms(samples) for samples in samples_of.values()]
        axes.plot(sizes, medians, "-o", markersize=5, color=f"C{n}")
        for size, samples in samples_of.items():
            _, *ends = quartiles([1000 * sample.took for sample in samples])
            axes.plot([size, size], ends, color=f"C{n}", linewidth=2, alpha=0.5)
        lowest = max(medians[-1], 1.4 * lowest)  # names that would lie over each other move up
        axes.annotate(
            one.title.removesuffix(", by size"),
            (sizes[-1], lowest),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=f"C{n}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("conversations in the database")
    axes.set_ylabel("ms a call: median and quartiles")
    every = sorted({size for one in shown for size in by_size(one)})
    _plain(axes.xaxis, every, "{:,.0f}")
    _plain(axes.yaxis, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    return figure


def by_size(measured: Measured) -> dict[int, list[Sample]]:
    """Return the samples of the store by the size of the database."""
    digits = {peer: peer.replace(",", "") for peer in measured.samples}
    return {int(size): measured.samples[peer] for peer, size in digits.items() if size.isdigit()}


def median_ms(samples: list[Sample]) -> float:
    return 1000 * statistics.median(sample.took for sample in samples)


def _plain(axis: Any, ticks: list[Any], form: str = "{:,g}") -> None:
    """Label an axis by plain numbers, of which only those in its range are shown."""
    low, high = axis.get_view_interval()
    inside = [tick for tick in ticks if low <= tick <= high] or ticks
    axis.set_ticks(inside, [form.format(tick) for tick in inside])
    axis.set_ticks([], minor=True)
