"""Searches for keywords that are common: right in every order and on every page, and read only what they need."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor
from pytest_postgresql.executors import NoopExecutor

from conversation_store import ConversationStore
from conversation_store._adapters import to_text
from support.server import Server
from support.server import database as new_database
from support.statements import statement_of

pytestmark = pytest.mark.slow

# The words of a conversation by its number, from 0, the oldest, to 2,999. The walk ends at 1,300 conversations and
# at 13,000 messages; 1,000 hits make a keyword a common one.
WORDS: dict[str, Callable[[int], bool]] = {
    "common": lambda n: True,
    "third": lambda n: n % 3 == 0,
    "ancient": lambda n: n < 1_100,
    "rare": lambda n: n in (5, 1_500, 2_998),
    "soliloquy": lambda n: n == 17,  # 5,000 times
    "Σ": lambda n: n % 2 == 0,  # no pair
    "title": lambda n: n % 2 == 1,  # in names
    "nowhere": lambda n: False,
}
NUMBER = 3_000


@pytest.fixture(scope="module", params=["room", "no room"])
def filled(request: pytest.FixtureRequest, server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database in which a bitmap of the table has room in work_mem, or has none."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', 't'), ('e', 't')")
            # In an order of their own in the table.
            connection.execute(
                "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, name, user_id, create_date,"
                " update_date, tokens, message_count) SELECT 'c' || n, 't', CASE WHEN n % 100 = 0 THEN 'e' ELSE 'd' END,"
                " CASE WHEN n % 2 = 1 THEN 'title ' || n % 7 ELSE 'n' END, 'u' || n % 2, timestamptz '2024-01-01Z' + n / 2"
                " * interval '1 hour', '2024-01-01Z', n % 5, CASE WHEN n = 17 THEN 5001 ELSE 2 END"
                " FROM generate_series(0, 2999) AS n ORDER BY md5(n::text)"
            )
            connection.execute(
                "INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
                " SELECT c.id, p, 't', c.dialog_id, json_build_object('role', 'user', 'content', CASE WHEN p = 3 THEN"
                " 'common, beyond the count' WHEN p = 2 THEN 'x' ELSE concat_ws(' ', CASE WHEN p = 1 THEN 'common' END, CASE WHEN"
                " n % 3 = 0 THEN 'third' END, CASE WHEN n < 1100 THEN 'ancient' END, CASE WHEN n IN (5, 1500, 2998) THEN"
                " 'rare' END, CASE WHEN n % 2 = 0 THEN 'σ' END) END) FROM (SELECT substr(id, 2)::integer AS n, *"
                " FROM conversation_store.conversation) AS c, generate_series(1, 3) AS p WHERE n <> 17"
            )
            connection.execute(
                "INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
                " SELECT 'c17', p, 't', 'd', json_build_object('content', CASE p WHEN 1 THEN 'common ancient' ELSE"
                " 'soliloquy' END) FROM generate_series(1, 5001) AS p"
            )
            if request.param == "no room":
                connection.execute(
                    "CREATE OR REPLACE FUNCTION conversation_store.bitmap_fits() RETURNS boolean"
                    " LANGUAGE sql STABLE AS 'SELECT FALSE'"
                )
            connection.execute("VACUUM ANALYZE")
        yield conninfo


@pytest.fixture(scope="module")
def store(filled: str) -> Generator[ConversationStore]:
    with ConversationStore(filled, min_size=1, max_size=1) as store:
        yield store


def expected(word: str, dialog: str | None = "d", user: int | None = None) -> list[int]:
    """Return the numbers of the conversations that have a word."""
    return [
        n
        for n in range(NUMBER)
        if WORDS[word](n)
        and (dialog is None or dialog == ("e" if n % 100 == 0 else "d"))
        and (user is None or n % 2 == user)
    ]


def key(orderby: str, n: int) -> Any:
    return {"create_date": n // 2, "name": f"title {n % 7}" if n % 2 else "n", "tokens": n % 5, "id": ""}[orderby]


def ordered(numbers: list[int], orderby: str = "create_date", desc: bool = True) -> list[str]:
    """Return the ids of conversations in an order."""
    return [f"c{n}" for n in sorted(numbers, key=lambda n: (key(orderby, n), f"c{n}"), reverse=desc)]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("total", ["exact", "capped", "none"])
@pytest.mark.parametrize(
    ("orderby", "desc"),
    [("create_date", True), ("create_date", False), ("name", True), ("tokens", False), ("id", True)],
)
def test_every_page_of_every_order_and_its_total_are_right(
    store: ConversationStore, word: str, total: Any, orderby: Any, desc: bool
) -> None:
    for user in (None, 0):
        ids = ordered(expected(word, user=user), orderby, desc)
        count = {"exact": len(ids), "capped": min(len(ids), 50), "none": -1}[total]
        for page in (1, 2, 40, 200):
            found = store.conversations.get_list(
                *("d", "t", page, 7, orderby, desc),
                keywords=word,
                user_id=None if user is None else f"u{user}",
                total=total,
                total_limit=50,
                include_messages=False,
            )
            assert (found.count, [one.id for one in found.sessions]) == (count, ids[7 * page - 7 : 7 * page]), page


@pytest.mark.parametrize("word", WORDS)
def test_pages_after_cursors_have_each_conversation_once(store: ConversationStore, word: str) -> None:
    for orderby in ("create_date", "name"):
        found: list[str] = []
        cursor = None
        while cursor is not None or not found:
            page = store.conversations.list_after(
                "d", "t", orderby=orderby, keywords=word, items_per_page=400, cursor=cursor, include_messages=False
            )
            found += [one.id for one in page.sessions] or [""]
            cursor = page.next_cursor
        assert found == (ordered(expected(word), orderby) or [""])


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("dialog", [None, "d", "e"])
def test_a_search_over_the_tenant_has_each_conversation_once(
    store: ConversationStore, word: str, dialog: str | None
) -> None:
    found: list[tuple[str, int | None]] = []
    cursor = None
    while cursor is not None or not found:
        page = store.conversations.search(
            word, tenant_id="t", dialog_ids=None if dialog is None else [dialog], items_per_page=400, cursor=cursor
        )
        found += [(hit.conversation.id, hit.position) for hit in page.hits] or [("", 1)]
        cursor = page.next_cursor
    position = {"soliloquy": 5_001, "title": None}.get(word, 1)
    assert found == ([(id, position) for id in ordered(expected(word, dialog))] or [("", 1)])


def messages_read(conninfo: str, call: Any) -> int:
    """Return how many messages a statement reads, those of the page included."""
    return rows_read(conninfo, call, "conversation_message")


def rows_read(conninfo: str, call: Any, table: str | None = None) -> int:
    """Return how many rows the nodes of a plan read, of a table or in all."""
    statement = statement_of(call)
    values = [to_text(value) for value in statement.query.bind(statement.params)]
    with psycopg.connect(conninfo) as connection:
        row = (
            RawCursor(connection).execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement.query.text, values).fetchone()
        )
    assert row is not None
    nodes = [row[0][0]["Plan"]]
    read = 0
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if table is None or node.get("Relation Name") == table:
            removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
            rows = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
            read += round(rows * node["Actual Loops"])
    return read


@pytest.mark.parametrize(
    ("word", "most"),
    [
        ("common", 1_001 + 62),  # what says that it is common, and a page of 31 with two messages each
        ("rare", 10),
        ("soliloquy", 1_001 + 13_000 + 5_000),  # a walk up to its bound, then all hits
        ("ancient", 1_001 + 13_000 + 1_100),
        ("nowhere", 0),
    ],
)
def test_a_page_without_a_total_reads_few_messages(filled: str, word: str, most: int) -> None:
    for call in (
        lambda s: s.conversations.list_after("d", "t", keywords=word, include_messages=False, include_reference=False),
        lambda s: s.conversations.search(word, tenant_id="t"),
    ):
        assert messages_read(filled, call) <= most + 31  # the snippets


@pytest.mark.parametrize("word", ["common", "ancient", "third"])
def test_a_filter_that_leaves_few_conversations_has_no_other_read(filled: str, word: str) -> None:
    for call in (
        lambda s: s.conversations.get_list("d", "t", keywords=word, id="c99", include_messages=False),
        lambda s: s.conversations.get_list("d", "t", keywords=word, id="c99", total="none", include_messages=False),
        lambda s: s.conversations.list_after("d", "t", keywords=word, to_date="2024-01-02", include_messages=False),
        lambda s: s.conversations.search(word, tenant_id="t", to_date="2024-01-02"),
    ):
        assert messages_read(filled, call) <= 1_001 + 200


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_dialog_that_the_statistics_do_not_know_has_each_row_read_once(
    server: Server, postgresql_noproc: NoopExecutor, analyzed: bool
) -> None:
    unread: Any = {"include_messages": False, "include_reference": False}
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            if analyzed:
                connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('old', 'old')")
                connection.execute(
                    "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id)"
                    " SELECT 'o' || n, 'old', 'old' FROM generate_series(1, 500) AS n"
                )
                connection.execute("ANALYZE")
            connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', 't')")
            connection.execute(
                "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, message_count, user_id)"
                " SELECT 'c' || n, 't', 'd', 1, 'u' FROM generate_series(1, 3000) AS n"
            )
            connection.execute(
                "INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
                " SELECT 'c' || n, 1, 't', 'd', json_build_object('content', CASE WHEN n % 3 = 0 THEN 'common, rare' ELSE"
                " 'common' END) FROM generate_series(1, 3000) AS n"
            )
        for call in (
            lambda s: s.conversations.get_list("d", "t", keywords="common", **unread),
            lambda s: s.conversations.get_list("d", "t", keywords="common", user_id="u", **unread),
            lambda s: s.conversations.get_list("d", "t", keywords="common", from_date="2024-01-01", **unread),
            lambda s: s.conversations.search("common", tenant_id="t"),
            lambda s: s.conversations.search("common", tenant_id="t", user_id="u"),
            lambda s: s.conversations.search("rare", tenant_id="t", user_id="u", from_date="2024-01-01"),
        ):
            assert rows_read(conninfo, call) <= 20 * 3_000


def test_an_exact_total_of_a_common_keyword_reads_no_message_twice(filled: str) -> None:
    call = lambda s: s.conversations.get_list("d", "t", keywords="common", include_messages=False)  # noqa: E731
    # Of each conversation two messages and one beyond the count, and the hits that say that it is common.
    assert messages_read(filled, call) <= 3 * NUMBER + 5_001 + 1_001
