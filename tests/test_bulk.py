"""Many at once: loaded by COPY, and walked over; in both worlds."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from conversation_store import (
    AlreadyExists,
    ConversationStore,
    DialogNotFound,
    _batches,
)
from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def dialog(store: Any, tenant: str) -> Any:
    return store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


FULL: dict[str, Any] = {
    "name": "Été",
    "user_id": "u",
    "exp_user_id": "e",
    "message": [{"role": "user", "content": "检索 \\ \t\n \\. \x7f \U0001f600"}, None, 1.5, "text"],
    "reference": [{"chunks": []}],
    "dsl": {"z": 1, "a": [1.0, -0.0, 12345678901234567890]},
    "tokens": 2**62,
    "source": "web",
    "duration": 0.1,
    "round": 3,
    "thumb_up": -1,
    "errors": "a\tb\\N\n",
    "version_title": "\\N",
    "create_date": datetime(2024, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
    "update_date": datetime(2024, 1, 2, tzinfo=UTC),
}


# -- loading -----------------------------------------------------------------------------------


def test_any_mix_of_fields_is_loaded_as_it_would_be_saved(store: Any, dialog: str) -> None:
    rows: list[dict[str, Any]] = [{}, FULL, *({key: value} for key, value in FULL.items())]
    values: list[Any] = [None, "", "text", {}, [], [[]], 0, True]
    rows += [{"message": value, "reference": value, "dsl": value} for value in values]
    loaded = [{"id": f"{dialog}-{number}", "dialog_id": dialog, **row} for number, row in enumerate(rows)]
    before = json.dumps(loaded, default=str)
    assert store.conversations.insert_many(loaded) == len(rows)
    assert json.dumps(loaded, default=str) == before
    for number, row in enumerate(rows):
        saved = store.conversations.save(id=f"{dialog}-saved-{number}", dialog_id=dialog, **row)
        read = store.conversations.get_by_id(f"{dialog}-{number}")
        dated = "create_date" in row
        assert {**read.to_dict(), "id": saved.id} == {
            **saved.to_dict(),
            # What has no date is of now, and now is later.
            **({} if dated else {key: read.to_dict()[key] for key in ("create_date", "create_time")}),
            **({} if dated or "update_date" in row else {k: read.to_dict()[k] for k in ("update_date", "update_time")}),
        }
        assert abs(read.create_date - saved.create_date).total_seconds() < 300


def test_what_is_loaded_can_be_searched_and_appended_to(store: Any, dialog: str, tenant: str) -> None:
    id = uuid.uuid4().hex
    assert store.conversations.insert_many([{"id": id, "dialog_id": dialog, "message": [{"content": "检索增强"}]}]) == 1
    assert store.conversations.append_round(id, [{"content": "再见"}]) == 1
    for keyword in ("检索", "再见"):
        assert store.conversations.get_list(dialog, tenant, keywords=keyword).count == 1
    assert store.conversations.append_message(id, {"message": ["x"]}) == 1
    assert store.conversations.get_by_id(id).message == ["x"]


def test_they_are_read_as_they_are_sent_and_progress_is_told(
    store: Any, dialog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_batches, "BATCH", 10)
    asked: list[int] = []
    heard: list[tuple[int, int]] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(25):
            asked.append(number)
            yield {"dialog_id": dialog}

    assert store.conversations.insert_many(rows(), on_progress=lambda done: heard.append((done, len(asked)))) == 25
    assert heard == [(10, 10), (20, 20), (25, 25)]
    monkeypatch.setattr(_batches, "_BATCH_CHARACTERS", 1000)  # large ones make small batches
    heard.clear()
    large = [{"dialog_id": dialog, field: "x" * 600} for field in ("message", "reference", "dsl", "errors", "name")]
    assert store.conversations.insert_many(large, on_progress=lambda done: heard.append((done, 0))) == 5
    assert [done for done, _ in heard] == [2, 4, 5]


def test_none_are_loaded_of_none(store: Any) -> None:
    heard: list[int] = []
    assert store.conversations.insert_many([], on_progress=heard.append) == 0
    assert heard == []


def test_all_or_none_are_loaded(store: Any, dialog: str, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_batches, "BATCH", 2)
    there = store.conversations.save(dialog_id=dialog)
    good = [{"dialog_id": dialog} for _ in range(3)]

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    for rows, error, message in (
        ([*good, {"dialog_id": dialog, "tokens": "1"}], TypeError, r"^conversations\[3\]\['tokens'\] must be an int"),
        (
            [*good, {"dialog_id": dialog, "message": ["a\0"]}],
            ValueError,
            r"^conversations\[3\]\['message'\]\[0\] .*U\+0000",
        ),
        (
            [*good, {"dialog_id": dialog, "nothing": 1}],
            ValueError,
            r"^conversations\[3\] must have keys .*unknown: 'nothing'",
        ),
        ([*good, {}], ValueError, r"^conversations\[3\]\['dialog_id'\] must be given"),
        ([*good, {"dialog_id": dialog, "create_date": "now"}], ValueError, r"^conversations\[3\]\['create_date'\]"),
        ([*good, {"dialog_id": dialog, "create_time": -(10**15)}], ValueError, r"^conversations\[3\]\['create_time'\]"),
        ([*good, "text"], TypeError, r"^conversations\[3\] must be a mapping"),
        ([*good, {"dialog_id": "nowhere"}], DialogNotFound, r"^conversations\[3\]: there is no dialog 'nowhere'$"),
        (
            [*good, {"dialog_id": dialog, "tenant_id": "foreign"}],
            DialogNotFound,
            r"^conversations\[3\]: .* tenant 'foreign'",
        ),
        ([*good, {"dialog_id": dialog, "id": there.id}], AlreadyExists, f"exists already: '{there.id}'$"),
        ([*good, *[{"dialog_id": dialog, "id": "twice" + dialog}] * 2], AlreadyExists, "a conversation with this id"),
        ("text", TypeError, "conversations must be an iterable of mappings, not str"),
        ({"dialog_id": dialog}, TypeError, "conversations must be an iterable of mappings, not dict"),
        (None, TypeError, "conversations must be an iterable of mappings, not NoneType"),
    ):
        with pytest.raises(error, match=message):
            store.conversations.insert_many(rows)
    with pytest.raises(KeyboardInterrupt):
        store.conversations.insert_many(good, on_progress=stop)
    assert store.conversations.count(tenant_id=tenant) == 1
    assert store.conversations.insert_many([*good, {"dialog_id": dialog, "tenant_id": tenant}]) == 4


def test_a_load_is_part_of_a_callers_transaction(store: Any, dialog: str) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.conversations.insert_many([{"dialog_id": dialog}] * 3)
        with pytest.raises(DialogNotFound):
            tx.conversations.insert_many([{"dialog_id": dialog}, {"dialog_id": "nowhere"}])
        assert tx.conversations.count(dialog_id=dialog) == 3  # the other load was a savepoint
        raise ZeroDivisionError
    assert store.conversations.count(dialog_id=dialog) == 0


def test_the_hook_hears_of_the_parts_of_a_load(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    heard: list[tuple[str, int]] = []
    with api.store(db, on_statement=lambda name, _, rows, __: heard.append((name, rows))) as store:
        store.conversations.insert_many(
            [{"dialog_id": dialog, "message": [1, 2]}, {"dialog_id": dialog, "reference": [3]}]
        )
    assert heard == [
        ("dialog.get_by_ids", 1),
        ("conversation.insert_many", 2),
        ("conversation_message.insert_many", 2),
        ("conversation_reference.insert_many", 1),
    ]


# -- walking over them -----------------------------------------------------------------------------


def test_any_number_is_walked_over_in_order(store: Any, tenant: str) -> None:
    ids = [f"{tenant}-{number}" for number in range(3)]
    store.dialogs.insert_many([{"id": id, "tenant_id": tenant} for id in [*ids, f"{tenant}-empty"]])
    rows = [
        {
            "id": f"{id}-{(number * 7) % 11}",
            "dialog_id": id,
            "create_date": f"2024-01-0{1 + number % 3}",
            "message": [number],
        }
        for id in ids
        for number in range(11)
    ]
    store.conversations.insert_many(rows)
    wanted = [row["id"] for row in sorted(rows, key=lambda row: (row["dialog_id"], row["create_date"], row["id"]))]
    for size in (1, 2, 10, 11, 33, 100):
        assert [c.id for c in store.conversations.iter(tenant_id=tenant, batch_size=size)] == wanted
        of_one = [c.id for c in store.conversations.iter(dialog_id=ids[1], batch_size=size)]
        assert of_one == wanted[11:22]
    assert [c.id for c in store.conversations.iter() if c.tenant_id == tenant] == wanted
    assert list(store.conversations.iter(tenant_id="foreign", dialog_id=ids[0])) == []
    assert list(store.conversations.iter(dialog_id=f"{tenant}-empty")) == []
    (first, *_) = store.conversations.iter(tenant_id=tenant)
    assert first == store.conversations.get_by_id(wanted[0])
    lines = list(store.conversations.export(tenant_id=tenant, batch_size=5))
    assert [json.loads(line)["id"] for line in lines] == wanted
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in lines)
    assert json.loads(lines[0]) == first.to_dict()
    for wrong in ({"batch_size": 0}, {"tenant_id": ""}, {"dialog_id": ""}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            store.conversations.iter(**wrong)  # at once, not when the first is asked for


def test_a_walk_can_be_left_and_holds_no_connection_in_between(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    with api.store(db, max_size=1, timeout=2) as store:
        store.conversations.insert_many([{"dialog_id": dialog}] * 5)
        for seen, conversation in enumerate(store.conversations.iter(dialog_id=dialog, batch_size=2), start=1):
            store.conversations.append_round(conversation.id, ["seen"])  # on the only connection
            if seen == 3:
                break
        assert store.conversations.count(dialog_id=dialog) == 5


def test_a_walk_goes_on_where_rows_come_and_go(store: Any, dialog: str) -> None:
    days = [f"2024-01-0{number}" for number in range(1, 8)]
    store.conversations.insert_many([{"id": f"{dialog}{day}", "dialog_id": dialog, "create_date": day} for day in days])
    found: list[str] = []
    for conversation in store.conversations.iter(dialog_id=dialog, batch_size=2):
        found.append(conversation.id)
        if len(found) == 2:
            store.conversations.delete_by_ids([found[-1], f"{dialog}2024-01-05"])
            store.conversations.save(dialog_id=dialog, create_date="2023-01-01")
    assert found == [f"{dialog}{day}" for day in days if day != "2024-01-05"]


def test_a_walk_inside_of_repeatable_read_is_of_one_moment(api: SyncApi | AsyncApi, db: str, dialog: str) -> None:
    with api.store(db) as store, api.store(db) as other:
        store.conversations.insert_many([{"dialog_id": dialog, "create_date": "2024-01-01"}] * 4)
        with store.transaction(isolation="repeatable read", read_only=True) as tx:
            walk = tx.conversations.iter(dialog_id=dialog, batch_size=1)
            next(walk)
            other.conversations.save(dialog_id=dialog)
            other.conversations.append_round(store_id(other, dialog), ["x"])
            assert [c.message for c in walk] == [[]] * 3


def store_id(store: Any, dialog: str) -> Any:
    return list(store.conversations.iter(dialog_id=dialog))[-2].id


def test_memory_does_not_grow_with_what_is_walked_over_or_loaded(db: str) -> None:
    dialog = uuid.uuid4().hex
    with ConversationStore(db) as store:
        store.dialogs.save(id=dialog, tenant_id=dialog)

        def peak_of(number: int) -> tuple[int, int]:
            tracemalloc.start()
            store.conversations.insert_many({"dialog_id": dialog, "message": ["x" * 2_000]} for _ in range(number))
            loading = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            assert sum(1 for _ in store.conversations.export(dialog_id=dialog, batch_size=100)) >= number
            walking = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return loading, walking

        few, many = peak_of(2_000), peak_of(10_000)
        assert many[0] < 1.5 * few[0]
        assert many[1] < 1.5 * few[1]
