"""The command `conversation-store`, installed with the extra [cli]."""

from __future__ import annotations

import logging

try:
    import click
except ImportError:  # pragma: no cover
    raise SystemExit("this command needs the extra: pip install 'conversation-store[cli]'") from None

import psycopg

from conversation_store._migrate import migrate as apply_migrations
from conversation_store.errors import StoreError


class _ToStandardError(logging.Handler):
    """Shows what the package logs as a line for people."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        click.echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)


@click.group()
@click.option(
    "--database",
    metavar="URL",
    envvar="DATABASE_URL",
    show_envvar=True,
    help="The database, as a postgresql:// URL or libpq's key=value text.",
)
@click.version_option(package_name="conversation-store")
@click.pass_context
def main(context: click.Context, database: str | None) -> None:
    """Keep API tokens and conversations in PostgreSQL."""
    context.obj = database
    logging.getLogger("conversation_store").addHandler(_ToStandardError())


@main.command()
@click.pass_obj
def migrate(database: str | None) -> None:
    """Bring the schema up to date, and print the names of the migrations applied now."""
    if not database:
        raise click.UsageError("give --database URL or set DATABASE_URL")
    try:
        names = apply_migrations(database)
    except (StoreError, psycopg.Error) as error:
        raise click.ClickException(str(error).strip()) from error
    for name in names:
        click.echo(name)
    if not names:
        click.echo("nothing to do: the schema is up to date", err=True)
