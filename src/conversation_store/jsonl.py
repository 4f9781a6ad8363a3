"""Conversations as lines of JSON: into a store and out of it, sync and on asyncio.

A line is a conversation, as `Conversation.to_dict` gives it and `insert_many` takes it, or `{"dialog": …}` with a
dialog, which stands before the conversations that belong to it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from conversation_store import _conversation_input as conversation_input
from conversation_store import _validation as validate
from conversation_store._conversation_input import NewConversation
from conversation_store._json import loads
from conversation_store._waiting import transact, transact_async
from conversation_store.dialogs import checked_dialog
from conversation_store.errors import InvalidArgument
from conversation_store.store import AsyncTransaction, Transaction

_BATCH = 500
_BATCH_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that cannot be imported: its number, from 1, why, and its bytes without the newline."""

    number: int
    reason: str
    line: bytes


@dataclass(slots=True)
class Imported:
    """How many dialogs and conversations were stored, existing dialogs were skipped, and lines were rejected."""

    dialogs: int = 0
    conversations: int = 0
    skipped: int = 0
    rejected: int = 0


def import_jsonl(
    store: Transaction,
    file: BinaryIO,
    *,
    tenant_id: str | None = None,
    on_rejected: Callable[[RejectedLine], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Imported:
    """Import lines of JSON in one transaction, and return what came of them.

    Blank lines are skipped, and dialogs that exist already stay as they are.

    - *store*: a store, or a transaction of one.
    - *file*: the lines, as bytes in UTF-8.
    - *tenant_id*: lines of other tenants are rejected, and dialogs that are missing are created for this one.
    - *on_rejected*: is called with each line that cannot be imported, and the others are imported. Without it such a
      line raises `InvalidArgument` with its number, and nothing is imported.
    - *on_progress*: is called with the number of bytes of each batch.
    """
    return transact(store, _importing(file, tenant_id, on_rejected, on_progress))


async def import_jsonl_async(
    store: AsyncTransaction,
    file: BinaryIO,
    *,
    tenant_id: str | None = None,
    on_rejected: Callable[[RejectedLine], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Imported:
    """Import lines of JSON as `import_jsonl` does, on asyncio; *file* is read on the loop, a batch at a time."""
    return await transact_async(store, _importing(file, tenant_id, on_rejected, on_progress))


def export_jsonl(
    source: Transaction, *, tenant_id: str | None = None, dialog_id: str | None = None
) -> Iterator[tuple[str, int]]:
    """Iterate over the lines of an export, each with how many conversations it holds: 0 for a dialog, which come first.

    *source* is a store, or a transaction of one: `transaction(isolation="repeatable read", read_only=True)` gives lines
    from one snapshot.
    """
    for rows, line in _exporting(source, tenant_id, dialog_id):
        for row in rows:
            yield line(row)


async def export_jsonl_async(
    source: AsyncTransaction, *, tenant_id: str | None = None, dialog_id: str | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Iterate over the lines of an export as `export_jsonl` does, on asyncio."""
    for rows, line in _exporting(source, tenant_id, dialog_id):
        async for row in rows:
            yield line(row)


def _exporting(
    source: Any, tenant_id: str | None, dialog_id: str | None
) -> Iterator[tuple[Any, Callable[[Any], tuple[str, int]]]]:
    """Give the rows of an export, sync or async iterators as *source* has them, each with what writes their line."""
    yield (
        source.dialogs.iter(tenant_id=tenant_id, id=dialog_id),
        lambda dialog: (json.dumps({"dialog": dialog.to_dict()}, ensure_ascii=False) + "\n", 0),
    )
    yield source.conversations.export(tenant_id=tenant_id, dialog_id=dialog_id), lambda line: (line, 1)


def _importing(
    file: BinaryIO,
    tenant_id: object,
    on_rejected: Callable[[RejectedLine], object] | None,
    on_progress: Callable[[int], object] | None,
) -> Callable[[Any], Generator[Any, Any, Imported]]:
    """Check the arguments, and return the steps of an import for a transaction."""
    tenant = None if tenant_id is None else validate.identifier("tenant_id", tenant_id)
    validate.callback("on_rejected", on_rejected)
    validate.callback("on_progress", on_progress)

    def steps(tx: Any) -> Generator[Any, Any, Imported]:
        reading = _Import(tx, tenant, on_rejected)
        for batch in _batches(file):
            yield from reading.store(batch)
            if on_progress is not None:
                on_progress(sum(len(line.line) for line in batch))
        return reading.imported

    return steps


@dataclass(slots=True)
class _Line:
    """A line, what it holds, and why that cannot be stored."""

    number: int
    line: bytes
    dialog: dict[str, Any] | None = None
    conversation: NewConversation | None = None
    reasons: list[str] = field(default_factory=list[str])


def _batches(file: BinaryIO) -> Iterator[list[_Line]]:
    """Cut a file into batches of a bounded number of lines and, since one may be long, of a bounded size."""
    batch: list[_Line] = []
    size = 0
    for number, line in enumerate(file, start=1):
        batch.append(_Line(number, line))
        size += len(line)
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Import:
    """The steps of an import; *tx* is sync or async, and so is what its methods return: a result or an awaitable."""

    def __init__(self, tx: Any, tenant_id: str | None, on_rejected: Callable[[RejectedLine], object] | None) -> None:
        self.imported = Imported()
        self._tx = tx
        self._tenant_id = tenant_id
        self._on_rejected = on_rejected
        self._lines: dict[str, int] = {}  # of the dialogs of this batch
        self._created: set[str] = set()  # the dialogs that were created because they were missing

    def store(self, batch: list[_Line]) -> Generator[Any, Any, None]:
        """Store the good lines of a batch, and report the others in their order."""
        lines = [line for line in batch if line.line.strip()]
        for line in lines:
            _parse(line)
        yield from self._dialogs([(line, line.dialog) for line in lines if line.dialog is not None])
        yield from self._conversations([(line, line.conversation) for line in lines if line.conversation is not None])
        for line in lines:
            if line.reasons:
                self.imported.rejected += 1
                if self._on_rejected is None:
                    raise InvalidArgument(f"line {line.number}: {line.reasons[0]}")
                self._on_rejected(RejectedLine(line.number, line.reasons[0], line.line.removesuffix(b"\n")))

    def _dialogs(self, lines: list[tuple[_Line, dict[str, Any]]]) -> Generator[Any, Any, None]:
        found = yield self._tx.dialogs.get_by_ids(dialog["id"] for _, dialog in lines)
        owners = {dialog.id: dialog.tenant_id for dialog in found}
        stored = set(owners)
        self._lines.clear()
        new: dict[str, dict[str, Any]] = {}
        for line, dialog in lines:
            id, tenant_id = dialog["id"], dialog["tenant_id"]
            if self._tenant_id not in (None, tenant_id):
                line.reasons.append(f"the dialog {id!r} belongs to the tenant {tenant_id!r}")
            elif owners.setdefault(id, tenant_id) != tenant_id:
                line.reasons.append(f"the dialog {id!r} exists under another tenant")
            elif id in self._created:
                # It was missing until here, and had to be created without its name.
                self._created.remove(id)
                yield self._tx.dialogs.update_by_id(id, {"name": dialog["name"]})
            elif id in stored or id in new:
                self.imported.skipped += 1
            else:
                new[id] = dialog
                self._lines[id] = line.number
        self.imported.dialogs += yield self._tx.dialogs.insert_many(new.values())

    def _conversations(self, lines: list[tuple[_Line, NewConversation]]) -> Generator[Any, Any, None]:
        dialogs = yield self._tx.dialogs.get_by_ids({new.dialog_id for _, new in lines})
        owners = {dialog.id: dialog.tenant_id for dialog in dialogs}
        found = yield self._tx.conversations.get_dialog_ids(new.id for _, new in lines)
        taken: dict[str, str] = dict.fromkeys(found, "exists already")
        good: list[NewConversation] = []
        missing: dict[str, dict[str, Any]] = {}
        for line, new in lines:
            owner = owners.get(new.dialog_id, self._tenant_id)
            # As if the lines were stored one by one: that a dialog stands in a later line does not depend on batches.
            later = self._tenant_id is None and line.number < self._lines.get(new.dialog_id, 0)
            if new.tenant_id is not None and self._tenant_id not in (None, new.tenant_id):
                line.reasons.append(f"the conversation {new.id!r} belongs to the tenant {new.tenant_id!r}")
            elif owner is None or later:
                line.reasons.append(f"there is no dialog {new.dialog_id!r}, here or in a line before")
            elif {self._tenant_id, new.tenant_id} - {None, owner}:
                line.reasons.append(f"the dialog {new.dialog_id!r} exists under another tenant")
            elif new.id in taken:
                line.reasons.append(f"the conversation {new.id!r} {taken[new.id]}")
            else:
                taken[new.id] = f"stands in line {line.number} already"
                good.append(new)
                if new.dialog_id not in owners:
                    missing[new.dialog_id] = {"id": new.dialog_id, "tenant_id": owner}
        self._created |= missing.keys()
        self.imported.dialogs += yield self._tx.dialogs.insert_many(missing.values())
        self.imported.conversations += yield self._tx.conversations.insert_many(good)


def _is_dialog(value: Any) -> bool:
    return isinstance(value, dict) and cast("dict[str, Any]", value).keys() == {"dialog"}


def _parse(line: _Line) -> None:
    try:
        duplicates: list[str] = []
        value = loads(line.line.decode("utf-8-sig" if line.number == 1 else "utf-8"), duplicates)
        if duplicates:
            raise InvalidArgument(f"has the duplicate key {duplicates[0]!r} in one object")
        if _is_dialog(value):
            line.dialog = checked_dialog("dialog", value["dialog"])
        else:
            line.conversation = conversation_input.read_new("conversation", value)
    except UnicodeDecodeError:
        line.reasons.append("is not UTF-8")
    except RecursionError:
        line.reasons.append("is nested too deep")
    except json.JSONDecodeError as error:
        line.reasons.append(f"is not JSON: {error}")
    except (ValueError, TypeError) as error:
        line.reasons.append(str(error))
