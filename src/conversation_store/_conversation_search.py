"""One search box: the conversations of a tenant in which a keyword occurs, each with the text around it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, cast

from conversation_store import _cursors as cursors
from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _validation as validate
from conversation_store._conversation_parts import parts
from conversation_store._dates import Moment
from conversation_store._operations import Methods, operation
from conversation_store._sql_loader import load
from conversation_store._statement import Statement
from conversation_store._validation import Id
from conversation_store.errors import InvalidArgument
from conversation_store.models import Hit, SearchPage

_SEARCH = load("conversation.search")
_PARTS = parts(include_messages=False, include_reference=False, include_dsl=False)


class ConversationSearch(Methods):
    """The search of both repositories."""

    @operation
    def search(
        self,
        keywords: str,
        *,
        tenant_id: Id | None = None,
        dialog_ids: Iterable[Id] | None = None,
        user_id: Id | None = None,
        exp_user_id: Id | None = None,
        from_date: Moment | None = None,
        to_date: Moment | None = None,
        time_zone: str = "UTC",
        items_per_page: int = 30,
        cursor: str | None = None,
    ) -> Statement[SearchPage]:
        """Return a tenant's conversations in which a keyword occurs, newest first.

        The page has `hits` and `next_cursor`, which is None at the end. There is one `Hit` a conversation: the
        `conversation` without messages, references and dsl, which are `NOT_READ`; the `position` of its latest message
        that has the keyword, or None where only its name or its id has it; and the `snippet` around it, at most 200
        characters, of a longer keyword its first 200. None is no filter; empty *keywords*, an empty *user_id* or
        *exp_user_id* raise `InvalidArgument`.

        - *keywords*: looked for literally, blanks included, whatever its case, in the text of messages, in ids and in
          names. No index serves a single character: the messages are read from the newest conversation on.
        - *dialog_ids*: only conversations of these dialogs, at most 10,000; of an empty list there are none.
        - *user_id*, *exp_user_id*: only conversations with these; with both, those that have either.
        - *from_date*, *to_date*: the creation, inclusive, days or instants; without an offset they are in *time_zone*,
          an IANA name. The text of a minute or second as *to_date* covers all of it, as that of a day does.
        - *items_per_page*: from 1 to the store's `max_items_per_page`.
        - *cursor*: the `next_cursor` of the page before; None begins with the newest.

        SQL: `sql/conversation/search.sql`.
        """
        text = validate.text("keywords", keywords, maximum=validate.MAX_KEYWORDS)
        if not text:
            raise InvalidArgument("keywords must be given and not be empty")
        most = self._settings.max_items_per_page
        number = validate.integer("items_per_page", items_per_page, minimum=1, maximum=most)
        zone = dates.time_zone("time_zone", time_zone)
        bounds = dates.bounds(from_date, to_date, zone)
        filters: dict[str, object] = {
            "tenant_id": tenancy.needed(self._bound, tenant_id),
            "keywords": text,
            "dialog_ids": None if dialog_ids is None else validate.identifiers("dialog_ids", dialog_ids),
            "user_id": validate.optional_filter("user_id", user_id, maximum=validate.MAX_USER_ID),
            "exp_user_id": validate.optional_filter("exp_user_id", exp_user_id, maximum=validate.MAX_USER_ID),
            **bounds,
        }
        fingerprint = cursors.fingerprint("create_date", filters)
        position = cursors.read("create_date", fingerprint, cursor)

        def read(hits: list[Hit], _: int) -> SearchPage:
            if len(hits) <= number:
                return SearchPage(hits, None)
            last = hits[number - 1].conversation
            return SearchPage(hits[:number], cursors.after(fingerprint, last.create_date, last.id))

        params: dict[str, object] = {
            **filters,
            "after_key": None if position is None else position.key,
            "after_id": None if position is None else position.id,
            "limit": number + 1,
        }
        return Statement(_SEARCH, params, _hit, read)


def _hit(position: int, excerpt: Any, *columns: Any) -> Hit:
    before, head, keyword, tail, after = cast(tuple[str, str, str, str, str], excerpt)
    snippet = _from_a_character(before, head) + keyword + _to_a_character(tail, after)
    return Hit(conversation=_PARTS.row(*columns), position=position or None, snippet=snippet)


# What is one character for people has no more parts, but for texts that are made to have more.
_MOST_PARTS = 20


def _from_a_character(before: str, text: str) -> str:
    """Return a text without the rest of a character that was cut through at its beginning."""
    if before and _is_flag(before) and text and _is_flag(text[0]):
        flags = len(text) - len(text.lstrip(_FLAGS))
        return text[flags % 2 :]
    for cut in range(min(len(text), _MOST_PARTS)):
        if not _continues(text[cut - 1] if cut else before, text[cut]):
            return text[cut:]
    return text


def _to_a_character(text: str, after: str) -> str:
    """Return a text without the beginning of a character that was cut through at its end."""
    if after and _is_flag(after) and text and _is_flag(text[-1]):
        flags = len(text) - len(text.rstrip(_FLAGS))
        return text[: len(text) - flags % 2]
    for cut in range(min(len(text), _MOST_PARTS)):
        if not _continues(text[-1 - cut], text[-cut] if cut else after):
            return text[: len(text) - cut]
    return text


# A flag is two of these letters.
_FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))


def _is_flag(letter: str) -> bool:
    return letter in _FLAGS


def _continues(character: str, following: str) -> bool:
    """Return whether what follows is a part of the same character: a mark, or what a joiner joins."""
    return (
        bool(character and following)
        and character not in "\n\r\t"
        and (
            unicodedata.category(following) in ("Mn", "Mc", "Me")
            or "\u200d" in (character, following)  # the joiner of emoji
            or "\U0001f3fb" <= following <= "\U0001f3ff"  # the colour of a skin
            or "\U000e0020" <= following <= "\U000e007f"  # the tags of a flag such as that of Scotland
            or "\u1160" <= following <= "\u11ff"  # a letter inside of a Hangul syllable
        )
    )
