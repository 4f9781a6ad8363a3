"""`conversations.insert_many`: any number of conversations is loaded by COPY, all of them or none."""

from __future__ import annotations

import copy
import tracemalloc
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversation_store import (
    NOT_READ,
    AlreadyExists,
    AmbiguousId,
    Conversation,
    ConversationStore,
    DialogNotFound,
    InvalidArgument,
    InvalidArgumentType,
    _batches,
)
from support.both_apis import AsyncApi, SyncApi
from support.stored import FULL, JSON_VALUES, as_stored


def undated(conversation: Any) -> dict[str, Any]:
    """Return all fields but the id and the dates."""
    dates = ("create_date", "create_time", "update_date", "update_time")
    return {key: value for key, value in conversation.to_dict().items() if key not in ("id", *dates)}


def test_any_mix_of_fields_is_loaded_as_save_stores_it(store: Any, dialog: str) -> None:
    rows: list[dict[str, Any]] = [{}, FULL, *({key: value} for key, value in FULL.items())]
    rows += [{"message": value, "reference": value, "dsl": value} for value in JSON_VALUES]
    ids = [f"{dialog}-{number:02}" for number in range(len(rows))]
    assert store.conversations.insert_many(
        [{"id": id, "dialog_id": dialog, **row} for id, row in zip(ids, rows, strict=True)]
    ) == len(rows)
    for loaded, row in zip(store.conversations.get_by_ids(ids), rows, strict=True):
        saved = store.conversations.save(dialog_id=dialog, **row)
        assert undated(loaded) == undated(saved)


