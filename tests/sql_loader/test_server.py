"""The scanner against the server: random statements whose parameters both must find in the same places.

SQL is put together of parts: text that both sides have, and the names of parameters. A statement with its parameters
must give what the same statement gives with literals in their places.
"""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from psycopg import Connection
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from conversation_store._sql_loader import compile_text
from support.query_file import HEADER, NAME, PATH


class Use(str):
    """A use of the parameter of this name."""

    __slots__ = ()


Parts: TypeAlias = list[str]

NUMBERS = ("i", "j", "n_1")
WORDS = ("t", "_w", "e")
# Text that the scanner might misread, in literals and comments of every kind.
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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=statements(), values=VALUES)
def test_the_server_finds_the_parameters_where_the_scanner_found_them(
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
