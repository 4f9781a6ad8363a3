from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from psycopg import Connection
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from conversation_store import _sql_loader
from conversation_store._sql_loader import Query, compile_text, load, load_all, sql_directory
from conversation_store.errors import QueryError, StoreError

NAME = "thing.get"
PATH = "sql/thing/get.sql"
HEADER = "/* thing.get */\n-- Get a thing.\n-- returns: many\n"
BODY_LINE = 4  # of the first line below the header

# -- compiling ----------------------------------------------------------------------------


def compiled(body: str) -> tuple[str, tuple[str, ...]]:
    query = compile_text(f"{HEADER}{body};\n".encode(), PATH, NAME)
    text = query.text.decode()
    assert text.startswith(HEADER)
    assert text.endswith(";\n")
    return text[len(HEADER) : -2], query.parameters


def error_of(source: str | bytes) -> str:
    with pytest.raises(QueryError) as caught:
        compile_text(source if isinstance(source, bytes) else source.encode(), PATH, NAME)
    return str(caught.value)


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
    "a literal behind": ("SELECT 'x'<:a", "SELECT 'x'<$1"),
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
    "a slice behind a parameter": ("SELECT x[:a:b], x[:a :b]", "SELECT x[$1:b], x[$1 :b]"),
    "a slice in parentheses": ("SELECT x[(:a):b]", "SELECT x[($1):b]"),
    "a call between brackets": ("SELECT x[f(:a)], x[f(1, :b):n]", "SELECT x[f($1)], x[f(1, $2):n]"),
    "brackets in parentheses": ("SELECT x[f(y[1:n], :a)]", "SELECT x[f(y[1:n], $1)]"),
    "behind closed brackets": ("SELECT x[1], (:a), x[2] || :b", "SELECT x[1], ($1), x[2] || $2"),
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
    "a slice behind a string": "x['1':n], x[E'1' :n], x[$$1$$:n]",
    "a slice behind a quoted name": 'x["lo":n], x["lo" :n]',
    "a slice behind brackets": "x[y[1]:n], x[(1) :n], x[f(y[1]):n]",
    "a slice up to literals": "x[1:'2'], x[1:\"n\"], x[:'2'], x[1:N'2'], x[1:E'\\':x']",
    "a whole slice": "x[:]",
    "a dollar quote": "$$a:b :c ' $x$ $1$$",
    "a tagged dollar quote": "$tag$ :a $$ $tagg$ ' $tag$",
    "a dollar quote with a tag beyond ASCII": "$é1$ :a $$ $é1$",
    "a dollar quote that ends behind half of its tag": "$a$ :x $$a$ , '$a$'",
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
    "an escape string that goes on behind comments": "E'a' -- it's :x\n\t-- more :x\n \f\v'b\\' :x'\n'c\\' :x'",
    "a plain string that goes on": "'a'\n'b\\', ':x' -- :x\n 'c\\'",
    "a plain string behind a block comment": "E'a' /* \n */ || 'b\\', ':x'",
    "a plain string on the same line": "E'a' 'b\\', ':x'",
    "a string of a semicolon": "';', \";\", $$;$$ /* ; */ -- ;\n",
    "a date": "'2024-01-01 10:30:00'::timestamptz",
}


@pytest.mark.parametrize("source", TEXTS.values(), ids=TEXTS.keys())
def test_what_only_looks_like_a_parameter_is_text(source: str) -> None:
    assert compiled(f"SELECT {source}, :z") == (f"SELECT {source}, $1", ("z",))


def test_only_the_parameters_of_a_file_are_changed() -> None:
    source = f"{HEADER}\n\tSELECT  :a::int ,\n\n'é \\ :b' -- 検索 :c\n;\n".encode()
    query = compile_text(source, PATH, NAME)
    assert query == Query(NAME, PATH, source.replace(b":a", b"$1"), ("a",), "many", "auto", (5,))


