"""Settings of the role change no answer: dates, numbers, literals, arrays, names, plans and messages."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from conversation_store import ConversationStore, migrate
from conversation_store.jsonl import export_jsonl, import_jsonl
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.operation import check_all
from support.ragflow_rows import import_and_report, source_database
from support.schema import NAMES, shape
from support.server import Server, random_name
from support.stored import FULL

Api = SyncApi | AsyncApi

# Each of these changes how the server reads or writes something, or how it plans.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "one": {
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Kolkata",
        "search_path": "",
        "bytea_output": "escape",
        "extra_float_digits": "0",
        "standard_conforming_strings": "off",
        "backslash_quote": "off",
        "array_nulls": "off",
        "transform_null_equals": "on",
        "quote_all_identifiers": "on",
        "xmlbinary": "hex",
        "client_min_messages": "debug1",
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",  # the guard makes each generic plan look dear: a second of compiling a statement
        "row_security": "off",
        "default_transaction_deferrable": "on",
        "default_transaction_isolation": "serializable",
    },
    "two": {
        "DateStyle": "German",
        "IntervalStyle": "iso_8601",
        "TimeZone": "America/St_Johns",
        "search_path": "shadow, conversation_store",
        "extra_float_digits": "-15",
        "standard_conforming_strings": "off",
        "client_min_messages": "error",
        "lc_messages": "C",
        "enable_seqscan": "off",
        "enable_nestloop": "off",
        "jit": "on",
        "jit_above_cost": "0",
        "jit_inline_above_cost": "-1",  # compiled, but at once: enable_seqscan makes plans look dear
        "jit_optimize_above_cost": "-1",
        "work_mem": "64kB",
        "synchronize_seqscans": "on",
    },
}

# Tables and functions under our own names, in a schema that is searched first.
SHADOW = """
CREATE SCHEMA shadow;
CREATE TABLE shadow.dialog (id integer);
CREATE TABLE shadow.conversation (id integer);
CREATE TABLE shadow.api_token (id integer);
CREATE FUNCTION shadow.fold(text) RETURNS text LANGUAGE sql AS 'SELECT ''shadow''';
CREATE FUNCTION shadow.search_pairs(text) RETURNS bigint[] LANGUAGE sql AS 'SELECT ARRAY[1::bigint]';
CREATE FUNCTION shadow.ascii(text) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION shadow.entry_count(json) RETURNS integer LANGUAGE sql AS 'SELECT 9';
CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE sql AS 'SELECT ''shadow''';
CREATE FUNCTION shadow.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''-infinity''::timestamptz';
"""


@contextmanager
def role_with(server: Server, settings: Mapping[str, str]) -> Generator[str]:
    """Create a role with settings, give its name, and drop it."""
    role = sql.Identifier(name := random_name())
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD 'secret'").format(role))
        try:
            for key, value in settings.items():
                values = sql.SQL(", ").join(map(sql.Literal, value.split(", ") if key == "search_path" else [value]))
                admin.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(key), values))
            yield name
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


def as_role(conninfo: str, role: str) -> str:
    return make_conninfo(conninfo, user=role, password="secret")


@pytest.fixture(scope="module", params=list(SETTINGS))
def role(server: Server, request: pytest.FixtureRequest) -> Generator[str]:
    """Give a role with settings."""
    with role_with(server, SETTINGS[request.param]) as name:
        yield name


@pytest.fixture(scope="module")
def shadowed(db: str) -> Generator[str]:
    """Give the shared database with a schema that shadows its names."""
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute(SHADOW)
        yield db
        connection.execute("DROP SCHEMA shadow CASCADE")


@pytest.mark.parametrize("prepare_threshold", [0, None])
def test_every_operation_returns_what_the_table_says(
    api: Api, shadowed: str, role: str, prepare_threshold: int | None
) -> None:
    arguments = {"kwargs": {"prepare_threshold": prepare_threshold}}
    with api.pool(as_role(shadowed, role), **arguments) as pool, api.store(pool=pool) as store:
        check_all(OPERATIONS, store)


VALUES: dict[str, Any] = FULL | {
    "tokens": 7,
    "name": "NULL",
    "message": ["检索增强 100% a_b c\\d É", {"content": "'; \\' --"}],
}
KEYWORDS = ["检索", "检索增强", "索", "100%", "a_b", "c\\d", "É", "é", "\\'", "null", "nothing", "\\1", "检 检"]


def test_what_is_stored_is_the_same_and_is_found_by_either_role(api: Api, shadowed: str, role: str) -> None:
    read: list[Any] = []
    with api.store(shadowed) as plain, api.store(as_role(shadowed, role)) as other:
        for writing, reading in ((plain, plain), (plain, other), (other, plain), (other, other)):
            tenant = uuid.uuid4().hex
            read.append([{**row, "tenant_id": ""} for row in _write_and_read(writing, reading, tenant)])
    assert read[0] == read[1] == read[2] == read[3]


def _write_and_read(writing: Any, reading: Any, tenant: str) -> list[dict[str, Any]]:
    of = {"tenant_id": tenant}
    names = {"d": "NULL", "e": None, "f": "a\\1"}
    date = "2024-02-01T10:00:00.1+09:00"
    writing.dialogs.insert_many([{"id": id, "name": name, "create_date": date} for id, name in names.items()], **of)
    writing.conversations.save(id="saved", dialog_id="d", **of, **VALUES)
    writing.conversations.insert_many([{"id": "loaded", "dialog_id": "d", **VALUES}], **of)
    writing.conversations.append_round("saved", ["turn \\1"], reference=["\\"], duration=0.1, tokens=1, **of)
    writing.conversations.update_many_by_id([{"id": "loaded", "duration": 1 / 3, "name": "a\\b'"}], **of)
    page = [reading.conversations.get_list("d", keywords=keyword, orderby="id", **of) for keyword in KEYWORDS]
    sorted_by = [
        reading.conversations.list_after("d", orderby=order, items_per_page=1, cursor=None, **of)
        for order in ("duration", "create_date", "name")
    ]
    following = [
        reading.conversations.list_after("d", orderby=order, items_per_page=1, cursor=first.next_cursor, **of)
        for order, first in zip(("duration", "create_date", "name"), sorted_by, strict=True)
    ]
    days = reading.conversations.stats(
        from_date="2024-01-01", to_date="2024-01-02", time_zone="Asia/Tokyo", fill=True, **of
    )
    return [
        *[dialog.to_dict() for dialog in reading.dialogs.query(**of)],
        *[
            one.to_dict() | {"update_date": 0, "update_time": 0}
            for one in reading.conversations.iter(dialog_id="d", **of)
        ],
        {"found": [[one.id for one in found.sessions] for found in page]},
        {"pages": [[one.id for one in cut.sessions] for cut in (*sorted_by, *following)]},
        *[day.to_dict() for day in days],
    ]


def test_what_the_indexes_hold_and_are_asked_for_is_the_same(shadowed: str, role: str) -> None:
    text = (
        "SELECT conversation_store.search_keys('t', 'd', k), conversation_store.keys_in_dialog('t', 'd', k)"
        " FROM unnest(%s::text[]) AS k"
    )
    read: list[Any] = []
    for conninfo in (shadowed, as_role(shadowed, role)):
        with psycopg.connect(conninfo) as connection:
            read.append(connection.execute(text, [KEYWORDS]).fetchall())
    assert read[0] == read[1]


def test_the_text_of_a_message_is_the_same(shadowed: str, role: str) -> None:
    messages = [
        ["a \\ b", {"content": "c data:a/b;base64,aGk= d", "type": "tool-e"}],
        {"output": {"f\\": ['"g" \\ \n', 1.5, "检索\u0001"], "data": "x" * 201}},
        {"arguments": json.dumps({"h": "\\ 检 \ud83d\ude00", "i": "x" * 300})},
    ]
    text = "SELECT conversation_store.message_text(m::json) FROM unnest(%s::text[]) AS m"
    read: list[Any] = []
    for conninfo in (shadowed, as_role(shadowed, role)):
        with psycopg.connect(conninfo) as connection:
            read.append(connection.execute(text, [[json.dumps(message) for message in messages]]).fetchall())
    assert read[0] == read[1]
    assert read[0] == [("a \\ b\nc \n d\ne",), ('"g" \\ \n\n1.5\n检索\x01',), ("\\ 检 😀",)]


def test_lines_are_exported_and_imported_alike(shadowed: str, empty_database: str, role: str, tenant: str) -> None:
    with ConversationStore(shadowed) as plain, ConversationStore(as_role(shadowed, role)) as other:
        _write_and_read(other, other, tenant)
        lines, of_other = ([line for line, _ in export_jsonl(store.for_tenant(tenant))] for store in (plain, other))
    assert lines == of_other
    migrate(as_role(empty_database, role))
    with ConversationStore(as_role(empty_database, role)) as store:
        import_jsonl(store, io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
        assert [line for line, _ in export_jsonl(store)] == lines


def test_a_schema_that_the_role_migrates_is_that_of_others(database: str, empty_database: str, role: str) -> None:
    assert migrate(as_role(empty_database, role)) == NAMES
    assert shape(empty_database) == shape(database)


def test_an_import_of_ragflow_reads_and_stores_the_same(
    api: Api, server: Server, database: str, empty_database: str, role: str
) -> None:
    migrate(empty_database)
    results: list[Any] = []
    with source_database(server) as source:
        for from_, to in ((source, database), (as_role(source, role), as_role(empty_database, role))):
            totals, reports = import_and_report(api, from_, to)
            with ConversationStore(to) as store:
                dialogs = [dialog.to_dict() for dialog in store.dialogs.iter()]
                # One has no date there and gets that of the import.
                rows = [one.to_dict() for one in store.conversations.iter() if one.id != "no dates"]
            results.append((totals, reports, dialogs, rows))
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["idle_in_transaction_session_timeout", "transaction_timeout"])
def test_an_import_of_ragflow_takes_its_time(api: Api, server: Server, database: str, setting: str) -> None:
    def slowly(*_: object) -> None:
        time.sleep(0.3)

    with psycopg.connect(database) as connection:
        if connection.execute("SELECT FROM pg_settings WHERE name = %s", [setting]).fetchone() is None:
            return  # this version of the server has no such bound
    with role_with(server, {setting: "200ms"}) as role, source_database(server) as source:
        totals, _ = import_and_report(
            api, as_role(source, role), as_role(database, role), on_progress=slowly, check=True
        )
        assert totals["api_4_conversation"].imported > 0
        totals, _ = import_and_report(api, as_role(source, role), database, on_progress=slowly)
    assert totals["api_4_conversation"].imported > 0


@pytest.mark.parametrize(
    ("setting", "error"),
    [("lock_timeout", psycopg.errors.LockNotAvailable), ("statement_timeout", psycopg.errors.QueryCanceled)],
)
def test_a_bound_of_time_of_the_role_is_an_error_and_changes_nothing(
    api: Api, server: Server, db: str, plain_dialog: str, tenant: str, setting: str, error: type[Exception]
) -> None:
    with (
        role_with(server, {setting: "100ms"}) as role,
        psycopg.connect(db) as other,
        api.store(as_role(db, role)) as store,
    ):
        other.execute("SELECT FROM conversation_store.dialog WHERE id = %s FOR UPDATE", [plain_dialog])
        with pytest.raises(error, match="canceling statement due to"):
            store.dialogs.update_by_id(plain_dialog, {"name": "x"}, tenant_id=tenant)
        other.rollback()
        assert store.dialogs.get_by_id(plain_dialog, tenant_id=tenant).name is None


def test_a_search_that_would_miss_rows_is_refused(api: Api, server: Server, db: str, store: Any, tenant: str) -> None:
    store.dialogs.save(id="d", tenant_id=tenant)
    with role_with(server, {"gin_fuzzy_search_limit": "1"}) as role, api.store(as_role(db, role)) as other:
        assert other.conversations.get_list("d", tenant).count == 0
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="gin_fuzzy_search_limit must be 0"):
            other.conversations.get_list("d", tenant, keywords="检索")
