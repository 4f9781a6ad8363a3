"""The table of API conversations, under its name in RAGFlow: how rows are found and what they are there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from conversation_store import _conversation_input as conversation_input
from conversation_store import _validation as validate
from conversation_store.conversations import ConversationRepository
from conversation_store.errors import ConversationNotFound
from conversation_store.models import NOT_READ, Conversation
from conversation_store.ragflow._conditions import Condition, check_table, narrowed
from conversation_store.ragflow._fields import JsonField, NumberField, TextField, all_known, known
from conversation_store.ragflow._rows import Origin, Row, Values
from conversation_store.ragflow._service import cut_list
from conversation_store.ragflow._settings import Settings, key

# Numbers that are 0 there where they are not given.
COUNTERS = ("tokens", "duration", "round", "thumb_up")
STAMPS = ("create_time", "create_date", "update_time", "update_date")
CHANGES = (*conversation_input.SCALARS, *conversation_input.DOCUMENTS)
COLUMNS = ("id", "dialog_id", *CHANGES, "round", *STAMPS)


class LastSaved:
    """The conversations that were saved last, by the list of messages that they were saved with.

    Who saves `conv` and goes on with it, or with `API4Conversation(**conv)`, has a row as if it had read it. Without a
    lock, which a fork could leave locked: each step of the dict is one step for all threads.
    """

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._saved: OrderedDict[tuple[object, ...], tuple[Any, Origin]] = OrderedDict()

    def add(self, values: Mapping[str, Any], origin: Origin) -> None:
        """Remember where these values were stored."""
        message = values.get("message")
        if hasattr(message, "append"):
            place = key(), id(message), origin.id, origin.dialog_id
            self._saved.pop(place, None)  # it is the last one now
            self._saved[place] = message, origin
            if len(self._saved) > self._most:
                self._saved.popitem(last=False)

    def find(self, values: Mapping[str, Any]) -> Origin | None:
        """Return where a row with this very list was stored, or None."""
        place = key(), id(values.get("message")), known(values.get("id")), known(values.get("dialog_id"))
        return self._saved.get(place, (None, None))[1]


LAST_SAVED = LastSaved()


class API4Conversation(Row):
    """A session of a dialog or an agent."""

    DoesNotExist = ConversationNotFound
    _defaults: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "reference": list,
        "dsl": dict,
        **dict.fromkeys(COUNTERS, int),
    }

    id = TextField[str](required=True)
    name = TextField["str | None"]()
    dialog_id = TextField[str](required=True)
    user_id = TextField[str](required=True)
    exp_user_id = TextField["str | None"]()
    message = JsonField[Any]()
    reference = JsonField[Any]()
    tokens = NumberField[int]()
    source = TextField["str | None"]()
    dsl = JsonField[Any]()
    duration = NumberField[float]()
    round = NumberField[int]()
    thumb_up = NumberField[int]()
    errors = TextField["str | None"]()
    version_title = TextField["str | None"]()

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._values.origin = LAST_SAVED.find(values)

    @classmethod
    def find_values(cls, current: Settings, where: Sequence[Condition], names: Sequence[str] = ()) -> Iterable[Values]:
        """Return the values of the conversations for which all conditions hold.

        SQL: `sql/conversation/get_by_ids.sql` for ids, `sql/conversation/query.sql` for a dialog and for a user in it,
        `sql/conversation/iter.sql` for a dialog with everything in it, and for all.
        """
        check_table(cls, where)
        found = _candidates(current.store.conversations, where, set(names))
        rows = (values_of(current, row) for row in found)
        return (row for row in rows if all(condition.holds(row) for condition in where))


def _candidates(
    conversations: ConversationRepository, where: Sequence[Condition], names: set[str]
) -> Iterable[Conversation]:
    """Return the conversations among which those are for which the conditions hold."""
    one_of = narrowed(where)
    parts = {flag: field in names for field, flag in _PARTS.items()}
    dialogs = all_known("dialog_id", one_of["dialog_id"]) if "dialog_id" in one_of else None
    users = [id for id in one_of.get("user_id", ("",)) if known(id, maximum=validate.MAX_USER_ID)]
    if "id" in one_of:
        for some in cut_list(all_known("id", one_of["id"]), _BATCH):
            for dialog in [None] if dialogs is None else dialogs:
                yield from conversations.get_by_ids(some, dialog_id=dialog, **parts)
    elif dialogs is not None:
        for dialog in dialogs:
            if len(users) == len(one_of.get("user_id", ("",))):
                for user in sorted(users):
                    yield from conversations.query(dialog_id=dialog, user_id=user, limit=validate.MAX_INTEGER, **parts)
            elif any(parts.values()):
                yield from conversations.iter(dialog_id=dialog)
            else:
                yield from conversations.query(dialog_id=dialog, limit=validate.MAX_INTEGER, **parts)
    elif where:
        raise NotImplementedError(
            "conversations are found by an id or a dialog_id, of which one must be given; those of a user are"
            " store.conversations.query(tenant_id=…, user_id=…)"
        )
    else:
        yield from conversations.iter()


# The arguments of the store that leave unread what is in none of the columns.
_PARTS = {"message": "include_messages", "reference": "include_reference", "dsl": "include_dsl"}
_BATCH = 1_000  # ids of which everything is read at a time


def values_of(current: Settings, row: Conversation) -> Values:
    """Return the values of a conversation under their names there; a JSON null is empty there."""
    values = {
        **current.stamps(row),
        **{name: getattr(row, name) for name in COLUMNS if name not in STAMPS},
    }
    for name in conversation_input.DOCUMENTS:
        if values[name] is None:
            values[name] = {} if name == "dsl" else []
    return Values(
        {name: value for name, value in values.items() if value is not NOT_READ},
        Origin(row.tenant_id, row.id, row.dialog_id, row.revision),
    )
