"""The catalogue of query files: what each says of itself in its header and its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from conversation_store._sql_lexer import block_end, token_at
from conversation_store._sql_loader import Query, compile_text, read_header, sql_directory
from conversation_store.errors import QueryError

# Folders that have no statements for PostgreSQL: the migrations, and the statements for MySQL.
_OTHERS = frozenset({"schema", "ragflow_mysql"})


class NoQueryFiles(ValueError):
    """A folder has no query file: its path may be another than was meant."""


Choice: TypeAlias = tuple[str, str]
"""A parameter and the literal that it is compared with."""


class Parameter(NamedTuple):
    """A parameter of a file, as the text uses it."""

    name: str
    type: str  # as it is cast first; empty where it never is
    optional: bool  # whether the statement says what NULL means
    choices: tuple[str, ...]  # the literals that it is compared with, in order
    read_as: Mapping[Choice | None, str]  # as what it is read in the end, in the branch of a choice or outside of any

    @property
    def of_position(self) -> bool:
        """Whether it is a part of the position that a later page begins after, or ends before."""
        return self.name in ("after", "before") or self.name.startswith("after_")


class Scans(NamedTuple):
    """The tables that a statement reads as a whole, and why it may."""

    tables: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class QueryFile:
    """A query file: its statement, and what its comments and its parameters say."""

    query: Query
    purpose: str  # the first sentence of the comment, without its full stop
    prose: str  # what follows it
    directives: Mapping[str, str]

    @property
    def name(self) -> str:
        """The tag of its first line, as `conversation.get_list`."""
        return self.query.name

    @property
    def path(self) -> str:
        """The path, as messages show it."""
        return self.query.path

    @property
    def table(self) -> str:
        """The folder, which is named after the table."""
        return self.name.partition(".")[0]

    @property
    def method(self) -> str:
        """The name in the folder, which is that of the method."""
        return self.name.partition(".")[2]

    @property
    def of_ragflow(self) -> bool:
        """Whether it is one of ours that runs on a RAGFlow database."""
        return self.table == "ragflow" and self.path.startswith("sql/ragflow/")

    @property
    def is_copy(self) -> bool:
        """Whether it is a COPY, which has no plan and cannot be prepared."""
        return self.words[:1] == ["copy"]

    @cached_property
    def is_write(self) -> bool:
        """Whether it changes rows."""
        pairs = zip([""] * 2 + self.words, ["", *self.words], self.words, strict=False)
        return self.is_copy or any(
            (word in ("into", "from") and before in ("insert", "delete", "merge"))
            or (word == "update" and before not in ("for", "key", "do"))
            for _, before, word in pairs
        )

    @property
    def indexes(self) -> tuple[tuple[str, ...], ...] | None:
        """The indexes that serve it, each with those that may serve in its place; None where the header is silent."""
        given = self.directives.get("index")
        if given is None:
            return None
        return () if given == "none" else tuple(tuple(group.split(" or ")) for group in given.split(", "))

    @property
    def scans(self) -> Scans:
        """The tables that it may read as a whole."""
        tables, _, reason = self.directives.get("scans", "").partition(", since ")
        return Scans(tuple(tables.split(", ")) if tables else (), reason)

    @property
    def not_null(self) -> tuple[str, ...]:
        """The result columns that Python never sees as NULL, although the statement could make them so."""
        columns = self.directives.get("not_null", "").partition(", since ")[0]
        return tuple(columns.split(", ")) if columns else ()

    @property
    def body(self) -> str:
        """The statement without the comments that open the file."""
        header = read_header(self.path, self.query.source, self.name)
        return self.query.source.split("\n", header.end - 1)[-1]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in the order of their numbers."""
        # What looks at the tokens behind one finds nothing there at the end of a text that breaks off.
        tokens = [*self._tokens, *[""] * 4]
        found = [_parameter(name, tokens) for name in self.query.parameters]
        # A page begins after a row or at the beginning: what is known of one part of a position is true of all of it.
        if any(each.of_position and each.optional for each in found):
            found = [each._replace(optional=True) if each.of_position else each for each in found]
        return tuple(found)

    @cached_property
    def ordering(self) -> tuple[str, ...]:
        """The names of the parameters that decide on the order of the rows."""
        tokens = self._tokens
        found: dict[str, None] = {}
        for at in range(1, len(tokens)):
            if tokens[at].lower() == "by" and tokens[at - 1].lower() == "order":
                found.update(dict.fromkeys(token[1:] for token in _clause(tokens, at + 1)))
        return tuple(name for name in self.query.parameters if name in found)

    @cached_property
    def _tokens(self) -> list[str]:
        return list(_tokens(self.query.source))

    @cached_property
    def words(self) -> list[str]:
        """The names and keywords of the statement, in lower case and in order."""
        return [token.lower() for token in self._tokens if token[0].isalpha()]


