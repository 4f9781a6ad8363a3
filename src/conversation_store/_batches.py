"""Calls of more than one statement: each is a generator that yields statements and is sent what they return."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from psycopg.rows import kwargs_row

from conversation_store import _validation as validate
from conversation_store._conversation_input import NewConversation, number_entries
from conversation_store._sql_loader import Query, load
from conversation_store._statement import Statement, copy, count, one, then
from conversation_store.errors import DialogNotFound
from conversation_store.models import DeletedBatch, DeletedOldBatch

T = TypeVar("T")

OnProgress: TypeAlias = Callable[[int], object]
"""Called after each batch with the number of rows so far."""

BATCH = 1_000
_BATCH_CHARACTERS = 16_000_000

_GET_DIALOGS = load("dialog.get_by_ids")
_INSERT_MANY = load("conversation.insert_many")
_INSERT_MESSAGES = load("conversation_message.insert_many")
_INSERT_REFERENCES = load("conversation_reference.insert_many")
_DELETE_NOT_UPDATED_SINCE = load("conversation.delete_not_updated_since")


def insert_conversations(
    conversations: Iterable[NewConversation], on_progress: OnProgress | None
) -> Generator[Statement[Any], Any, int]:
    """Load conversations by COPY, a batch at a time; return how many."""
    tenants: dict[str, str] = {}
    inserted = 0
    for batch in _batches(conversations):
        if unknown := sorted({new.dialog_id for new in batch} - tenants.keys()):
            tenants |= yield _tenants_of(unknown)
        for new in batch:
            tenant_id = tenants.get(new.dialog_id)
            if tenant_id is None or new.tenant_id not in (None, tenant_id):
                whose = "" if new.tenant_id is None else f" of the tenant {new.tenant_id!r}"
                raise DialogNotFound(f"{new.name}: there is no dialog {new.dialog_id!r}{whose}")
        yield copy(_INSERT_MANY, [new.columns(tenants[new.dialog_id]) for new in batch])
        yield copy(
            _INSERT_MESSAGES,
            [(n.id, p, tenants[n.dialog_id], n.dialog_id, e) for n in batch for p, e in number_entries(n.message)],
        )
        yield copy(
            _INSERT_REFERENCES,
            [(n.id, p, tenants[n.dialog_id], e) for n in batch for p, e in number_entries(n.reference)],
        )
        inserted += len(batch)
        if on_progress is not None:
            on_progress(inserted)
    return inserted


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


def _tenants_of(dialog_ids: list[str]) -> Statement[dict[str, str]]:
    """Describe the look-up of each dialog's tenant."""

    def row(*, id: str, tenant_id: str, **_: object) -> tuple[str, str]:
        return id, tenant_id

    return Statement(_GET_DIALOGS, {"ids": dialog_ids}, kwargs_row(row), lambda rows, _: dict(rows))


def delete_until_none(query: Query, **params: object) -> Generator[Statement[int], int, int]:
    """Run a deletion until it deletes none; return how many rows were deleted."""
    deleted = 0
    while number := (yield count(query, **params)):
        deleted += number
    return deleted


def delete_in_batches(
    query: Query, batch_size: int, on_progress: OnProgress | None, **params: object
) -> Generator[Statement[DeletedBatch], DeletedBatch, int]:
    """Delete a batch at a time until none are found; return how many rows were deleted."""
    deleted = 0
    while (batch := (yield one(query, DeletedBatch, limit=batch_size, **params))).found:
        deleted += batch.deleted
        if on_progress is not None and batch.deleted:
            on_progress(deleted)
    return deleted


def delete_not_updated_since(
    before_date: str, batch_size: int, on_progress: OnProgress | None, **filters: object
) -> Generator[Statement[Any], Any, int]:
    """Delete old conversations a batch at a time, from dialog to dialog; return how many there were."""
    deleted = 0
    from_dialog_id = ""
    while True:
        batch: DeletedOldBatch = yield one(
            _DELETE_NOT_UPDATED_SINCE,
            DeletedOldBatch,
            before_date=before_date,
            from_dialog_id=from_dialog_id,
            limit=batch_size,
            **filters,
        )
        deleted += batch.deleted
        if on_progress is not None and batch.deleted:
            on_progress(deleted)
        if batch.found < batch_size:
            return deleted
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
