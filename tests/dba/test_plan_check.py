"""Every shape of every file has a plan that is good on an empty server and on one with 120,000 rows."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store.dba.files import QueryFile, files, read
from conversation_store.dba.findings import Finding
from conversation_store.dba.plan_check import Coverage, check_plans, plan_shapes
from conversation_store.dba.plans import explain
from support import ragflow_layout
from support.commands import call
from support.plans import EXAMPLES, fill
from support.server import Server
from support.server import database as new_database

FILES = {file.name: file for file in files()}


@pytest.fixture(scope="module")
def filled(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database with 60,000 conversations, 60,000 messages, 3,000 dialogs and 5,000 tokens, and statistics."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        ragflow_layout.create(conninfo)
        fill(conninfo)
        yield conninfo


@pytest.fixture(scope="module")
def empty(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database without rows and statistics."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        ragflow_layout.create(conninfo)
        yield conninfo


def test_every_file_with_a_plan_has_an_index_line_and_is_planned() -> None:
    assert [file.name for file in FILES.values() if file.indexes is None] == []
    assert [file.name for file in FILES.values() if file.is_copy and file.indexes] == []


@pytest.mark.slow
def test_where_the_server_can_do_otherwise_no_file_scans_or_sorts_but_those_that_say_so(empty: str) -> None:
    with psycopg.connect(empty) as connection:
        found, coverage = check_plans(connection, list(FILES.values()), EXAMPLES, forced=True)
    assert found == [], "\n".join(map(str, found))
    assert_all_is_covered(coverage)


@pytest.mark.slow
def test_with_rows_no_large_table_is_scanned_no_plan_nearly_compiled_and_none_freezes_in_another(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        found, coverage = check_plans(connection, list(FILES.values()), EXAMPLES)
    assert found == [], "\n".join(map(str, found))
    assert_all_is_covered(coverage)
    # The dearest is an exact total of a common keyword, at a seventh.
    assert coverage.cost < 0.25 * coverage.jit_above_cost, str(coverage)


def assert_all_is_covered(coverage: Coverage) -> None:
    copies = [file for file in FILES.values() if file.is_copy]
    assert coverage.files == len(FILES) - len(copies)
    assert coverage.copies == len(copies) == 3
    assert coverage.shapes > 700
    assert f"{coverage.files} files, {coverage.shapes} shapes, {coverage.plans} plans" in str(coverage)


# -- exceptions that nothing needs any more ----------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file.scans.tables])
def test_a_table_that_a_header_allows_to_be_scanned_is_scanned(name: str, filled: str, empty: str) -> None:
    scanned: set[str] = set()
    for conninfo in (filled, empty):
        with psycopg.connect(conninfo) as connection:
            for planned in plan_shapes(connection, FILES[name], EXAMPLES):
                scanned |= {table.rpartition(".")[2] for plan in planned.plans for table in plan.scanned}
    assert set(FILES[name].scans.tables) <= scanned


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if "sorts" in file.directives])
def test_a_file_whose_header_allows_it_to_sort_does(name: str, empty: str) -> None:
    with psycopg.connect(empty) as connection:
        connection.execute("SET enable_sort = off; SET enable_seqscan = off")
        shapes = plan_shapes(connection, FILES[name], EXAMPLES)
        assert any(plan.sorts for planned in shapes for plan in planned.plans)


# -- a generic plan that reads a table in another way ------------------------------------------------


@pytest.mark.parametrize(
    "name", ["api_token.query", "conversation.get_list", "conversation.query", "conversation.search"]
)
def test_without_its_guard_a_file_is_found_to_freeze_in_a_plan_that_reads_otherwise(name: str, filled: str) -> None:
    file = FILES[name]
    guard = r"\(:\w+::\w+ IS NOT NULL OR conversation_store\.force_custom_plan\([\w.]+\)\)"
    source, count = re.subn(guard, "TRUE", file.query.source.replace("-- plan: custom\n", ""))
    assert count > 0
    with psycopg.connect(filled) as connection:
        found, _ = check_plans(connection, [read(source.encode(), file.path, name)], EXAMPLES)
    assert {finding.rule for finding in found} == {"generic"}


def test_a_guard_that_the_header_is_silent_of_is_found(filled: str) -> None:
    file = FILES["conversation.query"]
    source = file.query.source.replace("-- plan: custom\n", "")
    with psycopg.connect(filled) as connection:
        found, _ = check_plans(connection, [read(source.encode(), file.path, file.name)], EXAMPLES)
    assert "jit" in {finding.rule for finding in found}


# -- seeded faults -----------------------------------------------------------------------------------


def of(body: str, header: str = "") -> QueryFile:
    source = f"/* shop.get */\n-- Get a thing.\n-- returns: many\n{header}\n{body};\n"
    return read(source.encode(), "shop/get.sql", "shop.get")


def found_in(conninfo: str, file: QueryFile, *, forced: bool = False, first: str = "SELECT") -> list[Finding]:
    with psycopg.connect(conninfo) as connection:
        connection.execute(first.encode())
        found, _ = check_plans(connection, [file], EXAMPLES, forced=forced)
    assert all(finding.path == "shop/get.sql" and finding.advice for finding in found)
    return found


CONVERSATIONS = "SELECT c.id FROM conversation_store.conversation AS c"


@pytest.mark.parametrize("forced", [False, True])
def test_a_large_table_without_an_index_for_a_filter_is_found(filled: str, forced: bool) -> None:
    scan = f"{CONVERSATIONS} WHERE c.name = :name::text OR c.errors = :errors::text"
    (finding,) = found_in(filled, of(scan), forced=forced)
    assert finding.rule == "scan"
    assert finding.message.startswith("reads conversation_store.conversation as a whole, ")
    assert forced or "which has 60,000 rows" in finding.message
    assert "'-- scans: conversation, since …'" in finding.advice
    assert found_in(filled, of(scan, "-- scans: conversation, since it is small\n"), forced=forced) == []


def test_one_shape_of_many_that_scans_is_named(filled: str) -> None:
    scan = f"{CONVERSATIONS} WHERE :id::text IS NULL AND c.name = 'x' OR c.id = :id::text"
    # A statement of one table and no guard has a generic plan too.
    rules = {finding.rule: finding for finding in found_in(filled, of(scan))}
    assert "(scan)" in str(rules["scan"])
    assert rules["scan"].message.endswith("; so have 1 other shapes")


def test_an_order_that_no_index_has_is_found(empty: str) -> None:
    ordered = f"{CONVERSATIONS} WHERE c.tenant_id = :tenant_id::text ORDER BY c.name"
    (finding,) = found_in(empty, of(ordered), forced=True)
    assert (finding.rule, finding.message) == (
        "sort",
        "sorts by c.name, which no index has in order: all; so have 1 other shapes",
    )
    assert found_in(empty, of(ordered, "-- sorts: a tenant, which is small\n"), forced=True) == []


def test_a_plan_that_looks_nearly_dear_enough_to_be_compiled_is_found(filled: str) -> None:
    file = of(f"{CONVERSATIONS} WHERE c.tenant_id = 'owner' AND c.dialog_id = 'large'")
    assert found_in(filled, file) == []
    with psycopg.connect(filled) as connection:
        cost = explain(connection, file.query, {}).cost
    (finding,) = found_in(filled, file, first=f"SET jit_above_cost = {cost * 1.9}")
    assert (finding.rule, "53% of jit_above_cost" in finding.message) == ("jit", True)
    assert found_in(filled, file, first=f"SET jit_above_cost = {cost * 2.1}") == []


def test_an_index_that_is_named_and_not_there_is_found(empty: str) -> None:
    (finding,) = found_in(empty, of("SELECT 1", "-- index: shop_pkey\n"))
    assert (finding.rule, finding.message) == ("index", "there is no index shop_pkey")


def test_a_statement_that_cannot_be_planned_is_found_and_the_others_are_planned_all_the_same(empty: str) -> None:
    with psycopg.connect(empty) as connection:
        found, coverage = check_plans(connection, [of("SELECT * FROM nowhere"), of("SELECT 1")])
    assert [(finding.rule, finding.message) for finding in found] == [
        ("plan", 'cannot be planned: relation "nowhere" does not exist')
    ]
    assert (coverage.files, coverage.shapes) == (2, 1)


# -- the command -------------------------------------------------------------------------------------


def test_the_command_checks_the_plans_of_a_service_and_counts_what_it_planned(filled: str, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    header = "-- Get things.\n-- returns: many\n-- tenants: all, since this is a test\n"
    body = f"{CONVERSATIONS} WHERE c.errors = :name::text ORDER BY c.name;\n"
    (folder / "get.sql").write_text(f"/* shop.get */\n{header}\n{body}")
    (folder / "bad.sql").write_text(f"/* shop.bad */\n{header}\nSELECT nothing FROM nowhere;\n")
    done = call("check", tmp_path, "--plans", database=filled)
    assert done.code == 1
    assert "reads conversation_store.conversation as a whole, which has 60,000 rows" in done.stdout
    assert done.stdout.count("nowhere") < 4  # what cannot be prepared is said once
    assert "note: 2 files, 1 shapes, 2 plans;" in done.stderr
    found = json.loads(call("check", tmp_path, "--plans", "--json", database=filled).stdout)["plans"]
    assert {finding["rule"] for finding in found["findings"]} == {"scan", "sort"}
    assert (found["coverage"]["shapes"], found["coverage"]["plans"]) == (1, 2)
    (folder / "bad.sql").unlink()
    (folder / "get.sql").write_text(
        f"/* shop.get */\n{header}-- scans: conversation, since it is small\n-- sorts: few\n\n{body}"
    )
    assert call("check", tmp_path, "--plans", database=filled).code == 0
    assert json.loads(call("check", tmp_path, "--json", database=filled).stdout)["plans"] is None
