"""`conversation-store doctor`: each state that hurts is brought about on a server, found, and gone after the cure."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import ConversationStore, migrate
from conversation_store.dba.doctor import CHECKS, Finding, Patient, examine
from conversation_store.dba.doctor.plans import check_jit
from conversation_store.dba.doctor.server import judge_version
from conversation_store.dba.files import files
from conversation_store.dba.reading import bounded, read_one
from support.commands import call
from support.pooler import PROGRAM, pooler
from support.roles import GRANTS, service_role
from support.server import Server, embedded_server
from support.server import database as new_database
from support.standby import primary_and_standby

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


def findings(conninfo: str, check: str) -> list[Finding]:
    return examine(conninfo, only=[check])


def the_only(conninfo: str, check: str) -> Finding:
    (finding,) = findings(conninfo, check)
    assert finding.check == check
    return finding


def run(conninfo: str, *statements: str) -> None:
    """Run statements as the owner of the database, and let the statistics of what they changed be seen."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute("SELECT pg_stat_force_next_flush()")


def cure(owner: str, conninfo: str, check: str, level: str) -> Finding:
    """Find something, do what the finding says, and return the finding; nothing is found afterwards."""
    finding = the_only(conninfo, check)
    assert finding.level == level, finding
    run(owner, *filter(None, (part.strip() for part in finding.todo.split(";"))))
    assert the_only(conninfo, check).level == "ok"
    return finding


# -- the server ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "number", "year", "level"),
    [
        ("14.19", 140019, 2025, "problem"),
        ("15.4", 150004, 2026, "ok"),
        ("15.4", 150004, 2028, "advice"),
        ("18.0", 180000, 2030, "ok"),
        ("18.0", 180000, 2031, "advice"),
    ],
)
def test_a_version_that_is_too_old_or_no_longer_maintained_is_told(
    version: str, number: int, year: int, level: str
) -> None:
    finding = judge_version(version, number, datetime(year, 11, 20, tzinfo=UTC))
    assert (finding.level, version in finding.seen, bool(finding.todo)) == (level, True, level != "ok")


def test_the_version_is_that_of_the_server(db: str) -> None:
    with psycopg.connect(db) as connection:
        shown = connection.execute("SELECT current_setting('server_version')").fetchone()
    assert shown is not None
    assert shown[0] in the_only(db, "version").seen


ROLE_SETTINGS = {
    "default_transaction_read_only": ("on", "problem"),
    "plan_cache_mode": ("force_generic_plan", "problem"),
    "gin_fuzzy_search_limit": ("100", "problem"),
    "enable_indexscan": ("off", "advice"),
}


@pytest.mark.parametrize("name", ROLE_SETTINGS)
def test_a_setting_of_the_role_that_hurts_is_told_with_its_cure(db: str, name: str) -> None:
    value, level = ROLE_SETTINGS[name]
    with service_role(db, {name: value}) as service:
        (found,) = [finding for finding in findings(service, "settings") if finding.seen.startswith(f"{name} is")]
        assert (found.level, f"{name} is {value}" in found.seen) == (level, True)
        run(db, found.todo)
        assert not [finding for finding in findings(service, "settings") if name in finding.seen]


def test_a_server_that_may_lose_data_is_a_problem(server: Server, db: str) -> None:
    shown = {finding.seen.split(":")[0]: finding for finding in findings(db, "settings")}
    with psycopg.connect(db) as connection:
        if connection.execute("SELECT current_setting('fsync')").fetchone() != ("off",):
            pytest.skip("the caller's server has fsync on")
    assert shown["fsync is off"].level == "problem"
    assert shown["fsync is off"].todo.startswith("ALTER SYSTEM SET fsync = on")
    assert shown["synchronous_commit is off"].level == "advice"


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_an_isolation_that_makes_appends_fail_is_told_with_its_cure(db: str, isolation: str) -> None:
    with service_role(db, {"default_transaction_isolation": isolation}) as service:
        assert isolation in cure(db, service, "isolation", "problem").seen


