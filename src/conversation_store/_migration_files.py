"""The files of sql/schema: read, checked and cut into statements."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from conversation_store._sql_lexer import Part, split
from conversation_store._sql_loader import sql_directory
from conversation_store.errors import MigrationError

# Text, compiled where it is used: a service that migrates nothing need not wait for that.
_UP = r"(?ms)^-- migrate:up(?P<option>(?: +transaction:(?:true|false))?) *\n(?P<up>.*?)^-- migrate:down\b"

# In the outline of a statement, in any case of letters.
_TRANSACTION = r"(?i)(begin|start|commit|end|rollback|abort)\b"
_CONCURRENTLY = r"(?i)(create (unique )?index concurrently if not exists|drop index concurrently if exists) \w"
_CREATED_INDEX = r"(?i)create (?:unique )?index (?:concurrently )?(?:if not exists )?(\w+) on (?:only )?(\w+\.\w+)"
_DROPPED_INDEX = r"(?i)drop index (?:concurrently )?(?:if exists )?conversation_store\.(\w+)"
_TABLE = r"(?i)(?:create|alter) table (?:if (?:not )?exists )?(?:only )?(\w+\.\w+)"
_CONSTRAINT = r"(?i)(?:(drop|rename|validate|alter) )?constraint (?:if exists )?(\w+)(?: to (\w+))?"


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of sql/schema.

    `statements` are the texts of its part `migrate:up`, which run one by one: in one transaction or, where
    `in_transaction` is False, outside of one. `created` and `dropped` are the names of indexes and constraints, those
    that are created with what they are: "index x on y".
    """

    name: str
    version: str
    checksum: str
    statements: tuple[str, ...]
    in_transaction: bool
    created: dict[str, str]
    dropped: frozenset[str]


def schema_directory() -> Traversable:
    """Return the folder of the migrations."""
    return sql_directory() / "schema"


def migrations() -> list[Migration]:
    """Return the migrations that this version of the package brings, in order; a bad file raises `MigrationError`."""
    files = [file for file in schema_directory().iterdir() if file.name.endswith(".sql")]
    return [parse(file.name, file.read_bytes()) for file in sorted(files, key=lambda file: file.name)]


def parse(file_name: str, content: bytes) -> Migration:
    """Return the migration of a file; raises `MigrationError` that names the file and what it needs."""
    name = file_name.removesuffix(".sql")
    text = content.decode()
    up = re.search(_UP, text)
    problem: str | None = None
    parts: list[Part] = []
    if up is None:
        problem = "needs '-- migrate:up' or '-- migrate:up transaction:false', and '-- migrate:down', each on its line"
    elif not re.match("[0-9]+_", name):
        problem = "needs a number and _ before its name"
    elif re.search("[\0\r\ufeff]", text):
        problem = "must have neither carriage returns, a byte order mark nor U+0000"
    else:
        try:
            parts = split(up["up"])
        except ValueError as error:
            problem = str(error)
    outlines = [part.outline for part in parts]
    in_transaction = up is None or "false" not in up["option"]
    if any(re.match(_TRANSACTION, outline) for outline in outlines):
        problem = "must not begin or end a transaction; each file is one"
    elif not in_transaction and [bool(re.match(_CONCURRENTLY, outline)) for outline in outlines] != [True]:
        # What blocks nobody, may run again after an interruption, and is one statement, as dbmate needs it.
        problem = (
            "with transaction:false it must have one statement, CREATE INDEX CONCURRENTLY IF NOT EXISTS or DROP INDEX"
            " CONCURRENTLY IF EXISTS, which blocks nobody and can run again after an interruption"
        )
    if problem is not None:
        raise MigrationError(f"sql/schema/{file_name}: {problem}")
    created, dropped = _names(outlines)
    return Migration(
        name,
        name.partition("_")[0],
        hashlib.sha256(content).hexdigest(),
        tuple(part.text for part in parts),
        in_transaction,
        created,
        frozenset(dropped),
    )


def _names(outlines: list[str]) -> tuple[dict[str, str], set[str]]:
    """Return the indexes and constraints that statements create, each with what it is, and those that they drop."""
    created: dict[str, str] = {}
    dropped: set[str] = set()

    def drop(name: str) -> None:
        if created.pop(name, None) is None:
            dropped.add(name)

    for outline in outlines:
        if index := re.match(_CREATED_INDEX, outline):
            created[index[1]] = f"index {index[1]} on {index[2]}"
        elif index := re.match(_DROPPED_INDEX, outline):
            drop(index[1])
        elif table := re.match(_TABLE, outline):
            for action, name, new_name in re.findall(_CONSTRAINT, outline):
                if action.lower() in ("drop", "rename"):
                    drop(name)
                if action == "" or new_name:
                    created[new_name or name] = f"constraint {new_name or name} on {table[1]}"
    return created, dropped
