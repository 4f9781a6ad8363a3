"""An import from MySQL: what is read of its collations, its character sets, its numbers and its dates."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from conversation_store import ConversationStore
from conversation_store.ragflow import Totals
from support import ragflow_mysql
from support.both_apis import AsyncApi, SyncApi
from support.mysql import MySql, needs_mysql
from support.ragflow_rows import (
    DATES,
    DIALOG,
    IN_MILLISECONDS,
    IN_UTC,
    NOON,
    conversation,
    import_and_report,
)

pytestmark = needs_mysql

Api = SyncApi | AsyncApi


# -- collations ---------------------------------------------------------------------------

COLLATIONS = [
    "utf8mb4_unicode_ci",
    "utf8mb4_general_ci",
    "utf8mb4_bin",
    "utf8mb4_unicode_nopad_ci",
    "utf8mb3_general_ci",
    "latin1_swedish_ci",
]


@pytest.mark.parametrize("collation", COLLATIONS)
def test_every_row_is_read_once_in_every_collation(mysql: MySql, old_mysql: str, database: str, collation: str) -> None:
    at_random = random.Random(7)
    alphabet = "abAB eéEÉ_-zZ09'%ss" + ("" if "latin1" in collation else "检ß")
    wanted = {"".join(at_random.choices(alphabet, k=at_random.randint(1, 4))) for _ in range(300)}
    with mysql.connect(old_mysql) as connection, connection.cursor() as cursor:
        for table in ("dialog", "user_canvas", "api_token", "api_4_conversation"):
            cursor.execute(
                f"ALTER TABLE {table} CONVERT TO CHARACTER SET {collation.split('_')[0]} COLLATE {collation}"
            )
        ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
        for id in sorted(wanted):
            # Of those that are one to the collation the server keeps one.
            cursor.execute("INSERT IGNORE INTO api_4_conversation (id, dialog_id) VALUES (%s, 'd')", [id])
            day = NOON + timedelta(days=len(id))
            values = [at_random.choice("abAB"), f"{id}-token", day]
            cursor.execute("INSERT IGNORE INTO api_token (tenant_id, token, create_date) VALUES (%s, %s, %s)", values)
        cursor.execute("SELECT id FROM api_4_conversation")
        ids = sorted(id for (id,) in cursor.fetchall())
        cursor.execute("SELECT token FROM api_token")
        tokens = {token for (token,) in cursor.fetchall()}
    assert len(ids) > 50
    totals, _ = import_and_report(SyncApi(), mysql.url(old_mysql), database, batch_size=7)
    assert totals["api_4_conversation"].repaired == len(ids)
    # A token is one for all tenants.
    assert (totals["api_token"].read, totals["api_token"].repaired) >= (len(tokens), len(tokens))
    with ConversationStore(database) as store:
        assert sorted(store.conversations.iter_ids()) == ids


def test_tokens_and_ids_that_differ_in_case_are_two(api: Api, mysql: MySql, old_mysql: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG, DATES | {"id": "x", "tenant_id": "u"}])
    ragflow_mysql.insert(mysql, old_mysql, "user_canvas", [DATES | {"id": "D", "user_id": "t", "title": "agent"}])
    rows = [conversation("1"), conversation("2", dialog_id="D", source="agent"), conversation("3", dialog_id="X")]
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", rows)
    secrets = ["ragflow-AbCdEf", "ragflow-aBcDeF", "ragflow-abcdef "]
    tokens = [DATES | {"tenant_id": f"t{i}", "token": secret} for i, secret in enumerate(secrets)]
    ragflow_mysql.insert(mysql, old_mysql, "api_token", tokens)
    totals, reports = import_and_report(api, mysql.url(old_mysql), database)
    assert [(report.id, report.reason) for report in reports] == [("3", "its dialog 'X' is missing, or was rejected")]
    assert totals["user_canvas"].imported == 1
    with ConversationStore(database) as store:
        assert [(d.id, d.name) for d in store.for_tenant("t").dialogs.iter()] == [("D", "agent"), ("d", None)]
        assert {c.id: c.dialog_id for c in store.conversations.iter()} == {"1": "d", "2": "D"}
        found = [store.tokens.authenticate(secret) for secret in secrets]
        assert [token and token.tenant_id for token in found] == ["t0", "t1", "t2"]


def test_tables_of_collations_that_cannot_be_compared_are_read(mysql: MySql, old_mysql: str, database: str) -> None:
    # An upgrade of the server changes the collation of tables that are created later.
    mysql.run(
        "ALTER TABLE user_canvas CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "ALTER TABLE dialog CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci",
        database=old_mysql,
    )
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    ragflow_mysql.insert(mysql, old_mysql, "user_canvas", [DATES | {"id": id, "user_id": "t"} for id in "de"])
    totals, reports = import_and_report(SyncApi(), mysql.url(old_mysql), database)
    assert totals["user_canvas"] == Totals(read=2, imported=1, rejected=1)
    assert [(report.id, report.reason) for report in reports] == [("d", "a dialog there has this id too")]


# -- texts --------------------------------------------------------------------------------

MESSAGE = [{"role": "user", "content": "Café 10 € ‰"}]


@pytest.mark.parametrize(
    "kind", ["longtext CHARACTER SET latin1", "longtext CHARACTER SET utf8mb3", "longblob", "json"]
)
def test_texts_of_columns_of_another_character_set_are_read(
    mysql: MySql, old_mysql: str, database: str, kind: str
) -> None:
    name = (
        kind.replace("longtext", "varchar(255)").replace("longblob", "varbinary(255)").replace("json", "varchar(255)")
    )
    mysql.run(
        f"ALTER TABLE api_4_conversation MODIFY message {kind}, MODIFY reference {kind}, MODIFY name {name}",
        database=old_mysql,
    )
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    row = conversation("1", message=json.dumps(MESSAGE, ensure_ascii=False), reference=None, name="Café €")
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", [row])
    _, reports = import_and_report(SyncApi(), mysql.url(old_mysql), database)
    assert reports == []
    with ConversationStore(database) as store:
        (read,) = store.conversations.iter()
        assert (read.message, read.reference, read.name) == (MESSAGE, [], "Café €")


def test_characters_beyond_the_basic_plane_are_read(api: Api, mysql: MySql, old_mysql: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG | {"name": "\U0001f600 𠮷"}])
    rows = [conversation("1", message=json.dumps(["\U0001f600 𠮷"], ensure_ascii=False), name="𠮷\\'\"%s\n")]
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", rows)
    _, reports = import_and_report(api, mysql.url(old_mysql), database)
    assert reports == []
    with ConversationStore(database) as store:
        (read,) = store.conversations.iter()
        assert (read.message, read.name) == (["\U0001f600 𠮷"], "𠮷\\'\"%s\n")
        assert [dialog.name for dialog in store.dialogs.iter()] == ["\U0001f600 𠮷"]


def test_u0000_in_a_text_is_repaired_or_rejected_and_told(
    api: Api, mysql: MySql, old_mysql: str, database: str
) -> None:
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG | {"name": "a\0b"}, DIALOG | {"id": "e\0"}])
    rows = [
        conversation("1", name="a\0", user_id="\0", exp_user_id="\0", source="\0", errors="\0", version_title="\0"),
        conversation("2", message='["a\0b"]'),
        conversation("3", dialog_id="e\0"),
        conversation("\0"),
    ]
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", rows)
    tokens = [
        {"token": "ragflow-a", "beta": "b\0"},
        {"token": "ragflow-b\0"},
        {"token": "ragflow-c", "dialog_id": "e\0"},
        {"token": "ragflow-d", "source": "\0"},
    ]
    ragflow_mysql.insert(mysql, old_mysql, "api_token", [DATES | {"tenant_id": "t"} | token for token in tokens])
    for update in (False, True):
        totals, reports = import_and_report(api, mysql.url(old_mysql), database, update=update)
        assert [totals[table].rejected for table in ("dialog", "api_token", "api_4_conversation")] == [1, 3, 2]
        repaired = {(r.table, r.id): r.reason for r in reports if r.outcome == "repaired"}
        if update:
            assert repaired == {}  # all are there
            continue
        assert repaired.pop(("dialog", "d")) == "name had U+0000, which is U+FFFD now"
        assert repaired.pop(("api_token", "t …")) == "its beta has U+0000 and was left out"
        assert repaired.pop(("api_4_conversation", "1")).count("had U+0000") == 6
        assert repaired.pop(("api_4_conversation", "2")) == "message is not JSON and was kept as its text"
        assert repaired == {}
    with ConversationStore(database) as store:
        assert [d.name for d in store.dialogs.iter()] == ["a\ufffdb"]
        assert {c.id: (c.name, c.message) for c in store.conversations.iter()} == {
            "1": ("a\ufffd", []),
            "2": (None, '["a\ufffdb"]'),
        }


def test_numbers_of_single_precision_have_all_their_digits_and_no_more(
    mysql: MySql, old_mysql: str, database: str
) -> None:
    numbers = [0.1, 123456.79, 16777216.0, 1e-38, 3.4028235e38 / 1e30, 0.0, 5e-324, 1 / 3]
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    rows = [conversation(str(i), duration=number) for i, number in enumerate(numbers)]
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", rows)
    import_and_report(SyncApi(), mysql.url(old_mysql), database)
    with ConversationStore(database) as store:
        read = [c.duration for c in sorted(store.conversations.iter(), key=lambda c: c.id)]
    assert read == [0.1, 123456.79, 16777216.0, 1e-38, 340282340.0, 0.0, 0.0, 0.33333334]


def test_numbers_of_double_precision_are_read_as_they_are(mysql: MySql, old_mysql: str, database: str) -> None:
    mysql.run(
        "ALTER TABLE api_4_conversation MODIFY duration double NOT NULL, MODIFY thumb_up tinyint(1)", database=old_mysql
    )
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    numbers = [0.1, 1 / 3, 123456.7890123, 1e15]
    rows = [conversation(str(i), duration=number, thumb_up=i % 2) for i, number in enumerate(numbers)]
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", rows)
    import_and_report(SyncApi(), mysql.url(old_mysql), database)
    with ConversationStore(database) as store:
        read = sorted(store.conversations.iter(), key=lambda c: c.id)
    assert [(c.duration, c.thumb_up) for c in read] == list(zip(numbers, [0, 1, 0, 1], strict=True))


# -- dates --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["datetime", "datetime(6)", "timestamp", "timestamp(6)"])
def test_dates_are_read_whatever_the_kind_of_their_column(
    api: Api, mysql: MySql, old_mysql: str, database: str, kind: str
) -> None:
    for table in ("dialog", "api_token", "api_4_conversation"):
        changes = ", ".join(f"MODIFY {field}_date {kind} NULL" for field in ("create", "update"))
        mysql.run(f"ALTER TABLE {table} {changes}", database=old_mysql)
    # The wall clock in Berlin; an instant is the same whatever the zone of the server.
    noon, summer = datetime(2024, 1, 31, 5), datetime(2024, 7, 1, 6, 30)
    at = ["2024-01-31 04:00:00", "2024-07-01 04:30:00"] if "timestamp" in kind else [noon, summer]
    with mysql.connect(old_mysql) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("INSERT INTO dialog (id, tenant_id, create_date, update_date) VALUES ('d', 't', %s, %s)", at)
        cursor.execute(
            "INSERT INTO api_token (tenant_id, token, create_date, update_date) VALUES ('t', 'x', %s, %s)", at
        )
        cursor.execute(
            "INSERT INTO api_4_conversation (id, dialog_id, create_date, update_date) VALUES ('c', 'd', %s, %s)", at
        )
    mysql.run("SET GLOBAL time_zone = '-05:00'")
    try:
        _, reports = import_and_report(api, mysql.url(old_mysql), database, time_zone="Europe/Berlin", batch_size=1)
    finally:
        mysql.run("SET GLOBAL time_zone = SYSTEM")
    assert reports == []
    with ConversationStore(database) as store:
        token = store.tokens.query(tenant_id="t")[0]
        for row in (*store.dialogs.iter(), *store.conversations.iter(), token):
            assert row.create_date == IN_UTC
            assert row.update_date == datetime(2024, 7, 1, 4, 30, tzinfo=UTC)


def test_what_is_no_date_is_taken_from_its_bigint(api: Api, mysql: MySql, old_mysql: str, database: str) -> None:
    ragflow_mysql.insert(mysql, old_mysql, "dialog", [DIALOG])
    no_dates = ["0000-00-00 00:00:00", "2024-00-00 00:00:00", "2024-01-00 00:00:00", "0000-01-01 00:00:00"]
    rows = [conversation(str(i), create_date=no_date) for i, no_date in enumerate(no_dates)]
    with mysql.connect(old_mysql) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute("UPDATE dialog SET update_date = '2024-02-31 12:00:00'")
    ragflow_mysql.insert(mysql, old_mysql, "api_4_conversation", rows)
    tokens = [
        DATES | {"tenant_id": f"t{i}", "token": "same", "create_date": date, "update_date": date}
        for i, date in enumerate([None, no_dates[0], no_dates[1], NOON, NOON + timedelta(days=1)])
    ]
    ragflow_mysql.insert(mysql, old_mysql, "api_token", tokens)
    totals, reports = import_and_report(api, mysql.url(old_mysql), database, batch_size=2)
    assert totals["api_4_conversation"].repaired == len(no_dates)
    reasons = {(report.table, report.reason) for report in reports}
    assert ("dialog", "it had no usable update_date and got update_time") in reasons
    assert ("api_4_conversation", "it had no usable create_date and got create_time") in reasons
    with ConversationStore(database) as store:
        assert {c.create_date for c in store.conversations.iter()} == {IN_MILLISECONDS}
        # The oldest of those with a date has it.
        token = store.tokens.authenticate("same")
        assert token is not None
        assert token.tenant_id == "t3"
