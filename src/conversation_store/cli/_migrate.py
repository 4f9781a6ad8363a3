"""The command `migrate`."""

from __future__ import annotations

import click

from conversation_store.cli._shared import database_errors, database_option
from conversation_store.migrations import check_schema
from conversation_store.migrations import migrate as apply_migrations


@click.command()
@click.option(
    "--check", is_flag=True, help="Change nothing: say what is missing, changed or invalid, exit with 1 then."
)
@click.option(
    "--lock-wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    help="For how long it is tried again where others hold locks.",
)
@database_option()
def migrate(database: str, check: bool, lock_wait: float) -> None:
    """Bring the schema up to date, and print the names of the migrations applied now."""
    with database_errors(database):
        if check:
            from conversation_store.dba.drift import object_drift
            from conversation_store.dba.reading import connected

            found = check_schema(database)
            with connected(database) as connection:
                found += [fault.message for fault in object_drift(connection).faults if fault.message not in found]
            click.echo("\n".join(found) or "ok")
            raise SystemExit(1 if found else 0)
        names = apply_migrations(database, lock_wait=lock_wait)
    for name in names:
        click.echo(name)
    if not names:
        click.echo("nothing to do: every migration was applied already", err=True)
