"""The page for reviewers: every statement of a folder, the schema, and who uses whom, as one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files as resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from conversation_store._sql_loader import sql_directory
from conversation_store.dba.contract import Contract
from conversation_store.dba.files import QueryFile, files
from conversation_store.dba.own_contracts import FILES
from conversation_store.dba.reading import bounded, connected
from conversation_store.dba.review._diagram import HEADER
from conversation_store.dba.review._highlight import sql
from conversation_store.dba.review._model import Review, Statement, columns_of, tables_of
from conversation_store.dba.review._plans import FEW_ROWS, plans_of
from conversation_store.dba.review._schema import Schema, read_schema, schemas_in
from conversation_store.dba.server import Server
from conversation_store.errors import MigrationError


def review(
    conninfo: str,
    folder: Path | None = None,
    contracts: Mapping[str, Contract] | None = None,
    *,
    plans: bool = True,
    track: Callable[[Sequence[QueryFile]], Iterable[QueryFile]] = iter,
) -> str:
    """Return the page for our own statements, or those of a folder.

    - *conninfo*: the server that tells the types, the plans and the tables. Nothing is changed there.
    - *contracts*: what Python expects of the statements of the folder, by their names.
    - *plans*: whether the shapes are planned, which takes most of the time.
    - *track*: yields the files, one when the one before is done.

    Raises `MigrationError` where our own tables are not there. The same statements, on a server with the same tables
    and statistics, give the same page.
    """
    found = files(folder)
    known = contracts or (FILES if folder is None else {})
    with connected(conninfo) as connection:
        row = connection.execute("SELECT current_setting('search_path')").fetchone() or ("",)
        with bounded(connection, seconds=60):
            if folder is not None:  # ours name the schema of everything
                connection.execute("SELECT set_config('search_path', %s, TRUE)", row)
            named = schemas_in(connection, (file.query.source for file in found if not file.of_ragflow))
            schema = read_schema(connection, named)
            if folder is None and not schema.tables:
                raise MigrationError("there are no tables; has `conversation-store migrate` been run?")
            scans_avoided = max((table.rows for table in schema.tables), default=0) < FEW_ROWS
            if scans_avoided:
                connection.execute("SET LOCAL enable_seqscan = off")
            server = Server(connection)
            statements: list[Statement] = []
            for file in track(found):
                statement = _described(server, file, known.get(file.name, Contract()), schema)
                statements.append(
                    _planned(connection, statement) if plans and statement.columns is not None else statement
                )
        version = f"{connection.info.server_version // 10000}"
    migrations: list[tuple[str, str]] = []
    if folder is None:
        entries = sorted((sql_directory() / "schema").iterdir(), key=lambda entry: entry.name)
        migrations = [(f"sql/schema/{entry.name}", entry.read_text("utf-8")) for entry in entries]
    title = "conversation-store" if folder is None else folder.resolve().name
    return render(Review(title, version, statements, schema, migrations, scans_avoided))


def _described(server: Server, file: QueryFile, contract: Contract, schema: Schema) -> Statement:
    """Return a statement with its tables and columns; these are None where the server does not prepare it."""
    tables = tables_of(file, schema)
    if file.is_copy:
        return Statement(file, contract, tables, None, ["COPY has no plan"])
    try:
        return Statement(file, contract, tables, columns_of(server, file, contract))
    except psycopg.Error as error:
        refusal = f"this server does not prepare it: {error.diag.message_primary}"
        return Statement(file, contract, tables, None, [refusal])


def _planned(connection: psycopg.Connection[Any], statement: Statement) -> Statement:
    """Return a statement with the plans of its shapes."""
    planned = plans_of(connection, statement.file)
    notes = [f"some shapes could not be planned: {reason}" for reason in planned.refused]
    return replace(statement, plans=planned.plans, shapes=planned.shapes, notes=notes)


def render(page: Review) -> str:
    """Return the HTML of a review."""
    environment = Environment(
        loader=PackageLoader("conversation_store.dba", "review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Of the environment and not of the call, so that macros see them.
    known: dict[str, Any] = environment.globals
    known.update(
        HEADER=HEADER,
        anchor=_anchor,
        css=_text("page.css"),
        hash_of=_hash_of,
        index_of={index.name: index for index in reversed(page.schema.indexes)},
        js=_text("page.js"),
        short=_short,
        sql=sql,
    )
    return environment.get_template("page.html").render(review=page)


def _short(name: str) -> str:
    """Return a name without its schema."""
    return name.partition(".")[2]


def _text(name: str) -> Markup:
    """Return a file of ours that goes into the page as it is."""
    return Markup(resources(__name__).joinpath(name).read_text("utf-8"))  # noqa: S704


def _hash_of(text: str) -> str:
    """Return what the policy of the page allows a text by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _anchor(kind: str, name: str) -> str:
    """Return an id for what a page shows, the same wherever it is linked."""
    return f"{kind}-{quote(name, safe='')}"
