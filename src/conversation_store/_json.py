"""Reading JSON that others wrote: an object that has a key twice is told of, since only the last would be kept."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str, twice: list[str]) -> Any:
    """Read JSON as `json.loads` does, and add to *twice* each key that stands twice in an object."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        members_by_key = dict(members)
        if len(members_by_key) < len(members):
            keys = [key for key, _ in members]
            twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return members_by_key

    return json.loads(text, object_pairs_hook=pairs)
