"""Conversations, in both worlds."""

from __future__ import annotations

import copy
import json
import statistics
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import RawCursor
from psycopg.conninfo import make_conninfo

from conversation_store import (
    AlreadyExists,
    Conversation,
    ConversationNotFound,
    ConversationStore,
    DialogNotFound,
    NotAppendable,
    RoundConflict,
)
from conversation_store._sql_loader import load
from support.both_apis import AsyncApi, SyncApi


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def dialog(store: Any, tenant: str) -> Any:
    return store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


def ids(page: Any) -> list[str]:
    return [session.id for session in page.sessions]


# -- saving and reading -------------------------------------------------------------------------


def test_what_is_saved_comes_back_as_it_was(store: Any, dialog: str, tenant: str) -> None:
    given: dict[str, Any] = {
        "dialog_id": dialog,
        "user_id": "user",
        "id": uuid.uuid4().hex,
        "name": "Été",
        "exp_user_id": "explorer",
        "message": [
            {"role": "user", "content": "检索 \u2028 \U0001f600", "created_at": 1.5},
            None,
            [1, {"a": []}],
            "text",
        ],
        "reference": [{"chunks": [], "doc_aggs": {"z": 1, "a": 2}}],
        "dsl": {"z": 1, "a": [1.0, 1e300, -0.0, 12345678901234567890]},
        "tokens": 2**62,
        "source": "web",
        "duration": 0.1,
        "round": 3,
        "thumb_up": -1,
        "errors": "none",
        "version_title": "v1",
        "create_date": datetime(2024, 1, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8))),
        "update_date": datetime(2024, 1, 2, tzinfo=UTC),
    }
    before = copy.deepcopy(given)
    saved = store.conversations.save(**given)
    assert given == before
    read = store.conversations.get_by_id(given["id"])
    assert read == saved
    assert asdict(read) == {**given, "tenant_id": tenant}
    assert list(read.dsl) == ["z", "a"]
    assert read.create_date.utcoffset() == timedelta(0)
    assert (read.create_time, read.update_time) == (1704081600123, 1704153600000)


def test_defaults_are_empty_and_an_id_is_made(store: Any, dialog: str) -> None:
    one, two = store.conversations.save(dialog_id=dialog), store.conversations.save(dialog_id=dialog)
    assert one.id != two.id
    assert len(one.id) == 32
    assert (one.message, one.reference, one.dsl, one.tokens, one.round, one.user_id, one.name) == (
        [],
        [],
        {},
        0,
        0,
        "",
        None,
    )
    assert abs(one.create_date - datetime.now(UTC)) < timedelta(minutes=5)
    assert store.conversations.get_by_id(one.id) == one
    one.message.append("mine")
    assert store.conversations.get_by_id(one.id).message == []


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        None,
        "",
        "text",
        '{"a": 1}',
        0,
        -1.5,
        True,
        [None],
        [[]],
        {"role": "user"},
        "\U0001f600",
        list(range(2000)),
    ],
)
def test_any_json_value_is_a_message_a_reference_and_a_dsl(store: Any, dialog: str, value: Any) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=value, reference=value, dsl=value)
    for conversation in (
        saved,
        store.conversations.get_by_id(saved.id),
        store.conversations.get_list(dialog, saved.tenant_id)[1][0],
    ):
        assert (conversation.message, conversation.reference, conversation.dsl) == (value, value, value)
        assert type(conversation.message) is type(value)
    store.conversations.append_message(saved.id, {"message": "x", "reference": ["x"]})
    store.conversations.append_message(saved.id, {"message": value, "reference": value, "dsl": value})
    again = store.conversations.get_by_id(saved.id)
    assert (again.message, again.reference, again.dsl) == (value, value, value)


def test_a_million_characters_and_a_hundred_thousand_entries_come_back(store: Any, dialog: str) -> None:
    message = [{"role": "user", "content": "检索" * 500_000}, *range(100_000)]
    saved = store.conversations.save(dialog_id=dialog, message=message, name="n" * 100_000)
    assert store.conversations.get_by_id(saved.id).message == message


