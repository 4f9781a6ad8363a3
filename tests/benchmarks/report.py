"""The report: JSON with every sample, and Markdown and plots for a reader."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import plots
from benchmarks.goals import Standing, standings
from benchmarks.peers.rows import JSON_READER
from benchmarks.processes import MEMORY
from benchmarks.runner import Measured

SHOWN_SETTINGS = [
    *("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "effective_cache_size", "work_mem"),
    *("maintenance_work_mem", "max_wal_size", "checkpoint_timeout", "random_page_cost", "jit", "autovacuum"),
    *("max_parallel_workers_per_gather", "wal_level"),
]
PACKAGES = ["psycopg", "psycopg-pool", "asyncpg", "aiosql", "SQLAlchemy", "peewee", "orjson"]
NOTES = """\
Each round runs every peer of an operation for a short slice, in an order that changes, with the same arguments. What a peer took
in a round is the median of its calls, and a ratio is that of a round; shown are the median of all rounds and, in brackets, their
quartiles. The answers of the peers were compared before. "By hand" is psycopg with statements for exactly that call, a pool of
psycopg_pool, and dataclasses built by position.

- "Of processor time" is the same ratio of what client and server computed, without what they waited for. It hardly depends on what
  else the machine does, and so tells more where the quartiles are far apart. Parallel workers of the server are not in it.
- Threads of one Python process take turns at its interpreter lock: 16 of them measure that lock more than the server. pgbench
  with 16 clients is what the server gives.
- pgbench reads one conversation and authenticates one token again and again, and appends to conversations chosen at random.
- "By size" chooses dialogs and conversations at random, for each peer others: in a large database they are in no cache of the processor.
- The scan beside `stats` has no `count(DISTINCT user_id)`, which `stats` has.
- The other side is on the same machine: a network would make every ratio to "by hand" smaller.
"""


def conditions(conninfo: str, sizes: list[int], texts: Path) -> dict[str, Any]:
    """Return what a reader has to know of the run."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) ORDER BY name", [SHOWN_SETTINGS]
        ).fetchall()
        settings: dict[str, str] = dict(rows)
        server = connection.info.parameter_status("server_version")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, {os.cpu_count()} CPUs",
        "memory": f"{memory_gigabytes():.0f} GB",
        "PostgreSQL": server,
        "Python": platform.python_version(),
        "libpq": psycopg.pq.version_pretty(psycopg.pq.version()),
        "psycopg implementation": psycopg.pq.__impl__,
        "JSON reader": JSON_READER,
        **{package: version(package) for package in PACKAGES},
        "sizes": sizes,
        "texts": texts.name,
        "settings": settings,
    }


def commit() -> str:
    """Return the commit of the checkout, and whether something is changed in it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or "unknown"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def memory_gigabytes() -> float:
    """Return how much there is, and 8 where the system does not say."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else 8


def write_json(path: Path, run: dict[str, Any], measured: dict[str, Measured], stands: list[Standing]) -> None:
    content = {
        "conditions": run,
        "goals": [
            {
                "title": s.goal.title,
                "kind": s.goal.kind,
                "unit": s.goal.unit,
                "limit": s.goal.limit,
                "median": s.median,
                "quartiles": [s.lower, s.upper],
                "reached": s.is_reached,
            }
            for s in stands
        ],
        "operations": [
            {
                "title": one.title,
                "rounds": one.rounds,
                "calls in a slice": one.calls,
                "peers": {
                    peer: {
                        "median": statistics.median(sample.took for sample in samples),
                        "took": [sample.took for sample in samples],
                        "client": [sample.client for sample in samples if sample.client is not None],
                        "server": [sample.server for sample in samples if sample.server is not None],
                    }
                    for peer, samples in one.samples.items()
                },
            }
            for one in measured.values()
        ],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_markdown(path: Path, run: dict[str, Any], measured: dict[str, Measured], stands: list[Standing]) -> None:
    size = run["sizes"][-1]
    lines = [
        f"# {size:,} conversations, {run['date'][:10]}",
        "",
        NOTES,
        "## Goals",
        "",
        "| | goal | is | | of processor time |",
        "|---|---|---|---|---|",
        *(goal_row(stand) for stand in stands),
        "",
        "## Peers",
        "",
        "Medians: a call, the processor time of this process and of the server for it, and the call as a multiple of the first peer's.",
        "",
        "| | peer | a call | client | server | × |",
        "|---|---|---|---|---|---|",
        *(row for one in measured.values() for row in peer_rows(one)),
        "",
        "## Conditions",
        "",
        *(f"- {name}: {value}" for name, value in run.items() if name != "settings"),
        *(f"- {name} = {value}" for name, value in run["settings"].items()),
        "",
    ]
    path.write_text("\n".join(lines))


def goal_row(stand: Standing) -> str:
    goal = stand.goal
    sign = "≥" if goal.kind == "rate" else "≤"
    unit = "" if goal.unit == "×" else f" {goal.unit}"
    shown = f"{number(stand.median)} ({number(stand.lower)} – {number(stand.upper)}){unit}"
    reached = "reached" if stand.is_reached else "**not**"
    processor = "" if stand.processor is None else number(stand.processor)
    return f"| {goal.title} | {sign} {goal.limit:g}{unit} | {shown} | {reached} | {processor} |"


def peer_rows(measured: Measured) -> list[str]:
    rows: list[str] = []
    first = next(iter(measured.samples.values()))
    for peer, samples in measured.samples.items():
        ratio = statistics.median(a.took / b.took for a, b in zip(samples, first, strict=True))
        took = statistics.median(sample.took for sample in samples)
        shown = f"{took:.1f} MB" if measured.title == MEMORY else duration(took)
        client, server = (
            duration(statistics.median(known)) if (known := [seconds for seconds in of if seconds is not None]) else ""
            for of in ([sample.client for sample in samples], [sample.server for sample in samples])
        )
        rows.append(
            f"| {measured.title if not rows else ''} | {peer} | {shown} | {client} | {server} | {number(ratio)} |"
        )
    return rows


def duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.1f} ms" if seconds >= 0.01 else f"{1_000_000 * seconds:,.0f} µs"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def write(folder: Path, run: dict[str, Any], measured: dict[str, Measured]) -> list[Path]:
    """Write all into a folder, and return their paths."""
    stands = standings(run["sizes"], measured)
    size = run["sizes"][-1]
    paths = [folder / f"{size}.json", folder / f"{size}.md"]
    write_json(paths[0], run, measured, stands)
    write_markdown(paths[1], run, measured, stands)
    return [*paths, *plots.write(folder, size, stands, measured)]
