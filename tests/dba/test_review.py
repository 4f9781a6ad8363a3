"""The page of `conversation-store review`: what is in it, and that nothing of what it shows can act in it."""

from __future__ import annotations

import html
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store.dba.files import files
from conversation_store.dba.own_contracts import FILES
from conversation_store.dba.review import review
from conversation_store.dba.shapes import shapes
from support.commands import call, run
from support.documents import CHECKOUT, read


class Page(HTMLParser):
    """The ids and links of a page, its text, and the elements that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(review_page: str) -> Page:
    return Page(review_page)


def test_every_file_is_there_as_it_stands(page: Page) -> None:
    for file in files():
        assert f"file-{file.name}" in page.ids
        assert file.query.source in page.text, file.path
        assert file.purpose in page.text


def test_every_method_and_index_is_there(page: Page, db: str) -> None:
    methods = {name for contract in FILES.values() for name in contract.methods}
    with psycopg.connect(db) as connection:
        rows = connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'conversation_store'").fetchall()
    assert len(rows) > 15
    for anchor in [*(f"method-{name}" for name in methods), *(f"index-conversation_store.{name}" for (name,) in rows)]:
        assert anchor in page.ids


def test_every_link_leads_to_a_place_in_the_page_and_no_id_is_there_twice(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} - {"data:,"} <= set(page.ids)
    assert all(link.startswith(("#", "data:,")) for link in page.links)


def test_nothing_is_loaded_and_no_attribute_is_a_script_or_a_style(page: Page, review_page: str) -> None:
    assert page.tags.isdisjoint({"img", "iframe", "object", "embed", "form", "base"})
    assert not {name for name in page.attributes if name.startswith("on")} | (page.attributes & {"src", "style"})
    assert review_page.count("<script>") == review_page.count("<style>") == 1
    assert "default-src 'none'" in review_page
    assert "unsafe" not in review_page
    assert not re.search(r"url\(|@import|https?://", review_page)


def test_the_same_input_gives_the_same_bytes(db: str) -> None:
    assert review(db, plans=False) == review(db, plans=False)


def part_of(source: str, name: str) -> str:
    """Return what the page says of a statement."""
    start = source.index(f'id="file-{name}"')
    return source[start : source.find('<details class="statement"', start)]


def test_the_columns_say_what_may_be_null(review_page: str) -> None:
    cells = re.findall(
        r'<code>(\w+)</code></th><td><code class="type">([\w ]+)</code></td><td class="muted">(.*?)<',
        part_of(review_page, "conversation.get_list"),
    )
    assert ("total", "bigint", "may be") in cells
    assert ("id", "text", "never") in cells
    assert ("create_date", "timestamp with time zone", "never") in cells


def test_the_parameters_have_types_and_values(review_page: str) -> None:
    part = Page(part_of(review_page, "conversation.get_list")).text
    assert ":orderbytextid, name, create_date" in part
    assert ":user_idtextmay be NULL" in part


def test_conditions_on_the_tenant_are_marked(review_page: str) -> None:
    for file in files():
        if not (file.query.all_tenants or file.of_ragflow or file.is_copy):
            text = file.query.source
            marked = re.findall('<span class="gs">(.*?)</span>', part_of(review_page, file.name))
            inserted = "INSERT INTO" in text and ":tenant_id::text" in text
            assert marked or inserted, file.path
            assert set(marked) <= {found for found in marked if "tenant_id" in found}


@pytest.mark.slow
def test_every_shape_has_a_plan_whose_indexes_are_named(review_page: str) -> None:
    for file in files():
        part = part_of(review_page, file.name)
        listed = re.findall(r"<li>([^<]*)</li>", part[part.rfind('<div class="plans">') :])
        if file.of_ragflow or file.is_copy:
            continue
        assert sorted(map(html.unescape, listed)) == sorted(shape.label for shape in shapes(file)), file.path
        assert part.count('<ul class="tree">') == int(re.findall(r"<h5>(\d+) plans?", part)[0])
    by_key = part_of(review_page, "conversation.get_by_id")
    assert "Index Scan using <" in by_key.replace("</b>", "")
    assert "Index Cond: " in by_key
    assert '<a href="#index-conversation_store.conversation_pkey">' in by_key
    assert "generic plan" in by_key
    assert "generic plan" not in part_of(review_page, "conversation.get_list").partition('<div class="plans">')[2]


# -- a folder of a service ---------------------------------------------------------------------------

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>\"'&amp;"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder whose names and texts would be elements, were they not escaped."""
    folder = tmp_path / "<b>'sql'&"
    table = folder / "<i>orders"
    table.mkdir(parents=True)
    (table / 'get"x.sql').write_text(
        f'/* <i>orders.get"x */\n-- Get an order {HOSTILE}.\n-- returns: many\n\n'
        f'SELECT o."<u>", :id::text AS "id", \'{HOSTILE.replace(chr(39), "")}\' AS x -- {HOSTILE}\n'
        'FROM "odd <s>" AS o\nORDER BY 1;\n'
    )
    return folder