def test_a_locale_that_folds_no_letters_is_told(server: Server) -> None:
    with new_database(server, c_locale=True) as conninfo:
        finding = the_only(conninfo, "locale")
    assert (finding.level, "LC_CTYPE C knows" in finding.seen, "C.UTF-8" in finding.todo) == ("advice", True, True)


def test_an_encoding_other_than_utf8_is_a_problem(server: Server) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE conversation_store_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            levels = {finding.level for finding in findings(server.conninfo("conversation_store_latin"), "locale")}
        finally:
            admin.execute("DROP DATABASE conversation_store_latin")
    assert "problem" in levels


def test_a_collation_that_has_changed_is_a_problem(database: str) -> None:
    run(database, "UPDATE pg_database SET datcollversion = '0.1' WHERE datname = current_database()")
    finding = the_only(database, "locale")
    assert (finding.level, "0.1" in finding.seen) == ("problem", True)
    assert "REFRESH COLLATION VERSION" in finding.todo


# -- what stands between ---------------------------------------------------------------------


def test_a_connection_without_a_pooler_is_told_so(db: str) -> None:
    assert the_only(db, "pooler").level == "ok"


@needs_pgbouncer
def test_a_pooler_is_recognised_by_the_process_that_answers(db: str) -> None:
    with pooler(db) as behind:
        finding = the_only(behind, "pooler")
        assert (finding.level, "prepare=True" in finding.todo) == ("advice", True)
        # Every check works behind it.
        assert not [finding for finding in examine(behind) if finding.level == "unknown"]


def test_a_role_with_the_documented_rights_may_run_every_statement(db: str) -> None:
    with service_role(db) as service:
        assert the_only(service, "privileges").level == "ok"
    assert "as a superuser" in the_only(db, "privileges").seen


@pytest.mark.parametrize(
    ("revoked", "told"),
    [
        ("INSERT ON conversation_store.conversation_message", "permission denied for table conversation_message"),
        ("SELECT ON conversation_store.dialog", "permission denied for table dialog"),
        ("UPDATE ON conversation_store.api_token", "permission denied for table api_token"),
        ("DELETE ON conversation_store.conversation_turn", None),  # which no statement needs: the key cascades
        ("USAGE ON SCHEMA conversation_store", "may not use the schema"),
    ],
)
def test_a_right_that_a_statement_needs_is_told_with_the_grant(db: str, revoked: str, told: str | None) -> None:
    with service_role(db) as service:
        role = conninfo_to_dict(service)["user"]
        run(db, f"REVOKE {revoked} FROM {role}")
        if told is None:
            assert the_only(service, "privileges").level == "ok"
            return
        found = cure(db, service, "privileges", "problem")
        assert told in found.seen
        assert revoked.split()[0] in found.todo


def test_only_the_statements_that_need_a_right_are_named(db: str) -> None:
    with service_role(db) as service:
        run(db, f"REVOKE DELETE ON conversation_store.dialog FROM {conninfo_to_dict(service)['user']}")
        seen = the_only(service, "privileges").seen
    assert seen == (
        "permission denied for table dialog: dialog.delete_by_id, dialog.delete_by_ids, dialog.delete_by_tenant_id"
    )


def test_a_copy_needs_its_table_too(db: str) -> None:
    with service_role(db) as service:
        run(db, f"REVOKE INSERT ON conversation_store.conversation FROM {conninfo_to_dict(service)['user']}")
        assert "conversation.insert_many" in the_only(service, "privileges").seen


def test_functions_that_the_role_may_not_execute_are_told_with_the_grant(database: str) -> None:
    run(database, "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA conversation_store FROM PUBLIC")
    with service_role(database, grants=GRANTS[:2]) as service:
        shown = findings(service, "privileges")
        assert {finding.level for finding in shown} == {"problem"}
        assert any("may not execute functions" in finding.seen and "fold" not in finding.todo for finding in shown)
        run(database, next(finding.todo for finding in shown if "GRANT EXECUTE" in finding.todo))
        assert the_only(service, "privileges").level == "ok"


