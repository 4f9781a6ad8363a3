"""What an error of the server means to a caller."""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg

from conversation_store.errors import AlreadyExists, DialogNotEmpty, DialogNotFound, InvalidArgument, StoreError

_CONSTRAINTS: Mapping[str, tuple[type[StoreError], str]] = {
    "dialog_pkey": (AlreadyExists, "a dialog with this id exists already"),
    "conversation_pkey": (AlreadyExists, "a conversation with this id exists already"),
    "conversation_tenant_id_dialog_id_fkey": (DialogNotFound, "the tenant has no dialog with this dialog_id"),
    "api_token_token_digest_key": (AlreadyExists, "this token is stored already"),
    "api_token_beta_key": (AlreadyExists, "this beta is in use already"),
    "api_token_tenant_id_dialog_id_fkey": (DialogNotFound, "the tenant has no dialog with this dialog_id"),
}
# The id in the detail of a key (id, tenant_id).
_ID = re.compile(r"\(id, tenant_id\)=\((.*), .*\)")
# The functions of the server that look up a time zone: in the text of a timestamp, and for AT TIME ZONE.
_ZONE_CHECKS = ("DateTimeParseError", "timestamp_zone", "timestamptz_zone", "DecodeTimezoneName", "parse_sane_timezone")


def translate(name: str, error: BaseException) -> Exception | None:
    """Return the error of this package for what the statement *name* raised, or None where that stays as it is."""
    if not isinstance(error, psycopg.Error):
        return None
    translated = _translated(name, error)
    # The server's detail quotes the key. Nothing of a token's row may be quoted, not even by the cause of an error.
    if translated is not None and not name.startswith("api_token."):
        translated.__cause__ = error
    return translated


def _translated(name: str, error: psycopg.Error) -> Exception | None:
    constraint = error.diag.constraint_name or ""
    if name.startswith("dialog.delete") and constraint == "conversation_tenant_id_dialog_id_fkey":
        return DialogNotEmpty("the dialog has conversations; delete them first")
    if error.diag.schema_name == "conversation_store" and constraint in _CONSTRAINTS:
        kind, message = _CONSTRAINTS[constraint]
        # The server may translate the detail, but not the key and its value.
        key = None if name.startswith("api_token.") else _ID.search(error.diag.message_detail or "")
        return kind(f"{message}: {key[1]!r}" if key else message)
    if isinstance(error, psycopg.errors.InvalidParameterValue) and error.diag.source_function in _ZONE_CHECKS:
        return InvalidArgument("time_zone must be an IANA time zone that the server knows, such as 'Europe/Paris'")
    return None


def is_stale_plan(error: psycopg.errors.FeatureNotSupported) -> bool:
    """Return whether a migration changed the result of a prepared statement."""
    # The server may translate the message, but not the name of its function.
    return error.diag.source_function == "RevalidateCachedQuery"
