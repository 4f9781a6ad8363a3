"""Rules of the statements that need their parse tree: the tenant beside every table, and what a distributed table needs.

The tree is that of PostgreSQL's own grammar. A plan cannot prove these rules: it shows what one call does. What the
rules do not know is a fault: a kind of statement, a relation, a function, a place where a table stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pglast import ast, enums, parse_sql

SCHEMA = "conversation_store"
ENTRIES = {"conversation_message", "conversation_reference", "conversation_turn"}
TABLES = {"dialog", "conversation", *ENTRIES, "api_token"}
# What belongs to no tenant.
OTHER_TABLES = {"schema_migrations", "schema_checksums"}
# The constraints that hold rows of one tenant apart from those of all others.
TENANT_KEYS = {"dialog_pkey", "conversation_pkey", *(f"{table}_pkey" for table in ENTRIES)}
# A function may read any table, as query_to_xml does, so each one that is called is listed.
OWN_FUNCTIONS = (
    "appended_count bitmap_fits dialog_key entries entry_count fold excerpt force_custom_plan keys_apart keys_in_dialog keys_in_dialogs"
    " keys_in_tenant keyword_pairs message_cut message_free message_leaves message_parts message_size message_text search_keys search_pairs tenant_key"
)
BUILTINS = """
    array_agg avg cardinality clock_timestamp count current_setting generate_series json_agg json_array_elements json_array_length
    json_build_array json_to_recordset left make_interval max min now row_number row_to_json statement_timestamp strpos sum timezone unnest