def test_keys_of_the_greatest_length_fit_into_every_index(store: Any) -> None:
    wide = "\U0001f600"
    tenant, dialog = uuid.uuid4().hex + wide * 96, uuid.uuid4().hex + wide * 96
    store.dialogs.save(id=dialog, tenant_id=tenant)
    saved = store.conversations.save(
        id=uuid.uuid4().hex + wide * 96, dialog_id=dialog, user_id=wide * 255, exp_user_id=wide * 255, source=wide * 64
    )
    assert ids(store.conversations.get_list(dialog, tenant, user_id=wide * 255)) == [saved.id]
    assert [name.id for name in store.conversations.get_names(dialog, wide * 255)] == [saved.id]


def test_ids_given_as_int_work_as_their_decimal_text(store: Any) -> None:
    number = uuid.uuid4().int % 10**18
    store.dialogs.save(id=number, tenant_id=number)
    store.conversations.save(id=number, dialog_id=number, user_id=number)
    assert store.conversations.get_by_id(str(number)) == store.conversations.get_by_id(number)
    assert ids(store.conversations.get_list(number, number, id=number, user_id=number)) == [str(number)]


def test_a_missing_dialog_is_said_and_nothing_is_kept(store: Any) -> None:
    id = uuid.uuid4().hex
    with pytest.raises(DialogNotFound):
        store.conversations.save(id=id, dialog_id="nowhere", message=["x"])
    assert store.conversations.get_by_id(id) is None


def test_saving_twice_is_said_and_the_first_is_kept(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=["first"])
    with pytest.raises(AlreadyExists) as caught:
        store.conversations.save(id=saved.id, dialog_id=dialog, message=["second"])
    assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
    assert store.conversations.get_by_id(saved.id) == saved


def test_an_outage_is_never_none(api: SyncApi | AsyncApi, database: str) -> None:
    with api.store(database, timeout=0.5) as store, psycopg.connect(database, autocommit=True) as admin:
        assert store.conversations.get_by_id("x") is None
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        with pytest.raises(psycopg.OperationalError):
            store.conversations.get_by_id("x")


def test_deleting_takes_the_entries_along(store: Any, dialog: str, db: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1, 2], reference=[3])
    assert store.conversations.delete_by_id(saved.id) == 1
    assert store.conversations.delete_by_id(saved.id) == 0
    assert store.conversations.get_by_id(saved.id) is None
    with psycopg.connect(db) as connection:
        for table in ("conversation_message", "conversation_reference"):
            row = connection.execute(
                f"SELECT count(*) FROM conversation_store.{table} WHERE conversation_id = %s", [saved.id]
            ).fetchone()
            assert row == (0,)


# -- lists -----------------------------------------------------------------------------------------

ORDERS = [
    "id",
    "name",
    "create_date",
    "create_time",
    "update_date",
    "update_time",
    "tokens",
    "duration",
    "round",
    "thumb_up",
]


