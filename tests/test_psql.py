"""Every statement file for PostgreSQL runs in psql as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from psycopg.conninfo import conninfo_to_dict

from conversation_store._adapters import to_text
from conversation_store.dba.files import files
from conversation_store.dba.shapes import Examples, shapes
from support.documents import read
from support.server import Server

FILES = {file.name: file for file in files()}
QUOTED = "O'Brien \\ 检索"
VALUES: Examples = {
    **{name: [QUOTED] for name in ("tenant_id", "dialog_id", "id", "name", "user_id", "keywords", "turn_id")},
    "ids": [[QUOTED, "a,b"]],
    "dialog_ids": [[QUOTED]],
    "api_token.id": [7],
    "changes": ['{"name": "it\'s"}'],
    "message": ['["it\'s", {"content": "\\\\u68c0"}]'],
    "digest": ["\\x" + "ab" * 32],
    "token_digest": ["\\x" + "ab" * 32],
    "create_date": ["2024-01-01 00:00:00 Asia/Shanghai"],
    "expire_date": ["2100-01-01T00:00:00Z"],
}


def literal(value: object) -> str:
    """Return a value as sql/README.md gives it to psql: an SQL literal, with its quotes doubled, or NULL."""
    text = to_text(value)
    if text is None:
        return "NULL"
    return f"'{text.replace(chr(39), chr(39) * 2)}'"


@pytest.fixture(scope="module")
def psql(server: Server) -> str:
    found = shutil.which("psql", path=f"{server.bindir}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("there is no psql beside the server, and none on the PATH")
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_file_runs_in_psql_as_it_stands(name: str, psql: str, db: str) -> None:
    file = FILES[name]
    # The first shape and the last: with what is optional left out, and given.
    cases = shapes(file, VALUES)
    for values in [cases[0].values, cases[-1].values] if cases else [{}]:
        variables = [part for key, value in values.items() for part in ("-v", f"{key}={literal(value)}")]
        dialog = f"INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ({literal(QUOTED)}, {literal(QUOTED)});"
        rows = "\\.\n" if file.is_copy else ""
        # As sql/README.md does it with what changes something.
        script = f"BEGIN;\n{'' if file.of_ragflow else dialog}\n\\echo begun\n{file.query.source}{rows}\\echo ended\nROLLBACK;\n"
        parts = {key: str(value) for key, value in conninfo_to_dict(db).items()}
        done = subprocess.run(
            [psql, "-X", "-v", "ON_ERROR_STOP=1", *variables],
            input=script.encode(),
            capture_output=True,
            env={
                **os.environ,
                "PGHOST": parts["host"],
                "PGPORT": parts["port"],
                "PGUSER": parts["user"],
                "PGDATABASE": parts["dbname"],
                "PGPASSWORD": parts.get("password", ""),
                "PGCLIENTENCODING": "UTF8",
            },
        )
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        shown = done.stdout.decode().partition("begun\n")[2].partition("\nended\n")[0]
        assert re.search(r"^(\(\d+ rows?\)|(INSERT|UPDATE|DELETE|COPY)( \d+)+)$", shown.strip(), re.MULTILINE), shown


def test_the_document_shows_how() -> None:
    document = read("sql/README.md")
    for shown in ("In psql a value is given as an SQL literal", "-v dialog_id=NULL", '(echo "BEGIN;"; cat sql/'):
        assert shown in document