def test_names_and_texts_of_a_service_are_escaped(folder: Path, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(
            'CREATE TABLE "odd <s>" ("<u>" text DEFAULT \'<script>\', CONSTRAINT "<k>" PRIMARY KEY ("<u>"))'
        )
        connection.execute("COMMENT ON TABLE \"odd <s>\" IS '<script>alert(1)</script>'")
    source = review(empty_database, folder)
    page = Page(source)
    assert source.count("<script>") == 1
    assert page.tags.isdisjoint({"img", "i", "s", "u", "k"})
    assert html.unescape(HOSTILE) in html.unescape(page.text)
    assert "file-%3Ci%3Eorders.get%22x" in page.ids
    assert "table-public.odd%20%3Cs%3E" in page.ids
    assert {link.removeprefix("#") for link in page.links} - {"data:,"} <= set(page.ids)


def test_a_statement_that_the_server_refuses_is_there_with_the_reason(tmp_path: Path, empty_database: str) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "get.sql").write_text(
        "/* thing.get */\n-- Get.\n-- returns: many\n\nSELECT 1 FROM nowhere;\n"
    )
    assert "relation &#34;nowhere&#34; does not exist" in review(empty_database, tmp_path)


# -- the command -------------------------------------------------------------------------------------


def test_the_command_writes_the_page(db: str, tmp_path: Path) -> None:
    done = call("review", "--no-plans", "-o", tmp_path / "review.html", database=db)
    assert (done.code, done.stdout) == (0, "")
    page = (tmp_path / "review.html").read_text("utf-8")
    assert page == review(db, plans=False)
    assert call("review", "--no-plans", "-o", "-", database=db).stdout == page


def test_a_file_that_cannot_be_written_is_named_before_the_server_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "none" / "review.html"
    done = call("review", "-o", path, database="postgresql://127.0.0.1:1/x")
    assert (done.code, done.stderr) == (1, f"Error: [Errno 2] No such file or directory: '{path}'\n")


@pytest.mark.slow
def test_a_page_for_a_pipe_is_written_into_it_and_does_not_replace_it(db: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (tmp_path / "read").open("wb") as read, subprocess.Popen(["cat", pipe], stdout=read) as reader:
        assert call("review", "--no-plans", "-o", pipe, database=db).code == 0
        reader.wait()
    assert (tmp_path / "read").read_bytes().startswith(b"<!doctype html>")
    assert pipe.is_fifo()


def test_the_command_plans_and_shows_nothing_on_a_pipe(folder: Path, empty_database: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute('CREATE TABLE "odd <s>" ("<u>" text)')
    done = run("review", folder, "-o", "-", database=empty_database)
    assert (done.code, done.stderr) == (0, "")
    assert "1 plan of 1 shape" in done.stdout


def test_a_service_names_its_methods_by_contracts(
    tmp_path: Path, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sql" / "thing").mkdir(parents=True)
    (tmp_path / "sql" / "thing" / "get.sql").write_text(
        "/* thing.get */\n-- Get.\n-- returns: many\n\nSELECT 1 AS n ORDER BY n;\n"
    )
    (tmp_path / "contracts_of_a_service.py").write_text(
        "from conversation_store.dba.contract import Contract\nALL = {'thing.get': Contract(int, methods=('things.get',))}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = "--contracts", "contracts_of_a_service:ALL", "-o", "-"
    page = Page(call("review", tmp_path / "sql", *options, database=empty_database).stdout)
    assert "method-things.get" in page.ids
    assert call("review", *options, database=empty_database).code == 2


def test_the_page_has_nothing_of_the_connection(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE ROLE review_role LOGIN PASSWORD 'review-secret' SUPERUSER")
        connection.commit()
        try:
            address = make_conninfo(database, user="review_role", password="review-secret")
            source = review(address, plans=False)
        finally:
            connection.execute("DROP ROLE review_role")
    assert not re.search("review-secret|review_role", source)
    assert str(conninfo_to_dict(database)["dbname"]) not in source


def test_a_database_without_our_tables_is_one_line(empty_database: str, tmp_path: Path) -> None:
    done = call("review", "-o", tmp_path / "review.html", database=empty_database)
    assert (done.code, done.stderr) == (1, "Error: there are no tables; has `conversation-store migrate` been run?\n")
    assert not (tmp_path / "review.html").exists()


def test_the_pictures_in_the_documents_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(\.\./(tests/dba/pictures/[^)]+)\)", read("sql/README.md"))
    assert sorted(CHECKOUT / name for name in pictures) == sorted((CHECKOUT / "tests/dba/pictures").iterdir())
    assert all((CHECKOUT / name).stat().st_size < 150_000 for name in pictures)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = call("review", "-o", tmp_path / "review.html", database="postgresql://127.0.0.1:1/x")
    assert done.code == 1
    assert done.stderr.startswith("Error: ")
    assert not (tmp_path / "review.html").exists()
