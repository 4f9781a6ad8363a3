"""Rules that look at one place of a statement."""

from __future__ import annotations

from sqlglot import exp

from conversation_store.dba.lint._levels import Level, Source, has_columns, output, within
from conversation_store.dba.lint._rules import Fault, Faults, Subject
from conversation_store.dba.lint._schema import Table, normal


def stars(subject: Subject) -> Faults:
    """Give each star that stands for columns."""
    for star in subject.tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.AggFunc):
            holder = star.parent if isinstance(star.parent, (exp.Column, exp.Dot)) else star
            yield Fault("L01", holder, "a star stands for all columns")


def uncast_parameters(subject: Subject) -> Faults:
    """Give each parameter that is not cast where it stands."""
    for parameter in subject.tree.find_all(exp.Placeholder):
        if not isinstance(parameter.parent, exp.Cast):
            yield Fault("L02", parameter, f":{parameter.name} is not cast")


def orders_by_parameters(subject: Subject) -> Faults:
    """Give each term of an ORDER BY that is the same for all rows."""
    for ordered in subject.tree.find_all(exp.Ordered):
        parameter = ordered.find(exp.Placeholder)
        if parameter is not None and not has_columns(ordered) and isinstance(ordered.parent, exp.Order):
            yield Fault("L03", parameter, f":{parameter.name} orders nothing")


def unqualified_tables(subject: Subject) -> Faults:
    """Give each table that is named without its schema, and what is named as if it were one."""
    names = {name for _, name in subject.schema.tables}
    for source in sources_of(subject):
        if source.kind == "unqualified" or (source.kind == "expression" and source.name in names):
            yield Fault("L07", source.node, f"{source.name} is not qualified")


# The catalogues of the server that have values of rows, or statements, of all tenants.
_OF_ROWS = ("pg_stat", "pg_largeobject")


def unknown_tables(subject: Subject) -> Faults:
    """Give each table that no file of the schema creates."""
    for source in sources_of(subject):
        if source.kind != "table" or (source.schema == "pg_catalog" and not source.name.startswith(_OF_ROWS)):
            continue
        if (source.schema, source.name) not in subject.schema.tables:
            yield Fault("L13", source.node, f"{source.schema}.{source.name} is not a known table")


def sources_of(subject: Subject) -> list[Source]:
    """Return everything that the levels read from and write to, and the table of a COPY."""
    found = [source for level in subject.levels for source in (*level.sources, level.target) if source is not None]
    if isinstance(subject.tree, exp.Copy):
        table = subject.tree.find(exp.Table)
        if table is not None and not subject.levels:
            found.append(
                Source(table, "table" if table.db else "unqualified", table.db, table.name, table.alias_or_name, ())
            )
    return found


def in_parameters(subject: Subject) -> Faults:
    """Give each IN with a parameter in its list."""
    for node in subject.tree.find_all(exp.In):
        for item in node.expressions:
            parameter = item.find(exp.Placeholder)
            if parameter is not None and not has_columns(item):
                yield Fault("L08", parameter, f"IN (…) has the parameter :{parameter.name}")
                break


def whole_rows(subject: Subject) -> Faults:
    """Give each alias that stands for a row as a value."""
    by_node = {id(level.node): level for level in subject.levels}
    for column in subject.tree.find_all(exp.Column):
        if column.table or isinstance(column.this, exp.Star):
            continue
        node = column.parent
        while node is not None:
            level = by_node.get(id(node))
            meaning = _meaning(level, column.name, subject) if level is not None else ""
            if meaning == "row":
                yield Fault("L10", column, f"{column.name} is a whole row")
            if meaning:
                break
            node = node.parent


def _meaning(level: Level, name: str, subject: Subject) -> str:
    """Return what a name without an alias means at a level: a column, a row, or nothing that is known."""
    sources = [*level.sources, *([level.target] if level.target is not None else [])]
    for source in sources:
        table = subject.schema.tables.get((source.schema, source.name))
        named = set(table.columns) if table is not None else set(source.columns)
        if source.query is not None:
            named |= {each.alias_or_name for each in output(source.query)}
        if name in named or (source.kind == "function" and name == source.alias):
            return "column"
    # Of a subquery the columns are written out.
    return "row" if any(source.alias == name and source.kind in ("table", "unqualified") for source in sources) else ""


def locks_with_joins(subject: Subject) -> Faults:
    """Give each locking clause of more than one table."""
    for level in subject.levels:
        if level.node.args.get("locks"):
            sources = [source.alias for source in level.sources]
            if len(sources) != 1 or level.sources[0].kind in ("query", "function"):
                yield Fault("L11", level.node, f"the locking clause has {', '.join(sources) or 'no table'}")


_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Like, exp.ILike)


def functions_on_columns(subject: Subject) -> Faults:
    """Give each comparison of what is made of an indexed column, where no index is on that."""
    for level in subject.levels:
        tables = {
            table.alias: subject.schema.tables[table.schema, table.name]
            for table in level.tables
            if (table.schema, table.name) in subject.schema.tables
        }
        for term in level.terms:
            for node in within(term.node):
                if isinstance(node, _COMPARISONS):
                    yield from _computed(node, tables)


def _computed(comparison: exp.Expr, tables: dict[str, Table]) -> Faults:
    for operand in (comparison.args.get(name) for name in ("this", "expression", "low", "high")):
        while isinstance(operand, exp.Paren):
            operand = operand.this
        if not isinstance(operand, exp.Expr) or isinstance(operand, (exp.Column, exp.Tuple, exp.Case)):
            continue
        if isinstance(operand, exp.Any):
            continue  # an element of an array
        for column in within(operand):
            if not isinstance(column, exp.Column) or column.table not in tables:
                continue
            table = tables[column.table]
            if table.is_indexed(column.name) and not _has_index(table, operand):
                yield Fault(
                    "L09", column, f"what is made of {column.table}.{column.name} is compared, and an index has it"
                )
                break


def _has_index(table: Table, operand: exp.Expr) -> bool:
    text = normal(operand)
    return any(text in expressions for expressions in table.expressions.values())
