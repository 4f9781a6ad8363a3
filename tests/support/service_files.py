"""The query files of a service, and the table that they are about."""

from __future__ import annotations

from pathlib import Path

NOTE_FILES = {
    "note__get": "/* note.get */\n-- Return a note.\n-- returns: optional\n\n"
    "SELECT\n    n.id,\n    n.text,\n    n.data\nFROM note AS n\nWHERE n.id = :id::bigint;\n",
    "note__add": "/* note.add */\n-- Add a note.\n-- returns: count\n\n"
    "INSERT INTO note (id, text, data) VALUES (:id::bigint, :text::text, :data::jsonb);\n",
}
NOTE = "CREATE TABLE note (id bigint PRIMARY KEY, text text, data jsonb NOT NULL)"


def folder_of(tmp_path: Path, **files: str) -> Path:
    """Write files of a service, each by its folder and name with two underscores between, and return their folder."""
    for name, text in files.items():
        file = tmp_path / "queries" / f"{name.replace('__', '/')}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "queries"
