"""Import of API conversations: new ones are loaded; with an update, those that are newer there are replaced."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import fields
from typing import Any

from conversation_store import _conversation_input as conversation_input
from conversation_store.errors import ConversationNotFound
from conversation_store.ragflow._repair import WRITER, repair
from conversation_store.ragflow._run import Row, Run, by_tenant
from conversation_store.ragflow._source_rows import SourceConversation, SourceConversationId, SourceSize
from conversation_store.ragflow._stored import ImportedConversation, get_import_dates, set_import_date

# As Python values they take several times as much.
PART_BYTES = 32 << 20

_FIELDS = (*conversation_input.SCALARS, *conversation_input.DOCUMENTS)


def import_conversations(run: Run, table: str) -> Generator[Any, Any, None]:
    """Import the table, a page at a time; the contents only of those that are to be stored."""
    after_id: str | None = None
    while page := (yield run.source.read("conversation_ids", SourceConversationId, after_id=after_id, limit=run.limit)):
        after_id = page[-1].id
        wanted = yield from _wanted(run, table, page)
        for ids in (yield from _parts(run, list(wanted))):
            found = yield run.source.read("conversations", SourceConversation, ids=ids)
            yield from _store(run, table, found, wanted)
        run.reporter.progress(table, len(page), run.estimates)


def _parts(run: Run, ids: list[str]) -> Generator[Any, Any, list[list[str]]]:
    """Return the ids in parts that are read at once: of so many bytes together, or of one conversation."""
    found: list[SourceSize] = (yield run.source.read("conversation_sizes", SourceSize, ids=ids)) if ids else []
    sizes = {row.id: row.size for row in found}
    parts: list[list[str]] = []
    size = 0
    for id in ids:
        size += sizes[id]
        if not parts or size > PART_BYTES:
            parts.append([])
            size = sizes[id]
        parts[-1].append(id)
    return parts


def _wanted(
    run: Run, table: str, page: list[SourceConversationId]
) -> Generator[Any, Any, dict[str, ImportedConversation | None]]:
    """Return the ids of a page that are to be stored, each with the conversation that it replaces."""
    here: dict[tuple[str | None, str], ImportedConversation] = {}
    for tenant_id, ids in by_tenant((run.tenants.get(row.dialog_id or ""), row.id) for row in page):
        found: list[ImportedConversation] = yield get_import_dates(run.store, ids, tenant_id)
        here |= {(tenant_id, conversation.id): conversation for conversation in found}
    wanted: dict[str, ImportedConversation | None] = {}
    seen: set[str] = set()
    for row in page:
        if row.id in seen:
            run.reporter.rejected(table, row.id, "another conversation there has this id too")
            continue
        seen.add(row.id)
        stored = here.get((run.tenants.get(row.dialog_id or ""), row.id))
        if stored is None:
            wanted[row.id] = None
        elif stored.dialog_id != row.dialog_id:
            run.reporter.rejected(table, row.id, "a conversation with this id belongs to another dialog")
        else:
            is_newer = run.is_newer(row, stored.import_date or stored.update_date)
            if not (is_newer and run.update):
                run.reporter.skipped(table, newer=is_newer)
            elif stored.import_date is None:
                run.reporter.kept(table, row.id, "it is newer there, and was not imported from there")
            elif stored.import_date != stored.update_date:
                run.reporter.kept(table, row.id, "it was changed there and here, and is kept as it is here")
            else:
                wanted[row.id] = stored
    return wanted


def _store(
    run: Run, table: str, found: list[SourceConversation], wanted: dict[str, ImportedConversation | None]
) -> Generator[Any, Any, None]:
    new: list[Row] = []
    newer: list[Row] = []
    first: dict[str, SourceConversation] = {}
    for source in found:
        if source.id in wanted:
            first.setdefault(source.id, source)
    for source in first.values():
        of_agent = source.source == "agent" and source.dialog_id in run.agents_rejected
        if source.dialog_id not in run.tenants or of_agent:
            run.reporter.rejected(table, source.id, f"its dialog {source.dialog_id!r} is missing, or was rejected")
            continue
        stored = wanted[source.id]
        values = _values(source) | {"tenant_id": run.tenants[source.dialog_id]}
        undated = "now" if stored is None else "that of the one here"
        row = run.dated(source.id, source, values, undated=undated)
        row.stored = stored
        row.repairs.extend(repair(row.values))
        try:
            row.new = conversation_input.read_new("conversation", row.values, WRITER)._replace(imported=True)
        except (ValueError, TypeError) as error:
            run.reporter.rejected(table, source.id, str(error))
        else:
            (new if stored is None else newer).append(row)

    def is_there(row: Row) -> Generator[Any, Any, bool]:
        there: list[ImportedConversation] = yield get_import_dates(run.store, [row.id], row.values["tenant_id"])
        return [conversation.dialog_id for conversation in there] == [row.values["dialog_id"]]

    yield from run.write(table, new, _insert, is_there)
    for row in newer:
        yield from run.write(table, [row], _replace, again=True)


def _values(row: SourceConversation) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    for field in ("create_time", "update_time"):
        del values[field]
    for field in ("tokens", "duration", "round", "thumb_up"):
        values[field] = values[field] or 0
    return values


def _insert(tx: Any, rows: list[Row]) -> Generator[Any, Any, None]:
    yield tx.conversations.insert_many(row.new for row in rows)


def _replace(tx: Any, rows: list[Row]) -> Generator[Any, Any, None]:
    """Replace conversations as they are in the store: whoever appends meanwhile appends to what was there before.

    Such a one makes it another revision, which is refused here; whoever waits for the lock appends to the new one. One
    that has not been changed since it was imported has no turn with an id.
    """
    for row in rows:
        if row.stored is None:
            continue
        values, tenant_id = row.values, row.values["tenant_id"]
        changes = {field: values[field] for field in _FIELDS}
        changed = yield tx.conversations.update_by_id(
            row.id, changes, expected_revision=row.stored.revision, tenant_id=tenant_id
        )
        if not changed:
            raise ConversationNotFound("it was deleted here while it was imported again")
        yield set_import_date(tx, row.id, tenant_id, values["round"], values["create_date"], values["update_date"])
