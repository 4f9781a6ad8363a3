"""`import_jsonl` and `import_jsonl_async`: what is imported, what is rejected, and what a failed import leaves."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Any

import pytest
from pytest_postgresql.executors import NoopExecutor

from conversation_store import InvalidArgument, InvalidArgumentType
from conversation_store.jsonl import Imported, RejectedLine
from support.both_apis import AsyncApi, SyncApi
from support.jsonl import GOOD, REJECTED, everything, fill_one, import_lines
from support.server import Server
from support.server import database as new_database

Api = SyncApi | AsyncApi


@pytest.fixture(scope="module")
def unchanged_database(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a database with the dialog d and the conversation old to the tests that import nothing."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        fill_one(conninfo)
        yield conninfo


@pytest.fixture(scope="module")
def unchanged(api: Api, unchanged_database: str) -> Generator[Any]:
    """Give a store on the database in which nothing is imported."""
    with api.store(unchanged_database) as store:
        yield store


@pytest.fixture
def filled(database: str) -> str:
    """Give a database of one test with the dialog d and the conversation old."""
    fill_one(database)
    return database


@pytest.fixture
def store(api: Api, filled: str) -> Generator[Any]:
    """Give a store on the database of one test."""
    with api.store(filled) as store:
        yield store


# -- rejected lines -----------------------------------------------------------------------


@pytest.mark.parametrize(("line", "reason"), REJECTED.values(), ids=REJECTED.keys())
def test_a_rejected_line_stops_the_import_and_nothing_is_imported(
    api: Api, unchanged: Any, unchanged_database: str, line: bytes, reason: str
) -> None:
    before = everything(unchanged_database)
    with pytest.raises(InvalidArgument) as caught:
        import_lines(api, unchanged, GOOD + line + b"\n" + b'{"dialog_id": "e"}\n')
    assert str(caught.value).startswith("line 4: ")
    assert reason in str(caught.value)
    assert everything(unchanged_database) == before


def test_rejected_lines_are_reported_in_their_order_and_the_others_are_imported(api: Api, store: Any) -> None:
    bad = [line for line, _ in REJECTED.values()]
    lines = GOOD + b"\r\n".join(bad) + b'\n   \n{"dialog_id": "e", "id": "last", "message": ["x"]}'
    rejected: list[RejectedLine] = []
    done = import_lines(api, store, lines, on_rejected=rejected.append)
    assert done == Imported(dialogs=1, conversations=2, skipped=0, rejected=len(bad))
    assert [line.number for line in rejected] == list(range(4, 4 + len(bad)))
    assert b"\n".join(line.line for line in rejected) == b"\r\n".join(bad)  # to the byte
    for line, (_, reason) in zip(rejected, REJECTED.values(), strict=True):
        assert reason in line.reason
    assert store.conversations.get_dialog_ids(["old", "new", "last"]) == {"old": "d", "new": "d", "last": "e"}
    assert store.conversations.count() == 3
    # What exists is skipped or rejected when the same file is imported again.
    done = import_lines(api, store, lines, on_rejected=rejected.append)
    assert done == Imported(dialogs=0, conversations=0, skipped=1, rejected=len(bad) + 2)
    assert store.conversations.count() == 3


def test_a_rejected_line_of_a_later_batch_is_reported_with_its_number_in_the_file(api: Api, store: Any) -> None:
    lines = [b'{"dialog_id": "d", "id": "%d"}\n' % number for number in range(1200)]
    lines[1100] = lines[3]
    rejected: list[RejectedLine] = []
    read: list[int] = []
    done = import_lines(api, store, b"".join(lines), on_rejected=rejected.append, on_progress=read.append)
    assert done == Imported(conversations=1199, rejected=1)
    assert len(read) > 1
    assert sum(read) == sum(map(len, lines))
    assert rejected == [RejectedLine(1101, "the conversation '3' exists already", lines[3].rstrip(b"\n"))]
    assert store.conversations.count() == 1200


def test_an_import_that_on_rejected_interrupts_leaves_nothing(api: Api, store: Any) -> None:
    def stop(line: RejectedLine) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_lines(api, store, GOOD + b"bad\n", on_rejected=stop)
    assert store.conversations.count() == 1


def test_an_import_in_a_transaction_is_undone_with_it(api: Api, store: Any) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert import_lines(api, tx, GOOD) == Imported(dialogs=1, conversations=1)
        assert tx.conversations.count() == 2
        raise ZeroDivisionError
    assert store.conversations.count() == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"tenant_id": ""}, InvalidArgument),
        ({"tenant_id": ["t"]}, InvalidArgumentType),
        ({"on_rejected": "text"}, InvalidArgumentType),
        ({"on_progress": "text"}, InvalidArgumentType),
    ],
)
def test_a_wrong_argument_raises_an_error_that_names_it(
    api: Api, unchanged: Any, arguments: dict[str, Any], error: type[Exception]
) -> None:
    (name,) = arguments
    with pytest.raises(error, match=f"^{name} must "):
        import_lines(api, unchanged, b"", **arguments)


# -- dialogs and tenants ------------------------------------------------------------------


def test_missing_dialogs_are_created_for_the_tenant_of_the_import(api: Api, store: Any) -> None:
    lines = b'{"dialog_id": "x", "id": "1"}\n{"dialog_id": "y", "id": "2", "tenant_id": "n"}\n'
    assert import_lines(api, store, lines, tenant_id="n") == Imported(dialogs=2, conversations=2)
    assert [(d.id, d.tenant_id) for d in store.dialogs.iter()] == [("x", "n"), ("y", "n"), ("d", "t")]
    assert store.conversations.get_dialog_ids(["1", "2"]) == {"1": "x", "2": "y"}


def test_a_dialog_whose_id_another_tenant_has_is_created_for_the_tenant_of_the_import(api: Api, store: Any) -> None:
    before = store.dialogs.get_by_id("d")
    line = b'{"dialog_id": "d", "id": "old"}\n'
    assert import_lines(api, store, line, tenant_id="n") == Imported(dialogs=1, conversations=1)
    assert store.conversations.get_dialog_ids(["old"], tenant_id="n") == {"old": "d"}
    assert store.dialogs.get_by_id("d", tenant_id="t") == before
    # Both tenants have the dialog now: a line is still that of the tenant of the import.
    assert import_lines(api, store, b'{"dialog_id": "d", "id": "1"}', tenant_id="n") == Imported(conversations=1)
    assert [c.tenant_id for c in store.conversations.get_by_ids(["1"])] == ["n"]


OF_OTHERS = {
    "a conversation": (
        b'{"dialog_id": "z", "id": "3", "tenant_id": "victim"}',
        "the conversation '3' belongs to the tenant 'victim'",
    ),
    "a dialog": (b'{"dialog": {"id": "w", "tenant_id": "victim"}}', "the dialog 'w' belongs to the tenant 'victim'"),
}


@pytest.mark.parametrize(("line", "reason"), OF_OTHERS.values(), ids=OF_OTHERS.keys())
def test_lines_of_other_tenants_are_rejected(
    api: Api, unchanged: Any, unchanged_database: str, line: bytes, reason: str
) -> None:
    before = everything(unchanged_database)
    with pytest.raises(InvalidArgument) as caught:
        import_lines(api, unchanged, line, tenant_id="n")
    assert str(caught.value) == f"line 1: {reason}"
    assert everything(unchanged_database) == before


def test_a_rejected_line_creates_no_dialog_and_a_created_dialog_gets_the_name_of_a_later_line(
    api: Api, store: Any
) -> None:
    lines = b'{"dialog_id": "new", "id": "old", "tenant_id": "t"}\n'
    lines += b'{"dialog_id": "late"}\n' * 700
    lines += b'{"dialog": {"id": "late", "tenant_id": "t", "name": "Late"}}\n'
    rejected: list[RejectedLine] = []
    done = import_lines(api, store, lines, tenant_id="t", on_rejected=rejected.append)
    assert done == Imported(dialogs=1, conversations=700, skipped=0, rejected=1)
    assert [line.number for line in rejected] == [1]
    assert [(d.id, d.name) for d in store.dialogs.iter()] == [("d", None), ("late", "Late")]


def test_a_dialog_must_stand_before_its_conversations_even_in_one_batch(api: Api, store: Any) -> None:
    dialog, conversation = b'{"dialog": {"id": "e", "tenant_id": "t"}}\n', b'{"dialog_id": "e", "id": "1"}\n'
    with pytest.raises(InvalidArgument, match=r"^line 1: there is no dialog 'e', here or in a line before$"):
        import_lines(api, store, conversation + dialog)
    assert import_lines(api, store, dialog + conversation) == Imported(dialogs=1, conversations=1)


# -- ids that two tenants have ------------------------------------------------------------

DIALOG_OF_U = b'{"dialog": {"id": "d", "tenant_id": "u"}}\n'
NEW = b'{"dialog_id": "d", "id": "1"}\n'
AMBIGUOUS = "two tenants have a dialog 'd', and the line has no tenant_id"


def owners(store: Any) -> list[tuple[str, str]]:
    """Return the tenant and the id of each conversation."""
    return [(conversation.tenant_id, conversation.id) for conversation in store.conversations.iter()]


def test_a_dialog_and_a_conversation_whose_ids_another_tenant_has_are_imported(api: Api, store: Any) -> None:
    before = store.conversations.get_by_id("old")
    lines = DIALOG_OF_U + b'{"dialog_id": "d", "id": "old", "tenant_id": "u"}\n'
    assert import_lines(api, store, lines) == Imported(dialogs=1, conversations=1)
    assert owners(store) == [("t", "old"), ("u", "old")]
    assert store.conversations.get_by_id("old", tenant_id="t") == before


def test_a_line_belongs_to_the_tenant_that_it_names(api: Api, store: Any) -> None:
    store.dialogs.save(id="d", tenant_id="u")
    lines = b"".join(b'{"dialog_id": "d", "id": "1", "tenant_id": "%b"}\n' % tenant for tenant in (b"u", b"t"))
    assert import_lines(api, store, lines) == Imported(conversations=2)
    assert sorted(owners(store)) == [("t", "1"), ("t", "old"), ("u", "1")]


def test_a_line_without_a_tenant_belongs_to_the_only_tenant_that_has_its_dialog(api: Api, store: Any) -> None:
    store.dialogs.save(id="x", tenant_id="u")
    lines = NEW + b'{"dialog_id": "x", "id": "1"}\n'
    assert import_lines(api, store, lines) == Imported(conversations=2)
    assert sorted(owners(store)) == [("t", "1"), ("t", "old"), ("u", "1")]


def test_a_line_without_a_tenant_whose_dialog_two_tenants_have_is_rejected(api: Api, store: Any) -> None:
    store.dialogs.save(id="d", tenant_id="u")
    store.dialogs.save(id="x", tenant_id="u")
    with pytest.raises(InvalidArgument) as caught:
        import_lines(api, store, NEW)
    assert str(caught.value) == f"line 1: {AMBIGUOUS}"
    rejected: list[RejectedLine] = []
    lines = b'{"dialog_id": "x", "id": "2"}\n' + NEW + b'{"dialog_id": "d", "id": "3", "tenant_id": "t"}\n'
    assert import_lines(api, store, lines, on_rejected=rejected.append) == Imported(conversations=2, rejected=1)
    assert rejected == [RejectedLine(2, AMBIGUOUS, NEW.rstrip(b"\n"))]
    assert sorted(owners(store)) == [("t", "3"), ("t", "old"), ("u", "2")]


@pytest.mark.parametrize("between", [b"", b"\n" * 600], ids=["in one batch", "in two batches"])
def test_a_line_without_a_tenant_after_a_dialog_of_a_second_tenant_is_rejected(
    api: Api, store: Any, between: bytes
) -> None:
    rejected: list[RejectedLine] = []
    done = import_lines(api, store, DIALOG_OF_U + between + NEW, on_rejected=rejected.append)
    assert done == Imported(dialogs=1, rejected=1)
    assert [line.reason for line in rejected] == [AMBIGUOUS]


@pytest.mark.parametrize("between", [b"", b"\n" * 600], ids=["in one batch", "in two batches"])
def test_a_line_without_a_tenant_before_a_dialog_of_a_second_tenant_belongs_to_the_first(
    api: Api, store: Any, between: bytes
) -> None:
    assert import_lines(api, store, NEW + between + DIALOG_OF_U) == Imported(dialogs=1, conversations=1)
    assert sorted(owners(store)) == [("t", "1"), ("t", "old")]


@pytest.mark.parametrize("between", [b"", b"\n" * 600], ids=["in one batch", "in two batches"])
@pytest.mark.parametrize(
    ("tenant", "reason"),
    [
        (b"", "there is no dialog 'e', here or in a line before"),
        (b', "tenant_id": "t"', "the tenant 't' has no dialog 'e', here or in a line before"),
    ],
    ids=["without a tenant", "with a tenant"],
)
def test_a_line_before_its_dialog_is_rejected(api: Api, store: Any, tenant: bytes, reason: str, between: bytes) -> None:
    dialog, conversation = b'{"dialog": {"id": "e", "tenant_id": "t"}}\n', b'{"dialog_id": "e"%b}\n' % tenant
    rejected: list[RejectedLine] = []
    done = import_lines(api, store, conversation + between + dialog, on_rejected=rejected.append)
    assert done == Imported(dialogs=1, rejected=1)
    assert [line.reason for line in rejected] == [reason]


# -- values -------------------------------------------------------------------------------


def test_a_date_with_any_offset_is_the_instant_that_it_was(api: Api, store: Any) -> None:
    lines = b'{"dialog_id": "d", "id": "1", "create_date": "2024-01-01T00:00:00+23:59"}\n'
    lines += b'{"dialog": {"id": "e", "tenant_id": "t", "create_time": 1704067200123}}\n'
    import_lines(api, store, lines)
    (conversation,) = store.conversations.get_by_ids(["1"])
    assert conversation.create_date.isoformat() == "2023-12-31T00:01:00+00:00"
    (dialog,) = store.dialogs.get_by_ids(["e"])
    assert (dialog.create_time, dialog.update_time) == (1704067200123, 1704067200123)


def test_conversations_without_an_id_get_new_ids(api: Api, store: Any) -> None:
    assert import_lines(api, store, b'{"dialog_id": "d"}\n' * 3).conversations == 3
    made = [c.id for c in store.conversations.iter() if c.id != "old"]
    assert len({uuid.UUID(id) for id in made}) == 3
