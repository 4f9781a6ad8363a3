"""The shapes of each operation: the ways to call it that have plans of their own, and what each plan must show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from conversation_store import NO_SOURCE, Conversation
from conversation_store.models import ApiToken, AppendedRound, ConversationKey, DeletedBatch, Dialog, FoundToken
from conversation_store.ragflow._stored import get_import_dates, reimport_dialog, reimport_token, set_import_date
from operations import BY_CHANGE, BY_CREATION, BY_DAY, BY_EXPLORER, BY_USER, SEARCH
from support.statements import statement_of


class Shape(NamedTuple):
    """One way to call an operation, and what its plan must show."""

    call: Callable[[Any], Any]
    answers: Sequence[Any] = ()  # of the statements before
    shows: str = ""  # a regular expression
    sorts: bool | None = None  # whether it sorts, apart from what a keyword found and the page that was cut
    scans: bool = False  # whether it reads a whole table


class Cost(NamedTuple):
    """One way to call an operation on ids that many tenants have, and how many blocks it may read."""

    name: str
    call: Callable[[Any], Any]
    blocks: int
    answers: Sequence[Any] = ()  # of the statements before


A_DAY = datetime(2024, 1, 10, tzinfo=UTC)
A_DIALOG = Dialog(id="d1", tenant_id="owner", name=None, create_date=A_DAY, update_date=A_DAY)
A_TOKEN = ApiToken(
    **dict.fromkeys(("dialog_id", "source", "beta", "use_date", "expire_date", "rotate_date", "revoke_date")),
    id=1,
    tenant_id="owner",
    hint="…",
    create_date=A_DAY,
    update_date=A_DAY,
    predecessor_id=None,
)


A_NEW_ONE = {"dialog_id": "d1"}


def a_conversation(**changes: Any) -> Conversation:
    """Return a row as the last one of a page."""
    values: dict[str, Any] = dict.fromkeys(f.name for f in fields(Conversation))
    values.update({"id": "c7", "dialog_id": "d1", "create_date": A_DAY, "update_date": A_DAY, **changes})
    return Conversation(**values)


def columns(row: Any) -> list[Any]:
    """Return the columns of a row."""
    return [getattr(row, field.name) for field in fields(row)]


def a_token() -> FoundToken:
    """Return a row of a token whose use is to be stamped."""
    return FoundToken(True, replace(A_TOKEN, tenant_id="owner7"))


def page(**arguments: Any) -> Callable[[Any], Any]:
    return lambda s: s.conversations.get_list("d1", "owner", **arguments)


def messages(**arguments: Any) -> Callable[[Any], Any]:
    return lambda s: s.conversations.get_messages("x", tenant_id="t", **arguments)


def after(orderby: str, desc: bool, from_date: str | None = None, **key: Any) -> Callable[[Any], Any]:
    """Return a call for the page after a row."""

    def call(store: Any, **arguments: Any) -> Any:
        return store.conversations.list_after(
            "d1", "owner", orderby=orderby, desc=desc, from_date=from_date, **arguments
        )

    first = statement_of(lambda store: call(store, items_per_page=1))
    cursor = first.read([(None, *columns(a_conversation(**key)))] * 2, 2).next_cursor
    return lambda store: call(store, items_per_page=30, cursor=cursor)


def walked(desc: bool) -> list[Shape]:
    """Return the page after a row in every order: a row value, in order of the index where there is one."""
    than = "<" if desc else ">"
    others: dict[str, Any] = {"name": "name 7", "tokens": 7, "duration": 0.1, "round": 7, "thumb_up": -7}
    return [
        Shape(after("id", desc), shows=rf"id {than} 'c7'"),
        *(
            Shape(
                after(order, desc, since),
                shows=rf"{index}.*\n +Index Cond: .*ROW\({order}, id\) {than} ROW\(",
                sorts=False,
            )
            for order, index in (("create_date", BY_CREATION), ("update_date", BY_CHANGE))
            for since in (None, "2024-01-02")
        ),
        *(
            Shape(after(order, desc, **{order: key}), shows=rf"{order}.* {than} ", sorts=True)
            for order, key in others.items()
        ),
    ]


NOT_APPENDED = AppendedRound(current_round=1, current_revision=1, appendable=True, new_round=None)
OF_THE_DIALOG = r"dialog_id\w*_idx"
# A keyword that no index serves: the search starts from the dialog.
SCANNED = [Shape(page(keywords=keyword), shows=OF_THE_DIALOG) for keyword in ("检", "5", " ", "%")]

# Of each list of entries, a range of its key.
ENTRIES = "".join(
    rf"(?s:.*){table}_pkey.*\n +Index Cond: .*position\" > .*position\" <= "
    for table in ("conversation_message", "conversation_reference")
)

SHAPES: Mapping[str, Sequence[Shape]] = {
    "dialogs.save": [Shape(lambda s: s.dialogs.save(id="x", tenant_id="t"))],
    "dialogs.insert_many": [Shape(lambda s: s.dialogs.insert_many([{"id": "x", "tenant_id": "t"}]))],
    "dialogs.get_by_id": [Shape(lambda s: s.dialogs.get_by_id("x", tenant_id="t"))],
    "dialogs.get_by_ids": [Shape(lambda s: s.dialogs.get_by_ids(["x"], tenant_id="t"))],
    "dialogs.query": [Shape(lambda s: s.dialogs.query(tenant_id="other7"))],
    "dialogs.iter": [Shape(lambda s: list(s.dialogs.iter(tenant_id="other7")))],
    "dialogs.update_by_id": [Shape(lambda s: s.dialogs.update_by_id("x", {}, tenant_id="t"))],
    "dialogs.delete_by_id": [
        Shape(lambda s: s.dialogs.delete_by_id("x", tenant_id="t")),
        Shape(lambda s: s.dialogs.delete_by_id("x", tenant_id="t"), [[]]),
    ],
    "dialogs.delete_by_ids": [
        Shape(lambda s: s.dialogs.delete_by_ids(["x"], tenant_id="t")),
        Shape(lambda s: s.dialogs.delete_by_ids(["x"], tenant_id="t"), [[]]),
    ],
    "conversations.save": [Shape(lambda s: s.conversations.save(dialog_id="x", tenant_id="t"))],
    "conversations.insert_many": [
        Shape(lambda s: s.dialogs.get_by_ids(["x"], tenant_id="t")),
        Shape(lambda s: s.conversations.insert_many([A_NEW_ONE], tenant_id="owner"), [[A_DIALOG], [], [], []]),
    ],  # the rest of it is COPY
    "conversations.get_by_id": [Shape(lambda s: s.conversations.get_by_id("x", tenant_id="t"))],
    "conversations.get_by_ids": [Shape(lambda s: s.conversations.get_by_ids(["c7"], tenant_id="owner"))],
    "conversations.get_or_none": [Shape(lambda s: s.conversations.get_or_none(id="x", dialog_id="d", tenant_id="t"))],
    "conversations.get_messages": [
        Shape(messages(), shows=ENTRIES, sorts=False),
        Shape(messages(last=20, include_reference=True), shows=ENTRIES, sorts=False),
        Shape(messages(before=100), shows=ENTRIES, sorts=False),
        Shape(messages(after=100), shows=ENTRIES, sorts=False),
    ],
    "conversations.get_references": [
        Shape(lambda s: s.conversations.get_references("x", tenant_id="t", last=20), shows=ENTRIES, sorts=False)
    ],
    "conversations.get_dialog_ids": [Shape(lambda s: s.conversations.get_dialog_ids(["c7"], tenant_id="owner"))],
    "conversations.query": [
        Shape(
            lambda s: s.conversations.query(tenant_id="owner", dialog_id="d1", limit=30), shows=BY_CREATION, sorts=False
        ),
        Shape(lambda s: s.conversations.query(tenant_id="owner", dialog_id="d1", user_id="u7"), shows=OF_THE_DIALOG),
        Shape(lambda s: s.conversations.query(tenant_id="owner", user_id="u7", limit=30), shows=BY_USER, sorts=False),
        Shape(lambda s: s.conversations.query(tenant_id="owner", dialog_id="d1", id="c7"), shows="conversation_pkey"),
    ],
    "conversations.get_list": [
        Shape(page(), shows=BY_CREATION, sorts=False),
        Shape(page(desc=False), shows=BY_CREATION, sorts=False),
        Shape(page(orderby="create_time", page_number=20), shows=BY_CREATION, sorts=False),
        Shape(page(orderby="update_date"), shows=BY_CHANGE, sorts=False),
        Shape(page(orderby="update_time", desc=False), shows=BY_CHANGE, sorts=False),
        Shape(page(from_date="2024-01-02", to_date="2024-01-02"), shows=BY_CREATION, sorts=False),
        Shape(page(from_date="2024-01-02", date_field="update_date"), shows=OF_THE_DIALOG),
        Shape(page(id="c7"), shows="conversation_pkey"),
        Shape(page(user_id="u7"), shows=OF_THE_DIALOG),
        Shape(lambda s: s.conversations.get_list("large", "owner", user_id="u7"), shows=BY_USER),
        Shape(page(exp_user_id="e70"), shows=BY_EXPLORER),
        Shape(page(orderby="name"), shows=OF_THE_DIALOG, sorts=True),
        Shape(page(orderby="tokens", desc=False), shows=OF_THE_DIALOG, sorts=True),
        Shape(page(keywords="number c777"), shows=SEARCH[0]),
        Shape(page(keywords="name 777"), shows=SEARCH[1]),
        Shape(page(keywords="检索"), shows=SEARCH[0]),
        Shape(page(keywords="检索增强 2"), shows=SEARCH[0]),
        Shape(page(keywords="50"), shows=SEARCH[0]),
        Shape(page(keywords="好 好"), shows=SEARCH[0]),
        *SCANNED,
    ],
    "conversations.list_after": [
        *walked(True),
        *walked(False),
        Shape(lambda s: s.conversations.list_after("d1", "owner", keywords="检索"), shows=SEARCH[0]),
    ],
    "conversations.search": [
        Shape(lambda s: s.conversations.search("检索增强 2", tenant_id="owner"), shows=SEARCH[0]),
        Shape(lambda s: s.conversations.search("name 777", tenant_id="owner"), shows=SEARCH[1]),
        # What the walk for a common keyword reads, in order.
        Shape(lambda s: s.conversations.search("检", tenant_id="owner"), shows=BY_DAY),
        Shape(lambda s: s.conversations.search("检", tenant_id="owner", dialog_ids=["d1"]), shows=BY_CREATION),
        Shape(lambda s: s.conversations.search("检", tenant_id="owner", user_id="u7"), shows=BY_USER),
        Shape(lambda s: s.conversations.search("检", tenant_id="owner", dialog_ids=["d1", "d2"])),
        Shape(lambda s: s.conversations.search("检", tenant_id="owner", from_date="2024-01-05", to_date="2024-01-06")),
    ],
    "conversations.get_names": [Shape(lambda s: s.conversations.get_names("d1", "e70", tenant_id="owner"))],
    "conversations.iter": [
        Shape(lambda s: list(s.conversations.iter(tenant_id="owner", batch_size=30)), shows=BY_CREATION),
        Shape(lambda s: list(s.conversations.iter(tenant_id="other7", batch_size=30)), shows="dialog_tenant_id_id_idx"),
        Shape(
            lambda s: list(s.conversations.iter(tenant_id="owner", dialog_id="large", batch_size=30)),
            shows=BY_CREATION,
        ),
        Shape(
            lambda s: list(s.conversations.iter(tenant_id="owner", batch_size=1)),
            [[a_conversation()]],
            rf"(?s)id >= 'd1'.*{BY_CREATION}.*Index Cond: .*ROW\(create_date, id\) > ROW",
        ),
    ],
    "conversations.iter_ids": [
        Shape(
            lambda s: list(s.conversations.iter_ids(tenant_id="owner", batch_size=30)),
            shows=f"Index Only Scan Backward using {BY_CREATION}",
        ),
        Shape(
            lambda s: list(s.conversations.iter_ids(tenant_id="owner", dialog_id="large", batch_size=30)),
            shows=f"Index Only Scan Backward using {BY_CREATION}",
        ),
        Shape(
            lambda s: list(s.conversations.iter_ids(tenant_id="owner", batch_size=1)),
            [[ConversationKey(id="c7", dialog_id="d1", create_date=datetime(2024, 1, 10, tzinfo=UTC))]],
            rf"(?s)id >= 'd1'.*Index Only Scan Backward using {BY_CREATION}.*Index Cond: .*ROW\(create_date, id\) > ROW",
        ),
    ],
    "conversations.export": [
        Shape(lambda s: list(s.conversations.export(tenant_id="owner", batch_size=30)), shows=BY_CREATION)
    ],
    "conversations.count": [
        Shape(lambda s: s.conversations.count(tenant_id="other7"), shows="Index Only Scan", sorts=False),
        Shape(
            lambda s: s.conversations.count(tenant_id="owner", dialog_id="d1"),
            shows=r"Index Only Scan using \w+dialog_id",
            sorts=False,
        ),
        Shape(lambda s: s.conversations.count(), scans=True),
    ],
    "conversations.stats": [
        Shape(lambda s: s.conversations.stats("owner", "2024-01-01", "2024-01-31")),
        Shape(lambda s: s.conversations.stats("owner", "2020-01-01", "2029-12-31")),
        Shape(lambda s: s.conversations.stats("owner", "2024-01-01", "2024-01-31", NO_SOURCE), shows="Index Only Scan"),
    ],
    "conversations.append_message": [
        Shape(lambda s: s.conversations.append_message("x", {"message": [1], "reference": [1]}, tenant_id="t"))
    ],
    "conversations.append_round": [
        Shape(lambda s: s.conversations.append_round("x", [1], reference=[1], tenant_id="t")),
        Shape(lambda s: s.conversations.append_round("x", [1], reference=[1], tenant_id="t", turn_id="x")),
        Shape(lambda s: s.conversations.append_round("x", [1], tenant_id="t", turn_id="x"), [[NOT_APPENDED]]),
    ],
    "conversations.update_by_id": [
        Shape(lambda s: s.conversations.update_by_id("x", {"name": "n"}, tenant_id="t")),
        Shape(lambda s: s.conversations.update_by_id("x", {"message": [1]}, tenant_id="t")),
    ],
    "conversations.update_many_by_id": [
        Shape(lambda s: s.conversations.update_many_by_id([{"id": "c7"}], tenant_id="owner"))
    ],
    "conversations.delete_by_id": [Shape(lambda s: s.conversations.delete_by_id("x", tenant_id="t"))],
    "conversations.delete_by_ids": [
        Shape(lambda s: s.conversations.delete_by_ids(["c7"], "d1", tenant_id="owner"), shows="conversation_pkey")
    ],
    "conversations.delete_by_dialog_ids": [
        Shape(
            lambda s: s.conversations.delete_by_dialog_ids(["other7", "other107"], tenant_id="other7"),
            shows=OF_THE_DIALOG,
        ),
        Shape(
            lambda s: s.conversations.delete_by_dialog_ids(["d1"], tenant_id="owner", batch_size=30),
            shows=f"(?s){OF_THE_DIALOG}.*conversation_pkey",
        ),
    ],
    "conversations.delete_not_updated_since": [
        Shape(
            lambda s: s.conversations.delete_not_updated_since("2024-01-02", tenant_id="owner", batch_size=30),
            shows=f"(?s)dialog_.*{BY_CHANGE}",
        ),
        Shape(
            lambda s: s.conversations.delete_not_updated_since("2024-01-02", tenant_id="other7"),
            shows="dialog_tenant_id_id_idx",
        ),
        Shape(
            lambda s: s.conversations.delete_not_updated_since("2024-01-02", tenant_id="owner", dialog_id="d1"),
            shows=BY_CHANGE,
        ),
    ],
    "tokens.issue": [
        Shape(lambda s: s.tokens.issue(tenant_id="t")),
        Shape(lambda s: s.tokens.issue(tenant_id="owner7"), [[]], "api_token_token_digest_key"),
        Shape(lambda s: s.tokens.issue(tenant_id="owner", dialog_id="d1"), [[], []], r"dialog_\w+"),
    ],
    "tokens.save": [
        Shape(lambda s: s.tokens.save(tenant_id="t", token="x" * 16)),
        Shape(lambda s: s.tokens.save(tenant_id="owner", token="x" * 16, dialog_id="d1"), [[]], r"dialog_\w+"),
    ],
    "tokens.authenticate": [
        Shape(lambda s: s.tokens.authenticate("x")),
        Shape(lambda s: s.tokens.authenticate("x"), [[a_token()]]),
    ],
    "tokens.authenticate_beta": [
        Shape(lambda s: s.tokens.authenticate_beta("x")),
        Shape(lambda s: s.tokens.authenticate_beta("x"), [[a_token()]]),
    ],
    "tokens.used": [Shape(lambda s: s.tokens.used("x"))],
    "tokens.query": [
        Shape(lambda s: s.tokens.query(tenant_id="owner7"), shows="api_token_tenant_id_dialog_id_idx"),
        Shape(lambda s: s.tokens.query(tenant_id="owner", dialog_id="d1"), shows="api_token_tenant_id_dialog_id_idx"),
        Shape(lambda s: s.tokens.query(token="x"), shows="api_token_token_digest_key"),
        Shape(lambda s: s.tokens.query(beta="plan7", tenant_id="owner7"), shows="api_token_beta_key"),
    ],
    "tokens.update_by_id": [
        Shape(lambda s: s.tokens.update_by_id(1, {}, tenant_id="t")),
        Shape(lambda s: s.tokens.update_by_id(1, {"dialog_id": "d1"}, tenant_id="owner"), [[]], r"dialog_\w+"),
    ],
    "tokens.fill_beta": [Shape(lambda s: s.tokens.fill_beta(1, tenant_id="t"))],
    "tokens.rotate": [
        Shape(lambda s: s.tokens.rotate(1, tenant_id="t")),
        Shape(lambda s: s.tokens.rotate(1, tenant_id="owner7"), [[]], "api_token_token_digest_key"),
    ],
    "tokens.expire": [Shape(lambda s: s.tokens.expire(1, tenant_id="t", expire_date=None))],
    "tokens.revoke": [Shape(lambda s: s.tokens.revoke(1, tenant_id="t"))],
    "tokens.delete": [Shape(lambda s: s.tokens.delete(tenant_id="t", token="x"))],
    "tokens.delete_by_id": [Shape(lambda s: s.tokens.delete_by_id(1, tenant_id="t"))],
    "tokens.delete_by_tenant_id": [Shape(lambda s: s.tokens.delete_by_tenant_id("x"))],
    "tenants.delete_by_id": [
        Shape(lambda s: s.tenants.delete_by_id("other7")),  # the locks of a transaction
        Shape(lambda s: s.tenants.delete_by_id("other7"), [[(3,)]]),
        Shape(lambda s: s.tenants.delete_by_id("other7"), [[(3,)], []]),  # of the tokens
        # Of half of all conversations the first are found by a scan.
        Shape(lambda s: s.tenants.delete_by_id("owner", batch_size=30), [[(3,)], []], "conversation_pkey", scans=True),
        Shape(lambda s: s.tenants.delete_by_id("other7"), [[(3,)], [], [DeletedBatch(deleted=0, found=0)]]),
    ],
}

# The statements that find a tenant, and walk over all of them; and those of an import.
FINDING: Mapping[str, Shape] = {
    "dialog.find": Shape(lambda s: s.dialogs.get_by_id("x")),
    "conversation.find": Shape(lambda s: s.conversations.get_by_id("x")),
    "dialog.iter_tenants": Shape(lambda s: list(s.dialogs.iter())),
    "conversation.get_import_dates": Shape(lambda s: get_import_dates(s, ["c7"], "owner")),
    "conversation.set_import_date": Shape(lambda s: set_import_date(s, "c7", "owner", 1, A_DAY, A_DAY)),
    "dialog.reimport": Shape(lambda s: reimport_dialog(s, A_DIALOG, "n", A_DAY)),
    "api_token.reimport": Shape(
        lambda s: reimport_token(s, A_TOKEN, {"dialog_id": "d", "source": None, "beta": None}, A_DAY)
    ),
}

# Of the tenant "big", which has 100,000 conversations and 20,000 dialogs, some under the ids that others have too.
SHARED: Sequence[Cost] = (
    Cost(
        "conversations.delete_by_ids",
        lambda s: s.conversations.delete_by_ids(["c1", "c2", "c3", "c4", "c5"], tenant_id="big"),
        100,
    ),
    Cost(
        "conversations.query, of a dialog",
        lambda s: s.conversations.query(tenant_id="big", dialog_id="support", id="c2", limit=1),
        20,
    ),
    Cost(
        "conversations.query, of a user",
        lambda s: s.conversations.query(tenant_id="big", user_id="u", id="c2", limit=1),
        20,
    ),
    Cost("conversations.get_list", lambda s: s.conversations.get_list("support", "big", id="c2"), 40),
    Cost("dialogs.delete_by_ids", lambda s: s.dialogs.delete_by_ids(["empty", "empty2"], tenant_id="big"), 40),
    Cost("dialogs.iter", lambda s: list(s.dialogs.iter(tenant_id="big", batch_size=30)), 20),
    Cost("dialogs.iter, of one", lambda s: list(s.dialogs.iter(tenant_id="big", id="support")), 10),
    Cost("dialogs.query", lambda s: s.dialogs.query(tenant_id="big", limit=30), 250),
    Cost(
        "tenants.delete_by_id, the dialogs",
        lambda s: s.tenants.delete_by_id("big", batch_size=30),
        400,
        [[(3,)], [], [DeletedBatch(deleted=0, found=0)]],
    ),
)
