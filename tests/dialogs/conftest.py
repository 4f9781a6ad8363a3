"""A dialog id that two tenants have."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def other_tenant(store: Any, tenant: str, dialog: str) -> str:
    """Give the id of another tenant, which has a dialog with the same id."""
    return str(store.dialogs.save(id=dialog, tenant_id="other" + tenant, name="theirs").tenant_id)
