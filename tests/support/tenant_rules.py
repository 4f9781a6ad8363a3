"""Rules of the statements that need their parse tree: the tenant beside every table, and what a distributed table needs.

The tree is that of PostgreSQL's own grammar. A plan cannot prove these rules: it shows what one call does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pglast import ast, enums, parse_sql

TABLES = {"dialog", "conversation", "conversation_message", "conversation_reference", "api_token"}


def faults(text: str, parameters: Sequence[str]) -> list[str]:
    """Return where a statement, with `$n` for its parameters, lacks the tenant beside a table of a tenant."""
    (raw,) = parse_sql(text)
    return [fault for level in _levels(raw.stmt) for fault in _faults_of(level, parameters)]


def locks_with_a_join(text: str) -> bool:
    """Return whether a locking clause has more than one table."""
    (raw,) = parse_sql(text)
    return any(
        level.lockingClause is not None and [type(item).__name__ for item in level.fromClause or ()] != ["RangeVar"]
        for level in _levels(raw.stmt)
        if _is(level, "SelectStmt")
    )


def functions_of_modifications(text: str) -> tuple[set[str], set[str]]:
    """Return the functions in the WHERE of an UPDATE or DELETE, and those in an ON CONFLICT clause."""
    (raw,) = parse_sql(text)
    conditions: set[str] = set()
    conflicts: set[str] = set()
    for level in _levels(raw.stmt):
        if _is(level, "UpdateStmt", "DeleteStmt"):
            conditions |= _functions(level.whereClause)
        if _is(level, "InsertStmt"):
            conflicts |= _functions(level.onConflictClause)
    return conditions, conflicts


def _is(node: Any, *kinds: str) -> bool:
    return type(node).__name__ in kinds


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, ast.Node):
        for name in node:
            yield getattr(node, name)
    elif isinstance(node, (tuple, list)):
        yield from node


def _walk(node: Any) -> Iterator[Any]:
    if isinstance(node, ast.Node):
        yield node
    for child in _children(node):
        yield from _walk(child)


def _levels(statement: Any) -> Iterator[Any]:
    """Give each query level of a statement: subqueries, common table expressions and modifications."""
    kinds = "SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"
    return (node for node in _walk(statement) if _is(node, *kinds))


def _functions(node: Any) -> set[str]:
    return {found.funcname[-1].sval for found in _walk(node) if _is(found, "FuncCall")}


def _faults_of(level: Any, parameters: Sequence[str]) -> Iterator[str]:
    items: list[Any] = list(getattr(level, "fromClause", None) or getattr(level, "usingClause", None) or ())
    if _is(level, "UpdateStmt", "DeleteStmt"):
        items.append(level.relation)
    if _is(level, "InsertStmt"):
        yield from _insert_faults(level, parameters)
    held = _held(getattr(level, "whereClause", None), parameters)
    for item in items:
        held |= _held_by_joins(item, parameters)
    for table in (table for item in items for table in _tables(item)):
        if table.relname not in TABLES:
            continue
        alias = table.alias.aliasname if table.alias else table.relname
        if table.schemaname != "conversation_store":
            yield f"{table.relname} is not qualified"
        elif alias not in held:
            yield f"{table.relname} AS {alias} has no {alias}.tenant_id = :tenant_id::text"


def _insert_faults(level: Any, parameters: Sequence[str]) -> Iterator[str]:
    """Give the fault of an INSERT whose tenant is not the parameter."""
    if level.relation.relname not in TABLES:
        return
    columns = [column.name for column in level.cols or ()]
    source = level.selectStmt
    rows = source.valuesLists or [[target.val for target in source.targetList or ()]]
    if "tenant_id" not in columns or not all(_is_tenant(row[columns.index("tenant_id")], parameters) for row in rows):
        yield f"INSERT INTO {level.relation.relname} does not take :tenant_id::text"


def _tables(item: Any) -> Iterator[Any]:
    """Give the tables of a FROM item, without those of its subqueries."""
    if _is(item, "RangeVar"):
        # A common table expression has no schema; a name of ours without one is a fault.
        if item.schemaname or item.relname in TABLES:
            yield item
    elif _is(item, "JoinExpr"):
        yield from _tables(item.larg)
        yield from _tables(item.rarg)


def _aliases(item: Any) -> set[str]:
    return {table.alias.aliasname if table.alias else table.relname for table in _tables(item)}


def _held_by_joins(item: Any, parameters: Sequence[str]) -> set[str]:
    """Return the aliases that the ON of a join holds to the tenant: of an outer join, those that it may leave out."""
    if not _is(item, "JoinExpr"):
        return set()
    held = _held_by_joins(item.larg, parameters) | _held_by_joins(item.rarg, parameters)
    reached = {
        enums.JoinType.JOIN_INNER: _aliases(item),
        enums.JoinType.JOIN_LEFT: _aliases(item.rarg),
        enums.JoinType.JOIN_RIGHT: _aliases(item.larg),
    }.get(item.jointype, set())
    return held | (_held(item.quals, parameters) & reached)


def _held(condition: Any, parameters: Sequence[str]) -> set[str]:
    """Return the aliases with `alias.tenant_id = :tenant_id::text` among the top-level AND terms of a condition."""
    if _is(condition, "BoolExpr") and condition.boolop == enums.BoolExprType.AND_EXPR:
        return {alias for term in condition.args for alias in _held(term, parameters)}
    if (
        _is(condition, "A_Expr")
        and condition.kind == enums.A_Expr_Kind.AEXPR_OP
        and [name.sval for name in condition.name] == ["="]
        and _is(condition.lexpr, "ColumnRef")
        and len(condition.lexpr.fields) == 2
        and condition.lexpr.fields[1].sval == "tenant_id"
        and _is_tenant(condition.rexpr, parameters)
    ):
        return {condition.lexpr.fields[0].sval}
    return set()


def _is_tenant(value: Any, parameters: Sequence[str]) -> bool:
    return (
        _is(value, "TypeCast")
        and _is(value.arg, "ParamRef")
        and parameters[value.arg.number - 1] == "tenant_id"
        and [name.sval for name in value.typeName.names][-1] == "text"
    )
