"""`dialogs.get_by_id`: one dialog, or None."""

from __future__ import annotations

import uuid
from typing import Any


def test_the_dialog_is_returned(store: Any, tenant: str, dialog: str) -> None:
    found = store.dialogs.get_by_id(dialog)
    assert (found.id, found.tenant_id, found.name) == (dialog, tenant, None)


def test_a_missing_dialog_is_none(store: Any) -> None:
    assert store.dialogs.get_by_id(uuid.uuid4().hex) is None
