"""What peers answer, in a form that all share; and what a whole export writes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from benchmarks.runner import Arguments


def value(row: Any, name: str) -> Any:
    return row[name] if hasattr(row, "keys") else getattr(row, name)


def id_of(row: Any) -> object:
    return value(row, "id"), len(value(row, "message")), len(value(row, "reference"))


def tenant_of(row: Any) -> object:
    return value(row, "tenant_id"), value(row, "dialog_id")


def ids_of(rows: Any) -> list[str]:
    return [value(row, "id") for row in getattr(rows, "sessions", rows)]


def page_of(page: Any) -> object:
    total, rows = page
    return total, ids_of(rows)


def days_of(days: list[Any]) -> object:
    rows = [tuple(value(day, name) for name in ("dt", "pv", "tokens")) for day in days]
    return [(f"{dt:%Y-%m-%d}", int(pv), int(tokens)) for dt, pv, tokens in rows]


def written(peer: Any, tenant: str) -> int:
    return sum(map(len, peer.export(tenant)))


def exported(peer: Any, arguments: Arguments) -> object:
    """Return how many conversations there are, and a digest of their ids and entries in order."""
    rows = [json.loads(line) for line in peer.export(*arguments)]
    said = json.dumps([[row["id"], row["message"], row["reference"]] for row in rows])
    return len(rows), hashlib.sha256(said.encode()).hexdigest()
