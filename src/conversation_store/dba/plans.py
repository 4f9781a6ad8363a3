"""Plans of query files: how they are asked for, a small model of them, and the same as a tree to read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from conversation_store._adapters import Cursor, to_text
from conversation_store._sql_loader import Query
from conversation_store.dba.reading import prepare

if TYPE_CHECKING:
    from rich.tree import Tree

# What EXPLAIN says of a node that a reader needs beside its title, in this order.
_DETAILS = (
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "TID Cond",
    "Join Filter",
    "One-Time Filter",
    "Filter",
    "Rows Removed by Index Recheck",
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Sort Method",
    "Heap Fetches",
)


@dataclass(frozen=True)
class Node:
    """A node of a plan."""

    kind: str  # as `Index Scan`
    schema: str
    relation: str  # the table that it reads or writes, or ""
    alias: str
    index: str
    role: str  # what it is to the node above, as `InitPlan 1`, or ""
    cost: float  # to the last row
    startup: float  # to the first row
    rows: float  # expected
    raw: Mapping[str, Any]
    children: tuple[Node, ...]

    @property
    def table(self) -> str:
        """The table with its schema."""
        return f"{self.schema}.{self.relation}" if self.schema else self.relation

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def title(self) -> str:
        """What it does, in PostgreSQL's words."""
        words = self.kind
        if operation := self.raw.get("Operation"):
            words = str(operation) if self.kind == "ModifyTable" else f"{words} {operation}"
        if (join := self.raw.get("Join Type")) and join != "Inner":
            words += f" {join}"
        if self.raw.get("Scan Direction") == "Backward":
            words += " Backward"
        if self.index:
            words += f" using {self.index}" if self.relation else f" on {self.index}"
        of = self.relation or self.raw.get("CTE Name") or self.raw.get("Function Name") or ""
        if of or self.alias:
            words += f" on {of or self.alias}" + (f" {self.alias}" if of and self.alias not in ("", of) else "")
        return f"{self.role}: {words}" if self.role else words

    @property
    def measures(self) -> str:
        """What the planner expects and, where the statement was run, what came of it."""
        expected = f"cost {self.startup:.2f}..{self.cost:.2f}, {_rows(self.rows)}"
        loops = self.raw.get("Actual Loops")
        if loops is None:
            return expected
        if loops == 0:
            return f"{expected}; never run"
        times = f" in each of {loops} loops" if loops > 1 else ""
        blocks = self.raw.get("Shared Hit Blocks", 0) + self.raw.get("Shared Read Blocks", 0)
        return (
            f"{expected}; had {_rows(self.raw['Actual Rows'])} after"
            f" {self.raw.get('Actual Total Time', 0):.3f} ms{times}, {blocks} blocks"
        )

    @property
    def details(self) -> list[str]:
        """Its conditions and keys, a line each."""
        found: list[str] = []
        for name in _DETAILS:
            if value := self.raw.get(name):
                values = cast("list[object]", value) if isinstance(value, list) else [value]
                found.append(f"{name}: {', '.join(map(str, values))}")
        return found