def files(folder: Path | None = None) -> list[QueryFile]:
    """Return every query file of a folder, or our own, in order of the names; raises the first `QueryError`."""
    found, errors = scan(folder)
    if errors:
        raise errors[0]
    return found


def scan(folder: Path | None = None) -> tuple[list[QueryFile], list[QueryError]]:
    """Return the query files of a folder, or our own, and what is wrong with the others.

    A file is named after its folder and itself: `orders/get.sql` is `orders.get`. Migrations in a folder `schema` are
    no query files, and neither is what has a name that begins with a dot. A path of one file is that file. Raises
    `NoQueryFiles` where there is none.
    """
    found: list[QueryFile] = []
    errors: list[QueryError] = []
    root: Traversable = sql_directory() if folder is None else folder
    shown = "sql" if folder is None else str(folder)
    # The name of a file right inside of a relative path such as "." is that of the folder all the same.
    parent = "sql" if folder is None else (folder.resolve().parent if folder.is_file() else folder.resolve()).name
    for path, table, file in sorted(_walk(root, shown, parent), key=lambda each: each[0]):
        if folder is None and table == parent:
            continue  # steps for a DBA, such as citus.sql
        try:
            found.append(read(_content(file, path), path, f"{table}.{file.name.removesuffix('.sql')}"))
        except QueryError as error:
            errors.append(error)
    if not found and not errors:
        raise NoQueryFiles(f"{shown} has no query file: a file that ends with .sql")
    return found, errors


def _content(file: Traversable, path: str) -> bytes:
    if not file.is_file():  # a pipe would be waited for
        raise QueryError(f"{path}:1: this is no file, or a link to none")
    try:
        return file.read_bytes()
    except OSError as error:
        raise QueryError(f"{path}:1: cannot be read: {error.strerror}") from error


def read(source: bytes, path: str, name: str) -> QueryFile:
    """Return what the bytes of a query file say; raises `QueryError` naming path and line."""
    query = compile_text(source, path, name)
    header = read_header(path, query.source, name)
    text = "\n".join(header.prose).strip()
    purpose, _, rest = text.partition("\n\n")
    return QueryFile(query, " ".join(purpose.split()).removesuffix("."), rest.strip(), header.directives)


def _walk(entry: Traversable, path: str, parent: str) -> Iterator[tuple[str, str, Traversable]]:
    """Yield what has the name of an SQL file below a folder, each with its path and the name of its folder."""
    if not entry.is_dir():
        if entry.name.endswith(".sql"):
            yield path, parent, entry
        return
    for each in entry.iterdir():
        if each.name.startswith("."):  # an editor's, or that of a tool
            continue
        if not each.is_dir():
            yield from _walk(each, f"{path}/{each.name}", parent)
        elif each.name not in _OTHERS and not _leads_up(each):
            yield from _walk(each, f"{path}/{each.name}", each.name)


def _leads_up(folder: Traversable) -> bool:
    """Return whether a folder is a link to one that it is in, which has no end."""
    return isinstance(folder, Path) and folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


# -- the text --------------------------------------------------------------------------------


def _tokens(text: str) -> Iterator[str]:
    """Yield the tokens of a text but for white space and comments."""
    position = 0
    while position < len(text):
        match = token_at(text, position)
        if match.lastgroup == "block":
            position = block_end(text, position) or len(text)
            continue
        position = match.end()
        if match.lastgroup != "blank":
            yield match[0]


