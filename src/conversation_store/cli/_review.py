"""The command `review`."""

from __future__ import annotations

from pathlib import Path

import click

from conversation_store.cli._shared import database_errors, database_option


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="The file that is written; - is standard output.",
)
@database_option()
def review(database: str, path: Path | None, output: str) -> None:
    """Write one HTML page for reviewers.

    It has every statement with its parameters, columns and plans, the tables, and which method uses which statement and
    index; of our own statements, or those in PATH. The database tells types, plans and tables, and is only read.
    """
    from conversation_store.dba.review import review as page_of

    with database_errors(database):
        page = page_of(database, path)
        with click.open_file(output, "w", encoding="utf-8", atomic=output != "-") as file:
            file.write(page)
    if output != "-":
        click.echo(f"{output}: {len(page.encode()) / 1000:,.0f} kB", err=True)
