"""Query files: read once, checked, and compiled from `:name` to the `$n` of the server. Nothing else is changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

from conversation_store._once import once
from conversation_store._sql_lexer import block_end, token_at
from conversation_store.errors import QueryError

Returns: TypeAlias = Literal["one", "optional", "many", "count"]
Plan: TypeAlias = Literal["auto", "custom"]

# The values of each directive, as regular expressions. A statement that reads rows of all tenants, or a whole table, or
# that a rule of `lint` is not for, gives the reason, and one that sorts says what.
_NAME = "[a-z_][a-z0-9_]*"
_NAMES = f"{_NAME}(?:(?:, | or ){_NAME})*"
_DIRECTIVES: Mapping[str, tuple[str, ...]] = {
    "returns": get_args(Returns),
    "plan": ("custom",),
    "tenants": ("all, since .+",),
    "index": (_NAMES,),
    "scans": (f"{_NAMES}, since .+",),
    "sorts": (".+",),
    # Result columns that Python never sees as NULL, although the statement could make them so.
    "not_null": (f"{_NAME}(?:, {_NAME})*, since .+",),
    "lint": (r"L\d\d, since .+",),
}
_SHOWN = {
    "index": "names joined by ', ' or ' or ', or none",
    "scans": "tables, since …",
    "not_null": "columns, since …",
    "lint": "the code of a rule, as L05, since …",
}
# What may be given several times: its values are lines of one.
_REPEATED = frozenset({"lint"})


@dataclass(frozen=True)
class Query:
    """One statement: `text` is what the server gets, and its `$1` is `parameters[0]`.

    It is compiled when it is first used, since a process runs few of the files that it reads.
    """

    name: str
    path: str
    source: str = field(repr=False)
    returns: Returns
    plan: Plan
    all_tenants: bool  # whether it reads rows of all tenants

    @once
    def _compiled(self) -> tuple[str, dict[str, int]]:
        return _compile(self.path, self.source)

    @once
    def text(self) -> bytes:
        """The statement as the server gets it; raises `QueryError` naming path and line."""
        return self._compiled[0].encode()

    @once
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of their numbers."""
        return tuple(self._compiled[1])

    def position_of(self, parameter: str) -> int:
        """Return where a parameter is used first in the source."""
        return self._compiled[1][parameter]

    def bind(self, params: Mapping[str, object]) -> tuple[object, ...]:
        """Return the values in the order of the statement; raises `QueryError` for missing and unknown names."""
        if len(params) == len(self.parameters):
            try:
                return tuple(map(params.__getitem__, self.parameters))
            except KeyError:
                pass
        if missing := [name for name in self.parameters if name not in params]:
            raise _error(self.path, self.source, self._compiled[1][missing[0]], f"was not given {_list(missing)}")
        raise QueryError(f"{self.path}:1: has no parameter {_list(sorted(params.keys() - set(self.parameters)))}")


def sql_directory() -> Traversable:
    """Return the folder of the SQL files: inside of the installed package, or at the top of the checkout."""
    packaged = files("conversation_store") / "sql"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "sql"


