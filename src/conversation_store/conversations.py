"""Conversations: their sessions listed, searched, appended to and counted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from psycopg.rows import kwargs_row

from conversation_store import _arguments as check
from conversation_store._arguments import Moment
from conversation_store._query import load
from conversation_store._statement import (
    AsyncRepository,
    AsyncRunner,
    Repository,
    Runner,
    Statement,
    count,
    many,
    one,
    operation,
    optional,
    then,
)
from conversation_store.errors import ConversationNotFound, RoundConflict

JsonValue: TypeAlias = Any
"""What `json` reads and writes: None, bool, int, float, str, and lists and dicts (with str keys) of these."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One session of a dialog. Dates are aware, in UTC; `duration` is in seconds.

    `message` and `reference` are as the caller gave them, usually lists with one entry per message and per answer.
    `dsl` is None where a list was asked for without it.
    """

    id: str
    tenant_id: str
    dialog_id: str
    name: str | None
    user_id: str
    exp_user_id: str | None
    message: JsonValue
    reference: JsonValue
    tokens: int
    source: str | None
    dsl: JsonValue
    duration: float
    round: int
    thumb_up: int
    errors: str | None
    version_title: str | None
    create_date: datetime
    update_date: datetime

    @property
    def create_time(self) -> int:
        """The creation date in milliseconds since 1970."""
        return _milliseconds(self.create_date)

    @property
    def update_time(self) -> int:
        """The date of the last change in milliseconds since 1970."""
        return _milliseconds(self.update_date)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationName:
    """The id and name of a conversation."""

    id: str
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyStats:
    """One day of a tenant's conversations, in the time zone that was asked for.

    `pv` counts sessions and `uv` distinct users; `tokens`, `duration` (seconds) and `thumb_up` are sums, `round` is the
    average.
    """

    dt: date
    pv: int
    uv: int
    tokens: int
    duration: float
    round: float
    thumb_up: int


class Page(NamedTuple):
    """One page of conversations, and how many match over all pages."""

    count: int  # type: ignore[assignment]  # the field's established name; tuple.count is of no use here
    sessions: list[Conversation]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Appended:
    current_round: int
    appendable: bool
    new_round: int | None


_SAVE = load("conversation.save")
_GET_BY_ID = load("conversation.get_by_id")
_GET_LIST = load("conversation.get_list")
_GET_NAMES = load("conversation.get_names")
_APPEND_MESSAGE = load("conversation.append_message")
_APPEND_ROUND = load("conversation.append_round")
_STATS = load("conversation.stats")
_DELETE_BY_ID = load("conversation.delete_by_id")

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

_MAX_DAYS = 3_660
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# How each scalar field is checked, and so which there are.
_SCALARS: Mapping[str, Callable[[str, object], object]] = {
    "name": check.optional_text,
    "user_id": lambda name, value: check.optional_identifier(name, value, maximum=check.MAX_USER_ID) or "",
    "exp_user_id": lambda name, value: check.optional_identifier(name, value, maximum=check.MAX_USER_ID),
    "tokens": check.bigint,
    "source": lambda name, value: check.optional_text(name, value, maximum=check.MAX_SOURCE),
    "duration": check.number,
    "thumb_up": check.integer,
    "errors": check.optional_text,
    "version_title": check.optional_text,
}
_DOCUMENTS = ("message", "reference", "dsl")
# A whole row as it was read may be given: what it says of these is its own past.
_IGNORED = ("id", "round", "dialog_id", "tenant_id", "create_date", "create_time", "update_date", "update_time")


class _Conversations:
    """The one body behind ConversationRepository and AsyncConversationRepository."""

    _max_items_per_page = 1_000

    @operation
    def save(
        self,
        *,
        dialog_id: str | int,
        user_id: str | int = "",
        id: str | int | None = None,
        name: str | None = None,
        exp_user_id: str | int | None = None,
        message: JsonValue = [],  # noqa: B006  # written as JSON at once and never changed
        reference: JsonValue = [],  # noqa: B006
        dsl: JsonValue = {},  # noqa: B006
        tokens: int = 0,
        source: str | None = None,
        duration: float = 0.0,
        round: int = 0,
        thumb_up: int = 0,
        errors: str | None = None,
        version_title: str | None = None,
        create_date: Moment | None = None,
        update_date: Moment | None = None,
    ) -> Statement[Conversation]:
        """Insert a conversation and return it as stored.

        Without an *id* it gets a random one. *message*, *reference* and *dsl* may be any JSON value. *duration* is in
        seconds. Dates without an offset are in UTC; the default is now. Raises `DialogNotFound`, and `AlreadyExists`
        when there is a conversation with this id. SQL: `sql/conversation/save.sql`.
        """
        scalars = {
            "name": name,
            "user_id": user_id,
            "exp_user_id": exp_user_id,
            "tokens": tokens,
            "source": source,
            "duration": duration,
            "thumb_up": thumb_up,
            "errors": errors,
            "version_title": version_title,
        }
        return one(
            _SAVE,
            Conversation,
            id=uuid.uuid4().hex if id is None else check.identifier("id", id),
            dialog_id=check.identifier("dialog_id", dialog_id),
            **{field: _SCALARS[field](field, value) for field, value in scalars.items()},
            message=check.json_text("message", message),
            reference=check.json_text("reference", reference),
            dsl=check.json_text("dsl", dsl),
            round=check.integer("round", round),
            create_date=_stored_date("create_date", create_date),
            update_date=_stored_date("update_date", update_date),
        )

    @operation
    def get_by_id(self, id: str | int) -> Statement[Conversation | None]:
        """Return the conversation with this id, or None when there is none.

        SQL: `sql/conversation/get_by_id.sql`.
        """
        return optional(_GET_BY_ID, Conversation, id=check.identifier("id", id))

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
    ) -> Statement[Page]:
        """Return one page of a dialog's conversations, and how many match over all pages.

        Filters that are None or empty are none. *keywords* is looked for literally, whatever its case, in what the
        messages say, in ids and in names. *from_date* and *to_date* are inclusive, days or instants, and apply to
        *date_field*; without an offset they are in *time_zone*, an IANA name. Ties are in order of the id, so pages
        never overlap. Pages count from 1; *items_per_page* is from 0 to the store's `max_items_per_page`. Without
        *include_dsl*, `dsl` is not read and None. A foreign tenant's dialog is empty.
        SQL: `sql/conversation/get_list.sql`.
        """
        limit = check.integer("items_per_page", items_per_page, minimum=0, maximum=self._max_items_per_page)
        page = check.integer("page_number", page_number, minimum=1, maximum=check.MAX_BIGINT // max(limit, 1))
        zone = check.time_zone("time_zone", time_zone)
        since = _filter_date("from_date", from_date)
        until = _filter_date("to_date", to_date)
        return _page(
            dialog_id=check.identifier("dialog_id", dialog_id),
            tenant_id=check.identifier("tenant_id", tenant_id),
            limit=limit,
            offset=(page - 1) * limit,
            orderby=_ORDERS[check.choice("orderby", orderby, tuple(_ORDERS))],
            desc=check.boolean("desc", desc),
            id=check.optional_identifier("id", id) or None,
            user_id=check.optional_identifier("user_id", user_id, maximum=check.MAX_USER_ID) or None,
            exp_user_id=check.optional_identifier("exp_user_id", exp_user_id, maximum=check.MAX_USER_ID) or None,
            include_dsl=check.boolean("include_dsl", include_dsl),
            keywords=check.optional_text("keywords", keywords) or None,
            date_field=check.choice("date_field", date_field, ("create_date", "update_date")),
            from_date=None if since is None else check.start(since, zone),
            before_date=None if until is None else check.end(until, zone),
        )

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
            dialog_id=check.identifier("dialog_id", dialog_id),
            exp_user_id=check.identifier("exp_user_id", exp_user_id, maximum=check.MAX_USER_ID),
            limit=check.integer("limit", limit, minimum=0),
        )

    @operation
    def append_message(self, id: str | int, conversation: Mapping[str, JsonValue]) -> Statement[int]:
        """Apply the given fields and increment the round, at once; return 1, or 0 when there is no such conversation.

        A whole row as it was read may be given: its dates, round, dialog and tenant are ignored, an `id` must be *id*,
        and a `dsl` of None was not read and is left as it is. Of `message` and `reference` only the entries that differ
        are written. Unknown keys are a `ValueError`. SQL: `sql/conversation/append_message.sql`.
        """
        id = check.identifier("id", id)
        given = check.keys("conversation", conversation, (*_SCALARS, *_DOCUMENTS, *_IGNORED))
        if "id" in given and check.identifier("conversation['id']", given["id"]) != id:
            raise ValueError("conversation['id'] must be the id of the conversation or be left out")
        documents = {
            field: check.json_text(f"conversation[{field!r}]", given[field])
            for field in _DOCUMENTS
            if field in given and not (field == "dsl" and given[field] is None)
        }
        changes = {
            field: checked(f"conversation[{field!r}]", given[field])
            for field, checked in _SCALARS.items()
            if field in given
        }
        return count(
            _APPEND_MESSAGE,
            id=id,
            changes=json.dumps(changes, ensure_ascii=False),
            **{field: documents.get(field) for field in _DOCUMENTS},
        )

    @operation
    def append_round(
        self,
        id: str | int,
        messages: Sequence[JsonValue],
        *,
        reference: Sequence[JsonValue] = (),
        tokens: int = 0,
        duration: float = 0.0,
        errors: str | None = None,
        expected_round: int | None = None,
    ) -> Statement[int]:
        """Append the messages and references of one turn, and return the new round.

        *tokens* and *duration* (seconds) are added to the conversation's; *errors* replaces what was there unless it is
        None. Any number of writers may append at once, and nothing is lost. Raises `ConversationNotFound`;
        `RoundConflict` when *expected_round* is given and not the current one; `ValueError` when the stored value to
        append to is not a list. SQL: `sql/conversation/append_round.sql`.
        """
        id = check.identifier("id", id)

        def new_round(appended: _Appended | None) -> int:
            if appended is None:
                raise ConversationNotFound(f"there is no conversation {id!r}")
            if not appended.appendable:
                raise ValueError(
                    "messages and reference must be appended to lists; this conversation holds another value"
                )
            if appended.new_round is None:
                raise RoundConflict(expected_round or 0, appended.current_round)
            return appended.new_round

        return then(
            optional(
                _APPEND_ROUND,
                _Appended,
                id=id,
                messages=check.json_list("messages", messages),
                reference=check.json_list("reference", reference),
                tokens=check.bigint("tokens", tokens),
                duration=check.number("duration", duration),
                errors=check.optional_text("errors", errors),
                expected_round=None if expected_round is None else check.integer("expected_round", expected_round),
            ),
            new_round,
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
        in *time_zone*, an IANA name, which also says where a day begins. A *source* of None means every source. With
        *fill*, days without conversations are there too. SQL: `sql/conversation/stats.sql`.
        """
        zone = check.time_zone("time_zone", time_zone)
        since, until = check.moment("from_date", from_date), check.moment("to_date", to_date)
        if until.toordinal() - since.toordinal() >= _MAX_DAYS:
            raise ValueError(f"to_date must be less than {_MAX_DAYS} days after from_date")
        return many(
            _STATS,
            DailyStats,
            tenant_id=check.identifier("tenant_id", tenant_id),
            from_date=check.start(since, zone),
            before_date=check.end(until, zone),
            source=check.optional_text("source", source, maximum=check.MAX_SOURCE) or None,
            time_zone=zone,
            fill=check.boolean("fill", fill),
        )

    @operation
    def delete_by_id(self, id: str | int) -> Statement[int]:
        """Delete a conversation with everything in it; return 1, or 0 when there is none.

        SQL: `sql/conversation/delete_by_id.sql`.
        """
        return count(_DELETE_BY_ID, id=check.identifier("id", id))


