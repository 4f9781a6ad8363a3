"""In which ways a database's schema is not what the migrations make.

What they make is in `schema.json`, which a test holds to them: a comparison then needs neither the right to create a
database nor a server that can be written, and runs on a standby too. `python -m conversation_store.dba.drift URL`
prints that file from a migrated database.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import psycopg

from conversation_store import _schema_state as schema_state
from conversation_store._migration_files import migrations, schema_directory
from conversation_store._waiting import drive
from conversation_store.dba.findings import Finding, nearest
from conversation_store.dba.reading import bounded, connected, is_distributed, read

# The foreign key that sql/citus.sql takes away: on distributed tables none can reach a dialog.
_NOT_ON_CITUS = ("constraint", "api_token", "api_token_tenant_id_dialog_id_fkey")


class Key(NamedTuple):
    """What an object is called: its kind, its table, or nothing, and its name."""

    kind: str
    table: str
    name: str

    def __str__(self) -> str:
        where = f" on conversation_store.{self.table}" if self.table else ""
        name = self.name if self.table else f"conversation_store.{self.name}"
        return f"{self.kind} {name}{where}"


@dataclass(frozen=True, slots=True)
class Drift:
    """What is wrong, and what is only told: objects of others, which are no fault."""

    faults: list[Finding]
    notes: list[str]


def drift(connection: psycopg.Connection[Any]) -> Drift:
    """Return in which ways the schema is not what the migrations make; changes nothing."""
    with bounded(connection):
        lines = drive(schema_state.problems(connection, migrations(), statements=False))
    found = object_drift(connection)
    # What both tell is told by the comparison, which knows what to do.
    told = {fault.message for fault in found.faults} | set(found.notes)
    # With a table is missing what belongs to it.
    absent = tuple(line.replace("table ", " on ", 1) for line in told if line.startswith("table "))
    left = [line for line in lines if line not in told and not line.endswith(absent)]
    return Drift([*map(_of_migrations, left), *found.faults], found.notes)


def object_drift(connection: psycopg.Connection[Any]) -> Drift:
    """Return which objects are not what the migrations make.

    They are compared where every migration was applied, and none that this package does not know.
    """
    with bounded(connection):
        applied = drive(schema_state.read_state(connection)).applied.keys()
        known = {migration.version for migration in migrations()}
        if applied != known:
            return Drift([], ["objects are not compared: the migrations are not those of this version"])
        differences = _differences(expected_objects(), objects(connection), is_distributed=is_distributed(connection))
        found = list(differences)
    return Drift(
        [each for each in found if isinstance(each, Finding)], [each for each in found if isinstance(each, str)]
    )


def objects(connection: psycopg.Connection[Any]) -> dict[Key, tuple[str, bool]]:
    """Return what a database has: each object with its definition, and whether it is valid."""
    rows = read(connection, "check.objects")
    return {Key(row.kind, row.table_name, row.name): (row.definition, row.is_valid) for row in rows}


def expected_objects() -> dict[Key, str]:
    """Return what the migrations make: each object with its definition."""
    text = (files("conversation_store.dba") / "schema.json").read_text("utf-8")
    return {Key(*key.split("|")): definition for key, definition in json.loads(text).items()}


def as_file(found: Mapping[Key, tuple[str, bool]]) -> str:
    """Return the text of `schema.json`."""
    return json.dumps({"|".join(key): definition for key, (definition, _) in found.items()}, indent=1) + "\n"


def _differences(
    expected: Mapping[Key, str], found: Mapping[Key, tuple[str, bool]], *, is_distributed: bool
) -> Iterator[Finding | str]:
    """Yield faults, and notes as texts."""
    absent = {key.name for key in expected if key.kind == "table" and key not in found}
    for key, definition in expected.items():
        if key.table in absent:
            continue  # what belongs to a table that is missing is missing with it
        if key not in found:
            if is_distributed and key == _NOT_ON_CITUS:
                yield f"{key} is missing, as it is where tables are distributed"
            else:
                others = [each.name for each in found if each[:2] == key[:2] and each not in expected]
                renamed = nearest(key.name, others).replace("did you mean", "was it renamed to")
                how = _how_to_make(key, definition)
                yield _fault(f"{key} is missing", f"{renamed} if not, {how}" if renamed else how)
            continue
        there, is_valid = found[key]
        if there != definition:
            message = f"{key} is not what the migrations make: {_change(definition, there)}"
            yield _fault(message, _how_to_change(key, definition, there))
        if not is_valid:
            yield _fault(f"{key} is invalid", _how_to_validate(key))
    own_tables = {key.name for key in expected if key.kind == "table"} | {""}
    for key, (definition, _) in found.items():
        if key not in expected and key.table in own_tables:
            yield _of_others(key, definition)


def _of_others(key: Key, definition: str) -> Finding | str:
    """Return what is said of an object that the migrations do not make: a fault where it may refuse what is written."""
    message = f"{key} is not of these migrations"
    if key.kind == "column" and "NOT NULL" in definition and not re.search("DEFAULT|GENERATED|IDENTITY", definition):
        return _fault(
            f"{message}: each INSERT fails, which gives it no value", "drop its NOT NULL, or give it a default"
        )
    if key.kind == "constraint" or definition.startswith("CREATE UNIQUE INDEX"):
        return _fault(f"{message}: it may refuse what is written", f"drop it: it is {definition}")
    return message


def _of_migrations(line: str) -> Finding:
    advice = "run: conversation-store migrate" if line.startswith("migration") and line.endswith("missing") else ""
    if line.endswith("changed afterwards"):
        advice = "install the version that applied it, or put the file back; what is new belongs to a new migration"
    return Finding("drift", "schema", line, advice)


def _fault(message: str, advice: str) -> Finding:
    return Finding("drift", "schema", message, advice)


def _change(expected: str, found: str) -> str:
    """Return how two definitions differ; what a function does is told as such, not by its digests."""
    shown = [re.sub(r" ?AS [0-9a-f]{64}$", "", text) for text in (expected, found)]
    if shown[0] == shown[1]:
        return "its body was changed"
    return f"{shown[0]!r} is now {shown[1]!r}"


def _how_to_make(key: Key, definition: str) -> str:
    if key.kind == "index":
        # On one line, as all that is advised.
        text = definition.replace("'\n'", r"E'\n'").replace(" INDEX ", " INDEX CONCURRENTLY ", 1)
        return f"run: {text};"
    if key.kind == "setting":
        name, _, column = key.name.partition(" of ")
        return f"run: ALTER TABLE conversation_store.{key.table} ALTER COLUMN {column} SET ({name} = {definition});"
    if key.kind == "constraint":
        return f"run: ALTER TABLE conversation_store.{key.table} ADD CONSTRAINT {key.name} {definition};"
    if key.kind == "column":
        return f"run: ALTER TABLE conversation_store.{key.table} ADD COLUMN {key.name} {definition};"
    return _source(key)


def _how_to_change(key: Key, expected: str, found: str) -> str:
    if key.kind == "column" and expected.replace(" NOT NULL", "") == found:
        return f"run: ALTER TABLE conversation_store.{key.table} ALTER COLUMN {key.name} SET NOT NULL;"
    if key.kind == "setting":
        return _how_to_make(key, expected)
    if key.kind == "index" and expected.startswith(f"{found}; "):
        return f"run: {expected.removeprefix(f'{found}; ')};"
    if key.kind == "constraint" and found.startswith(f"{expected} DISABLED ON "):
        tables = found.removeprefix(f"{expected} DISABLED ON ").split(", ")
        enable = " ".join(f"ALTER TABLE conversation_store.{table} ENABLE TRIGGER ALL;" for table in tables)
        return f"run: {enable} Rows that were written meanwhile were not checked."
    return _source(key)


def _how_to_validate(key: Key) -> str:
    if key.kind == "constraint":
        return f"run: ALTER TABLE conversation_store.{key.table} VALIDATE CONSTRAINT {key.name};"
    return f"run: REINDEX INDEX CONCURRENTLY conversation_store.{key.name};"


def _source(key: Key) -> str:
    """Return which migration makes an object."""
    name = key.name.partition("(")[0]
    where = rf"(?i)create (?:or replace )?(?:function|table) conversation_store\.{re.escape(key.table or name)}\b"
    if key.kind in ("index", "constraint"):
        where = rf"\b{re.escape(name)}\b"
    for file in sorted(schema_directory().iterdir(), key=lambda file: file.name, reverse=True):
        if file.name.endswith(".sql") and re.search(where, file.read_text("utf-8")):
            return f"sql/schema/{file.name} has how it should be"
    return ""


if __name__ == "__main__":
    with connected(sys.argv[1]) as connection, bounded(connection):
        sys.stdout.write(as_file(objects(connection)))
