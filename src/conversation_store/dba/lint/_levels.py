"""The levels of a statement: each SELECT, INSERT, UPDATE and DELETE in it, with the sources that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlglot import exp

from conversation_store.dba.lint._parser import Unreadable, start_of

Kind: TypeAlias = Literal["table", "expression", "query", "function", "unqualified"]
Column: TypeAlias = tuple[str, str]  # the alias of a source, and the name of its column


@dataclass(frozen=True, eq=False)
class Source:
    """What a level reads: a table of a schema, a common table expression, a subquery, or a function."""

    node: exp.Expr
    kind: Kind
    schema: str
    name: str
    alias: str
    columns: tuple[str, ...]  # as the alias names them
    query: exp.Expr | None = None


@dataclass(frozen=True, eq=False)
class Term:
    """A condition that AND joins to others, and the aliases of which no row is left that does not meet it."""

    node: exp.Expr
    reaches: frozenset[str]


@dataclass(frozen=True, eq=False)
class Level:
    """One query of a statement: what it reads from, the table that it changes, and its conditions."""

    node: exp.Expr
    sources: tuple[Source, ...]
    target: Source | None
    terms: tuple[Term, ...]

    @property
    def tables(self) -> list[Source]:
        """The tables of this level, without those of its subqueries; a target of an INSERT is none."""
        own = [] if self.target is None or isinstance(self.node, exp.Insert) else [self.target]
        return [source for source in (*self.sources, *own) if source.kind == "table"]


KINDS = (exp.Select, exp.Insert, exp.Update, exp.Delete, exp.Merge)


def levels(statement: exp.Expr) -> list[Level]:
    """Return each level of a statement, the outer before the inner; raises `Unreadable`."""
    expressions = {cte.alias: cte.this for cte in statement.find_all(exp.CTE)}
    # What a MERGE does to its table is a part of it.
    nodes = [node for node in statement.walk() if isinstance(node, KINDS) and not isinstance(node.parent, exp.When)]
    return [_level(node, expressions) for node in nodes]


def terms_of(condition: Any) -> Iterator[exp.Expr]:
    """Give the terms that AND joins at the top of a condition."""
    if isinstance(condition, exp.And):
        yield from terms_of(condition.this)
        yield from terms_of(condition.expression)
    elif isinstance(condition, exp.Paren):
        yield from terms_of(condition.this)
    elif isinstance(condition, exp.Expr):
        yield condition


def within(node: exp.Expr) -> Iterator[exp.Expr]:
    """Give a node and what is in it, but not what is in a subquery."""
    yield node
    for child in node.iter_expressions():
        if not isinstance(child, (exp.Query, *KINDS)):
            yield from within(child)


def has_columns(node: exp.Expr) -> bool:
    """Return whether an expression names a column, its subqueries included."""
    return node.find(exp.Column) is not None


def _level(node: exp.Expr, expressions: dict[str, exp.Expr]) -> Level:
    target: Source | None = None
    items: list[Any] = []
    if not isinstance(node, exp.Select):
        table = node.this.this if isinstance(node.this, exp.Schema) else node.this
        if not isinstance(table, exp.Table):
            raise Unreadable("it names no table", start_of(node))
        target = _source(table, expressions)
    if isinstance(node, (exp.Select, exp.Update)):
        first = node.args.get("from_")
        items = [first.this] if first is not None else []
    elif isinstance(node, exp.Delete):
        items = list(node.args.get("using") or ())
    elif isinstance(node, exp.Merge):
        items = [node.args["using"]]
    chain = _Chain(expressions)
    for item in items:
        chain.add(item)
    for join in node.args.get("joins") or () if isinstance(node, exp.Select) else ():
        chain.join(join)
    terms = list(chain.terms)
    where = node.args.get("where")
    if where is not None:
        aliases = frozenset(source.alias for source in (*chain.sources, *([target] if target else [])))
        terms += [Term(term, aliases) for term in terms_of(where.this)]
    return Level(node, tuple(chain.sources), target, tuple(terms))


class _Chain:
    """Items of a FROM, joined one after the other."""

    def __init__(self, expressions: dict[str, exp.Expr]) -> None:
        self._expressions = expressions
        self.sources: list[Source] = []
        self.terms: list[Term] = []

    def add(self, item: Any) -> None:
        """Add an item with what it is joined to in parentheses or behind commas."""
        if isinstance(item, exp.Subquery) and not isinstance(item.this, exp.Query):
            self.add(item.this)
        else:
            self.sources.append(_source(item, self._expressions))
        for join in item.args.get("joins") or ():
            self.join(join)

    def join(self, join: exp.Join) -> None:
        """Add what is joined; the ON of an outer join reaches the rows that it may leave out."""
        before = frozenset(source.alias for source in self.sources)
        self.add(join.this)
        joined = frozenset(source.alias for source in self.sources) - before
        reached = {"": before | joined, "LEFT": joined, "RIGHT": before}.get(join.side, frozenset[str]())
        condition = join.args.get("on")
        if condition is not None:
            self.terms += [Term(term, reached) for term in terms_of(condition)]


def _source(node: Any, expressions: dict[str, exp.Expr]) -> Source:
    alias = node.args.get("alias")
    columns = tuple(column.name for column in alias.columns) if isinstance(alias, exp.TableAlias) else ()
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        schema = node.db
        kind: Kind = "table" if schema else "expression" if node.name in expressions else "unqualified"
        query = expressions.get(node.name) if kind == "expression" else None
        return Source(node, kind, schema, node.name, node.alias_or_name, columns, query)
    inner = node.this if isinstance(node, (exp.Subquery, exp.Lateral)) else None
    while isinstance(inner, exp.Subquery):
        inner = inner.this
    if isinstance(inner, exp.Query):
        return Source(node, "query", "", node.alias, node.alias, columns, inner)
    offset = node.args.get("offset")
    if isinstance(offset, exp.Identifier):
        columns = (*columns, offset.name)
    return Source(node, "function", "", node.alias, node.alias, columns)


def output(query: exp.Expr) -> Sequence[exp.Expr]:
    """Return what a query gives: its columns, or what it returns of the rows that it changes."""
    if isinstance(query, exp.SetOperation):
        return output(query.left)
    if isinstance(query, (exp.Subquery, exp.Paren)):
        return output(query.this)
    returning = query.args.get("returning")
    return (
        returning.expressions if returning is not None else query.expressions if isinstance(query, exp.Select) else ()
    )
