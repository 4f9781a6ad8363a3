"""Dialogs: the assistants and agents that conversations belong to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from conversation_store import _batches as batches
from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._adapters import to_text
from conversation_store._operations import AsyncRepository, Methods, Repository, operation, stream
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, Steps, count, limited, many, one, optional
from conversation_store._validation import Id
from conversation_store.errors import InvalidArgument
from conversation_store.models import Dialog, LimitedList

_SAVE = load("dialog.save")
_INSERT_MANY = load("dialog.insert_many")
_GET_BY_ID = load("dialog.get_by_id")
_GET_BY_IDS = load("dialog.get_by_ids")
_QUERY = load("dialog.query")
_ITER = load("dialog.iter")
_UPDATE_BY_ID = load("dialog.update_by_id")
_DELETE_BY_ID = load("dialog.delete_by_id")
_DELETE_BY_IDS = load("dialog.delete_by_ids")
_DELETE_TOKENS = load("api_token.delete_by_dialog_ids")

_FIELDS = ("id", "tenant_id", "name", "create_date", "update_date", "create_time", "update_time")


class _Dialogs(Methods):
    """The methods of both repositories."""

    @operation
    def save(self, *, id: Id, tenant_id: Id | None = None, name: str | None = None) -> Statement[Dialog]:
        """Insert a dialog, or update the name of an existing one.

        A *name* of None leaves the name as it is. Returns the dialog as stored. SQL: `sql/dialog/save.sql`.
        """
        return one(
            _SAVE,
            Dialog,
            id=validate.identifier("id", id),
            tenant_id=tenancy.needed(self._bound, tenant_id),
            name=validate.optional_name("name", name),
        )

    @operation
    def insert_many(self, dialogs: Iterable[Mapping[str, object]], *, tenant_id: Id | None = None) -> Described[int]:
        """Insert new dialogs, all of them or none, and return how many.

        Each is a mapping with `id` and, where given, `tenant_id`, `name`, `create_date` and `update_date` (in UTC
        without an offset; now by default), or `create_time` and `update_time` in milliseconds. A dialog without a
        tenant gets *tenant_id*, or the tenant that the store is bound to. At most 10,000. Raises `AlreadyExists`.
        SQL: `sql/dialog/insert_many.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        by_tenant: defaultdict[str, list[Mapping[str, object]]] = defaultdict(list)
        for index, dialog in enumerate(validate.rows("dialogs", dialogs)):
            if index == validate.MAX_IDS:
                raise InvalidArgument(f"dialogs must have at most {validate.MAX_IDS} members")
            row = checked_dialog(f"dialogs[{index}]", dialog, tenant)
            by_tenant[row["tenant_id"]].append(row)
        if len(by_tenant) <= 1:
            owner = next(iter(by_tenant), tenant or "")
            return _insert(owner, by_tenant[owner])

        def steps() -> Generator[Statement[int], int, int]:
            inserted = 0
            for owner in sorted(by_tenant):
                inserted += yield _insert(owner, by_tenant[owner])
            return inserted

        return Steps(steps(), atomic=True)

    @operation
    def get_by_id(self, id: Id, *, tenant_id: Id | None = None) -> Described[Dialog | None]:
        """Return the dialog with this id, or None.

        Without a tenant, the one that has the id is found first; raises `AmbiguousId` when two have it.
        SQL: `sql/dialog/get_by_id.sql`.
        """
        text = validate.identifier("id", id)
        return tenancy.for_one(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_DIALOG,
            text,
            lambda tenant: optional(_GET_BY_ID, Dialog, id=text, tenant_id=tenant),
        )

    @operation
    def get_by_ids(self, ids: Iterable[Id], *, tenant_id: Id | None = None) -> Described[list[Dialog]]:
        """Return the dialogs with these ids, in order of the ids; at most 10,000 may be asked for.

        Without a tenant, those that have the ids are found first; raises `AmbiguousId` when two have one.
        SQL: `sql/dialog/get_by_ids.sql`.
        """
        return tenancy.for_each(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_DIALOG,
            validate.identifiers("ids", ids),
            lambda tenant, some: many(_GET_BY_IDS, Dialog, ids=some, tenant_id=tenant),
            lambda results: sorted(chain.from_iterable(results), key=lambda dialog: dialog.id),
        )

    @operation
    def query(self, *, tenant_id: Id | None = None, limit: int = 1_000) -> Statement[LimitedList[Dialog]]:
        """Return a tenant's dialogs, newest first.

        At most *limit* are returned; `has_more` of the list says whether there are more, and `iter` reads all of them.
        SQL: `sql/dialog/query.sql`.
        """
        tenant = tenancy.needed(self._bound, tenant_id)
        return limited(_QUERY, Dialog, validate.integer("limit", limit, minimum=0), tenant_id=tenant)

    @stream
    def iter(
        self, *, tenant_id: Id | None = None, id: Id | None = None, batch_size: int = 1_000
    ) -> Generator[Statement[list[Dialog]], Any, None]:
        """Iterate over any number of dialogs: of a tenant, the one with this *id*, or all.

        They come in order of the tenant and the id, and are read *batch_size* at a time; no connection is held in
        between. SQL: `sql/dialog/iter.sql`.
        """
        limit = batches.batch_size(batch_size)
        tenant = tenancy.known(self._bound, tenant_id)
        only = None if id is None else validate.identifier("id", id)

        def of(owner: str) -> Generator[Statement[list[Any]], Any, None]:
            def page(last: Dialog | None) -> Statement[list[Dialog]]:
                after_id = "" if last is None else last.id
                return many(_ITER, Dialog, after_id=after_id, tenant_id=owner, id=only, limit=limit)

            return batches.walk(page, limit)

        return tenancy.walk(tenant, only, of)

    @operation
    def update_by_id(self, id: Id, dialog: Mapping[str, object], *, tenant_id: Id | None = None) -> Described[int]:
        """Change the name of a dialog; return 1, or 0 when there is none.

        A whole row as it was read may be given: its dates are ignored, an `id` must be *id*, and a `tenant_id` that of
        the call, or is the tenant. Unknown keys raise `InvalidArgument`. Without a tenant, the one that has the id is
        found first; raises `AmbiguousId` when two have it. SQL: `sql/dialog/update_by_id.sql`.
        """
        text = validate.identifier("id", id)
        given = validate.changes("dialog", dialog, _FIELDS)
        if "id" in given and validate.identifier("dialog['id']", given["id"]) != text:
            raise InvalidArgument("dialog['id'] must be the id of the dialog or be left out")
        changes = {"name": validate.optional_name("dialog['name']", given["name"])} if "name" in given else {}
        written = json.dumps(changes, ensure_ascii=False)
        return tenancy.for_one(
            tenancy.same("dialog", tenancy.known(self._bound, tenant_id), given),
            tenancy.FIND_DIALOG,
            text,
            lambda tenant: count(_UPDATE_BY_ID, id=text, tenant_id=tenant, changes=written),
        )

    @operation
    def delete_by_id(self, id: Id, *, tenant_id: Id | None = None) -> Steps[int]:
        """Delete a dialog without conversations, with the tokens bound to it; return 1, or 0 when there is none.

        Raises `DialogNotEmpty` while it has conversations; `conversations.delete_by_dialog_ids` deletes those. Without
        a tenant, the one that has the id is found first; raises `AmbiguousId` when two have it.
        SQL: `sql/dialog/delete_by_id.sql`, `sql/api_token/delete_by_dialog_ids.sql`.
        """
        text = validate.identifier("id", id)

        def delete(tenant: str) -> Steps[int]:
            return _with_tokens(count(_DELETE_BY_ID, id=text, tenant_id=tenant), tenant, [text])

        tenant = tenancy.known(self._bound, tenant_id)
        return tenancy.several(tenancy.for_one(tenant, tenancy.FIND_DIALOG, text, delete, atomic=True))

    @operation
    def delete_by_ids(self, ids: Iterable[Id], *, tenant_id: Id | None = None) -> Steps[int]:
        """Delete dialogs without conversations, with the tokens bound to them; return how many there were.

        At most 10,000. Raises `DialogNotEmpty`, and deletes none, while one has conversations. Without a tenant, those
        that have the ids are found first; raises `AmbiguousId` when two have one.
        SQL: `sql/dialog/delete_by_ids.sql`, `sql/api_token/delete_by_dialog_ids.sql`.
        """

        def delete(tenant: str, some: list[str]) -> Steps[int]:
            return _with_tokens(count(_DELETE_BY_IDS, ids=some, tenant_id=tenant), tenant, some)

        tenant, some = tenancy.known(self._bound, tenant_id), validate.identifiers("ids", ids)
        return tenancy.several(tenancy.for_each(tenant, tenancy.FIND_DIALOG, some, delete, sum, atomic=True))


class DialogRepository(_Dialogs, Repository):
    """Dialogs, sync."""


class AsyncDialogRepository(_Dialogs, AsyncRepository):
    """Dialogs, on asyncio."""


def _insert(tenant_id: str, rows: Sequence[Mapping[str, object]]) -> Statement[int]:
    fields = ("id", "name", "create_date", "update_date")
    dialogs = json.dumps([{field: to_text(row[field]) for field in fields} for row in rows], ensure_ascii=False)
    return count(_INSERT_MANY, tenant_id=tenant_id, dialogs=dialogs)


def _with_tokens(delete: Statement[int], tenant_id: str, ids: list[str]) -> Steps[int]:
    """Describe a deletion of dialogs, and in the same transaction that of the tokens bound to them."""

    def steps() -> Generator[Statement[int], int, int]:
        deleted = yield delete
        # After the dialogs, which are locked before their tokens, here and by rotate.
        yield count(_DELETE_TOKENS, tenant_id=tenant_id, ids=ids)
        return deleted

    return Steps(steps(), atomic=True)


def checked_dialog(name: str, dialog: object, tenant_id: str | None = None) -> dict[str, Any]:
    """Return a dialog to insert with its ids as text; raises `InvalidArgument` or `InvalidArgumentType`."""
    given = validate.keys(name, dialog, _FIELDS)
    return {
        "id": validate.identifier(f"{name}['id']", given.get("id")),
        "tenant_id": validate.identifier(f"{name}['tenant_id']", tenancy.same(name, tenant_id, given)),
        "name": validate.optional_name(f"{name}['name']", given.get("name")),
        "create_date": dates.date_or_time(name, given, "create"),
        "update_date": dates.date_or_time(name, given, "update"),
    }
