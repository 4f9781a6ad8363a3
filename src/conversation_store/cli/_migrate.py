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
    "--plan",
    "show_plan",
    is_flag=True,
    help="Change nothing: print what would run, the locks that each statement takes, who waits for it, and how much it"
    " reads.",
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
def migrate(database: str, check: bool, show_plan: bool, lock_wait: float) -> None:
    """Bring the schema up to date, and print the names of the migrations applied now."""
    if check and show_plan:
        raise click.UsageError("--check and --plan are two questions: ask one of them")
    with database_errors(database):
        if show_plan:
            _print_plan(database)
            return
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


def _print_plan(database: str) -> None:
    """Print what would run as SQL, with comments below each statement."""
    from conversation_store.dba.migration_locks import Work
    from conversation_store.dba.migration_plan import pending

    planned = pending(database)
    for each in planned:
        how = "one transaction, which holds its locks to the end" if each.migration.in_transaction else "no transaction"
        click.echo(f"-- {each.migration.name}: {how}\n")
        for step in each.steps:
            click.echo(step.statement)
            for lock in step.locks:
                waiting = "new: nobody waits" if lock.relation in step.new else lock.mode.waiting
                work = "" if lock.work is Work.NONE else f"; {lock.work}"
                click.echo(f"-- {lock.relation}: {lock.mode}, {waiting}{work}")
            if not step.locks:
                click.echo("-- locks no table")
            click.echo()
    if not planned:
        click.echo("nothing to do: every migration was applied already", err=True)