@pytest.mark.parametrize(
    ("given", "create_date", "update_date"),
    [
        ({}, None, None),
        ({"create_date": "2024-01-01"}, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        ({"update_date": "2024-01-02"}, None, datetime(2024, 1, 2, tzinfo=UTC)),
        (
            {"create_date": "2024-01-01", "update_date": "2024-01-02"},
            datetime(2024, 1, 1, tzinfo=UTC),
            datetime(2024, 1, 2, tzinfo=UTC),
        ),
    ],
)
def test_a_missing_create_date_is_now_and_a_missing_update_date_is_the_create_date(
    store: Any, dialog: str, given: dict[str, str], create_date: datetime | None, update_date: datetime | None
) -> None:
    now = datetime.now(UTC)
    store.conversations.insert_many([{"dialog_id": dialog, **given}])
    (loaded,) = store.conversations.query(dialog_id=dialog)
    for date, wanted in ((loaded.create_date, create_date), (loaded.update_date, update_date)):
        assert abs(date - (wanted or now)) < (timedelta(minutes=5) if wanted is None else timedelta.resolution)


def test_the_given_mappings_are_not_changed(store: Any, dialog: str) -> None:
    given = [{"dialog_id": dialog, **copy.deepcopy(FULL)}]
    store.conversations.insert_many(given)
    assert given == [{"dialog_id": dialog, **FULL}]


def test_loaded_messages_are_found_by_keywords(store: Any, dialog: str, tenant: str) -> None:
    store.conversations.insert_many([{"dialog_id": dialog, "message": [{"content": "检索增强"}]}])
    assert store.conversations.get_list(dialog, tenant, keywords="检索").count == 1


def test_a_loaded_conversation_can_be_appended_to(store: Any, dialog: str, tenant: str) -> None:
    id = uuid.uuid4().hex
    store.conversations.insert_many([{"id": id, "dialog_id": dialog, "message": [{"content": "检索"}]}])
    assert store.conversations.append_round(id, [{"content": "再见"}]) == 1
    assert store.conversations.get_list(dialog, tenant, keywords="再见").count == 1
    assert store.conversations.append_message(id, {"message": ["x"]}) == 1
    assert store.conversations.get_by_id(id).message == ["x"]


def test_rows_are_read_from_the_iterable_as_they_are_sent(
    store: Any, dialog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_batches, "BATCH", 10)
    read = 0
    progress: list[tuple[int, int]] = []

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal read
        for _ in range(25):
            read += 1
            yield {"dialog_id": dialog}

    assert store.conversations.insert_many(rows(), on_progress=lambda done: progress.append((done, read))) == 25
    assert progress == [(10, 10), (20, 20), (25, 25)]


def test_large_conversations_make_smaller_batches(store: Any, dialog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_batches, "_BATCH_CHARACTERS", 1000)
    progress: list[int] = []
    large = [{"dialog_id": dialog, field: "x" * 600} for field in ("message", "reference", "dsl", "errors", "name")]
    store.conversations.insert_many(large, on_progress=progress.append)
    assert progress == [2, 4, 5]


def test_an_empty_list_loads_nothing_and_on_progress_is_not_called(store: Any) -> None:
    progress: list[int] = []
    assert store.conversations.insert_many([], on_progress=progress.append) == 0
    assert progress == []


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"tokens": "1"}, InvalidArgumentType, r"^conversations\[3\]\['tokens'\] must be an int"),
        ({"message": ["a\0"]}, InvalidArgument, r"^conversations\[3\]\['message'\]\[0\] .*U\+0000"),
        ({"nothing": 1}, InvalidArgument, r"^conversations\[3\] must have keys .*unknown: 'nothing'"),
        ({"dialog_id": None}, InvalidArgument, r"^conversations\[3\]\['dialog_id'\] must be given"),
        ({"dsl": NOT_READ}, InvalidArgument, r"^conversations\[3\]\['dsl'\] was not read"),
        ({"revision": -1}, InvalidArgument, r"^conversations\[3\]\['revision'\] must be at least 0"),
        ({"create_date": "now"}, InvalidArgument, r"^conversations\[3\]\['create_date'\]"),
        ({"create_time": -(10**15)}, InvalidArgument, r"^conversations\[3\]\['create_time'\]"),
        ("text", InvalidArgumentType, r"^conversations\[3\] must be a mapping"),
        ({"dialog_id": "nowhere"}, DialogNotFound, r"^conversations\[3\]: there is no dialog 'nowhere'$"),
        ({"tenant_id": "foreign"}, DialogNotFound, r"^conversations\[3\]: .* tenant 'foreign'"),
        ({"id": "there"}, AlreadyExists, "exists already: 'there-.*'$"),
        ({"id": "twice"}, AlreadyExists, "a conversation with this id"),
    ],
)
def test_one_wrong_row_in_a_later_batch_raises_and_nothing_is_loaded(
    store: Any,
    dialog: str,
    monkeypatch: pytest.MonkeyPatch,
    row: Any,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(_batches, "BATCH", 2)
    there = store.conversations.save(id=f"there-{dialog}", dialog_id=dialog)
    if isinstance(row, dict):
        row = {"dialog_id": dialog, **row}
        if "id" in row:
            row["id"] += f"-{dialog}"
    with pytest.raises(error, match=message):
        store.conversations.insert_many(
            [{"dialog_id": dialog}, {"dialog_id": dialog, "id": f"twice-{dialog}"}, {"dialog_id": dialog}, row]
        )
    assert store.conversations.query(dialog_id=dialog) == [there]


def test_an_id_twice_in_one_batch_raises_already_exists(store: Any, dialog: str) -> None:
    with pytest.raises(AlreadyExists, match="a conversation with this id"):
        store.conversations.insert_many([{"dialog_id": dialog, "id": dialog}] * 2)
    assert store.conversations.count(dialog_id=dialog) == 0


def test_an_error_in_on_progress_is_raised_and_nothing_is_loaded(
    store: Any, dialog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_batches, "BATCH", 2)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.conversations.insert_many([{"dialog_id": dialog}] * 3, on_progress=stop)
    assert store.conversations.count(dialog_id=dialog) == 0


def test_the_tenant_of_the_dialog_may_be_given(store: Any, dialog: str, tenant: str) -> None:
    assert store.conversations.insert_many([{"dialog_id": dialog, "tenant_id": tenant}]) == 1


def test_a_rolled_back_transaction_loads_nothing(store: Any, dialog: str) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.conversations.insert_many([{"dialog_id": dialog}] * 3)
        raise ZeroDivisionError
    assert store.conversations.count(dialog_id=dialog) == 0


def test_a_load_that_fails_inside_a_transaction_keeps_an_earlier_one(store: Any, dialog: str) -> None:
    with store.transaction() as tx:
        tx.conversations.insert_many([{"dialog_id": dialog}] * 3)
        with pytest.raises(DialogNotFound):
            tx.conversations.insert_many([{"dialog_id": dialog}, {"dialog_id": "nowhere"}])
    assert store.conversations.count(dialog_id=dialog) == 3


def test_on_statement_is_called_for_each_part_of_a_load(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    called: list[tuple[str, int]] = []
    with api.store(db, on_statement=lambda name, _, rows, __: called.append((name, rows))) as store:
        store.conversations.insert_many(
            [{"dialog_id": dialog, "message": [1, 2]}, {"dialog_id": dialog, "reference": [3]}]
        )
    assert called == [
        ("dialog.find", 1),
        ("conversation.insert_many", 2),
        ("conversation_message.insert_many", 2),
        ("conversation_reference.insert_many", 1),
        ("conversation.enlist", 0),
    ]


def test_memory_does_not_grow_with_the_number_of_conversations(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_batches, "BATCH", 100)
    dialog = uuid.uuid4().hex
    with ConversationStore(db) as store:
        store.dialogs.save(id=dialog, tenant_id=dialog)

        def load(number: int) -> int:
            tracemalloc.start()
            store.conversations.insert_many({"dialog_id": dialog, "message": ["x" * 2_000]} for _ in range(number))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

        load(200)  # what is loaded once, at the first call
        few, many = load(200), load(1_000)
    assert many < 1.5 * few


# -- revisions and tenants --------------------------------------------------------------------------


def test_a_revision_is_stored_as_given_and_incremented_by_the_next_change(store: Any, dialog: str) -> None:
    store.conversations.insert_many([{"dialog_id": dialog, "revision": 2**40}])
    (loaded,) = store.conversations.query(dialog_id=dialog)
    assert loaded.revision == 2**40
    store.conversations.append_round(loaded.id, [])
    assert store.conversations.get_by_id(loaded.id).revision == 2**40 + 1


def test_rows_of_two_tenants_with_equal_ids_are_loaded_each_for_its_own(
    store: Any, equal_ids: list[Conversation]
) -> None:
    for saved in equal_ids:
        store.conversations.delete_by_id(saved.id, tenant_id=saved.tenant_id)
    assert store.conversations.insert_many(saved.to_dict() for saved in equal_ids) == 2
    assert as_stored(store, equal_ids) == equal_ids


def test_a_row_without_a_tenant_gets_the_one_of_its_dialog(store: Any, in_two_tenants: list[Conversation]) -> None:
    assert store.conversations.insert_many([{"dialog_id": saved.dialog_id} for saved in in_two_tenants]) == 3
    second, first, _ = in_two_tenants
    assert [store.conversations.count(tenant_id=saved.tenant_id) for saved in (first, second)] == [2, 4]


def test_a_row_without_a_tenant_in_a_dialog_that_two_tenants_have_raises_and_nothing_is_loaded(
    store: Any, dialog: str, equal_ids: list[Conversation]
) -> None:
    two = equal_ids[1]
    rows = [{"dialog_id": dialog}, {"dialog_id": two.dialog_id, "tenant_id": two.tenant_id}]
    with pytest.raises(AmbiguousId, match=rf"^conversations\[2\]: two tenants have a dialog '{two.dialog_id}'"):
        store.conversations.insert_many([*rows, {"dialog_id": two.dialog_id}])
    assert store.conversations.count(dialog_id=dialog) == 0
    assert [store.conversations.count(tenant_id=c.tenant_id) for c in equal_ids] == [1, 1]


def test_a_bound_store_loads_rows_of_its_tenant(store: Any, equal_ids: list[Conversation]) -> None:
    two = equal_ids[1]
    rows = [{"dialog_id": two.dialog_id}, {"dialog_id": two.dialog_id, "tenant_id": two.tenant_id}]
    assert store.for_tenant(two.tenant_id).conversations.insert_many(rows) == 2
    assert [store.conversations.count(tenant_id=c.tenant_id) for c in equal_ids] == [1, 3]


def test_a_row_of_another_tenant_than_the_given_one_raises_and_nothing_is_loaded(
    store: Any, dialog: str, tenant: str, equal_ids: list[Conversation]
) -> None:
    rows = [{"dialog_id": dialog}, {"dialog_id": equal_ids[0].dialog_id, "tenant_id": equal_ids[0].tenant_id}]
    with pytest.raises(InvalidArgument, match=rf"^conversations\[1\]\['tenant_id'\] must be '{tenant}'"):
        store.conversations.insert_many(rows, tenant_id=tenant)
    with pytest.raises(DialogNotFound, match=rf"^conversations\[0\]: there is no dialog .* of the tenant '{tenant}'$"):
        store.for_tenant(tenant).conversations.insert_many([{"dialog_id": equal_ids[0].dialog_id}])
    assert store.conversations.count(tenant_id=tenant) == 0


def test_a_known_tenant_needs_no_statement_that_finds_it(statements_of: Any, dialog: str, tenant: str) -> None:
    rows = [{"dialog_id": dialog}]
    assert statements_of(lambda s: s.conversations.insert_many(rows))[0] == "dialog.find"
    assert statements_of(lambda s: s.conversations.insert_many(rows, tenant_id=tenant))[0] == "dialog.get_by_ids"
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.insert_many(rows))[0] == "dialog.get_by_ids"
