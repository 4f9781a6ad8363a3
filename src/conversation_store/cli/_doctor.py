"""The command `doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conversation_store.cli._shared import database_errors, database_option

if TYPE_CHECKING:
    from conversation_store.dba.doctor import Finding

_STYLES = {"problem": "bold red", "advice": "yellow", "unknown": "magenta", "ok": "green"}


@click.command()
@click.option(
    "--sql",
    "folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Look at what the files of a service in this folder need, too.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="For how long a statement of a check may run.",
)
@click.option("--only", metavar="CHECK", multiple=True, help="Make this check alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@database_option()
def doctor(database: str, folder: Path | None, seconds: float, only: tuple[str, ...], as_json: bool) -> None:
    """Examine the server: what hurts the store there, and what to do about it.

    Reads alone, as the role that is connected: give it the role of the service. Exits with 1 where there is a problem.
    """
    from conversation_store.dba.doctor import examine

    with database_errors(database):
        found = examine(database, folder, only=only, seconds=seconds)
    if as_json:
        click.echo(json.dumps([finding.to_dict() for finding in found], ensure_ascii=False, indent=2))
    else:
        _print(found)
    if any(finding.level == "problem" for finding in found):
        raise SystemExit(1)


def _print(found: list[Finding]) -> None:
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        text = escape(_readable(finding.seen)) + (
            f"\n[bold]→[/] {escape(_readable(finding.todo))}" if finding.todo else ""
        )
        table.add_row(f"[{_STYLES[finding.level]}]{finding.level}[/]", finding.check, text)
    console.print(table)


def _readable(text: str) -> str:
    """Return a text without what moves the cursor of a terminal, which an id may hold."""
    return text if text.isprintable() else repr(text)[1:-1]
