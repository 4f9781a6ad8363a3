"""The `keywords` of `conversations.get_list` and `list_after`: a substring search, served by an index where one can."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversation_store import ConversationStore, InvalidArgument, migrate
from operations import SEARCH
from support.server import Server
from support.server import database as new_database

# Few letters of many scripts, so that keywords are found often; cases that fold oddly; blanks, wildcards, quotes.
WORDS = [
    *"aAbéÉßİıΣσςЖжЯя",
    *"检索引好恋電",
    *"カタなのｶﾀー々〇",
    *"한국어",
    *"𠀀𠀁𪚥",
    *" %_\\'\".-0٣\u3000\n😀",
    "hello",
    "École",
    "кино",
    "检索",
    "好 好",
    "50%",
    "한국",
    "カタカナ",
    "𠀀𠀁",
    "\\%",
    "e\u0301",
]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
keywords = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map("".join)
names = st.none() | texts
# What may stand for the message "text": an object with it, one with it among parts, or the text itself.
SHAPES: list[Any] = [
    lambda text: {"role": "user", "content": text},
    lambda text: {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image"}]},
    lambda text: {"role": "user", "content": [text[:2], {"text": text[2:]}]},
    lambda text: text,
]


@pytest.fixture(scope="module", params=["unicode", "c"])
def of_locale(request: pytest.FixtureRequest, server: Server, db: str) -> Generator[tuple[str, ConversationStore]]:
    """Give the database of the session, then one whose LC_CTYPE is C, each with a store."""
    with ExitStack() as stack:
        conninfo = db
        if request.param == "c":
            conninfo = stack.enter_context(new_database(server, c_locale=True))
            migrate(conninfo)
        yield conninfo, stack.enter_context(ConversationStore(conninfo, min_size=1, max_size=1))


def text_of(message: Any) -> str:
    """Return the text of a message of one of the shapes."""
    content: Any = message["content"] if isinstance(message, dict) else message
    if isinstance(content, str):
        return content
    return "\n".join(part if isinstance(part, str) else part["text"] for part in content if part != {"type": "image"})


def owners_of(conninfo: str, texts: list[tuple[str, str]], keywords: list[str]) -> list[list[str]]:
    """Return, for each keyword, the sorted owners of the (owner, text)s in which strpos of lower finds it."""
    query = (
        "SELECT array(SELECT DISTINCT t.owner FROM unnest(%s::text[], %s::text[]) AS t (owner, text)"
        " WHERE strpos(lower(t.text), lower(k.keyword)) > 0)"
        " FROM unnest(%s::text[]) WITH ORDINALITY AS k (keyword, n) ORDER BY k.n"
    )
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(query, [[owner for owner, _ in texts], [text for _, text in texts], keywords])
        return [sorted(owners) for (owners,) in rows]


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    conversations=st.lists(
        st.tuples(names, st.lists(st.tuples(texts, st.sampled_from(SHAPES)), max_size=3)), min_size=1, max_size=6
    ),
    searched=st.lists(keywords, min_size=1, max_size=6),
    cut=st.integers(0, 20),
)
def test_a_keyword_is_found_where_strpos_of_lower_finds_it(
    of_locale: tuple[str, ConversationStore],
    conversations: list[tuple[str | None, list[tuple[str, Any]]]],
    searched: list[str],
    cut: int,
) -> None:
    conninfo, store = of_locale
    dialog, tenant = uuid.uuid4().hex, uuid.uuid4().hex
    store.dialogs.save(id=dialog, tenant_id=tenant)
    saved: list[dict[str, Any]] = [
        {"id": uuid.uuid4().hex, "name": name, "message": [shape(text) for text, shape in messages]}
        for name, messages in conversations
    ]
    store.conversations.insert_many([{**row, "dialog_id": dialog} for row in saved])
    # Entries that were added and removed again must not be found.
    longer = [{"id": row["id"], "message": [*row["message"], "hello 检索 кино"]} for row in saved]
    store.conversations.update_many_by_id(longer)
    store.conversations.update_many_by_id([{"id": row["id"], "message": row["message"]} for row in saved])

    messages = [(row["id"], text_of(message)) for row in saved for message in row["message"]]
    # A piece of the messages and one of an id are looked for too: they must be found.
    whole = "".join(text for _, text in messages)
    searched = [*searched, whole[cut : cut + 3] or "a", saved[0]["id"][4:9].upper()]
    others = [(row["id"], row[field]) for row in saved for field in ("id", "name") if row[field] is not None]
    for keyword, owners in zip(searched, owners_of(conninfo, messages + others, searched), strict=True):
        page = store.conversations.get_list(dialog, tenant, desc=False, orderby="id", keywords=keyword)
        assert (page.count, [session.id for session in page.sessions]) == (len(owners), owners), keyword


def count(store: Any, dialog: str, tenant: str, keywords: str) -> int:
    """Return how many conversations of the dialog a search finds."""
    found: int = store.conversations.get_list(dialog, tenant, keywords=keywords, items_per_page=0).count
    return found


@pytest.mark.parametrize(
    ("text", "hits", "misses"),
    [
        ("好 好 学习", ["好 好", " 好", "好 ", " ", "好"], ["好好", "好  好"]),
        ("好好学习", ["好好", "学习", "好学习"], ["好 好", " 好", "好 ", " "]),
        ("a discount of 50%", ["50%", "%", "DISCOUNT", "t of 5"], ["50%%", "5_%", "60%", "\\"]),
        ("L'ÉCOLE d'été", ["école", "ÉTÉ", "l'é", "'"], ["ecole", "\\'"]),
        ("C:\\temp\\new_file", ["\\temp", "\\", "w_f", "_"], ["\\\\", "wXf", "/"]),
        ("Привет, МИР", ["мир", "ПРИВ", "ет, м"], ["мира"]),
        ("東京タワーとラーメン", ["東京", "タワ", "ラーメン", "とラ"], ["東タ", "ンラ"]),
        ("검색 증강 생성", ["검색", "증강 생", "색 증"], ["검증", "성생"]),
        ("a𠀀𠀁b 𪚥", ["𠀀𠀁", "𠀁b", "a𠀀", "𪚥", "𠀀"], ["𠀁𠀀", "𠀀𪚥"]),
        ("混合text检索", ["text检", "合text", "T检索", "合t"], ["合检"]),
        ("line one\nline two", ["one\nline", "\n"], ["one line"]),
        ('say "hi"', ['"hi"', '"'], ["'hi'"]),
    ],
)
def test_a_keyword_is_literal_in_every_script(
    store: Any, tenant: str, dialog: str, text: str, hits: list[str], misses: list[str]
) -> None:
    store.conversations.save(dialog_id=dialog, message=[{"role": "user", "content": text}], id=f"{tenant}.")
    found = {keyword: count(store, dialog, tenant, keyword) for keyword in hits + misses}
    assert found == dict.fromkeys(hits, 1) | dict.fromkeys(misses, 0)


def test_ids_names_and_messages_are_searched_whatever_the_case(store: Any, tenant: str, dialog: str) -> None:
    id = f"x{tenant}"
    store.conversations.save(id=id, dialog_id=dialog, name="Été 检索", message=[{"content": "first"}])
    for keyword in (id, tenant[5:12].upper(), "été", "检索", "É", "FIRST"):
        assert count(store, dialog, tenant, keyword) == 1, keyword


def test_list_after_finds_what_get_list_finds(store: Any, tenant: str, dialog: str) -> None:
    one, _ = (store.conversations.save(dialog_id=dialog, message=[text]) for text in ("检索增强", "other"))
    for keyword in ("检索", "检"):
        assert store.conversations.list_after(dialog, tenant, keywords=keyword).sessions == [one]


def test_a_keyword_across_the_boundary_of_two_texts_is_not_found(store: Any, tenant: str, dialog: str) -> None:
    store.conversations.save(
        id=f"x{tenant}", dialog_id=dialog, name="Été 检索", message=[{"content": "first"}, {"content": "second"}]
    )
    for keyword in (tenant[-3:] + "Été", tenant[-1] + "\nÉ", "索first", "tsecond", "first\nsecond"):
        assert count(store, dialog, tenant, keyword) == 0, keyword


def test_keys_values_and_syntax_of_json_are_not_found(store: Any, tenant: str, dialog: str) -> None:
    store.conversations.save(
        id=f"0{tenant}",
        dialog_id=dialog,
        message=[
            {"role": "user", "content": "x", "note": "secret"},
            17,
            None,
            {"content": None},
            {"content": {"note": "y"}},
        ],
    )
    for keyword in ("role", "content", "{", '"', ":", "user", "secret", "null", "17", "[", ",", "y"):
        if keyword not in tenant:
            assert count(store, dialog, tenant, keyword) == 0, keyword


def test_entries_beyond_the_message_count_are_not_found(store: Any, tenant: str, dialog: str, db: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=["kept words", "removed words"]).id
    with psycopg.connect(db, autocommit=True) as connection:
        # As a writer leaves them that could not see these entries: they are stored, but beyond the count.
        connection.execute("UPDATE conversation_store.conversation SET message_count = 1 WHERE id = %s", [id])
    assert count(store, dialog, tenant, "kept words") == 1
    assert count(store, dialog, tenant, "removed words") == 0


def test_a_list_that_was_replaced_by_a_text_is_not_found(store: Any, tenant: str, dialog: str) -> None:
    id = store.conversations.save(dialog_id=dialog, message=["kept words", "other words"]).id
    store.conversations.append_message(id, {"message": "a text alone"})
    assert count(store, dialog, tenant, "kept words") == 0
    assert count(store, dialog, tenant, "text alone") == 1


def test_a_keyword_of_1000_characters_is_found_only_where_it_is(store: Any, tenant: str, dialog: str) -> None:
    text = "检索增强 Generation " * 5_000
    store.conversations.save(dialog_id=dialog, message=[{"content": text}])
    assert count(store, dialog, tenant, text[7:1_007].upper()) == 1
    assert count(store, dialog, tenant, text[7:1_006] + "!") == 0


@pytest.mark.parametrize("method", ["get_list", "list_after"])
def test_a_keyword_of_1001_characters_raises(store: Any, tenant: str, dialog: str, method: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^keywords must have at most 1000 characters, not 1001$"):
        getattr(store.conversations, method)(dialog, tenant, keywords="k" * 1_001)


# -- what an index serves --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connection(db: str) -> Generator[psycopg.Connection[Any]]:
    """Give a connection whose plans read a whole table only where no index can serve."""
    with psycopg.connect(db, autocommit=True, options="-c enable_seqscan=off") as connection:
        yield connection


def found_by_index(connection: psycopg.Connection[Any], keys: str, keyword: str) -> bool:
    """Return whether the index of messages serves a search by these keys."""
    plan = connection.execute(
        "EXPLAIN (COSTS OFF) SELECT 1 FROM conversation_store.conversation_message WHERE"
        " conversation_store.search_keys(tenant_id, dialog_id, conversation_store.message_text(body))"
        f" @> conversation_store.{keys}".encode(),
        {"keyword": keyword},
    ).fetchall()
    return any(SEARCH[0] in line for (line,) in plan)


@pytest.mark.parametrize("keys", ["keys_in_dialog('t', 'd', %(keyword)s)", "keys_in_tenant('t', %(keyword)s)"])
@pytest.mark.parametrize(
    "keyword", ["ab", "É1", "检索", "检a", "カタ", "ｶﾀ", "한국", "𠀀𠀁", "😀😀", "50%", "%_", "\\'", "  ", "\n\n"]
)
def test_an_index_serves_two_characters_of_any_script(
    connection: psycopg.Connection[Any], keyword: str, keys: str
) -> None:
    assert found_by_index(connection, keys, keyword)


@pytest.mark.parametrize("keys", ["keys_in_dialog('t', 'd', %(keyword)s)", "keys_in_tenant('t', %(keyword)s)"])
@pytest.mark.parametrize("keyword", ["a", "检", "😀", " ", "%", ""])
def test_no_index_serves_a_single_character(connection: psycopg.Connection[Any], keyword: str, keys: str) -> None:
    assert not found_by_index(connection, keys, keyword)


@settings(max_examples=200, deadline=None)
@given(text=texts, before=texts, after=texts)
def test_the_keys_of_a_keyword_are_in_the_keys_of_every_text_that_contains_it_and_none_is_null(
    connection: psycopg.Connection[Any], text: str, before: str, after: str
) -> None:
    # Σ folds by what is around it in some locales; the keys follow the folded text, as strpos does.
    row = connection.execute(
        "SELECT found, keys IS NULL, in_dialog IS NULL, in_tenant IS NULL, keys @> in_dialog, keys @> in_tenant,"
        " array_position(keys || in_dialog || in_tenant, NULL) FROM (SELECT"
        " strpos(conversation_store.fold(%(whole)s), conversation_store.fold(%(text)s)) > 0 AS found,"
        " conversation_store.search_keys('t', 'd', %(whole)s) AS keys,"
        " conversation_store.keys_in_dialog('t', 'd', %(text)s) AS in_dialog,"
        " conversation_store.keys_in_tenant('t', %(text)s) AS in_tenant) AS k",
        {"text": text, "whole": before + text + after},
    ).fetchone()
    assert row is not None
    found, no_keys, none_in_dialog, none_in_tenant, holds_dialog, holds_tenant, null_at = row
    assert null_at is None
    assert none_in_dialog == none_in_tenant
    if found and not none_in_dialog:
        assert (no_keys, holds_dialog, holds_tenant) == (False, True, True)


@pytest.mark.parametrize("keyword", ["ab", "abc", "abcd", "检索增强生成", "a long keyword"])
@pytest.mark.parametrize("keys", ["keys_in_dialog('t', 'd', %(keyword)s)", "keys_in_tenant('t', %(keyword)s)"])
def test_the_conditions_of_a_search_have_all_its_keys_the_first_three_one_each(
    connection: psycopg.Connection[Any], keyword: str, keys: str
) -> None:
    row = connection.execute(
        f"SELECT k, ARRAY(SELECT conversation_store.keys_apart(k, n)::text FROM generate_series(1, 4) AS n)"
        f" FROM conversation_store.{keys} AS k".encode(),
        {"keyword": keyword},
    ).fetchone()
    assert row is not None
    apart = [[int(key) for key in condition.strip("{}").split(",")] for condition in row[1]]
    assert [len(condition) for condition in apart] == [1, 1, 1, max(1, len(row[0]) - 3)]
    assert set().union(*apart) == set(row[0])


@pytest.mark.parametrize("text", ["", "a", "检", None])
def test_a_text_without_a_pair_has_no_keys(connection: psycopg.Connection[Any], text: str | None) -> None:
    keys = connection.execute("SELECT conversation_store.search_keys('t', 'd', %s::text)", [text]).fetchone()
    assert keys == (None,)


def test_the_keys_of_another_tenant_or_dialog_are_others(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(
        "SELECT k @> conversation_store.keys_in_dialog('t', 'd', 'ab'), k @> conversation_store.keys_in_tenant('t', 'ab'),"
        " k && conversation_store.keys_in_dialog('u', 'e', 'xy'), k @> conversation_store.keys_in_dialog('t', 'e', 'ab'),"
        " k @> conversation_store.keys_in_dialog('u', 'd', 'ab'), k @> conversation_store.keys_in_dialog('d', 't', 'ab'),"
        " k @> conversation_store.keys_in_tenant('u', 'ab'), k @> conversation_store.keys_in_tenant('d', 'ab')"
        " FROM conversation_store.search_keys('t', 'd', 'ab') AS k"
    ).fetchone()
    assert row == (True, True, *[False] * 6)


def test_keys_are_exact_and_end_below_the_marks(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute("SELECT conversation_store.search_pairs(%s)", ["A\U0010ffffb"]).fetchone()
    assert row == ([ord("a") << 21 | 0x10FFFF, 0x10FFFF << 21 | ord("b")],)
    assert 0x10FFFF << 21 | 0x10FFFF < 1 << 62


def test_migrate_warns_where_lc_ctype_is_c(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with new_database(server, c_locale=True) as conninfo:
        migrate(conninfo)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("conversation_store", "WARNING")
    assert "LC_CTYPE is C" in record.getMessage()


def test_migrate_warns_where_the_locale_folds_a_letter_by_those_around_it(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with new_database(server) as conninfo, psycopg.connect(conninfo, autocommit=True) as connection:
        if connection.info.server_version < 180000:
            pytest.skip("PG_UNICODE_FAST came with PostgreSQL 18, and not every build has ICU")
        name = connection.info.dbname + "_fast"
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'".encode()
        )
        try:
            migrate(server.conninfo(name))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    (record,) = caplog.records
    assert "folds Σ by the letters around it" in record.getMessage()


def test_migrate_does_not_warn_where_lc_ctype_is_unicode(empty_database: str, caplog: pytest.LogCaptureFixture) -> None:
    migrate(empty_database)
    assert not caplog.records
