"""Every shape of every statement has a plan that its indexes serve, and never a generic plan that does not fit."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import RawCursor, sql
from pytest_postgresql.executors import NoopExecutor

from conversation_store import ConversationStore
from conversation_store._adapters import to_text
from conversation_store._sql_loader import load_all
from conversation_store._statement import Statement
from conversation_store.dba.files import files
from conversation_store.dba.plan_check import plan_shapes
from operations import FILES, OPERATIONS, SEARCH
from shapes import FINDING, SCANNED, SHAPES, Shape
from support import ragflow_layout
from support.plans import EXAMPLES, fill, plan_of
from support.server import Server
from support.server import database as new_database
from support.statements import statement_of

QUERIES = load_all()


@pytest.fixture(scope="module")
def db(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database to these tests alone: what others store would change what the planner thinks best."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        ragflow_layout.create(conninfo)
        yield conninfo


@pytest.fixture(scope="module")
def filled(db: str) -> None:
    """Fill the database."""
    fill(db)


# -- the plans ---------------------------------------------------------------------------------------


class Explained(NamedTuple):
    """A shape with its file and its plan."""

    operation: str
    shape: Shape
    statement: Statement[Any]
    plan: str

    @property
    def file(self) -> str:
        return self.statement.query.name


@pytest.fixture(scope="module")
def plans(db: str, filled: None) -> list[Explained]:
    """Explain every shape."""
    found: list[Explained] = []
    for name, shapes in [*SHAPES.items(), *((name, [shape]) for name, shape in FINDING.items())]:
        for shape in shapes:
            statement = statement_of(shape.call, *shape.answers)
            with psycopg.connect(db) as connection:
                found.append(Explained(name, shape, statement, plan_of(connection, statement)))
    return found


def test_every_operation_has_its_shapes() -> None:
    assert set(SHAPES) == {operation.name for operation in OPERATIONS}
    assert all(SHAPES.values())


def test_the_shapes_of_an_operation_are_of_its_files(plans: list[Explained]) -> None:
    files: dict[str, set[str]] = defaultdict(set)
    for of in plans:
        if of.operation in SHAPES:
            files[of.operation].add(of.file)
    copied = {name for name, query in QUERIES.items() if b"FROM STDIN" in query.text}
    assert files == {operation.name: set(operation.files) - copied for operation in OPERATIONS}


def test_every_shape_shows_its_index_and_scans_no_large_table(plans: list[Explained]) -> None:
    for of in plans:
        assert re.search(of.shape.shows, of.plan), f"{of.operation}\n{of.plan}"
        scans = re.search("Seq Scan on (conversation|api_token|dialog)", of.plan)
        assert of.shape.scans or not scans, f"{of.operation}\n{of.plan}"


def test_a_shape_sorts_only_where_it_says_so(plans: list[Explained]) -> None:
    always = "(row_number()", "cut.ordinal", "conversation_id", "m.conversation_id"
    for of in plans:
        # What is joined to the totals is the page alone.
        found = re.findall(r"Sort Key: (.*)\n +->  (?!Nested Loop Left Join)", of.plan)
        keys = [key for key in found if not key.startswith(always)]
        assert of.shape.sorts in (None, bool(keys)), f"{of.operation}\n{of.plan}"


def test_a_keyword_that_no_index_serves_is_not_looked_for_by_index(plans: list[Explained]) -> None:
    for of in plans:
        if of.shape in SCANNED:
            assert not any(index in of.plan for index in SEARCH), of.plan


def test_a_keyword_is_put_to_the_index_of_messages_as_four_conditions(plans: list[Explained]) -> None:
    # Of one condition GIN reads all keys for each text that one of them has.
    found = [
        condition.count("@>")
        for of in plans
        for condition in re.findall(rf"Bitmap Index Scan on {SEARCH[0]} .*\n +Index Cond: (.*)", of.plan)
    ]
    assert found
    assert set(found) == {4}


def test_the_headers_name_exactly_the_indexes_that_the_plans_use(plans: list[Explained], db: str) -> None:
    used: dict[str, set[str]] = {name: set() for name in FILES}
    with psycopg.connect(db) as connection:
        rows = connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname <> 'pg_catalog'").fetchall()
        ours = {index for (index,) in rows}
        for file in files():
            for planned in plan_shapes(connection, file, EXAMPLES):
                used[file.name] |= ours & planned.custom.indexes
    shown = [(of.file, of.plan) for of in plans]
    shown += [(name, of_the_source(db, name, values)) for name, values in RAGFLOW_PAGES.items()]
    for name, plan in shown:
        used[name] |= {index for index in ours if re.search(rf"\b{index}\b", plan)}
    differences = {
        name: f"used {sorted(used[name])}, named {file.groups}"
        for name, file in FILES.items()
        if used[name] - file.indexes or not all(used[name] & set(group) for group in file.groups)
    }
    assert differences == {}, "\n".join(f"{k}: {v}" for k, v in differences.items())


@pytest.mark.parametrize(
    ("file", "group", "index"),
    [
        (name, group, index)
        for name, file in FILES.items()
        for group in file.groups
        if len(group) > 1
        for index in group
    ],
)
def test_each_of_the_alternative_indexes_serves_the_statement(
    file: str, group: tuple[str, ...], index: str, plans: list[Explained], db: str
) -> None:
    statements = [of.statement for of in plans if of.file == file]
    with psycopg.connect(db) as connection:
        for other in set(group) - {index}:
            drop = f"DROP INDEX conversation_store.{other}"
            if other.endswith("_pkey"):  # which foreign keys refer to
                table = other.removesuffix("_pkey")
                drop = f"ALTER TABLE conversation_store.{table} DROP CONSTRAINT {other} CASCADE"
            connection.execute(drop.encode())
        assert any(index in plan_of(connection, statement) for statement in statements)
        connection.rollback()


# The pages of an import, with the values of their parameters.
RAGFLOW_PAGES: Mapping[str, Sequence[Any]] = {
    "ragflow.dialogs": ["", 10],
    "ragflow.user_canvas": ["", 10],
    "ragflow.conversation_ids": ["", 10],
    "ragflow.conversation_sizes": ["{a}"],
    "ragflow.conversations": ["{a}"],
}


def of_the_source(conninfo: str, name: str, values: Sequence[Any]) -> str:
    """Return the plan of a page of an import."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        rows = RawCursor(connection).execute(b"EXPLAIN " + QUERIES[name].text, [str(v) for v in values]).fetchall()
    return "\n".join(line for (line,) in rows)


