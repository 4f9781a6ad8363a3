"""Tokens: new secrets, dates as if time had passed, the end of one that somebody waits for, and the lack of a key."""

from __future__ import annotations

import string
import uuid
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import psycopg
from psycopg import sql

from support.both_apis import AsyncApi, SyncApi
from support.races import call_behind

DateColumn = Literal["use_date", "expire_date", "revoke_date"]

UNKNOWN = ["", " ", "unknown", "\0", "\ud800", "检索", "x" * 1_000_000, "'; DROP TABLE api_token; --"]
"""Texts that are no secret and no beta of any token."""


def new_secret() -> str:
    return "secret-" + uuid.uuid4().hex


def checksum(text: str) -> str:
    """Return the last six characters of a new secret, as the rule in SECURITY.md gives them."""
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number = zlib.crc32(text.encode())
    return "".join(digits[number // 62**place % 62] for place in reversed(range(6)))


_RANDOM = "cstk_" + "Ab3" * 14 + "x"
WRONG_SECRETS = [
    "",
    "cstk_",
    "secret-of-somebody-else-that-is-long",
    _RANDOM,
    _RANDOM + "000000",
    _RANDOM + checksum(_RANDOM) + "\n",
    _RANDOM[:-1] + checksum(_RANDOM[:-1]),
    "CSTK_" + _RANDOM[5:] + checksum("CSTK_" + _RANDOM[5:]),
    _RANDOM[:-1] + "é" + checksum(_RANDOM[:-1] + "é"),
]
"""Texts that `new_token` does not return."""


def move_date(db: str, id: int, column: DateColumn, by: timedelta) -> None:
    """Change a stored date of a token, as if the clock of the server were another."""
    update = sql.SQL("UPDATE conversation_store.api_token SET {0} = {0} + %s WHERE id = %s")
    with psycopg.connect(db) as connection:
        connection.execute(update.format(sql.Identifier(column)), [by, id])


def lock(connection: psycopg.Connection[Any], id: int) -> None:
    """Lock the row of a token until the end of the transaction."""
    connection.execute("SELECT FROM conversation_store.api_token WHERE id = %s FOR UPDATE", [id])


def end(connection: psycopg.Connection[Any], id: int, column: DateColumn) -> None:
    """Let a token expire or be revoked at this moment, by the clock of the server."""
    update = sql.SQL("UPDATE conversation_store.api_token SET {} = clock_timestamp() WHERE id = %s")
    connection.execute(update.format(sql.Identifier(column)), [id])


def drop_dialog_key(database: str) -> None:
    """Drop the foreign key by which tokens are deleted with their dialog."""
    drop = "ALTER TABLE conversation_store.api_token DROP CONSTRAINT IF EXISTS api_token_tenant_id_dialog_id_fkey"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(drop)


def refuse_deletions(database: str) -> None:
    """Let every deletion of a token raise an error of the server."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON conversation_store.api_token EXECUTE FUNCTION public.refuse()"
        )


def call_while_token_ends(
    api: SyncApi | AsyncApi, db: str, store: Any, id: int, column: DateColumn, call: Callable[[Any], Any]
) -> Any:
    """Return the result or the error of a call that waits for the row of a token, whose life ends meanwhile.

    The end is later than the beginning of the statement that waits.
    """
    return call_behind(
        api, db, store, call, first=lambda writer: lock(writer, id), then=lambda writer: end(writer, id, column)
    )
