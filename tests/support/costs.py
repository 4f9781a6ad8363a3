"""What a statement file costs: the WAL that it writes and the blocks that it reads, as EXPLAIN measures them."""

from __future__ import annotations

import statistics
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import RawCursor

from conversation_store._adapters import to_text
from conversation_store._sql_loader import load


def median_wal_bytes(connection: psycopg.Connection[Any], name: str, calls: Sequence[Mapping[str, object]]) -> float:
    """Return the WAL that the writing parts of a statement write: the median of several calls.

    The server must write no full-page images. One call may split a page of a GIN index, which logs it as a whole.
    """
    plans = [list(_nodes(_explain(connection, name, "WAL", dict(values)))) for values in calls]
    assert sum(any(node.get("WAL FPI") for node in nodes) for nodes in plans) <= 1
    sizes: list[int] = [
        sum(node["WAL Bytes"] for node in nodes if node["Node Type"] == "ModifyTable") for nodes in plans
    ]
    return statistics.median(sizes)


def shared_blocks(connection: psycopg.Connection[Any], name: str, **values: object) -> int:
    """Return the blocks that a statement reads, each counted once for every node of the plan that it passes."""
    nodes = _nodes(_explain(connection, name, "BUFFERS", values))
    return sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in nodes)


def _explain(connection: psycopg.Connection[Any], name: str, option: str, values: dict[str, object]) -> dict[str, Any]:
    """Run a statement and return the root of its plan."""
    query = load(name)
    cursor = RawCursor(connection)
    explain = f"EXPLAIN (ANALYZE, {option}, FORMAT JSON) ".encode()
    cursor.execute(explain + query.text, [to_text(value) for value in query.bind(values)])
    row = cursor.fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _nodes(node: dict[str, Any]) -> Generator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)
