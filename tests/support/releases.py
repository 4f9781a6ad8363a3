"""What was released, and whether a service of it goes on while the schema is migrated."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from conversation_store import _migration_files, migrate
from conversation_store._sql_loader import Query, compile_text

TAGS = "v[0-9]*"
"""Which tags are releases."""


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=False)


def last_release(checkout: Path) -> str | None:
    """Return the newest tag of a release that the checkout descends from, or None where there is none, or no git."""
    if shutil.which("git") is None:
        return None
    found = git(checkout, "describe", "--tags", "--abbrev=0", "--match", TAGS)
    return found.stdout.decode().strip() if found.returncode == 0 else None


def extract(checkout: Path, tag: str, folder: Path) -> Path:
    """Write the files of a release into a folder."""
    archive = git(checkout, "archive", "--format=tar", tag, "sql", "src", "tests/support")
    if archive.returncode:
        raise RuntimeError(archive.stderr.decode())
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


def queries(sql: Path) -> dict[str, Query]:
    """Return the statements of a release. Their headers may have directives of their time, and are left out."""
    found: dict[str, Query] = {}
    for file in sorted(sql.glob("*/*.sql")):
        folder = file.parent.name
        if folder == "schema" or folder.startswith("ragflow"):
            continue
        name = f"{folder}.{file.stem}"
        body = re.sub(r"\A/\*.*?\*/\n(?:--[^\n]*\n|\n)*", "", file.read_text())
        header = f"/* {name} */\n-- As it was released.\n-- returns: many\n"
        found[name] = compile_text((header + body).encode(), f"sql/{folder}/{file.name}", name)
    return found


def rolling_faults(old: Path, new: Path, database: Callable[[], AbstractContextManager[str]]) -> list[str]:
    """Return what breaks where the schema of a release is migrated to another one, file by file, beside a service of it.

    - A statement of the release must mean after each migration what it meant before: the same parameters, and columns of
      the same names and types.
    - A column that it does not know must have a value where it inserts.
    - A statement of the new version may lack what a later migration brings; once it works it must go on to work, and
      in the end all do.
    """
    before, after = queries(old / "sql"), queries(new / "sql")
    files = sorted((new / "sql" / "schema").glob("*.sql"))
    released = {file.name for file in (old / "sql" / "schema").glob("*.sql")}
    faults: list[str] = []
    with database() as migrated, database() as fresh:
        with schema_of(sorted((old / "sql" / "schema").glob("*.sql"))):
            migrate(migrated)
        with schema_of(files):
            migrate(fresh)
        meant, wanted = meanings(migrated, before), meanings(fresh, after)
        required = required_columns(migrated)
        lacking = _unlike(meanings(migrated, after), wanted)
        for number, file in enumerate(files, start=1):
            if file.name in released:
                continue
            with schema_of(files[:number]):
                migrate(migrated)
            where = f"after {file.stem}"
            now = meanings(migrated, before)
            for name in sorted(_unlike(now, meant)):
                reason = f": {now[name]}" if isinstance(now[name], str) else ""
                faults.append(f"{where} the released {name} is no longer what it was{reason}")
            before = {name: query for name, query in before.items() if name not in _unlike(now, meant)}
            for table, columns in required_columns(migrated).items():
                new_columns = columns - required.setdefault(table, columns)
                required[table] |= new_columns
                faults += [f"{where} inserts of the release do not give {table}.{each}" for each in sorted(new_columns)]
            lacks = _unlike(meanings(migrated, after), wanted)
            faults += [f"{where} {name} does not work any more" for name in sorted(lacks - lacking)]
            lacking = lacks
        faults += [f"in the end {name} does not work" for name in sorted(lacking)]
        if not faults:
            runs_on(old, migrated)
    return faults


def _unlike(meanings: dict[str, Any], others: dict[str, Any]) -> set[str]:
    """Return which statements mean something else, or do not work."""
    return {name for name, meaning in meanings.items() if meaning != others[name] or isinstance(meaning, str)}


@contextmanager
def schema_of(files: list[Path]) -> Generator[None]:
    """Let the migrations be these files."""

    class Folder:
        def iterdir(self) -> Iterator[Path]:
            return iter(files)

    real = _migration_files.schema_directory
    _migration_files.schema_directory = Folder  # type: ignore[assignment]
    try:
        yield
    finally:
        _migration_files.schema_directory = real


def meanings(conninfo: str, statements: dict[str, Query]) -> dict[str, Any]:
    """Return the types of the parameters, and the names and types of the columns; or, as a text, why it fails."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return {name: _meaning(connection, query) for name, query in statements.items()}


def _meaning(connection: psycopg.Connection[Any], query: Query) -> Any:
    try:
        if re.search(rb"(?m)^COPY ", query.text):
            # Its rows end before the first.
            with connection.cursor().copy(query.text) as copy:
                copy.write(b"")
            return ("COPY",)
        connection.pgconn.prepare(b"", query.text)
    except psycopg.Error as error:
        return str(error.diag.message_primary)
    result = connection.pgconn.describe_prepared(b"")
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        return re.sub(r"\s+", " ", (result.error_message or b"").decode())
    parameters = [result.param_type(i) for i in range(result.nparams)]
    return parameters, [(result.fname(i), result.ftype(i)) for i in range(result.nfields)]


def required_columns(conninfo: str) -> dict[str, set[str]]:
    """Return the columns of each table that an INSERT has to give."""
    query = (
        "SELECT c.relname, array_agg(a.attname::text) FILTER ("
        " WHERE a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '')"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'conversation_store'::regnamespace AND c.relkind = 'r' GROUP BY c.relname"
    )
    with psycopg.connect(conninfo) as connection:
        return {table: set(columns or ()) for table, columns in connection.execute(query)}


def runs_on(release: Path, conninfo: str) -> None:
    """Let the code of a release save, append and search."""
    environment = os.environ | {"PYTHONPATH": f"{release / 'src'}{os.pathsep}{release / 'tests'}"}
    program = (
        "import sys, conversation_store; from support.schema import assert_works;"
        " assert conversation_store.__file__.startswith(sys.argv[1]); assert_works(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", program, str(release), conninfo], env=environment, check=True)
