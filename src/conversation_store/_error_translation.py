"""What an error of the server means to a caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg

from conversation_store._statement import Statement
from conversation_store.errors import (
    AlreadyExists,
    CounterOverflow,
    DialogNotEmpty,
    DialogNotFound,
    InvalidArgument,
    StoreError,
)

_NO_DIALOG = (DialogNotFound, "the tenant has no dialog with this dialog_id", "dialog_id")
# What a violated constraint means, and the parameter of the statement that says of what.
_CONSTRAINTS: Mapping[str, tuple[type[StoreError], str, str | None]] = {
    "dialog_pkey": (AlreadyExists, "a dialog with this id exists already", "id"),
    "conversation_pkey": (AlreadyExists, "a conversation with this id exists already", "id"),
    "conversation_tenant_id_dialog_id_fkey": _NO_DIALOG,
    "api_token_token_digest_key": (AlreadyExists, "this token is stored already", None),
    "api_token_beta_key": (AlreadyExists, "this beta is in use already", None),
    "api_token_tenant_id_dialog_id_fkey": _NO_DIALOG,
}
_NO_SCHEMA = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)
# The name of a constraint, behind which that of a shard may have its number.
_IN_MESSAGE = re.compile(r"\b([a-z_]+_(?:pkey|key|fkey|check))(?:_\d+)?\b")
# The values of a key in the detail of an error. The server may translate the detail, but not this.
_KEY = re.compile(r"=\((.*)\)", re.DOTALL)
# The functions of the server that look up a time zone: in the text of a timestamp, and for AT TIME ZONE.
_ZONE_CHECKS = ("DateTimeParseError", "timestamp_zone", "timestamptz_zone", "DecodeTimezoneName", "parse_sane_timezone")


def translate(statement: Statement[Any], error: BaseException) -> Exception | None:
    """Return the error of this package for what a statement raised, or None where that stays as it is."""
    if not isinstance(error, psycopg.Error):
        return None
    if isinstance(error, _NO_SCHEMA):
        error.add_note("the schema is missing or not that of this version: has `conversation-store migrate` been run?")
    translated = _translated(statement, error)
    # The server's detail quotes the key. Nothing of a token's row may be quoted, not even by the cause of an error.
    if translated is not None and not statement.query.name.startswith("api_token."):
        translated.__cause__ = error
    return translated


def _translated(statement: Statement[Any], error: psycopg.Error) -> Exception | None:
    constraint = _constraint(error)
    found = _KEY.search(error.diag.message_detail or "")
    key = found[1] if found else ""
    if statement.query.name.startswith("dialog.delete") and constraint == "conversation_tenant_id_dialog_id_fkey":
        id = key.removeprefix(f"{statement.params['tenant_id']}, ")
        return DialogNotEmpty(f"the dialog {id!r} has conversations; delete them first")
    # What is given is in its range; the sum with what is stored may not be.
    overflows = isinstance(error, psycopg.errors.NumericValueOutOfRange) or constraint == "conversation_duration_check"
    if statement.query.name.startswith("conversation.append_") and overflows:
        return CounterOverflow("tokens, duration or round would leave its range; nothing was changed")
    if constraint in _CONSTRAINTS:
        kind, message, parameter = _CONSTRAINTS[constraint]
        value = statement.params.get(parameter or "")
        # The key is an id and its tenant, each of which may hold a comma.
        if statement.copied is not None:
            value = next((row[0] for row in statement.copied if f"{row[0]}, {row[1]}" == key), None)
        elif value is None and parameter == "id":
            value = key.removesuffix(f", {statement.params['tenant_id']}")
        return kind(message if value is None else f"{message}: {value!r}")
    if isinstance(error, psycopg.errors.InvalidParameterValue) and error.diag.source_function in _ZONE_CHECKS:
        return InvalidArgument("time_zone must be an IANA time zone that the server knows, such as 'Europe/Paris'")
    return None


def _constraint(error: psycopg.Error) -> str:
    """Return the name of the constraint of ours that was violated; none: an empty text."""
    if error.diag.schema_name == "conversation_store":
        return error.diag.constraint_name or ""
    # An error of a shard has the name in its message alone, and after a COPY not even its own SQLSTATE.
    if error.diag.schema_name is None and isinstance(error, (psycopg.IntegrityError, psycopg.InternalError)):
        found = _IN_MESSAGE.search(error.diag.message_primary or "")
        return found[1] if found else ""
    return ""


def is_stale_plan(error: psycopg.Error) -> bool:
    """Return whether a migration changed the result of a prepared statement, or the session was reset without it."""
    if isinstance(error, psycopg.errors.InvalidSqlStatementName):
        return True
    # The server may translate the message, but not the name of its function.
    return error.diag.source_function == "RevalidateCachedQuery"
