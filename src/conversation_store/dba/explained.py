"""What `explain` is asked for: a file by its name or path, and values of its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from conversation_store.dba.files import QueryFile, files, read
from conversation_store.dba.findings import nearest
from conversation_store.errors import QueryError

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
        question = nearest(name, ours)
        raise QueryError(f"there is no file {named}" + (f"; {question}" if question else ""))
    return _planned(ours[name])


def values_of(file: QueryFile, given: Mapping[str, str | None]) -> dict[str, object]:
    """Return a value for each parameter: those that are given, and NULL for filters that are not.

    Raises `QueryError` for names that the file does not have, and where one that it needs is missing.
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
        if not each.optional and each.name not in given
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


def _planned(file: QueryFile) -> QueryFile:
    word = file.words[0]
    if file.is_copy:
        raise QueryError(f"{file.path}: is a COPY, which has no plan")
    if word not in _PLANNED:
        raise QueryError(f"{file.path}: begins with {word.upper()}; only statements on rows have a plan")
    return file
