"""What processes cost: the time of imports and the memory of an open store, in fresh ones beside each other; and backends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from benchmarks.runner import Measured, Sample

DRIVER = "psycopg and its pool"
STORE = "store"
TITLES = IMPORT_TIME, MEMORY = "import time", "memory"
IMPORTS = {DRIVER: "import psycopg, psycopg_pool", STORE: "import psycopg, psycopg_pool, conversation_store"}
# Resident memory in bytes, on Linux what it is now, elsewhere the most that it was.
RESIDENT = """
import os, resource, sys
try:
    pages = int(open("/proc/self/statm").read().split()[1])
    print(pages * os.sysconf("SC_PAGE_SIZE"))
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
OPENED = {
    DRIVER: """
import sys
from psycopg_pool import ConnectionPool
with ConnectionPool(sys.argv[1], min_size=1, open=True) as pool:
    pool.wait()
    for _ in range(20):
        with pool.connection() as connection:
            connection.execute("SELECT id FROM conversation_store.conversation WHERE id = %s AND tenant_id = %s", ["x", "x"])
""",
    STORE: """
import sys
from conversation_store import ConversationStore
with ConversationStore(sys.argv[1], min_size=1) as store:
    for _ in range(20):
        store.for_tenant("x").conversations.get_by_id("x")
""",
}


def imports(times: int) -> Measured:
    """Measure the start of an interpreter with the imports, in seconds."""
    measured = Measured(IMPORT_TIME, 1, {peer: [] for peer in IMPORTS})
    for n in range(times + 1):
        for peer, program in IMPORTS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, env=environment())
            if n:  # the first writes .pyc files
                measured.samples[peer].append(Sample(time.perf_counter() - started))
    return measured


def memory(conninfo: str, times: int) -> Measured:
    """Measure the resident memory of a process that has called a few times, in megabytes."""
    measured = Measured(MEMORY, 1, {peer: [] for peer in OPENED})
    indent = "\n    "
    for n in range(times + 1):
        for peer, program in OPENED.items():
            inside = program + "    " + indent.join(RESIDENT.strip().splitlines()) + "\n"
            done = subprocess.run(
                [sys.executable, "-c", inside, conninfo],
                capture_output=True,
                text=True,
                check=True,
                env=environment(),
            )
            if n:
                measured.samples[peer].append(Sample(int(done.stdout) / 1e6))
    return measured


def environment() -> dict[str, str]:
    """Return the environment of a process that keeps what it has compiled, as an installed package has it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def backend_seconds(conninfo: str) -> Callable[[], float | None]:
    """Return what counts the seconds of a processor that the server's present backends have used, on Linux.

    Parallel workers are not among them: they end with their statement.
    """
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    files = [Path(f"/proc/{pid}/schedstat") for (pid,) in rows]

    def seconds() -> float | None:
        try:
            return sum(int(file.read_text().split()[0]) for file in files) / 1e9
        except OSError:  # another system, or a server elsewhere
            return None

    return seconds
