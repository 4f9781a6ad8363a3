"""The rules of `lint`: what each finds, what it leaves alone, and what a header accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conversation_store._sql_loader import load_all
from conversation_store.dba.files import read
from conversation_store.dba.findings import Finding
from conversation_store.dba.lint import RULES, Schema, lint, lint_file
from support.server import Server

SCHEMA = Schema()

OF_TENANT = "c.tenant_id = :tenant_id::text"
# Statements with T for a table with a tenant: what a rule finds in a list, and what it has nothing to say to.
FAULTY: dict[str, list[str]] = {
    "L00": [
        "TRUNCATE T",
        "SELECT FROM FROM",
        "SELECT c.id FROM T AS c WHERE c.tenant_id == :tenant_id::text ORDER BY c.id LIMIT 1",
        "DELETE FROMAS t WHERE t.id = :id::text",
        "DO $$ BEGIN NULL; END $$",
        "CREATE TABLE a.b (c text)",
    ],
    "L01": [
        "SELECT * FROM T AS c ORDER BY c.id LIMIT 1",
        "SELECT c.* FROM T AS c ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE EXISTS (SELECT * FROM T AS d) ORDER BY c.id LIMIT 1",
        "DELETE FROM T AS c WHERE c.id = :id::text RETURNING *",
        "SELECT (x.y).*, count(*) AS n FROM unnest(:a::text[]) AS x (y) ORDER BY 1",
    ],
    "L02": [
        "SELECT :a AS a",
        "SELECT c.id FROM T AS c WHERE c.id > :a ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.name = lower(:a)::text ORDER BY c.id LIMIT 1",
        "SELECT (:a)::text AS a",
        "SELECT c.id FROM T AS c ORDER BY c.id LIMIT :limit",
    ],
    "L03": [
        "SELECT c.id FROM T AS c ORDER BY :a::text, c.id LIMIT 1",
        "SELECT c.id FROM T AS c ORDER BY CASE WHEN :a::text = 'b' THEN :c::text END, c.id LIMIT 1",
        "SELECT c.id, row_number() OVER (ORDER BY :a::text) AS n FROM T AS c ORDER BY c.id LIMIT 1",
    ],
    "L04": ["SELECT c.id FROM T AS c LIMIT 1", "SELECT c.id FROM T AS c UNION ALL SELECT d.id FROM T AS d LIMIT 2"],
    "L05": [
        "SELECT c.id FROM T AS c ORDER BY c.id",
        "SELECT c.id FROM T AS c ORDER BY c.id LIMIT ALL",
        "SELECT c.id FROM T AS c ORDER BY c.id LIMIT NULL",
        "SELECT c.id FROM T AS c ORDER BY c.id LIMIT (NULL::bigint)",
        "SELECT c.id FROM T AS c WHERE c.name = ANY(:names::text[]) ORDER BY c.id",
        "SELECT c.id FROM T AS c WHERE c.id = ANY(ARRAY(SELECT d.id FROM T AS d)) ORDER BY c.id",
        "SELECT c.id FROM unnest(:ids::text[]) AS u (id) INNER JOIN T AS c ON u.id < c.id ORDER BY c.id",
        "SELECT c.id FROM T AS c WHERE c.tenant_id = :tenant_id::text UNION SELECT 'a' ORDER BY 1",
    ],
    "L06": [
        "SELECT c.id FROM T AS c ORDER BY c.create_date LIMIT 1",
        "SELECT c.id FROM T AS c ORDER BY c.create_date, c.id LIMIT 1",  # ids are unique within a tenant
        "SELECT c.id FROM T AS c WHERE c.tenant_id >= :tenant_id::text ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.tenant_id = :tenant_id::text ORDER BY c.id || '' LIMIT 1",
        "SELECT c.id FROM T AS c CROSS JOIN T AS d WHERE c.tenant_id = :tenant_id::text ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c LEFT JOIN T AS d ON c.id = d.id AND d.tenant_id = :tenant_id::text ORDER BY d.id LIMIT 1",
        "SELECT c.name, count(*) AS n FROM T AS c GROUP BY c.name ORDER BY n LIMIT 1",
        "SELECT f.id FROM (SELECT c.id FROM T AS c WHERE c.tenant_id = :tenant_id::text ORDER BY c.name LIMIT 5) AS f ORDER BY f.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.tenant_id = :tenant_id::text UNION ALL SELECT 'a' ORDER BY 1 LIMIT 1",
        # Two rows may have no beta.
        "SELECT t.id FROM conversation_store.api_token AS t ORDER BY t.beta LIMIT 1",
        "SELECT b.beta FROM (SELECT t.beta FROM conversation_store.api_token AS t) AS b ORDER BY b.beta LIMIT 1",
        "SELECT DISTINCT ON (c.name) c.name, c.id FROM T AS c ORDER BY c.id LIMIT 1",
        "SELECT c.name, c.id, count(*) AS n FROM T AS c GROUP BY ROLLUP (c.name), c.id ORDER BY c.name, c.id LIMIT 1",
        "WITH i AS (INSERT INTO T (id, tenant_id) VALUES ('a', :tenant_id::text) RETURNING name) SELECT i.name FROM i ORDER BY i.name LIMIT 1",
        "SELECT unnest(:a::text[]) AS a ORDER BY a LIMIT 1",
        "SELECT x.a FROM (VALUES (1), (1)) AS x (a) ORDER BY x.a LIMIT 1",
    ],
    "L07": [
        "SELECT c.id FROM dialog AS c ORDER BY c.id LIMIT 1",
        "INSERT INTO dialog (id) VALUES (:a::text)",
        "COPY dialog (id) FROM STDIN",
    ],
    "L08": [
        "SELECT c.id FROM T AS c WHERE c.id IN (:a::text) ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.id NOT IN ('x', :a::text, :b::text) ORDER BY c.id LIMIT 1",
    ],
    "L09": [
        "SELECT c.id FROM T AS c WHERE lower(c.id) = :a::text ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.id || '' = :a::text ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.id::bigint = :a::bigint ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE NOT (c.name = 'x' OR :a::text = lower(c.id)) ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM U AS c WHERE date_trunc('day', c.create_date) = :a::timestamptz ORDER BY c.id LIMIT 1",
        "SELECT c.id FROM U AS c WHERE c.create_date::date BETWEEN :a::date AND :b::date ORDER BY c.id LIMIT 1",
        "UPDATE T AS c SET name = '' WHERE coalesce(c.id, '') = :a::text",
        "SELECT c.id FROM T AS c INNER JOIN T AS d ON lower(c.id) = d.name ORDER BY c.id LIMIT 1",
    ],
    "L10": [
        "SELECT row_to_json(c) AS c FROM T AS c ORDER BY c.id LIMIT 1",
        "SELECT c::text AS c FROM T AS c ORDER BY c.id LIMIT 1",
        "SELECT c FROM T AS c ORDER BY c.id LIMIT 1",
        "UPDATE T AS c SET name = (SELECT p.name FROM jsonb_populate_record(c, :a::jsonb) AS p)",
        "SELECT (SELECT count(c) FROM T AS d) AS n FROM T AS c ORDER BY c.id LIMIT 1",
        "SELECT dialog FROM T ORDER BY id LIMIT 1",
    ],
    "L11": [
        "SELECT c.id FROM T AS c INNER JOIN T AS d ON c.id = d.id ORDER BY c.id LIMIT 1 FOR UPDATE OF c",
        "WITH l AS (SELECT c.id FROM T AS c, U AS d FOR SHARE) SELECT l.id FROM l ORDER BY l.id LIMIT 1",
        "SELECT c.id FROM (SELECT d.id FROM T AS d) AS c ORDER BY c.id LIMIT 1 FOR UPDATE",
    ],
    "L12": [
        "SELECT c.id FROM T AS c ORDER BY c.id LIMIT 1",
        # The rows of one side of an outer join stay, whatever its ON says.
        f"SELECT d.id FROM T AS c LEFT JOIN T AS d ON c.id = d.id AND {OF_TENANT} WHERE d.tenant_id = :tenant_id::text ORDER BY d.id LIMIT 1",
        f"SELECT d.id FROM T AS d RIGHT JOIN T AS c ON c.id = d.id AND {OF_TENANT} WHERE d.tenant_id = :tenant_id::text ORDER BY d.id LIMIT 1",
        f"SELECT d.id FROM T AS d FULL JOIN T AS c ON c.id = d.id AND {OF_TENANT} WHERE d.tenant_id = :tenant_id::text ORDER BY d.id LIMIT 1",
        "SELECT c.id FROM T AS c WHERE c.c.tenant_id = :tenant_id::text ORDER BY c.id LIMIT 1",
    ],
    "L13": [
        "SELECT c.id FROM conversation_store.other AS c ORDER BY c.id LIMIT 1",
        "DELETE FROM public.dialog AS d WHERE d.id = :id::text",
        "COPY public.dialog (id) FROM STDIN",
    ],
}

ACCEPTED = [
    "SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.oid = :oid::oid ORDER BY c.oid LIMIT 1",
    f"SELECT c.id, count(*) OVER () AS n FROM T AS c WHERE {OF_TENANT} ORDER BY c.id LIMIT :limit::bigint",
    f"SELECT c.id FROM T AS c WHERE {OF_TENANT} AND c.id = CAST(:id AS text) ORDER BY c.create_date DESC, c.id DESC LIMIT 1",
    f"SELECT c.id FROM T AS c WHERE {OF_TENANT} AND c.id = ANY(:ids::text[]) ORDER BY c.id",
    f"SELECT c.id FROM T AS c WHERE {OF_TENANT} AND c.id IN ('a', 'b') AND (c.create_date, c.id) < (:d::timestamptz, :i::text) ORDER BY c.id",
    f"SELECT c.id AS x FROM T AS c WHERE {OF_TENANT} ORDER BY x LIMIT 1",
    f"SELECT c.name AS name, min(c.id) AS id FROM T AS c WHERE {OF_TENANT} GROUP BY c.name ORDER BY c.name LIMIT 1",
    f"SELECT c.id FROM T AS c LEFT JOIN T AS d ON c.id = d.id AND d.tenant_id = :tenant_id::text WHERE {OF_TENANT} ORDER BY c.id LIMIT 1",
    f"SELECT c.id FROM T AS d RIGHT JOIN T AS c ON c.id = d.id AND d.tenant_id = :tenant_id::text WHERE {OF_TENANT} ORDER BY c.id LIMIT 1",
    f"SELECT DISTINCT c.name FROM T AS c WHERE {OF_TENANT} ORDER BY c.name LIMIT 1",
    f"SELECT DISTINCT ON (c.name) c.name, c.id FROM T AS c WHERE {OF_TENANT} ORDER BY c.name, c.id LIMIT 1",
    "SELECT t.id FROM conversation_store.api_token AS t WHERE t.tenant_id = :tenant_id::text ORDER BY t.create_date, t.id LIMIT 1",
    "WITH i AS (INSERT INTO T (id, tenant_id) VALUES ('a', :tenant_id::text) RETURNING id, tenant_id) SELECT i.id FROM i ORDER BY i.id, i.tenant_id LIMIT 1",
    "SELECT u.x FROM unnest(:x::text[]) WITH ORDINALITY AS u (x, n) ORDER BY u.n",
    # The user of a conversation is no key, but a row of each is told by the key of the other.
    f"SELECT d.id FROM T AS d INNER JOIN U AS c ON d.id = c.dialog_id AND {OF_TENANT} WHERE d.tenant_id = :tenant_id::text ORDER BY c.id LIMIT 1",
    f"WITH l AS (SELECT c.id FROM T AS c WHERE {OF_TENANT} ORDER BY c.id FOR UPDATE) SELECT l.id FROM l ORDER BY l.id LIMIT 1",
    f"SELECT p.id FROM (SELECT c.id, row_number() OVER () AS n FROM T AS c WHERE {OF_TENANT}) AS p ORDER BY p.n LIMIT 1",
    # Of a subquery the columns are written out.
    f"SELECT row_to_json(l)::text AS line FROM (SELECT c.id FROM T AS c WHERE {OF_TENANT}) AS l ORDER BY l.id LIMIT 1",
    f"UPDATE U AS c SET name = lower(c.name) WHERE {OF_TENANT} AND coalesce(c.source, '') = :source::text RETURNING c.id",
    # The index of the search is on this.
    f"SELECT c.id FROM U AS c WHERE {OF_TENANT} AND conversation_store.search_keys(c.tenant_id, c.dialog_id, c.id || E'\\n' || coalesce(c.name, ''))"
    " = :keys::bigint[] ORDER BY c.id LIMIT 1",
    # It folds away before the index is looked for.
    f"SELECT c.id FROM U AS c WHERE {OF_TENANT} AND CASE WHEN :f::text = 'a' THEN c.update_date ELSE c.create_date END < :d::timestamptz ORDER BY c.id LIMIT 1",
    "COPY T (id, tenant_id) FROM STDIN",
]


def found(statement: str, *header: str, returns: str = "many") -> list[Finding]:
    """Return what the rules find in a statement."""
    body = statement.replace(" T ", " conversation_store.dialog ").replace(" U ", " conversation_store.conversation ")
    lines = ["/* thing.get */", "-- Get a thing.", f"-- returns: {returns}", *header, f"{body};", ""]
    return lint_file(read("\n".join(lines).encode(), "thing/get.sql", "thing.get"), SCHEMA)


@pytest.mark.parametrize(("code", "statement"), [(code, each) for code, all_ in FAULTY.items() for each in all_])
def test_a_rule_finds_what_it_is_for(code: str, statement: str) -> None:
    assert code in {finding.rule[:3] for finding in found(statement)}


@pytest.mark.parametrize("statement", ACCEPTED)
def test_what_keeps_to_the_rules_is_left_alone(statement: str) -> None:
    assert found(statement) == []


def test_there_are_cases_of_every_rule_but_that_of_the_header() -> None:
    assert RULES.keys() - FAULTY.keys() == {"L14"}


def test_a_finding_says_where_it_is() -> None:
    (finding,) = found(
        f"SELECT c.id\nFROM T AS c\nWHERE {OF_TENANT}\n    AND c.name <> 'größer' AND c.id > :b\nORDER BY c.id\nLIMIT 1"
    )
    assert (finding.rule, finding.line, finding.column) == ("L02 uncast-parameter", 7, 39)
    assert finding.excerpt[finding.column - 1 :] == ":b"


@pytest.mark.parametrize(
    ("statement", "at"),
    [
        ("SELECT\n    c.name,\n    *\nFROM T AS c ORDER BY c.id LIMIT 1", "*"),
        ("SELECT c.id FROM T AS c ORDER BY\n    c.name LIMIT 1", "c.name"),
        ("SELECT c.id FROM\n dialog AS c ORDER BY c.id LIMIT 1", "dialog"),
        ("SELECT c.id FROM T AS c WHERE c.id IN (\n  :a::text) ORDER BY c.id LIMIT 1", ":a"),
        ("SELECT c.id FROM T AS c FROM", "FROM"),
    ],
)
def test_the_place_is_that_of_the_words(statement: str, at: str) -> None:
    assert any(finding.excerpt[finding.column - 1 :].startswith(at) for finding in found(statement))


def test_what_the_header_accepts_is_no_finding() -> None:
    faulty = f"SELECT c.id FROM T AS c WHERE {OF_TENANT} ORDER BY c.name"
    assert [finding.rule[:3] for finding in found(faulty)] == ["L05", "L06"]
    assert [finding.rule[:3] for finding in found(faulty, "-- lint: L05, since there are few")] == ["L06"]
    assert found(faulty, "-- lint: L05, since there are few", "-- lint: L06, since nobody cares") == []
    assert found("SELECT c.id FROM T AS c ORDER BY c.tenant_id, c.id LIMIT 1", "-- tenants: all, since it counts") == []


@pytest.mark.parametrize(
    "line",
    ["-- lint: L01, since it is wanted", "-- lint: L99, since it is wanted", "-- tenants: all, since it is wanted"],
)
def test_an_exception_that_accepts_nothing_is_a_finding(line: str) -> None:
    statement = f"SELECT c.id FROM T AS c WHERE {OF_TENANT} ORDER BY c.id LIMIT 1"
    (finding,) = found(statement, line)
    assert (finding.rule[:3], finding.line) == ("L14", 4)
    assert line.startswith(finding.message.partition(", …")[0])


def test_nothing_is_found_in_the_files_of_the_store() -> None:
    report = lint()
    assert report.findings == []
    assert report.files == len([name for name in load_all() if not name.startswith("ragflow_mysql.")])


def test_a_file_that_cannot_be_loaded_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "no_header.sql").write_text("SELECT 1;\n")
    (folder / "two.sql").write_text("/* thing.two */\n-- Two.\n-- returns: one\nSELECT 1 AS a;\nSELECT 2 AS b;\n")
    report = lint(tmp_path)
    assert [(f.rule[:3], Path(f.path).name, f.line) for f in report.findings] == [
        ("L00", "no_header.sql", 1),
        ("L00", "two.sql", 5),
    ]


# -- a folder of a service -------------------------------------------------------------------------

ORDERS = """/* orders.get_list */
-- Return one page of a shop's orders.
--
-- Newest first.
-- returns: many

