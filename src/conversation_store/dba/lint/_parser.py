"""PostgreSQL's statements as trees of sqlglot, with the places of what stands in them."""

from __future__ import annotations

import logging
from typing import Any

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import TokenType

# It warns where it takes a statement for unreadable, which `parse` raises as an error.
logging.getLogger("sqlglot").addFilter(lambda record: "Falling back to parsing" not in record.getMessage())


class Unreadable(Exception):
    """A statement that the parser does not know, with the offset at which it gave up."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class _Dialect(Postgres):
    class Parser(PostgresParser):
        def _match(self, token_type: TokenType, advance: bool = True, expression: Any = None) -> Any:
            # Behind a join, ON CONFLICT of an INSERT would be taken for the condition of the join.
            if token_type is TokenType.ON and self._next and self._next.text.upper() == "CONFLICT":
                return None
            return super()._match(token_type, advance=advance, expression=expression)

        def _parse_placeholder(self) -> Any:
            token = self._curr
            placeholder = super()._parse_placeholder()
            if placeholder is not None:
                placeholder.meta["start"] = token.start
            return placeholder


# What a tree has at its top that these rules can look through.
READABLE = (exp.Select, exp.SetOperation, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.Set)


def parse(text: str) -> exp.Expr:
    """Return the tree of one statement; raises `Unreadable` where the parser does not know it."""
    dialect = _Dialect()
    try:
        for token in dialect.tokenize(text):
            if token.text == "==":  # to the parser it is =, to the server an operator of its own
                raise Unreadable("the operator == is not known", token.start)
        trees = dialect.parse(text)
    except ParseError as error:
        found = error.errors[0] if error.errors else {}
        offset = _offset(text, found.get("line") or 1, found.get("col") or 1, str(found.get("highlight") or " "))
        raise Unreadable(str(found.get("description") or "it is not understood"), offset) from None
    except RecursionError:
        raise Unreadable("it is nested too deeply", 0) from None
    except SqlglotError as error:
        raise Unreadable(str(error).splitlines()[0], 0) from None
    statements = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], READABLE) or statements[0].find(exp.Command):
        raise Unreadable("a statement of this kind is not understood", start_of(statements[0]) if statements else 0)
    return statements[0]


def _offset(text: str, line: int, column: int, token: str) -> int:
    """Return the offset of a token, from the line and the column at which it ends."""
    before = sum(len(each) + 1 for each in text.split("\n")[: line - 1])
    return max(min(before + column, len(text)) - len(token), 0)


def start_of(node: exp.Expr) -> int:
    """Return the offset at which a node begins, as far as its names and functions tell."""
    return min((each.meta["start"] for each in node.walk() if "start" in each.meta), default=0)
