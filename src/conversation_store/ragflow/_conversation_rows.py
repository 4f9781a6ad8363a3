"""The table of API conversations, under its name in RAGFlow: how rows are found and what they are there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, ClassVar

from conversation_store import _conversation_input as conversation_input
from conversation_store import _validation as validate
from conversation_store.errors import ConversationNotFound
from conversation_store.models import NOT_READ, Conversation
from conversation_store.ragflow._fields import Condition, JsonField, NumberField, TextField, all_known, narrowed
from conversation_store.ragflow._rows import Origin, Row, Values
from conversation_store.ragflow._service import cut_list
from conversation_store.ragflow._settings import Settings, settings

# Numbers that are 0 there where they are not given.
COUNTERS = ("tokens", "duration", "round", "thumb_up")
STAMPS = ("create_time", "create_date", "update_time", "update_date")
CHANGES = (*conversation_input.SCALARS, *conversation_input.DOCUMENTS)
COLUMNS = ("id", "dialog_id", *CHANGES, "round", *STAMPS)


class _LastSaved:
    """The conversations that were saved last, by the list of messages that they were saved with.

    A caller that saves `conv` and goes on with `API4Conversation(**conv)` has a row as if it had read it.
    """

    def __init__(self) -> None:
        self._saved: OrderedDict[int, tuple[Any, Origin]] = OrderedDict()
        self._lock = Lock()

    def add(self, message: Any, origin: Origin) -> None:
        """Remember where a list of messages was stored; only the last thousand are."""
        if hasattr(message, "append"):
            with self._lock:
                self._saved[id(message)] = message, origin
                if len(self._saved) > _REMEMBERED:
                    self._saved.popitem(last=False)

    def take(self, message: object) -> Origin | None:
        """Return where this very list was stored, once, or None."""
        with self._lock:
            _, origin = self._saved.pop(id(message), (None, None))
        return origin


_REMEMBERED = 1_000
LAST_SAVED = _LastSaved()


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
        self._values.origin = LAST_SAVED.take(values.get("message"))

    @classmethod
    def find_values(cls, where: Sequence[Condition]) -> Iterable[Values]:
        """Return the values of the conversations for which all conditions hold.

        SQL: `sql/conversation/get_by_ids.sql` for ids, `sql/conversation/iter.sql` for dialogs and for all.
        """
        current = settings()
        rows = (values_of(current, row) for row in _candidates(current, where))
        return (row for row in rows if all(condition.holds(row) for condition in where))


def _candidates(current: Settings, where: Sequence[Condition]) -> Iterable[Conversation]:
    """Return the conversations among which those are for which the conditions hold."""
    one_of = narrowed(where)
    conversations = current.store.conversations
    dialogs = all_known("dialog_id", one_of.get("dialog_id", ()))
    if "id" in one_of:
        dialog = dialogs[0] if len(dialogs) == 1 else None
        for some in cut_list(all_known("id", one_of["id"]), validate.MAX_IDS):
            yield from conversations.get_by_ids(some, dialog_id=dialog)
    elif "dialog_id" in one_of:
        for dialog in dialogs:
            yield from conversations.iter(dialog_id=dialog)
    elif where:
        raise NotImplementedError(
            "conversations are found by an id or a dialog_id, of which one must be given; those of a user are"
            " store.conversations.query(tenant_id=…, user_id=…)"
        )
    else:
        yield from conversations.iter()


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
        Origin(row.tenant_id, row.id, row.revision),
    )
