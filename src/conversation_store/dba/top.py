"""What the files have cost on a server: its statistics of statements, by file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from conversation_store.dba.files import QueryFile
from conversation_store.dba.own_statements import own_statements
from conversation_store.dba.query_ids import StatisticsError, find, known_files, tokens, without_comments
from conversation_store.dba.reading import bounded, read, read_one

# With what the statements begin that a file could have. What opens a transaction, sets up a session, explains or
# defines something is no work of a service.
_WORK = frozenset(["copy", "delete", "insert", "merge", "select", "table", "update", "values", "with", "("])


@dataclass(slots=True)
class Usage:
    """What the server has counted of a file, or of a statement in no file: all of its calls together.

    `hits` and `reads` are blocks of tables and indexes that were in the cache of the server and that were not; times
    are in milliseconds, and do not hold planning.
    """

    name: str
    calls: int = 0
    total_ms: float = 0.0
    rows: int = 0
    hits: int = 0
    reads: int = 0
    wal_bytes: int = 0
    roles: list[str] = field(default_factory=list[str])

    @property
    def mean_ms(self) -> float:
        """The time of a call."""
        return self.total_ms / self.calls if self.calls else 0.0

    @property
    def hit_share(self) -> float | None:
        """The share of blocks that were in the cache, or None where none was read."""
        blocks = self.hits + self.reads
        return self.hits / blocks if blocks else None

    def add(self, row: Any) -> None:
        """Add what was counted of a statement."""
        self.calls += row.calls
        self.total_ms += row.total_ms
        self.rows += row.rows
        self.hits += row.hits
        self.reads += row.reads
        self.wal_bytes += int(row.wal_bytes)
        if (role := row.role or "(a dropped role)") not in self.roles:
            self.roles.append(role)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {**asdict(self), "mean_ms": self.mean_ms, "hit_share": self.hit_share}


@dataclass(frozen=True, slots=True)
class Top:
    """The statistics of a server by file.

    `files` were called, `never` were not; `others` are statements in no file, of the roles that call files. Of the
    files in `not_explained` the server gave no id, for the reason beside it: they are found by their text alone.
    `hidden` is how many statements of other roles may not be seen, and `given_up` how many the server has
    forgotten for want of room.
    """

    since: datetime
    role: str
    roles: Sequence[str]
    files: Sequence[Usage]
    never: Sequence[str]
    others: Sequence[Usage]
    not_explained: dict[str, str]
    hidden: int
    given_up: int

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "since": self.since.isoformat(),
            "roles": list(self.roles),
            "files": [usage.to_dict() for usage in self.files],
            "never": list(self.never),
            "others": [usage.to_dict() for usage in self.others],
            "not_explained": self.not_explained,
            "hidden": self.hidden,
            "given_up": self.given_up,
        }


def top(
    connection: psycopg.Connection[Any],
    catalogue: Iterable[QueryFile],
    *,
    roles: Sequence[str] = (),
    sort: str = "total",
) -> Top:
    """Return what a server has counted of files; *connection* is in autocommit.

    Of statements in no file only those of *roles* are told, by default of the roles that have called a file. *sort* is
    `total`, `mean`, `calls`, `rows`, `reads` or `wal`, the largest first. Raises `StatisticsError`, which says what to
    do, where the server does not count or may not be asked.
    """
    catalogue = list(catalogue)
    statements, since, given_up, role, bodies = _statistics(connection)
    known = known_files(connection, catalogue)
    files: dict[str, Usage] = {}
    strangers: list[Any] = []
    for row in statements:
        if (name := known.name_of(row.id, row.text)) is None:
            strangers.append(row)
        else:
            files.setdefault(name, Usage(name)).add(row)
    callers = sorted(set(roles) or {role for usage in files.values() for role in usage.roles} or {role})
    visible = [row for row in strangers if row.id is not None]
    order = _order(sort)
    return Top(
        since=since,
        role=role,
        roles=callers,
        files=sorted(files.values(), key=order),
        never=sorted({file.name for file in catalogue} - files.keys()),
        others=sorted(_others(visible, callers, bodies), key=order),
        not_explained=dict(known.not_explained),
        hidden=len(strangers) - len(visible),
        given_up=given_up,
    )


def _order(sort: str) -> Callable[[Usage], Any]:
    attribute = {"total": "total_ms", "mean": "mean_ms", "wal": "wal_bytes"}.get(sort, sort)

    def key(usage: Usage) -> Any:
        return -getattr(usage, attribute), usage.name

    return key


def _others(rows: Iterable[Any], roles: Sequence[str], bodies: Sequence[str]) -> list[Usage]:
    """Return what is in no file, one a text."""
    own = {**own_statements(), **dict.fromkeys(map(tokens, bodies), "a function")}
    found: dict[str, Usage] = {}
    for row in rows:
        if row.role in roles and _WORK.intersection(tokens(row.text)[:1]) and find(own, row.text) is None:
            text = without_comments(row.text)
            found.setdefault(text, Usage(text)).add(row)
    return list(found.values())


def _statistics(connection: psycopg.Connection[Any]) -> tuple[list[Any], datetime, int, str, list[str]]:
    """Return the statistics of statements, since when, how many were given up, the role, and bodies of functions."""
    with bounded(connection, 30.0):
        found = read(connection, "top.extension")
        if not found:
            raise StatisticsError(
                "this database has no extension pg_stat_statements: CREATE EXTENSION pg_stat_statements as a superuser;"
                " the server must load it too, by shared_preload_libraries = 'pg_stat_statements' and a restart"
            )
        (extension,) = found
        if extension.version < [1, 9]:
            raise StatisticsError(
                "the extension pg_stat_statements is older than the server: ALTER EXTENSION pg_stat_statements UPDATE"
            )
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.SQL(extension.schema)))
        try:
            about = read_one(connection, "top.since")
            statements = read(connection, "top.statements")
        except (psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.UndefinedObject) as error:
            raise StatisticsError(
                "the server does not count statements: add pg_stat_statements to shared_preload_libraries, by ALTER"
                " SYSTEM SET shared_preload_libraries = 'pg_stat_statements' (beside what is there), and restart it"
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise StatisticsError(
                f"the role may not read the statistics: GRANT pg_read_all_stats TO {extension.role}, and, where it was"
                f" revoked, SELECT on pg_stat_statements ({error.diag.message_primary})"
            ) from error
        if about.tracked == "none":
            raise StatisticsError(
                "the server counts no statements: set pg_stat_statements.track to top, by ALTER SYSTEM SET"
                " pg_stat_statements.track = 'top'; SELECT pg_reload_conf()"
            )
        connection.execute("SET LOCAL search_path = ''")
        bodies = [row.body for row in read(connection, "top.functions")]
    return statements, about.since, about.given_up, extension.role, bodies
