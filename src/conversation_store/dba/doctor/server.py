"""Checks of the server: its version, its settings, how transactions are isolated, its locale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from conversation_store.dba.doctor.patient import Finding, Level, Patient

OLDEST = 15


def check_version(patient: Patient) -> Iterator[Finding]:
    """Look whether the server is one of those that the statements are tested on, and still maintained."""
    yield judge_version(patient.facts.version, patient.facts.number, datetime.now(UTC))


def judge_version(version: str, number: int, now: datetime) -> Finding:
    """Return what is to be said of a version at a time."""
    major = number // 10_000
    if major < OLDEST:
        return Finding(
            "problem",
            f"PostgreSQL {version} is older than {OLDEST}, the oldest on which the statements are tested",
            f"upgrade to PostgreSQL {OLDEST} or newer",
        )
    # Each major version is maintained until the November five years after its year: 15 until 2027.
    last = 2012 + major
    if (now.year, now.month) > (last, 11):
        return Finding(
            "advice",
            f"PostgreSQL {version}: bugs are no longer mended since November {last}",
            "upgrade to a newer major version",
        )
    return Finding("ok", f"PostgreSQL {version}")


class _Rule(NamedTuple):
    """A setting that hurts: the values that do, how, and the value that does not."""

    bad: tuple[str, ...]
    level: Level
    why: str
    good: str
    of_server: bool = False  # a role cannot have it


_OF_SERVER = "ALTER SYSTEM SET {} = {}; SELECT pg_reload_conf();"

_RULES = {
    "default_transaction_read_only": _Rule(("on",), "problem", "every write fails", "off"),
    "fsync": _Rule(("off",), "problem", "a crash of the machine may destroy the database", "on", True),
    "full_page_writes": _Rule(("off",), "problem", "a crash of the machine may destroy pages", "on", True),
    "synchronous_commit": _Rule(
        ("off",), "advice", "a crash loses what was committed in the last moments before it", "on"
    ),
    "plan_cache_mode": _Rule(
        ("force_generic_plan",),
        "problem",
        "lists and searches run with plans that fit no values, and JIT compiles them",
        "auto",
    ),
    "autovacuum": _Rule(("off",), "problem", "nothing vacuums or analyses the tables", "on", True),
    "track_counts": _Rule(("off",), "problem", "autovacuum does not learn what is to be done", "on", True),
}


def check_settings(patient: Patient) -> Iterator[Finding]:
    """Look for settings, of the server or the role, that make calls fail or slow, or lose data."""
    settings = patient.settings(*_RULES, "gin_fuzzy_search_limit")
    found: list[Finding] = []
    for name, rule in _RULES.items():
        value = settings[name]
        if value in rule.bad:
            todo = _OF_SERVER.format(name, rule.good) if rule.of_server else patient.set_for_role(name, rule.good)
            found.append(Finding(rule.level, f"{name} is {value}: {rule.why}", todo))
    if (fuzzy := settings["gin_fuzzy_search_limit"]) != "0":
        found.append(
            Finding(
                "problem",
                f"gin_fuzzy_search_limit is {fuzzy}: each search by keyword fails, since an index would leave out rows",
                patient.set_for_role("gin_fuzzy_search_limit", "0"),
            )
        )
    found += [
        Finding(
            "advice",
            f"{row.name} is {row.value}: the planner may not choose what the statements were tested with",
            patient.set_for_role(row.name, row.original),
        )
        for row in patient.read("planner_settings")
    ]
    yield from found or [Finding("ok", "no setting of the server or the role is known to hurt")]


def check_isolation(patient: Patient) -> Iterator[Finding]:
    """Look whether a transaction that says nothing of it is read committed."""
    isolation = patient.settings("default_transaction_isolation")["default_transaction_isolation"]
    if isolation == "read committed":
        yield Finding("ok", "transactions are read committed")
        return
    yield Finding(
        "problem",
        f"default_transaction_isolation is {isolation}: on a connection of the caller, an append or a change that waits"
        " for another one fails with a serialization failure, and no use of a token is stamped. A store on a pool"
        " says read committed by itself",
        patient.set_for_role("default_transaction_isolation", "'read committed'"),
    )


def check_locale(patient: Patient) -> Iterator[Finding]:
    """Look for an encoding that is not UTF8, letters that are not folded, and a collation that has changed."""
    row = patient.read_one("locale")
    found: list[Finding] = []
    database = f'"{patient.facts.database}"'
    if row.encoding != "UTF8":
        found.append(
            Finding("problem", f"the database is in {row.encoding}", "create the database anew, with ENCODING 'UTF8'")
        )
    if not row.folds:
        found.append(
            Finding(
                "advice",
                f"LC_CTYPE {row.letters} knows no letters beyond A to Z: a search finds É only as É, and not as é",
                "create the database with a locale such as C.UTF-8, and restore a dump into it",
            )
        )
    if row.recorded is not None and row.recorded != row.actual:
        found.append(
            Finding(
                "problem",
                f"the collation of the database was of version {row.recorded} and is of {row.actual or 'none'} now: the"
                " search indexes may hold letters that were folded in another way, and miss rows",
                f"REINDEX DATABASE CONCURRENTLY {database}; ALTER DATABASE {database} REFRESH COLLATION VERSION;",
            )
        )
    yield from found or [Finding("ok", f"{row.encoding}, LC_CTYPE {row.letters}")]