def test_what_the_files_of_a_service_need_is_looked_at_too(database: str, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    text = "/* orders.get */\n-- Return an order.\n-- returns: optional\nSELECT o.id FROM public.orders AS o WHERE o.id = :id::int;\n"
    (tmp_path / "orders" / "get.sql").write_text(text)
    run(database, "CREATE TABLE public.orders (id integer)")
    with service_role(database) as service:
        (finding,) = examine(service, tmp_path, only=["privileges"])
    assert (finding.level, finding.seen) == ("problem", "permission denied for table orders: orders.get")


def test_a_file_of_a_service_that_cannot_run_is_a_problem(database: str, tmp_path: Path) -> None:
    file = tmp_path / "orders" / "get.sql"
    file.parent.mkdir()
    file.write_text("/* orders.get */\n-- Get.\n--\n-- returns: many\nSELECT o.id FROM public.nosuch AS o;\n")
    (finding,) = examine(database, tmp_path, only=["privileges"])
    assert (finding.level, finding.seen) == ("problem", 'relation "public.nosuch" does not exist: orders.get')


def test_the_schema_of_a_service_is_told_with_the_grant(database: str, tmp_path: Path) -> None:
    file = tmp_path / "orders" / "get.sql"
    file.parent.mkdir()
    file.write_text("/* orders.get */\n-- Get.\n--\n-- returns: many\nSELECT o.id FROM svc.orders AS o;\n")
    run(database, "CREATE SCHEMA svc", "CREATE TABLE svc.orders (id integer)")
    with service_role(database) as service:
        (finding,) = examine(service, tmp_path, only=["privileges"])
        assert finding.seen == "permission denied for schema svc: orders.get"
        run(database, finding.todo)
        (finding,) = examine(service, tmp_path, only=["privileges"])
        assert finding.seen == "permission denied for table orders: orders.get"
        assert finding.todo.startswith("GRANT SELECT ON svc.orders TO ")
        run(database, finding.todo.partition(";")[0])
        assert examine(service, tmp_path, only=["privileges"])[0].level == "ok"


def test_rights_behind_a_lock_are_unknown_and_the_holder_is_named(database: str) -> None:
    with service_role(database) as service:
        run(database, f"REVOKE DELETE ON conversation_store.dialog FROM {conninfo_to_dict(service)['user']}")
        with psycopg.connect(database, application_name="an upgrade") as holder:
            holder.execute("LOCK TABLE conversation_store.dialog, conversation_store.api_token")
            process = holder.info.backend_pid
            finding = the_only(service, "privileges")
    assert (finding.level, "lock timeout" in finding.seen) == ("unknown", True)
    assert f"the process {process} (" in finding.todo
    assert "holds AccessExclusiveLock on conversation_store." in finding.todo


ON_WORKERS = ["autovacuum", "bloat", "pending_lists", "statistics", "visibility_map", "work_mem"]


def test_what_is_of_rows_is_unknown_where_workers_have_them(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conversation_store.dba.doctor.is_distributed", lambda connection: True)
    found = examine(db, only=[*ON_WORKERS, "version"])
    unknown = {finding.check: finding for finding in found if finding.level == "unknown"}
    assert sorted(unknown) == ON_WORKERS
    assert {finding.seen for finding in unknown.values()} == {"the rows are on the workers"}


def test_policies_of_rows_are_told(database: str) -> None:
    for table in ("api_token", "conversation_message"):
        run(database, f"ALTER TABLE conversation_store.{table} ENABLE ROW LEVEL SECURITY")
    with service_role(database) as service:
        first, second = findings(service, "policies")
    assert (first.level, "no request authenticates" in first.seen) == ("problem", True)
    assert (second.level, "COPY" in second.seen) == ("advice", True)
    assert the_only(database, "policies").level == "ok"  # for a superuser no policy holds


# -- plans -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(server: Server) -> Generator[str]:
    """Give a database whose table of messages has more than 1,000 pages, of which a part is used each."""
    with new_database(server) as conninfo:
        migrate(conninfo)
        run(
            conninfo,
            "ALTER TABLE conversation_store.conversation_message SET (fillfactor = 10)",
            "INSERT INTO conversation_store.dialog (id, tenant_id) VALUES ('d', 't')",
            "INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, message_count)"
            " SELECT 'c' || i, 't', 'd', 1 FROM generate_series(1, 6000) AS i",
            "INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)"
            " SELECT 'c' || i, 1, 't', 'd', json_build_object('role', 'user', 'content', i || repeat('x', 100))"
            " FROM generate_series(1, 6000) AS i",
            "VACUUM ANALYZE",
        )
        yield conninfo


def jit_of(conninfo: str) -> Finding:
    """Return what is said of JIT on a server that has it, whether this one has or not."""
    with psycopg.connect(conninfo, autocommit=True) as connection, bounded(connection):
        facts = read_one(connection, "doctor.server")._replace(has_jit=True)
        patient = Patient(connection, facts, [file for file in files() if not file.of_ragflow])
        (finding,) = check_jit(patient)
    return finding


def test_jit_is_a_problem_where_plans_look_dear(filled: str) -> None:
    with service_role(filled, {"jit": "on", "jit_above_cost": "2000"}) as service:
        finding = jit_of(service)
        assert finding.level == "problem"
        assert "conversation.get_list_by_keywords (" in finding.seen
        run(filled, finding.todo)
        assert jit_of(service).level == "ok"


def test_jit_is_worth_a_look_where_no_plan_looks_dear(filled: str) -> None:
    with service_role(filled, {"jit": "on", "jit_above_cost": "1e9"}) as service:
        finding = jit_of(service)
    assert (finding.level, "the dearest is that of conversation." in finding.seen) == ("advice", True)


def test_work_mem_without_room_for_a_bitmap_is_told_with_its_cure(filled: str) -> None:
    with service_role(filled, {"work_mem": "64kB"}) as service:
        assert "work_mem is 64 kB" in cure(filled, service, "work_mem", "problem").seen


@pytest.mark.parametrize("work_mem", ["64kB", "100kB", "1MB"])
def test_work_mem_is_judged_as_the_searches_do(filled: str, work_mem: str) -> None:
    with service_role(filled, {"work_mem": work_mem}) as service, psycopg.connect(service) as connection:
        fits = connection.execute("SELECT conversation_store.bitmap_fits()").fetchone()
        assert (the_only(service, "work_mem").level == "ok",) == fits


def wait_in_pending_lists(conninfo: str, rounds: int) -> None:
    """Write long messages in a session whose pending lists may be large."""
    text = "".join(chr(0x4E00 + n) for n in range(400))
    with ConversationStore(make_conninfo(conninfo, options="-c gin_pending_list_limit=64MB")) as store:
        acme = store.for_tenant("acme")
        acme.dialogs.save(id="pending")
        for n in range(rounds):
            message = [{"role": "user", "content": f"{n}{m}{text[m:]}{text[:m]}"} for m in range(10)]
            acme.conversations.save(dialog_id="pending", message=message)


def test_what_waits_in_a_pending_list_is_measured_and_told_with_its_cure(database: str) -> None:
    for table in ("conversation", "conversation_message"):
        run(database, f"ALTER TABLE conversation_store.{table} SET (autovacuum_enabled = false)")
    with service_role(database) as service:
        wait_in_pending_lists(database, 10)
        assert " kB in conversation_message_search_idx" in the_only(service, "pending_lists").seen
        wait_in_pending_lists(database, 60)
        finding = cure(database, service, "pending_lists", "advice")
        assert "MB wait in the pending list of conversation_message_search_idx" in finding.seen


def test_the_pending_list_of_a_small_table_is_measured_too(database: str) -> None:
    wait_in_pending_lists(database, 1)
    run(database, "VACUUM ANALYZE conversation_store.conversation, conversation_store.conversation_message")
    assert the_only(database, "pending_lists").level == "ok"


def test_a_limit_of_pending_lists_that_is_high_is_told_with_its_cure(db: str) -> None:
    with service_role(db, {"gin_pending_list_limit": "64MB"}) as service:
        first, second = findings(service, "pending_lists")
        assert {first.level, second.level} == {"advice"}
        assert "gin_pending_list_limit is 64 MB for conversation_message_search_idx" in first.seen + second.seen
        run(db, first.todo.partition(" and ")[0])
        assert the_only(service, "pending_lists").level == "ok"


# -- vacuum and analyze ----------------------------------------------------------------------


def filled_dialogs(conninfo: str, number: int = 60_000) -> None:
    """Fill the table of dialogs, which nothing vacuums."""
    run(
        conninfo,
        "ALTER TABLE conversation_store.dialog SET (autovacuum_enabled = false)",
        "INSERT INTO conversation_store.dialog (id, tenant_id, name)"
        f" SELECT 'd' || i, 'acme', repeat('x', 100) FROM generate_series(1, {number}) AS i",
        "CHECKPOINT",  # until the commit is on disk, which synchronous_commit does not wait for, no page is all visible
    )


def test_a_table_without_autovacuum_is_a_problem(database: str) -> None:
    run(database, "ALTER TABLE conversation_store.conversation SET (autovacuum_enabled = false)")
    assert "off for conversation" in cure(database, database, "autovacuum", "problem").seen


def test_dead_rows_that_autovacuum_leaves_are_told_with_their_number(database: str) -> None:
    filled_dialogs(database)
    run(database, "ANALYZE conversation_store.dialog", "DELETE FROM conversation_store.dialog WHERE right(id, 1) = '0'")
    # A tenth is no more than autovacuum leaves.
    assert not [each for each in findings(database, "autovacuum") if "behind" in each.seen]
    run(database, "DELETE FROM conversation_store.dialog WHERE right(id, 1) < '8'")
    (behind,) = [each for each in findings(database, "autovacuum") if "behind" in each.seen]
    assert (behind.level, "48,000 dead rows, 80% of all" in behind.seen) == ("advice", True)
    run(database, behind.todo.partition(";")[0])
    assert not [each for each in findings(database, "autovacuum") if "behind" in each.seen]
    # The rows that are left stand where they stood.
    bloat = the_only(database, "bloat")
    assert (bloat.level, bloat.seen.startswith("dialog has 1,")) == ("advice", True)
    run(database, "VACUUM (FULL, ANALYZE) conversation_store.dialog")
    assert the_only(database, "bloat").level == "ok"


def test_a_full_table_is_not_taken_for_bloat(database: str, filled: str) -> None:
    filled_dialogs(database)
    run(database, "VACUUM ANALYZE conversation_store.dialog")
    assert the_only(database, "bloat").level == "ok"
    assert the_only(filled, "bloat").level == "ok"  # a fillfactor is no bloat


def test_a_table_without_a_visibility_map_is_told_with_its_cure(database: str) -> None:
    filled_dialogs(database)
    finding = the_only(database, "visibility_map")
    assert (finding.level, "covers 0 of the 1," in finding.seen) == ("advice", True)
    run(database, finding.todo.partition(";")[0])
    assert the_only(database, "visibility_map").level == "ok"


def test_a_table_that_was_never_analysed_or_changed_since_is_told_with_its_cure(database: str) -> None:
    filled_dialogs(database)
    assert "dialog was never analysed" in cure(database, database, "statistics", "advice").seen
    run(database, "UPDATE conversation_store.dialog SET name = 'y' WHERE right(id, 1) < '5'")
    assert "30,000 changes of dialog" in cure(database, database, "statistics", "advice").seen


# -- what is stored --------------------------------------------------------------------------


def test_tokens_that_never_expire_or_were_never_used_are_told(database: str) -> None:
    assert the_only(database, "tokens").level == "ok"
    with ConversationStore(database) as store:
        acme = store.for_tenant("acme")
        lasting, used, fresh, revoked = (acme.tokens.issue() for _ in range(4))
        store.tokens.authenticate(used.token)
        acme.tokens.revoke(revoked.id)
        for token in (used, fresh):
            acme.tokens.expire(token.id, expire_date=datetime(2200, 1, 1, tzinfo=UTC))
    run(
        database,
        f"UPDATE conversation_store.api_token SET create_date = now() - interval '31 days' WHERE id <> {fresh.id}",
    )
    first, second = findings(database, "tokens")
    assert (first.level, second.level) == ("advice", "advice")
    assert first.seen == f"1 of 3 live tokens never expire, such as those with the ids {lasting.id}"
    assert second.seen.startswith("1 of 3 live tokens were never used in 30 days")
    assert second.seen.endswith(f"ids {lasting.id}")
    with ConversationStore(database) as store:
        store.for_tenant("acme").tokens.revoke(lasting.id)
    assert the_only(database, "tokens").level == "ok"


def test_no_part_of_a_secret_is_told(database: str) -> None:
    with ConversationStore(database) as store:
        issued = store.for_tenant("acme").tokens.issue()
    with service_role(database) as service:
        shown = call("doctor", "--json", database=service).stdout
    assert str(issued.id) in shown
    assert issued.hint not in shown
    assert issued.token[:12] not in shown
    assert "'secret'" not in shown
    assert "password" not in shown


def test_dialogs_without_conversations_are_told(database: str) -> None:
    with ConversationStore(database) as store:
        acme = store.for_tenant("acme")
        for id in ("empty", "fresh", "full"):
            acme.dialogs.save(id=id)
        acme.conversations.save(dialog_id="full")
        other = store.for_tenant("other")
        other.dialogs.save(id="empty")  # one of the same id, which has a conversation
        other.conversations.save(dialog_id="empty")
    run(database, "UPDATE conversation_store.dialog SET create_date = now() - interval '31 days' WHERE id <> 'fresh'")
    finding = the_only(database, "dialogs")
    assert (finding.level, finding.seen) == (
        "advice",
        "1 of 3 dialogs that are 30 days old or older have no conversation, such as (tenant: id) acme: empty",
    )


# -- the schema, and the whole ---------------------------------------------------------------


def test_a_database_without_the_schema_is_told_to_migrate_and_stops_nothing(empty_database: str) -> None:
    found = examine(empty_database)
    schema = [finding for finding in found if finding.check == "schema"]
    assert {finding.level for finding in schema} == {"problem"}
    assert "conversation-store migrate" in schema[0].todo
    assert {finding.check for finding in found} == set(CHECKS)
    assert not [finding for finding in found if finding.level == "unknown" and not finding.todo]
    migrate(empty_database)
    assert the_only(empty_database, "schema").level == "ok"


def test_an_index_that_is_missing_is_told_with_its_cure(database: str) -> None:
    run(database, "DROP INDEX conversation_store.api_token_tenant_id_dialog_id_idx")
    finding = the_only(database, "schema")
    assert (finding.level, "api_token_tenant_id_dialog_id_idx" in finding.seen) == ("problem", True)
    run(database, finding.todo.removeprefix("run: "))
    assert the_only(database, "schema").level == "ok"


def test_a_check_that_is_not_permitted_or_takes_too_long_stops_nothing(database: str) -> None:
    with service_role(database, grants=()) as service:
        found = {finding.check: finding for finding in examine(service, only=["version", "tokens", "privileges"])}
    assert found["version"].level == "ok"
    assert (found["tokens"].level, "permission denied" in found["tokens"].seen) == ("unknown", True)
    assert found["privileges"].level == "problem"
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE conversation_store.api_token")
        finding, other = examine(database, only=["tokens", "dialogs"])
    assert (finding.check, finding.level, "lock timeout" in finding.seen) == ("tokens", "unknown", True)
    assert (other.check, other.level) == ("dialogs", "ok")
    run(
        database,
        *[
            "INSERT INTO conversation_store.dialog (id, tenant_id, create_date) SELECT 'd' || i, 'acme', '2020-01-01' FROM generate_series(1, 50000) AS i"
        ],
    )
    (finding,) = examine(database, only=["dialogs"], seconds=0.001)
    assert (finding.level, "--seconds" in finding.todo) == ("unknown", True)


def test_nothing_is_changed(database: str) -> None:
    def written() -> Any:
        with psycopg.connect(database) as connection:
            return connection.execute(
                "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables"
            ).fetchone()

    before = written()
    with service_role(database, {"default_transaction_read_only": "on"}) as service:
        assert not [finding for finding in examine(service) if finding.level == "unknown"]
    assert written() == before


def test_the_command_prints_the_worst_first_and_the_same_as_json(db: str) -> None:
    with service_role(db, {"default_transaction_isolation": "serializable", "jit": "off"}) as service:
        arguments = ("doctor", "--only", "isolation", "--only", "version", "--only", "jit")
        done = call(*arguments, database=service)
        shown = json.loads(call(*arguments, "--json", database=service).stdout)
        assert done.code == 1
        assert call("doctor", "--only", "jit", database=service).code == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")] == ["problem", "ok", "ok"]
    assert "→ ALTER ROLE" in done.stdout
    assert [(each["check"], each["level"]) for each in shown] == [
        ("isolation", "problem"),
        ("version", "ok"),
        ("jit", "ok"),
    ]
    assert all(each.keys() == {"check", "level", "seen", "todo"} for each in shown)


def test_an_id_that_moves_the_cursor_is_shown_as_text(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversation_store.dialog (id, tenant_id, create_date) VALUES (%s, 'acme', '2020-01-01')",
            ["\x1b[2J[red]"],
        )
    shown = call("doctor", "--only", "dialogs", database=database).stdout
    assert "\x1b" not in shown
    assert "\\x1b[2J[red]" in shown


def test_a_check_that_there_is_not_is_an_error_that_names_those_there_are(db: str) -> None:
    done = call("doctor", "--only", "nothing", database=db)
    assert (done.code, "there is no check 'nothing'; there are installation, schema" in done.stderr) == (1, True)


@pytest.mark.slow
def test_a_server_that_is_set_up_as_documented_has_no_problem() -> None:
    settings = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
    with embedded_server(settings) as server, new_database(server) as conninfo:
        migrate(conninfo)
        with service_role(conninfo, {"jit": "off"}) as service:
            done = call("doctor", database=service)
            found = {finding.check: finding.level for finding in examine(service)}
    assert (done.code, done.stderr) == (0, "")
    assert found == dict.fromkeys(CHECKS, "ok")


@pytest.mark.slow
def test_a_server_without_autovacuum_and_counters_is_a_problem() -> None:
    settings = {"autovacuum": "off", "track_counts": "off"}
    with embedded_server(settings) as server:
        shown = [finding.seen.split(":")[0] for finding in findings(server.conninfo(), "settings")]
    assert {"autovacuum is off", "track_counts is off"} <= set(shown)


@pytest.mark.slow
def test_a_standby_is_examined_too() -> None:
    with primary_and_standby() as pair, new_database(pair.primary) as conninfo:
        migrate(conninfo)
        pair.wait()
        dbname = conninfo_to_dict(conninfo)["dbname"]
        found = examine(pair.standby.conninfo(str(dbname)))
    assert not [finding for finding in found if finding.level == "unknown"]
