"""The commands that move conversations in and out: `import`, `export` and `import-ragflow`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.table import Table

from conversation_store.cli._shared import database_errors, database_option, progress, shown_bars, store_of, written
from conversation_store.jsonl import RejectedLine, export_jsonl, import_jsonl
from conversation_store.ragflow import Report, Totals
from conversation_store.ragflow import import_ragflow as move_from_ragflow
from conversation_store.ragflow._sources import source_of

# The exit code where the command did its work, but some lines or rows were rejected or repaired.
_NOT_AS_IT_WAS = 3


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--rejected",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write rejected lines to this new file, as they are, and import the others.",
)
@click.option(
    "--tenant", metavar="TENANT", help="Only for this tenant: create its missing dialogs, reject other tenants' lines."
)
@database_option()
def import_file(database: str, file: Path, rejected: Path | None, tenant: str | None) -> None:
    """Import lines of JSON from FILE, or from standard input where it is -.

    All in one transaction. A bad line is reported with its number; it stops the import, with nothing imported, unless
    --rejected is given. Exits with 3 when lines were rejected.
    """
    with database_errors(database), _rejected_lines(rejected) as write, _opened(file) as lines:
        size = None if lines is sys.stdin.buffer else os.fstat(lines.fileno()).st_size or None

        def report(line: RejectedLine) -> None:
            click.echo(f"{file}:{line.number}: {line.reason}", err=True)
            if write is not None:
                write(line.line)

        with store_of(database) as store, progress("importing", size, counted=False) as advance:
            done = import_jsonl(
                store, lines, tenant_id=tenant, on_rejected=None if write is None else report, on_progress=advance
            )
    click.echo(f"imported {done.conversations} conversations and {done.dialogs} dialogs")
    if done.skipped:
        click.echo(f"skipped {done.skipped} dialogs, which exist already")
    if done.rejected:
        click.echo(f"rejected {done.rejected} lines, which are in {rejected}")
        raise SystemExit(_NOT_AS_IT_WAS)


@click.command()
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Not to standard output."
)
@click.option("--tenant", metavar="TENANT", help="Only what belongs to this tenant.")
@click.option("--dialog", metavar="DIALOG", help="Only this dialog.")
@database_option()
def export(database: str, output: Path | None, tenant: str | None, dialog: str | None) -> None:
    """Export dialogs and conversations as lines of JSON, all of one moment; tokens are not exported.

    FILE appears when it is complete.
    """
    dialogs = conversations = 0
    with database_errors(database), store_of(database) as store:
        expected = store.conversations.count(tenant_id=tenant, dialog_id=dialog)
        with (
            written(output) as write,
            progress("exporting", expected, counted=True) as advance,
            store.transaction(isolation="repeatable read", read_only=True) as tx,
        ):
            for line, held in export_jsonl(tx, tenant_id=tenant, dialog_id=dialog):
                write(line)
                advance(held)
                conversations += held
                dialogs += 1 - held
    click.echo(f"exported {conversations} conversations and {dialogs} dialogs", err=True)


@click.command("import-ragflow")
@click.option(
    "--from",
    "source",
    metavar="URL",
    required=True,
    envvar="RAGFLOW_DATABASE_URL",
    show_envvar=True,
    help="The RAGFlow database: postgresql://… or libpq's form, or mysql://… of MySQL or MariaDB.",
)
@click.option("--time-zone", metavar="ZONE", default="UTC", show_default=True, help="The IANA time zone of its server.")
@click.option("--check", is_flag=True, help="Read everything, write nothing, and say what would become of each row.")
@click.option(
    "--update",
    is_flag=True,
    help="Take rows again that were changed there since they were imported, unless they were changed here too.",
)
@database_option()
def import_ragflow(database: str, source: str, time_zone: str, check: bool, update: bool) -> None:
    """Copy dialogs, agents, API tokens and API conversations from a RAGFlow database.

    A row that is in the store already is skipped: run it again to resume it. Each row that was not imported as it was
    is reported on standard error, and the totals of each table on standard output. Exits with 3 when rows were
    reported, or skipped though they are newer there.
    """
    bars: dict[str, Callable[[int, int | None], None]] = {}

    def report(row: Report) -> None:
        line = f"{row.outcome}: {row.table} {row.id}: {row.reason}"
        # An id there may have line ends and what moves the cursor of a terminal.
        click.echo(line if line.isprintable() else repr(line)[1:-1], err=True)

    with database_errors(database), shown_bars() as bar:

        def progress(table: str, done: int, about: int | None) -> None:
            if table not in bars:
                bars[table] = bar(table)
            bars[table](done, about)

        source_of("--from", source)  # which connects to nothing yet
        totals = move_from_ragflow(
            source,
            database,
            time_zone=time_zone,
            check=check,
            update=update,
            on_report=report,
            on_progress=progress,
        )
    table = Table("table", *(field.name.replace("_", " ") for field in fields(Totals)), box=None)
    for name, of in totals.items():
        table.add_row(name, *map(str, asdict(of).values()))
    Console(width=120).print(table)
    click.echo("read = imported + repaired + updated + skipped + rejected + update conflicts")
    click.echo("date conflicts: stored, with two dates that contradict each other")
    if newer := sum(of.newer for of in totals.values()):
        click.echo(f"newer: {newer} of the skipped rows were changed there since; --update takes them again")
    if check:
        click.echo("nothing was written: this is what the import would do")
    if any(of.needs_a_look for of in totals.values()):
        raise SystemExit(_NOT_AS_IT_WAS)


# -- files -----------------------------------------------------------------------------------


@contextmanager
def _opened(file: Path) -> Generator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
    else:
        with file.open("rb") as lines:
            yield lines


@contextmanager
def _rejected_lines(path: Path | None) -> Generator[Callable[[bytes], None] | None]:
    """Give a function that writes a line to a new file, which there is once there is a line."""
    if path is None:
        yield None
        return
    if path.exists():
        raise ValueError(f"{path} exists already; rejected lines are written to a new file")
    files: list[BinaryIO] = []
    is_ours = False

    def write(line: bytes) -> None:
        nonlocal is_ours
        if not files:
            is_ours = True  # before there is one, since an interruption may come between
            try:
                files.append(path.open("xb"))
            except FileExistsError:
                is_ours = False
                raise
        # On disk before the import is committed, or an error that stops it.
        files[0].write(line + b"\n")
        files[0].flush()

    try:
        yield write
    except BaseException:
        # Nothing was imported, so nothing was rejected.
        for file in files:
            file.close()
        if is_ours:
            path.unlink(missing_ok=True)
        raise
    for file in files:
        file.close()
