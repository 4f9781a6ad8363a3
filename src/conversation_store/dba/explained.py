"""What `explain` is asked for: a file by its name or path, and values of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from conversation_store._adapters import Cursor
from conversation_store._schema_state import lock_holder
from conversation_store._waiting import drive
from conversation_store.dba.files import QueryFile, files, read
from conversation_store.dba.findings import nearest
from conversation_store.dba.plans import Plan, explain
from conversation_store.dba.reading import is_distributed
from conversation_store.errors import QueryError

_SCHEMA = "conversation_store"
# What EXPLAIN takes, but for what makes tables and cursors of it.
_PLANNED = ("select", "insert", "update", "delete", "merge", "with", "values", "table")


def find(named: str) -> QueryFile:
    """Return the file that is named as `conversation/get_list` or `conversation.get_list`, or the one at a path.

    Raises `QueryError` for one that is not there, and for one that has no plan.
    """
    path = Path(named)
    # A file beside the caller, and not our own of the same name, is what a path with its ending names.
    if path.suffix == ".sql" and path.is_file():
        folder = path.resolve().parent.name
        if folder == "schema":
            raise QueryError(f"{named}: is a migration, which has no plan")
        return _planned(read(path.read_bytes(), named, f"{folder}.{path.stem}"))
    name = named.removeprefix("sql/").removesuffix(".sql").replace("/", ".")
    if name.startswith("ragflow_mysql."):
        raise QueryError(f"{named}: runs on MySQL, which this command does not ask")
    ours = {file.name: file for file in files()}
    if name not in ours:
        if path.is_file():
            raise QueryError(f"{named}: is no .sql file")
        question = nearest(name, ours)
        raise QueryError(f"there is no file {named}" + (f"; {question}" if question else ""))
    return _planned(ours[name])


def values_of(file: QueryFile, given: Mapping[str, str | None], *, all_needed: bool = True) -> dict[str, object]:
    """Return a value for each parameter: those that are given, and NULL for filters that are not.

    Raises `QueryError` for names that the file does not have, and where one that it needs is missing; without
    *all_needed* that is NULL too.
    """
    names = file.query.parameters
    for name in given:
        if name not in names:
            question = nearest(name, names)
            raise QueryError(
                f"{file.path}: has no parameter {name}; {question or 'it has ' + (', '.join(names) or 'none')}"
            )
    missing = [
        f"\n  --set {each.name}={'|'.join(each.choices) or (f'({each.type})' if each.type else '…')}"
        for each in file.parameters
        if all_needed and not each.optional and each.name not in given
    ]
    if missing:
        raise QueryError(f"{file.path}: needs values; --null NAME gives NULL:{''.join(missing)}")
    return {name: given.get(name) for name in names}


def parsed(settings: Iterable[str], nulls: Iterable[str]) -> dict[str, str | None]:
    """Return the values of `NAME=VALUE` texts, and NULL for names; raises `QueryError` for what is given twice."""
    given: dict[str, str | None] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise QueryError(f"--set {setting}: must be NAME=VALUE")
        if name in given:
            raise QueryError(f"--set {name}=…: is given twice")
        given[name] = value
    for name in nulls:
        if name in given:
            raise QueryError(f"--null {name}: it has a value too")
        given[name] = None
    return given


def plan_within(
    connection: psycopg.Connection[Any],
    file: QueryFile,
    values: Mapping[str, object],
    *,
    generic: bool,
    analyze: bool,
    seconds: float,
) -> Plan:
    """Return the plan of a file as `plans.explain` does, and wait no longer than *seconds*, for a lock 2 of them.

    Raises `QueryError` where that is over, where a value is not of its type, and for tables of others that are not
    there.
    """
    if analyze and file.is_write and is_distributed(connection):
        # It is not supported there, and has ended processes of the coordinator.
        raise QueryError(f"{file.path}: on a Citus coordinator --analyze runs no statement that writes")
    try:
        with connection.transaction(force_rollback=True):
            if not analyze:
                # The planner runs functions that are declared IMMUTABLE: they change nothing either.
                connection.execute(b"SET TRANSACTION READ ONLY")
            # Who comes later waits behind us for as long as we do; what outlives its client ends by itself.
            limits = b"SELECT set_config('lock_timeout', '2s', TRUE), set_config('statement_timeout', $1::text, TRUE)"
            Cursor(connection).execute(limits, [f"{seconds * 1000:.0f}ms"])
            return explain(connection, file.query, values, generic=generic, analyze=analyze)
    except psycopg.errors.LockNotAvailable as error:
        holder = f": {drive(lock_holder(connection))}" if _SCHEMA in file.body else ""
        raise QueryError(f"{file.path}: got no lock within 2 seconds{holder}") from error
    except psycopg.errors.QueryCanceled as error:
        raise QueryError(f"{file.path}: took longer than {seconds:g} seconds; --seconds gives it more") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        message = error.diag.message_primary or ""
        if _SCHEMA in message:
            raise
        raise QueryError(f"{file.path}: {message}") from error
    except psycopg.DataError as error:
        number = re.search(r"\$(\d+)", error.diag.context or "")
        if number is None:
            raise
        name = file.query.parameters[int(number[1]) - 1]
        raise QueryError(f"{file.path}: the value of {name}: {error.diag.message_primary}") from error


def _planned(file: QueryFile) -> QueryFile:
    if file.is_copy:
        raise QueryError(f"{file.path}: is a COPY, which has no plan")
    if not file.words or file.words[0] not in _PLANNED:
        begins = f"begins with {file.words[0].upper()}" if file.words else "has no word"
        raise QueryError(f"{file.path}: {begins}; only statements on rows have a plan")
    return file