class ConversationRepository(_Conversations, Repository):
    """Conversations, blocking."""

    def __init__(self, runner: Runner, *, max_items_per_page: int = 1_000) -> None:
        super().__init__(runner)
        self._max_items_per_page = max_items_per_page


class AsyncConversationRepository(_Conversations, AsyncRepository):
    """Conversations, on asyncio."""

    def __init__(self, runner: AsyncRunner, *, max_items_per_page: int = 1_000) -> None:
        super().__init__(runner)
        self._max_items_per_page = max_items_per_page


def _page(**params: object) -> Statement[Page]:
    """Describe the list: each row carries the total, and an empty page is one row of it alone."""

    def row(*, total: int, **columns: Any) -> tuple[int, Conversation | None]:
        return total, None if columns["id"] is None else Conversation(**columns)

    def read(rows: list[tuple[int, Conversation | None]], _: int) -> Page:
        return Page(rows[0][0], [conversation for _, conversation in rows if conversation is not None])

    return Statement(_GET_LIST, params, kwargs_row(row), read)


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _stored_date(name: str, value: Moment | None) -> str | None:
    return None if value is None else check.start(check.moment(name, value), "UTC")


def _filter_date(name: str, value: Moment | None) -> date | datetime | None:
    return None if value is None or value == "" else check.moment(name, value)
