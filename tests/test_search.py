"""The keyword search: exactly what a plain substring test says, and an index behind it wherever one can help."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversation_store import ConversationStore, migrate
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
# What may stand for the message "text": its own value and how it is said.
SHAPES: list[Any] = [
    lambda text: {"role": "user", "content": text},
    lambda text: {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image"}]},
    lambda text: text,
]


@pytest.fixture(scope="module", params=["unicode", "c"])
def locale(request: pytest.FixtureRequest, server: Server, db: str) -> Generator[str]:
    """Give the database of the session, and one whose LC_CTYPE is C."""
    if request.param == "unicode":
        yield db
    else:
        with new_database(server, c_locale=True) as conninfo:
            migrate(conninfo)
            yield conninfo


def found(connection: psycopg.Connection[Any], texts: list[str | None], keyword: str) -> set[int]:
    """Return the numbers of the texts in which the server's own functions find the keyword."""
    return {
        number - 1
        for (number,) in connection.execute(
            "SELECT t.n FROM unnest(%s::text[]) WITH ORDINALITY AS t (text, n) WHERE strpos(lower(t.text), lower(%s)) > 0",
            [texts, keyword],
        )
    }


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    conversations=st.lists(
        st.tuples(names, st.lists(st.tuples(texts, st.sampled_from(SHAPES)), max_size=3)), min_size=1, max_size=6
    ),
    searched=st.lists(keywords, min_size=1, max_size=6),
    cut=st.integers(0, 20),
)
def test_a_search_finds_what_strpos_of_lower_finds(
    locale: str, conversations: list[tuple[str | None, list[tuple[str, Any]]]], searched: list[str], cut: int
) -> None:
    with psycopg.connect(locale, autocommit=True) as connection:
        store = ConversationStore(connection=connection)
        dialog, tenant = uuid.uuid4().hex, uuid.uuid4().hex
        store.dialogs.save(id=dialog, tenant_id=tenant)
        for name, messages in conversations:
            body = [shape(text) for text, shape in messages]
            id = store.conversations.save(dialog_id=dialog, name=name, message=body).id
            # An edited list must leave nothing behind that is found.
            store.conversations.append_message(id, {"message": [*body, "hello 检索 кино"]})
            store.conversations.append_message(id, {"message": body})
        saved = store.conversations.get_list(dialog, tenant, desc=False, orderby="id").sessions
        said = [list(map(text_of, conversation.message)) for conversation in saved]
        # A piece of what was said is looked for too: it must be found.
        whole = "".join(text for conversation in said for text in conversation)
        for keyword in [*searched, whole[cut : cut + 3], saved[0].id[4:9].upper()]:
            if not keyword:
                continue
            expected = {
                number
                for number, conversation in enumerate(saved)
                if found(connection, [conversation.id, conversation.name, *said[number]], keyword)
            }
            page = store.conversations.get_list(dialog, tenant, desc=False, orderby="id", keywords=keyword)
            assert [session.id for session in page.sessions] == [saved[number].id for number in sorted(expected)], (
                keyword
            )
            assert page.count == len(expected)


def text_of(message: Any) -> str:
    """Return what a message says."""
    content: Any = message["content"] if isinstance(message, dict) else message
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if "text" in part)


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def dialog(store: Any, tenant: str) -> Any:
    return store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


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
    one = store.conversations.save(dialog_id=dialog, message=[{"role": "user", "content": text}], id=f"{tenant}.")
    for keyword in hits:
        assert [s.id for s in store.conversations.get_list(dialog, tenant, keywords=keyword).sessions] == [one.id], (
            keyword
        )
    for keyword in misses:
        assert store.conversations.get_list(dialog, tenant, keywords=keyword) == (0, []), keyword


def test_ids_and_names_are_searched_and_a_boundary_between_texts_is_none(store: Any, tenant: str, dialog: str) -> None:
    one = store.conversations.save(
        id=f"x{tenant}", dialog_id=dialog, name="Été 检索", message=[{"content": "first"}, {"content": "second"}]
    )
    for keyword in (one.id, tenant[5:12].upper(), "été", "检索", "É", "FIRST"):
        assert store.conversations.get_list(dialog, tenant, keywords=keyword).count == 1, keyword
    for keyword in (tenant[-3:] + "Été", tenant[-1] + "\nÉ", "索first", "tsecond", "first\nsecond"):
        assert store.conversations.get_list(dialog, tenant, keywords=keyword).count == 0, keyword