def test_an_uncounted_list_does_not_count_and_a_capped_one_stops(db: str, filled: None) -> None:
    def shown(total: Any) -> str:
        call = lambda s: s.conversations.get_list("large", "owner", orderby="name", total=total, total_limit=50)  # noqa: E731
        with psycopg.connect(db) as connection:
            # In a table this small, reading the rows is cheaper than reading a wide index.
            connection.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off")
            return plan_of(connection, statement_of(call))

    counting = r"InitPlan.*\n +->  Aggregate.*\n +->  "
    assert re.search(counting + "Index Only Scan", shown("exact"))
    assert re.search(counting + r"Limit  \(cost=\S+ rows=50 .*\n +->  Index Only Scan", shown("capped"))
    assert "InitPlan" not in shown("none")


# -- generic plans -----------------------------------------------------------------------------------


def counted_plans(connection: psycopg.Connection[Any], tag: str) -> list[tuple[int, int]]:
    return connection.execute(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE %s", [f"/* {tag} */%"]
    ).fetchall()


def test_without_the_guard_a_list_is_frozen_in_a_generic_plan_and_with_it_never(db: str, filled: None) -> None:
    statement = statement_of(
        lambda store: store.conversations.get_list("large", "owner", user_id="u7", items_per_page=1_000)
    )
    guard = re.compile(rb"\(\$\d+::text IS NOT NULL OR conversation_store\.force_custom_plan\(c\.id\)\)")
    assert guard.search(statement.query.text)
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with psycopg.connect(db, autocommit=True) as connection:
        cursor = RawCursor(connection)
        for text in (
            statement.query.text,
            guard.sub(b"TRUE", statement.query.text).replace(b"get_list */", b"trap */"),
        ):
            for _ in range(20):
                cursor.execute(text, values, prepare=True)
        assert counted_plans(connection, "conversation.get_list") == [(0, 20)]
        ((generic, custom),) = counted_plans(connection, "conversation.trap")
        assert generic > 0, "the trap is gone: is the guard still needed?"
        assert custom < 20


def test_a_statement_that_says_plan_custom_is_always_planned_for_its_values(db: str, filled: None) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for _ in range(15):
            store.conversations.get_list("large", "owner", orderby="name")
            store.conversations.get_list("d1", "owner", id="c7", keywords="number")
        for name in ("conversation.get_list", "conversation.get_list_by_keywords"):
            ((generic, custom),) = counted_plans(connection, name)
            assert (generic, custom >= 10) == (0, True)


@pytest.mark.parametrize("included", [True, False])
def test_a_point_look_up_keeps_its_generic_plan(db: str, filled: None, included: bool) -> None:
    parts: dict[str, Any] = dict.fromkeys(("include_messages", "include_reference", "include_dsl"), included)
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for _ in range(20):
            store.conversations.get_by_id("c7", tenant_id="owner", **parts)
        assert counted_plans(connection, "conversation.get_by_id") == [(10, 5)]  # psycopg prepares the sixth call


def test_a_change_of_fields_keeps_its_generic_plan(db: str, filled: None) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        for number in range(20):
            store.conversations.update_by_id("c7", {"tokens": number} if number % 2 else {"dsl": {}}, tenant_id="owner")
        assert counted_plans(connection, "conversation.update_by_id") == [(10, 5)]


DATE_ORDERS: list[tuple[Any, bool]] = list(product(("create_date", "update_date"), (True, False)))


