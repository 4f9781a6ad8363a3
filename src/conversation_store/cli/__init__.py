"""The command `conversation-store`, installed with the extra [cli]."""

from __future__ import annotations

import logging
import signal

try:
    import click

    from conversation_store.cli._check import check
    from conversation_store.cli._doctor import doctor
    from conversation_store.cli._explain import explain
    from conversation_store.cli._lint import lint
    from conversation_store.cli._migrate import migrate
    from conversation_store.cli._moves import export, import_file, import_ragflow
    from conversation_store.cli._review import review
    from conversation_store.cli._shared import database_option
    from conversation_store.cli._top import top
except ModuleNotFoundError as error:  # pragma: no cover
    if (error.name or "").partition(".")[0] not in ("click", "rich"):
        raise
    raise SystemExit("this command needs the extra: pip install 'conversation-store[cli]'") from None


class _ToStandardError(logging.Handler):
    """Shows what the package logs as a line for people."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        click.echo(f"{level}{record.getMessage()}", err=True)


@click.group()
@database_option(of_all=True)
@click.version_option(package_name="conversation-store")
def main() -> None:
    """Keep API tokens and conversations in PostgreSQL."""
    # As Ctrl-C, so that what was begun is undone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logger = logging.getLogger("conversation_store")
    logger.addHandler(_ToStandardError())
    logger.setLevel(logging.INFO)


for command in (check, doctor, explain, export, import_file, import_ragflow, lint, migrate, review, top):
    main.add_command(command)
