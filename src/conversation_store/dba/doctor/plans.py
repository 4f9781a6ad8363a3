"""Checks of what makes plans slow: JIT, bitmaps without room, pending lists of the search indexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import psycopg

from conversation_store._adapters import Cursor
from conversation_store.dba.doctor.patient import Finding, Patient
from conversation_store.dba.files import QueryFile
from conversation_store.dba.findings import size
from conversation_store.dba.plans import explain
from conversation_store.dba.reading import own_queries

# What an ordinary call asks for, by the names of the parameters; filters that are not here are not used.
_ASKED: Mapping[str, object] = {
    "orderby": "create_date",
    "date_field": "create_date",
    "desc": True,
    "include_messages": True,
    "include_reference": True,
    "include_dsl": True,
    "limit": 30,
    "offset": 0,
    "total": "exact",
    "total_limit": 1_000,
    "keywords": "e",  # which no index serves
    "from_date": "-infinity",
    "before_date": "infinity",
}


def check_jit(patient: Patient) -> Iterator[Finding]:
    """Look whether JIT is on, and which statements look so dear on these tables that they are compiled."""
    settings = patient.settings("jit", "jit_above_cost")
    above = float(settings["jit_above_cost"])
    if settings["jit"] != "on" or above < 0:
        yield Finding("ok", "jit is off for the role")
        return
    if not patient.facts.has_jit:
        yield Finding("ok", "jit is on, but this server is built without it")
        return
    costs = _costs(patient)
    todo = patient.set_for_role("jit", "off")
    dear = sorted((cost, name) for name, cost in costs.items() if cost >= above)[::-1]
    if dear:
        shown = ", ".join(f"{name} ({cost:,.0f})" for cost, name in dear[:4])
        more = f" and {len(dear) - 4} more" if len(dear) > 4 else ""
        yield Finding(
            "problem",
            f"jit is on, and plans look dearer than jit_above_cost ({above:,.0f}): {shown}{more}. Each run is compiled"
            " first, which takes 30 to 300 ms",
            todo,
        )
        return
    dearest = max(costs, key=costs.__getitem__, default="")
    shown = f"; the dearest is that of {dearest} ({costs[dearest]:,.0f})" if dearest else ""
    yield Finding("advice", f"jit is on, and no plan looks dear enough for it yet ({above:,.0f}){shown}", todo)


def _costs(patient: Patient) -> dict[str, float]:
    """Return what each statement looks to cost for the dialog that has most conversations, where it can be planned."""
    found = patient.read("sample")
    sample: dict[str, object] = {}
    if found:
        (row,) = found
        sample = {"tenant_id": row.tenant_id, "dialog_id": row.dialog_id, "dialog_ids": [row.dialog_id]}
        sample |= {"ids": [row.id]}
    costs: dict[str, float] = {}
    for file in patient.files:
        if file.is_copy:
            continue
        try:
            plan = explain(patient.connection, file.query, _values(file, sample))
        except psycopg.errors.QueryCanceled:
            raise
        except psycopg.Error:
            continue  # other checks say why
        costs[file.name] = plan.cost
    return costs


def _values(file: QueryFile, sample: Mapping[str, object]) -> dict[str, object]:
    known = {**_ASKED, **sample}
    return {name: known.get(name) for name in file.query.parameters}


def check_work_mem(patient: Patient) -> Iterator[Finding]:
    """Look whether a bitmap of the searched tables fits into work_mem."""
    row = patient.read_one("bitmap")
    if row.needed <= row.work_mem:
        yield Finding("ok", f"a bitmap of the searched tables takes {size(row.needed)} of {size(row.work_mem)}")
        return
    megabytes = 1
    while megabytes << 20 < 2 * row.needed:
        megabytes *= 2
    yield Finding(
        "problem",
        f"work_mem is {size(row.work_mem)}, and a bitmap of the searched tables takes {size(row.needed)}: a search of"
        " a common keyword computes the keys of every text on a page again, which takes some twenty times as long",
        patient.set_for_role("work_mem", f"'{megabytes}MB'"),
    )


# An append merges the list when it is longer than gin_pending_list_limit, by default this many kB.
_PENDING = 4_096
# On the way to a key: the page that describes the index, and one of each level of the tree.
_WAY = 4


def check_pending_lists(patient: Patient) -> Iterator[Finding]:
    """Look how much waits in the pending lists of the search indexes, and how much may."""
    limits = {row.name: row.kilobytes for row in patient.read("pending_limits")}
    found: list[Finding] = []
    seen: list[str] = []
    patient.read_one("planner")
    for query, table in (("pending_messages", "conversation_message"), ("pending_names", "conversation")):
        index, blocks = _read_of_index(patient, query)
        if index is None:
            found.append(
                Finding(
                    "unknown",
                    f"the planner takes no index for a search in {table}",
                    "the checks of the schema and of policies say why",
                )
            )
            continue
        kilobytes = max(blocks - _WAY, 0) * 8
        seen.append(f"{size(kilobytes * 1024)} in {index}")
        limit = limits.get(index, _PENDING)
        if kilobytes > _PENDING:
            found.append(
                Finding(
                    "advice",
                    f"{size(kilobytes * 1024)} wait in the pending list of {index}: every search reads them, and the"
                    " next append of a session with a lower gin_pending_list_limit merges them while its caller waits",
                    f"VACUUM conversation_store.{table};",
                )
            )
        elif limit > _PENDING:
            found.append(
                Finding(
                    "advice",
                    f"gin_pending_list_limit is {size(limit * 1024)} for {index}: as much may wait, every search reads"
                    f" it, and an append merges it while its caller waits; {size(kilobytes * 1024)} wait now",
                    patient.set_for_role("gin_pending_list_limit", f"'{_PENDING}kB'")
                    + " and set it higher for a load alone",
                )
            )
    yield from found or [Finding("ok", f"in the pending lists wait {' and '.join(seen)}")]


def _read_of_index(patient: Patient, name: str) -> tuple[str | None, int]:
    """Return which index a search by it reads, and how many pages of it."""
    text = b"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + own_queries()[f"doctor.{name}"].text
    row = cast("tuple[Any]", Cursor(patient.connection).execute(text).fetchone())
    for node in _nodes(row[0][0]["Plan"]):
        if node["Node Type"] == "Bitmap Index Scan":
            return node["Index Name"], node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    return None, 0


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
