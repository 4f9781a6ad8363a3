"""The command `check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conversation_store.cli._shared import database_errors, database_option

if TYPE_CHECKING:
    from conversation_store.dba.check import CheckedFile
    from conversation_store.dba.contract import Contract
    from conversation_store.dba.drift import Drift


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--contracts",
    metavar="MODULE:MAPPING",
    help="What Python expects of the files below PATH: a mapping from their names, as orders.get, to row classes or to"
    " conversation_store.dba.contract.Contract.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
@database_option()
def check(database: str, path: Path | None, contracts: str | None, as_json: bool) -> None:
    """Compare the query files with the server and with Python.

    Every statement is prepared on the server, and none is run. Without PATH the files are those of this package, and
    the schema is compared with what the migrations make; with PATH they are those of a service. Exits with 1 where
    something is wrong.
    """
    from conversation_store.dba.check import check_files
    from conversation_store.dba.contract import load_contracts
    from conversation_store.dba.drift import drift
    from conversation_store.dba.own_contracts import FILES
    from conversation_store.dba.reading import connected
    from conversation_store.dba.server import Server

    if contracts is not None and path is None:
        raise click.UsageError("--contracts needs a PATH")
    with database_errors(database):
        expected: Mapping[str, Contract] | None = FILES if path is None else None
        if contracts is not None:
            sys.path.insert(0, "")  # as `python -m` has it
            expected = load_contracts(contracts)
        with connected(database) as connection:
            schema = None if path is not None else drift(connection)
            server = Server(connection)
            # Without the schema each file would say so.
            is_there = path is not None or any(name == "conversation_store" for name, _ in server.tables)
            files = list(check_files(server, path, expected)) if is_there else []
    if as_json:
        click.echo(json.dumps(_value(files, schema), ensure_ascii=False, indent=2))
    else:
        _print(files, schema)
    faults = any(file.findings for file in files) or (schema is not None and bool(schema.faults))
    raise SystemExit(1 if faults else 0)


def _value(files: list[CheckedFile], schema: Drift | None) -> dict[str, object]:
    return {
        "schema": None
        if schema is None
        else {"findings": [fault.to_dict() for fault in schema.faults], "notes": schema.notes},
        "files": [
            {"path": file.path, "skipped": file.skipped or None, "findings": [each.to_dict() for each in file.findings]}
            for file in files
        ],
    }


def _print(files: list[CheckedFile], schema: Drift | None) -> None:
    """Print what is wrong, and on standard error what is only told."""
    faults = [*(schema.faults if schema is not None else ()), *(fault for file in files for fault in file.findings)]
    for fault in faults:
        click.echo(f"{fault}\n")
    for note in schema.notes if schema is not None else ():
        click.echo(f"note: {note}", err=True)
    for reason in dict.fromkeys(file.skipped for file in files if file.skipped):
        names = [file.path for file in files if file.skipped == reason]
        click.echo(f"note: {len(names)} files are not checked: {reason}", err=True)
    checked = sum(not file.skipped for file in files)
    what = f"{checked} files" if schema is None else f"{checked} files and the schema"
    click.echo(f"checked {what}: {f'{len(faults)} faults' if faults else 'ok'}")
