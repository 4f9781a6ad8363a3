"""Query files: loaded once, checked, and compiled from `:name` to the `$n` of the server. Nothing else is changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from conversation_store.errors import QueryError

Returns: TypeAlias = Literal["one", "optional", "many", "count"]
Plan: TypeAlias = Literal["auto", "custom"]

_DIRECTIVES: Mapping[str, tuple[str, ...]] = {"returns": get_args(Returns), "plan": ("custom",)}


@dataclass(frozen=True, slots=True)
class Query:
    """One statement: `text` is what the server gets, its `$1` is `parameters[0]`, first used in line `lines[0]`."""

    name: str
    path: str
    text: bytes
    parameters: tuple[str, ...]
    lines: tuple[int, ...]
    returns: Returns
    plan: Plan

    def bind(self, params: Mapping[str, object]) -> tuple[object, ...]:
        """Return the values in the order of the statement; raises `QueryError` for a missing or an unknown one."""
        for name, line in zip(self.parameters, self.lines, strict=True):
            if name not in params:
                raise QueryError(f"{self.path}:{line}: :{name} was not given")
        if unknown := params.keys() - set(self.parameters):
            raise QueryError(f"{self.path}:1: has no parameter {', '.join(sorted(unknown))}")
        return tuple(params[name] for name in self.parameters)


def sql_directory() -> Traversable:
    """Return the folder of the SQL files: inside of the installed package, or at the top of the checkout."""
    packaged = files("conversation_store") / "sql"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "sql"


@cache
def load(name: str) -> Query:
    """Load `conversation.get_list` from `sql/conversation/get_list.sql`."""
    folder, _, stem = name.partition(".")
    path = f"sql/{folder}/{stem}.sql"
    try:
        source = (sql_directory() / folder / f"{stem}.sql").read_bytes()
    except OSError as error:
        raise QueryError(f"{path}:1: cannot be read: {error.strerror}") from error
    return compile_query(name, path, source)


def load_all() -> dict[str, Query]:
    """Load every query file, in order of the names."""
    names = (
        f"{folder.name}.{file.name.removesuffix('.sql')}"
        for folder in sql_directory().iterdir()
        if folder.is_dir() and folder.name != "schema"
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
    return {name: load(name) for name in sorted(names)}


def compile_query(name: str, path: str, source: bytes) -> Query:
    """Check the bytes of a query file and compile its parameters."""
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise QueryError(f"{path}:{line}: is not UTF-8") from error
    for character, meaning in (("\0", "U+0000"), ("\r", "a carriage return"), ("\ufeff", "a byte order mark")):
        if character in text:
            raise _error(path, text, text.index(character), f"contains {meaning}")
    directives = _header(path, text, name)
    compiled, parameters = _compile(path, text)
    return Query(
        name,
        path,
        compiled.encode(),
        tuple(parameters),
        tuple(_line(text, position) for position in parameters.values()),
        cast(Returns, directives["returns"]),
        cast(Plan, directives.get("plan", "auto")),
    )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _error(path: str, text: str, position: int, message: str) -> QueryError:
    return QueryError(f"{path}:{_line(text, position)}: {message}")


def _header(path: str, text: str, name: str) -> dict[str, str]:
    """Return the directives among the comments that open a file."""
    lines = text.split("\n")
    if lines[0] != f"/* {name} */":
        raise QueryError(f"{path}:1: the first line must be /* {name} */")
    directives: dict[str, str] = {}
    has_prose = False
    for number, line in enumerate(lines[1:], start=2):
        if line and not line.startswith("--"):
            break
        directive = re.fullmatch(r"-- ([a-z_]+): (.*)", line)
        if directive is None:
            has_prose = has_prose or len(line) > len("-- ")
            continue
        word, value = directive.groups()
        if word not in _DIRECTIVES:
            raise QueryError(f"{path}:{number}: unknown directive {word}; there are {', '.join(_DIRECTIVES)}")
        if word in directives:
            raise QueryError(f"{path}:{number}: {word} is said twice")
        if value not in _DIRECTIVES[word]:
            raise QueryError(f"{path}:{number}: {word} must be one of {', '.join(_DIRECTIVES[word])}, not {value}")
        directives[word] = value
    if not has_prose:
        raise QueryError(f"{path}:2: a comment must say what the statement does")
    if "returns" not in directives:
        raise QueryError(f"{path}:2: needs '-- returns: ' and one of {', '.join(_DIRECTIVES['returns'])}")
    return directives


# The tokens of PostgreSQL's lexer, as far as it takes to tell a parameter from everything else, in order of precedence.
# A string goes on behind a newline when nothing but white space and line comments come between.
_CONTINUED = r"(?:[ \t\f\v]*(?:--[^\n]*)?\n(?:\s|--[^\n]*\n)*"
_TOKEN = re.compile(
    rf"""
    (?P<comment>     --[^\n]* )
  | (?P<block>       /\* )
  | (?P<string>      [eE]'(?:[^'\\]|\\.|'')*'{_CONTINUED}'(?:[^'\\]|\\.|'')*')*
                   | '(?:[^']|'')*'{_CONTINUED}'(?:[^']|'')*')* )
  | (?P<dollar>      \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$ )
  | (?P<quoted>      "(?:[^"]|"")*" )
  | (?P<unclosed>    [eE]?'|"|\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$ )
  | (?P<word>        [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
  | (?P<number>      [0-9][A-Za-z0-9_.]*|\.[0-9][A-Za-z0-9_]* )
  | (?P<cast>        ::|:= )
  | (?P<parameter>   :(?P<name>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*) )
  | (?P<positional>  \$[0-9]+ )
  | (?P<variable>    :['"] )
  | (?P<space>       \s+ )
  | (?P<open>        [(\[] )
  | (?P<close>       [)\]] )
  | (?P<end>         ; )
  | (?P<other>       . )
    """,
    re.VERBOSE | re.DOTALL,
)
# Behind one of these, inside of brackets, a colon can only be that of a slice.
_OPERANDS = frozenset({"string", "dollar", "quoted", "number", "close", "parameter"})


def _compile(path: str, text: str) -> tuple[str, dict[str, int]]:
    """Return the text with `$n` for each `:name`, and each name with its first position, in order of n."""
    compiled: list[str] = []
    parameters: dict[str, int] = {}
    brackets: list[str] = []
    before, touching = "", False  # the token before this one, and whether nothing stands between them
    ended = False
    position = 0
    while position < len(text):
        match = cast("re.Match[str]", _TOKEN.match(text, position))
        kind, token = cast(str, match.lastgroup), match[0]
        if ended and token != "\n":
            raise _error(path, text, position, "must be one statement: nothing but a newline may follow its semicolon")
        if kind == "block":
            token = text[position : _block_end(path, text, position)]
        elif kind in ("parameter", "variable"):
            if brackets[-1:] == ["["] and (before in _OPERANDS or (before == "word" and touching)):
                kind, token = "other", ":"  # the colon of a slice
            elif kind == "variable":
                raise _error(path, text, position, "psql's quoted variables are not supported; write :name")
            elif not re.fullmatch("[a-z_][a-z0-9_]*", match["name"]):
                raise _error(path, text, position, f"{token} must be spelled in lower case, of a to z, 0 to 9 and _")
            elif touching and before in ("word", "number", "parameter"):
                raise _error(path, text, position, f"{token} must not touch what stands before it")
        elif kind == "positional":
            raise _error(path, text, position, f"{token} must be written as :name")
        elif kind == "unclosed":
            raise _error(path, text, position, f"{token} is never closed")
        elif kind == "open":
            brackets.append(token)
        elif kind == "close" and brackets:
            brackets.pop()
        elif kind == "end":
            ended = True
        if kind == "parameter":
            parameters.setdefault(match["name"], position)
            compiled.append(f"${list(parameters).index(match['name']) + 1}")
        else:
            compiled.append(token)
        position += len(token)
        if kind in ("space", "comment", "block"):
            touching = False
        else:
            before, touching = kind, True
    if not ended or not text.endswith(";\n"):
        raise _error(path, text, len(text) - 1, "must end with a semicolon and a newline")
    return "".join(compiled), parameters


def _block_end(path: str, text: str, start: int) -> int:
    """Return where a block comment ends; they nest."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    raise _error(path, text, start, "this comment is never closed")
