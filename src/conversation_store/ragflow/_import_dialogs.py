"""Import of dialogs and agents, which are dialogs here."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from conversation_store.dialogs import checked_dialog
from conversation_store.models import Dialog
from conversation_store.ragflow._repair import repair_text
from conversation_store.ragflow._run import ChangedMeanwhile, Row, Run, by_tenant
from conversation_store.ragflow._source_rows import SourceDialog
from conversation_store.ragflow._stored import reimport_dialog

# Each table with the file of its pages.
TABLES = {"dialog": "dialogs", "user_canvas": "user_canvas"}


def import_dialogs(run: Run, table: str) -> Generator[Any, Any, None]:
    """Import one of the two tables, a page at a time."""
    after_id: str | None = None
    while page := (yield run.source.read(TABLES[table], SourceDialog, after_id=after_id, limit=run.limit)):
        after_id = page[-1].id
        yield from _page(run, table, page)
        run.reporter.progress(table, len(page), run.estimates)


def _page(run: Run, table: str, page: list[SourceDialog]) -> Generator[Any, Any, None]:
    here: dict[tuple[str | None, str], Dialog] = {}
    for tenant_id, ids in by_tenant((row.tenant_id, row.id) for row in page):
        found: list[Dialog] = yield run.store.dialogs.get_by_ids(ids, tenant_id=tenant_id)
        here |= {(tenant_id, dialog.id): dialog for dialog in found}
    # A conversation names no tenant: of two dialogs of one id, the one that is stored has it, or the first.
    owners: dict[str, str | None] = {row.id: run.tenants[row.id] for row in page if row.id in run.tenants}
    for row in sorted(page, key=lambda row: (row.tenant_id, row.id) not in here):
        owners.setdefault(row.id, row.tenant_id)
    seen: set[str] = set()
    new: list[Row] = []
    newer: list[Row] = []
    for row in page:
        dialog = here.get((row.tenant_id, row.id))
        name: dict[str, str | None] = {"name": row.name}
        repairs = repair_text(name, "name")
        if row.is_dialog:
            run.agents_rejected.add(row.id)
            run.reporter.rejected(table, row.id, "a dialog there has this id too")
        elif owners[row.id] != row.tenant_id:
            run.reporter.rejected(table, row.id, "a dialog of another tenant there has this id too")
        elif row.id in seen:
            run.reporter.rejected(table, row.id, "another dialog there has this id too")
        elif dialog is None:
            new.append(run.dated(row.id, row, {"id": row.id, "tenant_id": row.tenant_id} | name))
            new[-1].repairs += repairs
        else:
            run.tenants[row.id] = dialog.tenant_id
            # Most of what changes there is not moved over.
            is_newer = dialog.name != name["name"] and run.is_newer(row, dialog.update_date)
            if is_newer and run.update:
                values = {"id": row.id, "tenant_id": dialog.tenant_id, "update_date": run.changed(row)}
                newer.append(Row(row.id, values | name, repairs))
            else:
                run.reporter.skipped(table, newer=is_newer)
        seen.add(row.id)

    def is_there(row: Row) -> Generator[Any, Any, bool]:
        return (yield run.store.dialogs.get_by_id(row.id, tenant_id=row.values["tenant_id"])) is not None

    def rename(tx: Any, rows: list[Row]) -> Generator[Any, Any, None]:
        for row in rows:
            found = here[row.values["tenant_id"], row.id]
            if not (yield reimport_dialog(tx, found, row.values["name"], row.values["update_date"])):
                raise ChangedMeanwhile

    stored = yield from run.write(table, _checked(run, table, new), _insert, is_there)
    run.tenants.update((row.id, row.values["tenant_id"]) for row in stored)
    for changed in _checked(run, table, newer):
        yield from run.write(table, [changed], rename, again=True)


def _checked(run: Run, table: str, rows: list[Row]) -> list[Row]:
    """Return the rows that the store can hold, and reject the others."""
    good: list[Row] = []
    for row in rows:
        try:
            checked_dialog("dialog", row.values)
        except (ValueError, TypeError) as error:
            run.reporter.rejected(table, row.id, str(error))
        else:
            good.append(row)
    return good


def _insert(tx: Any, rows: list[Row]) -> Generator[Any, Any, None]:
    yield tx.dialogs.insert_many([row.values for row in rows])