"""


def faults(text: str, parameters: Sequence[str]) -> list[str]:
    """Return where a statement, with `$n` for its parameters, lacks the tenant beside a table of a tenant."""
    (raw,) = parse_sql(text)
    return [
        *_unknown(raw.stmt),
        *(fault for level in _levels(raw.stmt) for fault in _faults_of(level, parameters)),
    ]


def locks_with_a_join(text: str) -> bool:
    """Return whether a locking clause has more than one table."""
    (raw,) = parse_sql(text)
    return any(
        level.lockingClause is not None and [type(item).__name__ for item in level.fromClause or ()] != ["RangeVar"]
        for level in _levels(raw.stmt)
        if _is(level, "SelectStmt")
    )


def functions_of_modifications(text: str) -> tuple[set[str], set[str]]:
    """Return the functions of an UPDATE or DELETE, subqueries included, and those in an ON CONFLICT clause.

    Those of the common table expressions before it are left out: they lock rows by the clock, on purpose.
    """
    (raw,) = parse_sql(text)
    modifications: set[str] = set()
    conflicts: set[str] = set()
    for level in _levels(raw.stmt):
        if _is(level, "UpdateStmt", "DeleteStmt"):
            modifications |= _functions([getattr(level, name) for name in level if name != "withClause"])
        if _is(level, "InsertStmt"):
            conflicts |= _functions(level.onConflictClause)
    return modifications, conflicts


def moving_literals(text: str) -> set[str]:
    """Return the texts that a date takes for the time at which the statement was prepared, cast to one or not."""
    (raw,) = parse_sql(text)
    texts = {node.val.sval for node in _walk(raw.stmt) if _is(node, "A_Const") and _is(node.val, "String")}
    moving = {"now", "today", "tomorrow", "yesterday"}
    return {text for text in texts if moving & set(re.findall("[a-z]+", text.lower()))}


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


def _relations(node: Any) -> Iterator[Any]:
    # FOR UPDATE OF names an alias, in the form of a relation.
    if _is(node, "LockingClause"):
        return
    if _is(node, "RangeVar"):
        yield node
    for child in _children(node):
        yield from _relations(child)


def _functions(node: Any) -> set[str]:
    functions = {found.funcname[-1].sval for found in _walk(node) if _is(found, "FuncCall")}
    # CURRENT_TIMESTAMP and its like have no function, and a default may call one: as stable as now().
    others = {"now" for found in _walk(node) if _is(found, "SQLValueFunction", "SetToDefault")}
    return functions | others


def _unknown(statement: Any) -> Iterator[str]:
    """Give what the rules do not know, wherever it stands."""
    for node in _walk(statement):
        kind = type(node).__name__
        if kind == "CopyStmt" and _is_load(node):
            # Its rows carry the tenant, which no parse tree shows.
            yield f"{node.relation.relname} is loaded by COPY"
        elif kind.endswith("Stmt") and kind not in {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"}:
            yield f"a {kind} is not known"
        elif kind == "FuncCall":
            schema, _, name = _dotted(node.funcname).rpartition(".")
            if name not in {"": BUILTINS, "pg_catalog": BUILTINS, SCHEMA: OWN_FUNCTIONS}.get(schema, "").split():
                yield f"{_dotted(node.funcname)}() is not a known function"
        elif kind == "A_Expr" and len(node.name) > 1:
            yield f"OPERATOR({_dotted(node.name)}) is not known"
        elif kind == "JoinExpr" and node.alias is not None:
            # It hides the aliases in it, so a term that names one of them means another table.
            yield f"a join is named {node.alias.aliasname}"
    known = {id(table) for level in _levels(statement) for table in _tables_of(level)}
    expressions = {node.ctename for node in _walk(statement) if _is(node, "CommonTableExpr")}
    for table in _relations(statement):
        if table.schemaname is None and table.relname in TABLES:
            yield f"{table.relname} is not qualified"
        elif table.schemaname is None and table.relname in expressions:
            continue
        elif table.schemaname != SCHEMA or table.relname not in TABLES | OTHER_TABLES:
            yield f"{table.schemaname}.{table.relname} is not a known table"
        elif table.relname in TABLES and id(table) not in known and not _is_load(statement):
            yield f"{table.relname} stands where its tenant is not looked for"
        elif table.alias is not None and table.alias.colnames:
            yield f"{table.relname} AS {table.alias.aliasname} renames its columns"


def _is_load(node: Any) -> bool:
    return (
        _is(node, "CopyStmt")
        and node.is_from
        and node.filename is None
        and "tenant_id" in [column.sval for column in node.attlist or ()]
    )


def _dotted(names: Sequence[Any]) -> str:
    return ".".join(name.sval for name in names)


def _from(level: Any) -> list[Any]:
    return list(getattr(level, "fromClause", None) or getattr(level, "usingClause", None) or ())


def _tables_of(level: Any) -> list[Any]:
    """Return the tables of a level, without those of its subqueries."""
    target = [] if _is(level, "SelectStmt") else [level.relation]
    return [table for item in [*_from(level), *target] for table in _tables(item)]


def _faults_of(level: Any, parameters: Sequence[str]) -> Iterator[str]:
    condition = getattr(level, "whereClause", None)
    held = _held(condition, parameters)
    for item in _from(level):
        held |= _held_by_joins(item, parameters)
    if _is(level, "InsertStmt"):
        yield from _insert_faults(level, parameters)
    if _is(level, "UpdateStmt"):
        yield from _set_faults(level.targetList)
    for table in _tables_of(level):
        alias = _alias(table)
        if _is(level, "InsertStmt") or table.relname not in TABLES or alias in held:
            continue
        if alias in _held_if_given(condition, parameters):
            yield f"{table.relname} AS {alias} has {alias}.tenant_id = :tenant_id::text only if it is given"
        else:
            yield f"{table.relname} AS {alias} has no {alias}.tenant_id = :tenant_id::text"


def _set_faults(targets: Sequence[Any] | None) -> Iterator[str]:
    if any(target.name == "tenant_id" for target in targets or ()):
        yield "tenant_id is set"


def _insert_faults(level: Any, parameters: Sequence[str]) -> Iterator[str]:
    """Give the faults of an INSERT whose tenant, or that of the row it updates, is not the parameter."""
    table = level.relation
    if table.relname not in TABLES:
        return
    columns = [column.name for column in level.cols or ()]
    source = level.selectStmt
    if source is None or source.op != enums.SetOperation.SETOP_NONE:
        yield f"INSERT INTO {table.relname} takes neither VALUES nor one SELECT"
        return
    rows = source.valuesLists or [[target.val for target in source.targetList or ()]]
    if any(_is(node, "A_Star") for node in _walk(rows)):
        # It stands for any number of columns, so no value has a certain place.
        yield f"INSERT INTO {table.relname} takes a *"
    place = columns.index("tenant_id") if "tenant_id" in columns else None
    if place is None or not all(len(row) == len(columns) and _is_tenant(row[place], parameters) for row in rows):
        yield f"INSERT INTO {table.relname} does not take :tenant_id::text"
    conflict = level.onConflictClause
    if conflict is None or conflict.action != enums.OnConflictAction.ONCONFLICT_UPDATE:
        return
    yield from _set_faults(conflict.targetList)
    key = conflict.infer
    of_the_tenant = key and (key.conname in TENANT_KEYS or "tenant_id" in [item.name for item in key.indexElems or ()])
    if not of_the_tenant and _alias(table) not in _held(conflict.whereClause, parameters):
        yield f"INSERT INTO {table.relname} updates a row of any tenant"


def _tables(item: Any) -> Iterator[Any]:
    """Give the tables of a FROM item, without those of its subqueries and the common table expressions."""
    if _is(item, "RangeVar"):
        if item.schemaname:
            yield item
    elif _is(item, "JoinExpr"):
        yield from _tables(item.larg)
        yield from _tables(item.rarg)


def _alias(table: Any) -> str:
    return str(table.alias.aliasname if table.alias else table.relname)


def _aliases(item: Any) -> set[str]:
    return {_alias(table) for table in _tables(item)}


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


def _terms(condition: Any) -> Iterator[Any]:
    """Give the top-level AND terms of a condition."""
    if _is(condition, "BoolExpr") and condition.boolop == enums.BoolExprType.AND_EXPR:
        for term in condition.args:
            yield from _terms(term)
    else:
        yield condition


def _held(condition: Any, parameters: Sequence[str]) -> set[str]:
    """Return the aliases with `alias.tenant_id = :tenant_id::text` among the top-level AND terms of a condition."""
    return {
        term.lexpr.fields[0].sval
        for term in _terms(condition)
        if _is(term, "A_Expr")
        and term.kind == enums.A_Expr_Kind.AEXPR_OP
        and _dotted(term.name) == "="
        and _is(term.lexpr, "ColumnRef")
        and [getattr(field, "sval", None) for field in term.lexpr.fields[1:]] == ["tenant_id"]
        and _is_tenant(term.rexpr, parameters)
    }


def _held_if_given(condition: Any, parameters: Sequence[str]) -> set[str]:
    """Return the aliases with `(:tenant_id::text IS NULL OR alias.tenant_id = :tenant_id::text)` among the terms."""
    held: set[str] = set()
    for term in _terms(condition):
        if _is(term, "BoolExpr") and term.boolop == enums.BoolExprType.OR_EXPR and len(term.args) == 2:
            absent, present = term.args
            if (
                _is(absent, "NullTest")
                and absent.nulltesttype == enums.NullTestType.IS_NULL
                and _is_tenant(absent.arg, parameters)
            ):
                held |= _held(present, parameters)
    return held


def _is_tenant(value: Any, parameters: Sequence[str]) -> bool:
    return (
        _is(value, "TypeCast")
        and _is(value.arg, "ParamRef")
        and parameters[value.arg.number - 1] == "tenant_id"
        and _dotted(value.typeName.names) in {"text", "pg_catalog.text"}
        and not value.typeName.arrayBounds
    )
