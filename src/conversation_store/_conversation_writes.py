"""Conversations written: saved, loaded and changed."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from conversation_store import _batches as batches
from conversation_store import _conversation_input as conversation_input
from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._batches import OnProgress
from conversation_store._dates import Moment
from conversation_store._json import dumps
from conversation_store._json_writer import JsonWriter
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, Steps, count, many, one, optional, then
from conversation_store._validation import Id
from conversation_store.errors import ConversationNotFound, InvalidArgument, RevisionConflict
from conversation_store.models import ChangedConversation, Conversation, JsonValue, UpdatedConversation

_SAVE = load("conversation.save")
_APPEND_MESSAGE = load("conversation.append_message")
_UPDATE_BY_ID = load("conversation.update_by_id")
_UPDATE_MANY_BY_ID = load("conversation.update_many_by_id")


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
        dialog, json = validate.identifier("dialog_id", dialog_id), self._settings.json
        params: dict[str, object] = {
            "id": uuid.uuid4().hex if id is None else validate.identifier("id", id),
            "dialog_id": dialog,
            **{field: conversation_input.SCALARS[field](field, value) for field, value in scalars.items()},
            "message": json.text("message", message),
            "reference": json.text("reference", reference),
            "dsl": json.text("dsl", dsl),
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
        one too: of a row that was read in part, what is missing gets the default. They are read from the iterable as
        they are sent, by COPY; *on_progress* is called with the number so far. One without a `tenant_id` gets
        *tenant_id*, the tenant that the store is bound to, or that of its dialog. Raises `AlreadyExists`,
        `DialogNotFound`, `AmbiguousId` when two tenants have the dialog of one without a tenant, and `InvalidArgument`
        or `InvalidArgumentType`, which name the mapping and the field. SQL: `sql/dialog/get_by_ids.sql`,
        `sql/conversation/insert_many.sql`, `sql/conversation_message/insert_many.sql`,
        `sql/conversation_reference/insert_many.sql`, `sql/conversation/enlist.sql`.
        """
        validate.callback("on_progress", on_progress)
        tenant = tenancy.known(self._bound, tenant_id)
        given, json = validate.rows("conversations", conversations), self._settings.json
        read = (conversation_input.read_new(f"conversations[{index}]", row, json) for index, row in enumerate(given))
        news = (conversation_input.of_tenant(new, tenant) for new in read)
        return Steps(batches.insert_conversations(news, tenant, on_progress), atomic=True)

    @operation
    def append_message(
        self,
        id: Id,
        conversation: Mapping[str, JsonValue],
        *,
        expected_revision: int | None = None,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Apply the given fields to a conversation and increment its round; a given list replaces the stored one.

        Returns 1, or 0 when there is no such conversation. A list that is written back is without what others have
        appended since it was read: `append_round` appends, and *expected_revision*, the `revision` of the row that was
        read, raises `RevisionConflict` when the conversation was changed since. Only the entries that differ are
        written. A whole row as it was read may be given: its dates, round, revision and dialog are ignored, what was
        not read is left as it is, an `id` must be *id*, and a `tenant_id` that of the call, or is the tenant. Unknown
        keys raise `InvalidArgument`. With *dialog_id*, only a conversation of this dialog is changed. Raises
        `CounterOverflow` when the round would leave its range. Without a tenant, the one that has the id is found
        first; raises `AmbiguousId` when two have it. SQL: `sql/conversation/append_message.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        return _change(tenant, id, conversation, expected_revision, dialog_id, self._settings.json, increment=1)

    @operation
    def update_by_id(
        self,
        id: Id,
        conversation: Mapping[str, JsonValue],
        *,
        expected_revision: int | None = None,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Apply the given fields and leave the round as it is; return 1, or 0 when there is no such conversation.

        The arguments and errors are those of `append_message`, and so is the statement with messages, references or an
        *expected_revision*. SQL: `sql/conversation/update_by_id.sql`, `sql/conversation/append_message.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        return _change(tenant, id, conversation, expected_revision, dialog_id, self._settings.json, increment=0)

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
        tenant = tenancy.known(self._bound, tenant_id)
        updates: dict[tuple[str | None, str], str] = {}
        owners: defaultdict[str, set[str | None]] = defaultdict(set)
        for index, conversation in enumerate(validate.rows("conversations", conversations)):
            name = f"conversations[{index}]"
            if index == validate.MAX_IDS:
                raise InvalidArgument(f"conversations must have at most {validate.MAX_IDS} members")
            id, owner, update = conversation_input.read_update(name, tenant, conversation, self._settings.json)
            if owners[id] & {owner, None} or (owner is None and owners[id]):
                raise InvalidArgument(f"{name} has the duplicate id {id!r}: each id may be given once")
            owners[id].add(owner)
            updates[owner, id] = update
        dialog = validate.optional_filter("dialog_id", dialog_id)
        named: defaultdict[str, list[str]] = defaultdict(list)
        for owner, id in updates:
            if owner is not None:
                named[owner].append(id)

        def describe(owner: str, some: list[str]) -> Statement[int]:
            texts = (updates.get((owner, id)) or updates[None, id] for id in some)
            written = "[" + ",".join(texts) + "]"
            statement = many(
                _UPDATE_MANY_BY_ID, UpdatedConversation, tenant_id=owner, dialog_id=dialog, updates=written
            )

            def updated(rows: list[UpdatedConversation]) -> int:
                _check_found([row.id for row in rows if not row.found])
                return len(rows)

            return then(statement, updated)

        return tenancy.for_each(
            None if named else tenant,
            tenancy.find_conversation(dialog),
            [id for owner, id in updates if owner is None],
            describe,
            sum,
            atomic=True,
            check_missing=_check_found,
            named=named,
        )


def _change(
    tenant: str | None,
    id: object,
    conversation: object,
    expected_revision: object,
    dialog_id: object,
    json: JsonWriter,
    *,
    increment: int,
) -> Described[int]:
    text = validate.identifier("id", id)
    dialog = validate.optional_filter("dialog_id", dialog_id)
    owner, scalars, documents = conversation_input.read_changes("conversation", text, tenant, conversation, json)
    expected = validate.optional_revision("expected_revision", expected_revision)
    find = tenancy.find_conversation(dialog)
    params: dict[str, object] = {
        "id": text,
        "dialog_id": dialog,
        "changes": dumps(scalars),
        "dsl": documents.get("dsl"),
    }
    # The row alone changes: no entries, nothing that is compared behind its lock.
    if not increment and expected is None and documents.keys() <= {"dsl"}:
        return tenancy.for_one(owner, find, text, lambda owner: count(_UPDATE_BY_ID, tenant_id=owner, **params))
    params |= {
        "message": documents.get("message"),
        "reference": documents.get("reference"),
        "increment": increment,
        "expected_revision": expected,
    }

    def changed(found: ChangedConversation | None) -> int:
        if found is None:
            return 0
        if expected is not None and not found.changed:
            raise RevisionConflict(expected, found.current_revision)
        return 1

    return tenancy.for_one(
        owner,
        find,
        text,
        lambda owner: then(optional(_APPEND_MESSAGE, ChangedConversation, tenant_id=owner, **params), changed),
    )


def _check_found(missing: Sequence[str]) -> None:
    if missing:
        shown = ", ".join(map(repr, missing[:3])) + (", …" if len(missing) > 3 else "")
        raise ConversationNotFound(f"there is no conversation {shown}; nothing was changed")