@pytest.fixture
def listed(store: Any, dialog: str) -> list[Conversation]:
    """Save 25 conversations in which every field has ties, and a name may be missing."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        store.conversations.save(
            dialog_id=dialog,
            name=None if i % 5 == 0 else f"name {i % 3}",
            user_id=f"u{i % 2}",
            tokens=i % 4,
            duration=i % 3 / 2,
            round=i % 6,
            thumb_up=i % 2,
            create_date=start + timedelta(hours=i // 2),
            update_date=start + timedelta(hours=(i * 7) % 10),
            message=[{"content": f"message {i}"}],
        )
        for i in range(25)
    ]


@pytest.mark.parametrize("desc", [True, False])
@pytest.mark.parametrize("orderby", ORDERS)
def test_pages_in_every_order_never_overlap_and_leave_nothing_out(
    store: Any, tenant: str, dialog: str, listed: list[Conversation], orderby: str, desc: bool
) -> None:
    pages = [store.conversations.get_list(dialog, tenant, page, 4, orderby, desc) for page in range(1, 9)]
    assert {page.count for page in pages} == {25}
    assert [len(page.sessions) for page in pages] == [4, 4, 4, 4, 4, 4, 1, 0]

    def key(conversation: Conversation) -> tuple[Any, str]:
        value = getattr(conversation, orderby)
        return ("" if value is None else value), conversation.id

    assert [session for page in pages for session in page.sessions] == sorted(listed, key=key, reverse=desc)


def test_the_total_survives_an_empty_page(store: Any, tenant: str, dialog: str, listed: list[Conversation]) -> None:
    assert store.conversations.get_list(dialog, tenant, 1, 0) == (25, [])
    assert store.conversations.get_list(dialog, tenant, 10**15, 1000) == (25, [])
    assert store.conversations.get_list("nowhere", tenant) == (0, [])


def test_a_foreign_tenant_sees_nothing(store: Any, dialog: str, listed: list[Conversation]) -> None:
    for keywords in ("", "message", listed[0].id):
        assert store.conversations.get_list(dialog, "foreign", keywords=keywords) == (0, [])
        assert store.conversations.get_list(dialog, "foreign", id=listed[0].id, keywords=keywords) == (0, [])


def test_filters_combine_and_empty_ones_are_none(
    store: Any, tenant: str, dialog: str, listed: list[Conversation]
) -> None:
    def get(**arguments: Any) -> Any:
        return store.conversations.get_list(dialog, tenant, items_per_page=100, **arguments)

    assert get(id="", user_id="", exp_user_id="", keywords="", from_date="", to_date="").count == 25
    assert get(id=None, user_id=None, exp_user_id=None, keywords=None, from_date=None, to_date=None).count == 25
    assert get(user_id="u1").count == 12
    assert get(user_id="u1", id=listed[1].id).count == 1
    assert get(user_id="u0", id=listed[1].id).count == 0
    assert get(exp_user_id="nobody").count == 0
    assert get(user_id="u1", keywords="MESSAGE 11").count == 1
    assert get(keywords=" ").count == 25  # a blank is a filter: every message has one
    assert get(id=" ").count == 0
    assert get(include_dsl=False).sessions[0].dsl is None
    assert get(include_dsl=True).sessions[0].dsl == {}


@pytest.mark.parametrize(
    ("from_date", "to_date", "expected"),
    [
        ("2024-01-01", "2024-01-01", [0, 1, 2]),
        (date(2024, 1, 1), date(2024, 1, 1), [0, 1, 2]),
        ("2024-01-01T12:00:00Z", None, [1, 2, 3]),
        ("2024-01-01 12:00:00+00:00", None, [1, 2, 3]),
        ("2024-01-01T12:00:00.000001Z", None, [2, 3]),
        ("2024-01-01T20:00+08:00", "2024-01-02T07:59:59.999999+08:00", [1, 2]),
        (None, datetime(2024, 1, 1, 12, tzinfo=UTC), [0, 1]),
        (None, datetime(2024, 1, 1, 12), [0, 1]),
        (None, "2024-01-01T11:59:59.999999", [0]),
        ("0001-01-01", "9999-12-31", [0, 1, 2, 3]),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), [0, 1, 2, 3]),
        ("2024-01-02", "2024-01-01", []),
    ],
)
def test_dates_are_inclusive_days_or_instants(
    store: Any, tenant: str, dialog: str, from_date: Any, to_date: Any, expected: list[int]
) -> None:
    moments = ["2024-01-01", "2024-01-01T12:00:00", "2024-01-01T23:59:59.999999", "2024-01-02"]
    for i, moment in enumerate(moments):
        store.conversations.save(dialog_id=dialog, name=str(i), create_date=moment, update_date="2030-01-01")
    page = store.conversations.get_list(dialog, tenant, desc=False, from_date=from_date, to_date=to_date)
    assert [int(session.name) for session in page.sessions] == expected
    assert page.count == len(expected)
    other = store.conversations.get_list(
        dialog, tenant, from_date="2030-01-01", to_date="2030-01-01", date_field="update_date"
    )
    assert other.count == 4


def test_a_day_is_that_of_the_time_zone(store: Any, tenant: str, dialog: str) -> None:
    for hour in range(48):
        store.conversations.save(
            dialog_id=dialog, create_date=datetime(2024, 3, 30, tzinfo=UTC) + timedelta(hours=hour)
        )

    def count(zone: str, day: str = "2024-03-31") -> Any:
        return store.conversations.get_list(dialog, tenant, from_date=day, to_date=day, time_zone=zone).count

    assert (count("UTC"), count("Europe/Paris"), count("Asia/Shanghai", "2024-03-31")) == (24, 23, 24)
    assert (
        store.conversations.get_list(dialog, tenant, from_date="2024-03-31T00:00", time_zone="Asia/Shanghai").count
        == 32
    )


def test_names_of_one_explorer_user_newest_first(store: Any, dialog: str) -> None:
    for i in range(3):
        store.conversations.save(
            id=f"{dialog}{i}", dialog_id=dialog, name=f"n{i}", exp_user_id="e", create_date=f"2024-01-0{i + 1}"
        )
    store.conversations.save(dialog_id=dialog, exp_user_id="other")
    names = store.conversations.get_names(dialog, "e")
    assert [(name.id, name.name) for name in names] == [(f"{dialog}{i}", f"n{i}") for i in (2, 1, 0)]
    assert len(store.conversations.get_names(dialog, "e", limit=2)) == 2
    assert store.conversations.get_names(dialog, "nobody") == []


# -- appending ---------------------------------------------------------------------------------------


def test_append_message_applies_only_what_is_given(store: Any, dialog: str) -> None:
    saved = store.conversations.save(
        dialog_id=dialog, name="n", message=[1], reference=[2], dsl={"a": 1}, tokens=5, round=7, errors="e"
    )
    assert store.conversations.append_message(saved.id, {}) == 1
    read = store.conversations.get_by_id(saved.id)
    assert read.update_date > saved.update_date
    assert replace(read, round=7, update_date=saved.update_date) == saved
    changes = {
        "name": None,
        "user_id": 5,
        "exp_user_id": "x",
        "tokens": 2**40,
        "source": "s",
        "duration": 1.5,
        "thumb_up": 2,
        "errors": 'it\'s "quoted" \\ 检索',
        "version_title": "v",
        "message": [{"a": 1}],
        "reference": "text",
        "dsl": "{}",
    }
    before = copy.deepcopy(changes)
    assert store.conversations.append_message(saved.id, changes) == 1
    assert changes == before
    read = asdict(store.conversations.get_by_id(saved.id))
    assert {key: read[key] for key in changes} == {**changes, "user_id": "5"}
    assert read["round"] == 9


def test_a_whole_row_as_read_is_taken_and_its_past_is_ignored(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], dsl={"a": 1})
    for _ in range(3):
        store.conversations.append_round(saved.id, ["turn"])
    stale = {
        **asdict(saved),
        "create_time": 0,
        "update_time": 0,
        "message": [1, 2],
        "tenant_id": "foreign",
        "dialog_id": "foreign",
    }
    assert store.conversations.append_message(saved.id, stale) == 1
    read = store.conversations.get_by_id(saved.id)
    assert (read.round, read.message, read.tenant_id, read.dialog_id) == (4, [1, 2], saved.tenant_id, dialog)
    assert read.create_date == saved.create_date
    (listed,) = store.conversations.get_list(dialog, saved.tenant_id, include_dsl=False).sessions
    store.conversations.append_message(saved.id, asdict(listed))
    assert store.conversations.get_by_id(saved.id).dsl == {"a": 1}


def test_another_id_or_an_unknown_key_changes_nothing(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    unknown: list[dict[str, Any]] = [{"id": "another"}, {"messages": []}, {"tokens": 1, "password": "x"}]
    for wrong in unknown:
        with pytest.raises(ValueError, match=r"conversation"):
            store.conversations.append_message(saved.id, wrong)
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_failing_increment_leaves_nothing_changed(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[1], round=2**31 - 1)
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        store.conversations.append_message(saved.id, {"message": [1, 2], "tokens": 5})
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        store.conversations.append_round(saved.id, [2], tokens=5)
    assert store.conversations.get_by_id(saved.id) == saved


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_lists_written_one_after_the_other_are_what_is_read(data: st.DataObject, db: str) -> None:
    lists = st.one_of(st.lists(st.integers(0, 3) | st.text("ab", max_size=2), max_size=6), st.just("text"), st.none())
    with ConversationStore(db, min_size=1, max_size=1) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        expected: Any = data.draw(lists)
        saved = store.conversations.save(dialog_id=dialog, message=expected, reference=expected)
        for _ in range(data.draw(st.integers(1, 6))):
            turn = data.draw(lists)
            if isinstance(turn, list) and isinstance(expected, list) and data.draw(st.booleans()):
                store.conversations.append_round(saved.id, turn, reference=turn)
                expected = expected + turn
            else:
                store.conversations.append_message(saved.id, {"message": turn, "reference": turn})
                expected = turn
            read = store.conversations.get_by_id(saved.id)
            assert read is not None
            assert (read.message, read.reference) == (expected, expected)


def test_append_round_returns_the_new_round_and_adds_up(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=[0], tokens=10, duration=1.0, round=4)
    assert (
        store.conversations.append_round(
            saved.id, ["a", {"b": 1}], reference=[{"c": 1}], tokens=5, duration=0.5, errors="e"
        )
        == 5
    )
    assert store.conversations.append_round(saved.id, (), expected_round=5) == 6
    read = store.conversations.get_by_id(saved.id)
    assert (read.message, read.reference, read.tokens, read.duration, read.errors, read.round) == (
        [0, "a", {"b": 1}],
        [{"c": 1}],
        15,
        1.5,
        "e",
        6,
    )


def test_append_round_to_nothing_in_the_wrong_round_or_to_no_list_changes_nothing(store: Any, dialog: str) -> None:
    with pytest.raises(ConversationNotFound):
        store.conversations.append_round("nowhere", [])
    saved = store.conversations.save(dialog_id=dialog, message=[1], round=3)
    for wrong in (0, 2, 4, 2**31 - 1):
        with pytest.raises(RoundConflict) as caught:
            store.conversations.append_round(saved.id, [2], expected_round=wrong)
        assert (caught.value.expected, caught.value.current) == (wrong, 3)
    assert store.conversations.get_by_id(saved.id) == saved
    text = store.conversations.save(dialog_id=dialog, message="text", reference={"a": 1})
    appended: list[dict[str, Any]] = [{"messages": [1]}, {"messages": []}, {"messages": [1], "reference": [1]}]
    for arguments in appended:
        with pytest.raises(NotAppendable, match="lists"):
            store.conversations.append_round(text.id, **arguments)
    assert store.conversations.get_by_id(text.id) == text


def test_24_writers_append_at_once_and_nothing_is_lost(api: SyncApi | AsyncApi, db: str) -> None:
    with api.store(db, min_size=24, max_size=24) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        id = store.conversations.save(dialog_id=dialog).id
        calls = [
            lambda s, i=i: s.conversations.append_round(id, [{"turn": i}, {"answer": i}], reference=[i])
            for i in range(24)
        ]
        assert sorted(api.together(store, calls)) == list(range(1, 25))
        read = store.conversations.get_by_id(id)
    assert read.round == 24
    assert sorted(entry["turn"] for entry in read.message[::2]) == list(range(24))
    assert [entry["answer"] for entry in read.message[1::2]] == [entry["turn"] for entry in read.message[::2]]
    assert read.reference == [entry["turn"] for entry in read.message[::2]]


def test_of_16_writers_with_the_same_expected_round_one_wins(api: SyncApi | AsyncApi, db: str) -> None:
    with api.store(db, min_size=16, max_size=16) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        id = store.conversations.save(dialog_id=dialog, round=7).id
        calls = [lambda s, i=i: s.conversations.append_round(id, [i], expected_round=7) for i in range(16)]
        results = api.together(store, calls)
        assert results.count(8) == 1
        conflicts = [result for result in results if isinstance(result, RoundConflict)]
        assert [(conflict.expected, conflict.current) for conflict in conflicts] == [(7, 8)] * 15
        assert len(store.conversations.get_by_id(id).message) == 1


def test_whole_lists_written_at_once_leave_one_of_them_and_never_a_mixture(api: SyncApi | AsyncApi, db: str) -> None:
    with api.store(db, min_size=4, max_size=4) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        for attempt in range(40):
            id = store.conversations.save(dialog_id=dialog, message=[{"w": "old"}] * 6).id
            lists: list[Any] = [
                [{"w": w, "n": n} for n in range(length)] for w, length in (("a", 3 + attempt % 7), ("b", 8))
            ]
            values = [*lists, "text", []]
            calls = [lambda s, v=v: s.conversations.append_message(id, {"message": v, "reference": v}) for v in values]
            assert api.together(store, calls) == [1] * 4
            read = store.conversations.get_by_id(id)
            assert read.message in values
            assert read.reference == read.message
            assert read.round == 4
            store.conversations.append_message(id, {"message": ["end"]})
            store.conversations.append_round(id, [1, 2, 3])
            assert store.conversations.get_by_id(id).message == ["end", 1, 2, 3]


def test_a_writer_that_waited_writes_its_whole_list_though_its_snapshot_was_older(
    store: Any, dialog: str, db: str
) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=["old 1", "old 2"], reference=["old"])
    with psycopg.connect(db) as first, ConversationStore(db) as second, ThreadPoolExecutor(1) as executor:
        ConversationStore(connection=first).conversations.append_message(
            saved.id, {"message": ["first 1", "first 2", "first 3"], "reference": "first"}
        )
        # Its first entries are those of its snapshot, and no longer those that are there.
        waiting = executor.submit(
            second.conversations.append_message, saved.id, {"message": ["old 1", "second 2"], "reference": ["old"]}
        )
        with psycopg.connect(db, autocommit=True) as admin:
            deadline = time.monotonic() + 30
            while not admin.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            ).fetchone():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        first.commit()
        assert waiting.result() == 1
    read = store.conversations.get_by_id(saved.id)
    assert (read.message, read.reference, read.round) == (["old 1", "second 2"], ["old"], 2)
    assert store.conversations.get_list(dialog, saved.tenant_id, keywords="first").count == 0


def wal_bytes(connection: psycopg.Connection[Any], name: str, **values: Any) -> int:
    """Return the WAL that the writing parts of a statement write; without full-page images, which are switched off."""
    query = load(name)
    cursor = RawCursor(connection)
    cursor.execute(
        b"EXPLAIN (ANALYZE, WAL, FORMAT JSON) " + query.text, [values[parameter] for parameter in query.parameters]
    )
    ((((explained,),),),) = [cursor.fetchall()]
    assert explained["Plan"].get("WAL FPI", 0) == 0

    def modifying(node: dict[str, Any]) -> list[dict[str, Any]]:
        if node["Node Type"] == "ModifyTable":
            return [node]
        return [found for child in node.get("Plans", []) for found in modifying(child)]

    return sum(node["WAL Bytes"] for node in modifying(explained["Plan"]))


def test_the_wal_of_an_append_does_not_grow_with_the_conversation(db: str) -> None:
    def entry(i: int) -> dict[str, str]:
        return {"role": "user", "content": f"turn {i:04} " + "text of a turn 检索增强生成 " * 10}

    def written(length: int) -> tuple[float, float]:
        id = store.conversations.save(dialog_id=dialog, message=[entry(i) for i in range(length)]).id
        rounds, lists = [], []
        for i in range(20):
            messages = json.dumps([entry(i)], ensure_ascii=False)
            scalars: dict[str, Any] = {
                "reference": "[]",
                "tokens": "1",
                "duration": "1",
                "errors": None,
                "expected_round": None,
            }
            rounds.append(wal_bytes(connection, "conversation.append_round", id=id, messages=messages, **scalars))
        read = store.conversations.get_by_id(id)
        assert read is not None
        whole = read.message
        for i in range(20):
            whole.append(entry(i))
            message = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
            given = {"message": message, "reference": None, "dsl": None, "changes": "{}", "increment": 1}
            if i == 0:  # entries written with other white space are written once more
                store.conversations.append_message(id, {"message": whole})
                continue
            lists.append(wal_bytes(connection, "conversation.append_message", id=id, **given))
        return statistics.median(rounds), statistics.median(lists)

    with ConversationStore(db) as store, psycopg.connect(db, autocommit=True) as connection:
        row = connection.execute("SELECT current_setting('full_page_writes')").fetchone()
        if row != ("off",):
            pytest.skip("the caller's server writes full-page images")
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        short, long = written(10), written(400)
    assert short[0] > 500
    assert short[1] > 500
    assert long[0] < short[0] * 1.2
    assert long[1] < short[1] * 1.2


# -- statistics -----------------------------------------------------------------------------------------


def test_statistics_count_the_tenants_days_in_order(store: Any, tenant: str, dialog: str) -> None:
    foreign = store.dialogs.save(id=uuid.uuid4().hex, tenant_id=uuid.uuid4().hex).id
    for day, user, source, tokens, round in [
        (2, "a", "web", 10, 1),
        (2, "a", "api", 20, 2),
        (1, "", None, 5, 0),
        (2, "b", "web", 1, 5),
        (4, "a", "web", 2**40, 1),
    ]:
        for dialog_id in (dialog, foreign):
            store.conversations.save(
                dialog_id=dialog_id, user_id=user, source=source, tokens=tokens, duration=0.5, round=round, thumb_up=1,
                create_date=datetime(2024, 1, day, 12, tzinfo=UTC),
            )  # fmt: skip
    days = store.conversations.stats(tenant, "2024-01-01", "2024-01-31")
    assert [tuple(asdict(day).values()) for day in days] == [
        (date(2024, 1, 1), 1, 1, 5, 0.5, 0.0, 1),
        (date(2024, 1, 2), 3, 2, 31, 1.5, 8 / 3, 3),
        (date(2024, 1, 4), 1, 1, 2**40, 0.5, 1.0, 1),
    ]
    assert [day.pv for day in store.conversations.stats(tenant, "2024-01-01", "2024-01-04", fill=True)] == [1, 3, 0, 1]
    assert [day.pv for day in store.conversations.stats(tenant, "2024-01-01", "2024-01-04", "web")] == [2, 1]
    assert store.conversations.stats(tenant, "2024-01-01", "2024-01-04", "nothing") == []
    assert store.conversations.stats("nobody", "2024-01-01", "2024-01-04") == []
    assert store.conversations.stats(tenant, "2024-01-04", "2024-01-01") == []
    assert [
        day.pv for day in store.conversations.stats(tenant, "2024-01-02T12:00Z", "2024-01-04T11:59:59.999999Z")
    ] == [3]
    assert store.conversations.stats(tenant, "2024-01-01", "2024-01-04", "") == store.conversations.stats(
        tenant, "2024-01-01", "2024-01-04"
    )


def test_days_of_23_and_25_hours_are_right(store: Any, tenant: str, dialog: str) -> None:
    for start in (datetime(2024, 3, 30, tzinfo=UTC), datetime(2024, 10, 26, tzinfo=UTC)):
        for hour in range(72):
            store.conversations.save(dialog_id=dialog, create_date=start + timedelta(hours=hour))
    spring = store.conversations.stats(tenant, "2024-03-31", "2024-04-01", time_zone="Europe/Paris", fill=True)
    autumn = store.conversations.stats(tenant, "2024-10-27", "2024-10-27", time_zone="Europe/Paris")
    assert [(day.dt, day.pv) for day in spring + autumn] == [
        (date(2024, 3, 31), 23),
        (date(2024, 4, 1), 24),
        (date(2024, 10, 27), 25),
    ]


def test_a_range_of_ten_years_is_allowed_and_a_day_more_is_not(store: Any, tenant: str) -> None:
    assert (
        len(store.conversations.stats(tenant, date(2014, 1, 1), date(2014, 1, 1) + timedelta(3659), fill=True)) == 3660
    )
    with pytest.raises(ValueError, match="3660 days"):
        store.conversations.stats(tenant, date(2014, 1, 1), date(2014, 1, 1) + timedelta(3660))


def test_the_clock_of_the_session_changes_nothing(api: SyncApi | AsyncApi, db: str) -> None:
    options = (
        "-c timezone=Pacific/Auckland -c datestyle=German,DMY -c extra_float_digits=-5 -c intervalstyle=sql_standard"
    )
    with api.store(db) as plain, api.store(make_conninfo(db, options=options)) as odd:
        dialog = plain.dialogs.save(id=uuid.uuid4().hex, tenant_id=uuid.uuid4().hex)
        saved = odd.conversations.save(
            dialog_id=dialog.id, create_date="2024-02-03T01:02:03.456789", duration=0.1234567890123456
        )
        assert saved.create_date == datetime(2024, 2, 3, 1, 2, 3, 456789, tzinfo=UTC)
        assert odd.conversations.get_by_id(saved.id) == plain.conversations.get_by_id(saved.id) == saved
        for store in (plain, odd):
            assert (
                store.conversations.get_list(
                    dialog.id, dialog.tenant_id, from_date="2024-02-03", to_date="2024-02-03"
                ).count
                == 1
            )
            assert [day.dt for day in store.conversations.stats(dialog.tenant_id, "2024-01-01", "2024-12-31")] == [
                date(2024, 2, 3)
            ]


def test_update_dates_move_forward(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    time.sleep(0.001)
    store.conversations.append_round(saved.id, [])
    assert store.conversations.get_by_id(saved.id).update_date > saved.update_date