SELECT
    o.id,
    o.total
FROM shop.orders AS o
WHERE o.shop_id = :shop_id::bigint
    AND {condition}
ORDER BY
    o.made DESC,
    o.id DESC
LIMIT :limit::bigint;
"""
TABLES = """-- migrate:up
CREATE TABLE shop.orders (id bigint, shop_id bigint NOT NULL, made date, email text, total int);
ALTER TABLE ONLY shop.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (shop_id, id);
CREATE INDEX orders_made_idx ON shop.orders USING btree (shop_id, made DESC);
CREATE INDEX orders_email_idx ON shop.orders (lower(email), total);
-- migrate:down
DROP TABLE shop.orders;
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "tables.sql").write_text("\\restrict x\nSELECT 1;\n" + TABLES)
    (tmp_path / "orders" / "get_list.sql").write_text(ORDERS.format(condition="lower(o.email) = :email::text"))
    return tmp_path


def test_what_an_order_lacks_is_named() -> None:
    (finding,) = found(f"SELECT c.id FROM T AS c WHERE {OF_TENANT} ORDER BY c.create_date DESC LIMIT 1")
    assert finding.message == "rows may be equal in this order, which c.id would tell apart"


def codes(folder: Path, *schemas: Path, tenant: str = "shop_id") -> list[str]:
    return [finding.rule[:3] for finding in lint(folder / "orders", schemas=schemas, tenant=tenant).findings]


