"""What the checks look at, and what they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql

from conversation_store.dba.files import QueryFile
from conversation_store.dba.reading import read, read_one

Level: TypeAlias = Literal["problem", "advice", "unknown", "ok"]
"""problem: calls fail, are many times slower, or may lose something; advice: worth a look; unknown: not to be seen."""


@dataclass(slots=True)
class Finding:
    """What a check has found: how bad it is, what was seen, and what to do, with a command where there is one."""

    level: Level
    seen: str
    todo: str = ""
    check: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return all of it as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Patient:
    """A server that is examined, as the role sees it that is connected."""

    connection: psycopg.Connection[Any]
    facts: Any  # the row of doctor.server
    files: Sequence[QueryFile]

    def read(self, name: str, **parameters: object) -> list[Any]:
        """Run a query of the doctor's and return its rows."""
        return read(self.connection, f"doctor.{name}", **parameters)

    def read_one(self, name: str, **parameters: object) -> Any:
        """Run a query of the doctor's that returns one row."""
        return read_one(self.connection, f"doctor.{name}", **parameters)

    def settings(self, *names: str) -> dict[str, str]:
        """Return settings as the role has them."""
        return {row.name: row.value for row in self.read("settings", names=list(names))}

    @property
    def role(self) -> str:
        """The role, as SQL has it."""
        return sql.Identifier(self.facts.role).as_string()

    def set_for_role(self, name: str, value: str) -> str:
        """Return the command that gives the role a setting, for connections from now on."""
        return f"ALTER ROLE {self.role} SET {name} = {value};"
