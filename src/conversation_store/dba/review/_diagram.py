"""Where the tables of a diagram stand, and the lines of their foreign keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from conversation_store.dba.review._schema import Column, Constraint, Table

HEADER, ROW, PADDING = 30, 20, 8  # heights in the box of a table
GAP_X, GAP_Y = 88, 26
CHARACTER = 6.7  # the width of one, in the font of the diagram
SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "character varying": "varchar",
}


@dataclass(frozen=True)
class Row:
    """A column of a table in the diagram."""

    column: Column
    type: str
    key: str  # PK, FK, both or nothing
    y: float


@dataclass
class Box:
    """A table in the diagram."""

    table: Table
    rows: Sequence[Row]
    width: float
    x: float = 0
    y: float = 0

    @property
    def height(self) -> float:
        """The height of the whole box."""
        return HEADER + ROW * len(self.rows) + PADDING

    def y_of(self, columns: Sequence[str]) -> float:
        """Return the height at which a line to these columns ends: the middle of them."""
        return self.y + fmean([row.y for row in self.rows if row.column.name in columns] or [HEADER / 2])


@dataclass(frozen=True)
class Line:
    """A foreign key: from the side of the table that has it, at many rows, to the one row that it refers to."""

    constraint: Constraint
    source: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def path(self) -> str:
        """The path of the line, with room for its ends."""
        bend = max(36.0, abs(self.x1 - self.x2) / 2)
        x1, y1, x2, y2 = self.x1, self.y1, self.x2, self.y2
        return f"M{x1:.0f} {y1:.0f}h-12C{x1 - bend:.0f} {y1:.0f} {x2 + bend:.0f} {y2:.0f} {x2 + 12:.0f} {y2:.0f}h-12"


@dataclass(frozen=True)
class Diagram:
    """The boxes and lines, and how large all of it is."""

    boxes: Sequence[Box]
    lines: Sequence[Line]
    width: float
    height: float


def draw(tables: Sequence[Table]) -> Diagram:
    """Lay the tables out in columns: each stands right of those that it refers to, beside the nearest of them."""
    boxes = {table.name: _box(table) for table in tables}
    parents = {
        table.name: {str(key.target) for key in table.foreign_keys if key.target in boxes and key.target != table.name}
        for table in tables
    }
    level = _levels(parents)
    layers = [[boxes[name] for name in boxes if level[name] == n] for n in range(max(level.values(), default=-1) + 1)]
    referred = set[str]().union(*parents.values())
    for layer in layers:
        layer.sort(
            key=lambda box: (
                # Tables without any foreign key come last.
                not parents[box.table.name] and box.table.name not in referred,
                fmean([boxes[parent].y for parent in parents[box.table.name]] or [0]),
                box.table.name,
            )
        )
    height = max((sum(box.height + GAP_Y for box in layer) - GAP_Y for layer in layers), default=0)
    x = 0.0
    for layer in layers:
        y = 0.0
        for box in layer:
            box.x, box.y = x, y
            y += box.height + GAP_Y
        x += max(box.width for box in layer) + GAP_X
    lines = [
        Line(
            key,
            box.table.name,
            box.x,
            box.y_of(key.columns),
            boxes[key.target].x + boxes[key.target].width,
            boxes[key.target].y_of(key.target_columns),
        )
        for box in boxes.values()
        for key in box.table.foreign_keys
        if key.target in boxes
    ]
    return Diagram(list(boxes.values()), lines, max(x - GAP_X, 0), height)


def _box(table: Table) -> Box:
    primary, foreign = table.columns_of("p"), table.columns_of("f")
    rows = [
        Row(
            column,
            SHORT_TYPES.get(column.type, column.type),
            " ".join(label for label, names in (("PK", primary), ("FK", foreign)) if column.name in names),
            HEADER + ROW * number + ROW / 2,
        )
        for number, column in enumerate(table.columns)
    ]
    characters = max([len(row.column.name) + len(row.type) + 9 for row in rows] + [len(table.short_name) + 4])
    return Box(table, rows, round(characters * CHARACTER + 16))


def _levels(parents: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the column of each table; a cycle is cut where it closes."""
    level: dict[str, int] = {}

    def of(name: str, above: frozenset[str]) -> int:
        if name not in level:
            further = [
                of(parent, above | {name}) for parent in sorted(p for p in parents[name] if p) if parent not in above
            ]
            level[name] = 1 + max(further, default=-1)
        return level[name]

    for name in parents:
        of(name, frozenset({name}))
    return level