# -- what is refused ----------------------------------------------------------------------

STATEMENT_ERRORS = {
    "a number by hand": ("SELECT\n$1;\n", 5, "write :name instead of $1"),
    "a number behind a number": ("SELECT 1$2;\n", 4, "write :name instead of $2"),
    "a lone dollar": ("SELECT $:a;\n", 4, "write :name instead of $"),
    "a lone tag": ("SELECT $abc ;\n", 4, "write :name instead of $"),
    "a string variable of psql": ("SELECT\n\n:'a';\n", 6, "psql's quoted variables are not supported; write :name"),
    "a name variable of psql": ('SELECT :"a";\n', 4, "psql's quoted variables are not supported; write :name"),
    "a variable of psql in a call": ("SELECT x[f(:'a')];\n", 4, "psql's quoted variables are not supported"),
    "an upper-case name": ("SELECT :Name;\n", 4, ":Name must be spelled in lower case, of a to z, 0 to 9 and _"),
    "a name that goes on in upper case": ("SELECT :nAme;\n", 4, ":nAme must be spelled in lower case"),
    "a name beyond ASCII": ("SELECT\n:né;\n", 5, ":né must be spelled in lower case"),
    "a parameter behind a name": ("SELECT\nx:a;\n", 5, ":a must not touch what stands before it"),
    "a parameter behind a name with a dollar": ("SELECT x$:a;\n", 4, ":a must not touch what stands before it"),
    "a parameter behind a number": ("SELECT 1:a;\n", 4, ":a must not touch what stands before it"),
    "a parameter behind a parameter": ("SELECT :b:a;\n", 4, ":a must not touch what stands before it"),
    "a parameter behind a name in a call": ("SELECT x[f(y:a)];\n", 4, ":a must not touch what stands before it"),
    "an open string": ("SELECT\n'a\n'';\n", 5, "' is never closed"),
    "an open escape string": ("SELECT\nE'a\\';\n", 5, "E' is never closed"),
    "an open part of an escape string": ("SELECT E'a'\n'b\\';\n", 4, "E' is never closed"),
    "an open quoted name": ('SELECT\n"a"";\n', 5, '" is never closed'),
    "an open dollar quote": ("SELECT\n$$ $;\n", 5, "$$ is never closed"),
    "an open tagged dollar quote": ("SELECT\n$a$ $$ $A$;\n", 5, "$a$ is never closed"),
    "an open comment": ("SELECT\n1 /* /* */\n;\n", 5, "this comment is never closed"),
    "no semicolon": ("SELECT\n1\n", 5, "must end with a semicolon and a newline"),
    "a semicolon in a comment": ("SELECT 1 -- ;\n", 4, "must end with a semicolon and a newline"),
    "no newline": ("SELECT\n1;", 5, "must end with a semicolon and a newline"),
    "two newlines": ("SELECT 1;\n\n", 4, "must be one statement: only a newline may follow its semicolon"),
    "two statements": ("SELECT 1;\nSELECT 2;\n", 5, "must be one statement"),
    "two semicolons": ("SELECT 1;;\n", 4, "must be one statement"),
    "a semicolon in parentheses": ("SELECT (1;\n2);\n", 5, "must be one statement"),
    "a comment behind the statement": ("SELECT 1;\n-- done\n", 5, "must be one statement"),
    "no statement": ("-- Nothing.\n\n;\n", 6, "there is no statement before the semicolon"),
    "a NUL": ("SELECT\n'\0';\n", 5, "contains U+0000"),
    "lines that end in CRLF": ("SELECT\n1;\r\n", 5, "contains a carriage return"),
    "a byte order mark within": ("SELECT\n'\ufeff';\n", 5, "contains a byte order mark"),
}


@pytest.mark.parametrize(("body", "line", "message"), STATEMENT_ERRORS.values(), ids=STATEMENT_ERRORS.keys())
def test_a_malformed_statement_is_an_error_with_its_file_and_line(body: str, line: int, message: str) -> None:
    assert error_of(HEADER + body).startswith(f"{PATH}:{line}: {message}")


