"""PostgreSQL's lexical rules: the tokens of a text, and the statements of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

# Beyond ASCII every character belongs to a name, blanks too, so `\s` and `\w` would be wrong. A set of what is not in a
# name compiles in a twentieth of the time of a range up to the last character.
_NAME = r"[^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*"
_ESCAPED = r"(?:[^'\\]|\\.|'')*"
_CONTINUED = r"[ \t\f\v]*(?:--[^\n]*)?\n(?:[ \t\n\f\v]|--[^\n]*\n)*"

# The tokens of PostgreSQL's lexer, as far as it takes to tell a parameter from everything else, in order of precedence.
# - An E'' goes on behind a newline, with only white space and line comments between. So does a plain string, but its
#   parts may be read one by one: a backslash means nothing in any of them.
# - The prefixes of N'', B'', X'' and U&'' are words here: what follows them ends where a plain string ends.
# - The `(?!` keep a literal that is never closed from being read as a shorter one.
_TOKEN = re.compile(
    rf"""
    (?P<blank>      [ \t\n\f\v]+ | --[^\n]* )
  | (?P<block>      /\* )
  | (?P<literal>    [eE]'{_ESCAPED}(?:'{_CONTINUED}'{_ESCAPED})*'(?!(?:{_CONTINUED})?')
                  | '(?:[^']|'')*'(?!')
                  | "(?:[^"]|"")*"(?!")
                  | (?P<tag>\$(?:{_NAME})?\$).*?(?P=tag) )
  | (?P<unclosed>   [eE]?' | " | \$(?:{_NAME})?\$ )
  | (?P<word>       {_NAME}(?:\$|[0-9]|{_NAME})* )
  | (?P<number>     \.?[0-9][A-Za-z0-9_]*\.? )
  | (?P<cast>       ::|:= )
  | (?P<parameter>  :(?P<name>{_NAME}) )
  | (?P<variable>   :['"] )
  | (?P<dollar>     \$[0-9]* )
  | (?P<opening>    [(\[] )
  | (?P<closing>    [)\]] )
  | (?P<other>      . )
    """,
    re.VERBOSE | re.DOTALL,
)


def token_at(text: str, position: int) -> re.Match[str]:
    """Return the token at a position; the name of its last group is its kind."""
    return cast("re.Match[str]", _TOKEN.match(text, position))


def block_end(text: str, start: int) -> int | None:
    """Return where a block comment ends, or None where it does not; they nest."""
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return None


@dataclass(frozen=True, slots=True)
class Part:
    """A statement of a file: its text with its comments, and its outline.

    The outline has no comments, one blank for any white space, and nothing in its literals.
    """

    text: str
    outline: str


def split(text: str) -> list[Part]:
    """Cut a text at the semicolons that end a statement; raises `ValueError` where something is never closed.

    A semicolon between parentheses, as in CREATE RULE, ends nothing, and neither does one of a body between BEGIN
    ATOMIC and END. What has no statement in it, but comments, is left out.
    """
    parts: list[Part] = []
    outline: list[str] = []
    words: list[str] = []  # of this statement, in lower case
    parentheses = blocks = start = position = 0
    while position < len(text):
        match = token_at(text, position)
        kind, token = cast(str, match.lastgroup), match[0]
        if kind == "block":
            kind, end = "blank", block_end(text, position)
            if end is None:
                raise ValueError("a comment is never closed")
            token = text[position:end]
        elif kind == "unclosed":
            raise ValueError(f"{token} is never closed")
        elif kind == "variable":
            token = ":"  # of a slice; the literal behind it is read next
        position += len(token)
        if kind == "blank":
            if outline and outline[-1] != " ":
                outline.append(" ")
            continue
        if token == ";" and parentheses == blocks == 0:
            if outline:
                parts.append(Part(text[start:position].strip(), "".join(outline).strip()))
            outline, words, start = [], [], position
            continue
        parentheses += (token == "(") - (token == ")")
        if kind == "word":
            words.append(token.lower())
            # As the name of a column these words need a dot or AS before them: they are reserved.
            if outline[-1:] != ["."] and words[-2:-1] != ["as"]:
                blocks += _block(words, blocks)
        outline.append("''" if kind == "literal" and not token.startswith('"') else token)
    if outline:
        parts.append(Part(text[start:].strip(), "".join(outline).strip()))
    return parts


def _block(words: list[str], blocks: int) -> int:
    """Return 1 where the last word begins a block whose statements end with semicolons, and -1 where it ends one."""
    if blocks == 0:
        has_body = words[0] == "create" and not {"function", "procedure"}.isdisjoint(words[1:4])
        return 1 if has_body and words[-2:] == ["begin", "atomic"] else 0
    return {"case": 1, "end": -1}.get(words[-1], 0)
