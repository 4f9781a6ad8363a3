"""Parameters of a query file: `:name` is replaced by a number, wherever it is a parameter, and values are bound to it."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from conversation_store import _sql_loader
from conversation_store._sql_loader import Query, compile_text, load
from conversation_store.errors import QueryError, StoreError
from support.query_file import BODY_LINE, HEADER, NAME, PATH


def compiled(body: str) -> tuple[str, tuple[str, ...]]:
    query = compile_text(f"{HEADER}{body};\n".encode(), PATH, NAME)
    text = query.text.decode()
    assert text.startswith(HEADER)
    assert text.endswith(";\n")
    return text[len(HEADER) : -2], query.parameters


# Each is written with the text that the server gets; $1 is :a and $2 is :b.
PARAMETERS = {
    "a parameter": ("SELECT :a", "SELECT $1"),
    "a name used twice": ("SELECT :a, :b, :a", "SELECT $1, $2, $1"),
    "a cast": ("SELECT :a::int", "SELECT $1::int"),
    "a cast of a name": ("SELECT b::text, :a", "SELECT b::text, $1"),
    "a cast and a parameter": ("SELECT :::a", "SELECT ::$1"),
    "a list without spaces": ("SELECT 1 IN (:a,:b)", "SELECT 1 IN ($1,$2)"),
    "a named argument": ("SELECT f(days := :a)", "SELECT f(days := $1)"),
    "a named argument without spaces": ("SELECT f(days:=:a)", "SELECT f(days:=$1)"),
    "a jsonb operator": ("SELECT '{\"a\":1}'::jsonb ? :a", "SELECT '{\"a\":1}'::jsonb ? $1"),
    "a json path": ("SELECT j @? '$.a', :a", "SELECT j @? '$.a', $1"),
    "a remainder": ("SELECT 10 % 3, :a", "SELECT 10 % 3, $1"),
    "a pattern": ("SELECT t LIKE 'tok%', :a", "SELECT t LIKE 'tok%', $1"),
    "a type with arguments": ("SELECT 1::numeric(3,1), :a", "SELECT 1::numeric(3,1), $1"),
    "an operator in front": ("SELECT 1+:a, -:b", "SELECT 1+$1, -$2"),
    "an operator that touches a line comment": ("SELECT 1 +--:x\n:a", "SELECT 1 +--:x\n$1"),
    "an operator that touches a block comment": ("SELECT 1 +/*:x*/:a", "SELECT 1 +/*:x*/$1"),
    "a comment between a name and a parameter": ("SELECT x/**/:a", "SELECT x/**/$1"),
    "a key of JSON_OBJECT": ("SELECT JSON_OBJECT('k' : :a)", "SELECT JSON_OBJECT('k' : $1)"),
    "a literal after": ("SELECT 'x'<:a", "SELECT 'x'<$1"),
    "line comments": ("SELECT -- see :x ' \" $$ /* ;\n:a", "SELECT -- see :x ' \" $$ /* ;\n$1"),
    "nested comments": ("SELECT /* a /* :x */ ' */ :a", "SELECT /* a /* :x */ ' */ $1"),
    "a comment of stars": ("SELECT /***:x*//**/ :a /*/ :x */", "SELECT /***:x*//**/ $1 /*/ :x */"),
    "many parameters": (
        ", ".join([":a", ":b", ":c", ":d", ":e_1", ":f", ":g", ":h", ":i", ":_j", ":k", ":a"]),
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $1",
    ),
    "characters beyond ASCII": ("SELECT 'é' AS \u00e9\u00a0, :a", "SELECT 'é' AS \u00e9\u00a0, $1"),
    # Arrays and slices.
    "an element": ("SELECT x[:a]", "SELECT x[$1]"),
    "an array": ("SELECT ARRAY[:a,:b]", "SELECT ARRAY[$1,$2]"),
    "a cast between brackets": ("SELECT x[b::int]", "SELECT x[b::int]"),
    "a slice of parameters": ("SELECT x[1 : :b], x[:b::int : 2]", "SELECT x[1 : $1], x[$1::int : 2]"),
    "a slice up to a parameter": ("SELECT x[: :a]", "SELECT x[: $1]"),
    "a slice after a parameter": ("SELECT x[:a:b], x[:a :b]", "SELECT x[$1:b], x[$1 :b]"),
    "a slice in parentheses": ("SELECT x[(:a):b]", "SELECT x[($1):b]"),
    "a call between brackets": ("SELECT x[f(:a)], x[f(1, :b):n]", "SELECT x[f($1)], x[f(1, $2):n]"),
    "brackets in parentheses": ("SELECT x[f(y[1:n], :a)]", "SELECT x[f(y[1:n], $1)]"),
    "after closed brackets": ("SELECT x[1], (:a), x[2] || :b", "SELECT x[1], ($1), x[2] || $2"),
    "a CASE between brackets": ("SELECT x[CASE WHEN :a THEN :b END]", "SELECT x[CASE WHEN $1 THEN $2 END]"),
    "a CASE in a slice": ("SELECT x[CASE WHEN :a THEN 1 END:n]", "SELECT x[CASE WHEN $1 THEN 1 END:n]"),
}


@pytest.mark.parametrize(("source", "text"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_a_parameter_becomes_the_number_of_its_first_use(source: str, text: str) -> None:
    assert compiled(source)[0] == text


TEXTS = {
    "a slice": "x[1:2]",
    "a slice up to a name": "x[1:n], x[1 :n], x[1\n:n], x[1.5:n], x[.5:n]",
    "a slice of names": "x[lo:hi], x[é:n], x[a$1:n]",
    "a slice after a string": "x['1':n], x[E'1' :n], x[$$1$$:n]",
    "a slice after a quoted name": 'x["lo":n], x["lo" :n]',
    "a slice after brackets": "x[y[1]:n], x[(1) :n], x[f(y[1]):n]",
    "a slice up to literals": "x[1:'2'], x[1:\"n\"], x[:'2'], x[1:N'2'], x[1:E'\\':x']",
    "a whole slice": "x[:]",
    "a dollar quote": "$$a:b :c ' $x$ $1$$",
    "a tagged dollar quote": "$tag$ :a $$ $tagg$ ' $tag$",
    "a dollar quote with a tag beyond ASCII": "$é1$ :a $$ $é1$",
    "a dollar quote that ends after half of its tag": "$a$ :x $$a$ , '$a$'",
    "a dollar inside of a name": "a$b$c, a$$, 'a$$:x'",
    "an escape string": r"E'it\'s :x', e'\\', E'\'''\\\':x'",
    "a backslash in a plain string": r"'C:\', 'x:y', 'it''s :x'",
    "a name that ends in e": r"some'C:\', ':x'",
    "a national string": r"N'C:\', ':x'",
    "a Unicode string": r"U&'\0061:x\', ':x', U&'!0061:x' UESCAPE '!'",
    "a Unicode name": r'U&"\0061:x"":y"',
    "bit strings": "B'', X'', B'01', x'1F'",
    "quoted names": '"a:b", "a"":b", ":a \'", ":a --"',
    "an escape string that goes on": "E'a'\n'b\\' :x'",
    "an escape string that goes on after comments": "E'a' -- it's :x\n\t-- more :x\n \f\v'b\\' :x'\n'c\\' :x'",
    "a plain string that goes on": "'a'\n'b\\', ':x' -- :x\n 'c\\'",
    "a plain string after a block comment": "E'a' /* \n */ || 'b\\', ':x'",
    "a plain string on the same line": "E'a' 'b\\', ':x'",
    "a string of a semicolon": "';', \";\", $$;$$ /* ; */ -- ;\n",
    "a date": "'2024-01-01 10:30:00'::timestamptz",
}


@pytest.mark.parametrize("source", TEXTS.values(), ids=TEXTS.keys())
def test_text_that_looks_like_a_parameter_is_not_changed(source: str) -> None:
    assert compiled(f"SELECT {source}, :z") == (f"SELECT {source}, $1", ("z",))


def test_only_the_parameters_of_a_file_are_changed() -> None:
    source = f"{HEADER}\n\tSELECT  :a::int ,\n\n'é \\ :b' -- 検索 :c\n;\n".encode()
    query = compile_text(source, PATH, NAME)
    assert (query.text, query.parameters) == (source.replace(b":a", b"$1"), ("a",))


# -- binding ------------------------------------------------------------------------------


@pytest.fixture
def query() -> Query:
    return compile_text(f"{HEADER}SELECT :b,\n:a,\n:b, :c;\n".encode(), PATH, NAME)


def test_values_are_bound_in_the_order_of_the_statement(query: Query) -> None:
    assert query.parameters == ("b", "a", "c")
    assert query.bind({"a": 1, "b": None, "c": [3]}) == (None, 1, [3])


def test_a_missing_parameter_is_an_error_at_the_line_of_its_first_use(query: Query) -> None:
    with pytest.raises(QueryError, match=rf"^{PATH}:{BODY_LINE + 1}: was not given :a, :c$"):
        query.bind({"b": 1, "d": 2})
    with pytest.raises(QueryError, match=rf"^{PATH}:{BODY_LINE}: was not given :b$"):
        query.bind({"a": 1, "c": 1})


def test_an_unknown_parameter_is_an_error_at_the_first_line_of_the_file(query: Query) -> None:
    with pytest.raises(QueryError, match=rf"^{PATH}:1: has no parameter :d, :e$"):
        query.bind({"a": 1, "b": 1, "c": 1, "e": 1, "d": 1})


def test_a_query_cannot_be_changed(query: Query) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(query, "text", b"")  # noqa: B010  # type checkers reject an assignment


def test_an_error_of_a_query_is_an_error_of_the_store() -> None:
    assert issubclass(QueryError, StoreError)


def test_a_statement_is_compiled_without_waiting_for_a_thread_that_a_child_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = load("dialog.get_by_id")
    query = replace(loaded, name="dialog.not_compiled_yet")
    began, end = threading.Event(), threading.Event()
    compile_now = vars(_sql_loader)["_compile"]

    def slowly(path: str, text: str) -> Any:
        if threading.current_thread() is thread:
            began.set()
            end.wait(30)
        return compile_now(path, text)

    monkeypatch.setattr(_sql_loader, "_compile", slowly)
    thread = threading.Thread(target=lambda: query.text)
    thread.start()
    assert began.wait(30)
    assert query.text == loaded.text
    assert thread.is_alive()
    end.set()
    thread.join()
