"""Tenants: whatever belongs to one, all at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from conversation_store import _batches as batches
from conversation_store import _validation as validate
from conversation_store._operations import AsyncRepository, Methods, Repository, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, Steps, one, scalar
from conversation_store._validation import Id
from conversation_store.models import DeletedBatch, DeletedTenant

_DELETE_TOKENS = load("api_token.delete_by_tenant_id")
_DELETE_CONVERSATIONS = load("conversation.delete_by_tenant_id")
_LOCK_DIALOGS = load("dialog.lock_by_tenant_id")
_DELETE_DIALOGS = load("dialog.delete_by_tenant_id")


class _Tenants(Methods):
    """The methods of both repositories."""

    @operation
    def delete_by_id(
        self,
        tenant_id: Id,
        *,
        batch_size: int = batches.BATCH,
        on_progress: Callable[[DeletedTenant], object] | None = None,
    ) -> Steps[DeletedTenant]:
        """Delete everything that a tenant has: its tokens first, then its conversations and dialogs.

        Each statement deletes *batch_size* rows at the most, but for the tokens, which end all at once; each is a
        transaction of its own, unless the call is made inside of one, which locks the dialogs first; *on_progress* is
        called after it. After an
        interruption, call it again. What is saved while it runs is deleted too. Raises `DialogNotEmpty` when a
        conversation is saved at the very moment at which its dialog goes: call again. Returns how many were deleted.
        SQL: `sql/api_token/delete_by_tenant_id.sql`, `sql/conversation/delete_by_tenant_id.sql`,
        `sql/dialog/delete_by_tenant_id.sql`, `sql/dialog/lock_by_tenant_id.sql`.
        """
        limit = batches.batch_size(batch_size, on_progress)
        owner = validate.identifier("tenant_id", tenant_id)
        return Steps(_delete(owner, limit, on_progress), locks=scalar(_LOCK_DIALOGS, int, tenant_id=owner))


class TenantRepository(_Tenants, Repository):
    """Tenants, sync."""


class AsyncTenantRepository(_Tenants, AsyncRepository):
    """Tenants, on asyncio."""


def _delete(
    tenant_id: str, limit: int, on_progress: Callable[[DeletedTenant], object] | None
) -> Generator[Statement[Any], Any, DeletedTenant]:
    tokens = conversations = dialogs = 0

    def deleted() -> DeletedTenant:
        return DeletedTenant(tokens=tokens, conversations=conversations, dialogs=dialogs)

    def report(number: int) -> None:
        if number and on_progress is not None:
            on_progress(deleted())

    while True:
        # Tokens first, so that nothing new is authenticated; and each time again, for one that was issued since.
        issued = yield from batches.delete_until_none(_DELETE_TOKENS, tenant_id=tenant_id)
        tokens += issued
        report(issued)
        batch: DeletedBatch = yield one(_DELETE_CONVERSATIONS, DeletedBatch, tenant_id=tenant_id, limit=limit)
        conversations += batch.deleted
        report(batch.deleted)
        if batch.found:
            continue
        batch = yield one(_DELETE_DIALOGS, DeletedBatch, tenant_id=tenant_id, limit=limit)
        dialogs += batch.deleted
        report(batch.deleted)
        if not batch.found:
            return deleted()
