"""pgbench with the files of sql/: what the server gives when no client costs anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from benchmarks.runner import Arguments, Sample
from conversation_store._sql_loader import sql_directory


def pgbench(
    bindir: Path,
    conninfo: str,
    file: str,
    variables: dict[str, Any],
    clients: int = 1,
    before: str = "",
) -> Callable[[list[Arguments]], Sample]:
    """Run a file with these variables, as often as the slice is long or longer, and return the seconds divided by the calls.

    The text is the file's, but for its comments, in which pgbench would look for variables too, and for those that
    are None, which its variables cannot be. *before* is what pgbench is to compute.
    """
    text = re.sub(r"--[^\n]*", "", (sql_directory() / f"{file}.sql").read_text())
    for name in [name for name, value in variables.items() if value is None]:
        text = re.sub(rf":{name}(?=::)", "NULL", text)
    given = [part for name, value in variables.items() if value is not None for part in ("-D", f"{name}={value}")]
    parts = conninfo_to_dict(conninfo)
    if shutil.which(bindir / "pgbench") is None:
        raise SystemExit(f"the benchmark needs pgbench, and {bindir} has none")
    address = ["-h", str(parts["host"]), "-p", str(parts["port"]), "-U", str(parts["user"]), str(parts["dbname"])]
    program: list[Path | str] = [
        bindir / "pgbench",
        "-n",
        "-M",
        "prepared",
        "-c",
        str(clients),
        "-j",
        str(min(clients, 2)),
    ]

    def run(slice: list[Arguments]) -> Sample:
        calls = str(max(len(slice) // clients, 200))  # so many that the first ones, which are planned, count little
        done = subprocess.run(
            [*program, "-t", calls, *given, "-f", "/dev/stdin", *address],
            input=f"{before}\n{text}",
            capture_output=True,
            text=True,
            check=True,
        )
        (per_second,) = re.findall(r"tps = ([0-9.]+)", done.stdout)
        return Sample(1 / float(per_second))

    return run
