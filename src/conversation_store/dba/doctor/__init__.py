"""What hurts a store on its server, found by reading alone: each check looks, says what it saw, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg

from conversation_store.dba.doctor import access, contents, installation, plans, server, tables
from conversation_store.dba.doctor.patient import Finding, Level, Patient
from conversation_store.dba.files import files
from conversation_store.dba.reading import bounded, connected, holder_of_lock, is_distributed, read_one

__all__ = ["CHECKS", "Finding", "Level", "Patient", "examine"]

# The order in which findings of one level are told.
CHECKS: Mapping[str, Callable[[Patient], Iterator[Finding]]] = {
    "installation": installation.check_files,
    "schema": installation.check_schema,
    "version": server.check_version,
    "settings": server.check_settings,
    "isolation": server.check_isolation,
    "locale": server.check_locale,
    "pooler": access.check_pooler,
    "privileges": access.check_privileges,
    "policies": access.check_policies,
    "jit": plans.check_jit,
    "work_mem": plans.check_work_mem,
    "pending_lists": plans.check_pending_lists,
    "autovacuum": tables.check_autovacuum,
    "visibility_map": tables.check_visibility,
    "statistics": tables.check_statistics,
    "bloat": tables.check_bloat,
    "tokens": contents.check_tokens,
    "dialogs": contents.check_dialogs,
}

_OWN_TRANSACTIONS = frozenset({"schema"})

# What looks at the rows of the tables, their pages and their indexes: where Citus distributes them, the workers have
# these, and the coordinator's tables are empty.
_OF_ROWS = frozenset(
    {"work_mem", "pending_lists", "autovacuum", "visibility_map", "statistics", "bloat"},
)

_ON_WORKERS = "look at each worker: its tables are named conversation_store.conversation_102008 and the like"

_LEVELS: Sequence[Level] = ("problem", "advice", "unknown", "ok")

_UNDEFINED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction)


def examine(
    conninfo: str, folder: Path | None = None, *, only: Sequence[str] = (), seconds: float = 5.0
) -> list[Finding]:
    """Return what each check has found, the worst first; one that saw nothing wrong has one finding of the level ok.

    Nothing is changed. Each check is a transaction of its own that reads, whose statements end after *seconds*; one
    that the role may not make, or that takes longer, is of the level unknown, and the others go on. *folder* has the
    query files of a service, whose privileges are looked at beside those of our own; *only* names the checks to make.
    """
    if unknown := [name for name in only if name not in CHECKS]:
        raise ValueError(f"there is no check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    found: list[Finding] = []
    with connected(conninfo) as connection:
        with bounded(connection):
            facts = read_one(connection, "doctor.server")
            has_rows = not is_distributed(connection)
        own = [file for file in files() if not file.of_ragflow]
        patient = Patient(connection, facts, own + ([] if folder is None else files(folder)))
        for name, check in CHECKS.items():
            if only and name not in only:
                continue
            if name in _OF_ROWS and not has_rows:
                found.append(Finding("unknown", "the rows are on the workers", _ON_WORKERS, name))
            else:
                found += _made(name, check, patient, seconds)
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))


def _made(name: str, check: Callable[[Patient], Iterator[Finding]], patient: Patient, seconds: float) -> list[Finding]:
    """Make a check, and return its findings under its name."""
    try:
        with nullcontext() if name in _OWN_TRANSACTIONS else bounded(patient.connection, seconds):
            found = list(check(patient))
    except psycopg.Error as error:
        if patient.connection.closed:
            raise
        seen = f"could not be looked at: {error.diag.message_primary or error}"
        found = [Finding("unknown", seen, _todo(error, patient.connection))]
    for finding in found:
        finding.check = name
    return found


def _todo(error: psycopg.Error, connection: psycopg.Connection[Any]) -> str:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return f"wait until the lock is given back, or end who holds it: {holder_of_lock(connection)}"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "examine the server with a role that may, such as the owner of the schema"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "it took too long: examine the server at another hour, or with more --seconds"
    if isinstance(error, _UNDEFINED):
        return "bring the schema up to date: conversation-store migrate"
    return ""
