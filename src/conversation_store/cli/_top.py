"""The command `top`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conversation_store.cli._shared import database_errors, database_option
from conversation_store.dba.findings import printable, size

if TYPE_CHECKING:
    from conversation_store.dba.top import Top, Usage

_SORTS = ("total", "mean", "calls", "rows", "reads", "wal")


@click.command()
@click.option("--sort", type=click.Choice(_SORTS), default="total", show_default=True, help="What is listed first.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many rows are listed.")
@click.option(
    "--sql",
    "folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The files of a service in this folder, and not those of this package.",
)
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="Whose statements in no file are listed.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@database_option()
def top(database: str, sort: str, limit: int, folder: Path | None, roles: tuple[str, ...], as_json: bool) -> None:
    """Show what each file has cost on the server, by pg_stat_statements.

    Files are told by the query id that the server gives them. Statements in no file are listed of the roles that call
    files, or of each --role. Needs pg_read_all_stats to see what other roles have run.
    """
    from conversation_store.dba.files import files
    from conversation_store.dba.reading import connected
    from conversation_store.dba.top import top as read_top

    with database_errors(database), connected(database) as connection:
        catalogue = [file for file in files(folder) if not file.of_ragflow]
        found = read_top(connection, catalogue, roles=roles, sort=sort)
    if as_json:
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
        return
    _print(found, limit)


def _print(found: Top, limit: int) -> None:
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(f"since {found.since:%Y-%m-%d %H:%M:%S %z}, in this database")
    console.print(_table("file", found.files, limit, expand=False))
    _more(console, found.files, limit)
    if found.others:
        console.print(f"\nin no file, of {_shown(', '.join(found.roles))}:")
        # A text has the width that the figures leave.
        console.print(_table("statement", found.others, limit, expand=True))
        _more(console, found.others, limit)
    if found.never:
        console.print(f"\nnever called ({len(found.never)}): {', '.join(found.never)}")
    for reason in dict.fromkeys(found.not_explained.values()):
        names = [name for name, why in found.not_explained.items() if why == reason]
        console.print(
            f"\n{', '.join(names)}: found by the text alone, since the server does not explain it: {_shown(reason)}"
        )
    if found.hidden:
        console.print(
            f"\n{found.hidden} statements of other roles are hidden: GRANT pg_read_all_stats TO {_shown(found.role)}"
        )
    if found.given_up:
        console.print(
            f"\nthe server has given up statements {found.given_up} times for want of room, so that counts are too low:"
            " raise pg_stat_statements.max"
        )


def _table(first: str, usages: Sequence[Usage], limit: int, *, expand: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=expand)
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=1 if expand else None)
    for column in ("calls", "mean ms", "total ms", "rows", "hits", "WAL"):
        table.add_column(column, justify="right", no_wrap=True)
    for usage in usages[:limit]:
        table.add_row(
            _shown(usage.name),
            f"{usage.calls:,}",
            f"{usage.mean_ms:,.3f}",
            f"{usage.total_ms:,.1f}",
            f"{usage.rows:,}",
            "" if usage.hit_share is None else f"{usage.hit_share:.1%}",
            size(usage.wal_bytes, "B"),
        )
    return table


def _more(console: Console, usages: Sequence[Usage], limit: int) -> None:
    if len(usages) > limit:
        console.print(f"… and {len(usages) - limit} more")


def _shown(text: str) -> str:
    return escape(printable(text))
