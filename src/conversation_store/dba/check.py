"""Whether each query file is what Python expects of it, on a given server."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from conversation_store.dba.contract import Contract
from conversation_store.dba.file_check import FileCheck
from conversation_store.dba.files import QueryFile, scan
from conversation_store.dba.findings import Finding, nearest, path_of, unreadable
from conversation_store.dba.reading import holder_of_lock
from conversation_store.dba.server import Server
from conversation_store.errors import QueryError


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file, what is wrong with it, and why it was not looked at, where it was not."""

    path: str
    findings: tuple[Finding, ...] = ()
    skipped: str = ""


@contextmanager
def naming_who_holds_locks(connection: psycopg.Connection[Any]) -> Generator[None]:
    """Let an error for a lock that others hold say who does."""
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        message = f"{error.diag.message_primary}: {holder_of_lock(connection)}"
        raise psycopg.errors.LockNotAvailable(message) from error


def check_files(server: Server, folder: Path | None, contracts: Mapping[str, Contract] | None) -> Iterator[CheckedFile]:
    """Check every file of a folder, or of our own, against a server and, where they are given, the contracts.

    Yields each file as soon as it is checked, in order of the names; those that cannot be read first.
    """
    files, errors = scan(folder)
    for error in errors:
        found = unreadable(error)
        yield CheckedFile(found.path, (found,))
    for file in files:
        yield check_file(server, file, contracts)
    yield from missing_files(folder, files, errors, contracts)


def missing_files(
    folder: Path | None,
    files: Sequence[QueryFile],
    errors: Sequence[QueryError],
    contracts: Mapping[str, Contract] | None,
) -> Iterator[CheckedFile]:
    """Yield the files that have a contract and are not among those of a folder."""
    if folder is not None and folder.is_file():
        return  # the others were not asked for
    root = "sql" if folder is None else str(folder)
    # What a file is called that cannot be read, its path tells.
    named = {file.name for file in files} | {".".join(Path(path_of(e)).with_suffix("").parts[-2:]) for e in errors}
    for name in sorted((contracts or {}).keys() - named):
        path = f"{root}/{name.replace('.', '/')}.sql"
        advice = nearest(name, named - (contracts or {}).keys()) or "restore the file, or take its contract away"
        yield CheckedFile(path, (Finding("file", path, "there is no such file, and Python runs it", advice),))


def check_file(server: Server, file: QueryFile, contracts: Mapping[str, Contract] | None) -> CheckedFile:
    """Check a file against a server and, where they are given, its contract."""
    if file.of_ragflow and ("public", "api_4_conversation") not in server.tables:
        return CheckedFile(file.path, skipped="it runs on a RAGFlow database, which this is not")
    contract = None if contracts is None else contracts.get(file.name)
    check = FileCheck(server, file, contract)
    if contracts is not None and contract is None:
        advice = nearest(file.name, contracts) or "add its contract, or delete the file"
        check.found("contract", "no contract says what Python expects of it", advice=advice)
    try:
        check.run()
    except RecursionError:
        check.found("statement", "is nested too deep to be understood", advice="write it flatter")
    return CheckedFile(file.path, tuple(check.findings))


def behind_drift(checked: CheckedFile, faults: Sequence[Finding]) -> CheckedFile:
    """Return a file of our own with what the schema lacks as the cause: another name would be a wrong guess."""
    if not any(re.match(r"(table|column|function) .* is missing$", fault.message) for fault in faults):
        return checked
    advice = "mend the schema first, which lacks what is told above"
    findings = (
        replace(each, advice=advice) if each.rule == "statement" and each.message.endswith("does not exist") else each
        for each in checked.findings
    )
    return replace(checked, findings=tuple(findings))
