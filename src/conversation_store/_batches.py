"""Calls of more than one statement: each is a generator that yields statements and is sent what they return."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._conversation_input import NewConversation, number_entries
from conversation_store._sql_loader import Query, load
from conversation_store._statement import Statement, copy, count, many, one, then
from conversation_store.errors import AmbiguousId, DialogNotFound
from conversation_store.models import DeletedBatch, DeletedOldBatch, Dialog, FoundTenant

T = TypeVar("T")

OnProgress: TypeAlias = Callable[[int], object]
"""Called after each batch with the number of rows so far."""

BATCH = 1_000
_BATCH_CHARACTERS = 16_000_000

_GET_DIALOGS = load("dialog.get_by_ids")
_INSERT_MANY = load("conversation.insert_many")
_INSERT_MESSAGES = load("conversation_message.insert_many")
_INSERT_REFERENCES = load("conversation_reference.insert_many")
_ENLIST = load("conversation.enlist")
_DELETE_NOT_UPDATED_SINCE = load("conversation.delete_not_updated_since")


def insert_conversations(
    conversations: Iterable[NewConversation], tenant_id: str | None, on_progress: OnProgress | None
) -> Generator[Statement[Any], Any, int]:
    """Load conversations by COPY, a batch at a time; return how many.

    One without a tenant gets *tenant_id*, or the tenant of its dialog.
    """
    dialogs: set[tuple[str, str]] = set()  # tenant and id of those that exist
    owners: dict[str, str] = {}  # the only tenant of a dialog that was found by its id
    inserted = 0
    tenants: dict[str, None] = {}
    for batch in _batches(conversations):
        yield from _find_dialogs(batch, tenant_id, dialogs, owners)
        rows = [(new, _owner(new, tenant_id, dialogs, owners)) for new in batch]
        yield copy(_INSERT_MANY, [new.columns(tenant) for new, tenant in rows])
        yield copy(
            _INSERT_MESSAGES,
            [(n.id, p, tenant, n.dialog_id, e) for n, tenant in rows for p, e in number_entries(n.message)],
        )
        yield copy(
            _INSERT_REFERENCES, [(n.id, p, tenant, e) for n, tenant in rows for p, e in number_entries(n.reference)]
        )
        tenants |= dict.fromkeys(tenant for _, tenant in rows)
        inserted += len(batch)
        if on_progress is not None:
            on_progress(inserted)
    for tenant in tenants:
        yield count(_ENLIST, tenant_id=tenant)
    return inserted


def _find_dialogs(
    batch: list[NewConversation], tenant_id: str | None, dialogs: set[tuple[str, str]], owners: dict[str, str]
) -> Generator[Statement[Any], Any, None]:
    """Look up the dialogs of a batch that were not looked up before."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    unowned: set[str] = set()
    for new in batch:
        tenant = new.tenant_id or tenant_id
        if tenant is None:
            unowned.add(new.dialog_id)
        elif (tenant, new.dialog_id) not in dialogs:
            wanted[tenant].add(new.dialog_id)
    for tenant in sorted(wanted):
        found = yield many(_GET_DIALOGS, Dialog, ids=sorted(wanted[tenant]), tenant_id=tenant)
        dialogs.update((dialog.tenant_id, dialog.id) for dialog in found)
    if unknown := sorted(unowned - owners.keys()):
        rows: list[FoundTenant] = yield tenancy.FIND_DIALOG.statement(unknown)
        for row in rows:
            if owners.setdefault(row.id, row.tenant_id) != row.tenant_id:
                name = next(new.name for new in batch if new.dialog_id == row.id and new.tenant_id is None)
                raise AmbiguousId(f"{name}: two tenants have a dialog {row.id!r}; give its tenant_id")
        dialogs.update((row.tenant_id, row.id) for row in rows)


def _owner(new: NewConversation, tenant_id: str | None, dialogs: set[tuple[str, str]], owners: dict[str, str]) -> str:
    """Return the tenant of a conversation whose dialog exists."""
    tenant = new.tenant_id or tenant_id or owners.get(new.dialog_id)
    if tenant is None or (tenant, new.dialog_id) not in dialogs:
        whose = "" if tenant is None else f" of the tenant {tenant!r}"
        raise DialogNotFound(f"{new.name}: there is no dialog {new.dialog_id!r}{whose}")
    return tenant


def _batches(conversations: Iterable[NewConversation]) -> Iterator[list[NewConversation]]:
    """Cut conversations into batches of a bounded number and, since one may be large, of a bounded size."""
    batch: list[NewConversation] = []
    size = 0
    for new in conversations:
        batch.append(new)
        size += new.size
        if len(batch) == BATCH or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def delete_until_none(query: Query, **params: object) -> Generator[Statement[int], int, int]:
    """Run a deletion until it deletes none; return how many rows were deleted."""
    deleted = 0
    while number := (yield count(query, **params)):
        deleted += number
    return deleted


class Progress:
    """Counts rows over several statements, and calls the caller's callback where there are more."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.number = 0
        self._on_progress = on_progress

    def add(self, number: int) -> None:
        """Add the rows of a batch."""
        self.number += number
        if self._on_progress is not None and number:
            self._on_progress(self.number)


def delete_in_batches(
    query: Query, batch_size: int, progress: Progress, **params: object
) -> Generator[Statement[DeletedBatch], DeletedBatch, int]:
    """Delete a batch at a time until none are found; return how many rows were deleted."""
    deleted = 0
    while (batch := (yield one(query, DeletedBatch, limit=batch_size, **params))).found:
        deleted += batch.deleted
        progress.add(batch.deleted)
    return deleted


def delete_not_updated_since(
    batch_size: int, progress: Progress, **params: object
) -> Generator[Statement[Any], Any, None]:
    """Delete a tenant's old conversations a batch at a time, from dialog to dialog."""
    from_dialog_id = ""
    while True:
        batch: DeletedOldBatch = yield one(
            _DELETE_NOT_UPDATED_SINCE, DeletedOldBatch, from_dialog_id=from_dialog_id, limit=batch_size, **params
        )
        progress.add(batch.deleted)
        if batch.found < batch_size:
            return
        from_dialog_id = batch.last_dialog_id or ""


def walk(
    page: Callable[[T | None], Statement[list[T]]], limit: int, emit: Callable[[list[T]], list[Any]] = list
) -> Generator[Statement[Any], Any, None]:
    """Read page after page, each after the last row of the page before; *emit* makes the items of a page."""
    last: T | None = None
    while True:
        size = 0

        def read(rows: list[T]) -> list[Any]:
            nonlocal last, size
            last, size = (rows[-1] if rows else None), len(rows)
            return emit(rows)

        yield then(page(last), read)
        if size < limit:
            return


def batch_size(batch_size: object, on_progress: object = None) -> int:
    """Check the size of a batch and the callback that is called after each."""
    validate.callback("on_progress", on_progress)
    return validate.integer("batch_size", batch_size, minimum=1, maximum=100_000)
