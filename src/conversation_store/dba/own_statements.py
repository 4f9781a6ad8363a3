"""What the package asks a server for itself: what its modules have as text, the queries of `dba` and the migrations."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import conversation_store
from conversation_store._migration_files import migrations
from conversation_store.dba.files import files
from conversation_store.dba.query_ids import tokens
from conversation_store.dba.reading import own_queries

_FIRST = ("delete", "insert", "select", "update", "with")


@cache
def own_statements() -> Mapping[tuple[str, ...], str]:
    """Return the statements by their tokens, with a name that says where each stands."""
    found: dict[tuple[str, ...], str] = {}
    for path in Path(conversation_store.__file__).parent.rglob("*.py"):
        for text in _texts(path.read_text("utf-8")):
            kept = tokens(text.replace("%s", "$1"))
            if kept[:1] and kept[0] in _FIRST:
                found[kept] = path.stem
    for migration in migrations():
        found.update((tokens(statement), migration.name) for statement in migration.statements)
    for file in files():
        found[tokens(file.query.text.decode())] = file.name
    for name, query in own_queries().items():
        found[tokens(query.text.decode())] = name
    return found


def _texts(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if text.partition(" ")[0].lower() in _FIRST:
                yield text
