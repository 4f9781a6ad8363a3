"""Which rows of a query a set of columns tells apart, and whether the arguments bound how many there are.

What tells a row of one source tells, by the conditions that join them, those of the others: where all are told, so is
the row of the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, product

from sqlglot import exp

from conversation_store.dba.lint._levels import Column, Level, Source, Term, has_columns, output, within
from conversation_store.dba.lint._rules import Subject

# Functions that a column of them may give several rows.
_SETS = frozenset({"json_array_elements", "jsonb_array_elements", "json_each", "jsonb_each", "regexp_split_to_table"})


class Rows:
    """What tells the rows of a query apart."""

    def __init__(self, subject: Subject) -> None:
        self._tables = subject.schema.tables
        self._levels = {id(level.node): level for level in subject.levels}
        # What was found of a query, and at first what holds for a recursive one.
        self._found_keys: dict[int, list[frozenset[str]]] = {}
        self._found_bounds: dict[int, bool] = {}

    def lacking(self, query: exp.Expr) -> str | None:
        """Return None where no two rows are equal in the order of a query, else the columns that would tell them."""
        names = [each.alias_or_name for each in output(query)]
        terms = [term.this for term in query.args["order"].expressions]
        given = {_output_name(term, query, names) for term in terms}
        if any(key <= given for key in self._keys(query)):
            return None
        level = self._levels.get(id(query))
        is_other = query.args.get("group") or query.args.get("distinct") or any(map(_is_set, output(query)))
        if level is None or is_other:
            return ""
        if self._unknown(level):
            return None  # another rule says so
        ordered = {column for term in terms if (column := self._column(term, level)) is not None}
        told = self._told(level, {column for column in ordered if not self._may_be_null(level, column)}, set())
        constants = self._constants(level)
        columns: list[str] = []
        for source in _everything(level):
            if source.alias not in told and (keys := self._keys_of(source)):
                missing = {(source.alias, name) for name in min(keys, key=len)} - ordered - constants
                columns += [f"{alias}.{name}" for alias, name in sorted(missing)]
        return None if self._all(level, told) else ", ".join(columns)

    def _may_be_null(self, level: Level, column: Column) -> bool:
        """Return whether rows may be equal in a column of a table since they have none there."""
        sources = [source for source in _everything(level) if source.alias == column[0] and source.kind == "table"]
        tables = [self._tables.get((source.schema, source.name)) for source in sources]
        return any(table is not None and column[1] not in table.required for table in tables)

    def is_bounded(self, query: exp.Expr) -> bool:
        """Return whether the arguments bound how many rows a query has."""
        if isinstance(query, (exp.Subquery, exp.Paren)):
            return self.is_bounded(query.this)
        limit = query.args.get("limit")
        if limit is not None and not _is_no_limit(limit):
            return True
        if isinstance(query, exp.SetOperation):
            return self.is_bounded(query.left) and self.is_bounded(query.right)
        level = self._levels.get(id(query))
        if level is None:
            return isinstance(query, exp.Values)
        if id(query) not in self._found_bounds:
            self._found_bounds[id(query)] = False
            self._found_bounds[id(query)] = self._is_bounded(level)
        return self._found_bounds[id(query)]

    def _is_bounded(self, level: Level) -> bool:
        if isinstance(level.node, exp.Insert):
            source = level.node.args.get("expression")
            return isinstance(source, exp.Expr) and self.is_bounded(source)
        if self._unknown(level) or frozenset() in self._keys(level.node):
            return True
        listed = {column for term in level.terms if (column := self._listed(term.node)) is not None}
        bounded = {
            source.alias
            for source in level.sources
            if source.kind == "function" or (source.query is not None and self.is_bounded(source.query))
        }
        return self._all(level, self._told(level, listed, bounded))

    def _listed(self, term: exp.Expr) -> Column | None:
        """Return the column of `column = ANY(…)` or `column IN (…)` where the list does not depend on rows."""
        if isinstance(term, exp.EQ) and isinstance(term.expression, exp.Any):
            column, values = term.this, term.expression.this
        elif isinstance(term, exp.In):
            column, values = term.this, term.args.get("query") or exp.Tuple(expressions=term.expressions)
        else:
            return None
        if not isinstance(column, exp.Column) or not column.table:
            return None
        queries = [node for node in values.walk() if id(node) in self._levels]
        if not queries:
            return None if has_columns(values) else (column.table, column.name)
        return (column.table, column.name) if self.is_bounded(queries[0]) else None

    def _unknown(self, level: Level) -> bool:
        tables = [source for source in (*level.sources, level.target) if source is not None]
        return any(
            source.kind == "unqualified"
            or (source.kind == "table" and (source.schema, source.name) not in self._tables)
            for source in tables
        )

    def _keys_of(self, source: Source) -> list[frozenset[str]]:
        if source.kind == "table":
            table = self._tables.get((source.schema, source.name))
            return [key for key in table.keys.values() if key <= table.required] if table is not None else []
        if isinstance(source.node, exp.Values) and len(source.node.expressions) == 1:
            return [frozenset()]
        if source.query is not None:
            keys = self._keys(source.query)
            if not source.columns:
                return keys
            names = dict(zip((each.alias_or_name for each in output(source.query)), source.columns, strict=False))
            return [frozenset(names.get(name, name) for name in key) for key in keys]
        if isinstance(source.node.args.get("offset"), exp.Identifier) or source.node.args.get("ordinality"):
            return [frozenset(source.columns[-1:])]
        return []

    def _keys(self, query: exp.Expr) -> list[frozenset[str]]:
        """Return sets of what a query gives, in each of which no two of its rows are equal."""
        if isinstance(query, (exp.Subquery, exp.Paren)):
            return self._keys(query.this)
        names = [each.alias_or_name for each in output(query)]
        if isinstance(query, exp.SetOperation):
            return [frozenset(names)] if query.args.get("distinct") else []
        level = self._levels.get(id(query))
        if level is None:
            return []
        if id(query) not in self._found_keys:
            self._found_keys[id(query)] = []
            self._found_keys[id(query)] = list(self._keys_of_level(level, names))
        return self._found_keys[id(query)]

    def _keys_of_level(self, level: Level, names: list[str]) -> Iterable[frozenset[str]]:
        query = level.node
        given = output(query)
        if any(_is_set(each) for each in given):
            return
        distinct = query.args.get("distinct")
        grouped = query.args.get("group") or (distinct.args.get("on") if distinct is not None else None)
        if grouped is not None:
            told = {_output_name(each, query, names) for each in grouped.expressions}
            if "" not in told:
                yield frozenset(told)
            return
        if distinct is not None:
            yield frozenset(names)
        is_aggregate = any(isinstance(node, exp.AggFunc) and not _over(node) for each in given for node in within(each))
        if isinstance(query, exp.Select) and (not level.sources or is_aggregate):
            yield frozenset()
            return
        columns: dict[Column, str] = {}
        for each in given:
            inner = each.unalias() if isinstance(each, exp.Alias) else each
            column = self._column(inner, level)
            if column is not None:
                columns.setdefault(column, each.alias_or_name)
            if (
                isinstance(inner, exp.Window)
                and isinstance(inner.this, exp.RowNumber)
                and not inner.args.get("partition_by")
            ):
                yield frozenset({each.alias_or_name})
        sources = _everything(level)
        choices = [[*self._keys_of(source), frozenset[str]()] for source in sources]
        for chosen in islice(product(*choices), 256):
            key = {(source.alias, name) for source, names in zip(sources, chosen, strict=True) for name in names}
            key -= self._constants(level)
            if all(column in columns for column in key) and self._all(level, self._told(level, key, set())):
                yield frozenset(columns[column] for column in key)

    def _column(self, term: exp.Expr, level: Level) -> Column | None:
        """Return the column of a source that a term is."""
        if isinstance(term, exp.Literal) and term.is_int and isinstance(level.node, exp.Select):
            place = int(term.this) - 1
            term = level.node.expressions[place].unalias() if place < len(level.node.expressions) else term
        if not isinstance(term, exp.Column):
            return None
        if term.table:
            return term.table, term.name
        for each in output(level.node):
            if isinstance(each, exp.Alias) and each.alias == term.name:
                return self._column(each.this, level) if each.this is not term else None
        sources = _everything(level)
        return (sources[0].alias, term.name) if len(sources) == 1 else None

    def _constants(self, level: Level) -> set[Column]:
        """Return the columns that equal what is the same for all rows of a level."""
        aliases = {source.alias for source in _everything(level)}
        found: set[Column] = set()
        for term in level.terms:
            for column, other in _equal(term):
                depends = any(each.table in aliases or not each.table for each in other.find_all(exp.Column))
                is_constant = not depends and not isinstance(other, exp.Any)
                if is_constant and isinstance(column, exp.Column) and column.table in term.reaches:
                    found.add((column.table, column.name))
        return found

    def _told(self, level: Level, columns: set[Column], sources: set[str]) -> set[str]:
        """Return the aliases of which these columns, and these sources, tell the row."""
        columns, told = columns | self._constants(level), set(sources)
        while True:
            before = len(columns), len(told)
            for source in _everything(level):
                if any(all((source.alias, name) in columns for name in key) for key in self._keys_of(source)):
                    told.add(source.alias)
            for term in level.terms:
                for left, right in _equal(term):
                    is_told = isinstance(right, exp.Column) and (
                        right.table in told or (right.table, right.name) in columns
                    )
                    if is_told and isinstance(left, exp.Column) and left.table in term.reaches:
                        columns.add((left.table, left.name))
            if before == (len(columns), len(told)):
                return told

    @staticmethod
    def _all(level: Level, told: set[str]) -> bool:
        return all(source.alias in told for source in _everything(level))


def _everything(level: Level) -> list[Source]:
    """Return what a level reads from, with the table that it changes."""
    return [*level.sources, *([level.target] if level.target is not None else [])]


def _equal(term: Term) -> list[tuple[exp.Expr, exp.Expr]]:
    """Return the two sides of a term that says that they are equal, each before the other."""
    if type(term.node) is not exp.EQ:
        return []
    left, right = term.node.this, term.node.expression
    return [(left, right), (right, left)]


def _output_name(term: exp.Expr, query: exp.Expr, names: list[str]) -> str:
    """Return the name under which a query gives what a term is, or an empty text."""
    if isinstance(term, exp.Literal) and term.is_int and int(term.this) <= len(names):
        return names[int(term.this) - 1]
    if isinstance(term, exp.Column) and not term.table and term.name in names:
        return term.name
    for each in output(query):
        if (each.this if isinstance(each, exp.Alias) else each) == term:
            return each.alias_or_name
    return ""


def _is_set(node: exp.Expr) -> bool:
    return any(
        isinstance(each, (exp.GenerateSeries, exp.Unnest, exp.Explode))
        or (isinstance(each, exp.Anonymous) and each.name.lower() in _SETS)
        for each in within(node)
    )


def _over(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Window) or (
        isinstance(node.parent, exp.Filter) and isinstance(node.parent.parent, exp.Window)
    )


def _is_no_limit(limit: exp.Expr) -> bool:
    """Return whether it is LIMIT ALL or LIMIT NULL."""
    value = limit.args.get("expression")
    while isinstance(value, (exp.Paren, exp.Cast)):
        value = value.this
    return isinstance(value, exp.Null) or (isinstance(value, exp.Var) and value.name.upper() == "ALL")
