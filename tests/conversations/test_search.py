"""`conversations.search`: one search box over a tenant, with the text around what was found."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversation_store import NOT_READ, Hit, InvalidArgument, InvalidArgumentType

DAY = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def other_tenant(tenant: str) -> str:
    return f"other-{tenant}"


@pytest.fixture
def dialogs(store: Any, tenant: str, dialog: str) -> list[str]:
    """Save a second dialog of the tenant; return both."""
    return [dialog, store.dialogs.save(id=f"2{dialog}", tenant_id=tenant).id]


def save(store: Any, tenant: str, dialog: str, *messages: Any, day: int = 0, **fields: Any) -> str:
    """Save a conversation with messages of these contents; return its id."""
    return str(
        store.conversations.save(
            dialog_id=dialog,
            tenant_id=tenant,
            message=[{"role": "user", "content": content} for content in messages],
            create_date=DAY + timedelta(days=day),
            **fields,
        ).id
    )


def found(store: Any, tenant: str, keywords: str, **filters: Any) -> list[str]:
    """Return the ids of the first page."""
    return [hit.conversation.id for hit in store.conversations.search(keywords, tenant_id=tenant, **filters).hits]


def snippet(store: Any, tenant: str, keywords: str) -> str:
    """Return the only snippet."""
    (hit,) = store.conversations.search(keywords, tenant_id=tenant).hits
    return str(hit.snippet)


def test_conversations_of_all_dialogs_are_found_newest_first(store: Any, tenant: str, dialogs: list[str]) -> None:
    ids = [save(store, tenant, dialogs[day % 2], "检索 needle", day=day) for day in range(4)]
    save(store, tenant, dialogs[0], "other", day=9)
    for keywords in ("needle", "检索", "检", "EEDL"):
        assert found(store, tenant, keywords) == ids[::-1]


def test_there_is_one_hit_a_conversation_its_latest_message(store: Any, tenant: str, dialog: str) -> None:
    id = save(store, tenant, dialog, "needle one", "needle two", "other", "x NEEDLE three", "last")
    (hit,) = store.conversations.search("needle", tenant_id=tenant).hits
    assert isinstance(hit, Hit)
    assert (hit.conversation.id, hit.position, hit.snippet) == (id, 4, "x NEEDLE three")


def test_the_position_is_none_where_the_name_or_the_id_has_the_keyword(store: Any, tenant: str, dialog: str) -> None:
    save(store, tenant, dialog, "other", id=f"needle-{tenant}", name="first", day=1)
    save(store, tenant, dialog, "other", name="a Needle here", day=2)
    hits = store.conversations.search("needle", tenant_id=tenant).hits
    assert [(hit.position, hit.snippet) for hit in hits] == [(None, "a Needle here"), (None, f"needle-{tenant}")]


def test_a_message_comes_before_the_name(store: Any, tenant: str, dialog: str) -> None:
    save(store, tenant, dialog, "in the text: needle", name="needle")
    (hit,) = store.conversations.search("needle", tenant_id=tenant).hits
    assert (hit.position, hit.snippet) == (1, "in the text: needle")


def test_the_conversation_of_a_hit_is_without_what_is_large(store: Any, tenant: str, dialog: str) -> None:
    id = save(store, tenant, dialog, "needle", name="n", user_id="u", tokens=7)
    (hit,) = store.conversations.search("needle", tenant_id=tenant).hits
    whole = store.conversations.get_by_id(id, tenant_id=tenant)
    parts = ("message", "reference", "dsl")
    assert [getattr(hit.conversation, part) for part in parts] == [NOT_READ] * 3
    expected = {key: value for key, value in whole.to_dict().items() if key not in parts}
    assert hit.to_dict() == {"conversation": expected, "position": 1, "snippet": "needle"}


def test_entries_beyond_the_count_are_not_found(store: Any, tenant: str, dialog: str) -> None:
    id = save(store, tenant, dialog, "needle", "needle")
    store.conversations.append_message(id, {"message": [{"content": "needle"}]}, tenant_id=tenant)
    (hit,) = store.conversations.search("needle", tenant_id=tenant).hits
    assert hit.position == 1


def test_dialogs_narrow_a_search_and_an_empty_list_finds_nothing(store: Any, tenant: str, dialogs: list[str]) -> None:
    one, two = (save(store, tenant, of, "needle", day=day) for day, of in enumerate(dialogs))
    for keywords in ("needle", "n"):
        assert found(store, tenant, keywords, dialog_ids=dialogs) == [two, one]
        assert found(store, tenant, keywords, dialog_ids=[dialogs[0]]) == [one]
        assert found(store, tenant, keywords, dialog_ids=["unknown", dialogs[1]]) == [two]
        assert found(store, tenant, keywords, dialog_ids=[]) == []


def test_a_user_and_an_explorer_together_mean_either(store: Any, tenant: str, dialog: str) -> None:
    both = save(store, tenant, dialog, "needle", day=1, user_id="u", exp_user_id="e")
    user = save(store, tenant, dialog, "needle", day=2, user_id="u")
    explorer = save(store, tenant, dialog, "needle", day=3, exp_user_id="e", user_id="x")
    save(store, tenant, dialog, "needle", day=4, user_id="e", exp_user_id="u")
    for keywords in ("needle", "n"):
        assert found(store, tenant, keywords, user_id="u", exp_user_id="e") == [explorer, user, both]
        assert found(store, tenant, keywords, user_id="u") == [user, both]
        assert found(store, tenant, keywords, exp_user_id="e") == [explorer, both]


def test_dates_are_inclusive_days_of_a_time_zone(store: Any, tenant: str, dialog: str) -> None:
    ids = [save(store, tenant, dialog, "needle", day=day) for day in range(5)]
    assert found(store, tenant, "needle", from_date="2024-01-02", to_date="2024-01-04") == ids[3:0:-1]
    # In Tokyo the second of January begins nine hours earlier than in UTC.
    assert found(store, tenant, "needle", to_date="2024-01-01", time_zone="Asia/Tokyo") == ids[:1]
    assert found(store, tenant, "needle", from_date="2024-01-05T00:00", time_zone="Asia/Tokyo") == ids[4:]


def test_a_to_date_of_a_whole_second_covers_it(store: Any, tenant: str, dialog: str) -> None:
    created = "2024-03-05T23:59:59.400Z"
    id = store.conversations.save(
        dialog_id=dialog, tenant_id=tenant, message=[{"content": "needle"}], create_date=created
    ).id
    for covering in ("2024-03-05 23:59:59", "2024-03-06T08:59+09:00", "2024-03-05T23:59:59.4"):
        assert found(store, tenant, "needle", to_date=covering) == [id]
    for earlier in ("2024-03-05T23:59:58", "2024-03-05T23:59:59.399", datetime(2024, 3, 5, 23, 59, 59)):
        assert found(store, tenant, "needle", to_date=earlier) == []


def test_another_tenant_finds_nothing(store: Any, tenant: str, other_tenant: str, dialog: str) -> None:
    store.dialogs.save(id=dialog, tenant_id=other_tenant)
    save(store, tenant, dialog, "needle")
    assert found(store, other_tenant, "needle", dialog_ids=[dialog]) == []
    assert found(store, other_tenant, "n") == []


@pytest.mark.parametrize("keywords", ["needle", "n"])
def test_pages_behind_cursors_have_each_hit_once(store: Any, tenant: str, dialog: str, keywords: str) -> None:
    ids = [save(store, tenant, dialog, "needle", day=number // 3, id=f"{tenant}{number}") for number in range(10)]
    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        page = store.conversations.search(keywords, tenant_id=tenant, items_per_page=3, cursor=cursor)
        pages.append([hit.conversation.id for hit in page.hits])
        cursor = page.next_cursor
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [id for page in pages for id in page] == sorted(ids, key=lambda id: (ids.index(id) // 3, id), reverse=True)


def test_a_cursor_is_of_its_own_search(store: Any, tenant: str, other_tenant: str, dialog: str) -> None:
    for day in range(2):
        save(store, tenant, dialog, "needle", day=day)
    search = store.conversations.search
    cursor = search("needle", tenant_id=tenant, items_per_page=1).next_cursor
    for keywords, filters in (
        ("needl", {"tenant_id": tenant}),
        ("needle", {"tenant_id": other_tenant}),
        ("needle", {"tenant_id": tenant, "dialog_ids": [dialog]}),
        ("needle", {"tenant_id": tenant, "user_id": "u"}),
    ):
        with pytest.raises(InvalidArgument, match=r"^cursor must be used with"):
            search(keywords, cursor=cursor, **filters)
    listed = store.conversations.list_after(dialog, tenant, items_per_page=1).next_cursor
    with pytest.raises(InvalidArgument, match=r"^cursor must be used with"):
        search("needle", tenant_id=tenant, cursor=listed)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keywords": ""}, InvalidArgument, "keywords must be given and not be empty"),
        ({"keywords": None}, InvalidArgumentType, "keywords must be a str, not NoneType"),
        ({"keywords": "k" * 1_001}, InvalidArgument, "keywords must have at most 1000 characters, not 1001"),
        ({"dialog_ids": "d"}, InvalidArgumentType, "dialog_ids must be a list of ids, not str"),
        ({"dialog_ids": [""]}, InvalidArgument, r"dialog_ids\[0\] must be given and not be empty"),
        ({"user_id": ""}, InvalidArgument, "user_id must be given and not be empty"),
        ({"exp_user_id": ""}, InvalidArgument, "exp_user_id must be given and not be empty"),
        ({"items_per_page": 0}, InvalidArgument, "items_per_page must be"),
        ({"items_per_page": 10_000_000}, InvalidArgument, "items_per_page must be"),
        ({"from_date": "soon"}, InvalidArgument, "from_date must be"),
        ({"to_date": "soon"}, InvalidArgument, "to_date must be"),
        ({"time_zone": "Nowhere"}, InvalidArgument, "time_zone must be"),
        ({"cursor": "x"}, InvalidArgument, "cursor must be a next_cursor"),
        ({"cursor": 1}, InvalidArgumentType, "cursor must be a str or None"),
    ],
)
def test_bad_arguments_are_named(
    store: Any, tenant: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        store.conversations.search(**{"keywords": "x", "tenant_id": tenant, **arguments})


# -- snippets --------------------------------------------------------------------------------------


def test_a_snippet_has_at_most_200_characters_around_the_keyword(store: Any, tenant: str, dialog: str) -> None:
    text = "检索" * 1_000 + "Needle" + "增强" * 1_000
    save(store, tenant, dialog, text)
    found = snippet(store, tenant, "needle")
    assert len(found) == 200
    assert found in text
    assert 90 <= found.index("Needle") <= 100


@pytest.mark.parametrize("text", ["needle" + "b" * 500, "a" * 500 + "needle", "needle", "a" * 194 + "needle"])
def test_at_the_ends_of_a_text_a_snippet_is_no_shorter(store: Any, tenant: str, dialog: str, text: str) -> None:
    save(store, tenant, dialog, text)
    found = snippet(store, tenant, "needle")
    assert len(found) == min(len(text), 200)
    assert "needle" in found


def test_of_a_keyword_of_1000_characters_the_snippet_is_the_beginning(store: Any, tenant: str, dialog: str) -> None:
    keyword = "".join(chr(0x4E00 + n) for n in range(1_000))
    save(store, tenant, dialog, "x" * 300 + keyword)
    assert snippet(store, tenant, keyword) == keyword[:200]


@pytest.mark.parametrize("before", ["İ" * 300, "ẞß" * 150, "e\u0301" * 150, "ΣΑΣ " * 80, "ﬁ" * 300])
def test_the_keyword_is_in_the_snippet_whatever_folding_does_to_the_text(
    store: Any, tenant: str, dialog: str, before: str
) -> None:
    save(store, tenant, dialog, before + "Needle" + before)
    assert "Needle" in snippet(store, tenant, "needle")


@pytest.mark.parametrize(
    "character",
    [
        "e\u0301",
        "க்ஷி",
        "👩‍👩‍👧",
        "👍🏽",
        "🇩🇪",
        "🇩🇪x",
        "🏴\U000e0067\U000e0062\U000e007f",
        "ก็",
        "\u1112\u1161\u11ab",
        "❤️",
    ],
)
@pytest.mark.parametrize("shift", range(4))
def test_a_snippet_is_cut_at_no_half_of_a_character(
    store: Any, tenant: str, dialog: str, character: str, shift: int
) -> None:
    save(store, tenant, dialog, character * 100 + "x" * shift + "needle" + character * 100)
    found = snippet(store, tenant, "needle")
    before, _, after = found.partition("x" * shift + "needle")
    assert 150 < len(found) <= 200
    # What is left on each side ends with the text of whole characters, apart from those that no reader takes apart.
    assert not unicodedata.category(before[0]).startswith("M")
    assert before[0] not in "\u200d\ufe0f"
    assert (character * 100).endswith(before)
    assert (character * 100).startswith(after)
    assert not after[-1:].endswith("\u200d")
    following = (character * 100)[len(after) : len(after) + 1]
    assert not unicodedata.category(following or "x").startswith("M")


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("🇩🇪🇫🇷🇯🇵" * 50, "🇫🇷"),
        ("hello " + "🇩🇪" * 60 + "FINDME" + "🇫🇷" * 60, "🇩🇪F"),
        ("a" + "\u0301" * 400, "\u0301\u0301"),
        ("👨\u200d" * 300, "👨"),
        ("x" * 300 + "w" * 199 + "e\u0301" + "q" * 100, "w" * 199 + "e"),
        ("x" * 300 + "w" * 300, "w" * 200),
        ("🏴\U000e0067\U000e0062\U000e007f" * 100, "🏴"),
    ],
)
def test_the_snippet_has_the_keyword_whatever_is_around_it(
    store: Any, tenant: str, dialog: str, text: str, keyword: str
) -> None:
    save(store, tenant, dialog, text)
    found = snippet(store, tenant, keyword)
    assert keyword in found
    assert len(found) <= 200
    assert len(found) >= 150


def test_a_keyword_of_marks_alone_does_not_empty_the_snippet(store: Any, tenant: str, dialog: str) -> None:
    save(store, tenant, dialog, "a" * 300 + "\u0301\u0302" + "b" * 300)
    assert "\u0301\u0302" in snippet(store, tenant, "\u0301\u0302")
