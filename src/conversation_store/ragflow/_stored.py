"""What an import reads and writes of conversations that are in the store already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from conversation_store._operations import executor_of
from conversation_store._sql_loader import load
from conversation_store._statement import count, many
from conversation_store.models import ApiToken, Dialog

_GET_IMPORT_DATES = load("conversation.get_import_dates")
_SET_IMPORT_DATE = load("conversation.set_import_date")
_REIMPORT_DIALOG = load("dialog.reimport")
_REIMPORT_TOKEN = load("api_token.reimport")


@dataclass(slots=True)
class ImportedConversation:
    """When a conversation was changed here, and where it was imported from; None of one that was made here."""

    id: str
    dialog_id: str
    update_date: datetime
    import_date: datetime | None
    revision: int


def get_import_dates(store: Any, ids: list[str], tenant_id: str) -> Any:
    """Return those of a tenant's conversations that there are; on asyncio, an awaitable of them."""
    return executor_of(store).run(many(_GET_IMPORT_DATES, ImportedConversation, ids=ids, tenant_id=tenant_id))


def set_import_date(
    tx: Any, id: str, tenant_id: str, round: int, create_date: datetime | None, update_date: datetime
) -> Any:
    """Give a conversation its round and its dates; without a *create_date* it keeps that."""
    return executor_of(tx).run(
        count(
            _SET_IMPORT_DATE,
            id=id,
            tenant_id=tenant_id,
            round=round,
            create_date=create_date,
            update_date=update_date,
        )
    )


def reimport_dialog(tx: Any, found: Dialog, name: str | None, update_date: datetime) -> Any:
    """Rename a dialog that is as it was found; return 1, or 0 when it is not."""
    return executor_of(tx).run(
        count(
            _REIMPORT_DIALOG,
            id=found.id,
            tenant_id=found.tenant_id,
            name=name,
            update_date=update_date,
            found_update_date=found.update_date,
        )
    )


def reimport_token(tx: Any, found: ApiToken, values: Mapping[str, Any], update_date: datetime) -> Any:
    """Change the `dialog_id`, `source` and `beta` of a token that is as it was found; return 1, or 0 when it is not."""
    return executor_of(tx).run(
        count(
            _REIMPORT_TOKEN,
            id=found.id,
            tenant_id=found.tenant_id,
            **{field: values[field] for field in ("dialog_id", "source", "beta")},
            update_date=update_date,
            found_update_date=found.update_date,
        )
    )
