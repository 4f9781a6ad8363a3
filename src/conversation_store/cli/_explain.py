"""The command `explain`."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.markup import escape

from conversation_store.cli._shared import database_errors, database_option
from conversation_store.dba.explained import find, parsed, plan_within, values_of
from conversation_store.dba.files import QueryFile
from conversation_store.dba.plans import Plan
from conversation_store.dba.reading import connected


@click.command()
@click.argument("file")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="The value of a parameter, as text.")
@click.option("--null", "nulls", metavar="NAME", multiple=True, help="A parameter that is NULL.")
@click.option("--analyze", is_flag=True, help="Run the statement, and roll it back.")
@click.option("--generic", is_flag=True, help="The plan that a prepared statement may freeze in.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, max=86400, min_open=True),
    default=30,
    show_default=True,
    help="How long the statement may take. For a lock it waits for 2 seconds at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what the server says as JSON.")
@database_option()
def explain(
    database: str,
    file: str,
    settings: tuple[str, ...],
    nulls: tuple[str, ...],
    analyze: bool,
    generic: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Show the plan of a query file.

    FILE is conversation/get_list, conversation.get_list, or the path of a service's file. Values are bound as the store
    binds them: a list is written '{a,b}'. A filter without a value is NULL. Nothing is changed: what --analyze runs is
    rolled back, but for what no rollback reaches, such as the numbers of a sequence, or a lock that is the session's.
    """
    with database_errors(database):
        found = find(file)
        # A generic plan that is not run needs no values.
        values = values_of(found, parsed(settings, nulls), all_needed=analyze or not generic)
        with connected(database) as connection:
            plan = plan_within(connection, found, values, generic=generic, analyze=analyze, seconds=seconds)
    if as_json:
        click.echo(json.dumps(_described(found, plan, analyze), ensure_ascii=False, indent=2))
        return
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(f"[bold]{escape(found.path)}[/]  {escape(found.purpose)}")
    console.print(f"{'the generic plan' if generic else 'the plan for these values'}{_times(plan)}")
    console.print(plan.tree())
    console.print(f"indexes: {', '.join(sorted(plan.indexes)) or 'none'}")
    if plan.scanned:
        console.print(f"read as a whole: {', '.join(sorted(plan.scanned))}")
    if analyze:
        console.print("it was run, and rolled back")


def _times(plan: Plan) -> str:
    """Return what EXPLAIN says of times, where the statement was run."""
    words = ("Planning Time", "planned in"), ("Execution Time", "run in")
    return "".join(f", {text} {plan.raw[name]:.3f} ms" for name, text in words if name in plan.raw)


def _described(file: QueryFile, plan: Plan, analyze: bool) -> dict[str, object]:
    return {
        "file": file.name,
        "path": file.path,
        "generic": plan.generic,
        "analyzed": analyze,
        "cost": plan.cost,
        "indexes": sorted(plan.indexes),
        "scanned": sorted(plan.scanned),
        "sorts": [sort.raw["Sort Key"] for sort in plan.sorts],
        "explain": plan.raw,
    }
