"""The page for reviewers: every statement of a folder, the schema, and who uses whom, as one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
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
from conversation_store.dba.reading import connected
from conversation_store.dba.review._diagram import HEADER
from conversation_store.dba.review._highlight import sql
from conversation_store.dba.review._model import Review, Statement, columns_of, tables_of
from conversation_store.dba.review._schema import Schema, read_schema, schemas_in
from conversation_store.dba.server import Server


def review(conninfo: str, folder: Path | None = None, contracts: Mapping[str, Contract] | None = None) -> str:
    """Return the page for our own statements, or those of a folder.

    - *conninfo*: the server that tells the types, the plans and the tables. Nothing is changed there.
    - *contracts*: what Python expects of the statements of the folder, by their names.

    The same statements, on a server with the same tables and statistics, give the same page.
    """
    found = files(folder)
    known = contracts or (FILES if folder is None else {})
    with connected(conninfo) as connection:
        connection.execute("SET default_transaction_read_only = on")
        if folder is None:
            connection.execute("SET search_path = ''")  # ours name the schema of everything
        version = f"{connection.info.server_version // 10000}"
        schema = read_schema(connection, schemas_in(connection, (f.query.source for f in found if not f.of_ragflow)))
        server = Server(connection)
        statements = [_statement(server, file, known.get(file.name, Contract()), schema) for file in found]
    migrations: list[tuple[str, str]] = []
    if folder is None:
        entries = sorted((sql_directory() / "schema").iterdir(), key=lambda entry: entry.name)
        migrations = [(f"sql/schema/{entry.name}", entry.read_text("utf-8")) for entry in entries]
    title = "conversation-store" if folder is None else folder.resolve().name
    return render(Review(title, version, statements, schema, migrations))


def _statement(server: Server, file: QueryFile, contract: Contract, schema: Schema) -> Statement:
    tables = tables_of(file, schema)
    if file.is_copy:
        return Statement(file, contract, tables, note="COPY has no plan")
    try:
        columns = columns_of(server, file, contract)
    except psycopg.Error as error:
        return Statement(file, contract, tables, note=f"this server does not prepare it: {error.diag.message_primary}")
    return Statement(file, contract, tables, columns)


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
