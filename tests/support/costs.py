"""What a statement file costs: the WAL that it writes and the blocks that it reads, as EXPLAIN measures them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import RawCursor

from conversation_store._adapters import to_text
from conversation_store._sql_loader import load


def wal_bytes(connection: psycopg.Connection[Any], name: str, **values: object) -> int:
    """Return the WAL that the writing parts of a statement write, with full_page_writes off.

    Take the median of several statements: one of them may split a page of a GIN index, which logs it as a whole.
    """
    nodes = _nodes(_explain(connection, name, "WAL", values))
    return sum(node["WAL Bytes"] for node in nodes if node["Node Type"] == "ModifyTable")


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
