"""Conversations written: saved, loaded, appended to, changed and deleted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from conversation_store import _batches as batches
from conversation_store import _conversation_input as conversation_input
from conversation_store import _dates as dates
from conversation_store import _json as json_values
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._batches import OnProgress, Progress
from conversation_store._dates import Moment
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, Steps, count, many, one, optional, then
from conversation_store._validation import Id
from conversation_store.errors import ConversationNotFound, InvalidArgument, NotAppendable, RoundConflict
from conversation_store.models import AppendedRound, Conversation, JsonValue, UpdatedConversation

_SAVE = load("conversation.save")
_APPEND_MESSAGE = load("conversation.append_message")
_UPDATE_MANY_BY_ID = load("conversation.update_many_by_id")
_APPEND_ROUND = load("conversation.append_round")
_DELETE_BY_ID = load("conversation.delete_by_id")
_DELETE_BY_IDS = load("conversation.delete_by_ids")
_DELETE_BY_DIALOG_IDS = load("conversation.delete_by_dialog_ids")


class ConversationWrites(Methods):
    """The writing methods of both repositories."""

    @operation
    def save(
        self,
        *,
        dialog_id: Id,
        tenant_id: Id | None = None,
        user_id: Id = "",
        id: Id | None = None,
        name: str | None = None,
        exp_user_id: Id | None = None,
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
    ) -> Described[Conversation]:
        """Insert a conversation and return it as stored.

        Without an *id* it gets a random one. *message*, *reference* and *dsl* may be any JSON value. *duration* is in
        seconds. Dates without an offset are in UTC; the default is now. Raises `DialogNotFound`, and `AlreadyExists`
        when the tenant has a conversation with this id. Without a tenant, the one that has the dialog is found first;
        raises `AmbiguousId` when two have it. SQL: `sql/conversation/save.sql`.
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
        dialog = validate.identifier("dialog_id", dialog_id)
        params: dict[str, object] = {
            "id": uuid.uuid4().hex if id is None else validate.identifier("id", id),
            "dialog_id": dialog,
            **{field: conversation_input.SCALARS[field](field, value) for field, value in scalars.items()},
            "message": json_values.json_text("message", message),
            "reference": json_values.json_text("reference", reference),
            "dsl": json_values.json_text("dsl", dsl),
            "round": validate.integer("round", round),
            "create_date": dates.optional_date("create_date", create_date),
            "update_date": dates.optional_date("update_date", update_date),
        }
        return tenancy.for_one(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_DIALOG,
            dialog,
            lambda owner: one(_SAVE, Conversation, tenant_id=owner, **params),
        )

    @operation
    def insert_many(
        self,
        conversations: Iterable[Mapping[str, JsonValue]],
        *,
        tenant_id: Id | None = None,
        on_progress: OnProgress | None = None,
    ) -> Steps[int]:
        """Load any number of conversations in one transaction, all of them or none; return how many.

        Each mapping has a `dialog_id` and any other arguments of `save`, its own mix of them; what `to_dict` returns is
        one too. They are read from the iterable as they are sent, by COPY; *on_progress* is called with the number so
        far. One without a `tenant_id` gets *tenant_id*, the tenant that the store is bound to, or that of its dialog.
        Raises `AlreadyExists`, `DialogNotFound`, `AmbiguousId` when two tenants have the dialog of one without a
        tenant, and `InvalidArgument` or `InvalidArgumentType`, which name the mapping and the field.
        SQL: `sql/dialog/get_by_ids.sql`, `sql/conversation/insert_many.sql`,
        `sql/conversation_message/insert_many.sql`, `sql/conversation_reference/insert_many.sql`.
        """
        validate.callback("on_progress", on_progress)
        tenant = tenancy.known(self._bound, tenant_id)
        given = enumerate(validate.rows("conversations", conversations))
        news = (
            conversation_input.of_tenant(conversation_input.read_new(f"conversations[{index}]", conversation), tenant)
            for index, conversation in given
        )
        return Steps(batches.insert_conversations(news, tenant, on_progress), atomic=True)

    @operation
    def append_message(
        self,
        id: Id,
        conversation: Mapping[str, JsonValue],
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Apply the given fields to a conversation and increment its round; return 1, or 0 when there is none.

        A given list replaces the stored one; only the entries that differ are written. A whole row as it was read may
        be given: its dates, round, revision, dialog and tenant are ignored, what was not read is left as it is, and an
        `id` must be *id*. Unknown keys raise `InvalidArgument`. With *dialog_id*, only a conversation of this dialog is
        changed. Without a tenant, the one that has the id is found first; raises `AmbiguousId` when two have it.
        SQL: `sql/conversation/append_message.sql`.
        """
        return _change(tenancy.known(self._bound, tenant_id), id, conversation, dialog_id, increment=1)

    @operation
    def update_by_id(
        self,
        id: Id,
        conversation: Mapping[str, JsonValue],
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Apply the given fields and leave the round as it is; return 1, or 0 when there is no such conversation.

        The arguments and errors are those of `append_message`, and so is the statement.
        SQL: `sql/conversation/append_message.sql`.
        """
        return _change(tenancy.known(self._bound, tenant_id), id, conversation, dialog_id, increment=0)

    @operation
    def update_many_by_id(
        self,
        conversations: Iterable[Mapping[str, JsonValue]],
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Apply the given fields to many conversations, to all of them or to none; return how many.

        Each mapping has an `id`, once in the list, and fields as for `append_message`; the rounds are left as they are.
        At most 10,000. Raises `ConversationNotFound`, with nothing changed, when one does not exist, or belongs to
        another dialog than *dialog_id*. Without a tenant, those that have the ids are found first, and the changes are
        one transaction; raises `AmbiguousId` when two have one. SQL: `sql/conversation/update_many_by_id.sql`.
        """
        updates = dict[str, str]()
        for index, conversation in enumerate(validate.rows("conversations", conversations)):
            id, update = conversation_input.read_update(f"conversations[{index}]", conversation)
            if id in updates:
                raise InvalidArgument(f"conversations[{index}] has the duplicate id {id!r}: each id may be given once")
            updates[id] = update
        if len(updates) > validate.MAX_IDS:
            raise InvalidArgument(f"conversations must have at most {validate.MAX_IDS} members, not {len(updates)}")
        dialog = validate.optional_filter("dialog_id", dialog_id)
        tenant = tenancy.known(self._bound, tenant_id)

        def describe(owner: str, some: list[str]) -> Statement[int]:
            written = "[" + ",".join(updates[id] for id in some) + "]"
            statement = many(
                _UPDATE_MANY_BY_ID, UpdatedConversation, tenant_id=owner, dialog_id=dialog, updates=written
            )

            def updated(rows: list[UpdatedConversation]) -> int:
                _check_found([row.id for row in rows if not row.found])
                return len(rows)

            return then(statement, updated)

        return tenancy.for_each(
            tenant, tenancy.FIND_CONVERSATION, list(updates), describe, sum, atomic=True, check_missing=_check_found
        )

    @operation
    def append_round(
        self,
        id: Id,
        messages: Sequence[JsonValue],
        *,
        reference: Sequence[JsonValue] = (),
        tokens: int = 0,
        duration: float = 0.0,
        errors: str | None = None,
        expected_round: int | None = None,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Append the messages and references of one turn, and return the new round.

        Any number of writers may append at once, and nothing is lost. Raises `ConversationNotFound`, also when the
        conversation belongs to another dialog than *dialog_id*; `NotAppendable` when the stored value to append to is
        not a list. Without a tenant, the one that has the id is found first; raises `AmbiguousId` when two have it.

        - *messages*, *reference*: lists of any JSON values.
        - *tokens*, *duration* (seconds): are added to the conversation's.
        - *errors*: replaces what was stored, unless it is None.
        - *expected_round*: raises `RoundConflict` when it is given and not the current round.

        SQL: `sql/conversation/append_round.sql`.
        """
        text = validate.identifier("id", id)
        params: dict[str, object] = {
            "id": text,
            "dialog_id": validate.optional_filter("dialog_id", dialog_id),
            "messages": json_values.json_list("messages", messages),
            "reference": json_values.json_list("reference", reference),
            "tokens": validate.bigint("tokens", tokens),
            "duration": validate.number("duration", duration),
            "errors": validate.optional_text("errors", errors),
            "expected_round": None if expected_round is None else validate.integer("expected_round", expected_round),
        }

        def new_round(appended: AppendedRound | None) -> int:
            if appended is None:
                raise ConversationNotFound(f"there is no conversation {text!r}")
            if not appended.appendable:
                raise NotAppendable(
                    f"messages and reference are appended to lists; the conversation {text!r} holds another value"
                )
            if appended.new_round is None:
                raise RoundConflict(expected_round or 0, appended.current_round)
            return appended.new_round

        return tenancy.for_one(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_CONVERSATION,
            text,
            lambda owner: then(optional(_APPEND_ROUND, AppendedRound, tenant_id=owner, **params), new_round),
        )

    @operation
    def delete_by_id(self, id: Id, *, tenant_id: Id | None = None, dialog_id: Id | None = None) -> Described[int]:
        """Delete a conversation with everything in it; return 1, or 0 when there is none.

        With *dialog_id*, only a conversation of this dialog. Without a tenant, the one that has the id is found first;
        raises `AmbiguousId` when two have it. SQL: `sql/conversation/delete_by_id.sql`.
        """
        text = validate.identifier("id", id)
        dialog = validate.optional_filter("dialog_id", dialog_id)
        return tenancy.for_one(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_CONVERSATION,
            text,
            lambda owner: count(_DELETE_BY_ID, id=text, tenant_id=owner, dialog_id=dialog),
        )

    @operation
    def delete_by_ids(
        self, ids: Iterable[Id], dialog_id: Id | None = None, *, tenant_id: Id | None = None
    ) -> Described[int]:
        """Delete conversations with everything in them; return how many there were.

        With *dialog_id*, only those of the dialog. At most 10,000. Without a tenant, those that have the ids are found
        first, and the deletions are one transaction; raises `AmbiguousId` when two have one.
        SQL: `sql/conversation/delete_by_ids.sql`.
        """
        dialog = validate.optional_filter("dialog_id", dialog_id)
        return tenancy.for_each(
            tenancy.known(self._bound, tenant_id),
            tenancy.FIND_CONVERSATION,
            validate.identifiers("ids", ids),
            lambda owner, some: count(_DELETE_BY_IDS, ids=some, tenant_id=owner, dialog_id=dialog),
            sum,
            atomic=True,
        )

    @operation
    def delete_by_dialog_ids(
        self,
        ids: Iterable[Id],
        *,
        tenant_id: Id | None = None,
        batch_size: int = batches.BATCH,
        on_progress: OnProgress | None = None,
    ) -> Steps[int]:
        """Delete every conversation of some dialogs; return how many there were.

        Each statement deletes *batch_size* at the most and is a transaction of its own, unless the call is made inside
        of one; *on_progress* is called with the number so far. After an interruption, call it again. At most 10,000
        dialogs. Without a tenant, those that have the dialogs are found first; raises `AmbiguousId` when two have one.
        SQL: `sql/conversation/delete_by_dialog_ids.sql`.
        """
        limit = batches.batch_size(batch_size, on_progress)
        progress = Progress(on_progress)

        def delete(owner: str, some: list[str]) -> Steps[int]:
            return Steps(batches.delete_in_batches(_DELETE_BY_DIALOG_IDS, limit, progress, tenant_id=owner, ids=some))

        return tenancy.several(
            tenancy.for_each(
                tenancy.known(self._bound, tenant_id),
                tenancy.FIND_DIALOG,
                validate.identifiers("ids", ids),
                delete,
                sum,
            )
        )

    @operation
    def delete_not_updated_since(
        self,
        date: Moment,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        time_zone: str = "UTC",
        batch_size: int = batches.BATCH,
        on_progress: OnProgress | None = None,
    ) -> Steps[int]:
        """Delete the conversations that were last updated before a date; return how many there were.

        *date* is a day, of which the first instant counts, or an instant; without an offset it is in *time_zone*, an
        IANA name. Of a tenant, of a dialog, or of all; in batches, as `delete_by_dialog_ids`. One that is updated while
        this runs is kept. Without a tenant, the one that has the dialog is found first; raises `AmbiguousId` when two
        have it. SQL: `sql/conversation/delete_not_updated_since.sql`.
        """
        zone = dates.time_zone("time_zone", time_zone)
        before_date = dates.start(dates.moment("date", date), zone)
        tenant = tenancy.known(self._bound, tenant_id)
        dialog = validate.optional_filter("dialog_id", dialog_id)
        limit = batches.batch_size(batch_size, on_progress)
        progress = Progress(on_progress)

        def delete(owner: str) -> Generator[Statement[Any], Any, None]:
            return batches.delete_not_updated_since(
                limit, progress, before_date=before_date, tenant_id=owner, dialog_id=dialog
            )

        def steps() -> Generator[Statement[Any], Any, int]:
            yield from tenancy.walk(tenant, dialog, delete)
            return progress.number

        return Steps(steps())


def _change(
    tenant: str | None, id: object, conversation: object, dialog_id: object, *, increment: int
) -> Described[int]:
    text = validate.identifier("id", id)
    scalars, documents = conversation_input.read_changes("conversation", text, conversation)
    params: dict[str, object] = {
        "id": text,
        "dialog_id": validate.optional_filter("dialog_id", dialog_id),
        "changes": json.dumps(scalars, ensure_ascii=False),
        "increment": increment,
        **{field: documents.get(field) for field in conversation_input.DOCUMENTS},
    }
    return tenancy.for_one(
        tenant,
        tenancy.FIND_CONVERSATION,
        text,
        lambda owner: count(_APPEND_MESSAGE, tenant_id=owner, **params),
    )


def _check_found(missing: Sequence[str]) -> None:
    if missing:
        shown = ", ".join(map(repr, missing[:3])) + (", …" if len(missing) > 3 else "")
        raise ConversationNotFound(f"there is no conversation {shown}; nothing was changed")
