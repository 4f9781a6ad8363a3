"""Conversations listed: by pages, after a cursor, by their names, with everything in them."""

from __future__ import annotations

from conversation_store import _pagination as pagination
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._conversation_parts import parts
from conversation_store._dates import Moment
from conversation_store._operations import Methods, operation
from conversation_store._pagination import DateField, ListFilters, OrderBy, Total
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, limited
from conversation_store._validation import Id
from conversation_store.errors import InvalidArgument
from conversation_store.models import (
    Conversation,
    ConversationName,
    CursorPage,
    LimitedList,
    Page,
)

_QUERY = load("conversation.query")
_GET_NAMES = load("conversation.get_names")


class ConversationLists(Methods):
    """The listing methods of both repositories."""

    @operation
    def query(
        self,
        *,
        dialog_id: Id | None = None,
        tenant_id: Id | None = None,
        user_id: Id | None = None,
        id: Id | None = None,
        limit: int = 1_000,
        include_messages: bool = True,
        include_reference: bool = True,
        include_dsl: bool = True,
    ) -> Described[LimitedList[Conversation]]:
        """Return the conversations of a dialog, of a user, or of both, newest first.

        None is no filter, and an empty one raises `InvalidArgument`. *dialog_id* or *user_id* must be given; *id*
        narrows to one. At most *limit* are returned; `has_more` of the list says whether there are more, and `iter`
        reads all of a dialog; of a user, a higher *limit* does. With *include_messages*, *include_reference* or
        *include_dsl* False, `message`, `reference` or `dsl` is not read and `NOT_READ`. Without a tenant, the one that
        has the dialog is found first; raises `AmbiguousId` when two have it. SQL: `sql/conversation/query.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        if dialog_id is None and (tenant is None or user_id is None):
            known = "user_id" if tenant is not None else "tenant_id and user_id"
            raise InvalidArgument(f"dialog_id must be given, or {known}")
        dialog = validate.optional_filter("dialog_id", dialog_id)
        filters = {
            "user_id": validate.optional_filter("user_id", user_id, maximum=validate.MAX_USER_ID),
            "id": validate.optional_filter("id", id),
        }
        number = validate.integer("limit", limit, minimum=0)
        read = parts(include_messages=include_messages, include_reference=include_reference, include_dsl=include_dsl)
        return tenancy.for_one(
            tenant,
            tenancy.FIND_DIALOG,
            dialog or "",
            lambda owner: limited(
                _QUERY, read.row, number, tenant_id=owner, dialog_id=dialog, **filters, **read.params
            ),
        )

    @operation
    def get_list(
        self,
        dialog_id: Id,
        tenant_id: Id | None = None,
        page_number: int = 1,
        items_per_page: int = 30,
        orderby: OrderBy = "create_date",
        desc: bool = True,
        id: Id | None = None,
        user_id: Id | None = None,
        include_dsl: bool = True,
        keywords: str = "",
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        exp_user_id: Id | None = None,
        *,
        date_field: DateField = "create_date",
        time_zone: str = "UTC",
        total: Total = "exact",
        total_limit: int = 1_000,
        include_messages: bool = True,
        include_reference: bool = True,
    ) -> Statement[Page]:
        """Return one page of a dialog's conversations, and how many match over all pages.

        The page has `sessions`, each a `Conversation`, and `count`. None or an empty value is no filter. Ties are in
        order of the id, so pages never overlap. The dialog of another tenant is empty.

        - *page_number*: from 1.
        - *items_per_page*: from 0 to the store's `max_items_per_page`.
        - *orderby*, *desc*: a name of None is ordered as ''.
        - *id*, *user_id*, *exp_user_id*: only conversations with these.
        - *include_messages*, *include_reference*, *include_dsl*: when False, `message`, `reference` or `dsl` is not
          read and `NOT_READ`.
        - *keywords*: looked for literally, whatever its case, in the text of messages, in ids and in names.
        - *from_date*, *to_date*: inclusive, days or instants; without an offset they are in *time_zone*, an IANA name.
          The text of a minute or second as *to_date* covers all of it, as that of a day does.
        - *date_field*: the date that they apply to.
        - *total*: "exact"; "capped", which stops counting at *total_limit*, so that this count stands for itself and
          everything beyond; or "none", and the count is -1.

        SQL: `sql/conversation/get_list.sql`, `sql/conversation/get_list_by_create_date.sql`,
        `sql/conversation/get_list_by_create_date_asc.sql`, `sql/conversation/get_list_by_update_date.sql`,
        `sql/conversation/get_list_by_update_date_asc.sql`, `sql/conversation/get_list_by_keywords.sql`.
        """
        most = self._settings.max_items_per_page
        limit = validate.integer("items_per_page", items_per_page, minimum=0, maximum=most)
        page = validate.integer("page_number", page_number, minimum=1, maximum=validate.MAX_BIGINT // max(limit, 1))
        read = parts(include_messages=include_messages, include_reference=include_reference, include_dsl=include_dsl)
        filters = ListFilters(
            dialog_id=dialog_id,
            tenant_id=tenancy.needed(self._bound, tenant_id),
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
            parts=read,
            total=total,
            total_limit=total_limit,
        )

    @operation
    def list_after(
        self,
        dialog_id: Id,
        tenant_id: Id | None = None,
        *,
        orderby: OrderBy = "create_date",
        desc: bool = True,
        cursor: str | None = None,
        items_per_page: int = 30,
        id: Id | None = None,
        user_id: Id | None = None,
        include_messages: bool = True,
        include_reference: bool = True,
        include_dsl: bool = True,
        keywords: str = "",
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        exp_user_id: Id | None = None,
        date_field: DateField = "create_date",
        time_zone: str = "UTC",
    ) -> Statement[CursorPage]:
        """Return the page of a dialog's conversations after a cursor, and the cursor of the next page.

        The page has `sessions`, each a `Conversation`, and `next_cursor`. The first call has no *cursor*, each other
        one the `next_cursor` of the call before, which is None at the end. A page costs the same however far away it
        is, and rows that are added or deleted in between move no other.
        Filters, order and what is included are those of `get_list`; a cursor of other filters, or of another dialog or
        tenant, raises `InvalidArgument`. *items_per_page* may change, from 1 to the store's `max_items_per_page`.
        SQL: `sql/conversation/get_list.sql`, `sql/conversation/get_list_by_create_date.sql`,
        `sql/conversation/get_list_by_create_date_asc.sql`, `sql/conversation/get_list_by_update_date.sql`,
        `sql/conversation/get_list_by_update_date_asc.sql`, `sql/conversation/get_list_by_keywords.sql`.
        """
        most = self._settings.max_items_per_page
        limit = validate.integer("items_per_page", items_per_page, minimum=1, maximum=most)
        read = parts(include_messages=include_messages, include_reference=include_reference, include_dsl=include_dsl)
        filters = ListFilters(
            dialog_id=dialog_id,
            tenant_id=tenancy.needed(self._bound, tenant_id),
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
        return pagination.page_after(filters, cursor, items_per_page=limit, parts=read)

    @operation
    def get_names(
        self, dialog_id: Id, exp_user_id: Id, *, tenant_id: Id | None = None, limit: int = 1_000
    ) -> Described[LimitedList[ConversationName]]:
        """Return the ids and names of one explorer user's conversations, newest first.

        At most *limit* are returned; `has_more` of the list says whether there are more, and `list_after` with
        *exp_user_id* reads all of them. Without a tenant, the one that has the dialog is found first; raises
        `AmbiguousId` when two have it. SQL: `sql/conversation/get_names.sql`.
        """
        dialog = validate.identifier("dialog_id", dialog_id)
        explorer = validate.identifier("exp_user_id", exp_user_id, maximum=validate.MAX_USER_ID)
        number = validate.integer("limit", limit, minimum=0)
        return tenancy.for_one(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_DIALOG,
            dialog,
            lambda owner: limited(
                _GET_NAMES, ConversationName, number, tenant_id=owner, dialog_id=dialog, exp_user_id=explorer
            ),
        )
