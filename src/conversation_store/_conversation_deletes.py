"""Conversations deleted: by their ids, by their dialogs, and by their age."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from conversation_store import _batches as batches
from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._batches import OnProgress, Progress
from conversation_store._dates import Moment
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, Steps, count
from conversation_store._validation import Id

_DELETE_BY_ID = load("conversation.delete_by_id")
_DELETE_BY_IDS = load("conversation.delete_by_ids")
_DELETE_BY_DIALOG_IDS = load("conversation.delete_by_dialog_ids")


class ConversationDeletes(Methods):
    """The deleting methods of both repositories."""

    @operation
    def delete_by_id(self, id: Id, *, tenant_id: Id | None = None, dialog_id: Id | None = None) -> Described[int]:
        """Delete a conversation with everything in it; return 1, or 0 when there is none.

        With *dialog_id*, only a conversation of this dialog. Without a tenant, the one that has the id is found first;
        raises `AmbiguousId` when two have it. SQL: `sql/conversation/delete_by_id.sql`.
        """
        text = validate.identifier("id", id)
        dialog = validate.optional_filter("dialog_id", dialog_id)
        return tenancy.for_one(
            tenancy.known(self._bound, tenant_id),
            tenancy.find_conversation(dialog),
            text,
            lambda owner: count(_DELETE_BY_ID, id=text, tenant_id=owner, dialog_id=dialog),
        )

    @operation
    def delete_by_ids(
        self, ids: Iterable[Id], dialog_id: Id | None = None, *, tenant_id: Id | None = None
    ) -> Described[int]:
        """Delete conversations with everything in them; return how many there were.

        With *dialog_id*, only those of the dialog. At most 10,000. Without a tenant, those that have the ids are found
        first, and the deletions are one transaction; raises `AmbiguousId` when two have one.
        SQL: `sql/conversation/delete_by_ids.sql`.
        """
        dialog = validate.optional_filter("dialog_id", dialog_id)
        return tenancy.for_each(
            tenancy.known(self._bound, tenant_id),
            tenancy.find_conversation(dialog),
            validate.identifiers("ids", ids),
            lambda owner, some: count(_DELETE_BY_IDS, ids=some, tenant_id=owner, dialog_id=dialog),
            sum,
            atomic=True,
        )

    @operation
    def delete_by_dialog_ids(
        self,
        ids: Iterable[Id],
        *,
        tenant_id: Id | None = None,
        batch_size: int = batches.BATCH,
        on_progress: OnProgress | None = None,
    ) -> Steps[int]:
        """Delete every conversation of some dialogs; return how many there were.

        Each statement deletes *batch_size* at the most and is a transaction of its own, unless the call is made inside
        of one; *on_progress* is called with the number so far. After an interruption, call it again. At most 10,000
        dialogs. Without a tenant, those that have the dialogs are found first; raises `AmbiguousId` when two have one.
        SQL: `sql/conversation/delete_by_dialog_ids.sql`.
        """
        limit = batches.batch_size(batch_size, on_progress)
        progress = Progress(on_progress)

        def delete(owner: str, some: list[str]) -> Steps[int]:
            return Steps(batches.delete_in_batches(_DELETE_BY_DIALOG_IDS, limit, progress, tenant_id=owner, ids=some))

        return tenancy.several(
            tenancy.for_each(
                tenancy.known(self._bound, tenant_id),
                tenancy.FIND_DIALOG,
                validate.identifiers("ids", ids),
                delete,
                sum,
            )
        )

    @operation
    def delete_not_updated_since(
        self,
        date: Moment,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        time_zone: str = "UTC",
        batch_size: int = batches.BATCH,
        on_progress: OnProgress | None = None,
    ) -> Steps[int]:
        """Delete the conversations that were last updated before a date; return how many there were.

        *date* is a day, of which the first instant counts, or an instant; without an offset it is in *time_zone*, an
        IANA name. Of a tenant, of a dialog, or of all; in batches, as `delete_by_dialog_ids`. One that is updated while
        this runs is kept. Without a tenant, the one that has the dialog is found first; raises `AmbiguousId` when two
        have it. SQL: `sql/conversation/delete_not_updated_since.sql`.
        """
        zone = dates.time_zone("time_zone", time_zone)
        before_date = dates.start(dates.moment("date", date), zone)
        tenant = tenancy.known(self._bound, tenant_id)
        dialog = validate.optional_filter("dialog_id", dialog_id)
        limit = batches.batch_size(batch_size, on_progress)
        progress = Progress(on_progress)

        def delete(owner: str) -> Generator[Statement[Any], Any, None]:
            return batches.delete_not_updated_since(
                limit, progress, before_date=before_date, tenant_id=owner, dialog_id=dialog
            )

        def steps() -> Generator[Statement[Any], Any, int]:
            yield from tenancy.walk(tenant, dialog, delete)
            return progress.number

        return Steps(steps())
