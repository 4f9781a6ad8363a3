"""Rules of query files: what makes a statement unsafe, slow or unclear, each with its reason.

The statements are parsed by sqlglot. What it cannot read is a finding, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conversation_store.dba.files import QueryFile, scan
from conversation_store.dba.findings import Finding, at, unreadable
from conversation_store.dba.lint._form import (
    functions_on_columns,
    in_parameters,
    locks_with_joins,
    orders_by_parameters,
    stars,
    uncast_parameters,
    unknown_tables,
    unqualified_tables,
    whole_rows,
)
from conversation_store.dba.lint._levels import levels
from conversation_store.dba.lint._lists import lists
from conversation_store.dba.lint._parser import Unreadable, parse, start_of
from conversation_store.dba.lint._rules import RULES, Fault, Rule, Subject
from conversation_store.dba.lint._schema import Schema
from conversation_store.dba.lint._tenants import tenants

__all__ = ["RULES", "Report", "Rule", "Schema", "Unreadable", "lint", "lint_file", "parse"]

_CHECKS: Sequence[Callable[[Subject], Iterable[Fault]]] = (
    stars,
    uncast_parameters,
    orders_by_parameters,
    lists,
    unqualified_tables,
    unknown_tables,
    in_parameters,
    functions_on_columns,
    whole_rows,
    locks_with_joins,
    tenants,
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in how many files."""

    files: int
    findings: list[Finding]


def lint(folder: Path | None = None, *, schemas: Iterable[Path] = (), tenant: str = "tenant_id") -> Report:
    """Return what the rules find in a folder of query files, or in our own.

    *schemas* are files, or folders of files, that create further tables than those of the store. A table with the
    column *tenant* belongs to tenants, and the parameter of that name says whose rows are asked for.
    """
    schema = Schema()
    for path in schemas:
        schema.add(path)
    files, errors = scan(folder)
    findings = [unreadable(error, RULES["L00"].title) for error in errors]
    for file in files:
        findings += lint_file(file, schema, tenant)
    findings.sort(key=lambda finding: (finding.path, finding.line, finding.column, finding.rule))
    return Report(len(files) + len(errors), findings)


def lint_file(file: QueryFile, schema: Schema, tenant: str = "tenant_id") -> list[Finding]:
    """Return what the rules find in one file, without what its header accepts."""
    source = file.query.source

    def found(code: str, offset: int, message: str) -> Finding:
        return at(source, offset, RULES[code].title, file.path, message, f"write {RULES[code].instead}")

    try:
        tree = parse(source)
        subject = Subject(file, tree, levels(tree), schema, tenant)
        faults = [fault for check in _CHECKS for fault in check(subject)]
    except Unreadable as error:
        return [found("L00", error.offset, f"cannot be read: {error}")]
    except RecursionError:
        return [found("L00", 0, "cannot be read: it is nested too deeply")]
    accepted = dict.fromkeys(re.findall(r"(?m)^(L\d\d), since", file.directives.get("lint", "")), "lint: {}")
    if file.query.all_tenants:
        accepted["L12"] = "tenants: all"
    findings = [
        found(fault.code, start_of(fault.node), fault.message) for fault in faults if fault.code not in accepted
    ]
    for code in accepted.keys() - {fault.code for fault in faults}:
        line = f"-- {accepted[code].format(code)}"
        name = RULES[code].name if code in RULES else "there is no such rule"
        findings.append(found("L14", source.index(f"\n{line}") + 1, f"{line}, … accepts nothing ({name})"))
    return findings
