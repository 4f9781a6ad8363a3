"""SQL as HTML: classes for the kinds of tokens, a line an element, and a mark where the tenant stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pygments.lexers
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.token import Generic, Keyword, Name, Operator, Punctuation, Text, Whitespace

# A condition on the tenant, as the statements write it.
TENANT = re.compile(r"\b(?:[a-z_]\w*\.)?tenant_id\s*=\s*(?:ANY\s*\(\s*)?:tenant_ids?\b(?:::text\b(?:\[\])?)?", re.I)
_IN_CAPITALS = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|MERGE|COPY|VALUES|CREATE)\b")
_PLAIN = (Name, Whitespace, Punctuation, Operator)  # most of a text: an element around each would be most of the page


def sql(text: str, anchor: str = "") -> Markup:
    """Return SQL as HTML, each line in an element with an id below *anchor* where that is given."""
    out = StringIO()
    formatter: HtmlFormatter[str] = HtmlFormatter(nowrap=True)
    formatter.format(_tokens(text), out)
    lines = out.getvalue().splitlines(keepends=True)  # no element goes beyond a line
    if anchor:
        lines = [f'<span id="{escape(anchor)}-{number}">{line}</span>' for number, line in enumerate(lines, 1)]
    return Markup("".join(lines))  # noqa: S704 - the formatter has escaped the text


def _tokens(text: str) -> Iterator[tuple[Any, str]]:
    """Yield the tokens of the lexer of PostgreSQL, with kinds that fit a query file."""
    marked = [match.span() for match in TENANT.finditer(text)]
    in_capitals = _IN_CAPITALS.search(text) is not None
    lexers: Any = pygments.lexers
    for index, kind, value in lexers.get_lexer_by_name("postgresql").get_tokens_unprocessed(text):
        is_name = kind is Name or (kind is Keyword and (in_capitals or text[index - 1 : index] == "."))
        is_name = is_name and not value.isupper()
        if any(start <= index < end for start, end in marked):
            yield Generic.Strong, value
        elif is_name and text[index + len(value) : index + len(value) + 1] == "(":
            yield Name.Function, value
        elif is_name or kind in _PLAIN or value == ".":
            yield Text, value
        else:
            yield kind, value