ALL_RETURNS = "one, optional, many, count"
HEADER_ERRORS = {
    "nothing": ("", 1, "the first line must be /* thing.get */"),
    "another name": ("/* thing.got */\n-- A.\n-- returns: one\n", 1, "the first line must be /* thing.get */"),
    "a name with blanks": ("/* thing.get */ \n-- A.\n-- returns: one\n", 1, "the first line must be /* thing.get */"),
    "a name in line 2": ("\n/* thing.get */\n-- A.\n-- returns: one\n", 1, "the first line must be /* thing.get */"),
    "a byte order mark": ("\ufeff" + HEADER, 1, "contains a byte order mark"),
    "CRLF": (HEADER.replace("\n", "\r\n"), 1, "contains a carriage return"),
    "no prose": ("/* thing.get */\n--\n-- returns: one\n", 1, "a comment below the name must say what the statement"),
    "no returns": ("/* thing.get */\n-- A.\n", 1, f"needs '-- returns: ' and one of {ALL_RETURNS}"),
    "returns behind the header": ("/* thing.get */\n-- A.\nSELECT 1\n-- returns: one\n", 1, "needs '-- returns: '"),
    "an unknown directive": (f"{HEADER}-- note: b\n", 4, "unknown directive note; it must be one of returns, plan"),
    "a repeated directive": (f"{HEADER}\n-- returns: many\n", 5, "returns is said twice"),
    "a wrong value of returns": (
        "/* thing.get */\n-- A.\n-- returns: rows\n",
        3,
        f"returns must be one of {ALL_RETURNS}, not 'rows'",
    ),
    "a value with a blank": ("/* thing.get */\n-- A.\n-- returns: one \n", 3, "returns must be one of"),
    "a wrong value of plan": (f"{HEADER}-- plan: auto\n", 4, "plan must be one of custom, not 'auto'"),
}


@pytest.mark.parametrize(("header", "line", "message"), HEADER_ERRORS.values(), ids=HEADER_ERRORS.keys())
def test_a_malformed_header_is_an_error_with_its_file_and_line(header: str, line: int, message: str) -> None:
    assert error_of(f"{header}SELECT 1;\n").startswith(f"{PATH}:{line}: {message}")


def test_a_file_in_another_encoding_is_an_error_with_its_line() -> None:
    assert error_of(f"{HEADER}SELECT\n'é';\n".encode("latin-1")) == f"{PATH}:{BODY_LINE + 1}: is not UTF-8"


@pytest.mark.parametrize("returns", ["one", "optional", "many", "count"])
def test_the_header_says_what_a_statement_returns(returns: str) -> None:
    query = compile_text(f"/* thing.get */\n-- A.\n-- returns: {returns}\nSELECT 1;\n".encode(), PATH, NAME)
    assert (query.returns, query.plan) == (returns, "auto")


def test_the_header_may_ask_for_custom_plans_and_ends_at_the_statement() -> None:
    header = "/* thing.get */\n-- Get, and say: this.\n--\n\n-- plan: custom\n-- returns: one\n"
    query = compile_text(f"{header}SELECT 1\n-- note: this is a comment\n;\n".encode(), PATH, NAME)
    assert (query.returns, query.plan) == ("one", "custom")


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


def test_an_unknown_parameter_is_an_error_at_the_head_of_the_file(query: Query) -> None:
    with pytest.raises(QueryError, match=rf"^{PATH}:1: has no parameter :d, :e$"):
        query.bind({"a": 1, "b": 1, "c": 1, "e": 1, "d": 1})


def test_a_query_cannot_be_changed(query: Query) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(query, "text", b"")  # noqa: B010  # an assignment would be refused by the type checkers


def test_an_error_of_a_query_is_an_error_of_the_store() -> None:
    assert issubclass(QueryError, StoreError)


