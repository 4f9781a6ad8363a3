"""The large parts of a conversation, each of which a caller may leave unread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from conversation_store import _validation as validate
from conversation_store.models import NOT_READ, Conversation


class Parts(NamedTuple):
    """Which parts are read: the parameters of a statement, and what makes a conversation of the columns of a row."""

    params: Mapping[str, bool]
    row: Callable[..., Conversation]


def parts(*, include_messages: object, include_reference: object, include_dsl: object) -> Parts:
    """Return which parts are read.

    A statement returns NULL for a part that it did not read. In the row `NOT_READ` stands in its place, since NULL is
    what the JSON null is read as too.
    """
    fields = (
        ("message", "include_messages", include_messages),
        ("reference", "include_reference", include_reference),
        ("dsl", "include_dsl", include_dsl),
    )
    params = {flag: validate.boolean(flag, value) for _, flag, value in fields}
    unread: dict[str, Any] = {field: NOT_READ for field, flag, _ in fields if not params[flag]}

    def row(**columns: Any) -> Conversation:
        return Conversation(**columns | unread)

    return Parts(params, row if unread else Conversation)
