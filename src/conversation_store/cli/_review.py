"""The command `review`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conversation_store.cli._shared import database_errors, database_option, progress, written

if TYPE_CHECKING:
    from conversation_store.dba.files import QueryFile


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="The file that is written; - is standard output.",
)
@click.option(
    "--contracts",
    metavar="MODULE:MAPPING",
    help="What Python expects of the files below PATH: a mapping from their names, as orders.get, to row classes or to"
    " conversation_store.dba.contract.Contract, which names methods.",
)
@click.option("--plans/--no-plans", default=True, show_default=True, help="Whether all shapes are planned.")
@database_option()
def review(database: str, path: Path | None, output: Path, contracts: str | None, plans: bool) -> None:
    """Write one HTML page for reviewers.

    It has every statement with its parameters, columns and plans, the tables, and which method uses which statement and
    index: of our own statements, or those in PATH. The database tells types, plans and tables, and is only read.
    """
    from conversation_store.dba.contract import load_contracts
    from conversation_store.dba.review import review as page_of

    if contracts is not None and path is None:
        raise click.UsageError("--contracts needs a PATH")
    with database_errors(database):
        known = None
        if contracts is not None:
            sys.path.insert(0, "")  # as `python -m` has it
            known = load_contracts(contracts)
        with written(output) as write:  # first, so that a file that cannot be written is told before all is planned
            page = page_of(database, path, known, plans=plans, track=_tracked)
            write(page)
    if str(output) != "-":
        click.echo(f"{output}: {len(page.encode()) / 1000:,.0f} kB", err=True)


def _tracked(files: Sequence[QueryFile]) -> Iterator[QueryFile]:
    """Yield the files, and show how many are done."""
    with progress("Planning", len(files), counted=True) as advance:
        for file in files:
            yield file
            advance(1)