def _parameter(name: str, tokens: list[str]) -> Parameter:
    """Return what the text says of a parameter wherever it stands."""
    first_type, optional = "", False
    choices: dict[str, None] = {}
    read_as: dict[Choice | None, str] = {}
    chosen: Choice | None = None  # in whose branch a token stands
    for at, token in enumerate(tokens):
        if token.lower() in ("when", "else", "end"):
            chosen = None
        if not token.startswith(":") or token in ("::", ":=", ":"):
            continue
        end, types = _casts(tokens, at + 1)
        if tokens[end] == "=" and _is_text(tokens[end + 1]):
            chosen = token[1:], _unquoted(tokens[end + 1])
        if token != f":{name}":
            continue
        if types:
            first_type = first_type or types[0]
            read_as.setdefault(chosen, types[-1])
        following = [each.lower() for each in tokens[end : end + 4]]
        optional = optional or _may_be_null(tokens, at, following) or _has_default(tokens, at, following)
        if chosen is not None and chosen[0] == name:
            choices[chosen[1]] = None
        elif following[:2] == ["in", "("]:
            choices.update(dict.fromkeys(_literals_until(tokens, end + 2, ")")))
        elif tokens[at - 1].lower() == "case" and following[:1] == ["when"]:
            choices.update(dict.fromkeys(_branches(tokens, end)))
    return Parameter(name, first_type, optional, tuple(choices), read_as)


def _casts(tokens: list[str], at: int) -> tuple[int, list[str]]:
    """Return where the casts that begin here end, and their types."""
    types: list[str] = []
    while tokens[at] == "::":
        words = [tokens[at + 1]]
        at += 2
        while tokens[at] in ("[", "]", "."):
            words[-1] += tokens[at] if tokens[at] != "." else f".{tokens[at + 1]}"
            at += 1 if tokens[at] != "." else 2
        for more in ("precision", "varying", "with time zone", "without time zone"):
            parts = more.split()
            if [each.lower() for each in tokens[at : at + len(parts)]] == parts:
                words.append(more)
                at += len(parts)
        types.append(" ".join(words).lower())
    return at, types


def _may_be_null(tokens: list[str], at: int, following: list[str]) -> bool:
    """Return whether the text asks here whether the parameter is NULL, and not only to force a custom plan."""
    if following[:2] == ["is", "null"]:
        return True
    if following[:3] != ["is", "not", "null"]:
        return False
    end = next((n for n in range(at, len(tokens)) if tokens[n] == ")"), at)
    return "force_custom_plan" not in tokens[at:end]


def _has_default(tokens: list[str], at: int, following: list[str]) -> bool:
    """Return whether the parameter is an operand of coalesce that another one stands behind."""
    if following[:1] != [","]:
        return False
    depth = 0
    for n in range(at - 1, 0, -1):
        depth += (tokens[n] == ")") - (tokens[n] == "(")
        if depth < 0:
            return tokens[n - 1].lower() == "coalesce"
    return False


def _clause(tokens: list[str], at: int) -> Iterator[str]:
    """Yield the tokens up to what ends an ORDER BY."""
    depth = 0
    for token in tokens[at:]:
        depth += (token in ("(", "[")) - (token in (")", "]"))
        if depth < 0 or token == ";" or (depth == 0 and token.lower() in ("limit", "offset", "fetch", "for", "rows")):
            return
        yield token


def _branches(tokens: list[str], at: int) -> Iterator[str]:
    """Yield the literals that the branches of a CASE compare with, from its first WHEN."""
    depth = 0
    for n in range(at, len(tokens)):
        word = tokens[n].lower()
        depth += (word == "case") - (word == "end")
        if depth < 0:
            return
        if depth == 0 and word == "when" and _is_text(tokens[n + 1]):
            yield _unquoted(tokens[n + 1])


def _literals_until(tokens: list[str], at: int, end: str) -> Iterator[str]:
    for token in tokens[at:]:
        if token == end:
            return
        if _is_text(token):
            yield _unquoted(token)


def _is_text(token: str) -> bool:
    return token.startswith("'")


def _unquoted(token: str) -> str:
    return token[1:-1].replace("''", "'")
