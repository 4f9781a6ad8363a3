"""What the commands share: the option that names the database, errors as one line, and bars of progress."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from conversation_store._conninfo import check_conninfo, explain_refusal, with_defaults
from conversation_store.errors import AmbiguousId, StoreError
from conversation_store.store import ConversationStore

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])


def database_option(*, of_all: bool = False) -> Callable[[AnyCallable], AnyCallable]:
    """Add the option that names the database, before a command or after it."""

    def inherited(context: click.Context, _: click.Parameter, value: str | None) -> str:
        database: str = value or context.obj or ""
        context.obj = database
        return database

    return click.option(
        "--database",
        metavar="URL",
        envvar="DATABASE_URL" if of_all else None,
        show_envvar=True,
        callback=inherited,
        expose_value=not of_all,
        help="The database, as a postgresql:// URL or libpq's key=value text; by default what PGHOST, PGDATABASE,"
        " PGSERVICE, PGPASSWORD, ~/.pgpass and the like say, as with psql.",
    )


@contextmanager
def database_errors(database: str) -> Generator[None]:
    """Check how the database is named, and turn what goes wrong into one line."""
    try:
        check_conninfo("--database", database)
        yield
    except BrokenPipeError:
        # The reader has closed the pipe; Python would fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise click.ClickException(
            f"{error.diag.message_primary}; has `conversation-store migrate` been run?"
        ) from error
    except AmbiguousId as error:
        raise click.ClickException(f"{str(error).partition(':')[0]}: give --tenant") from error
    except psycopg.OperationalError as error:
        hint = (
            "" if database else "\ngive --database URL, or set DATABASE_URL or libpq's PGHOST, PGDATABASE and the like"
        )
        explain_refusal(error)
        notes = dict.fromkeys(f"\n{note}" for note in getattr(error, "__notes__", ()))
        raise click.ClickException(str(error).strip() + "".join(notes) + hint) from error
    except (StoreError, psycopg.Error, ValueError, OSError) as error:
        from conversation_store.dba.files import NoQueryFiles

        if isinstance(error, NoQueryFiles):
            raise click.UsageError(str(error)) from error
        raise click.ClickException(str(error).strip()) from error


@contextmanager
def store_of(database: str) -> Generator[ConversationStore]:
    """Give a store on a connection of its own, which fails at once where there is no server."""
    with psycopg.connect(**with_defaults(database), autocommit=True, client_encoding="UTF8") as connection:
        yield ConversationStore(connection=connection)


@contextmanager
def progress(title: str, total: int | None, *, counted: bool) -> Generator[Callable[[int], None]]:
    """Show a bar on a terminal, and give a function that moves it along."""
    number = MofNCompleteColumn() if counted else TaskProgressColumn()
    with shown(number) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def shown_bars() -> Generator[Callable[[str], Callable[[int, int | None], None]]]:
    """Show any number of bars on a terminal: give a function that makes one, and returns what sets it."""
    with shown(MofNCompleteColumn()) as progress:

        def bar(title: str) -> Callable[[int, int | None], None]:
            task = progress.add_task(title, total=None)
            return lambda done, about: progress.update(task, completed=done, total=about and max(about, done))

        yield bar


def shown(number: MofNCompleteColumn | TaskProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        number,
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def written(output: Path | None) -> Generator[Callable[[str], object]]:
    """Give a function that writes to standard output, or to a file that is moved to its place when it is complete."""
    if output is None or str(output) == "-":
        yield lambda text: sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    output = output.resolve()  # a link stays one
    if output.exists() and not output.is_file():
        # A pipe or a device is written to; nothing may take its place.
        with output.open("wb") as file:
            yield lambda text: file.write(text.encode())
        return
    try:
        temporary = tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error  # not the name of what is moved there
    with temporary as file:
        part = Path(file.name)
        try:
            yield lambda text: file.write(text.encode())
            file.close()
            part.chmod(0o666 & ~_umask())
            part.replace(output)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _umask() -> int:
    """Return what the process keeps from new files: a temporary file is for its owner alone, an export as any other."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
