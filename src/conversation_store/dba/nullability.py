"""Which result columns of a statement are never NULL, and where each of them stands: from its parse tree.

A column of a table is never NULL where the table has it NOT NULL and no outer join stands between. An expression is
never NULL where its parts are not, or where it is of a kind that never is, as count(*) and EXISTS. Whatever else there
is may be NULL: what is said here to be never NULL is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlglot import exp

Tables: TypeAlias = Mapping[tuple[str, str], Mapping[str, bool]]
"""The columns of each table, by schema (empty: one of the search path) and name, with whether they are never NULL."""


class ResultColumn(NamedTuple):
    """A column of a result: its name, whether it is never NULL, and the offset in the text where it is named."""

    name: str
    never_null: bool
    offset: int


_Columns: TypeAlias = Sequence[ResultColumn]
_UNKNOWN: _Columns = ()

# What gives NULL only where a part of it is NULL. Operators of other types than the server's own are not looked at.
_STRICT = (
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.DPipe,
    exp.Between,
)
_CONNECTIVES = (exp.And, exp.Or, exp.Not, exp.Neg)
# What is never NULL, whatever its parts are.
_NEVER = (exp.Exists, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Count, exp.Boolean, exp.RowNumber)


def result_columns(tree: exp.Expr, tables: Tables) -> list[ResultColumn] | None:
    """Return the columns of a statement's result, or None where they are not known, as of a `*`."""
    found = _query(tree, tables, {})
    return None if found is None else list(found)


def _query(node: Any, tables: Tables, ctes: Mapping[str, _Columns]) -> _Columns | None:
    """Return the columns of a query, of a part of one, or of what a modification returns."""
    ctes = dict(ctes)
    with_ = node.args.get("with_")
    for cte in with_.expressions if with_ is not None else ():
        ctes[cte.alias] = _UNKNOWN  # for itself, where it is recursive
        ctes[cte.alias] = _renamed(_query(cte.this, tables, ctes) or _UNKNOWN, cte.args.get("alias"))
    if isinstance(node, (exp.Subquery, exp.Paren)):
        return _query(node.this, tables, ctes)
    if isinstance(node, exp.SetOperation):
        left, right = _query(node.this, tables, ctes), _query(node.expression, tables, ctes)
        if left is None or right is None or len(left) != len(right):
            return None
        return [a._replace(never_null=a.never_null and b.never_null) for a, b in zip(left, right, strict=True)]
    scope = _Scope(tables, ctes)
    if isinstance(node, exp.Select):
        scope.add_all(node)
        if (group := node.args.get("group")) is not None and group.find(exp.Rollup, exp.Cube, exp.GroupingSets):
            scope.weaken()
        return scope.columns(node.expressions)
    if isinstance(node, (exp.Insert, exp.Update, exp.Delete)):
        target = node.this.this if isinstance(node.this, exp.Schema) else node.this
        scope.add(target)
        scope.add_all(node)
        for each in node.args.get("using") or ():
            scope.add(each)
        returning = node.args.get("returning")
        return scope.columns(returning.expressions) if returning is not None else _UNKNOWN
    return None


def _renamed(columns: _Columns, alias: Any) -> _Columns:
    """Return columns under the names that an alias gives to the first of them."""
    names = [each.name for each in alias.columns] if alias is not None else []
    return [column._replace(name=names[n]) if n < len(names) else column for n, column in enumerate(columns)]


