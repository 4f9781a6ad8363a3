"""The rule of the tenant: it stands beside every table that has one, in each level of a statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from conversation_store.dba.lint._levels import Level, Source, terms_of
from conversation_store.dba.lint._rules import Fault, Faults, Subject
from conversation_store.dba.lint._schema import Table, type_name


def tenants(subject: Subject) -> Faults:
    """Give each place where a statement may meet rows of another tenant."""
    rule = _Rule(subject)
    if isinstance(subject.tree, exp.Copy) and not subject.levels:
        yield from rule.of_copy(subject.tree)
    for join in subject.tree.find_all(exp.Subquery):
        if join.alias and not isinstance(join.this, exp.Query):
            # It hides the aliases in it, so that a term which names one of them means another table.
            yield Fault("L12", join, f"a join is named {join.alias}")
    for level in subject.levels:
        yield from rule.of_level(level)


class _Rule:
    def __init__(self, subject: Subject) -> None:
        self._tenant = subject.tenant
        self._tables = {key: table for key, table in subject.schema.tables.items() if subject.tenant in table.columns}

    def of_copy(self, copy: exp.Copy) -> Faults:
        table = copy.find(exp.Table)
        if table is None or (table.db, table.name) not in self._tables:
            return
        columns = [column.name for column in copy.this.expressions] if isinstance(copy.this, exp.Schema) else []
        files = [file.name.lower() for file in copy.args.get("files") or ()]
        # Its rows carry the tenant, which no tree shows.
        if not copy.args.get("kind") or files != ["stdin"] or self._tenant not in columns:
            yield Fault("L12", table, f"COPY of {table.name} is not FROM STDIN with {self._tenant}")

    def of_level(self, level: Level) -> Faults:
        held = {alias for term in level.terms for alias in self._held([term.node]) & term.reaches}
        where = level.node.args.get("where")
        terms = list(terms_of(where.this)) if where is not None else []
        if isinstance(level.node, exp.Insert):
            yield from self._insert(level.node, level.target)
        if isinstance(level.node, exp.Update):
            yield from self._set(level.node.expressions)
        for table in level.tables:
            if (table.schema, table.name) not in self._tables:
                continue
            condition = f"{table.alias}.{self._tenant} = :{self._tenant}::{self._type(table)}"
            what = f"{table.name} AS {table.alias}"
            if table.columns:
                yield Fault("L12", table.node, f"{what} renames its columns")
            elif isinstance(level.node, exp.Merge):
                yield Fault("L12", table.node, f"a MERGE is not looked through: {table.name}")
            elif table.alias in held:
                continue
            elif table.alias in self._held_if_given(terms):
                yield Fault("L12", table.node, f"{what} has {condition} only if it is given")
            else:
                yield Fault("L12", table.node, f"{what} has no {condition}")

    def _insert(self, insert: exp.Insert, target: Source | None) -> Faults:
        if target is None or (target.schema, target.name) not in self._tables:
            return
        table = self._tables[target.schema, target.name]
        into = f"INSERT INTO {target.name}"
        columns = [column.name for column in insert.this.expressions] if isinstance(insert.this, exp.Schema) else []
        source = insert.args.get("expression")
        if isinstance(source, exp.Values):
            rows = [row.expressions for row in source.expressions]
        elif isinstance(source, exp.Select):
            rows = [[each.this if isinstance(each, exp.Alias) else each for each in source.expressions]]
        else:
            yield Fault("L12", target.node, f"{into} takes neither VALUES nor one SELECT")
            return
        if any(isinstance(value, exp.Star) or value.find(exp.Star, bfs=False) for row in rows for value in row):
            # It stands for any number of columns, so that no value has a certain place.
            yield Fault("L12", target.node, f"{into} takes a *")
        place = columns.index(self._tenant) if self._tenant in columns else None
        if place is None or not all(len(row) == len(columns) and self._is_tenant(row[place], table) for row in rows):
            yield Fault("L12", target.node, f"{into} does not take :{self._tenant}::{table.columns[self._tenant]}")
        conflict = insert.args.get("conflict")
        if conflict is not None and str(conflict.args.get("action")).upper() == "DO UPDATE":
            yield from self._conflict(conflict, target, table)

    def _conflict(self, conflict: exp.OnConflict, target: Source, table: Table) -> Faults:
        yield from self._set(conflict.expressions)
        constraint = conflict.args.get("constraint")
        if constraint is not None:
            key = set(table.keys.get(constraint.name, ()))
        else:
            key = {each.name for item in conflict.args.get("conflict_keys") or () for each in item.find_all(exp.Column)}
        where = conflict.args.get("where")
        held = self._held(terms_of(where.this)) if where is not None else set[str]()
        if self._tenant not in key and target.alias not in held:
            yield Fault("L12", target.node, f"INSERT INTO {target.name} updates a row of any tenant")

    def _set(self, changes: Sequence[exp.Expr]) -> Faults:
        for change in changes:
            if not isinstance(change, exp.EQ):
                continue
            left = change.this
            targets = left.expressions if isinstance(left, exp.Tuple) else [left]
            if any(target.name == self._tenant for target in targets):
                yield Fault("L12", change, f"{self._tenant} is set")

    def _type(self, source: Source) -> str:
        return self._tables[source.schema, source.name].columns[self._tenant]

    def _is_tenant(self, value: exp.Expr, table: Table | None = None) -> bool:
        types = (
            {each.columns[self._tenant] for each in self._tables.values()}
            if table is None
            else {table.columns[self._tenant]}
        )
        return (
            type(value) is exp.Cast
            and isinstance(value.this, exp.Placeholder)
            and value.this.name == self._tenant
            and (type_name(value.to) in types or "" in types)
        )

    def _held(self, terms: Sequence[exp.Expr] | Iterator[exp.Expr]) -> set[str]:
        """Return the aliases with `alias.tenant_id = :tenant_id::text` among the terms of a condition."""
        return {
            term.this.table
            for term in terms
            if type(term) is exp.EQ
            and isinstance(term.this, exp.Column)
            and term.this.name == self._tenant
            and not term.this.db
            and self._is_tenant(term.expression)
        }

    def _held_if_given(self, terms: list[exp.Expr]) -> set[str]:
        """Return the aliases with `(:tenant_id::text IS NULL OR alias.tenant_id = :tenant_id::text)` among them."""
        held: set[str] = set()
        for term in terms:
            absent = term.this if isinstance(term, exp.Or) else None
            if isinstance(absent, exp.Is) and isinstance(absent.expression, exp.Null) and self._is_tenant(absent.this):
                held |= self._held(terms_of(term.expression))
        return held
