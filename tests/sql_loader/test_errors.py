"""Malformed query files: each is an error that names the file and the line; and what the header may declare."""

from __future__ import annotations

import pytest

from conversation_store._sql_loader import compile_text
from conversation_store.errors import QueryError
from support.query_file import BODY_LINE, HEADER, NAME, PATH


def error_of(source: str | bytes) -> str:
    with pytest.raises(QueryError) as caught:
        compile_text(source if isinstance(source, bytes) else source.encode(), PATH, NAME)
    return str(caught.value)


STATEMENT_ERRORS = {
    "a number by hand": ("SELECT\n$1;\n", 5, "write :name instead of $1"),
    "a number after a number": ("SELECT 1$2;\n", 4, "write :name instead of $2"),
    "a lone dollar": ("SELECT $:a;\n", 4, "write :name instead of $"),
    "a lone tag": ("SELECT $abc ;\n", 4, "write :name instead of $"),
    "a string variable of psql": ("SELECT\n\n:'a';\n", 6, "psql's quoted variables are not supported; write :name"),
    "a name variable of psql": ('SELECT :"a";\n', 4, "psql's quoted variables are not supported; write :name"),
    "a variable of psql in a call": ("SELECT x[f(:'a')];\n", 4, "psql's quoted variables are not supported"),
    "an upper-case name": ("SELECT :Name;\n", 4, ":Name must be spelled in lower case, of a to z, 0 to 9 and _"),
    "a name that goes on in upper case": ("SELECT :nAme;\n", 4, ":nAme must be spelled in lower case"),
    "a name beyond ASCII": ("SELECT\n:né;\n", 5, ":né must be spelled in lower case"),
    "a parameter after a name": ("SELECT\nx:a;\n", 5, ":a must not touch what stands before it"),
    "a parameter after a name with a dollar": ("SELECT x$:a;\n", 4, ":a must not touch what stands before it"),
    "a parameter after a number": ("SELECT 1:a;\n", 4, ":a must not touch what stands before it"),
    "a parameter after a parameter": ("SELECT :b:a;\n", 4, ":a must not touch what stands before it"),
    "a parameter after a name in a call": ("SELECT x[f(y:a)];\n", 4, ":a must not touch what stands before it"),
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
    "a comment after the statement": ("SELECT 1;\n-- done\n", 5, "must be one statement"),
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
    "returns after the header": ("/* thing.get */\n-- A.\nSELECT 1\n-- returns: one\n", 1, "needs '-- returns: '"),
    "an unknown directive": (f"{HEADER}-- note: b\n", 4, "unknown directive note; it must be one of returns, plan"),
    "a repeated directive": (f"{HEADER}\n-- returns: many\n", 5, "returns is given twice"),
    "a wrong value of returns": (
        "/* thing.get */\n-- A.\n-- returns: rows\n",
        3,
        f"returns must be one of {ALL_RETURNS}, not 'rows'",
    ),
    "a value with a blank": ("/* thing.get */\n-- A.\n-- returns: one \n", 3, "returns must be one of"),
    "a wrong value of plan": (f"{HEADER}-- plan: auto\n", 4, "plan must be one of custom, not 'auto'"),
    "a wrong value of index": (
        f"{HEADER}-- index: a;b\n",
        4,
        "index must be one of names joined by ', ' or ' or ', or",
    ),
    "scans without a reason": (f"{HEADER}-- scans: thing\n", 4, "scans must be one of tables, since …, not 'thing'"),
    "a wrong value that goes on": (f"{HEADER}-- index: a,\n--   b c\n", 4, "index must be one of names"),
}


@pytest.mark.parametrize(("header", "line", "message"), HEADER_ERRORS.values(), ids=HEADER_ERRORS.keys())
def test_a_malformed_header_is_an_error_with_its_file_and_line(header: str, line: int, message: str) -> None:
    assert error_of(f"{header}SELECT 1;\n").startswith(f"{PATH}:{line}: {message}")


def test_a_file_in_another_encoding_is_an_error_with_its_line() -> None:
    assert error_of(f"{HEADER}SELECT\n'é';\n".encode("latin-1")) == f"{PATH}:{BODY_LINE + 1}: is not UTF-8"


@pytest.mark.parametrize("returns", ["one", "optional", "many", "count"])
def test_the_header_declares_what_a_statement_returns(returns: str) -> None:
    query = compile_text(f"/* thing.get */\n-- A.\n-- returns: {returns}\nSELECT 1;\n".encode(), PATH, NAME)
    assert (query.returns, query.plan) == (returns, "auto")


def test_the_header_may_declare_custom_plans_and_ends_at_the_statement() -> None:
    header = "/* thing.get */\n-- Get, and say: this.\n--\n\n-- plan: custom\n-- returns: one\n"
    query = compile_text(f"{header}SELECT 1\n-- note: this is a comment\n;\n".encode(), PATH, NAME)
    assert (query.returns, query.plan) == ("one", "custom")