class _Scope:
    """What the names of a SELECT, or of a modification, stand for."""

    def __init__(self, tables: Tables, ctes: Mapping[str, _Columns]) -> None:
        self._tables = tables
        self._ctes = ctes
        self._sources: dict[str, dict[str, bool]] = {}

    def add_all(self, node: exp.Expr) -> None:
        """Take in what stands in FROM, with its joins."""
        if (from_ := node.args.get("from_")) is not None:
            self.add(from_.this)
        self._join(node.args.get("joins"))
        for lateral in node.args.get("laterals") or ():
            self.add(lateral)

    def add(self, node: exp.Expr, *, weak: bool = False) -> None:
        """Take in a table, a subquery, a function, or a join in parentheses; *weak*: an outer join may leave it out."""
        columns = {each.name: each.never_null and not weak for each in self._source(node)}
        name = node.alias_or_name
        if name in self._sources:
            columns = {}
        self._sources[name] = columns
        inner = _Scope(self._tables, self._ctes)
        inner._sources = {name: columns}
        inner._join(node.args.get("joins"))
        if weak:
            inner.weaken()
        self._sources.update(inner._sources)

    def weaken(self) -> None:
        """Take every column for one that may be NULL."""
        self._sources = {name: dict.fromkeys(columns, False) for name, columns in self._sources.items()}

    def columns(self, expressions: Sequence[Any]) -> _Columns | None:
        """Return the columns that a list of expressions makes."""
        if any(isinstance(each.this if isinstance(each, exp.Column) else each, exp.Star) for each in expressions):
            return None
        return [ResultColumn(each.alias_or_name, self._is_never_null(each), _offset(each)) for each in expressions]

    def _join(self, joins: Sequence[Any] | None) -> None:
        for join in joins or ():
            if join.side in ("RIGHT", "FULL"):
                self.weaken()
            self.add(join.this, weak=join.side in ("LEFT", "FULL"))

    def _source(self, node: Any) -> _Columns:
        alias = node.args.get("alias")
        if isinstance(node, (exp.Subquery, exp.Lateral)):
            query = node.this
            known = isinstance(query, (exp.Query, exp.Subquery))
            return _renamed((_query(query, self._tables, self._ctes) if known else None) or _UNKNOWN, alias)
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            return _UNKNOWN
        if not node.db and node.name in self._ctes:
            return _renamed(self._ctes[node.name], alias)
        columns = self._tables.get((node.db, node.name), {})
        return _renamed([ResultColumn(name, never_null, 0) for name, never_null in columns.items()], alias)

    def _is_never_null(self, node: Any) -> bool:
        if isinstance(node, (exp.Alias, exp.Cast, exp.Paren, exp.Filter)):
            return self._is_never_null(node.this)
        if isinstance(node, exp.Is):  # IS JSON is NULL of NULL
            return isinstance(node.expression, (exp.Null, exp.Boolean))
        if isinstance(node, exp.Column):
            return self._is_column_never_null(node)
        if isinstance(node, (exp.Literal, *_NEVER)):
            return True
        if isinstance(node, (*_STRICT, *_CONNECTIVES)):
            parts = list(node.iter_expressions())
            return bool(parts) and all(map(self._is_never_null, parts))
        if isinstance(node, exp.Coalesce):
            return any(map(self._is_never_null, (node.this, *node.expressions)))
        if isinstance(node, exp.Case):
            values = [branch.args["true"] for branch in node.args["ifs"]]
            default = node.args.get("default")
            return default is not None and all(map(self._is_never_null, (*values, default)))
        if isinstance(node, exp.Window):
            return isinstance(node.this, (exp.Count, exp.RowNumber))
        if isinstance(node, exp.Subquery):
            return self._is_one_row_never_null(node.this)
        return False

    def _is_column_never_null(self, node: exp.Column) -> bool:
        found = [
            columns
            for name, columns in self._sources.items()
            if (name == node.table if node.table else node.name in columns or not columns)
        ]
        # A name without a table is looked up where one source alone can have it.
        return len(found) == 1 and found[0].get(node.name, False)

    def _is_one_row_never_null(self, query: Any) -> bool:
        """Return whether a subquery is an aggregate over all of its rows, which is one row, and never NULL."""
        if not isinstance(query, exp.Select) or any(
            query.args.get(part) for part in ("group", "having", "limit", "offset")
        ):
            return False
        aggregates = [
            each for each in query.expressions[0].find_all(exp.AggFunc) if each.find_ancestor(exp.Select) is query
        ]
        columns = _query(query, self._tables, self._ctes) or _UNKNOWN
        return bool(aggregates and columns) and columns[0].never_null


def _offset(node: Any) -> int:
    """Return where a column is named."""
    named = (
        node.args.get("alias") if isinstance(node, exp.Alias) else node.this if isinstance(node, exp.Column) else None
    )
    if isinstance(named, exp.Identifier) and "start" in named.meta:
        return int(named.meta["start"])
    return min((int(each.meta["start"]) for each in node.walk() if "start" in each.meta), default=0)
