"""The documents of the checkout."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def read(name: str) -> str:
    """Return the text of a document."""
    return (CHECKOUT / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(text: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose first row is *head*, as texts of cells."""
    table = text.partition(f"{head}\n")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]
