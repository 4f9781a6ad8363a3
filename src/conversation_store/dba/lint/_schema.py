"""What the rules need of a schema, read from its files: the columns of the tables, their keys and indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from conversation_store._migration_files import migrations
from conversation_store._sql_lexer import split
from conversation_store.dba.lint._levels import output

# In the outline of a statement.
_OF_TABLES = (
    r"(?i)(create (unlogged )?table|create (or replace |materialized )?view|create (unique )?index"
    r"|alter table|drop \w+) "
)


@dataclass
class Table:
    """A table: the types of its columns by their names, its keys by their names, what its indexes are over."""

    columns: dict[str, str] = field(default_factory=dict[str, str])
    required: set[str] = field(default_factory=set[str])  # what is NOT NULL
    keys: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    indexed: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    expressions: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def is_indexed(self, column: str) -> bool:
        """Return whether a column is one of an index."""
        return any(column in columns for columns in self.indexed.values())

    def rename(self, column: str, name: str) -> None:
        """Give a column another name, here and in the keys and the indexes."""
        if column not in self.columns:
            return
        self.columns = {name if each == column else each: kind for each, kind in self.columns.items()}
        self.required = {name if each == column else each for each in self.required}
        self.keys = {key: frozenset(name if each == column else each for each in of) for key, of in self.keys.items()}
        self.indexed = {key: {name if each == column else each for each in of} for key, of in self.indexed.items()}

    def forget(self, name: str) -> None:
        """Leave out an index or a key."""
        for named in (self.keys, self.indexed, self.expressions):
            named.pop(name, None)


class Schema:
    """The tables of the store and those of a service, by schema and name."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], Table] = {}
        for migration in migrations():
            for statement in migration.statements:
                self._read(statement)

    def add(self, path: Path) -> None:
        """Read a file of CREATE TABLE, CREATE INDEX and ALTER TABLE, or all of a folder in order of their names."""
        for file in sorted(path.rglob("*.sql")) if path.is_dir() else [path]:
            text = file.read_text(encoding="utf-8")
            # Of a migration the part that is applied; of a dump without the commands of psql.
            text = re.split(r"(?m)^-- migrate:down\b", text)[0]
            for part in split(re.sub(r"(?m)^\\.*$", "", text)):
                if re.match(_OF_TABLES, part.outline):
                    self._read(part.text)

    def _read(self, statement: str) -> None:
        (part,) = split(statement)
        if not re.match(_OF_TABLES, part.outline):
            return
        try:
            tree = sqlglot.parse_one(part.text, read="postgres")
        except SqlglotError:
            return  # its table stays unknown, which a rule says of each statement that names it
        if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.this, exp.Schema):
            self._create(tree.this)
        elif isinstance(tree, exp.Create) and tree.kind == "TABLE":
            self._partition(tree)
        elif isinstance(tree, exp.Create) and tree.kind == "VIEW":
            self._view(tree)
        elif isinstance(tree, exp.Create) and tree.kind == "INDEX":
            self._index(tree)
        elif isinstance(tree, exp.Alter):
            self._alter(tree)
        elif isinstance(tree, exp.Drop):
            self._drop(tree)

    def _create(self, created: exp.Schema) -> None:
        table = self.tables.setdefault((created.this.db, created.this.name), Table())
        for item in created.expressions:
            _add(table, created.this.name, item)

    def _partition(self, tree: exp.Create) -> None:
        """Take a partition to have the columns, keys and indexes of the table that it is of."""
        of = tree.find(exp.PartitionedOfProperty)
        whole = of and self.tables.get((of.this.db, of.this.name))
        if whole:
            named = tree.this
            self.tables[named.db, named.name] = whole

    def _view(self, tree: exp.Create) -> None:
        named = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        names = [each.alias_or_name for each in output(tree.expression)]
        if isinstance(tree.this, exp.Schema):
            names = [each.name for each in tree.this.expressions]
        # Of what type they are, nothing says.
        self.tables[named.db, named.name] = Table(dict.fromkeys(names, ""))

    def _alter(self, tree: exp.Alter) -> None:
        table = self.tables.get((tree.this.db, tree.this.name))
        if table is None:
            return
        for action in tree.args.get("actions") or ():
            if isinstance(action, exp.AddConstraint):
                for item in action.expressions:
                    _add(table, tree.this.name, item)
            elif isinstance(action, exp.ColumnDef):
                _add(table, tree.this.name, action)
            elif isinstance(action, exp.AlterColumn) and action.args.get("allow_null") is False:
                table.required.add(action.this.name)
            elif isinstance(action, exp.Drop):
                for name in _names(action):
                    table.columns.pop(name, None)
                    table.forget(name)
            elif isinstance(action, exp.RenameColumn):
                table.rename(action.this.name, action.args["to"].name)
            elif isinstance(action, exp.AlterRename) and not tree.args.get("options"):
                self.tables[tree.this.db, action.this.name] = self.tables.pop((tree.this.db, tree.this.name))
            elif isinstance(action, exp.AlterRename):  # RENAME a TO b, without COLUMN
                table.rename(action.this.name, tree.args["options"][0].this.name)

    def _index(self, tree: exp.Create) -> None:
        index = tree.this
        on = index.args["table"]
        table = self.tables.get((on.db, on.name))
        if table is None:
            return
        name, parameters = index.name, index.args["params"]
        columns: set[str] = set()
        expressions: set[str] = set()
        for item in parameters.args.get("columns") or ():
            key = item.this if isinstance(item, exp.Ordered) else item
            while isinstance(key, exp.Opclass):
                key = key.this
            if isinstance(key, (exp.Column, exp.Identifier)):
                columns.add(key.name)
            else:
                expressions.add(normal(key))
        table.indexed[name], table.expressions[name] = columns, expressions
        if tree.args.get("unique") and not expressions and parameters.args.get("where") is None:
            table.keys[name] = frozenset(columns)

    def _drop(self, tree: exp.Drop) -> None:
        for dropped in tree.find_all(exp.Table):
            if tree.kind in ("TABLE", "VIEW"):
                self.tables.pop((dropped.db, dropped.name), None)
            for table in self.tables.values():
                table.forget(dropped.name)


