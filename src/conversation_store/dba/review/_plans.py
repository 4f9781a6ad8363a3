"""The plans of a statement's shapes; shapes whose plans have the same nodes share one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg

from conversation_store.dba.files import QueryFile
from conversation_store.dba.plans import Node, Plan, explain
from conversation_store.dba.shapes import shapes

# A table with fewer rows is read as a whole, whatever its indexes.
FEW_ROWS = 10_000
_Form: TypeAlias = tuple[str, tuple[Any, ...]]


@dataclass
class SharedPlan:
    """A plan with the labels of the shapes that have it; its conditions are those of the first of them."""

    plan: Plan
    generic: bool = False  # whether it is the generic plan too
    shapes: list[str] = field(default_factory=list[str])
    costs: list[float] = field(default_factory=list[float])

    @property
    def root(self) -> Node:
        """The node at the top."""
        return self.plan.root

    @property
    def indexes(self) -> list[str]:
        """The indexes that it reads, in the order in which they stand in it."""
        names = dict.fromkeys(node.index for node in self.plan.nodes() if node.index)
        return [*names, *sorted(self.plan.indexes - names.keys())]

    @property
    def scanned(self) -> list[str]:
        """The tables that it reads as a whole."""
        return sorted(self.plan.scanned)

    @property
    def cost(self) -> str:
        """What the shapes look like to cost."""
        low, high = f"{min(self.costs):,.0f}", f"{max(self.costs):,.0f}"
        return f"cost {low}" if low == high else f"cost {low} to {high}"


@dataclass(frozen=True)
class Planned:
    """The plans of a statement, how many shapes they are of, and why others could not be planned."""

    plans: list[SharedPlan]
    shapes: int
    refused: list[str]


def plans_of(connection: psycopg.Connection[Any], file: QueryFile) -> Planned:
    """Plan every shape of a statement, and the generic plan where it may freeze in that; nothing is run."""
    found: dict[_Form, SharedPlan] = {}
    refused: dict[str, None] = {}
    every = shapes(file)
    asked = [(shape, False) for shape in every]
    if every and file.query.plan != "custom":
        asked.append((every[0], True))  # whatever its values
    for shape, generic in asked:
        try:
            plan = explain(connection, file.query, shape.values, generic=generic)
        except psycopg.Error as error:
            refused[error.diag.message_primary or str(error)] = None
            continue
        shared = found.setdefault(_form(plan.root), SharedPlan(plan))
        shared.costs.append(plan.cost)
        if generic:
            shared.generic = True
        else:
            shared.shapes.append(shape.label)
    return Planned(list(found.values()), len(every), list(refused))


def _form(node: Node) -> _Form:
    """Return the nodes of a plan without their conditions; which subplan is which is no part of it."""
    return re.sub(r"(InitPlan|SubPlan) \d+", r"\1", node.title), tuple(map(_form, node.children))
