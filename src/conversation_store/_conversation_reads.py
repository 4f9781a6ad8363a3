"""Conversations read: by their ids, counted and summarised."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._conversation_parts import Parts, parts
from conversation_store._dates import Moment
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, many, optional, scalar, then
from conversation_store._validation import Id
from conversation_store.errors import InvalidArgument
from conversation_store.models import (
    NO_SOURCE,
    Conversation,
    ConversationDialog,
    DailyStats,
    NoSource,
)

_GET_BY_ID = load("conversation.get_by_id")
_GET_BY_IDS = load("conversation.get_by_ids")
_GET_DIALOG_IDS = load("conversation.get_dialog_ids")
_COUNT = load("conversation.count")
_COUNT_ALL = load("conversation.count_all")
_STATS = load("conversation.stats")

_MAX_DAYS = 3_660


class ConversationReads(Methods):
    """The reading methods of both repositories."""

    @operation
    def get_by_id(
        self,
        id: Id,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        include_messages: bool = True,
        include_reference: bool = True,
        include_dsl: bool = True,
    ) -> Described[Conversation | None]:
        """Return the conversation with this id, or None when there is none.

        With *dialog_id*, None too when it belongs to another dialog. With *include_messages*, *include_reference* or
        *include_dsl* False, `message`, `reference` or `dsl` is not read and `NOT_READ`. Without a tenant, the one that
        has the id is found first; raises `AmbiguousId` when two have it. SQL: `sql/conversation/get_by_id.sql`.
        """
        return _get_by_id(
            tenancy.known(self._bound, tenant_id),
            id,
            validate.optional_filter("dialog_id", dialog_id),
            parts(include_messages=include_messages, include_reference=include_reference, include_dsl=include_dsl),
        )

    @operation
    def get_by_ids(
        self,
        ids: Iterable[Id],
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        include_messages: bool = True,
        include_reference: bool = True,
        include_dsl: bool = True,
    ) -> Described[list[Conversation]]:
        """Return the conversations with these ids, in order of the ids; at most 10,000 may be asked for.

        With *dialog_id*, only those of the dialog. *include_messages*, *include_reference* and *include_dsl* are those
        of `get_by_id`. Without a tenant, those that have the ids are found first; raises `AmbiguousId` when two have
        one. SQL: `sql/conversation/get_by_ids.sql`.
        """
        dialog = validate.optional_filter("dialog_id", dialog_id)
        read = parts(include_messages=include_messages, include_reference=include_reference, include_dsl=include_dsl)
        return tenancy.for_each(
            tenancy.known(self._bound, tenant_id),
            tenancy.find_conversation(dialog),
            validate.identifiers("ids", ids),
            lambda tenant, some: many(
                _GET_BY_IDS, read.row, ids=some, tenant_id=tenant, dialog_id=dialog, **read.params
            ),
            lambda results: sorted(chain.from_iterable(results), key=lambda conversation: conversation.id),
        )

    @operation
    def get_dialog_ids(self, ids: Iterable[Id], *, tenant_id: Id | None = None) -> Described[dict[str, str]]:
        """Return the dialog of each of these conversations, without those that do not exist; at most 10,000.

        Without a tenant, those that have the ids are found first; raises `AmbiguousId` when two have one.
        SQL: `sql/conversation/get_dialog_ids.sql`.
        """

        def describe(tenant: str, some: list[str]) -> Statement[dict[str, str]]:
            statement = many(_GET_DIALOG_IDS, ConversationDialog, ids=some, tenant_id=tenant)
            return then(statement, lambda rows: {row.id: row.dialog_id for row in rows})

        return tenancy.for_each(
            tenancy.known(self._bound, tenant_id),
            tenancy.find_conversation(),
            validate.identifiers("ids", ids),
            describe,
            lambda results: dict(sorted(chain.from_iterable(result.items() for result in results))),
        )

    @operation
    def get_or_none(
        self,
        *,
        id: Id,
        dialog_id: Id,
        tenant_id: Id | None = None,
        include_messages: bool = True,
        include_reference: bool = True,
        include_dsl: bool = True,
    ) -> Described[Conversation | None]:
        """Return the conversation with this id when it belongs to this dialog, else None.

        The same as `get_by_id` with a *dialog_id*, which must be given here. SQL: `sql/conversation/get_by_id.sql`.
        """
        return _get_by_id(
            tenancy.known(self._bound, tenant_id),
            id,
            validate.identifier("dialog_id", dialog_id),
            parts(include_messages=include_messages, include_reference=include_reference, include_dsl=include_dsl),
        )

    @operation
    def count(self, *, tenant_id: Id | None = None, dialog_id: Id | None = None) -> Described[int]:
        """Count the conversations of a tenant or of a dialog, or all.

        Without a tenant, the one that has the dialog is found first; raises `AmbiguousId` when two have it.
        SQL: `sql/conversation/count.sql`, `sql/conversation/count_all.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        dialog = validate.optional_filter("dialog_id", dialog_id)
        if tenant is None and dialog is None:
            return scalar(_COUNT_ALL, int)
        return tenancy.for_one(
            tenant,
            tenancy.FIND_DIALOG,
            dialog or "",
            lambda owner: scalar(_COUNT, int, tenant_id=owner, dialog_id=dialog),
        )

    @operation
    def stats(
        self,
        tenant_id: Id | None = None,
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        source: str | NoSource | None = None,
        *,
        time_zone: str = "UTC",
        fill: bool = False,
    ) -> Statement[list[DailyStats]]:
        """Return a tenant's conversations summarised by the day of their creation, in order of the day.

        *from_date* and *to_date* must be given.

        - *from_date*, *to_date*: inclusive, days or instants, at most 3,660 days apart; without an offset they are in
          *time_zone*. The text of a minute or second as *to_date* covers all of it, as that of a day does.
        - *source*: None is every source, and `NO_SOURCE` those conversations whose source is None or ''.
        - *time_zone*: an IANA name, whose days they are.
        - *fill*: when True, days without conversations are in the list too.

        SQL: `sql/conversation/stats.sql`.
        """
        tenant = tenancy.needed(self._bound, tenant_id)
        zone = dates.time_zone("time_zone", time_zone)
        since, until = dates.needed("from_date", from_date), dates.needed("to_date", to_date, dates.last)
        if until.toordinal() - since.toordinal() >= _MAX_DAYS:
            raise InvalidArgument(f"to_date must be less than {_MAX_DAYS} days after from_date")
        return many(
            _STATS,
            DailyStats,
            tenant_id=tenant,
            from_date=dates.start(since, zone),
            before_date=dates.end(until, zone),
            source=_source(source),
            time_zone=zone,
            fill=validate.boolean("fill", fill),
        )


def _source(source: object) -> str | None:
    """Return what the statement takes: None is every source, as an empty filter is none, and '' is no source."""
    if source is NO_SOURCE:
        return ""
    return validate.optional_text("source", source, maximum=validate.MAX_SOURCE) or None


def _get_by_id(tenant: str | None, id: object, dialog_id: str | None, read: Parts) -> Described[Conversation | None]:
    text = validate.identifier("id", id)
    return tenancy.for_one(
        tenant,
        tenancy.find_conversation(dialog_id),
        text,
        lambda owner: optional(_GET_BY_ID, read.row, id=text, tenant_id=owner, dialog_id=dialog_id, **read.params),
    )
