"""How results are read: JSON with orjson and without, instants, and rows by the position of their columns."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_store import _json
from support.both_apis import AsyncApi, SyncApi

NUMBERS = [
    "0",
    "-0",
    "-0.0",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "-9999999999999999999",
    "123456789012345678901234567890",
    "0.1",
    "1e5",
    "1E400",
    "-1e999",
    "1e-400",
    "5e-324",
    "2.2250738585072011e-308",
    "123456789012345678901.5",
]
TEXTS = [
    '"\\ud800"',
    '{"\\udc00": "\\ud83d\\ude00"}',
    '"\\u0041\\/\\b"',
    '"\u2028 \U0001f642 \x7f"',
    '{"a": 1, "b": 2, "a": {"c": 3, "c": 4}}',
    " \n[1,\t2 ]\r ",
    "[" * 500 + "]" * 500,
    json.dumps([{"role": "user", "content": "问题"}, {"n": 2**70, "x": 0.1}]),
    "null",
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(params=["orjson", "json"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With orjson installed, and without."""
    if request.param == "json":
        monkeypatch.setattr(_json, "orjson", None)
    else:
        assert vars(_json)["orjson"] is not None
    return str(request.param)


def same(value: Any, other: Any) -> bool:
    """Return whether two values are equal, of the same types and in the same order; what is deep has a repr no longer."""
    while isinstance(value, list) and isinstance(other, list) and len(value) == len(other) == 1:
        value, other = value[0], other[0]
    return repr(value) == repr(other)


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS], ids=range(len([*NUMBERS, *TEXTS])))
def test_json_is_read_as_by_json_loads(text: str, reader: str) -> None:
    assert same(_json.read(text.encode()), json.loads(text))


@given(ANY_JSON)
def test_any_json_is_read_as_by_json_loads_when_orjson_is_installed(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        try:
            data = text.encode()
        except UnicodeEncodeError:  # which the server has only as an escape
            continue
        assert repr(_json.read(data)) == repr(json.loads(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_to_its_last_bit(value: float) -> None:
    assert _json.read(repr(value).encode()) == value


def test_what_the_server_has_is_read_the_same_with_and_without_orjson(
    api: SyncApi | AsyncApi, db: str, tenant: str, reader: str
) -> None:
    with api.store(db) as store, psycopg.connect(db, autocommit=True) as connection:
        store.dialogs.save(id="d", tenant_id=tenant)
        store.conversations.save(id="c", dialog_id="d", tenant_id=tenant)
        for text in [*NUMBERS, *TEXTS]:
            connection.execute(
                "UPDATE conversation_store.conversation SET dsl = %s::text::json WHERE tenant_id = %s AND id = 'c'",
                [text, tenant],
            )
            found = store.conversations.get_by_id("c", tenant_id=tenant)
            assert same(found.dsl, json.loads(text)), text


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "UTC"])
def test_instants_are_in_utc_whatever_the_time_zone_of_the_session(
    api: SyncApi | AsyncApi, db: str, tenant: str, zone: str
) -> None:
    day = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
    with api.connect(db, autocommit=True, options=f"-c timezone={zone}") as connection, api.store(db) as other:
        with api.store(connection=connection) as store:
            store.dialogs.save(id="d", tenant_id=tenant)
            saved = store.conversations.save(id="c", dialog_id="d", tenant_id=tenant, create_date=day)
        assert saved.create_date == day
        assert saved.create_date.tzinfo is UTC
        assert other.conversations.get_by_id("c", tenant_id=tenant) == saved


@pytest.mark.parametrize("stored", ["infinity", "-infinity", "4713-01-01 BC", "20000-01-01"])
def test_an_instant_that_python_has_not_raises_a_data_error(
    api: SyncApi | AsyncApi, db: str, tenant: str, stored: str
) -> None:
    with api.store(db) as store, psycopg.connect(db, autocommit=True) as connection:
        store.dialogs.save(id="d", tenant_id=tenant)
        connection.execute(
            "UPDATE conversation_store.dialog SET update_date = %s::text::timestamptz WHERE tenant_id = %s",
            [stored, tenant],
        )
        with pytest.raises(psycopg.DataError, match="timestamp too"):
            store.dialogs.get_by_id("d", tenant_id=tenant)
        assert store.dialogs.query(tenant_id="another") == []  # the connection is as it was
        store.dialogs.delete_by_id("d", tenant_id=tenant)  # other tests read all dialogs of this database


def test_threads_that_read_at_once_get_their_own_rows(db: str, tenant: str) -> None:
    with SyncApi().store(db, max_size=8) as store:
        store.dialogs.save(id="d", tenant_id=tenant)
        conversations = store.for_tenant(tenant).conversations
        for n in range(8):
            conversations.save(id=f"c{n}", dialog_id="d", message=[{"n": n, "text": "x" * n * 1000}])
        failed: list[object] = []

        def read(n: int) -> None:
            for _ in range(50):
                found = conversations.get_by_id(f"c{n}")
                if found.id != f"c{n}" or found.message != [{"n": n, "text": "x" * n * 1000}]:
                    failed.append(found)

        threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
