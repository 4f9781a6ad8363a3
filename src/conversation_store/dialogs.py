"""Dialogs: the assistants and agents that conversations belong to."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping

from conversation_store import _batches as batches
from conversation_store import _dates as dates
from conversation_store import _validation as validate
from conversation_store._operations import AsyncRepository, Repository, operation, stream
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, count, many, optional, then
from conversation_store.errors import AlreadyExists, InvalidArgument
from conversation_store.models import Dialog

_SAVE = load("dialog.save")
_INSERT_MANY = load("dialog.insert_many")
_GET_BY_ID = load("dialog.get_by_id")
_GET_BY_IDS = load("dialog.get_by_ids")
_QUERY = load("dialog.query")
_ITER = load("dialog.iter")
_UPDATE_BY_ID = load("dialog.update_by_id")
_DELETE_BY_ID = load("dialog.delete_by_id")
_DELETE_BY_IDS = load("dialog.delete_by_ids")

_FIELDS = ("id", "tenant_id", "name", "create_date", "update_date", "create_time", "update_time")


class _Dialogs:
    """The methods of both repositories."""

    @operation
    def save(self, *, id: str | int, tenant_id: str | int, name: str | None = None) -> Statement[Dialog]:
        """Insert a dialog, or update the name of an existing one.

        A *name* of None leaves the name as it is. Returns the dialog as stored. Raises `AlreadyExists` when it belongs
        to another tenant: a dialog is never moved. SQL: `sql/dialog/save.sql`.
        """

        def saved(dialog: Dialog | None) -> Dialog:
            if dialog is None:
                raise AlreadyExists("a dialog with this id exists under another tenant")
            return dialog

        return then(
            optional(
                _SAVE,
                Dialog,
                id=validate.identifier("id", id),
                tenant_id=validate.identifier("tenant_id", tenant_id),
                name=validate.optional_text("name", name),
            ),
            saved,
        )

    @operation
    def insert_many(self, dialogs: Iterable[Mapping[str, object]]) -> Statement[int]:
        """Insert new dialogs, all of them or none, and return how many.

        Each is a mapping with `id`, `tenant_id` and, where given, `name`, `create_date` and `update_date` (in UTC
        without an offset; now by default), or `create_time` and `update_time` in milliseconds. At most 10,000. Raises
        `AlreadyExists`. SQL: `sql/dialog/insert_many.sql`.
        """
        rows = [
            checked_dialog(f"dialogs[{index}]", dialog)
            for index, dialog in enumerate(validate.rows("dialogs", dialogs))
        ]
        if len(rows) > validate.MAX_IDS:
            raise InvalidArgument(f"dialogs must have at most {validate.MAX_IDS} members, not {len(rows)}")
        return count(
            _INSERT_MANY,
            ids=[row["id"] for row in rows],
            tenant_ids=[row["tenant_id"] for row in rows],
            names=[row["name"] for row in rows],
            create_dates=[row["create_date"] for row in rows],
            update_dates=[row["update_date"] for row in rows],
        )

    @operation
    def get_by_id(self, id: str | int) -> Statement[Dialog | None]:
        """Return the dialog with this id, or None.

        SQL: `sql/dialog/get_by_id.sql`.
        """
        return optional(_GET_BY_ID, Dialog, id=validate.identifier("id", id))

    @operation
    def get_by_ids(self, ids: Iterable[str | int]) -> Statement[list[Dialog]]:
        """Return the dialogs with these ids, in order of the ids; at most 10,000 may be asked for.

        SQL: `sql/dialog/get_by_ids.sql`.
        """
        return many(_GET_BY_IDS, Dialog, ids=validate.identifiers("ids", ids))

    @operation
    def query(self, *, tenant_id: str | int, limit: int = 1_000) -> Statement[list[Dialog]]:
        """Return a tenant's dialogs, newest first, *limit* at the most.

        SQL: `sql/dialog/query.sql`.
        """
        return many(
            _QUERY,
            Dialog,
            tenant_id=validate.identifier("tenant_id", tenant_id),
            limit=validate.integer("limit", limit, minimum=0),
        )

    @stream
    def iter(
        self, *, tenant_id: str | int | None = None, id: str | int | None = None, batch_size: int = 1_000
    ) -> Generator[Statement[list[Dialog]], list[Dialog], None]:
        """Iterate over any number of dialogs in order of the ids: of a tenant, the one with this *id*, or all.

        They are read *batch_size* at a time, and no connection is held in between.
        SQL: `sql/dialog/iter.sql`.
        """
        limit = batches.batch_size(batch_size)
        tenant = None if tenant_id is None else validate.identifier("tenant_id", tenant_id)
        only = None if id is None else validate.identifier("id", id)

        def page(last: Dialog | None) -> Statement[list[Dialog]]:
            after_id = "" if last is None else last.id
            return many(_ITER, Dialog, after_id=after_id, tenant_id=tenant, id=only, limit=limit)

        return batches.walk(page, limit)

    @operation
    def update_by_id(self, id: str | int, dialog: Mapping[str, object]) -> Statement[int]:
        """Change the name of a dialog; return 1, or 0 when there is none.

        A whole row as it was read may be given: its tenant and dates are ignored, an `id` must be *id*. Unknown keys
        raise `InvalidArgument`. SQL: `sql/dialog/update_by_id.sql`.
        """
        id = validate.identifier("id", id)
        given = validate.keys("dialog", dialog, _FIELDS)
        if "id" in given and validate.identifier("dialog['id']", given["id"]) != id:
            raise InvalidArgument("dialog['id'] must be the id of the dialog or be left out")
        changes = {"name": validate.optional_text("dialog['name']", given["name"])} if "name" in given else {}
        return count(_UPDATE_BY_ID, id=id, changes=json.dumps(changes, ensure_ascii=False))

    @operation
    def delete_by_id(self, id: str | int) -> Statement[int]:
        """Delete a dialog without conversations, with the tokens bound to it; return 1, or 0 when there is none.

        Raises `DialogNotEmpty` while it has conversations; `conversations.delete_by_dialog_ids` deletes those.
        SQL: `sql/dialog/delete_by_id.sql`.
        """
        return count(_DELETE_BY_ID, id=validate.identifier("id", id))

    @operation
    def delete_by_ids(self, ids: Iterable[str | int], *, tenant_id: str | int | None = None) -> Statement[int]:
        """Delete dialogs without conversations, with the tokens bound to them; return how many there were.

        With *tenant_id* only those of this tenant. At most 10,000. Raises `DialogNotEmpty`, and deletes none, while
        one has conversations. SQL: `sql/dialog/delete_by_ids.sql`.
        """
        return count(
            _DELETE_BY_IDS,
            ids=validate.identifiers("ids", ids),
            tenant_id=None if tenant_id is None else validate.identifier("tenant_id", tenant_id),
        )


class DialogRepository(_Dialogs, Repository):
    """Dialogs, sync."""


class AsyncDialogRepository(_Dialogs, AsyncRepository):
    """Dialogs, on asyncio."""


def checked_dialog(name: str, dialog: object) -> dict[str, object]:
    """Return a dialog to insert with its ids as text; raises `InvalidArgument` or `InvalidArgumentType`."""
    given = validate.keys(name, dialog, _FIELDS)
    return {
        "id": validate.identifier(f"{name}['id']", given.get("id")),
        "tenant_id": validate.identifier(f"{name}['tenant_id']", given.get("tenant_id")),
        "name": validate.optional_text(f"{name}['name']", given.get("name")),
        "create_date": dates.date_or_time(name, given, "create"),
        "update_date": dates.date_or_time(name, given, "update"),
    }
