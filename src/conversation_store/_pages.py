"""Pages of a dialog's conversations: their filters and orders, and the one statement behind get_list and list_after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from psycopg.rows import kwargs_row

from conversation_store import _arguments as check
from conversation_store import _cursor as cursors
from conversation_store._arguments import Moment
from conversation_store._query import load
from conversation_store._rows import Conversation
from conversation_store._statement import Statement

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


class Page(NamedTuple):
    """One page of conversations, and how many match over all pages; -1 where that was not counted."""

    count: int  # type: ignore[assignment]  # the field's established name; tuple.count is of no use here
    sessions: list[Conversation]


class Slice(NamedTuple):
    """The conversations behind a cursor, and the cursor of those behind them, or None at the end."""

    sessions: list[Conversation]
    next_cursor: str | None


_GET_LIST = load("conversation.get_list")

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


def query(
    dialog_id: str | int,
    tenant_id: str | int,
    orderby: OrderBy,
    desc: bool,
    id: str | int | None,
    user_id: str | int | None,
    keywords: str,
    from_date: Moment | None,
    to_date: Moment | None,
    exp_user_id: str | int | None,
    date_field: DateField,
    time_zone: str,
) -> tuple[str, dict[str, object]]:
    """Return the order and the filters of a list, as its statement takes them."""
    zone = check.time_zone("time_zone", time_zone)
    since = _filter_date("from_date", from_date)
    until = _filter_date("to_date", to_date)
    return _ORDERS[check.choice("orderby", orderby, tuple(_ORDERS))], {
        "dialog_id": check.identifier("dialog_id", dialog_id),
        "tenant_id": check.identifier("tenant_id", tenant_id),
        "desc": check.boolean("desc", desc),
        "id": check.optional_identifier("id", id) or None,
        "user_id": check.optional_identifier("user_id", user_id, maximum=check.MAX_USER_ID) or None,
        "exp_user_id": check.optional_identifier("exp_user_id", exp_user_id, maximum=check.MAX_USER_ID) or None,
        "keywords": check.optional_text("keywords", keywords) or None,
        "date_field": check.choice("date_field", date_field, ("create_date", "update_date")),
        "from_date": None if since is None else check.start(since, zone),
        "before_date": None if until is None else check.end(until, zone),
    }


def after(
    order: str, query: Mapping[str, object], cursor: object, *, limit: int, include_dsl: bool
) -> Statement[Slice]:
    """Describe the page behind a cursor: one row more is asked for, to know whether there is a next page."""

    def read(_: int | None, sessions: list[Conversation]) -> Slice:
        if len(sessions) <= limit:
            return Slice(sessions, None)
        last = sessions[limit - 1]
        key = getattr(last, order)
        text = key.isoformat() if isinstance(key, datetime) else "" if key is None else str(key)
        return Slice(sessions[:limit], cursors.encode(order, query, cursors.Position(text, last.id)))

    # An empty cursor is none, as an empty filter is.
    position = None if cursor is None or cursor == "" else cursors.decode(order, query, cursor)
    return listed(order, query, read, limit=limit + 1, include_dsl=include_dsl, after=position)


def listed(
    order: str,
    query: Mapping[str, object],
    read: Callable[[int | None, list[Conversation]], T],
    *,
    limit: int,
    include_dsl: bool,
    offset: int = 0,
    total: str = "none",
    total_limit: int = 0,
    after: cursors.Position | None = None,
) -> Statement[T]:
    """Describe the list: each row carries the total, and an empty page is one row of it alone."""

    def row(*, total: int | None, **columns: Any) -> tuple[int | None, Conversation | None]:
        return total, None if columns["id"] is None else Conversation(**columns)

    def rows(found: list[tuple[int | None, Conversation | None]], _: int) -> T:
        return read(found[0][0], [conversation for _, conversation in found if conversation is not None])

    params: dict[str, object] = {
        **query,
        "orderby": order,
        "limit": limit,
        "offset": offset,
        "include_dsl": include_dsl,
        "total": total,
        "total_limit": total_limit,
        "after_key": None if after is None else after.key,
        "after_id": None if after is None else after.id,
    }
    return Statement(_GET_LIST, params, kwargs_row(row), rows)


def _filter_date(name: str, value: Moment | None) -> date | datetime | None:
    return None if value is None or value == "" else check.moment(name, value)
