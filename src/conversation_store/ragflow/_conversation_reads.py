"""The reading half of the service of API conversations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, cast

from conversation_store import _dates as dates
from conversation_store import _validation as validate
from conversation_store._dates import Moment
from conversation_store.errors import InvalidArgument
from conversation_store.models import DailyStats, NoSource
from conversation_store.ragflow._conversation_rows import API4Conversation, values_of
from conversation_store.ragflow._fields import known
from conversation_store.ragflow._service import Service
from conversation_store.ragflow._settings import Settings, settings


class ConversationReads(Service[API4Conversation]):
    """The methods that read conversations."""

    model = API4Conversation

    @classmethod
    def get_by_id(cls, pid: Any) -> tuple[bool, API4Conversation | None]:
        """Return True and the conversation with this id, or False and None; an outage raises.

        SQL: `sql/conversation/get_by_id.sql`.
        """
        current, id = settings(), known(pid)
        row = None if id is None else current.store.conversations.get_by_id(id)
        return (False, None) if row is None else (True, API4Conversation.of(values_of(current, row)))

    @classmethod
    def get_by_ids(cls, pids: Iterable[Any], cols: Iterable[Any] | None = None) -> list[API4Conversation]:
        """Return the conversations with these ids, with these columns or with all.

        SQL: `sql/conversation/get_by_ids.sql`.
        """
        return API4Conversation.find([API4Conversation.id.in_(pids)], cols)

    @classmethod
    def get_list(
        cls,
        dialog_id: Any,
        tenant_id: Any,
        page_number: int,
        items_per_page: int,
        orderby: str,
        desc: bool,
        id: Any = None,
        user_id: Any = None,
        include_dsl: bool = True,
        keywords: str | None = "",
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        exp_user_id: Any = None,
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many conversations of a dialog match, and one page of them, each as a dict.

        A filter that is empty is no filter. The list is that of the tenant when it has the dialog. When it has not, it
        is empty, or with `configure(any_tenant=True)` that of the tenant that has it.

        - *page_number*: from 1; 0 is 1.
        - *orderby*: `id`, `name`, `tokens`, `duration`, `round`, `thumb_up`, or a date or time. With that of the change
          the dates filter by it, with any other by that of the creation.
        - *keywords*: looked for literally, whatever its case, in the text of messages, in ids and in names. One in JSON
          syntax raises `NotImplementedError`.
        - *from_date*, *to_date*: days or instants, both inclusive, a whole second to its end; in the configured zone.

        SQL: `sql/conversation/get_list.sql`, `sql/conversation/get_list_by_create_date.sql`,
        `sql/conversation/get_list_by_create_date_asc.sql`, `sql/conversation/get_list_by_update_date.sql`,
        `sql/conversation/get_list_by_update_date_asc.sql`, `sql/conversation/get_list_by_keywords.sql`.
        """
        sought = _sought(keywords)
        current = settings()
        dialog = known(dialog_id)
        tenant = _tenant_of_list(current, dialog, known(tenant_id))
        filters = {
            name: known(value, maximum=maximum)
            for name, value, maximum in (
                ("id", id, validate.MAX_ID),
                ("user_id", user_id, validate.MAX_USER_ID),
                ("exp_user_id", exp_user_id, validate.MAX_USER_ID),
            )
            if value
        }
        if dialog is None or tenant is None or sought is None or None in filters.values():
            return 0, []
        found = current.store.conversations.get_list(
            dialog,
            tenant,
            page_number or 1,
            items_per_page,
            cast(Any, orderby),
            bool(desc),
            **cast("dict[str, Any]", filters),
            include_dsl=bool(include_dsl),
            keywords=sought,
            from_date=from_date,
            to_date=_to_the_end(to_date),
            date_field="update_date" if str(orderby).startswith("update_") else "create_date",
            time_zone=current.time_zone,
        )
        return found.count, [values_of(current, row) for row in found.sessions]

    @classmethod
    def get_names(cls, dialog_id: Any, exp_user_id: Any) -> list[dict[str, Any]]:
        """Return the `id` and `name` of all conversations of one explorer user, newest first.

        SQL: `sql/conversation/get_names.sql`.
        """
        dialog, user = known(dialog_id), known(exp_user_id, maximum=validate.MAX_USER_ID)
        if dialog is None or user is None:
            return []
        found = settings().store.conversations.get_names(dialog, user, limit=validate.MAX_INTEGER)
        return [{"id": row.id, "name": row.name} for row in found]

    @classmethod
    def stats(
        cls, tenant_id: Any, from_date: Moment, to_date: Moment, source: str | NoSource | None = None
    ) -> list[dict[str, Any]]:
        """Return a tenant's conversations summarised by the day of their creation, in order of the day.

        Each dict has `dt` (the start of the day in the configured zone, naive), `pv`, `uv`, `tokens`, `duration`
        (seconds), `round` and `thumb_up`. A *source* of None is every source, and `NO_SOURCE` those without one. Dates
        are those of `get_list`. SQL: `sql/conversation/stats.sql`.
        """
        current, tenant = settings(), known(tenant_id)
        if tenant is None:
            return []
        stats = partial(current.store.conversations.stats, tenant, source=source, time_zone=current.time_zone)
        first = dates.needed("from_date", from_date)
        last = dates.needed("to_date", _to_the_end(to_date), dates.last)
        if last.toordinal() - first.toordinal() >= _MOST_DAYS:
            raise InvalidArgument(f"to_date must be less than {_MOST_DAYS} days after from_date")
        days: list[DailyStats] = []
        while last.toordinal() - first.toordinal() >= _DAYS:
            end = date.fromordinal(first.toordinal() + _DAYS - 1)
            days += stats(first, end)
            first = end + timedelta(days=1)
        days += stats(first, _to_the_end(to_date))
        return [day.to_dict() | {"dt": datetime.combine(day.dt, time())} for day in days]


# So many days are asked for at a time, and so many at the most: each time is a statement.
_DAYS, _MOST_DAYS = 3_650, 36_500
# A keyword that is the beginning of a message in JSON.
_JSON_MEMBER = re.compile(r'[\s{\[]*"(?:role|content|id|created_at|files|name)"\s*:')


def _sought(keywords: object) -> str | None:
    """Return the keyword of a list, empty for none, or None for one that no text has."""
    if not isinstance(keywords, str):
        return "" if keywords is None else validate.text("keywords", keywords)
    if _JSON_MEMBER.match(keywords):
        raise NotImplementedError(
            "keywords finds the text of messages, and not their JSON: give the text alone, without keys and quotes"
        )
    return None if validate.unstorable(keywords) is not None else keywords


def _tenant_of_list(current: Settings, dialog_id: str | None, tenant_id: str | None) -> str | None:
    """Return the tenant whose conversations of a dialog are listed."""
    if dialog_id is None or tenant_id is None or not current.any_tenant:
        return tenant_id
    dialogs = current.store.dialogs
    found = dialogs.get_by_id(dialog_id, tenant_id=tenant_id) or dialogs.get_by_id(dialog_id)
    return None if found is None else found.tenant_id


def _to_the_end(moment: Any) -> Any:
    """Return the end of a whole second, as a text of it is read too."""
    if isinstance(moment, datetime) and not moment.microsecond:
        return moment.replace(microsecond=999_999)
    return moment
