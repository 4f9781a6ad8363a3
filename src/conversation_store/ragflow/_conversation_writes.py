"""Conversations written for RAGFlow's callers: what they give is made storable, and a stale row is recognised."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from conversation_store import _validation as validate
from conversation_store._json_repair import storable
from conversation_store.errors import RevisionConflict
from conversation_store.ragflow._conditions import Condition
from conversation_store.ragflow._conversation_rows import CHANGES, COLUMNS, COUNTERS, LAST_SAVED, STAMPS, values_of
from conversation_store.ragflow._fields import known
from conversation_store.ragflow._rows import Origin, Values
from conversation_store.ragflow._settings import Settings

# The texts of a conversation, and how long they may be where a longer one is cut.
_TEXTS: Mapping[str, int | None] = {
    "name": validate.MAX_NAME,
    "user_id": None,
    "exp_user_id": None,
    "source": None,
    "errors": validate.MAX_ERRORS,
    "version_title": validate.MAX_NAME,
}


def _plain(current: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that the store takes: texts and numbers repaired, which is told, and missing numbers left out."""
    values = dict(given)
    for name in _TEXTS.keys() & given.keys():
        values[name] = _text(current, name, given[name])
    for name in COUNTERS:
        value = values.get(name)
        if value is None:
            values.pop(name, None)
        elif isinstance(value, float) and not math.isfinite(value):
            values[name] = 0
            current.on_repair(name, "was not a finite number and is 0")
        elif isinstance(value, bool) or (name != "duration" and isinstance(value, float) and value.is_integer()):
            values[name] = int(value)
    return values


def _text(current: Settings, name: str, value: Any) -> Any:
    if value is None or (name.endswith("user_id") and isinstance(value, (int, UUID))):
        return value
    text = value
    if not isinstance(text, str):
        text = str(value)
        current.on_repair(name, f"was of the type {type(value).__name__} and is its text")
    if validate.unstorable(text) is not None:
        text = storable(text)
        current.on_repair(name, "had U+0000 or a lone surrogate, which is U+FFFD now")
    longest = _TEXTS[name]
    if longest is not None and len(text) > longest:
        current.on_repair(name, f"had {len(text)} characters, and has the first {longest}")
        text = text[:longest]
    return text


def read_new(current: Settings, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `conversations.save` of what a caller gives, without dates."""
    values = validate.keys(name, given, COLUMNS)
    return _plain(current, {key: value for key, value in values.items() if key not in STAMPS})


def check_changes(name: str, data: Mapping[str, Any]) -> None:
    """Raise `NotImplementedError` where nothing of what is given can be changed."""
    given = validate.keys(name, data, COLUMNS)
    if given and not given.keys() & set(CHANGES):
        raise NotImplementedError(
            f"{name} has nothing that can be changed: the store sets dates, append_message increments the round,"
            " and a conversation stays in its dialog"
        )


class Writes:
    """Writes conversations, each from the revision that it was read in where that is known."""

    def __init__(self, current: Settings) -> None:
        self._conversations = current.store.conversations
        self._current = current
        self._written: list[tuple[Origin, int]] = []

    def settle(self) -> None:
        """Take the values that were written for those of their next revision, once all of it is committed."""
        for origin, revision in self._written:
            origin.revision = revision

    def append_message(self, id: Any, data: Mapping[str, Any], name: str) -> int:
        """Change the given fields and increment the round."""
        return self._write(self._conversations.append_message, id, data, name)

    def update_by_id(self, id: Any, data: Mapping[str, Any], name: str) -> int:
        """Change the given fields."""
        if not isinstance(data, Values):
            check_changes(name, data)
        return self._write(self._conversations.update_by_id, id, data, name)

    def update_where(self, found: Values, conditions: Sequence[Condition], data: Mapping[str, Any], name: str) -> int:
        """Change the given fields of a conversation that was found, if the conditions hold when it is changed."""
        origin = cast(Origin, found.origin)
        if isinstance(data, Values) and data.origin is not None and data.origin.id == origin.id:
            return self.update_by_id(origin.id, data, name)
        while True:
            given = Values(dict(data), replace(origin))
            try:
                return self._write(self._conversations.update_by_id, origin.id, given, name, guarded=True)
            except RevisionConflict:
                row = self._conversations.get_by_id(str(origin.id), tenant_id=origin.tenant_id)
                if row is None:
                    return 0
                found = values_of(self._current, row)
                if not all(condition.holds(found) for condition in conditions):
                    return 0
                origin = cast(Origin, found.origin)

    def _write(
        self, write: Callable[..., int], pid: Any, data: Mapping[str, Any], name: str, *, guarded: bool = False
    ) -> int:
        given = validate.keys(name, data, COLUMNS)
        id = known(pid)
        if id is None:
            return 0
        plain = _plain(self._current, given)
        fields = {key: value for key, value in plain.items() if key == "id" or key in CHANGES}
        origin = data.origin if isinstance(data, Values) else LAST_SAVED.find({"id": id, **given})
        if origin is None or origin.id != id:
            return write(id, fields)
        if not (guarded or self._current.refuses_stale_writes):
            return write(id, fields, tenant_id=origin.tenant_id)
        # The same values may be written more than once in a transaction.
        revisions = [revision for written, revision in self._written if written is origin]
        revision = revisions[-1] if revisions else origin.revision
        changed = write(id, fields, tenant_id=origin.tenant_id, expected_revision=revision)
        if changed:
            self._written.append((origin, revision + 1))
        return changed
