"""The command `check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conversation_store.cli._shared import database_errors, database_option

if TYPE_CHECKING:
    import psycopg

    from conversation_store.dba.check import CheckedFile
    from conversation_store.dba.contract import Contract
    from conversation_store.dba.drift import Drift
    from conversation_store.dba.plan_check import CheckedPlans


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--contracts",
    metavar="MODULE:MAPPING",
    help="What Python expects of the files below PATH: a mapping from their names, as orders.get, to row classes or to"
    " conversation_store.dba.contract.Contract.",
)
@click.option("--plans", "with_plans", is_flag=True, help="Look at the plans of every shape of every file too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
@database_option()
def check(database: str, path: Path | None, contracts: str | None, with_plans: bool, as_json: bool) -> None:
    """Compare the query files with the server and with Python.

    Every statement is prepared on the server, and none is run. Without PATH the files are those of this package, and
    the schema is compared with what the migrations make; with PATH they are those of a service. Exits with 1 where
    something is wrong.
    """
    from conversation_store.dba.check import behind_drift, check_files, naming_who_holds_locks
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
        with connected(database) as connection, naming_who_holds_locks(connection):
            schema = None if path is not None else drift(connection)
            server = Server(connection)
            # Without the schema each file would say so.
            is_there = path is not None or any(name == "conversation_store" for name, _ in server.tables)
            files = list(check_files(server, path, expected)) if is_there else []
            if schema is not None:
                files = [behind_drift(file, schema.faults) for file in files]
            plans = _plans(connection, path, files) if with_plans and is_there else None
    if as_json:
        click.echo(json.dumps(_value(files, schema, plans), ensure_ascii=False, indent=2))
    else:
        _print(files, schema, plans)
    faults = any(file.findings for file in files) or (schema is not None and bool(schema.faults))
    faults = faults or (plans is not None and bool(plans.findings))
    raise SystemExit(1 if faults else 0)


def _plans(connection: psycopg.Connection[Any], path: Path | None, checked: list[CheckedFile]) -> CheckedPlans:
    """Look at the plans of files, but of those that run elsewhere; what cannot be planned has been said already."""
    from conversation_store.dba.files import scan
    from conversation_store.dba.plan_check import check_both

    plans = check_both(connection, [file for file in scan(path)[0] if not file.of_ragflow])
    faulty = {file.path for file in checked if file.findings}
    findings = [each for each in plans.findings if each.rule != "plan" or each.path not in faulty]
    return plans._replace(findings=findings)


def _value(files: list[CheckedFile], schema: Drift | None, plans: CheckedPlans | None) -> dict[str, object]:
    return {
        "plans": None
        if plans is None
        else {"findings": [each.to_dict() for each in plans.findings], "coverage": asdict(plans.coverage)},
        "schema": None
        if schema is None
        else {"findings": [fault.to_dict() for fault in schema.faults], "notes": schema.notes},
        "files": [
            {"path": file.path, "skipped": file.skipped or None, "findings": [each.to_dict() for each in file.findings]}
            for file in files
        ],
    }


def _print(files: list[CheckedFile], schema: Drift | None, plans: CheckedPlans | None) -> None:
    """Print what is wrong, and on standard error what is only told."""
    from conversation_store.dba.findings import printable

    faults = [*(schema.faults if schema is not None else ()), *(fault for file in files for fault in file.findings)]
    faults += plans.findings if plans is not None else ()
    for fault in faults:
        click.echo(f"{fault}\n")
    for note in schema.notes if schema is not None else ():
        click.echo(f"note: {printable(note)}", err=True)
    for reason in dict.fromkeys(file.skipped for file in files if file.skipped):
        names = [file.path for file in files if file.skipped == reason]
        click.echo(f"note: {len(names)} files are not checked: {reason}", err=True)
    if plans is not None:
        click.echo(f"note: {plans.coverage}", err=True)
    checked = sum(not file.skipped for file in files)
    what = f"{checked} files" if schema is None else f"{checked} files and the schema"
    result = "ok" if not faults else "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    click.echo(f"checked {what}: {result}")
