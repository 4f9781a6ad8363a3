"""What the plans of query files are held to: every shape of every file, on a server as it is or without its escapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import psycopg

from conversation_store.dba.files import QueryFile
from conversation_store.dba.findings import Finding
from conversation_store.dba.plans import Plan, explain
from conversation_store.dba.shapes import Examples, Shape, shapes

# A table with fewer rows is scanned faster than any index is read.
_LARGE = 4_000
# Of jit_above_cost: the estimate of a plan that doubles would be compiled, which takes longer than most statements run.
_NEAR = 0.5
_JIT_ABOVE_COST = 100_000.0  # the default, where the server has it off


class Planned(NamedTuple):
    """A shape of a file with its plans: for its values, and the generic one where the file may freeze in it."""

    file: QueryFile
    shape: Shape
    custom: Plan
    generic: Plan | None

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Both plans, or the one."""
        return (self.custom,) if self.generic is None else (self.custom, self.generic)


@dataclass
class Coverage:
    """How much was planned, and how near the dearest plan comes to being compiled."""

    jit_above_cost: float
    files: int = 0
    copies: int = 0  # which have no plan
    shapes: int = 0
    plans: int = 0
    cost: float = 0.0
    dearest: str = ""

    def add(self, planned: Planned) -> None:
        """Count a shape."""
        self.shapes += 1
        self.plans += len(planned.plans)
        cost = max(plan.cost for plan in planned.plans)
        if cost > self.cost:
            self.cost, self.dearest = cost, f"{planned.file.path}, {planned.shape.label}"

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.shapes} shapes, {self.plans} plans;"
            f" {self.copies} more files are a COPY, which has none\n"
            f"the dearest plan looks like {self.cost:,.0f}, {self.cost / self.jit_above_cost:.0%} of the"
            f" {self.jit_above_cost:,.0f} from which one is compiled: {self.dearest}"
        )


@dataclass
class _Report:
    """Findings, one for each file and subject, with the first shape that shows it."""

    found: dict[tuple[str, str, str], tuple[Finding, int]] = field(
        default_factory=dict[tuple[str, str, str], tuple[Finding, int]]
    )

    def add(self, file: QueryFile, rule: str, subject: str, message: str, advice: str) -> None:
        key = file.name, rule, subject
        finding, count = self.found.get(key, (Finding(rule, file.path, message, advice), 0))
        self.found[key] = finding, count + 1

    def findings(self) -> list[Finding]:
        return [
            replace(finding, message=f"{finding.message}; so have {count - 1} other shapes") if count > 1 else finding
            for finding, count in self.found.values()
        ]


def check_plans(
    connection: psycopg.Connection[Any],
    files: Sequence[QueryFile],
    examples: Examples | None = None,
    *,
    forced: bool = False,
) -> CheckedPlans:
    """Plan every shape of the files, run none of them, and return what is wrong and how much was planned.

    On a server as it is: no large table is read as a whole, no plan is nearly compiled, and a statement that may
    freeze in its generic plan reads its tables as for any values. *forced*, where the server neither scans nor sorts
    if it can do otherwise: what is scanned or sorted all the same has no index, however many rows there are.
    """
    report = _Report()
    with connection.transaction(force_rollback=True):
        # Who waits behind us for a table waits for as long as we do.
        connection.execute("SET LOCAL lock_timeout = '2s'")
        coverage = Coverage(_jit_above_cost(connection))
        rows, indexes = _tables(connection), _indexes(connection)
        if forced:
            connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for file in files:
            for name in {name for group in file.indexes or () for name in group} - indexes:
                advice = "name the index that serves the statement, or create this one"
                report.add(file, "index", name, f"there is no index {name}", advice)
            coverage.copies += file.is_copy
            coverage.files += not file.is_copy
            for planned in _planned(connection, file, examples, report):
                coverage.add(planned)
                _check_scans(planned, report, None if forced else rows)
                if forced:
                    _check_sorts(planned, report)
                else:
                    _check_cost(planned, report, coverage.jit_above_cost)
                    _check_generic(planned, report, rows)
    return CheckedPlans(report.findings(), coverage)


class CheckedPlans(NamedTuple):
    """What is wrong with plans, and how much was planned."""

    findings: list[Finding]
    coverage: Coverage


def check_both(connection: psycopg.Connection[Any], files: Sequence[QueryFile]) -> CheckedPlans:
    """Check plans on the server as it is, and where it neither scans nor sorts if it can do otherwise."""
    forced, _ = check_plans(connection, files, forced=True)
    found, coverage = check_plans(connection, files)
    return CheckedPlans(list(dict.fromkeys(found + forced)), coverage)