def _add(table: Table, name: str, item: exp.Expr) -> None:
    """Add a column or a constraint to a table."""
    if isinstance(item, exp.ColumnDef):
        table.columns[item.name] = type_name(item.args["kind"])
        for constraint in item.constraints:
            if isinstance(constraint.kind, exp.NotNullColumnConstraint) and not constraint.kind.args.get("allow_null"):
                table.required.add(item.name)
            elif isinstance(constraint.kind, exp.PrimaryKeyColumnConstraint):
                table.required.add(item.name)
                _add_key(table, f"{name}_pkey", {item.name})
            elif isinstance(constraint.kind, exp.UniqueColumnConstraint):
                _add_key(table, f"{name}_{item.name}_key", {item.name})
        return
    named = item.name if isinstance(item, exp.Constraint) else ""
    for part in item.expressions if isinstance(item, exp.Constraint) else [item]:
        columns = set(_names(part))
        if isinstance(part, exp.PrimaryKey):
            table.required |= columns
            _add_key(table, named or f"{name}_pkey", columns)
        elif isinstance(part, exp.UniqueColumnConstraint):
            _add_key(table, named or f"{name}_{'_'.join(_names(part))}_key", columns)


def _add_key(table: Table, name: str, columns: set[str]) -> None:
    table.keys[name] = frozenset(columns)
    table.indexed[name] = columns


def _names(node: exp.Expr) -> Iterator[str]:
    yield from (identifier.name for identifier in node.find_all(exp.Identifier))


def type_name(kind: Any) -> str:
    """Return the name of a type as it is compared."""
    return str(kind.sql(dialect="postgres")).lower()


def normal(expression: exp.Expr) -> str:
    """Return an expression as text without the aliases before its columns, so that two can be compared."""
    copy = expression.copy()
    for column in list(copy.find_all(exp.Column)):
        column.set("table", None)
    return str(copy.sql(dialect="postgres", comments=False))
