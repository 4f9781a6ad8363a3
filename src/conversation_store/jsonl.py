"""Conversations as lines of JSON: into a store and out of it.

A line is a conversation, as `Conversation.to_dict` gives it and `insert_many` takes it, or `{"dialog": …}` with a
dialog, which stands before the conversations that belong to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from conversation_store import _arguments as check
from conversation_store import _fields
from conversation_store._bulk import insert_conversations
from conversation_store._json import loads
from conversation_store.dialogs import checked_dialog
from conversation_store.store import ConversationStore, Transaction

_BATCH = 500
_BATCH_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be imported: its number, from 1, why, and its bytes without the newline."""

    number: int
    reason: str
    line: bytes


@dataclass(slots=True)
class Imported:
    """How many dialogs and conversations were stored, dialogs were there already, and lines were bad."""

    dialogs: int = 0
    conversations: int = 0
    present: int = 0
    bad: int = 0


def import_jsonl(
    store: ConversationStore,
    file: BinaryIO,
    *,
    tenant_id: str | None = None,
    on_bad_line: Callable[[BadLine], object] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Imported:
    """Import lines of JSON in one transaction, and return what came of them.

    A bad line is a `ValueError` that names it, with nothing imported, unless *on_bad_line* is given: then it is told of
    each, and the others are imported. Blank lines are passed over. Dialogs that are there already stay as they are.
    With *tenant_id*, lines of other tenants are bad, and dialogs that are missing are created for this one.
    *on_progress* hears of the number of bytes of each batch.
    """
    tenant = None if tenant_id is None else check.identifier("tenant_id", tenant_id)
    check.callback("on_bad_line", on_bad_line)
    check.callback("on_progress", on_progress)
    with store.transaction() as tx:
        reading = _Import(tx, tenant, on_bad_line)
        for batch in _batches(file):
            reading.store(batch)
            if on_progress is not None:
                on_progress(sum(len(line.line) for line in batch))
        return reading.imported


def export_jsonl(
    source: Transaction, *, tenant_id: str | None = None, dialog_id: str | None = None
) -> Iterator[tuple[str, int]]:
    """Iterate over the lines of an export, each with how many conversations it holds: 0 for a dialog, which come first.

    *source* is a store, or a transaction of one: `transaction(isolation="repeatable read", read_only=True)` gives lines
    that are all of one moment.
    """
    for dialog in source.dialogs.iter(tenant_id=tenant_id, id=dialog_id):
        yield json.dumps({"dialog": dialog.to_dict()}, ensure_ascii=False) + "\n", 0
    for line in source.conversations.export(tenant_id=tenant_id, dialog_id=dialog_id):
        yield line, 1


@dataclass(slots=True)
class _Line:
    """A line, what it holds, and why that cannot be stored."""

    number: int
    line: bytes
    dialog: dict[str, Any] | None = None
    conversation: _fields.New | None = None
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
    def __init__(self, tx: Transaction, tenant_id: str | None, on_bad_line: Callable[[BadLine], object] | None) -> None:
        self.imported = Imported()
        self._tx = tx
        self._tenant_id = tenant_id
        self._on_bad_line = on_bad_line
        self._lines: dict[str, int] = {}  # of the dialogs of this batch
        self._made: set[str] = set()  # the dialogs that were made because they were missing

    def store(self, batch: list[_Line]) -> None:
        """Store the good lines of a batch, and tell of the others in their order."""
        lines = [line for line in batch if line.line.strip()]
        for line in lines:
            _parse(line)
        self._dialogs([(line, line.dialog) for line in lines if line.dialog is not None])
        self._conversations([(line, line.conversation) for line in lines if line.conversation is not None])
        for line in lines:
            if line.reasons:
                self.imported.bad += 1
                if self._on_bad_line is None:
                    raise ValueError(f"line {line.number}: {line.reasons[0]}")
                self._on_bad_line(BadLine(line.number, line.reasons[0], line.line.removesuffix(b"\n")))

    def _dialogs(self, lines: list[tuple[_Line, dict[str, Any]]]) -> None:
        there = {d.id: d.tenant_id for d in self._tx.dialogs.get_by_ids(dialog["id"] for _, dialog in lines)}
        stored = set(there)
        self._lines.clear()
        new: dict[str, dict[str, Any]] = {}
        for line, dialog in lines:
            id, tenant_id = dialog["id"], dialog["tenant_id"]
            if self._tenant_id not in (None, tenant_id):
                line.reasons.append(f"the dialog {id!r} belongs to the tenant {tenant_id!r}")
            elif there.setdefault(id, tenant_id) != tenant_id:
                line.reasons.append(f"the dialog {id!r} exists under another tenant")
            elif id in self._made:
                # It was missing until here, and had to be made without its name.
                self._made.remove(id)
                self._tx.dialogs.update_by_id(id, {"name": dialog["name"]})
            elif id in stored or id in new:
                self.imported.present += 1
            else:
                new[id] = dialog
                self._lines[id] = line.number
        self.imported.dialogs += self._tx.dialogs.insert_many(new.values())

    def _conversations(self, lines: list[tuple[_Line, _fields.New]]) -> None:
        owners = {d.id: d.tenant_id for d in self._tx.dialogs.get_by_ids({new.dialog_id for _, new in lines})}
        taken: dict[str, str] = dict.fromkeys(
            self._tx.conversations.get_dialog_ids(new.id for _, new in lines), "exists already"
        )
        good: list[_fields.New] = []
        missing: dict[str, dict[str, Any]] = {}
        for line, new in lines:
            owner = owners.get(new.dialog_id, self._tenant_id)
            # As if the lines were stored one by one: whether a dialog stands behind is not for the batches to decide.
            behind = self._tenant_id is None and line.number < self._lines.get(new.dialog_id, 0)
            if new.tenant_id is not None and self._tenant_id not in (None, new.tenant_id):
                line.reasons.append(f"the conversation {new.id!r} belongs to the tenant {new.tenant_id!r}")
            elif owner is None or behind:
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
        self._made |= missing.keys()
        self.imported.dialogs += self._tx.dialogs.insert_many(missing.values())
        self.imported.conversations += self._tx.conversations.run_as_one(insert_conversations(good, None))


def _is_dialog(value: Any) -> bool:
    return isinstance(value, dict) and cast("dict[str, Any]", value).keys() == {"dialog"}


def _parse(line: _Line) -> None:
    try:
        twice: list[str] = []
        value = loads(line.line.decode("utf-8-sig" if line.number == 1 else "utf-8"), twice)
        if twice:
            raise ValueError(f"has the key {twice[0]!r} twice in one object")
        if _is_dialog(value):
            line.dialog = checked_dialog("dialog", value["dialog"])
        else:
            line.conversation = _fields.new("conversation", value)
    except UnicodeDecodeError:
        line.reasons.append("is not UTF-8")
    except RecursionError:
        line.reasons.append("is nested too deep")
    except json.JSONDecodeError as error:
        line.reasons.append(f"is not JSON: {error}")
    except (ValueError, TypeError) as error:
        line.reasons.append(str(error))
