"""Checks of what vacuum and analyze have left to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conversation_store.dba.doctor.patient import Finding, Patient

_SCHEMA = "conversation_store"

# Smaller tables are read in no time, whatever they look like. 1,000 pages are 8 MB.
_LARGE = 1_000

_AUTOVACUUM = (
    "autovacuum_vacuum_threshold",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_analyze_threshold",
    "autovacuum_analyze_scale_factor",
    "autovacuum_freeze_max_age",
)


def check_autovacuum(patient: Patient) -> Iterator[Finding]:
    """Look for tables that nothing vacuums, and for those with more dead rows than autovacuum would leave."""
    settings = patient.settings(*_AUTOVACUUM)
    tables = patient.read("tables")
    found = [finding for table in tables for finding in _vacuum(table, settings)]
    dead, live = sum(table.dead for table in tables), sum(table.live for table in tables)
    yield from found or [Finding("ok", f"{dead:,} dead rows beside {live:,} live ones, as far as they are counted")]


def _vacuum(table: Any, settings: dict[str, str]) -> Iterator[Finding]:
    name = f"{_SCHEMA}.{table.name}"
    options = dict(option.split("=", 1) for option in table.options or ())
    if options.get("autovacuum_enabled", "true") not in ("true", "on", "1", "yes"):
        yield Finding(
            "problem", f"autovacuum is off for {table.name}", f"ALTER TABLE {name} RESET (autovacuum_enabled);"
        )
    limits = {key: float(options.get(key, settings[key])) for key in _AUTOVACUUM}
    vacuum_at = limits["autovacuum_vacuum_threshold"] + limits["autovacuum_vacuum_scale_factor"] * table.rows
    # Once the number is reached, a run of autovacuum may have begun, or be about to.
    if table.dead > 2 * vacuum_at:
        share = table.dead / max(table.dead + table.live, 1)
        yield Finding(
            "advice",
            f"autovacuum is behind on {table.name}: {table.dead:,} dead rows, {share:.0%} of all, and it should have"
            f" run at {vacuum_at:,.0f}",
            f"VACUUM (ANALYZE) {name}; look for old transactions in pg_stat_activity (xact_start), pg_prepared_xacts"
            " and pg_replication_slots, which keep dead rows",
        )
    if table.age > limits["autovacuum_freeze_max_age"]:
        yield Finding(
            "problem",
            f"{table.name} has rows of {table.age:,} transactions ago that are not frozen, and vacuum against"
            f" wraparound should have run at {limits['autovacuum_freeze_max_age']:,.0f}",
            f"VACUUM (FREEZE) {name};",
        )


def check_visibility(patient: Patient) -> Iterator[Finding]:
    """Look for large tables without a visibility map, whose indexes answer nothing alone."""
    tables = [table for table in patient.read("tables") if table.pages >= _LARGE]
    found = [
        Finding(
            "advice",
            f"the visibility map covers {table.visible:,} of the {table.pages:,} pages of {table.name}: totals and"
            " stats read its rows beside their index",
            f"VACUUM {_SCHEMA}.{table.name}; where it grows by inserts alone, lower"
            " autovacuum_vacuum_insert_scale_factor",
        )
        for table in tables
        if table.visible < table.pages / 2
    ]
    yield from found or [
        Finding("ok", f"it covers at least half of each table of 8 MB or more: there are {len(tables)}")
    ]


def check_statistics(patient: Patient) -> Iterator[Finding]:
    """Look for tables that were never analysed, or changed a lot since."""
    settings = patient.settings(*_AUTOVACUUM)
    found: list[Finding] = []
    for table in patient.read("tables"):
        options = dict(option.split("=", 1) for option in table.options or ())
        limits = [float(options.get(key, settings[key])) for key in _AUTOVACUUM[2:4]]
        analyze_at = limits[0] + limits[1] * table.rows
        todo = f"ANALYZE {_SCHEMA}.{table.name};"
        if not table.was_analyzed and table.live > _LARGE:
            found.append(Finding("advice", f"{table.name} was never analysed, with {table.live:,} rows", todo))
        elif table.changed > 2 * max(analyze_at, _LARGE):
            seen = f"{table.changed:,} changes of {table.name} since it was analysed; it should have been at"
            found.append(Finding("advice", f"{seen} {analyze_at:,.0f}", todo))
    yield from found or [Finding("ok", "each table with rows was analysed since it was filled")]


def check_bloat(patient: Patient) -> Iterator[Finding]:
    """Look for large tables that have at least twice the pages that their rows would fill."""
    tables = patient.read("bloat")
    found = [
        Finding(
            "advice",
            f"{table.name} has {table.pages:,} pages, and its rows would fill about {table.needed:,}: an estimate, by"
            " its statistics",
            f"new rows fill the room again; to give it back, pg_repack, or VACUUM FULL {_SCHEMA}.{table.name}, during"
            " which nobody can read the table",
        )
        for table in tables
        if table.pages >= _LARGE and table.needed < table.pages / 2
    ]
    unread = "" if tables else "; no table was analysed, or the role may not read their statistics"
    yield from found or [Finding("ok", f"no table of 8 MB or more is half empty, by an estimate{unread}")]
