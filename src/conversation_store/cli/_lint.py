"""The command `lint`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from conversation_store.dba.findings import Finding
    from conversation_store.dba.lint import Rule


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--schema",
    "schemas",
    metavar="PATH",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A file, or a folder of files, that creates tables beside those of the store: migrations, or what"
    " `pg_dump --schema-only` writes. May be given several times.",
)
@click.option(
    "--tenant",
    metavar="COLUMN",
    default="tenant_id",
    show_default=True,
    help="The column that says to whom a row belongs, and the parameter that says whose rows are asked for."
    " A table that has it must have it in each statement.",
)
@click.option("--rules", is_flag=True, help="List the rules and their reasons, and look at no file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lint(path: Path | None, schemas: tuple[Path, ...], tenant: str, rules: bool, as_json: bool) -> None:
    """Look at query files for what is unsafe, slow or unclear.

    PATH is a folder of query files in the form that sql/README.md describes, or one of them; without it these are the
    files of the store. A file accepts what is on purpose in its header, by a line "-- lint: L05, since …". Exits with 1
    where something is found. No database is needed.
    """
    from conversation_store.dba import lint as rules_of
    from conversation_store.dba.files import NoQueryFiles

    if rules:
        _print_rules(list(rules_of.RULES.values()), as_json)
        return
    try:
        report = rules_of.lint(path, schemas=schemas, tenant=tenant)
    except NoQueryFiles as error:
        raise click.UsageError(str(error)) from error
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        findings = [
            {**finding.to_dict(), "reason": rules_of.RULES[finding.rule[:3]].reason} for finding in report.findings
        ]
        click.echo(json.dumps({"files": report.files, "findings": findings}, ensure_ascii=False, indent=2))
    else:
        _print(report.findings, rules_of.RULES)
        files = f"{report.files} file{'s' if report.files > 1 else ''}"
        click.echo(f"{files}: {len(report.findings) or 'nothing'} found")
    raise SystemExit(1 if report.findings else 0)


def _print(findings: list[Finding], rules: Mapping[str, Rule]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        first, *others = str(finding).splitlines()
        console.print(Text(first, "bold"))
        for line in (*others, f"  why: {rules[finding.rule[:3]].reason}", ""):
            console.print(Text(line))


def _print_rules(rules: list[Rule], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([rule._asdict() for rule in rules], ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for rule in rules:
        console.print(Text.assemble((f"{rule.code} {rule.name}", "bold")))
        console.print(Text(f"  why: {rule.reason}\n  write: {rule.instead}"))