def test_a_list_by_date_keeps_its_generic_plan_whatever_is_asked_for(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        # One dialog has everything: its average is large, and so is the price of the generic plan.
        connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', 't')")
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id)"
            " SELECT 'c' || i, 't', 'd' FROM generate_series(1, 20000) AS i"
        )
        connection.execute("VACUUM ANALYZE conversation_store.conversation")
    for dialog, included, total in product(("d", "nowhere"), (True, False), ("exact", "capped", "none")):
        parts: dict[str, Any] = dict.fromkeys(("include_messages", "include_reference", "include_dsl"), included)
        total_of: Any = total
        with psycopg.connect(database, autocommit=True) as connection:
            store = ConversationStore(connection=connection)
            for orderby, desc in DATE_ORDERS:
                cursor = None
                for number in range(1, 12):
                    store.conversations.get_list(
                        dialog, "t", number, orderby=orderby, desc=desc, total=total_of, **parts
                    )
                for _ in range(3):
                    cursor = store.conversations.list_after(
                        dialog, "t", cursor=cursor, orderby=orderby, desc=desc, **parts
                    ).next_cursor
                ((generic, custom),) = counted_plans(
                    connection, f"conversation.get_list_by_{orderby}{'' if desc else '_asc'}"
                )
                # The first five are planned for their values, to know what that costs.
                assert (generic > 0, custom) == (True, 5), (dialog, included, total)


@pytest.mark.parametrize("prepare", ["", "ANALYZE", "VACUUM ANALYZE"])
def test_the_generic_plan_of_a_list_by_date_reads_the_page_alone(database: str, prepare: str) -> None:
    # The planner takes the tenant and the dialog for independent, and expects one row of each dialog.
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id) SELECT 'd' || i, 't' || i % 100"
            " FROM generate_series(1, 2000) AS i UNION ALL VALUES ('large', 't0')"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, create_date, update_date)"
            " SELECT 'l' || i, 't0', 'large', timestamptz '2024-01-01Z' + i * interval '1 minute',"
            " timestamptz '2024-01-01Z' + i * interval '1 minute' FROM generate_series(1, 5000) AS i UNION ALL"
            " SELECT 'c' || i, 't' || i % 100, 'd' || i, now(), now() FROM generate_series(1, 2000) AS i"
        )
        connection.execute(prepare.encode() or b"SELECT")
        for orderby, desc in DATE_ORDERS:
            cursor: str | None = None
            for _ in range(2):
                plan = executed(connection, orderby, desc, cursor)
                # The rows of the page and the entries that these do not have.
                assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 500, plan
                cursor = (
                    ConversationStore(connection=connection, max_items_per_page=4_000)
                    .conversations.list_after("large", "t0", orderby=orderby, desc=desc, items_per_page=4_000)
                    .next_cursor
                )


def executed(connection: psycopg.Connection[Any], orderby: Any, desc: bool, cursor: str | None) -> dict[str, Any]:
    """Run the generic plan of a page of 29, and one row more, without a total, and return its root."""
    statement = statement_of(
        lambda store: store.conversations.list_after(
            "large", "t0", orderby=orderby, desc=desc, cursor=cursor, items_per_page=29
        )
    )
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with connection.transaction():
        connection.execute(b"SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE p ({', '.join(['unknown'] * len(values))}) AS ".encode() + statement.query.text)
        explain = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE p ({})")
        row = connection.execute(explain.format(sql.SQL(", ").join(map(sql.Literal, values)))).fetchone()
        connection.execute(b"DEALLOCATE p")
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    assert plan["Actual Rows"] == 30
    return plan


def test_a_list_by_date_counts_only_what_is_asked_for(db: str, filled: None) -> None:
    def counted(total: Any) -> list[str]:
        statement = statement_of(lambda s: s.conversations.get_list("large", "owner", total=total, total_limit=50))
        values = [to_text(value) for value in statement.query.bind(statement.params)]
        with psycopg.connect(db) as connection:
            rows = RawCursor(connection).execute(b"EXPLAIN (ANALYZE, TIMING OFF) " + statement.query.text, values)
            plan = "\n".join(line for (line,) in rows.fetchall())
        return re.findall(r"Scan .*on conversation c_\d .*\(actual rows=(\d+)", plan)

    assert [counted(total) for total in ("exact", "capped", "none")] == [["10000"], ["50"], []]


@pytest.mark.slow
def test_a_prepared_look_up_of_an_id_that_20000_tenants_have_reads_few_buffers(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id) SELECT 'd', 't' || i FROM generate_series(1, 20000) AS i"
        )
        connection.execute(
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id)"
            " SELECT 'c', 't' || i, 'd' FROM generate_series(1, 20000) AS i"
        )
        connection.execute("VACUUM ANALYZE conversation_store.conversation")
        query = QUERIES["conversation.get_by_id"]
        types_ = ", ".join(["unknown"] * len(query.parameters))
        connection.execute(f"PREPARE p ({types_}) AS ".encode() + query.text)
        values = {"id": "'c'", "tenant_id": "'t777'", "dialog_id": "NULL"}
        arguments = ", ".join(values.get(name, "true") for name in query.parameters)
        row: Any = None
        for _ in range(10):
            row = connection.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE p ({arguments})".encode()
            ).fetchone()
        plan = row[0][0]["Plan"]
        assert f"${query.parameters.index('id') + 1}" in str(plan)  # the generic plan
        assert plan["Actual Rows"] == 1
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 10
