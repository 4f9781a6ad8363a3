"""Conversations written: saved, loaded, appended to, changed and deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from conversation_store import _batches as batches
from conversation_store import _conversation_input as conversation_input
from conversation_store import _dates as dates
from conversation_store import _json as json_values
from conversation_store import _validation as validate
from conversation_store._batches import OnProgress
from conversation_store._conversation_input import owner
from conversation_store._dates import Moment
from conversation_store._operations import atomic, operation, sequence
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, count, many, one, optional, then
from conversation_store.errors import ConversationNotFound, InvalidArgument, NotAppendable, RoundConflict
from conversation_store.models import (
    AppendedRound,
    Conversation,
    JsonValue,
    UpdatedConversation,
)

T = TypeVar("T")

_SAVE = load("conversation.save")
_APPEND_MESSAGE = load("conversation.append_message")
_UPDATE_MANY_BY_ID = load("conversation.update_many_by_id")
_APPEND_ROUND = load("conversation.append_round")
_DELETE_BY_ID = load("conversation.delete_by_id")
_DELETE_BY_IDS = load("conversation.delete_by_ids")
_DELETE_BY_DIALOG_IDS = load("conversation.delete_by_dialog_ids")


class ConversationWrites:
    """The writing methods of both repositories."""

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
        one too. They are read from the iterable as they are sent, by COPY; *on_progress* is called with the number so
        far. Raises `AlreadyExists`; `DialogNotFound`, also when a `tenant_id` is given that is not the dialog's; and
        `InvalidArgument` or `InvalidArgumentType`, which name the mapping and the field.
        SQL: `sql/dialog/get_by_ids.sql`, `sql/conversation/insert_many.sql`,
        `sql/conversation_message/insert_many.sql`, `sql/conversation_reference/insert_many.sql`.
        """
        validate.callback("on_progress", on_progress)
        given = enumerate(validate.rows("conversations", conversations))
        news = (conversation_input.read_new(f"conversations[{index}]", conversation) for index, conversation in given)
        return batches.insert_conversations(news, on_progress)

    @operation
    def append_message(self, id: str | int, conversation: Mapping[str, JsonValue]) -> Statement[int]:
        """Apply the given fields to a conversation and increment its round; return 1, or 0 when there is none.

        A whole row as it was read may be given: its dates, round, dialog and tenant are ignored, an `id` must be *id*,
        and a `dsl` of None was not read and is left as it is. Of `message` and `reference` only the entries that differ
        are written. Unknown keys raise `InvalidArgument`. SQL: `sql/conversation/append_message.sql`.
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
        At most 10,000. Raises `ConversationNotFound`, with nothing changed, when one does not exist.
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

        def updated(rows: list[UpdatedConversation]) -> int:
            if missing := [row.id for row in rows if not row.found]:
                shown = ", ".join(map(repr, missing[:3])) + (", …" if len(missing) > 3 else "")
                raise ConversationNotFound(f"there is no conversation {shown}; nothing was changed")
            return len(rows)

        return then(
            many(_UPDATE_MANY_BY_ID, UpdatedConversation, updates="[" + ",".join(updates.values()) + "]"), updated
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
        `RoundConflict` when *expected_round* is given and not the current one; `NotAppendable` when the stored value to
        append to is not a list. SQL: `sql/conversation/append_round.sql`.
        """
        id = validate.identifier("id", id)

        def new_round(appended: AppendedRound | None) -> int:
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
                AppendedRound,
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
        return count(_DELETE_BY_IDS, ids=validate.identifiers("ids", ids), **owner(tenant_id, dialog_id))

    @sequence
    def delete_by_dialog_ids(
        self, ids: Iterable[str | int], *, batch_size: int = batches.BATCH, on_progress: OnProgress | None = None
    ) -> Generator[Statement[Any], Any, int]:
        """Delete every conversation of some dialogs; return how many there were.

        Each statement deletes *batch_size* at the most and is a transaction of its own, unless the call is made inside
        of one; *on_progress* is called with the number so far. After an interruption, call it again. At most 10,000
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
            **owner(tenant_id, dialog_id),
        )


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
