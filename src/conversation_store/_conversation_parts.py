"""The large parts of a conversation, each of which a caller may leave unread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
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
    return _parts(
        validate.boolean("include_messages", include_messages),
        validate.boolean("include_reference", include_reference),
        validate.boolean("include_dsl", include_dsl),
    )


@cache
def _parts(messages: bool, reference: bool, dsl: bool) -> Parts:
    params = {"include_messages": messages, "include_reference": reference, "include_dsl": dsl}
    unread = [
        field for field, is_read in (("message", messages), ("reference", reference), ("dsl", dsl)) if not is_read
    ]

    def row(*columns: Any) -> Conversation:
        conversation = Conversation(*columns)
        for field in unread:
            setattr(conversation, field, NOT_READ)
        return conversation

    return Parts(params, row if unread else Conversation)
