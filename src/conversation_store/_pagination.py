"""Lists of a dialog's conversations: filters, orders, cursors, and the statements behind get_list and list_after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from conversation_store import _cursors as cursors
from conversation_store import _dates as dates
from conversation_store import _validation as validate
from conversation_store._conversation_parts import Parts
from conversation_store._sql_loader import Query, load
from conversation_store._statement import Statement
from conversation_store.models import Conversation, CursorPage, Page

T = TypeVar("T")

OrderBy: TypeAlias = Literal[
    "id",
    "name",
    "create_date",
    "create_time",
    "update_date",
    "update_time",
    "tokens",
    "duration",
    "round",
    "thumb_up",
]
DateField: TypeAlias = Literal["create_date", "update_date"]
Total: TypeAlias = Literal["exact", "capped", "none"]

_GET_LIST = load("conversation.get_list")
_GET_LIST_BY_DATE = {
    (field, desc): load(f"conversation.get_list_by_{field}{'' if desc else '_asc'}")
    for field in ("create_date", "update_date")
    for desc in (True, False)
}
_GET_LIST_BY_KEYWORDS = load("conversation.get_list_by_keywords")

# A list by date reads the rows that it skips: beyond so many, a list is cheaper that has to be planned, but reads
# only their index entries.
_NEAR = 1_000

_ORDERS: Mapping[str, str] = {
    "id": "id",
    "name": "name",
    "create_date": "create_date",
    "create_time": "create_date",
    "update_date": "update_date",
    "update_time": "update_date",
    "tokens": "tokens",
    "duration": "duration",
    "round": "round",
    "thumb_up": "thumb_up",
}


class ListFilters(NamedTuple):
    """Which conversations a list has, and in which order, as a caller gave it."""

    dialog_id: object
    tenant_id: object
    orderby: object
    desc: object
    id: object
    user_id: object
    keywords: object
    from_date: object
    to_date: object
    exp_user_id: object
    date_field: object
    time_zone: object

    def order(self) -> str:
        """Return the field that the list is ordered by."""
        return _ORDERS[validate.choice("orderby", self.orderby, tuple(_ORDERS))]

    def params(self) -> dict[str, object]:
        """Return the parameters of the statement, or raise an error that names the argument."""
        zone = dates.time_zone("time_zone", self.time_zone)
        bounds = dates.bounds(self.from_date, self.to_date, zone)
        user_id = validate.optional_identifier("user_id", self.user_id, maximum=validate.MAX_USER_ID)
        exp_user_id = validate.optional_identifier("exp_user_id", self.exp_user_id, maximum=validate.MAX_USER_ID)
        return {
            "dialog_id": validate.identifier("dialog_id", self.dialog_id),
            "tenant_id": validate.identifier("tenant_id", self.tenant_id),
            "desc": validate.boolean("desc", self.desc),
            # An empty filter is no filter.
            "id": validate.optional_identifier("id", self.id) or None,
            "user_id": user_id or None,
            "exp_user_id": exp_user_id or None,
            "keywords": validate.optional_text("keywords", self.keywords, maximum=validate.MAX_KEYWORDS) or None,
            "date_field": validate.choice("date_field", self.date_field, ("create_date", "update_date")),
            **bounds,
        }


def page(
    filters: ListFilters, *, page_number: int, items_per_page: int, parts: Parts, total: Total, total_limit: int
) -> Statement[Page]:
    """Describe one page with the total of the list."""
    return _listed(
        filters.order(),
        filters.params(),
        lambda count, sessions: Page(-1 if count is None else count, sessions),
        limit=items_per_page,
        offset=(page_number - 1) * items_per_page,
        parts=parts,
        total=validate.choice("total", total, ("exact", "capped", "none")),
        total_limit=validate.integer("total_limit", total_limit, minimum=0),
    )


def page_after(filters: ListFilters, cursor: object, *, items_per_page: int, parts: Parts) -> Statement[CursorPage]:
    """Describe the page after a cursor: one row more is read, to know whether there is a next page."""
    order, params = filters.order(), filters.params()
    fingerprint = cursors.fingerprint(order, params)

    def read(_: int | None, sessions: list[Conversation]) -> CursorPage:
        if len(sessions) <= items_per_page:
            return CursorPage(sessions, None)
        last = sessions[items_per_page - 1]
        return CursorPage(sessions[:items_per_page], cursors.after(fingerprint, getattr(last, order), last.id))

    position = cursors.read(order, fingerprint, cursor)
    return _listed(order, params, read, limit=items_per_page + 1, parts=parts, after=position)


def _listed(
    order: str,
    filters: Mapping[str, object],
    read: Callable[[int | None, list[Conversation]], T],
    *,
    limit: int,
    parts: Parts,
    offset: int = 0,
    total: str = "none",
    total_limit: int = 0,
    after: cursors.Position | None = None,
) -> Statement[T]:
    """Describe the list: each row carries the total, and an empty page is one row of it alone."""

    def rows(found: list[tuple[Any, ...]], _: int) -> T:
        # The total, the id, and the other columns; without a conversation, the id is NULL.
        return read(found[0][0], [parts.row(*columns[1:]) for columns in found if columns[1] is not None])

    params: dict[str, object] = {
        **filters,
        "orderby": order,
        "limit": limit,
        "offset": offset,
        **parts.params,
        "total": total,
        "total_limit": total_limit,
        "after_key": None if after is None else after.key,
        "after_id": None if after is None else after.id,
    }
    query = _query(params)
    return Statement(query, {name: params[name] for name in query.parameters}, None, rows)


def _query(params: Mapping[str, Any]) -> Query:
    """Return the file for a list: with a keyword, by a date without any filter, or any other."""
    if params["keywords"] is not None:
        return _GET_LIST_BY_KEYWORDS
    filtered = any(params[name] is not None for name in ("id", "user_id", "exp_user_id", "from_date", "before_date"))
    if filtered or params["offset"] > _NEAR:
        return _GET_LIST
    return _GET_LIST_BY_DATE.get((params["orderby"], params["desc"]), _GET_LIST)
