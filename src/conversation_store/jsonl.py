"""Conversations as lines of JSON: into a store and out of it, sync and on asyncio.

A line is a conversation, as `Conversation.to_dict` gives it and `insert_many` takes it, or `{"dialog": …}` with a
dialog, which stands before the conversations that belong to it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from io import TextIOBase
from typing import Any, BinaryIO, TypeAlias, cast

from conversation_store import _conversation_input as conversation_input
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._conversation_input import NewConversation
from conversation_store._json import dump_compact, loads_and_report
from conversation_store._operations import settings_of
from conversation_store._waiting import transact, transact_async
from conversation_store.dialogs import checked_dialog
from conversation_store.errors import AmbiguousId, InvalidArgument, InvalidArgumentType
from conversation_store.store import AsyncTransaction, Transaction
from conversation_store.tenant_store import AsyncTenantTransaction, TenantTransaction

_Key: TypeAlias = tuple[str, str]  # a tenant, and an id of it

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
    store: Transaction | TenantTransaction,
    file: BinaryIO,
    *,
    tenant_id: str | None = None,
    on_rejected: Callable[[RejectedLine], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Imported:
    """Import lines of JSON in one transaction, and return what came of them.

    Blank lines are skipped, dialogs that exist already stay as they are, and conversations that exist are rejected. A
    line belongs to its `tenant_id`; one without it belongs to the tenant of its dialog, and is rejected when two
    tenants have the dialog.

    - *store*: a store, a store of one tenant, or a transaction of either.
    - *file*: the lines, as bytes in UTF-8.
    - *tenant_id*: the tenant of lines without one; by default that of a store of one tenant. Lines of other tenants
      are rejected, and dialogs that are missing are created.
    - *on_rejected*: is called with each line that cannot be imported, and the others are imported. Without it such a
      line raises `InvalidArgument` with its number, and nothing is imported.
    - *on_progress*: is called with the number of bytes of each batch.
    """
    return transact(store, _importing(file, tenant_id, on_rejected, on_progress))


async def import_jsonl_async(
    store: AsyncTransaction | AsyncTenantTransaction,
    file: BinaryIO,
    *,
    tenant_id: str | None = None,
    on_rejected: Callable[[RejectedLine], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Imported:
    """Import lines of JSON as `import_jsonl` does, on asyncio; *file* is read on the loop, a batch at a time."""
    return await transact_async(store, _importing(file, tenant_id, on_rejected, on_progress))


def export_jsonl(
    source: Transaction | TenantTransaction, *, tenant_id: str | None = None, dialog_id: str | None = None
) -> Iterator[tuple[str, int]]:
    """Iterate over the lines of an export, each with how many conversations it holds: 0 for a dialog, which come first.

    *source* is a store, a store of one tenant, or a transaction of either: `transaction(isolation="repeatable read",
    read_only=True)` gives lines from one snapshot.
    """
    for rows, line in _exporting(source, tenant_id, dialog_id):
        for row in rows:
            yield line(row)


async def export_jsonl_async(
    source: AsyncTransaction | AsyncTenantTransaction, *, tenant_id: str | None = None, dialog_id: str | None = None
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
        lambda dialog: (dump_compact({"dialog": dialog.to_dict()}) + "\n", 0),
    )
    yield source.conversations.export(tenant_id=tenant_id, dialog_id=dialog_id), lambda line: (line, 1)


def _importing(
    file: BinaryIO,
    tenant_id: object,
    on_rejected: Callable[[RejectedLine], object] | None,
    on_progress: Callable[[int], object] | None,
) -> Callable[[Any], Generator[Any, Any, Imported]]:
    """Check the arguments, and return the steps of an import for a transaction."""
    if not isinstance(cast("object", file), Iterable) or isinstance(file, (str, bytes, TextIOBase)):
        raise InvalidArgumentType("file must be a file that is open for reading bytes, or lines of bytes")
    given = None if tenant_id is None else validate.identifier("tenant_id", tenant_id)
    validate.callback("on_rejected", on_rejected)
    validate.callback("on_progress", on_progress)

    def steps(tx: Any) -> Generator[Any, Any, Imported]:
        bound = tx.tenant_id if isinstance(tx, TenantTransaction | AsyncTenantTransaction) else None
        reading = _Import(tx, tenancy.known(bound, given), on_rejected)
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
        self._json = settings_of(tx).json
        self._tenant_id = tenant_id
        self._on_rejected = on_rejected
        self._lines: dict[_Key, int] = {}  # of the dialogs of this batch
        self._owners: dict[str, set[str] | None] = {}  # of the dialogs before this batch; None: two tenants have it
        self._created: set[_Key] = set()  # the dialogs that were created because they were missing

    def store(self, batch: list[_Line]) -> Generator[Any, Any, None]:
        """Store the good lines of a batch, and report the others in their order."""
        lines = [line for line in batch if line.line.strip()]
        for line in lines:
            self._parse(line)
        conversations = [(line, line.conversation) for line in lines if line.conversation is not None]
        yield from self._find_owners(new for _, new in conversations)
        yield from self._dialogs([(line, line.dialog) for line in lines if line.dialog is not None])
        yield from self._conversations(conversations)
        for line in lines:
            if line.reasons:
                self.imported.rejected += 1
                if self._on_rejected is None:
                    raise InvalidArgument(f"line {line.number}: {line.reasons[0]}")
                self._on_rejected(RejectedLine(line.number, line.reasons[0], line.line.removesuffix(b"\n")))

    def _parse(self, line: _Line) -> None:
        try:
            duplicates: list[str] = []
            value = loads_and_report(line.line.decode("utf-8-sig" if line.number == 1 else "utf-8"), duplicates)
            if duplicates:
                raise InvalidArgument(f"has the duplicate key {duplicates[0]!r} in one object")
            if _is_dialog(value):
                dialog = value["dialog"]
                if self._tenant_id is not None and isinstance(dialog, dict):
                    dialog = {"tenant_id": self._tenant_id, **cast("dict[str, Any]", dialog)}
                line.dialog = checked_dialog("dialog", dialog)
            else:
                line.conversation = conversation_input.read_new(
                    "conversation", value, self._json.within(f"line {line.number}")
                )
        except UnicodeDecodeError:
            line.reasons.append("is not UTF-8")
        except RecursionError:
            line.reasons.append("is nested too deep")
        except json.JSONDecodeError as error:
            line.reasons.append(f"is not JSON: {error}")
        except (ValueError, TypeError) as error:
            line.reasons.append(str(error))

    def _dialogs(self, lines: list[tuple[_Line, dict[str, Any]]]) -> Generator[Any, Any, None]:
        keys = ((dialog["tenant_id"], dialog["id"]) for _, dialog in lines)
        stored = yield from self._stored_dialogs(key for key in keys if self._tenant_id in (None, key[0]))
        self._lines.clear()
        new: dict[_Key, dict[str, Any]] = {}
        for line, dialog in lines:
            key = tenant_id, id = dialog["tenant_id"], dialog["id"]
            if self._tenant_id not in (None, tenant_id):
                line.reasons.append(f"the dialog {id!r} belongs to the tenant {tenant_id!r}")
            elif key in self._created:
                # It was missing until here, and had to be created without its name.
                self._created.remove(key)
                yield self._tx.dialogs.update_by_id(id, {"name": dialog["name"]}, tenant_id=tenant_id)
            elif key in stored or key in new:
                self.imported.skipped += 1
            else:
                new[key] = dialog
                self._lines[key] = line.number
        self.imported.dialogs += yield self._tx.dialogs.insert_many(new.values())

    def _conversations(self, lines: list[tuple[_Line, NewConversation]]) -> Generator[Any, Any, None]:
        owned: list[tuple[_Line, NewConversation, str]] = []
        for line, new in lines:
            tenant_id = new.tenant_id or self._tenant_id
            if self._tenant_id not in (None, tenant_id):
                line.reasons.append(f"the conversation {new.id!r} belongs to the tenant {tenant_id!r}")
                continue
            owners = {tenant_id} if tenant_id is not None else self._owners_before(line, new.dialog_id)
            if owners is None or len(owners) > 1:
                line.reasons.append(f"two tenants have a dialog {new.dialog_id!r}, and the line has no tenant_id")
            elif not owners:
                line.reasons.append(f"there is no dialog {new.dialog_id!r}, here or in a line before")
            else:
                owned.append((line, new, owners.pop()))
        stored = yield from self._stored_dialogs((tenant_id, new.dialog_id) for _, new, tenant_id in owned)
        taken = yield from self._stored_conversations((tenant_id, new.id) for _, new, tenant_id in owned)
        good: list[NewConversation] = []
        missing: dict[_Key, dict[str, Any]] = {}
        for line, new, tenant_id in owned:
            key, dialog = (tenant_id, new.id), (tenant_id, new.dialog_id)
            # As if the lines were stored one by one: that a dialog stands in a later line does not depend on batches.
            later = self._tenant_id is None and line.number < self._lines.get(dialog, 0)
            if later or (dialog not in stored and self._tenant_id is None):
                line.reasons.append(
                    f"the tenant {tenant_id!r} has no dialog {new.dialog_id!r}, here or in a line before"
                )
            elif key in taken:
                line.reasons.append(f"the conversation {new.id!r} {taken[key]}")
            else:
                taken[key] = f"stands in line {line.number} already"
                good.append(new._replace(tenant_id=tenant_id))
                if dialog not in stored:
                    missing[dialog] = {"id": new.dialog_id, "tenant_id": tenant_id}
        self._created |= missing.keys()
        self.imported.dialogs += yield self._tx.dialogs.insert_many(missing.values())
        self.imported.conversations += yield self._tx.conversations.insert_many(good)

    def _find_owners(self, conversations: Iterable[NewConversation]) -> Generator[Any, Any, None]:
        """Find the tenants of the dialogs of lines without a tenant, before the dialogs of their batch are stored."""
        ids = {new.dialog_id for new in conversations if (new.tenant_id or self._tenant_id) is None}
        self._owners = {id: set() for id in ids}
        if not ids:
            return
        try:
            found = yield self._tx.dialogs.get_by_ids(ids)
            self._owners |= {dialog.id: {dialog.tenant_id} for dialog in found}
        except AmbiguousId:
            for id in ids:
                try:
                    dialog = yield self._tx.dialogs.get_by_id(id)
                    self._owners[id] = set() if dialog is None else {dialog.tenant_id}
                except AmbiguousId:
                    self._owners[id] = None

    def _owners_before(self, line: _Line, dialog_id: str) -> set[str] | None:
        """Return the tenants that have a dialog, stored or in a line before; None when two have it stored."""
        stored = self._owners[dialog_id]
        before = {owner for (owner, id), number in self._lines.items() if id == dialog_id and number < line.number}
        return None if stored is None else stored | before

    def _stored_dialogs(self, keys: Iterable[_Key]) -> Generator[Any, Any, set[_Key]]:
        """Return which of these dialogs exist."""
        stored: set[_Key] = set()
        for tenant_id, ids in _by_tenant(keys):
            found = yield self._tx.dialogs.get_by_ids(ids, tenant_id=tenant_id)
            stored |= {(tenant_id, dialog.id) for dialog in found}
        return stored

    def _stored_conversations(self, keys: Iterable[_Key]) -> Generator[Any, Any, dict[_Key, str]]:
        """Return which of these conversations exist, each with what is wrong with another one."""
        taken: dict[_Key, str] = {}
        for tenant_id, ids in _by_tenant(keys):
            found = yield self._tx.conversations.get_dialog_ids(ids, tenant_id=tenant_id)
            taken |= {(tenant_id, id): "exists already" for id in found}
        return taken


def _by_tenant(keys: Iterable[_Key]) -> Iterable[tuple[str, set[str]]]:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for tenant_id, id in keys:
        ids[tenant_id].add(id)
    return sorted(ids.items())


def _is_dialog(value: Any) -> bool:
    return isinstance(value, dict) and cast("dict[str, Any]", value).keys() == {"dialog"}
