"""A run: a server on disk, a database of each size, the operations, the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import processes, report
from benchmarks.data import fill
from benchmarks.operations import Operations
from benchmarks.runner import Measured, measure
from benchmarks.texts import ITEMS, Texts
from support.server import Server, database


def settings() -> dict[str, str]:
    """Return those of a server that has the machine for itself; what is not here is PostgreSQL's default."""
    megabytes = int(1000 * report.memory_gigabytes())
    return {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "shared_buffers": f"{min(megabytes // 4, 8_000)}MB",
        "effective_cache_size": f"{megabytes * 3 // 4}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{min(megabytes // 16, 1_000)}MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
    }


def run(
    on: Server,
    sizes: list[int],
    folder: Path,
    *,
    seconds: float = 12,
    slice_seconds: float = 0.1,
    rounds: int | None = None,
    items: int = ITEMS,
    only: str = "",
    tell: Callable[[str], None] = print,
) -> list[Path]:
    """Measure each operation for some seconds, or a number of rounds, and return the files that were written."""
    started = time.perf_counter()

    def say(text: str) -> None:
        tell(f"{time.perf_counter() - started:6.0f} s  {text}")

    texts = Texts(items)
    with ExitStack() as stack:
        filled = [
            fill(stack.enter_context(database(on)), size, texts, ragflow=size == sizes[-1], tell=say) for size in sizes
        ]
        measured: dict[str, Measured] = {}
        meter = partial(processes.backend_seconds, filled[-1].conninfo)
        for operation in Operations(stack, on.bindir, filled).all():
            if only in operation.title:
                one = measure(operation, meter, seconds=seconds, slice_seconds=slice_seconds, rounds=rounds)
                measured[operation.title] = one
                say(f"{operation.title}: {one.rounds} rounds of {one.calls} calls")
        times = 15 if rounds is None else rounds
        if only in processes.IMPORT_TIME:
            measured[processes.IMPORT_TIME] = processes.imports(times)
        if only in processes.MEMORY:
            measured[processes.MEMORY] = processes.memory(filled[-1].conninfo, times)
        folder.mkdir(parents=True, exist_ok=True)
        return report.write(folder, report.conditions(filled[-1].conninfo, sizes, texts.file), measured)
