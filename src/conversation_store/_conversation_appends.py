"""Conversations appended to, once for each turn, however often it is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from typing import Any

from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._json import dumps, loads
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Described, Statement, Steps, optional, then
from conversation_store._validation import Id
from conversation_store.errors import (
    ConversationNotFound,
    NotAppendable,
    RevisionConflict,
    RoundConflict,
    TurnConflict,
)
from conversation_store.models import AppendedRound, EarlierTurn, JsonValue

_APPEND_ROUND = load("conversation.append_round")
_APPEND_TURN = load("conversation.append_turn")
_GET_TURN = load("conversation_turn.get")


class ConversationAppends(Methods):
    """The appending method of both repositories."""

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
        turn_id: Id | None = None,
        expected_round: int | None = None,
        expected_revision: int | None = None,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
    ) -> Described[int]:
        """Append the messages and references of one turn, and return the new round.

        Any number of writers may append at once, and nothing is lost. Raises `ConversationNotFound`, also when the
        conversation belongs to another dialog than *dialog_id*; `NotAppendable` when the stored value to append to is a
        text, a number or a bool; `CounterOverflow` when a sum would leave its range. A stored dict becomes the first
        entry of a list, `{}` and None an empty list, once something is appended to it. Without a tenant, the one that
        has the id is found first; raises `AmbiguousId` when two have it.

        - *messages*, *reference*: lists of any JSON values.
        - *tokens*, *duration* (seconds): are added to the conversation's.
        - *errors*: replaces what was stored, unless it is None.
        - *turn_id*: makes the call safe to repeat, from any process. When the conversation has a turn with this id, the
          round that it got is returned, and nothing is changed; other content under the same id raises `TurnConflict`.
          It is looked at before what is expected. Ids of turns live as long as the conversation.
        - *expected_round*: raises `RoundConflict` when it is given and not the current round.
        - *expected_revision*: raises `RevisionConflict` when it is given and not the current revision.

        SQL: `sql/conversation/append_round.sql`, `sql/conversation/append_turn.sql`, `sql/conversation_turn/get.sql`.
        """
        text = validate.identifier("id", id)
        dialog = validate.optional_filter("dialog_id", dialog_id)
        content: dict[str, object] = {
            "messages": self._settings.json.array("messages", messages),
            "reference": self._settings.json.array("reference", reference),
            "tokens": validate.bigint("tokens", tokens),
            "duration": validate.duration("duration", duration),
            "errors": validate.optional_text("errors", errors, maximum=validate.MAX_ERRORS),
        }
        turn = validate.optional_filter("turn_id", turn_id)
        expected = None if expected_round is None else validate.integer("expected_round", expected_round)
        revision = validate.optional_revision("expected_revision", expected_revision)
        params = {"id": text, "dialog_id": dialog, "expected_round": expected, "expected_revision": revision, **content}

        def new_round(appended: AppendedRound | None) -> int:
            if appended is None:
                raise ConversationNotFound(f"there is no conversation {text!r}")
            if appended.new_round is not None:
                return appended.new_round
            if not appended.appendable:
                raise NotAppendable(
                    f"nothing can be appended to the message or reference of the conversation {text!r},"
                    " which is a text, a number or a bool; nothing was changed"
                )
            if expected is not None and expected != appended.current_round:
                raise RoundConflict(expected, appended.current_round)
            if revision is not None and revision != appended.current_revision:
                raise RevisionConflict(revision, appended.current_revision)
            # Its turn was there, and then it was deleted.
            raise ConversationNotFound(f"there is no conversation {text!r} any longer")

        def append_once(owner: str, turn: str) -> Generator[Statement[Any], Any, int]:
            key = {"id": text, "tenant_id": owner, "turn_id": turn, "digest": _digest(content)}
            appended: AppendedRound | None = yield optional(_APPEND_TURN, AppendedRound, **{**params, **key})
            if appended is not None and appended.new_round is None:
                earlier: EarlierTurn | None = yield optional(_GET_TURN, EarlierTurn, **key)
                if earlier is not None:
                    if not earlier.same_content:
                        raise TurnConflict(
                            f"the turn {turn!r} of the conversation {text!r} was appended before, with other content;"
                            " nothing was changed"
                        )
                    return earlier.round
            return new_round(appended)

        def describe(owner: str) -> Described[int]:
            if turn is not None:
                return Steps(append_once(owner, turn))
            return then(optional(_APPEND_ROUND, AppendedRound, tenant_id=owner, **params), new_round)

        return tenancy.for_one(tenancy.known(self._bound, tenant_id), tenancy.find_conversation(dialog), text, describe)


def _digest(content: dict[str, object]) -> bytes:
    """Return the SHA-256 of what a turn appends, which does not depend on the order of the keys of an object.

    It is stored: if another one came out of the same content, a turn that is sent again would be a `TurnConflict`.
    """
    values = {**content, **{name: loads(str(content[name])) for name in ("messages", "reference")}}
    return hashlib.sha256(dumps(values, sort_keys=True).encode()).digest()
