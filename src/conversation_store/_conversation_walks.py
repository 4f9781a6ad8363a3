"""Conversations walked over: any number of them, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from conversation_store import _batches as batches
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._json import quoted
from conversation_store._operations import Methods, stream
from conversation_store._sql_loader import Query, load
from conversation_store._statement import Statement, many
from conversation_store._validation import Id
from conversation_store.models import Conversation, ConversationKey, Dated

T = TypeVar("T")
Walked = TypeVar("Walked", Conversation, ConversationKey, "ExportedConversation")

_EXPORT = load("conversation.export")
_ITER = load("conversation.iter")
_ITER_IDS = load("conversation.iter_ids")


class ConversationWalks(Methods):
    """The methods of both repositories that walk over conversations."""

    @stream
    def iter(
        self, *, tenant_id: Id | None = None, dialog_id: Id | None = None, batch_size: int = 200
    ) -> Generator[Statement[list[Conversation]], Any, None]:
        """Iterate over any number of conversations: of a tenant, of a dialog, or all.

        They come in order of tenant, dialog, creation date and id, and are read *batch_size* at a time; no connection
        is held in between. Inside of `transaction(isolation="repeatable read")` they are from one snapshot. Without a
        tenant, the one that has the dialog is found first; raises `AmbiguousId` when two have it.
        SQL: `sql/conversation/iter.sql`.
        """
        return _walk(_ITER, Conversation, tenancy.known(self._bound, tenant_id), dialog_id, batch_size, list)

    @stream
    def iter_ids(
        self, *, tenant_id: Id | None = None, dialog_id: Id | None = None, batch_size: int = 1_000
    ) -> Generator[Statement[list[str]], Any, None]:
        """Iterate over the ids of any number of conversations, which are all that is read of them.

        The arguments and the order are those of `iter`. SQL: `sql/conversation/iter_ids.sql`.
        """
        return _walk(
            _ITER_IDS,
            ConversationKey,
            tenancy.known(self._bound, tenant_id),
            dialog_id,
            batch_size,
            lambda rows: [row.id for row in rows],
        )

    @stream
    def export(
        self, *, tenant_id: Id | None = None, dialog_id: Id | None = None, batch_size: int = 200
    ) -> Generator[Statement[list[str]], Any, None]:
        """Iterate over any number of conversations as lines of JSON, each ended by a newline.

        A line is what `to_dict` gives, and what `insert_many` takes; the order is that of `iter`. `message`,
        `reference` and `dsl` stand at its end, as the text that the server has stored.
        SQL: `sql/conversation/export.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        return _walk(_EXPORT, ExportedConversation, tenant, dialog_id, batch_size, lambda rows: list(map(_line, rows)))


@dataclass(slots=True)
class ExportedConversation(Dated):
    """A conversation as an object of JSON, without its id, its dates and its duration."""

    id: str
    dialog_id: str
    create_date: datetime
    update_date: datetime
    duration: float
    line: str


def _line(row: ExportedConversation) -> str:
    # In a string of JSON a newline is an escape: one that was stored stands between two values, as a blank may.
    rest = row.line[1:].replace("\n", " ").replace("\r", " ")
    return (
        f'{{"id":{quoted(row.id)},"create_date":"{row.create_date.isoformat()}",'
        f'"update_date":"{row.update_date.isoformat()}","create_time":{row.create_time},'
        f'"update_time":{row.update_time},"duration":{row.duration!r},{rest}\n'
    )


def _walk(
    query: Query,
    row: type[Walked],
    tenant: str | None,
    dialog_id: object,
    batch_size: object,
    emit: Callable[[list[Walked]], list[T]],
) -> Generator[Statement[list[T]], Any, None]:
    limit = batches.batch_size(batch_size)
    dialog = validate.optional_filter("dialog_id", dialog_id)

    def of(owner: str) -> Generator[Statement[list[Any]], Any, None]:
        def page(last: Walked | None) -> Statement[list[Walked]]:
            return many(
                query,
                row,
                tenant_id=owner,
                dialog_id=dialog,
                limit=limit,
                after_dialog_id=None if last is None else last.dialog_id,
                after_create_date=None if last is None else last.create_date,
                after_id=None if last is None else last.id,
            )

        return batches.walk(page, limit, emit)

    return tenancy.walk(tenant, dialog, of)