@cache
def load(name: str) -> Query:
    """Load `conversation.get_list` from `sql/conversation/get_list.sql`."""
    path = f"sql/{name.replace('.', '/')}.sql"
    if not re.fullmatch(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*", name):
        raise QueryError(f"{path}:1: {name!r} is not the name of a query; it must be folder.file, in lower case")
    folder, stem = name.split(".")
    file = sql_directory() / folder / f"{stem}.sql"
    if not file.is_file():
        raise QueryError(f"{path}:1: there is no such file")
    return _read(file.read_bytes(), path, name)


def load_all() -> dict[str, Query]:
    """Load and compile every query file, in order of the names; without the migrations in `sql/schema`."""
    names = (
        f"{folder.name}.{file.name.removesuffix('.sql')}"
        for folder in sql_directory().iterdir()
        if folder.is_dir() and folder.name != "schema"
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
    queries = {name: load(name) for name in sorted(names)}
    for query in queries.values():
        _ = query.text
    return queries


def compile_text(source: bytes, path: str, name: str) -> Query:
    """Check the bytes of a query file and compile its parameters; raises `QueryError` naming path and line."""
    query = _read(source, path, name)
    _ = query.text
    return query


def _read(source: bytes, path: str, name: str) -> Query:
    """Check the bytes of a query file, but for the statement in it."""
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise QueryError(f"{path}:{line}: is not UTF-8") from error
    for character, meaning in (("\0", "U+0000"), ("\r", "a carriage return"), ("\ufeff", "a byte order mark")):
        if character in text:
            raise _error(path, text, text.index(character), f"contains {meaning}")
    directives = read_header(path, text, name).directives
    return Query(
        name,
        path,
        text,
        cast(Returns, directives["returns"]),
        cast(Plan, directives.get("plan", "auto")),
        "tenants" in directives,
    )


def _list(names: list[str]) -> str:
    return ", ".join(f":{name}" for name in names)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _error(path: str, text: str, position: int, message: str) -> QueryError:
    error = QueryError(f"{path}:{_line(text, position)}: {message}")
    error.text, error.position = text, position
    return error


def _error_in_line(path: str, text: str, number: int, message: str) -> QueryError:
    begin = sum(len(line) + 1 for line in text.split("\n")[: number - 1])
    return _error(path, text, begin, message)


class Header(NamedTuple):
    """The comments that open a file: the lines of its prose, its directives, and the number of the line below."""

    prose: list[str]
    directives: dict[str, str]
    end: int


def read_header(path: str, text: str, name: str) -> Header:
    """Return the comments that open a file; raises `QueryError` for directives that are unknown, wrong or missing.

    A directive goes on in the lines right behind it that are indented.
    """
    lines = text.split("\n")
    if lines[0] != f"/* {name} */":
        raise _error_in_line(path, text, 1, f"the first line must be /* {name} */")
    prose: list[str] = []
    given: list[tuple[int, str, str]] = []
    number, open_directive = 1, ""
    for number, line in enumerate(lines[1:], start=2):
        if line.strip() and not line.startswith("--"):
            break
        if open_directive and (more := re.fullmatch("-- {2,}(.+)", line)):
            begun, word, value = given[-1]
            given[-1] = begun, word, f"{value} {more[1]}"
            continue
        directive = re.fullmatch(r"-- ([a-z_]+): (.*)", line)
        open_directive = directive[1] if directive else ""
        if directive is None:
            prose.append(line.removeprefix("--").removeprefix(" "))
            continue
        word, value = directive.groups()
        if word not in _DIRECTIVES:
            allowed = ", ".join(_DIRECTIVES)
            raise _error_in_line(path, text, number, f"unknown directive {word}; it must be one of {allowed}")
        if word not in _REPEATED and any(word == each for _, each, _ in given):
            raise _error_in_line(path, text, number, f"{word} is given twice")
        given.append((number, word, value))
    directives: dict[str, str] = {}
    for begun, word, value in given:
        if not any(re.fullmatch(pattern, value) for pattern in _DIRECTIVES[word]):
            allowed = _SHOWN.get(word) or ", ".join(_DIRECTIVES[word]).replace(".+", "…")
            raise _error_in_line(path, text, begun, f"{word} must be one of {allowed}, not {value!r}")
        directives[word] = f"{directives[word]}\n{value}" if word in directives else value
    if not any(line.strip(" -") for line in prose):
        raise _error_in_line(path, text, 1, "a comment below the name must say what the statement does")
    if "returns" not in directives:
        allowed = ", ".join(_DIRECTIVES["returns"])
        raise _error_in_line(path, text, 1, f"needs '-- returns: ' and one of {allowed}")
    return Header(prose, directives, number)


# Between brackets, a colon behind one of these can only be that of a slice.
_OPERANDS = frozenset({"literal", "number", "closing", "parameter"})


def _compile(path: str, text: str) -> tuple[str, dict[str, int]]:
    """Return the text with `$n` for each `:name`, and the position where each name is first used, in order of n."""
    compiled: list[str] = []
    parameters: dict[str, int] = {}
    brackets: list[str] = []
    before, touching = "", False  # the kind of the token before this one, and whether nothing stands between them
    ended = False
    position = 0
    while position < len(text):
        match = token_at(text, position)
        kind, token = cast(str, match.lastgroup), match[0]
        if ended and token != "\n":
            raise _error(path, text, position, "must be one statement: only a newline may follow its semicolon")
        operand = before in _OPERANDS or (before == "word" and touching)
        if brackets[-1:] == ["["] and (kind == "variable" or (kind == "parameter" and operand)):
            kind, token = "other", ":"  # of a slice; what follows it is read next
        if kind == "block":
            if (end := block_end(text, position)) is None:
                raise _error(path, text, position, "this comment is never closed")
            kind, token = "blank", text[position:end]
        elif kind == "unclosed":
            raise _error(path, text, position, f"{token} is never closed")
        elif kind == "variable":
            raise _error(path, text, position, "psql's quoted variables are not supported; write :name")
        elif kind == "dollar":
            raise _error(path, text, position, f"write :name instead of {token}")
        elif kind == "opening":
            brackets.append(token)
        elif kind == "closing" and brackets:
            brackets.pop()
        elif token == ";":
            if not before:
                raise _error(path, text, position, "there is no statement before the semicolon")
            ended = True
        elif kind == "parameter":
            name = match["name"]
            if not re.fullmatch("[a-z_][a-z0-9_]*", name):
                raise _error(path, text, position, f"{token} must be spelled in lower case, of a to z, 0 to 9 and _")
            if touching and before in ("word", "number", "parameter"):
                raise _error(path, text, position, f"{token} must not touch what stands before it")
            parameters.setdefault(name, position)
            token = f"${list(parameters).index(name) + 1}"
        compiled.append(token)
        position += len(token) if kind != "parameter" else len(match[0])
        touching = kind != "blank"
        before = kind if touching else before
    if not ended or not text.endswith(";\n"):
        raise _error(path, text, len(text) - 1, "must end with a semicolon and a newline")
    return "".join(compiled), parameters
