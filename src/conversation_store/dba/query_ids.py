"""Which statement that the server has counted is which file: by the query id that the server itself gives to the file.

The id is a hash of the parsed statement, with the types of its parameters and without its constants: it is the same for
every value, for a prepared statement and one that is not, and another one on another server or after a table was
created anew. So the server is asked for it, by EXPLAIN.

A COPY cannot be explained, and neither can what the role may not run. These are found by their text, as the server
keeps it: without what stands in front, with `$n` for each constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import psycopg

from conversation_store._sql_lexer import block_end, token_at
from conversation_store.dba.files import QueryFile
from conversation_store.dba.plans import explain
from conversation_store.dba.reading import bounded, holder_of_lock
from conversation_store.errors import StoreError


class StatisticsError(StoreError):
    """The server's statistics of statements cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """The files by the ids that the server gives them, by their texts, and why a file has no id."""

    by_id: Mapping[int, str]
    by_text: Mapping[tuple[str, ...], str] = field(repr=False)
    not_explained: Mapping[str, str]

    def name_of(self, query_id: int | None, text: str | None) -> str | None:
        """Return which file a statement is, or None."""
        name = None if query_id is None else self.by_id.get(query_id)
        return name if name is not None or text is None else find(self.by_text, text)


def known_files(connection: psycopg.Connection[Any], files: Iterable[QueryFile]) -> KnownFiles:
    """Ask the server for the id of each file; raises `StatisticsError` where it computes none."""
    by_id: dict[int, str] = {}
    by_text: dict[tuple[str, ...], str] = {}
    not_explained: dict[str, str] = {}
    lock_seconds = 0.5
    for file in files:
        query = file.query
        by_text[tokens(query.text.decode())] = query.name
        if file.is_copy:
            continue
        try:
            with bounded(connection, lock_seconds=lock_seconds):
                # NULL for each parameter, without a type, as the store sends them: the types are those of the casts.
                plan = explain(connection, query, dict.fromkeys(query.parameters))
        except psycopg.errors.LockNotAvailable as error:
            # The others that need the lock will not get it either, and half a second for each is long.
            lock_seconds = 0.02
            not_explained[query.name] = f"{error.diag.message_primary}: {holder_of_lock(connection)}"
        except psycopg.OperationalError as error:
            if connection.closed:
                raise
            not_explained[query.name] = str(error.diag.message_primary)
        except psycopg.Error as error:
            not_explained[query.name] = str(error.diag.message_primary)
        else:
            if "Query Identifier" not in plan.raw:
                raise StatisticsError(
                    "the server computes no query ids: set compute_query_id to auto or on, by ALTER SYSTEM SET"
                    " compute_query_id = 'auto'; SELECT pg_reload_conf(); what ran before that was not counted"
                )
            by_id[plan.raw["Query Identifier"]] = query.name
    return KnownFiles(by_id, by_text, not_explained)


@cache
def tokens(text: str) -> tuple[str, ...]:
    """Return the tokens of a statement, without comments, blanks and its semicolon; words in lower case."""
    found = [token.lower() if kind == "word" else token for kind, token in _pieces(text) if kind != "blank"]
    return tuple(found[:-1] if found[-1:] == [";"] else found)


def without_comments(text: str) -> str:
    """Return a statement in one line, without its comments, and without the constants that the server has kept."""
    pieces = [(" " if kind == "blank" else token) for kind, token in _pieces(text)]
    if tokens(text)[:1] == ("copy",):  # of other statements the server keeps none
        pieces = ["'…'" if _is_constant(piece) else piece for piece in pieces]
    return " ".join("".join(pieces).split())


def _is_constant(token: str) -> bool:
    is_number, is_text = token[:1].isdigit(), token.lower().startswith(("'", "e'"))
    return is_number or is_text or (token[:1] == "$" and token[-1:] == "$")


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield the tokens of a text with their kinds; a comment is a blank."""
    position = 0
    while position < len(text):
        match = token_at(text, position)
        kind, position = cast(str, match.lastgroup), match.end()
        if kind == "block":
            kind, position = "blank", block_end(text, match.start()) or len(text)
        yield kind, match[0]


def find(by_text: Mapping[tuple[str, ...], str], text: str) -> str | None:
    """Return which statement it is whose text the server has kept, or None."""
    kept = tokens(text)
    if (name := by_text.get(kept)) is not None:
        return name
    return next((name for source, name in by_text.items() if is_normalised(kept, source)), None)


def is_normalised(kept: tuple[str, ...], source: tuple[str, ...]) -> bool:
    """Return whether tokens are those of a statement, with `$n` for each constant, or for the whole of a list."""
    place = 0
    for before, token, after in zip(("", *kept[:-1]), kept, (*kept[1:], ""), strict=True):
        if place == len(source):
            return False
        if token[0] == "$" and token[1:].isdigit():
            # A constant is one token, or a number behind its sign, or a text behind the name of its type.
            signed = source[place] == "-"
            typed = source[place][0].isalpha() and source[place + 1 : place + 2] and source[place + 1][0] == "'"
            place += bool(signed or typed)
            if (before, after) in (("(", ")"), ("[", "]")):  # PostgreSQL 18 keeps the first of a list alone
                while source[place + 1 : place + 2] == (",",) and _is_constant("".join(source[place + 2 : place + 3])):
                    place += 2
        elif token != source[place]:
            return False
        place += 1
    return place == len(source)