def test_the_tables_of_a_service_are_read_from_its_schema_files(shop: Path) -> None:
    assert codes(shop) == ["L13"]
    assert codes(shop, shop / "tables.sql") == []


def test_the_tenant_is_the_column_that_the_service_names(shop: Path) -> None:
    file = shop / "orders" / "get_list.sql"
    file.write_text(file.read_text().replace("o.shop_id = :shop_id::bigint", "o.total = 1"))
    assert codes(shop, shop / "tables.sql") == ["L12", "L06"]
    assert codes(shop, shop / "tables.sql", tenant="tenant_id") == ["L06"]


def test_the_indexes_of_a_service_are_read_from_its_schema_files(shop: Path) -> None:
    file = shop / "orders" / "get_list.sql"
    file.write_text(ORDERS.format(condition="abs(o.total) = :total::int AND date_trunc('day', o.made) = :day::date"))
    assert codes(shop, shop / "tables.sql") == ["L09", "L09"]
    (shop / "later.sql").write_text(
        "DROP INDEX shop.orders_email_idx; ALTER TABLE shop.orders DROP CONSTRAINT orders_pkey;"
    )
    assert codes(shop, shop / "tables.sql", shop / "later.sql") == ["L09", "L06"]


def test_a_view_has_the_columns_of_its_query(shop: Path) -> None:
    (shop / "view.sql").write_text(
        "CREATE VIEW shop.open AS SELECT o.id, o.shop_id, o.made, o.email FROM shop.orders AS o;"
    )
    file = shop / "orders" / "get_list.sql"
    file.write_text(file.read_text().replace("    o.total\n", "    o.email\n").replace("shop.orders", "shop.open"))
    # A view has no key, and its rows belong to tenants as those of its table.
    assert codes(shop, shop / "tables.sql", shop / "view.sql") == ["L06"]
    file.write_text(file.read_text().replace("o.shop_id = :shop_id::bigint", "TRUE"))
    assert codes(shop, shop / "tables.sql", shop / "view.sql") == ["L12", "L06"]