@dataclass(frozen=True)
class Plan:
    """A plan, for actual values or a generic one."""

    root: Node
    generic: bool
    raw: Mapping[str, Any]  # all that EXPLAIN said

    def nodes(self) -> Iterator[Node]:
        """Yield all nodes."""
        return self.root.walk()

    @property
    def indexes(self) -> frozenset[str]:
        """The names of the indexes that it reads, and of those that decide on conflicts."""
        arbiters = (name for node in self.nodes() for name in node.raw.get("Conflict Arbiter Indexes", ()))
        return frozenset([*(node.index for node in self.nodes() if node.index), *arbiters])

    @property
    def scanned(self) -> frozenset[str]:
        """The tables, each with its schema, that it reads as a whole."""
        return frozenset(node.table for node in self.nodes() if node.kind == "Seq Scan")

    @property
    def sorts(self) -> tuple[Node, ...]:
        """The nodes that sort."""
        return tuple(node for node in self.nodes() if node.kind in ("Sort", "Incremental Sort"))

    @property
    def cost(self) -> float:
        """What it looks like to cost."""
        return self.root.cost

    @property
    def reads(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """How each table is read, by its name and alias: the indexes, or `a scan` of the whole.

        Two plans that read alike have the same value, in whatever order they join.
        """
        found: dict[tuple[str, str], frozenset[str]] = {}
        for node in self.nodes():
            if node.relation and node.kind != "ModifyTable":
                key = node.table, node.alias
                found[key] = found.get(key, frozenset()) | _ways(node)
        return found

    def text(self) -> str:
        """Return it as an indented tree."""
        return "\n".join(_lines(self.root, 0))

    def tree(self) -> Tree:
        """Return it as a tree for a terminal."""
        from rich.markup import escape
        from rich.tree import Tree

        def grow(tree: Tree, node: Node) -> Tree:
            label = f"[bold]{escape(node.title)}[/]  [dim]{escape(node.measures)}[/]"
            branch = tree.add("\n".join([label, *map(escape, node.details)]))
            for child in node.children:
                grow(branch, child)
            return tree

        return grow(Tree("", hide_root=True), self.root)


def explain(
    connection: psycopg.Connection[Any],
    query: Query,
    values: Mapping[str, object],
    *,
    generic: bool = False,
    analyze: bool = False,
) -> Plan:
    """Return the plan of a statement, with nothing changed: it is rolled back, to a savepoint in a transaction.

    The values are bound as the store binds them. With *generic* it is the plan that a prepared statement may freeze in;
    with *analyze* the statement is run.
    """
    _check_one(connection, query)
    bound = [to_text(value) for value in query.bind(values)]
    options: LiteralString = "FORMAT JSON, VERBOSE, SETTINGS" + (", ANALYZE, BUFFERS" if analyze else "")
    with connection.transaction(force_rollback=True), Cursor(connection) as cursor:
        if generic:
            raw = _generic(connection, cursor, query, bound if analyze else [None] * len(bound), options)
        else:
            cursor.execute(f"EXPLAIN ({options}) ".encode() + query.text, bound)
            raw = cursor.fetchone()
    assert raw is not None  # noqa: S101
    # Before PostgreSQL 17 the results of subplans are numbers too.
    names = query.parameters if generic and connection.info.server_version >= 170000 else ()
    (found,) = _readable(raw[0], names)
    return Plan(_node(found["Plan"]), generic, found)


def _check_one(connection: psycopg.Connection[Any], query: Query) -> None:
    """Raise what the server says of a text that is several statements to it, by the settings of the session.

    Without parameters a text is sent so that the server runs all that is in it.
    """
    with connection.transaction(force_rollback=True):
        prepare(connection, b"EXPLAIN " + query.text)


def _readable(raw: Any, names: Sequence[str]) -> Any:
    """Return what EXPLAIN said, with the names of parameters for their numbers, and without digests of secrets."""
    if isinstance(raw, str):
        text = re.sub(r"\$(\d+)", lambda number: f":{names[int(number[1]) - 1]}", raw) if names else raw
        return re.sub(r"'\\x[0-9a-f]+'", r"'\\x…'", text)
    if isinstance(raw, list):
        return [_readable(each, names) for each in raw]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(raw, dict):
        return {key: _readable(value, names) for key, value in cast("dict[str, Any]", raw).items()}
    return raw


def _generic(
    connection: psycopg.Connection[Any],
    cursor: Cursor[Any],
    query: Query,
    bound: list[str | None],
    options: LiteralString,
) -> Any:
    """Explain a statement that is prepared; EXPLAIN (GENERIC_PLAN) could not run it, and needs PostgreSQL 16.

    EXECUTE takes no parameters of the protocol. The values, which a generic plan does not look at, are literals where
    it is run, and NULL elsewhere.
    """
    name = "conversation_store_explained"
    types = f"({', '.join(['unknown'] * len(bound))})" if bound else ""
    arguments = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, bound))) if bound else sql.SQL("")
    cursor.execute(f"PREPARE {name} {types} AS ".encode() + query.text)
    try:
        with connection.transaction():  # so that a failure leaves a transaction to go on in
            cursor.execute(b"SET LOCAL plan_cache_mode = force_generic_plan")
            execute = sql.SQL("EXPLAIN ({}) EXECUTE {} {}").format(sql.SQL(options), sql.Identifier(name), arguments)
            return cursor.execute(execute).fetchone()
    finally:
        # No rollback takes it back. Where the connection is lost, it is gone.
        if connection.pgconn.transaction_status == TransactionStatus.INTRANS:
            connection.execute(f"DEALLOCATE {name}".encode())


def _node(raw: Mapping[str, Any]) -> Node:
    role = raw.get("Subplan Name", "") if raw.get("Parent Relationship") in ("InitPlan", "SubPlan") else ""
    return Node(
        kind=raw["Node Type"],
        schema=raw.get("Schema", ""),
        relation=raw.get("Relation Name", ""),
        alias=raw.get("Alias", ""),
        index=raw.get("Index Name", ""),
        role=role.removesuffix(")").replace(" (returns", ", returns"),
        cost=raw["Total Cost"],
        startup=raw["Startup Cost"],
        rows=raw["Plan Rows"],
        raw=raw,
        children=tuple(_node(child) for child in raw.get("Plans", ())),
    )


def _ways(node: Node) -> frozenset[str]:
    """Return the indexes by which a node reads its table."""
    if node.kind == "Bitmap Heap Scan":
        # Of other nodes the children are subplans of their own.
        return frozenset(each.index for child in node.children for each in child.walk() if each.index)
    return frozenset([node.index or "a scan"])


def _rows(number: float) -> str:
    return f"{number:,.0f} row{'' if number == 1 else 's'}"


def _lines(node: Node, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{node.title}  ({node.measures})"
    for detail in node.details:
        yield f"{indent}    {detail}"
    for child in node.children:
        yield from _lines(child, depth + 1)
