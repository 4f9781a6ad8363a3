"""What the text of a message is: the tables of README.md, and values that must not make an append fail."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SECTION = (
    (Path(__file__).parents[2] / "README.md").read_text().partition("## What a search finds")[2].partition("\n## ")[0]
)
SHAPES = re.findall(r"^\| ([^|]+) \| `([^|]+)` \| (`[^|]+`) \|$", SECTION, re.MULTILINE)
LETTERS = re.findall(r"^\| `([^|]+)` \| `([^|]+)` \| (yes|no) \|", SECTION, re.MULTILINE)
TextOf: TypeAlias = Callable[[Any], "str | None"]


@pytest.fixture(scope="module")
def connection(db: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(db, autocommit=True) as connection:
        yield connection


@pytest.fixture
def text_of(connection: psycopg.Connection[Any]) -> TextOf:
    """Give a function that returns the text of a message, which is JSON text or a value."""

    def text_of(message: Any) -> str | None:
        body = message.decode() if isinstance(message, bytes) else json.dumps(message)
        row = connection.execute("SELECT conversation_store.message_text(%s::json)", [body]).fetchone()
        assert row is not None
        return None if row[0] is None else str(row[0])

    return text_of


# -- the tables of the README ----------------------------------------------------------------------


def test_the_tables_are_read() -> None:
    rows = re.findall(r"^\| .*\|$", SECTION, re.MULTILINE)
    assert len(SHAPES) + len(LETTERS) == len(rows) - 2  # the heads of the tables


@pytest.mark.parametrize(("message", "texts"), [row[1:] for row in SHAPES])
def test_the_text_of_a_message_is_what_the_readme_says(text_of: TextOf, message: str, texts: str) -> None:
    expected = "\n".join(re.findall(r"`(.*?)`", texts))
    value = json.loads(message)
    for spelling in (
        message,
        json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        json.dumps(value, indent=1),
    ):
        assert text_of(spelling.encode()) == expected


def test_every_shape_is_found_by_a_search_and_nothing_else_of_it(store: Any, tenant: str, dialog: str) -> None:
    for name, message, texts in SHAPES:
        id = store.conversations.save(dialog_id=dialog, tenant_id=tenant, message=[json.loads(message)]).id
        words = re.findall(r"`(.*?)`", texts)

        def found(keyword: str, id: str = id) -> int:
            return int(store.conversations.get_list(dialog, tenant, id=id, keywords=keyword).count)

        assert [word for word in words if not found(word)] == [], name
        assert [
            word for word in ("role", "assistant", "aGk=", "base64", "https", "image/", "_text") if found(word)
        ] == []


@pytest.mark.parametrize(("text", "keyword", "found"), LETTERS)
def test_letters_are_equal_as_the_readme_says(
    connection: psycopg.Connection[Any], text: str, keyword: str, found: str
) -> None:
    row = connection.execute(
        "SELECT strpos(conversation_store.fold(%s::text), conversation_store.fold(%s::text)) > 0", [text, keyword]
    ).fetchone()
    assert row == (found == "yes",)


# -- what is text and what is not ------------------------------------------------------------------


@pytest.mark.parametrize("message", [None, True, 17, 1.5, {}, [], {"role": "user"}, {"content": None}, {"content": 3}])
def test_what_has_no_text_has_none(text_of: TextOf, message: Any) -> None:
    assert not text_of(message)


# Contents that look like the JSON around them.
LIKE_JSON = st.text('"\\\\,:{}[] 1arx', max_size=6) | st.sampled_from(
    ['","', '":"', '","text":"', "role", "text", '"', "}"]
)
MEMBERS = st.dictionaries(
    st.sampled_from(["role", "id", "created_at", "content", "text", "name", "note"]),
    LIKE_JSON | st.integers(-9, 9) | st.none() | st.lists(LIKE_JSON, max_size=2),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(message=MEMBERS, content=LIKE_JSON, compact=st.booleans(), first=st.booleans())
def test_a_message_that_is_read_fast_has_the_text_that_its_parts_have(
    db: str, message: dict[str, Any], content: str, compact: bool, first: bool
) -> None:
    message = {"content": content, **message} if first else {**message, "content": content}
    body = json.dumps(message, separators=(",", ":") if compact else None)
    with psycopg.connect(db, autocommit=True) as connection:
        row = connection.execute(
            "SELECT conversation_store.message_text(b), conversation_store.message_parts(b, 12) FROM (SELECT %s::json AS b) AS x",
            [body],
        ).fetchone()
    assert row is not None
    assert row[0] == row[1], body


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "user", "content": 'a "b"\n\\c\t检索 😀'}, 'a "b"\n\\c\t检索 😀'),
        ({"role": "assistant", "content": "\\"}, "\\"),
        ({"role": "user", "content": "a", "text": "b"}, "a\nb"),
        ({"role": "user", "content": '","text":"'}, '","text":"'),
        ({"role": "user", "content": "", "text": "b"}, "\nb"),
        ({"text": "b", "content": "a"}, "b\na"),
        ({"content": ["a", ["b", {"text": "c"}], {"type": "image"}]}, "a\nb\nc"),
        (["a", "b"], "a\nb"),
        (b'{"role":"user","content":"a","content":"b"}', "a\nb"),
        (b'{"role":"user","content":"a","":"b"}', "a"),
        (b'{"role":"user","content":"a" , "text":"b"}', "a\nb"),
        (b'{"role":"user","content":"\\u68c0\\u7d22"}', "检索"),
    ],
)
def test_no_text_is_left_out_and_none_is_added(text_of: TextOf, message: Any, text: str) -> None:
    if not isinstance(message, bytes):
        assert text_of(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()) == text
    assert text_of(message) == text


LEAVES = {
    "": "a",
    "b": {"c": ["d", {"type": "e"}, [[]], 1, -2.5e300, True, None, {}]},
    "f": ["", 'g "h"\\\n检😀', "\\"],
}
LEAVES_TEXT = 'a\nd\ne\n1\n-2.5e+300\n\ng "h"\\\n检😀\n\\'


@pytest.mark.parametrize("key", ["output", "arguments", "args", "input", "result", "response"])
@pytest.mark.parametrize("spelling", [{}, {"indent": 2}, {"ensure_ascii": False, "separators": (",", ":")}])
def test_all_strings_and_numbers_of_a_free_value_are_text_and_no_key(
    text_of: TextOf, key: str, spelling: dict[str, Any]
) -> None:
    free = json.dumps(LEAVES, **spelling)
    assert text_of(f'{{"{key}": {free}}}'.encode()) == LEAVES_TEXT
    assert text_of({key: free}) == LEAVES_TEXT  # JSON in a string


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "[1] as is",
        "[2026-01-02]",
        '{"cut": "off',
        '{"a": "wrong \\x escape"}',
        '{"a": "\\ud83d"}',
        '{"a": "\\u0000"}',
        '{"a": "tab\tand \\n"}',
        '{"a" \x01 "b"}',
        '{"a": undefined}',
        '["a" 12:30]x',
        '["needle" : "b"]',
        '["a"], "needle": 1',
        '{"a", "needle"}',
        '{"needle": 1, }',
        '["a" "b"]',
        '[1 2, "b"]',
        '["a\tb,"]',
        '["a": "\t,"]',
        '["a"}',
        "[\u00a0]",
        '["\x01"]',
        '{"a":"' + "\\q" * 150 + '"}',
        "[" * 200 + "]" * 200,
        "[" + '"a", ' * 10_000 + '"b"]',
        "",
    ],
)
def test_arguments_that_are_not_read_as_json_are_text_as_they_are(text_of: TextOf, text: str) -> None:
    assert text_of({"arguments": text}) == text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab"\\:,[]{}\n検😀'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a":,', max_size=2), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, list | dict))


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        members = value.values() if isinstance(value, dict) else value
        return [leaf for member in members for leaf in leaves(member)]
    return [] if value is None or isinstance(value, bool) else [value if isinstance(value, str) else json.dumps(value)]


@settings(max_examples=300, deadline=None)
@given(value=JSON, ascii=st.booleans(), indent=st.none() | st.just(1), place=st.integers(0, 200), data=st.data())
def test_a_string_is_read_as_json_exactly_where_it_is_json(
    db: str, value: Any, ascii: bool, indent: int | None, place: int, data: st.DataObject
) -> None:
    right = json.dumps(value, ensure_ascii=ascii, indent=indent)
    place %= len(right)
    wrong = right[:place] + data.draw(st.text('",:[]{}\\ 10a\n\t-.', max_size=2)) + right[place + 1 :]
    expected: list[str | None] = []
    for text in (right, wrong):
        try:
            # All values of a key that an object has twice are read.
            read = json.loads(
                text, parse_constant=str.encode, object_pairs_hook=lambda pairs: [value for _, value in pairs]
            )
        except ValueError:
            read = None
        # A number stays as it is written.
        is_json = isinstance(read, list | dict) and (text is right or not re.search(r"[0-9]", text))
        expected.append("\n".join(leaves(read)) if is_json else text if read is None else None)
    with psycopg.connect(db, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT conversation_store.message_text(m::json) FROM unnest(%s::text[]) AS m",
            [[json.dumps({"arguments": text}) for text in (right, wrong)]],
        ).fetchall()
    for (found,), text, of in zip(rows, (right, wrong), expected, strict=True):
        assert of is None or (found or "") == of, text


BASE64 = "iVBORw0KGgo/+" * 20


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (f"a data:image/png;base64,{BASE64}== b", "a \n b"),
        (f"a data:text/plain;charset=utf-8;base64,{BASE64} b data:;base64,aGk= c", "a \n b \n c"),
        ({"role": "user", "content": f"![a](data:image/png;base64,{BASE64})"}, "![a](\n)"),
        ({"content": [{"type": "text", "text": f"data:a/b;base64,{BASE64}"}, "b"]}, "\n\nb"),
        ({"output": {"a": BASE64, "b": "c"}}, "c"),
        ({"output": {"data": "found", "format": "pdf", "more": {"mimeType": "a/b"}}}, "found\npdf\na/b"),
        ({"output": {"a": "A" * 200, "b": "A" * 201, "c": "检" * 70}}, "A" * 200 + "\n" + "检" * 70),
        ({"output": {"a": "检索" * 20, "b": "привет" * 9}}, "检索" * 20 + "\n" + "привет" * 9),
        ({"arguments": json.dumps({"a": "检索" * 20, "b": "c"})}, "检索" * 20 + "\nc"),
        ({"arguments": json.dumps({"a": BASE64, "b": "c"})}, "c"),
        ({"output": {"a": "\\" * 201, "b": "x" * 201 + " y"}}, "\\" * 201 + "\n" + "x" * 201 + " y"),
        (b'{"output": {"a": "' + BASE64.replace("/", "\\/").replace("+", "\\u002b").encode() + b'\\u003D"}}', None),
        ("base64, is a code", "base64, is a code"),
    ],
)
def test_base64_is_no_text(text_of: TextOf, message: Any, text: str) -> None:
    assert text_of(message) == text


ESCAPED = json.dumps({"city": "Осло", "note": '检索 "a"\n', "n": 21})  # as json.dumps writes it, with \\u escapes
ESCAPED_TEXT = 'Осло\n检索 "a"\n\n21'


@pytest.mark.parametrize(
    "message",
    [
        ESCAPED,
        {"role": "tool", "content": ESCAPED},
        {"role": "tool", "content": [{"type": "text", "text": ESCAPED}]},
        {"content": [{"type": "tool_result", "content": ESCAPED}]},
        {"content": [{"type": "tool_result", "content": [{"type": "text", "text": ESCAPED}]}]},
        {"result": {"content": [{"type": "text", "text": ESCAPED}, {"data": "aGk=", "mimeType": "image/png"}]}},
        {"result": {"content": [{"data": "aGk=", "mimeType": "image/png"}, {"text": ESCAPED, "type": "text"}]}},
        {"type": "function_call_output", "output": [{"type": "input_text", "text": ESCAPED}]},
        {"type": "tool", "data": {"content": ESCAPED}},
        {"content": [ESCAPED]},
        {"output": ESCAPED},
    ],
)
def test_json_with_escapes_in_a_string_is_read_as_json(text_of: TextOf, message: Any) -> None:
    assert text_of(message) == ESCAPED_TEXT


@pytest.mark.parametrize(
    "text", ['{"a key": ["of a user"]}', '{"a\\u0441": ', "[C:\\user]", '["\\ud83d"]', '{"\\u0000": "a"}']
)
def test_json_without_such_escapes_in_a_text_is_text_as_it_is(text_of: TextOf, text: str) -> None:
    for message in (text, {"role": "user", "content": text}, {"content": [{"type": "text", "text": text}]}):
        assert text_of(message) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"arguments": {"type": "image", "kind": "file", "mime_type": "a/b"}}, "image\nfile\na/b"),
        ({"output": [{"type": "file", "name": "a", "path": "b"}]}, "file\na\nb"),
        ({"output": [{"type": "message", "text": "a", "user": "b"}]}, "message\na\nb"),
        ({"output": [{"data": "a", "note": "b"}]}, "a\nb"),
        ({"output": {"content": [{"type": "text", "body": "b"}]}}, "text\nb"),
        ({"result": 3}, "3"),
    ],
)
def test_what_is_no_part_keeps_all_its_strings(text_of: TextOf, message: Any, text: str) -> None:
    assert text_of(message) == text


@pytest.mark.parametrize("shape", [lambda t: t, lambda t: {"role": "user", "content": t}, lambda t: {"output": [t]}])
def test_the_first_100000_characters_behind_base64_are_text(text_of: TextOf, shape: Callable[[str], Any]) -> None:
    for text in ("检 " * 49_999 + "ab", "x " * 49_999 + "ab"):
        assert text_of(shape(text)) == text
        assert text_of(shape(text + "c")) == text
    after = text_of(shape(f"data:image/png;base64,{BASE64 * 1_000} {text}"))
    assert after == "\n " + text[:-2]


# -- what costs no more, however large -------------------------------------------------------------

MANY = 10_001


@pytest.mark.parametrize("members", ["{}", "[]", '["a"]', '{"other":"a"}', '"a"', "1", '{"type":"text","text":"a"}'])
def test_a_message_of_very_many_parts_has_all_strings_and_numbers_of_its_beginning(
    text_of: TextOf, members: str
) -> None:
    def message(count: int) -> bytes:
        return f'{{"id":"m1","content":[{",".join([members] * count)},{{"type":"text","text":"last"}}]}}'.encode()

    walked, many = (text_of(message(count)) or "" for count in (2_000, MANY))
    assert not walked.startswith("m1")
    assert walked.endswith("last")
    assert many.startswith("m1\n")
    assert many.endswith("last")


@pytest.mark.parametrize("head", [b"[", b'{"output":[', b'{"content":[{"type":"tool_result","content":['])
@pytest.mark.parametrize(
    ("member", "text"),
    [(b'["ab"],', "ab"), (b"11, ", "11"), (b'"\\ud83d\\ude00",', "😀"), (b'"\\\\\\"",', '\\"'), (b'{"a":"b"},', "b")],
)
def test_only_the_beginning_of_a_huge_message_is_read(text_of: TextOf, head: bytes, member: bytes, text: str) -> None:
    tail = b'"last"' + b"".join({91: b"]", 123: b"}"}[byte] for byte in reversed(head) if byte in b"[{")
    for shift in range(len(member) + 1):  # the cut goes through every byte of a member
        found = text_of(head + b'"' + b"x" * shift + b'",' + member * 140_000 + tail)
        assert found is not None
        *members, last = found.removeprefix("tool_result\n").removeprefix("x" * shift + "\n").split("\n")
        assert set(members) == {text}
        assert len(members) > 20_000
        assert last in {"", "a", "1", "\\", text}


def test_base64_before_the_text_of_a_huge_message_is_not_counted(text_of: TextOf) -> None:
    for data in (BASE64 * 4_000, f"data:a/b;base64,{BASE64 * 4_000} c", BASE64.replace("/", "\\/") * 4_000):
        body = json.dumps({"output": {"a": "DATA", "b": "text"}}).replace("DATA", data).encode()
        text = text_of(body)
        assert text is not None
        assert text.endswith("text")
        assert "iVBOR" not in text


# -- what must not make an append fail -------------------------------------------------------------

DEEP = 3_000


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"[" * DEEP + b'"deep"' + b"]" * DEEP, "deep"),
        (b'{"content":' * DEEP + b'"deep"' + b"}" * DEEP, "deep"),
        (b'{"output":' * DEEP + b'"deep"' + b"}" * DEEP, "deep"),
        (b'{"other":' * DEEP + b'"deep"' + b"}" * DEEP, None),
        (b'{"output": [1e400000, -0, 1E-400000, ' + b"9" * 5_000 + b"]}", "1e400000\n-0\n1E-400000\n" + "9" * 5_000),
        (b'{"content": 1e400000}', None),
    ],
)
def test_no_depth_and_no_number_raises(text_of: TextOf, message: bytes, text: str | None) -> None:
    assert text_of(message) == text


@pytest.mark.slow
def test_50_mb_of_base64_are_appended_and_the_text_beside_them_is_found(store: Any, tenant: str, dialog: str) -> None:
    data = "QUJD" * 900_000  # 3.6 MB, below max_json_bytes with the others
    parts = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "text", "text": f"before ![x](data:image/png;base64,{data}) behind"},
        {"type": "tool_result", "content": [{"type": "image", "data": data, "mimeType": "image/png"}]},
    ]
    id = store.conversations.save(dialog_id=dialog, tenant_id=tenant).id
    for _ in range(4):
        store.conversations.append_round(id, [{"role": "user", "content": parts}], tenant_id=tenant)
    for keyword, count in (("behind", 1), ("QUJD", 0), ("base64", 0)):
        assert store.conversations.get_list(dialog, tenant, keywords=keyword, items_per_page=0).count == count