def test_the_syntax_of_json_is_never_found(store: Any, tenant: str, dialog: str) -> None:
    store.conversations.save(
        id=f"0{tenant}",
        dialog_id=dialog,
        message=[
            {"role": "user", "content": "x", "note": "secret"},
            17,
            None,
            {"content": None},
            {"content": {"text": "y"}},
        ],
    )
    for keyword in ("role", "content", "{", '"', ":", "user", "secret", "null", "17", "[", ","):
        if keyword not in tenant:
            assert store.conversations.get_list(dialog, tenant, keywords=keyword).count == 0, keyword


def test_what_a_list_no_longer_holds_is_not_found(store: Any, tenant: str, dialog: str, db: str) -> None:
    one = store.conversations.save(dialog_id=dialog, message=["kept words", "removed words"])
    with psycopg.connect(db, autocommit=True) as connection:
        # What a writer leaves behind who could not see these entries: they are there, and beyond the count.
        connection.execute("UPDATE conversation_store.conversation SET message_count = 1 WHERE id = %s", [one.id])
    assert store.conversations.get_list(dialog, tenant, keywords="kept words").count == 1
    assert store.conversations.get_list(dialog, tenant, keywords="removed words").count == 0
    store.conversations.append_message(one.id, {"message": "a text alone"})
    assert store.conversations.get_list(dialog, tenant, keywords="kept words").count == 0
    assert store.conversations.get_list(dialog, tenant, keywords="text alone").count == 1


def test_a_very_long_keyword_and_a_very_long_text_meet(store: Any, tenant: str, dialog: str) -> None:
    text = "检索增强 Generation " * 5_000
    store.conversations.save(dialog_id=dialog, message=[{"content": text}])
    assert store.conversations.get_list(dialog, tenant, keywords=text.upper()).count == 1
    assert store.conversations.get_list(dialog, tenant, keywords=text + "!").count == 0


def test_our_server_sees_letters_in_every_script(db: str) -> None:
    with psycopg.connect(db) as connection:
        assert connection.execute("SELECT show_trgm('检索引')").fetchone() != ([],)
        for script in ("école", "кино", "東京", "カタカナ", "한국어", "𠀀𠀁"):
            row = connection.execute(
                "SELECT show_trgm(conversation_store.search_text(%s)) <> '{}'", [script]
            ).fetchone()
            assert row == (True,), script


@pytest.mark.parametrize(
    ("keyword", "served"),
    [
        *[
            (k, True)
            for k in (
                "abc",
                "été",
                "кин",
                "检索",
                "カタ",
                "なの",
                "한국",
                "ｶﾀ",
                "𠀀𠀁",
                "ab检",
                "检a检索",
                "x 检索",
                "100",
            )
        ],
        *[(k, False) for k in ("ab", "检", "检a", " ", "%", "a b c", "好 好", "。。", "")],
    ],
)
def test_an_index_serves_three_letters_of_any_script_and_two_ideographs(db: str, keyword: str, served: bool) -> None:
    with psycopg.connect(db) as connection:
        row = connection.execute("SELECT conversation_store.search_pattern(%s) IS NOT NULL", [keyword]).fetchone()
        assert row == (served,)
        if served:
            # The index has something to look for: a pattern without trigrams would read all of it.
            connection.execute("SET LOCAL enable_seqscan = off")
            plan = connection.execute(
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT 1 FROM conversation_store.conversation_message"
                " WHERE conversation_store.search_text(conversation_store.said(body))"
                " LIKE conversation_store.search_pattern(%s)",
                [keyword],
            ).fetchall()
            assert any("Index Cond" in line and "~~" in line for (line,) in plan), plan


def test_a_database_with_lc_ctype_c_is_told_what_is_slow(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with new_database(server, c_locale=True) as conninfo:
        migrate(conninfo)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("conversation_store", "WARNING")
    assert "LC_CTYPE is C" in record.getMessage()


def test_a_database_with_a_unicode_lc_ctype_is_told_nothing(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(empty_database)
    assert not caplog.records
