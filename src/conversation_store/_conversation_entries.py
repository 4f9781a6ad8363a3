"""The messages and references of one conversation, the last ones or a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Described, optional, then
from conversation_store._validation import Id
from conversation_store.errors import InvalidArgument
from conversation_store.models import NOT_READ, Entry, JsonValue, LimitedList, MessageList, ReadEntries

T = TypeVar("T")

_GET_MESSAGES = load("conversation.get_messages")


class ConversationEntries(Methods):
    """The methods of both repositories that read some entries of a conversation."""

    @operation
    def get_messages(
        self,
        id: Id,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        last: int | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
        include_reference: bool = False,
    ) -> Described[MessageList | None]:
        """Return messages of a conversation with their positions: the last ones, or a page of them.

        None when there is no such conversation, an empty list when it has no messages. Each is an `Entry` of `position`
        and `body`, in order of the positions, which begin at 1 and have no gaps; what is stored in place of a list is
        the one at position 1.

        - *last*: the last so many; *limit* does not bound them.
        - *before*, *after*: at most *limit* that end before this position, or begin behind it. At most one of the three
          may be given; without them, the page begins at position 1.
        - *include_reference*: when True, `reference` of the list has the references that `get_references` returns for
          the same *last* or *limit*, from the same snapshot, else it is `NOT_READ`. References have positions of their
          own, so that it must be False with *before* and *after*.
        - *dialog_id*: only of a conversation of this dialog.

        `has_more` of the list says whether there are more messages: with *last* and *before*, before its first one,
        otherwise behind its last one; of an empty page too, so that one of *limit* 0 says that there are more and has
        no position to go on from. Without a tenant, the one that has the id is found first; raises `AmbiguousId`
        when two have it. SQL: `sql/conversation/get_messages.sql`.
        """
        bounds = _bounds(last, before, after, limit)
        with_reference = validate.boolean("include_reference", include_reference)
        if with_reference and (before is not None or after is not None):
            raise InvalidArgument(
                "include_reference must be False with before or after: references have positions of their own, of which"
                " get_references reads a page"
            )

        def read(found: ReadEntries) -> MessageList:
            reference = _listed(found.reference, found.more_reference) if with_reference else NOT_READ
            return MessageList(_entries(found.message), has_more=found.more_message, reference=reference)

        flags = {"include_messages": True, "include_reference": with_reference}
        return _read(tenancy.known(self._bound, tenant_id), id, dialog_id, read, **bounds, **flags)

    @operation
    def get_references(
        self,
        id: Id,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        last: int | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> Described[LimitedList[Entry] | None]:
        """Return references of a conversation with their positions: the last ones, or a page of them.

        The same as `get_messages`, of the list of references; positions are those in this list.
        SQL: `sql/conversation/get_messages.sql`.
        """

        def read(found: ReadEntries) -> LimitedList[Entry]:
            return _listed(found.reference, found.more_reference)

        flags = {"include_messages": False, "include_reference": True}
        bounds = _bounds(last, before, after, limit)
        return _read(tenancy.known(self._bound, tenant_id), id, dialog_id, read, **bounds, **flags)


def _bounds(last: object, before: object, after: object, limit: object) -> dict[str, int | None]:
    """Return the parameters that bound a page: it ends before a position or begins behind one, or ends at the end."""
    number = validate.integer("limit", limit, minimum=0)
    given = {
        name: validate.integer(name, value, minimum=minimum)
        for name, value, minimum in (("last", last, 0), ("before", before, 1), ("after", after, 0))
        if value is not None
    }
    if len(given) > 1:
        raise InvalidArgument(f"of last, before and after one may be given, not {' and '.join(given)}")
    from_the_start = None if given else 0
    return {
        "before": given.get("before"),
        "after": given.get("after", from_the_start),
        "limit": given.get("last", number),
    }


def _read(
    tenant: str | None, id: object, dialog_id: object, read: Callable[[ReadEntries], T], **params: object
) -> Described[T | None]:
    text = validate.identifier("id", id)
    dialog = validate.optional_filter("dialog_id", dialog_id)
    return tenancy.for_one(
        tenant,
        tenancy.find_conversation(dialog),
        text,
        lambda owner: then(
            optional(_GET_MESSAGES, ReadEntries, id=text, tenant_id=owner, dialog_id=dialog, **params),
            lambda found: None if found is None else read(found),
        ),
    )


def _entries(pairs: JsonValue) -> list[Entry]:
    return [Entry(position=position, body=body) for position, body in pairs]


def _listed(pairs: JsonValue, has_more: bool) -> LimitedList[Entry]:
    return LimitedList(_entries(pairs), has_more=has_more)
