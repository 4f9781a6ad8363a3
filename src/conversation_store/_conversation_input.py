"""The fields of a conversation, as callers give them: how each is checked, and so which there are."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple

from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._json import dumps
from conversation_store._json_writer import JsonWriter
from conversation_store.errors import InvalidArgument
from conversation_store.models import NOT_READ

SCALARS: Mapping[str, Callable[[str, object], object]] = {
    "name": validate.optional_name,
    "user_id": lambda name, value: validate.optional_identifier(name, value, maximum=validate.MAX_USER_ID) or "",
    "exp_user_id": lambda name, value: validate.optional_identifier(name, value, maximum=validate.MAX_USER_ID),
    "tokens": validate.bigint,
    "source": lambda name, value: validate.optional_text(name, value, maximum=validate.MAX_SOURCE),
    "duration": validate.duration,
    "thumb_up": validate.integer,
    "errors": lambda name, value: validate.optional_text(name, value, maximum=validate.MAX_ERRORS),
    "version_title": validate.optional_name,
}
DOCUMENTS = ("message", "reference", "dsl")
# A whole row as it was read may be given for a change; these of its fields are ignored.
PAST = ("id", "round", "dialog_id", "tenant_id", "create_date", "create_time", "update_date", "update_time", "revision")

_DEFAULTS: Mapping[str, object] = {"user_id": "", "tokens": 0, "duration": 0.0, "thumb_up": 0}
_NEW = (*SCALARS, *DOCUMENTS, *PAST)


def read_changes(
    name: str, id: str, tenant: str | None, conversation: object, json: JsonWriter
) -> tuple[str | None, dict[str, object], dict[str, str]]:
    """Return the tenant, the scalar fields to change and the JSON texts of the documents to change.

    What was not read is left as it is; an id and a tenant, where there are, must be *id* and *tenant*.
    """
    given = validate.changes(name, conversation, (*SCALARS, *DOCUMENTS, *PAST))
    if "id" in given and validate.identifier(f"{name}['id']", given["id"]) != id:
        raise InvalidArgument(f"{name}['id'] must be the id of the conversation or be left out")
    documents = {field: json.text(f"{name}[{field!r}]", given[field]) for field in DOCUMENTS if field in given}
    scalars = {field: SCALARS[field](f"{name}[{field!r}]", value) for field, value in given.items() if field in SCALARS}
    return tenancy.same(name, tenant, given), scalars, documents


def read_update(name: str, tenant: str | None, conversation: object, json: JsonWriter) -> tuple[str, str | None, str]:
    """Return the id and the tenant of a conversation to change, and what `update_many_by_id` sends of it."""
    given = validate.keys(name, conversation, (*SCALARS, *DOCUMENTS, *PAST))
    id = validate.identifier(f"{name}['id']", given.get("id"))
    owner, scalars, documents = read_changes(name, id, tenant, given, json)
    members = {"id": dumps(id), "changes": dumps(scalars), **documents}
    return id, owner, "{" + ",".join(f'"{key}":{text}' for key, text in members.items()) + "}"


class NewConversation(NamedTuple):
    """A conversation to load: its columns, and the JSON texts of its entries."""

    name: str  # of the mapping, for errors
    id: str
    dialog_id: str
    tenant_id: str | None
    scalars: tuple[object, ...]
    revision: int
    message: list[str] | str
    reference: list[str] | str
    imported: bool = False  # from elsewhere, where it was changed last at its update date

    @property
    def size(self) -> int:
        """About how many characters it has."""
        texts = (*self.scalars, *self.message, *self.reference)
        return sum(len(text) for text in texts if isinstance(text, str))

    def columns(self, tenant_id: str) -> tuple[object, ...]:
        """Return the columns of the conversation itself, in the order of the file."""
        counts = map(count_entries, (self.message, self.reference))
        import_date = self.scalars[-1] if self.imported else None
        return self.id, tenant_id, self.dialog_id, *self.scalars, *counts, self.revision, import_date


def read_new(name: str, conversation: object, json: JsonWriter) -> NewConversation:
    """Check a conversation to load: any of the arguments of `save`, or a row as `to_dict` gives it.

    One that was checked before is returned as it is.
    """
    if isinstance(conversation, NewConversation):
        return conversation
    given = validate.keys(name, conversation, _NEW)
    if unread := [key for key, value in given.items() if value is NOT_READ]:
        raise InvalidArgument(f"{name}[{unread[0]!r}] was not read; read the row with it, or leave it out")

    def field(key: str) -> str:
        return f"{name}[{key!r}]"

    scalars = {key: checked(field(key), given.get(key, _DEFAULTS.get(key))) for key, checked in SCALARS.items()}
    tenant_id = given.get("tenant_id")
    create_date, update_date = (dates.date_or_time(name, given, kind) for kind in ("create", "update"))
    created = create_date or "now"  # the server's, at the start of the transaction
    return NewConversation(
        name,
        uuid.uuid4().hex if given.get("id") is None else validate.identifier(field("id"), given["id"]),
        validate.identifier(field("dialog_id"), given.get("dialog_id")),
        None if tenant_id is None else validate.identifier(field("tenant_id"), tenant_id),
        (
            *(scalars[key] for key in ("name", "user_id", "exp_user_id", "tokens", "source")),
            json.text(field("dsl"), given.get("dsl", {})),
            scalars["duration"],
            validate.integer(field("round"), given.get("round", 0)),
            *(scalars[key] for key in ("thumb_up", "errors", "version_title")),
            created,
            update_date or created,
        ),
        validate.integer(field("revision"), given.get("revision", 0), minimum=0, maximum=validate.MAX_REVISION),
        json.entries(field("message"), given.get("message", [])),
        json.entries(field("reference"), given.get("reference", [])),
    )


def of_tenant(new: NewConversation, tenant_id: str | None) -> NewConversation:
    """Return a conversation to load, which must be of this tenant if there is one."""
    tenancy.same(new.name, tenant_id, {"tenant_id": new.tenant_id})
    return new


def number_entries(entries: list[str] | str) -> list[tuple[int, str]]:
    """Return each entry with its position, from 1; a value that is not a list is at position 1."""
    return list(enumerate([entries] if isinstance(entries, str) else entries, start=1))


def count_entries(entries: list[str] | str) -> int:
    """Return what `entry_count` of the schema gives for the same value."""
    if isinstance(entries, list):
        return len(entries)
    if entries in ("{}", "null"):
        return -2
    return -1 if entries.startswith("{") else -3
