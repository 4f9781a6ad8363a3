"""Conversations read: by their ids, listed, searched, walked over, counted and summarised."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from conversation_store import _batches as batches
from conversation_store import _dates as dates
from conversation_store import _pagination as pagination
from conversation_store import _validation as validate
from conversation_store._conversation_input import owner
from conversation_store._dates import Moment
from conversation_store._operations import operation, stream
from conversation_store._pagination import DateField, ListFilters, OrderBy, Total
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, many, optional, scalar, then
from conversation_store.errors import InvalidArgument
from conversation_store.models import (
    Conversation,
    ConversationDialog,
    ConversationName,
    CursorPage,
    DailyStats,
    Page,
)

T = TypeVar("T")

_GET_BY_ID = load("conversation.get_by_id")
_GET_BY_IDS = load("conversation.get_by_ids")
_GET_DIALOG_IDS = load("conversation.get_dialog_ids")
_GET_OR_NONE = load("conversation.get_or_none")
_QUERY = load("conversation.query")
_GET_NAMES = load("conversation.get_names")
_ITER = load("conversation.iter")
_COUNT = load("conversation.count")
_STATS = load("conversation.stats")

_MAX_DAYS = 3_660


class ConversationReads:
    """The reading methods of both repositories."""

    _max_items_per_page = 1_000

    @operation
    def get_by_id(self, id: str | int) -> Statement[Conversation | None]:
        """Return the conversation with this id, or None when there is none.

        SQL: `sql/conversation/get_by_id.sql`.
        """
        return optional(_GET_BY_ID, Conversation, id=validate.identifier("id", id))

    @operation
    def get_by_ids(self, ids: Iterable[str | int]) -> Statement[list[Conversation]]:
        """Return the conversations with these ids, in order of the ids; at most 10,000 may be asked for.

        SQL: `sql/conversation/get_by_ids.sql`.
        """
        return many(_GET_BY_IDS, Conversation, ids=validate.identifiers("ids", ids))

    @operation
    def get_dialog_ids(self, ids: Iterable[str | int]) -> Statement[dict[str, str]]:
        """Return the dialog of each of these conversations, without those that do not exist; at most 10,000.

        SQL: `sql/conversation/get_dialog_ids.sql`.
        """
        statement = many(_GET_DIALOG_IDS, ConversationDialog, ids=validate.identifiers("ids", ids))
        return then(statement, lambda rows: {row.id: row.dialog_id for row in rows})

    @operation
    def get_or_none(self, *, id: str | int, dialog_id: str | int) -> Statement[Conversation | None]:
        """Return the conversation with this id when it belongs to this dialog, else None.

        A service refuses a session of another dialog with it. SQL: `sql/conversation/get_or_none.sql`.
        """
        return optional(
            _GET_OR_NONE,
            Conversation,
            id=validate.identifier("id", id),
            dialog_id=validate.identifier("dialog_id", dialog_id),
        )

    @operation
    def query(
        self,
        *,
        dialog_id: str | int | None = None,
        tenant_id: str | int | None = None,
        user_id: str | int | None = None,
        id: str | int | None = None,
        limit: int = 1_000,
    ) -> Statement[list[Conversation]]:
        """Return the conversations of a dialog, of a user, or of both, newest first, with everything in them.

        None is no filter, and an empty one raises `InvalidArgument`. *dialog_id* must be given, or *tenant_id* with
        *user_id*: two tenants may have a user of the same name. *id* narrows to one. *limit* is the most that are
        returned; `iter` walks over any number. SQL: `sql/conversation/query.sql`.
        """
        if dialog_id is None and (tenant_id is None or user_id is None):
            raise InvalidArgument("dialog_id must be given, or tenant_id and user_id")
        return many(
            _QUERY,
            Conversation,
            dialog_id=None if dialog_id is None else validate.identifier("dialog_id", dialog_id),
            tenant_id=None if tenant_id is None else validate.identifier("tenant_id", tenant_id),
            user_id=None if user_id is None else validate.identifier("user_id", user_id, maximum=validate.MAX_USER_ID),
            id=None if id is None else validate.identifier("id", id),
            limit=validate.integer("limit", limit, minimum=0),
        )

    @operation
    def get_list(
        self,
        dialog_id: str | int,
        tenant_id: str | int,
        page_number: int = 1,
        items_per_page: int = 30,
        orderby: OrderBy = "create_date",
        desc: bool = True,
        id: str | int | None = None,
        user_id: str | int | None = None,
        include_dsl: bool = True,
        keywords: str = "",
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        exp_user_id: str | int | None = None,
        *,
        date_field: DateField = "create_date",
        time_zone: str = "UTC",
        total: Total = "exact",
        total_limit: int = 1_000,
    ) -> Statement[Page]:
        """Return one page of a dialog's conversations, and how many match over all pages.

        None or an empty value is no filter. *keywords* is looked for literally, whatever its case, in the text of
        messages, in ids and in names. *from_date* and *to_date* are inclusive, days or instants, and apply to
        *date_field*; without an offset they are in *time_zone*, an IANA name. A name of None is ordered as ''. Ties are
        in order of the id, so pages never overlap. Pages count from 1; *items_per_page* is from 0 to the store's
        `max_items_per_page`. Without *include_dsl*, `dsl` is not read and None. A *total* that is "capped" stops
        counting at *total_limit*, which then stands for itself and everything beyond; with "none" the count is -1. A
        foreign tenant's dialog is empty. SQL: `sql/conversation/get_list.sql`.
        """
        limit = validate.integer("items_per_page", items_per_page, minimum=0, maximum=self._max_items_per_page)
        page = validate.integer("page_number", page_number, minimum=1, maximum=validate.MAX_BIGINT // max(limit, 1))
        filters = ListFilters(
            dialog_id=dialog_id,
            tenant_id=tenant_id,
            orderby=orderby,
            desc=desc,
            id=id,
            user_id=user_id,
            keywords=keywords,
            from_date=from_date,
            to_date=to_date,
            exp_user_id=exp_user_id,
            date_field=date_field,
            time_zone=time_zone,
        )
        return pagination.page(
            filters,
            page_number=page,
            items_per_page=limit,
            include_dsl=validate.boolean("include_dsl", include_dsl),
            total=total,
            total_limit=total_limit,
        )

    @operation
    def list_after(
        self,
        dialog_id: str | int,
        tenant_id: str | int,
        *,
        orderby: OrderBy = "create_date",
        desc: bool = True,
        cursor: str | None = None,
        items_per_page: int = 30,
        id: str | int | None = None,
        user_id: str | int | None = None,
        include_dsl: bool = True,
        keywords: str = "",
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        exp_user_id: str | int | None = None,
        date_field: DateField = "create_date",
        time_zone: str = "UTC",
    ) -> Statement[CursorPage]:
        """Return the page of a dialog's conversations after a cursor, and the cursor of the next page.

        The first call has no *cursor*, each other one the `next_cursor` of the call before, which is None at the end. A
        page costs the same however far away it is, and rows that come or go in between move no other. Filters and order
        are those of `get_list`; a cursor of other filters, or of another dialog or tenant, raises `InvalidArgument`.
        *items_per_page* may change, from 1 to the store's `max_items_per_page`. SQL: `sql/conversation/get_list.sql`.
        """
        limit = validate.integer("items_per_page", items_per_page, minimum=1, maximum=self._max_items_per_page)
        filters = ListFilters(
            dialog_id=dialog_id,
            tenant_id=tenant_id,
            orderby=orderby,
            desc=desc,
            id=id,
            user_id=user_id,
            keywords=keywords,
            from_date=from_date,
            to_date=to_date,
            exp_user_id=exp_user_id,
            date_field=date_field,
            time_zone=time_zone,
        )
        return pagination.page_after(
            filters, cursor, items_per_page=limit, include_dsl=validate.boolean("include_dsl", include_dsl)
        )

    @stream
    def iter(
        self,
        *,
        tenant_id: str | int | None = None,
        dialog_id: str | int | None = None,
        batch_size: int = 200,
    ) -> Generator[Statement[list[Conversation]], list[Conversation], None]:
        """Iterate over any number of conversations: of a tenant, of a dialog, or all.

        They come in order of dialog, creation date and id, and are read *batch_size* at a time; no connection is held
        in between. Inside of `transaction(isolation="repeatable read")` they are from one snapshot.
        SQL: `sql/conversation/iter.sql`.
        """
        return _walk(tenant_id, dialog_id, batch_size, list)

    @stream
    def export(
        self,
        *,
        tenant_id: str | int | None = None,
        dialog_id: str | int | None = None,
        batch_size: int = 200,
    ) -> Generator[Statement[list[str]], list[str], None]:
        """Iterate over any number of conversations as lines of JSON, each ended by a newline.

        A line is what `to_dict` gives, and what `insert_many` takes; the order is that of `iter`.
        SQL: `sql/conversation/iter.sql`.
        """
        return _walk(
            tenant_id,
            dialog_id,
            batch_size,
            lambda rows: [json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows],
        )

    @operation
    def count(self, *, tenant_id: str | int | None = None, dialog_id: str | int | None = None) -> Statement[int]:
        """Count the conversations of a tenant, of a dialog, or all.

        SQL: `sql/conversation/count.sql`.
        """
        return scalar(_COUNT, int, **owner(tenant_id, dialog_id))

    @operation
    def get_names(
        self, dialog_id: str | int, exp_user_id: str | int, *, limit: int = 1_000
    ) -> Statement[list[ConversationName]]:
        """Return the ids and names of one explorer user's conversations, newest first, *limit* at the most.

        SQL: `sql/conversation/get_names.sql`.
        """
        return many(
            _GET_NAMES,
            ConversationName,
            dialog_id=validate.identifier("dialog_id", dialog_id),
            exp_user_id=validate.identifier("exp_user_id", exp_user_id, maximum=validate.MAX_USER_ID),
            limit=validate.integer("limit", limit, minimum=0),
        )

    @operation
    def stats(
        self,
        tenant_id: str | int,
        from_date: Moment,
        to_date: Moment,
        source: str | None = None,
        *,
        time_zone: str = "UTC",
        fill: bool = False,
    ) -> Statement[list[DailyStats]]:
        """Return a tenant's conversations summarised by the day of their creation, in order of the day.

        *from_date* and *to_date* are inclusive, days or instants, at most 3,660 days apart; without an offset they are
        in *time_zone*, an IANA name, whose days they are. A *source* of None means every source. With
        *fill*, days without conversations are in the list too. SQL: `sql/conversation/stats.sql`.
        """
        zone = dates.time_zone("time_zone", time_zone)
        since, until = dates.moment("from_date", from_date), dates.moment("to_date", to_date)
        if until.toordinal() - since.toordinal() >= _MAX_DAYS:
            raise InvalidArgument(f"to_date must be less than {_MAX_DAYS} days after from_date")
        return many(
            _STATS,
            DailyStats,
            tenant_id=validate.identifier("tenant_id", tenant_id),
            from_date=dates.start(since, zone),
            before_date=dates.end(until, zone),
            source=validate.optional_text("source", source, maximum=validate.MAX_SOURCE) or None,
            time_zone=zone,
            fill=validate.boolean("fill", fill),
        )


def _walk(
    tenant_id: str | int | None,
    dialog_id: str | int | None,
    batch_size: int,
    emit: Callable[[list[Conversation]], list[T]],
) -> Generator[Statement[list[T]], list[T], None]:
    limit = batches.batch_size(batch_size)
    filters = owner(tenant_id, dialog_id)

    def page(last: Conversation | None) -> Statement[list[Conversation]]:
        return many(
            _ITER,
            Conversation,
            **filters,
            limit=limit,
            after_dialog_id=None if last is None else last.dialog_id,
            after_create_date=None if last is None else last.create_date,
            after_id=None if last is None else last.id,
        )

    return batches.walk(page, limit, emit)
