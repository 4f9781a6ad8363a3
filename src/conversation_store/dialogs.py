"""Dialogs: the assistants and agents that conversations belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from conversation_store import _arguments as check
from conversation_store._query import load
from conversation_store._statement import AsyncRepository, Repository, Statement, operation, optional, then
from conversation_store.errors import AlreadyExists


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """An assistant or agent of a tenant. Dates are aware, in UTC."""

    id: str
    tenant_id: str
    name: str | None
    create_date: datetime
    update_date: datetime


_SAVE = load("dialog.save")
_GET_BY_ID = load("dialog.get_by_id")


class _Dialogs:
    """The one body behind DialogRepository and AsyncDialogRepository."""

    @operation
    def save(self, *, id: str | int, tenant_id: str | int, name: str | None = None) -> Statement[Dialog]:
        """Insert a dialog, or update the name of one that is there.

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
                id=check.identifier("id", id),
                tenant_id=check.identifier("tenant_id", tenant_id),
                name=check.optional_text("name", name),
            ),
            saved,
        )

    @operation
    def get_by_id(self, id: str | int) -> Statement[Dialog | None]:
        """Return the dialog with this id, or None.

        SQL: `sql/dialog/get_by_id.sql`.
        """
        return optional(_GET_BY_ID, Dialog, id=check.identifier("id", id))


class DialogRepository(_Dialogs, Repository):
    """Dialogs, blocking."""


class AsyncDialogRepository(_Dialogs, AsyncRepository):
    """Dialogs, on asyncio."""