def plan_shapes(
    connection: psycopg.Connection[Any], file: QueryFile, examples: Examples | None = None
) -> Iterator[Planned]:
    """Yield every shape of a file with its plans; raises what the server says of one that it cannot plan."""
    for shape in shapes(file, examples):
        custom = explain(connection, file.query, shape.values)
        generic = None if file.query.plan == "custom" else explain(connection, file.query, shape.values, generic=True)
        yield Planned(file, shape, custom, generic)


def _planned(
    connection: psycopg.Connection[Any], file: QueryFile, examples: Examples | None, report: _Report
) -> Iterator[Planned]:
    try:
        yield from plan_shapes(connection, file, examples)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        words = error.diag.message_primary or str(error)
        report.add(file, "plan", "", f"cannot be planned: {words}", "correct the statement, or migrate the database")


def _check_scans(planned: Planned, report: _Report, rows: Mapping[str, float] | None) -> None:
    """Find tables that are read as a whole: any, or those that have many rows."""
    for table in sorted(frozenset[str]().union(*(plan.scanned for plan in planned.plans))):
        schema, _, name = table.rpartition(".")
        if name in planned.file.scans.tables or schema in ("pg_catalog", "information_schema"):
            continue
        if rows is not None and not _is_large(table, rows):
            continue
        what = "though it was to use an index" if rows is None else f"which has {rows[table]:,.0f} rows"
        report.add(
            planned.file,
            "scan",
            table,
            f"reads {table} as a whole, {what}: {planned.shape.label}",
            f"create an index that begins with what is asked for, or say in the header '-- scans: {name}, since …'",
        )


def _check_sorts(planned: Planned, report: _Report) -> None:
    """Find what sorts, where the header does not say so."""
    if "sorts" in planned.file.directives:
        return
    for sort in (sort for plan in planned.plans for sort in plan.sorts):
        keys = ", ".join(sort.raw["Sort Key"])
        report.add(
            planned.file,
            "sort",
            "",
            f"sorts by {keys}, which no index has in order: {planned.shape.label}",
            "create an index in this order, or say in the header '-- sorts: what, and why'",
        )


def _check_cost(planned: Planned, report: _Report, jit_above_cost: float) -> None:
    """Find plans that look nearly so dear that the server compiles them."""
    for plan in planned.plans:
        if plan.cost > jit_above_cost * _NEAR:
            report.add(
                planned.file,
                "jit",
                "",
                f"looks like {plan.cost:,.0f}, {plan.cost / jit_above_cost:.0%} of jit_above_cost:"
                f" {planned.shape.label}",
                "lower what the planner expects, or switch jit off for the role: compiling takes longer than it saves",
            )


def _check_generic(planned: Planned, report: _Report, rows: Mapping[str, float]) -> None:
    """Find large tables that the generic plan reads in another way than the one for actual values.

    One that the values have spared is read in no way. Indexes that the header joins by "or" are one.
    """
    if planned.generic is None:
        return
    groups = [frozenset(group) for group in planned.file.indexes or ()]
    custom, generic = planned.custom.reads, planned.generic.reads
    for read in sorted(custom.keys() & generic.keys()):
        table, alias = read
        ways = custom[read], generic[read]
        if ways[0] == ways[1] or any(ways[0] | ways[1] <= group for group in groups) or not _is_large(table, rows):
            continue
        for_values, frozen = (" and ".join(sorted(way)) for way in ways)
        report.add(
            planned.file,
            "generic",
            table,
            f"reads {table} {alias} by {frozen} in its generic plan, by {for_values} for its values:"
            f" {planned.shape.label}",
            "add the guard force_custom_plan and '-- plan: custom', or join the indexes by 'or' in '-- index:'",
        )


def _is_large(table: str, rows: Mapping[str, float]) -> bool:
    return rows.get(table, 0) >= _LARGE and not table.startswith(("pg_catalog.", "information_schema."))


def _jit_above_cost(connection: psycopg.Connection[Any]) -> float:
    row = connection.execute("SELECT current_setting('jit_above_cost')::float8").fetchone()
    cost = float(row[0]) if row else -1.0
    return cost if cost > 0 else _JIT_ABOVE_COST


def _tables(connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Return about how many rows each table has."""
    found = connection.execute(
        "SELECT format('%s.%s', n.nspname, c.relname), c.reltuples FROM pg_catalog.pg_class AS c"
        " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm')"
    )
    return {name: float(rows) for name, rows in found}


def _indexes(connection: psycopg.Connection[Any]) -> frozenset[str]:
    found = connection.execute("SELECT c.relname FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('i', 'I')")
    return frozenset(name for (name,) in found)
