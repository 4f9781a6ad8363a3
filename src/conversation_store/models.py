"""What the rows of all tables have in common, and the rows of conversations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar, cast

R = TypeVar("R")

JsonValue: TypeAlias = Any
"""What `json` reads and writes: None, bool, int, float, str, and lists and dicts (with str keys) of these."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotRead(Enum):
    """The type of `NOT_READ`."""

    NOT_READ = "NOT_READ"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_READ"


NOT_READ: Final = NotRead.NOT_READ
"""Stands in a row for what was not asked for. None in its place is the stored JSON null."""


class NoSource(Enum):
    """The type of `NO_SOURCE`."""

    NO_SOURCE = "NO_SOURCE"

    def __repr__(self) -> str:
        return "NO_SOURCE"


NO_SOURCE: Final = NoSource.NO_SOURCE
"""Stands in `conversations.stats` for conversations whose source is None or ''. There, None is every source."""


@cache
def _names(row_class: Any) -> list[str]:
    return [column.name for column in fields(row_class)]


class LimitedList(list[R]):
    """A list that a limit may have cut: `has_more` says whether there are more rows than it holds."""

    def __init__(self, rows: Iterable[R] = (), *, has_more: bool = False) -> None:
        super().__init__(rows)
        self.has_more = has_more


class Row:
    """A row of a result: a dataclass, whose fields are the columns of its statement in their order."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a JSON value, under the names of its fields.

        Dates are ISO 8601 text with an offset; `create_time` and `update_time`, in milliseconds since 1970, stand
        beside the dates. What was not read is left out. JSON values are those of the row, not copies.
        """
        # Not asdict(), which copies every message.
        result: dict[str, Any] = {}
        for name in _names(cast(Any, type(self))):
            value = getattr(self, name)
            if value is not NOT_READ:
                result[name] = value.isoformat() if isinstance(value, date) else value
        return result


class Dated(Row):
    """A row with the dates of its creation and of its last change."""

    __slots__ = ()

    create_date: datetime
    update_date: datetime

    @property
    def create_time(self) -> int:
        """The creation date in milliseconds since 1970."""
        return milliseconds(self.create_date)

    @property
    def update_time(self) -> int:
        """The date of the last change in milliseconds since 1970."""
        return milliseconds(self.update_date)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a JSON value; see `Row.to_dict`."""
        return super().to_dict() | {"create_time": self.create_time, "update_time": self.update_time}


def milliseconds(instant: datetime) -> int:
    """Return an instant in milliseconds since 1970."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


@dataclass(slots=True)
class Conversation(Dated):
    """One session of a dialog. Dates are aware, in UTC; `duration` is in seconds.

    `message` and `reference` are as the caller gave them, usually lists with one entry per message and per answer.
    What a call was told to leave out, of `message`, `reference` and `dsl`, is `NOT_READ`. Every change increments
    `revision`.
    """

    id: str
    tenant_id: str
    dialog_id: str
    name: str | None
    user_id: str
    exp_user_id: str | None
    message: JsonValue  # or NOT_READ, as the other two
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
    revision: int


@dataclass(slots=True)
class Entry(Row):
    """A message or a reference, and its position in the list, from 1."""

    position: int
    body: JsonValue


class MessageList(LimitedList[Entry]):
    """Messages of a conversation; `reference` has its references, or is `NOT_READ`."""

    def __init__(
        self,
        rows: Iterable[Entry] = (),
        *,
        has_more: bool = False,
        reference: LimitedList[Entry] | NotRead = NOT_READ,
    ) -> None:
        super().__init__(rows, has_more=has_more)
        self.reference = reference


@dataclass(slots=True)
class ConversationName(Row):
    """The id and name of a conversation."""

    id: str
    name: str | None


@dataclass(slots=True)
class DailyStats(Row):
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
    """One page of conversations, and how many match over all pages; -1 where that was not counted."""

    count: int  # type: ignore[assignment]  # the field's established name; tuple.count is of no use here
    sessions: list[Conversation]


class CursorPage(NamedTuple):
    """The conversations after a cursor, and the cursor of the page after this one, or None at the end."""

    sessions: list[Conversation]
    next_cursor: str | None


@dataclass(slots=True)
class Hit(Row):
    """A conversation in which a keyword was found, without messages, references and dsl.

    `position` is that of its latest message that has the keyword, from 1; None: its name or its id has it. `snippet` is
    the text around the keyword, at most 200 characters.
    """

    conversation: Conversation
    position: int | None
    snippet: str

    def to_dict(self) -> dict[str, Any]:
        """Return the hit as a JSON value, under the names of its fields; see `Row.to_dict`."""
        return Row.to_dict(self) | {"conversation": self.conversation.to_dict()}


