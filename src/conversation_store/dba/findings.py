"""What is wrong in a file: where, with the line and a caret below it, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from conversation_store.errors import QueryError


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, where it stands and what to do; line and column are numbers from 1, and 0 where there is none."""

    rule: str
    path: str
    message: str
    advice: str = ""
    line: int = 0
    column: int = 0
    excerpt: str = ""  # the line

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a JSON value."""
        return asdict(self)

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        lines = [f"{place}: {self.message} ({self.rule})"]
        if self.excerpt:
            number = f"{self.line} | "
            # What is wide stands above as it does here: tabs and wide characters are repeated as blanks of their width.
            before = "".join("\t" if each == "\t" else "\u3000" if _is_wide(each) else " " for each in self._before())
            lines += [f"  {number}{self.excerpt}", f"  {' ' * len(number)}{before}^"]
        if self.advice:
            lines.append(f"  = {self.advice}")
        return printable("\n".join(lines))

    def _before(self) -> str:
        return self.excerpt[: self.column - 1]


def printable(text: str) -> str:
    """Return a text with the characters shown by which a file, or a name of the server, could steer a terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", text)


def at(text: str, offset: int, rule: str, path: str, message: str, advice: str = "") -> Finding:
    """Return what is wrong at an offset of a file's text."""
    offset = max(0, min(offset, len(text)))
    begin = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    excerpt = text[begin : end if end >= 0 else len(text)]
    return Finding(rule, path, message, advice, text.count("\n", 0, offset) + 1, offset - begin + 1, excerpt)


def unreadable(error: QueryError, rule: str = "file") -> Finding:
    """Return as a finding why a file cannot be read."""
    path, message = path_of(error), str(error).split(": ", 1)[1]
    if error.text is not None and error.position is not None:
        return at(error.text, error.position, rule, path, message)
    return Finding(rule, path, message)


def path_of(error: QueryError) -> str:
    """Return the path of the file that an error is about: its message begins with that and the line."""
    return str(error).split(": ", 1)[0].rpartition(":")[0]


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question for the name that is meant, or nothing where none is like it."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else ""


def _is_wide(character: str) -> bool:
    import unicodedata

    return unicodedata.east_asian_width(character) in ("W", "F")


def size(number: float, unit: str = "bytes") -> str:
    """Return a number of bytes as people read it; *unit* is the word for those below a thousand."""
    for name in (unit, "kB", "MB"):
        if number < 1024:
            return f"{number:,.0f} {name}"
        number /= 1024
    return f"{number:,.1f} GB"