# -- loading ------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package with SQL files of its own, as a wheel is; nothing loaded from it is remembered."""

    def files(_: str) -> Path:
        return tmp_path

    monkeypatch.setattr(_sql_loader, "files", files)
    monkeypatch.setattr(_sql_loader, "load", load.__wrapped__)
    (tmp_path / "sql" / "thing").mkdir(parents=True)
    (tmp_path / "sql" / "thing" / "get.sql").write_text(f"{HEADER}SELECT :a;\n", newline="")
    return tmp_path


def test_every_file_of_the_project_can_be_loaded() -> None:
    queries = load_all()
    assert {query.path for query in queries.values()} == {
        f"sql/{file.parent.name}/{file.name}"
        for file in Path(str(sql_directory())).glob("*/*.sql")
        if file.parent.name != "schema"
    }
    assert "conversation.get_list" in queries
    for name, query in queries.items():
        assert query.name == name
        assert query is load(name)


def test_a_file_is_loaded_by_its_name_and_path(package: Path) -> None:
    query = _sql_loader.load("thing.get")
    assert (query.name, query.path, query.parameters) == ("thing.get", "sql/thing/get.sql", ("a",))


def test_the_files_of_a_package_come_before_those_of_a_checkout(package: Path) -> None:
    assert sql_directory() == package / "sql"


def test_migrations_and_papers_are_no_queries(package: Path) -> None:
    (package / "sql" / "README.md").write_text("papers")
    (package / "sql" / "thing" / "notes.txt").write_text("papers")
    (package / "sql" / "schema").mkdir()
    (package / "sql" / "schema" / "0001_tables.sql").write_text("SELECT 1")
    assert list(load_all()) == ["thing.get"]


def test_a_file_without_a_header_fails_when_all_are_loaded(package: Path) -> None:
    (package / "sql" / "thing" / "put.sql").write_text("SELECT 1;\n")
    with pytest.raises(QueryError, match=r"^sql/thing/put\.sql:1: the first line must be /\* thing\.put \*/$"):
        load_all()


def test_an_unknown_file_is_an_error() -> None:
    with pytest.raises(QueryError, match=r"^sql/thing/got\.sql:1: there is no such file$"):
        load("thing.got")


@pytest.mark.parametrize("name", ["thing", "thing.", ".get", "Thing.get", "a.b.c", "../thing.get", "thing.get\n", ""])
def test_a_name_is_a_folder_and_a_file(name: str) -> None:
    with pytest.raises(QueryError, match=r"(?s)^sql/.*:1: .* is not the name of a query"):
        load(name)


# -- against the server -------------------------------------------------------------------
# SQL is put together of parts: text that both sides have, and the names of parameters. A statement with its parameters
# must give what the same statement gives with literals in their places.


class Use(str):
    """A use of the parameter of this name."""

    __slots__ = ()


Parts: TypeAlias = list[str]

NUMBERS = ("i", "j", "n_1")
WORDS = ("t", "_w", "e")
# Whatever the scanner might trip over, in literals and comments of every kind.
DECOYS = st.lists(
    st.sampled_from(
        [":i", ":t ", ":x", "::", ":", '"', "--", "$1", "$x$", "$", ";", " ", "\t", "é", "検索", "e", "[", ")"]
    ),
    max_size=5,
).map("".join)


def literal(opening: str, *more: str, closing: str = "'") -> SearchStrategy[str]:
    """Return literals of decoys and *more*, each of which is right within the quotes."""
    inside = st.lists(DECOYS | st.sampled_from(["\n", *more]), max_size=6).map("".join)
    return inside.map(lambda text: f"{opening}{text}{closing}")