def test_a_dump_says_the_same_of_a_schema_as_its_migrations(server: Server, database: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump.sql"
    program = Path(server.bindir) / "pg_dump"
    subprocess.run([program, "--schema-only", "--file", dump, database], check=True)
    read = Schema()
    read.tables.clear()
    read.add(dump)
    own = {key: table for key, table in read.tables.items() if not key[1].startswith("schema_")}
    assert own.keys() == SCHEMA.tables.keys()
    for key, table in SCHEMA.tables.items():
        assert own[key].keys == table.keys
        assert own[key].indexed == table.indexed
        assert own[key].required == table.required
        assert own[key].columns.keys() == table.columns.keys()


def test_what_is_renamed_or_a_partition_or_kept_as_rows_is_known_by_its_name(shop: Path) -> None:
    later = shop / "later.sql"
    later.write_text("ALTER TABLE shop.orders RENAME TO sales;")
    assert codes(shop, shop / "tables.sql", later) == ["L13"]
    file = shop / "orders" / "get_list.sql"
    file.write_text(file.read_text().replace("FROM shop.orders", "FROM shop.sales"))
    assert codes(shop, shop / "tables.sql", later) == []
    for change in (
        "CREATE TABLE shop.sales PARTITION OF shop.orders FOR VALUES IN (1);",
        "CREATE MATERIALIZED VIEW shop.sales AS SELECT o.id, o.shop_id FROM shop.orders AS o;",
    ):
        later.write_text(change)
        assert "L13" not in codes(shop, shop / "tables.sql", later)
    for column in ("COLUMN id", "id"):
        later.write_text(f"ALTER TABLE shop.orders RENAME {column} TO number; ALTER TABLE shop.orders RENAME TO sales;")
        assert codes(shop, shop / "tables.sql", later) == ["L06"]  # of the key that was
    file.write_text(file.read_text().replace("o.id", "o.number"))
    assert codes(shop, shop / "tables.sql", later) == []


@pytest.mark.parametrize(
    "value",
    [
        "(" * 20_000 + "1" + ")" * 20_000,
        "1 FROM conversation_store.dialog AS d WHERE d.id = 'a'" + " AND TRUE" * 20_000,
    ],
    ids=["parentheses", "conditions"],
)
def test_a_statement_that_is_nested_too_deeply_leaves_the_others_to_be_looked_at(tmp_path: Path, value: str) -> None:
    for name, body in (("a", f"SELECT {value}"), ("b", "SELECT t.id FROM shop.t AS t")):
        (tmp_path / f"{name}.sql").write_text(f"/* {tmp_path.name}.{name} */\n-- It.\n-- returns: one\n{body};\n")
    findings = lint(tmp_path).findings
    assert [(finding.rule[:3], Path(finding.path).stem) for finding in findings] == [("L00", "a"), ("L13", "b")]
    assert "nested too deeply" in findings[0].message


def test_of_several_lines_the_one_that_is_wrong_is_named(tmp_path: Path) -> None:
    header = "-- lint: L06, since ok\n-- lint: L04\n-- lint: L05, since unused"
    path = tmp_path / "a.sql"
    path.write_text(f"/* {tmp_path.name}.a */\n-- It.\n-- returns: one\n{header}\nSELECT 1 AS n;\n")
    (finding,) = lint(path).findings
    assert (finding.line, finding.message.endswith("not 'L04'")) == (5, True)