class SearchPage(NamedTuple):
    """The hits of a search, and the cursor of the page after this one, or None at the end."""

    hits: list[Hit]
    next_cursor: str | None


@dataclass(slots=True)
class Dialog(Dated):
    """An assistant or agent of a tenant. Dates are aware, in UTC."""

    id: str
    tenant_id: str
    name: str | None
    create_date: datetime
    update_date: datetime


@dataclass(slots=True)
class ApiToken(Dated):
    """A tenant's token, without its secret. Dates are aware, in UTC.

    `hint` is the end of the secret, for people to recognise it by. `beta` is the public key of embedded chat pages.
    `update_date` is that of the last change or use, `use_date` that of the last use, None before the first;
    `expire_date` is when it expires, None for never; `rotate_date` is when it got a successor, and
    `revoke_date` when it was revoked, None where that was not. `predecessor_id` is the token that it succeeds, or None.
    """

    id: int
    tenant_id: str
    hint: str
    dialog_id: str | None
    source: str | None
    beta: str | None = field(repr=False)
    create_date: datetime
    update_date: datetime
    use_date: datetime | None
    expire_date: datetime | None
    rotate_date: datetime | None
    revoke_date: datetime | None
    predecessor_id: int | None


class IssuedToken(ApiToken):
    """A token just issued: `token` is the plain secret, which cannot be read again.

    It is no field: `to_dict`, `dataclasses.asdict` and `repr` leave it out, and a copy, also by `pickle`, is an
    `ApiToken`.
    """

    __slots__ = ("_token",)
    _token: str

    def __init__(self, row: ApiToken, token: str) -> None:
        super().__init__(*_columns(row))
        self._token = token

    @property
    def token(self) -> str:
        """The plain secret."""
        return self._token

    def __reduce__(self) -> tuple[Any, ...]:
        return ApiToken, _columns(self)


def _columns(token: ApiToken) -> tuple[Any, ...]:
    """Return the columns of a token."""
    return tuple(getattr(token, name) for name in _names(ApiToken))


@dataclass(slots=True)
class DeletedTenant(Row):
    """How many tokens, conversations and dialogs of a tenant were deleted, so far or in all."""

    tokens: int = 0
    conversations: int = 0
    dialogs: int = 0


# -- rows that repositories read and do not return --------------------------------------------------


class FoundToken(NamedTuple):
    """A token that authenticates, and whether its use is to be stamped."""

    stamp_due: bool
    token: ApiToken

    @classmethod
    def of_columns(cls, stamp_due: bool, *columns: Any) -> FoundToken:
        """Return what the columns of a row say."""
        return cls(stamp_due, ApiToken(*columns))


class FoundTenant(NamedTuple):
    """A tenant that has an id."""

    id: str
    tenant_id: str


class Tenant(NamedTuple):
    """A tenant that has dialogs."""

    tenant_id: str


class ConversationDialog(NamedTuple):
    """The dialog of a conversation."""

    id: str
    dialog_id: str


class ConversationKey(NamedTuple):
    """Where a conversation stands in a walk over all of them."""

    id: str
    dialog_id: str
    create_date: datetime


class ReadEntries(NamedTuple):
    """Messages and references, each a pair of its position and its body, None for what was not asked for.

    Of both, whether there are more beyond the page.
    """

    message: JsonValue
    more_message: bool
    reference: JsonValue
    more_reference: bool


class UpdatedConversation(NamedTuple):
    """Whether there is a conversation to change."""

    id: str
    found: bool


class ChangedConversation(NamedTuple):
    """The revision that a change found, and whether it changed anything."""

    current_revision: int
    changed: bool


class AppendedRound(NamedTuple):
    """What an append found, and the round after it, or None where it changed nothing."""

    current_round: int
    current_revision: int
    appendable: bool
    new_round: int | None


class EarlierTurn(NamedTuple):
    """The round of a turn that was appended before, and whether it had the same content."""

    round: int
    same_content: bool


class DeletedBatch(NamedTuple):
    """How many rows a deletion found and how many it deleted: another one may have been faster."""

    deleted: int
    found: int


class DeletedOldBatch(NamedTuple):
    """The same of old conversations, and the dialog that the next batch begins with."""

    deleted: int
    found: int
    last_dialog_id: str | None