def block_comment(inside: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.lists(inside, max_size=3).map(lambda parts: f"/*{' '.join(parts)}*/")


LINE_COMMENT = (DECOYS | st.sampled_from(["it's", "\\", "/*", "$$", "*/"])).map(lambda text: f"--{text}\n")
BLOCK_COMMENT = st.recursive(
    block_comment(DECOYS | st.sampled_from(["'", "\n", "$$", "\\"])), lambda inner: block_comment(inner | DECOYS)
)
GAP = st.lists(st.sampled_from([" ", "\n", "\t"]) | LINE_COMMENT | BLOCK_COMMENT, max_size=3).map(
    lambda parts: " " + "".join(parts)
)
# Between the parts of one string: a newline, and nothing else than white space and line comments.
CONTINUED = st.builds(
    lambda before, after: f"{before}{''.join(after)}",
    st.sampled_from(["\n", " \n", "\t\n"]) | LINE_COMMENT.map(lambda comment: f" {comment}"),
    st.lists(st.sampled_from([" ", "\n"]) | LINE_COMMENT, max_size=3),
)
PLAIN = literal("'", "''", "\\", "/*", "*/", "$$")
ESCAPED = literal("E'", "''", "\\'", "\\\\", "\\n", "\\x41", "/*") | literal("e'", "\\'", "\\\\", "''")
UNICODE = literal("U&'", "''", "\\0061", "\\\\", "/*")


def string(first: SearchStrategy[str], prefix: int) -> SearchStrategy[str]:
    """Return strings of one part or several."""
    more = st.lists(st.tuples(CONTINUED, first.map(lambda part: part[prefix:])).map("".join), max_size=2).map("".join)
    return st.tuples(first, more).map("".join)


def dollar_quote(tag: str) -> SearchStrategy[str]:
    quote = f"${tag}$"
    inside = st.lists(DECOYS | st.sampled_from(["'", "\n", "\\", "$$", "$tagg$", "/*"]), max_size=6).map("".join)
    return inside.map(lambda text: f"{quote}{text}{quote}").filter(
        lambda text: text.index(quote, len(quote)) == len(text) - len(quote)
    )


STRING = st.one_of(
    string(PLAIN, 0),
    string(ESCAPED, 1),
    string(UNICODE, 2),
    string(literal("N'", "''", "\\"), 1),
    st.sampled_from(["B''", "X''", "b'01'", "x'1F'"]),
    st.sampled_from(["", "tag", "x", "_é"]).flatmap(dollar_quote),
)
ALIAS = st.one_of(
    st.builds(lambda *parts: "".join(parts)[:15], DECOYS, st.sampled_from(["'", "\\", "$$", "\n"]), DECOYS).map(
        lambda name: '"' + name.replace('"', '""') + '"'
    ),
    st.sampled_from(["a$i$b", "é$$", 'U&"d\\0061:t"', '":i"', "_1$"]),
)
NUMBER = st.sampled_from(NUMBERS).map(lambda name: [Use(name), "::int4"])
WORD = st.sampled_from(WORDS).map(lambda name: [Use(name), "::text"])
ARRAY = "(ARRAY[4,5,6])"


def around(template: str, *operands: SearchStrategy[Parts]) -> SearchStrategy[Parts]:
    """Return the template with an operand in place of each `~`."""
    pieces = template.split("~")
    return st.tuples(*operands).map(
        lambda chosen: [pieces[0], *(part for o, piece in zip(chosen, pieces[1:], strict=True) for part in [*o, piece])]
    )


EXPRESSION: SearchStrategy[Parts] = st.one_of(
    NUMBER,
    WORD,
    STRING.map(lambda text: [text]),
    around("~||~", WORD, PLAIN.map(lambda text: [text])),
    around("~ || ~::text", ESCAPED.map(lambda text: [text]), WORD),
    around("~ IN (~,~)", NUMBER, NUMBER, NUMBER),
    around("~+--:i\n~", NUMBER, NUMBER),
    around("1-/*:i*/~", NUMBER),
    around("10 % ~::numeric(3,1)", NUMBER),
    around("'tok:i' LIKE 'tok%' AND ~ LIKE '%'", WORD),
    around("make_interval(days := ~, hours:=~)", NUMBER, NUMBER),
    around("""'{"i":1}'::jsonb ? ~""", WORD),
    around("""'{"i":[1,2]}'::jsonb @? '$.i' OR ~ = 'a:t'""", WORD),
    around("ARRAY[~,~]", NUMBER, NUMBER),
    around("ARRAY[ARRAY[~],ARRAY[~]]", NUMBER, NUMBER),
    around(f"{ARRAY}[~]", NUMBER),
    around(f"{ARRAY}[1:~], {ARRAY}[1:2]", NUMBER.map(lambda parts: [" ", *parts])),
    around(f"{ARRAY}[~:3], {ARRAY}[~ : 3], {ARRAY}[:], {ARRAY}[: ~]", NUMBER, NUMBER, NUMBER),
    around(f"{ARRAY}[~ : ~]", NUMBER, NUMBER),
    around(f"{ARRAY}[abs(~):abs(~)]", NUMBER, NUMBER),
    around(f"{ARRAY}[({ARRAY}[1:3])[~] - 3:3]", NUMBER),
    around(f"{ARRAY}[CASE WHEN ~ > 1 THEN ~ END]", NUMBER, NUMBER),
    around(f"{ARRAY}[CASE WHEN ~ > 1 THEN 1 ELSE 2 END:3]", NUMBER),
    around(
        """(SELECT x[i:t] || x["i":t] || x[~:t] || x[i :~] FROM (VALUES (ARRAY[4,5,6], 1, 2)) AS v (x, i, t))""",
        # The bare name: with a cast, the parameter would not touch the colon of the slice.
        st.sampled_from(NUMBERS).map(lambda name: [Use(name)]),
        NUMBER.map(lambda parts: [" ", *parts]),
    ),
)


@st.composite
def statements(draw: st.DrawFn) -> Parts:
    parts: Parts = ["SELECT"]
    for index in range(draw(st.integers(1, 5))):
        parts += ["," if index else "", draw(GAP), *draw(EXPRESSION), draw(GAP)]
        if draw(st.booleans()):
            parts += ["AS ", draw(ALIAS), draw(GAP)]
    return [*parts, ";\n"]


VALUES = st.fixed_dictionaries(
    {name: st.integers(1, 3).map(str) for name in NUMBERS}
    | {name: DECOYS | st.sampled_from(["it's", "\\", "a", "$$ :i"]) for name in WORDS}
)


def answer(result: PGresult) -> tuple[list[bytes | None], list[int], list[list[bytes | None]]]:
    """Return the names, types and values of a result."""
    assert result.status == ExecStatus.TUPLES_OK, result.error_message
    columns = range(result.nfields)
    values = [[result.get_value(row, column) for column in columns] for row in range(result.ntuples)]
    return [result.fname(column) for column in columns], [result.ftype(column) for column in columns], values


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=statements(), values=VALUES)
def test_the_server_takes_the_parameters_where_the_scanner_found_them(
    connection: Connection, parts: Parts, values: dict[str, str]
) -> None:
    body = "".join(f":{part}" if isinstance(part, Use) else part for part in parts)
    written = "".join("'" + values[part].replace("'", "''") + "'" if isinstance(part, Use) else part for part in parts)
    expected = tuple(dict.fromkeys(str(part) for part in parts if isinstance(part, Use)))

    query = compile_text(f"{HEADER}{body}".encode(), PATH, NAME)
    assert query.parameters == expected

    server = connection.pgconn
    prepared = server.prepare(b"", query.text)
    assert prepared.status == ExecStatus.COMMAND_OK, prepared.error_message
    assert server.describe_prepared(b"").nparams == len(expected)
    bound = server.exec_prepared(b"", [values[name].encode() for name in expected])
    assert answer(bound) == answer(server.exec_(f"{HEADER}{written}".encode()))
