"""Dialogs, in both worlds."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conversation_store import AlreadyExists, DialogNotEmpty
from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


def test_a_dialog_is_saved_renamed_and_never_moved(store: Any, tenant: str) -> None:
    id = uuid.uuid4().hex
    assert store.dialogs.get_by_id(id) is None
    saved = store.dialogs.save(id=id, tenant_id=tenant, name="one")
    assert store.dialogs.get_by_id(id) == saved
    assert store.dialogs.save(id=id, tenant_id=tenant).name == "one"
    renamed = store.dialogs.save(id=id, tenant_id=tenant, name="two")
    assert (renamed.name, renamed.create_date) == ("two", saved.create_date)
    assert renamed.update_date > saved.update_date
    with pytest.raises(AlreadyExists):
        store.dialogs.save(id=id, tenant_id="foreign", name="mine")
    assert store.dialogs.get_by_id(id) == renamed


def test_a_new_dialog_may_be_saved_by_many_at_once(api: SyncApi | AsyncApi, db: str) -> None:
    with api.store(db, min_size=16, max_size=16) as store:
        for _ in range(60):
            id = uuid.uuid4().hex
            results = api.together(store, [lambda s: s.dialogs.save(id=id, tenant_id="t")] * 16)
            assert [getattr(result, "id", result) for result in results] == [id] * 16


def test_dialogs_are_inserted_together_or_not_at_all(store: Any, tenant: str) -> None:
    ids = sorted(uuid.uuid4().hex for _ in range(3))
    rows = [
        {"id": ids[0], "tenant_id": tenant, "name": 'a,"b\\{}', "create_date": "2024-01-01"},
        {
            "id": ids[1],
            "tenant_id": tenant,
            "update_date": datetime(2024, 1, 2, tzinfo=UTC),
            "create_date": "2024-01-01",
        },
        {"id": ids[2], "tenant_id": tenant},
    ]
    assert store.dialogs.insert_many(iter(rows)) == 3
    one, two, three = store.dialogs.get_by_ids([*ids, ids[0], "nowhere"])
    assert (one.id, one.name, one.create_date, one.update_date) == (
        ids[0],
        'a,"b\\{}',
        *[datetime(2024, 1, 1, tzinfo=UTC)] * 2,
    )
    assert (two.name, two.update_date) == (None, datetime(2024, 1, 2, tzinfo=UTC))
    assert abs(three.create_date - datetime.now(UTC)) < timedelta(minutes=5)
    with pytest.raises(AlreadyExists, match="dialog"):
        store.dialogs.insert_many([{"id": "new" + tenant, "tenant_id": tenant}, rows[0]])
    assert store.dialogs.get_by_id("new" + tenant) is None
    assert store.dialogs.insert_many([]) == 0
    assert store.dialogs.get_by_ids([]) == []
    assert store.dialogs.insert_many([one.to_dict() | {"id": "again" + tenant}]) == 1
    for wrong, message in (
        ([{"id": "x"}], r"dialogs\[0\]\['tenant_id'\]"),
        ([rows[0], {"tenant_id": "x"}], r"dialogs\[1\]\['id'\]"),
        ([{"id": "x", "tenant_id": "t", "nothing": 1}], "unknown: 'nothing'"),
        ([{"id": "x", "tenant_id": "t", "create_date": "now"}], r"dialogs\[0\]\['create_date'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            store.dialogs.insert_many(wrong)
    for wrong_type in ("x", {"id": "x"}, 5, None, [5]):
        with pytest.raises(TypeError, match="dialogs"):
            store.dialogs.insert_many(wrong_type)


def test_a_tenants_dialogs_are_listed_and_walked_over(store: Any, tenant: str) -> None:
    ids = [f"{tenant}{number}" for number in range(7)]
    days = [f"2024-01-0{1 + number % 3}" for number in range(7)]
    store.dialogs.insert_many(
        [{"id": id, "tenant_id": tenant, "create_date": day} for id, day in zip(ids, days, strict=True)]
    )
    newest_first = sorted(ids, key=lambda id: (days[int(id[-1])], id), reverse=True)
    assert [d.id for d in store.dialogs.query(tenant_id=tenant)] == newest_first
    assert [d.id for d in store.dialogs.query(tenant_id=tenant, limit=2)] == newest_first[:2]
    assert store.dialogs.query(tenant_id="foreign" + tenant) == []
    for size in (1, 3, 7, 8):
        assert [d.id for d in store.dialogs.iter(tenant_id=tenant, batch_size=size)] == ids
    assert [d.id for d in store.dialogs.iter(id=ids[3])] == [ids[3]]
    assert set(ids) < {d.id for d in store.dialogs.iter()}
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        store.dialogs.iter(batch_size=0)


def test_a_dialog_is_renamed_by_its_id(store: Any, tenant: str) -> None:
    dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant, name="one")
    assert store.dialogs.update_by_id(dialog.id, {**dialog.to_dict(), "name": "two", "tenant_id": "foreign"}) == 1
    changed = store.dialogs.get_by_id(dialog.id)
    assert (changed.name, changed.tenant_id, changed.create_date) == ("two", tenant, dialog.create_date)
    assert store.dialogs.update_by_id(dialog.id, {"name": None}) == 1
    assert store.dialogs.get_by_id(dialog.id).name is None
    assert store.dialogs.update_by_id("nowhere", {"name": "x"}) == 0
    for wrong in ({"id": "other"}, {"nothing": 1}, {"name": "\0"}):
        with pytest.raises(ValueError, match="dialog"):
            store.dialogs.update_by_id(dialog.id, wrong)


def test_a_dialog_with_conversations_is_not_deleted(store: Any, tenant: str) -> None:
    ids = [store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id for _ in range(3)]
    conversation = store.conversations.save(dialog_id=ids[0])
    token = store.tokens.issue(tenant_id=tenant, dialog_id=ids[1])
    for call, given in ((store.dialogs.delete_by_id, ids[0]), (store.dialogs.delete_by_ids, ids)):
        with pytest.raises(DialogNotEmpty, match="has conversations"):
            call(given)
    assert len(store.dialogs.query(tenant_id=tenant)) == 3
    assert store.dialogs.delete_by_ids(ids[1:], tenant_id="foreign") == 0
    assert store.dialogs.delete_by_ids([*ids[1:], "nowhere"], tenant_id=tenant) == 2
    assert store.tokens.authenticate(token.token) is None  # it was bound to one of them
    assert store.dialogs.delete_by_ids([]) == 0
    assert store.conversations.delete_by_id(conversation.id) == 1
    assert store.dialogs.delete_by_id(ids[0]) == 1
    assert store.dialogs.delete_by_id(ids[0]) == 0
