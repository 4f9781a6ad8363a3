"""What migrations would do to a database: their statements, and the locks that each takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from conversation_store._conninfo import with_defaults
from conversation_store._migration_files import Migration, migrations
from conversation_store._schema_state import read_state
from conversation_store._waiting import drive
from conversation_store.dba.migration_locks import Lock, created_table, known, locks_of


@dataclass(frozen=True, slots=True)
class Step:
    """A statement with its locks; `new` are the tables among them that the same run creates, which nobody waits for."""

    statement: str
    locks: tuple[Lock, ...]
    new: frozenset[str]


@dataclass(frozen=True, slots=True)
class Planned:
    """A migration that would be applied."""

    migration: Migration
    steps: tuple[Step, ...]


def pending(conninfo: str) -> list[Planned]:
    """Return what `migrate` would apply to a database, in order; it only reads, on a standby too.

    Raises `MigrationError` where a file that was applied has been changed since, as `migrate` does.
    """
    with psycopg.connect(**with_defaults(conninfo), autocommit=True, client_encoding="UTF8") as connection:
        state = drive(read_state(connection))
    missing: list[Migration] = []
    for migration in migrations():
        state.check_unchanged(migration)
        if not state.is_applied(migration):
            missing.append(migration)
    return plan(missing)


def plan(missing: Sequence[Migration]) -> list[Planned]:
    """Return the steps of migrations that run one after the other."""
    schema = known([*migrations(), *missing])
    created: set[str] = set()
    planned: list[Planned] = []
    for migration in missing:
        steps: list[Step] = []
        for statement in migration.statements:
            if table := created_table(statement):
                created.add(table)
            locks = locks_of(statement, schema)
            steps.append(Step(statement, locks, frozenset(lock.relation for lock in locks if lock.relation in created)))
        planned.append(Planned(migration, tuple(steps)))
    return planned
