"""Conversations: their sessions listed, searched, appended to, loaded, counted and deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from conversation_store import _batches as batches
from conversation_store import _conversation_input as conversation_input
from conversation_store import _dates as dates
from conversation_store import _json as json_values
from conversation_store import _pagination as pagination
from conversation_store import _validation as validate
from conversation_store._batches import OnProgress
from conversation_store._dates import Moment
from conversation_store._executor import AsyncExecutor, Executor
from conversation_store._operations import AsyncRepository, Repository, atomic, operation, sequence, stream
from conversation_store._pagination import DateField, ListFilters, OrderBy, Total
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, count, many, one, optional, scalar, then
from conversation_store.errors import ConversationNotFound, InvalidArgument, NotAppendable, RoundConflict
from conversation_store.models import Conversation, ConversationName, CursorPage, DailyStats, JsonValue, Page

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _DialogId:
    id: str
    dialog_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Updated:
    id: str
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Appended:
    current_round: int
    appendable: bool
    new_round: int | None


_SAVE = load("conversation.save")
_GET_BY_ID = load("conversation.get_by_id")
_GET_BY_IDS = load("conversation.get_by_ids")
_GET_DIALOG_IDS = load("conversation.get_dialog_ids")
_GET_OR_NONE = load("conversation.get_or_none")
_QUERY = load("conversation.query")
_GET_NAMES = load("conversation.get_names")
_ITER = load("conversation.iter")
_COUNT = load("conversation.count")
_APPEND_MESSAGE = load("conversation.append_message")
_UPDATE_MANY_BY_ID = load("conversation.update_many_by_id")
_APPEND_ROUND = load("conversation.append_round")
_STATS = load("conversation.stats")
_DELETE_BY_ID = load("conversation.delete_by_id")
_DELETE_BY_IDS = load("conversation.delete_by_ids")
_DELETE_BY_DIALOG_IDS = load("conversation.delete_by_dialog_ids")

_MAX_DAYS = 3_660


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
            id=uuid.uuid4().hex if id is None else validate.identifier("id", id),
            dialog_id=validate.identifier("dialog_id", dialog_id),
            **{field: conversation_input.SCALARS[field](field, value) for field, value in scalars.items()},
            message=json_values.json_text("message", message),
            reference=json_values.json_text("reference", reference),
            dsl=json_values.json_text("dsl", dsl),
            round=validate.integer("round", round),
            create_date=dates.optional_date("create_date", create_date),
            update_date=dates.optional_date("update_date", update_date),
        )

    @atomic
    def insert_many(
        self, conversations: Iterable[Mapping[str, JsonValue]], *, on_progress: OnProgress | None = None
    ) -> Generator[Statement[Any], Any, int]:
        """Load any number of conversations in one transaction, all of them or none; return how many.

        Each mapping has a `dialog_id` and any other arguments of `save`, its own mix of them; what `to_dict` returns is
        one too. They are read from the iterable as they are sent, by COPY; *on_progress* hears the number so far.
        Raises `AlreadyExists`; `DialogNotFound`, also when a `tenant_id` is given that is not the dialog's; and
        `ValueError` or `TypeError` that name the mapping and the field. SQL: `sql/dialog/get_by_ids.sql`,
        `sql/conversation/insert_many.sql`, `sql/conversation_message/insert_many.sql`,
        `sql/conversation_reference/insert_many.sql`.
        """
        validate.callback("on_progress", on_progress)
        given = enumerate(validate.rows("conversations", conversations))
        news = (conversation_input.read_new(f"conversations[{index}]", conversation) for index, conversation in given)
        return batches.insert_conversations(news, on_progress)

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
        """Return the dialog of each of these conversations, without those that are not there; at most 10,000.

        SQL: `sql/conversation/get_dialog_ids.sql`.
        """
        statement = many(_GET_DIALOG_IDS, _DialogId, ids=validate.identifiers("ids", ids))
        return then(statement, lambda rows: {row.id: row.dialog_id for row in rows})

    @operation
    def get_or_none(self, *, id: str | int, dialog_id: str | int) -> Statement[Conversation | None]:
        """Return the conversation with this id when it belongs to this dialog, else None.

        What a service needs to refuse a session of somebody else's. SQL: `sql/conversation/get_or_none.sql`.
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
        """Return the conversations of a dialog, of a user, or of both, with everything in them, newest first.

        A filter of None is none, and an empty one is a `ValueError`. *dialog_id* must be given, or *tenant_id* with
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

        Filters that are None or empty are none. *keywords* is looked for literally, whatever its case, in what the
        messages say, in ids and in names. *from_date* and *to_date* are inclusive, days or instants, and apply to
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
        """Return the page of a dialog's conversations behind a cursor, and the cursor of the next one.

        The first call has no *cursor*, each other one the `next_cursor` of the call before, which is None at the end. A
        page costs the same however far away it is, and rows that come or go in between move no other. Filters and order
        are those of `get_list`; a cursor that came from others, or from another dialog or tenant, is a `ValueError`.
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
        in between. Inside of `transaction(isolation="repeatable read")` they are all of one moment.
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
        return scalar(_COUNT, int, **_owner(tenant_id, dialog_id))

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
    def append_message(self, id: str | int, conversation: Mapping[str, JsonValue]) -> Statement[int]:
        """Apply the given fields and increment the round, at once; return 1, or 0 when there is no such conversation.

        A whole row as it was read may be given: its dates, round, dialog and tenant are ignored, an `id` must be *id*,
        and a `dsl` of None was not read and is left as it is. Of `message` and `reference` only the entries that differ
        are written. Unknown keys are a `ValueError`. SQL: `sql/conversation/append_message.sql`.
        """
        return _change(id, conversation, increment=1)

    @operation
    def update_by_id(self, id: str | int, conversation: Mapping[str, JsonValue]) -> Statement[int]:
        """Apply the given fields and leave the round as it is; return 1, or 0 when there is no such conversation.

        The fields are those of `append_message`, and so is the statement. SQL: `sql/conversation/append_message.sql`.
        """
        return _change(id, conversation, increment=0)

    @operation
    def update_many_by_id(self, conversations: Iterable[Mapping[str, JsonValue]]) -> Statement[int]:
        """Apply the given fields to many conversations, to all of them or to none; return how many.

        Each mapping has an `id`, once in the list, and fields as for `append_message`; the rounds are left as they are.
        At most 10,000. Raises `ConversationNotFound`, with nothing changed, when one is not there.
        SQL: `sql/conversation/update_many_by_id.sql`.
        """
        given = validate.rows("conversations", conversations)
        updates = dict[str, str]()
        for index, conversation in enumerate(given):
            id, update = conversation_input.read_update(f"conversations[{index}]", conversation)
            if id in updates:
                raise InvalidArgument(f"conversations[{index}] has the duplicate id {id!r}: each id may be given once")
            updates[id] = update
        if len(updates) > validate.MAX_IDS:
            raise InvalidArgument(f"conversations must have at most {validate.MAX_IDS} members, not {len(updates)}")

        def updated(rows: list[_Updated]) -> int:
            if missing := [row.id for row in rows if not row.found]:
                shown = ", ".join(map(repr, missing[:3])) + (", …" if len(missing) > 3 else "")
                raise ConversationNotFound(f"there is no conversation {shown}; nothing was changed")
            return len(rows)

        return then(many(_UPDATE_MANY_BY_ID, _Updated, updates="[" + ",".join(updates.values()) + "]"), updated)

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
        id = validate.identifier("id", id)

        def new_round(appended: _Appended | None) -> int:
            if appended is None:
                raise ConversationNotFound(f"there is no conversation {id!r}")
            if not appended.appendable:
                raise NotAppendable(
                    f"messages and reference are appended to lists; the conversation {id!r} holds another value"
                )
            if appended.new_round is None:
                raise RoundConflict(expected_round or 0, appended.current_round)
            return appended.new_round

        return then(
            optional(
                _APPEND_ROUND,
                _Appended,
                id=id,
                messages=json_values.json_list("messages", messages),
                reference=json_values.json_list("reference", reference),
                tokens=validate.bigint("tokens", tokens),
                duration=validate.number("duration", duration),
                errors=validate.optional_text("errors", errors),
                expected_round=None if expected_round is None else validate.integer("expected_round", expected_round),
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

    @operation
    def delete_by_id(self, id: str | int) -> Statement[int]:
        """Delete a conversation with everything in it; return 1, or 0 when there is none.

        SQL: `sql/conversation/delete_by_id.sql`.
        """
        return count(_DELETE_BY_ID, id=validate.identifier("id", id))

    @operation
    def delete_by_ids(
        self, ids: Iterable[str | int], dialog_id: str | int | None = None, *, tenant_id: str | int | None = None
    ) -> Statement[int]:
        """Delete conversations with everything in them; return how many there were.

        With *dialog_id* or *tenant_id* only those that are theirs. At most 10,000; of none, none are deleted.
        SQL: `sql/conversation/delete_by_ids.sql`.
        """
        return count(_DELETE_BY_IDS, ids=validate.identifiers("ids", ids), **_owner(tenant_id, dialog_id))

    @sequence
    def delete_by_dialog_ids(
        self, ids: Iterable[str | int], *, batch_size: int = batches.BATCH, on_progress: OnProgress | None = None
    ) -> Generator[Statement[Any], Any, int]:
        """Delete every conversation of some dialogs; return how many there were.

        Each statement deletes *batch_size* at the most and is a transaction of its own, unless the call is made inside
        of one; *on_progress* hears the number so far. What was interrupted is resumed by calling again. At most 10,000
        dialogs; of none, nothing is deleted. SQL: `sql/conversation/delete_by_dialog_ids.sql`.
        """
        return batches.delete_in_batches(
            _DELETE_BY_DIALOG_IDS,
            batches.batch_size(batch_size, on_progress),
            on_progress,
            ids=validate.identifiers("ids", ids),
        )

    @sequence
    def delete_not_updated_since(
        self,
        date: Moment,
        *,
        tenant_id: str | int | None = None,
        dialog_id: str | int | None = None,
        time_zone: str = "UTC",
        batch_size: int = batches.BATCH,
        on_progress: OnProgress | None = None,
    ) -> Generator[Statement[Any], Any, int]:
        """Delete the conversations that were last updated before a date; return how many there were.

        *date* is a day, of which the first instant counts, or an instant; without an offset it is in *time_zone*, an
        IANA name. Of a tenant, of a dialog, or of all; in batches, as `delete_by_dialog_ids`. One that is updated
        meanwhile is kept. SQL: `sql/conversation/delete_not_updated_since.sql`.
        """
        zone = dates.time_zone("time_zone", time_zone)
        return batches.delete_not_updated_since(
            dates.start(dates.moment("date", date), zone),
            batches.batch_size(batch_size, on_progress),
            on_progress,
            **_owner(tenant_id, dialog_id),
        )


class ConversationRepository(_Conversations, Repository):
    """Conversations, sync."""

    def __init__(self, executor: Executor, *, max_items_per_page: int = 1_000) -> None:
        super().__init__(executor)
        self._max_items_per_page = max_items_per_page


class AsyncConversationRepository(_Conversations, AsyncRepository):
    """Conversations, on asyncio."""

    def __init__(self, executor: AsyncExecutor, *, max_items_per_page: int = 1_000) -> None:
        super().__init__(executor)
        self._max_items_per_page = max_items_per_page


def _change(id: str | int, conversation: object, *, increment: int) -> Statement[int]:
    id = validate.identifier("id", id)
    scalars, documents = conversation_input.read_changes("conversation", id, conversation)
    return count(
        _APPEND_MESSAGE,
        id=id,
        changes=json.dumps(scalars, ensure_ascii=False),
        increment=increment,
        **{field: documents.get(field) for field in conversation_input.DOCUMENTS},
    )


def _walk(
    tenant_id: str | int | None,
    dialog_id: str | int | None,
    batch_size: int,
    emit: Callable[[list[Conversation]], list[T]],
) -> Generator[Statement[list[T]], list[T], None]:
    limit = batches.batch_size(batch_size)
    owner = _owner(tenant_id, dialog_id)

    def page(last: Conversation | None) -> Statement[list[Conversation]]:
        return many(
            _ITER,
            Conversation,
            **owner,
            limit=limit,
            after_dialog_id=None if last is None else last.dialog_id,
            after_create_date=None if last is None else last.create_date,
            after_id=None if last is None else last.id,
        )

    return batches.walk(page, limit, emit)


def _owner(tenant_id: object, dialog_id: object) -> dict[str, object]:
    """Return the parameters that narrow to a tenant, to a dialog, or, of None, to neither."""
    return {
        "tenant_id": None if tenant_id is None else validate.identifier("tenant_id", tenant_id),
        "dialog_id": None if dialog_id is None else validate.identifier("dialog_id", dialog_id),
    }
