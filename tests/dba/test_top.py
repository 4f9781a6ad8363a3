"""`conversation-store top`: what a server has counted, by file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from conversation_store import ConversationStore, DialogNotFound, migrate
from conversation_store._sql_loader import load
from conversation_store.dba.files import files
from conversation_store.dba.query_ids import StatisticsError, find, known_files, tokens
from conversation_store.dba.reading import bounded
from conversation_store.dba.top import Top, top
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.operation import check_all
from support.roles import service_role
from support.server import database as new_database
from support.server import embedded_server

OURS = [file for file in files() if not file.of_ragflow]


@pytest.fixture
def counted(database: str) -> str:
    """Give a migrated database whose statements are counted."""
    with psycopg.connect(database, autocommit=True) as connection:
        preloaded = connection.execute("SELECT current_setting('shared_preload_libraries')").fetchone()
        if "pg_stat_statements" not in str(preloaded):
            pytest.skip("the caller's server does not preload pg_stat_statements")
        connection.execute("CREATE EXTENSION pg_stat_statements")
        # What other tests have run may fill the room that there is, for all databases.
        connection.execute("SET pg_stat_statements.track = 'none'")
        connection.execute("SELECT pg_stat_statements_reset()")
    return database


def top_of(conninfo: str, catalogue: Iterable[Any] = OURS, **arguments: Any) -> Top:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return top(connection, catalogue, **arguments)


def use(conninfo: str) -> None:
    """Write with a COPY and without, and read."""
    with ConversationStore(conninfo) as store:
        acme = store.for_tenant("acme")
        acme.dialogs.save(id="d")
        acme.conversations.insert_many([{"id": "c", "dialog_id": "d", "message": ["one"], "reference": ["two"]}])
        acme.conversations.get_list("d")


@contextmanager
def setting(conninfo: str, name: str, value: str) -> Generator[None]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.Identifier(*name.split(".")), value)
        )
        yield


# -- which statement is which file -----------------------------------------------------------


@pytest.mark.parametrize("prepare_threshold", [0, None], ids=["prepared", "not prepared"])
def test_each_call_of_each_operation_is_counted_under_its_file(
    api: SyncApi | AsyncApi, counted: str, prepare_threshold: int | None
) -> None:
    calls: Counter[str] = Counter()

    def on_statement(name: str, seconds: float, rows: int, error: str | None) -> None:
        calls[name] += error is None

    with (
        api.pool(counted, kwargs={"prepare_threshold": prepare_threshold}) as pool,
        api.store(pool=pool, on_statement=on_statement) as store,
    ):
        check_all(OPERATIONS, store)
    found = top_of(counted)
    assert {usage.name: usage.calls for usage in found.files} == {name: n for name, n in calls.items() if n}
    assert found.not_explained == {}
    assert len(calls) > 50


def test_the_server_gives_each_file_an_id_of_its_own(db: str) -> None:
    with psycopg.connect(db, autocommit=True) as connection:
        known = known_files(connection, OURS)
    assert sorted(known.by_id.values()) == sorted(file.name for file in OURS if not file.is_copy)
    assert sorted(known.by_text.values()) == sorted(file.name for file in OURS)


def test_an_id_needs_no_lock_that_keeps_others_waiting(database: str) -> None:
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as connection:
        holder.execute("LOCK TABLE conversation_store.dialog")
        process = holder.info.backend_pid
        known = known_files(connection, [file for file in OURS if file.name in ("dialog.save", "api_token.used")])
    assert list(known.by_id.values()) == ["api_token.used"]
    assert "lock timeout" in known.not_explained["dialog.save"]
    assert f"the process {process} (" in known.not_explained["dialog.save"]


def test_a_lock_is_waited_for_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def spy(connection: Any, **arguments: float) -> Any:
        waits.append(arguments["lock_seconds"])
        return bounded(connection, **arguments)

    monkeypatch.setattr("conversation_store.dba.query_ids.bounded", spy)
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as connection:
        holder.execute("LOCK TABLE conversation_store.dialog")
        known = known_files(connection, [file for file in OURS if file.table == "dialog"])
    assert len(known.not_explained) > 2
    assert waits == [0.5, *[0.02] * (len(waits) - 1)]


def test_a_copy_and_what_the_role_may_not_run_are_found_by_their_texts(counted: str) -> None:
    use(counted)
    monitor = "GRANT pg_read_all_stats TO {}", "GRANT USAGE ON SCHEMA conversation_store TO {}"
    with service_role(counted, grants=monitor) as watching:
        found = top_of(watching)
    assert found.not_explained["dialog.save"].startswith("permission denied")
    calls = {usage.name: usage.calls for usage in found.files}
    for name in (
        "dialog.save",
        "conversation.insert_many",
        "conversation_message.insert_many",
        "conversation_reference.insert_many",
        "conversation.get_list_by_create_date",
    ):
        assert calls[name] == 1, name


def test_a_text_with_numbers_for_its_constants_is_told_from_another() -> None:
    source = "/* t.q */\n-- Why.\nSELECT a, -1, interval '1 day' FROM t WHERE b = 'x' AND c = $1::text;\n"
    by_text = {tokens(source): "t.q"}
    lists = {tokens("SELECT a FROM t WHERE b IN ('x', 'y', 'z') AND c = ARRAY[1, 2]"): "t.list"}
    assert find(lists, "SELECT a FROM t WHERE b IN ($1 /*, ... */) AND c = ARRAY[$2 /*, ... */]") == "t.list"
    assert find(lists, "SELECT a FROM t WHERE b IN ($1, $2, $3) AND c = ARRAY[$4, $5]") == "t.list"
    assert find(lists, "SELECT a FROM t WHERE b IN ($1, $2) AND c = ARRAY[$4, $5]") is None
    assert find(by_text, "SELECT a, $2, $3 FROM t WHERE b = $4 AND c = $1::text") == "t.q"
    for other in (
        "SELECT a, $2, $3 FROM t WHERE b = $4 AND d = $1::text",
        "SELECT a, $2, $3 FROM t WHERE b = $4",
        "SELECT a, $2, $3 FROM t WHERE b = $4 AND c = $1::text AND d",
        "SELECT $1",
    ):
        assert find(by_text, other) is None


# -- what is told ----------------------------------------------------------------------------


def test_times_rows_blocks_and_wal_are_those_of_the_server(counted: str) -> None:
    use(counted)
    usages = {usage.name: usage for usage in top_of(counted).files}
    with psycopg.connect(counted, autocommit=True) as connection:
        row = connection.execute(
            "SELECT calls, rows, mean_exec_time, shared_blks_hit, shared_blks_read, wal_bytes::bigint"
            " FROM pg_stat_statements WHERE query LIKE '%INSERT INTO conversation_store.dialog AS d%' AND query NOT LIKE 'EXPLAIN%'"
            " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    save = usages["dialog.save"]
    assert (save.calls, save.rows, save.mean_ms, save.hits, save.reads, save.wal_bytes) == row
    assert save.wal_bytes > 0
    assert save.hit_share == save.hits / (save.hits + save.reads)
    assert usages["conversation.get_list_by_create_date"].wal_bytes == 0


def test_the_largest_comes_first_by_what_is_asked_for(counted: str) -> None:
    use(counted)
    for _ in range(3):
        with ConversationStore(counted) as store:
            store.for_tenant("acme").dialogs.get_by_id("d")
    assert top_of(counted, sort="calls").files[0].name == "dialog.get_by_id"
    names = {usage.name for usage in top_of(counted).files}
    called = [file for file in OURS if file.name in names]
    for sort, key in (("total", "total_ms"), ("mean", "mean_ms"), ("rows", "rows"), ("wal", "wal_bytes")):
        values = [getattr(usage, key) for usage in top_of(counted, called, sort=sort).files]
        assert values == sorted(values, reverse=True), sort


def test_a_file_that_was_not_called_is_named(counted: str) -> None:
    use(counted)
    found = top_of(counted)
    assert "conversation.stats" in found.never
    assert "dialog.save" not in found.never
    assert sorted([*found.never, *(usage.name for usage in found.files)]) == [file.name for file in OURS]


def test_a_statement_in_no_file_is_told_of_the_roles_that_call_files(counted: str) -> None:
    own = "SELECT count(*) FROM conversation_store.dialog WHERE name = 'secret'"
    with service_role(counted) as service, service_role(counted) as other:
        use(service)
        for conninfo in (service, other):
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute(own)
        found = top_of(counted)
        assert found.roles == [conninfo_to_dict(service)["user"]]
        (stranger,) = found.others
        assert (stranger.calls, stranger.roles) == (1, found.roles)
        assert stranger.name == "SELECT count(*) FROM conversation_store.dialog WHERE name = $1"
        (stranger,) = top_of(counted, roles=[str(conninfo_to_dict(other)["user"])]).others
        assert stranger.roles == [conninfo_to_dict(other)["user"]]


def test_what_top_itself_runs_is_no_statement_of_the_role(counted: str) -> None:
    with service_role(counted) as service:
        use(service)
        top_of(service)
        found = top_of(service)
    assert found.others == []


def test_what_the_commands_run_is_no_statement_of_the_role(counted: str, tmp_path: Path) -> None:
    use(counted)
    (tmp_path / "get.sql").write_text(f"/* {tmp_path.name}.get */\n-- Get.\n--\n-- returns: many\nSELECT 7 AS seven;\n")
    migrate(counted)
    page = str(tmp_path / "page.html")
    for command in (["migrate", "--check"], ["check"], ["doctor"], ["review", "-o", page, "--no-plans"]):
        call(*command, database=counted)
    assert [usage.name for usage in top_of(counted).others] == []
    role = str(conninfo_to_dict(counted)["user"])
    assert [usage.name for usage in top_of(counted, files(tmp_path), roles=[role]).others] == []


def test_the_constants_of_a_copy_are_not_told(counted: str) -> None:
    use(counted)
    text = b"COPY (SELECT 'a-secret', E'a-\\'secret', $q$a-secret$q$, 4711) TO STDOUT"
    with psycopg.connect(counted, autocommit=True) as connection, connection.cursor().copy(text) as copy:
        assert len(list(copy)) == 1
    (stranger,) = top_of(counted).others
    assert stranger.name == "COPY (SELECT '…', '…', '…', '…') TO STDOUT"


def test_a_name_that_steers_a_terminal_is_shown_as_text(counted: str) -> None:
    use(counted)
    with psycopg.connect(counted, autocommit=True) as connection:
        connection.execute('SELECT 1 AS "\x1b]0;own\x07evil"')
    shown = call("top", database=counted).stdout
    assert "\x1b" not in shown
    assert "\\x1b]0;own\\x07evil" in shown


def test_what_runs_within_a_function_is_no_statement_of_the_role(counted: str) -> None:
    with psycopg.connect(counted, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.dialogs() RETURNS bigint LANGUAGE plpgsql AS"
            " 'BEGIN RETURN (SELECT count(*) FROM conversation_store.dialog); END'"
        )
    with service_role(counted) as service, setting(counted, "pg_stat_statements.track", "all"):
        use(service)
        with psycopg.connect(service, autocommit=True) as connection:
            connection.execute("SELECT public.dialogs()")
        assert [usage.name for usage in top_of(counted).others] == ["SELECT public.dialogs()"]


def test_a_file_that_was_planned_and_failed_was_not_called(counted: str) -> None:
    with (
        setting(counted, "pg_stat_statements.track_planning", "on"),
        ConversationStore(counted) as store,
        pytest.raises(DialogNotFound),
    ):
        store.for_tenant("acme").conversations.save(dialog_id="nowhere")
    found = top_of(counted)
    assert (found.files, len(found.never)) == ([], len(OURS))


def test_statements_of_others_are_hidden_from_a_role_that_may_not_read_them(counted: str) -> None:
    use(counted)
    with service_role(counted) as service:
        found = top_of(service)
        assert (found.files, found.hidden > 0) == ([], True)
        assert "GRANT pg_read_all_stats TO" in call("top", database=service).stdout


def test_a_folder_of_a_service_has_names_of_its_own(counted: str, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    text = "/* orders.get */\n-- Return an order.\n-- returns: optional\nSELECT o.id FROM public.orders AS o WHERE o.id = :id::int;\n"
    (tmp_path / "orders" / "get.sql").write_text(text)
    with psycopg.connect(counted, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.orders (id integer)")
        for id in "12":
            psycopg.RawCursor(connection).execute(text.replace(":id", "$1").encode(), [id])
    done = call("top", "--sql", tmp_path, "--json", database=counted)
    (usage,) = json.loads(done.stdout)["files"]
    assert (done.code, usage["name"], usage["calls"]) == (0, "orders.get", 2)


def test_the_extension_may_be_in_any_schema(database: str, counted: str) -> None:
    with psycopg.connect(counted, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "Other ""one"""')
        connection.execute('ALTER EXTENSION pg_stat_statements SET SCHEMA "Other ""one"""')
    use(counted)
    assert top_of(counted).files


def test_the_command_prints_a_table_and_the_same_as_json(counted: str) -> None:
    with service_role(counted) as service:
        use(service)
        with psycopg.connect(service, autocommit=True) as connection:
            connection.execute("SELECT name AS \"[red]\" FROM conversation_store.dialog /* why */ WHERE name = 'x'")
        done = call("top", "--limit", "2", "--sort", "calls", database=counted)
        assert (done.code, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0].startswith("since 20")
        assert lines[1].split() == ["file", "calls", "mean", "ms", "total", "ms", "rows", "hits", "WAL"]
        assert any(line.startswith("… and ") for line in lines)
        assert 'SELECT name AS "[red]" FROM conversation_store.dialog WHERE name = $1' in done.stdout
        assert any(line.startswith("never called (") and "api_token.authenticate" in line for line in lines)
        assert max(map(len, lines)) <= 120
        shown = json.loads(call("top", "--json", database=counted).stdout)
    assert {"since", "roles", "files", "never", "others", "not_explained", "hidden", "given_up"} == shown.keys()
    assert {"name", "calls", "mean_ms", "total_ms", "rows", "hits", "reads", "hit_share", "wal_bytes", "roles"} == (
        shown["files"][0].keys()
    )


# -- what is missing, and what to do ---------------------------------------------------------


def test_a_database_without_the_extension_says_how_to_create_it(database: str) -> None:
    with pytest.raises(StatisticsError, match="CREATE EXTENSION pg_stat_statements"):
        top_of(database)
    done = call("top", database=database)
    assert (done.code, done.stderr.startswith("Error: this database has no extension")) == (1, True)


def test_a_server_that_computes_no_ids_says_how_to_switch_it_on(counted: str) -> None:
    with setting(counted, "compute_query_id", "off"), pytest.raises(StatisticsError, match="compute_query_id = 'auto'"):
        top_of(counted)


def test_a_server_that_tracks_nothing_says_how_to_switch_it_on(counted: str) -> None:
    with (
        setting(counted, "pg_stat_statements.track", "none"),
        pytest.raises(StatisticsError, match=r"pg_stat_statements\.track = 'top'"),
    ):
        top_of(counted)


def test_a_role_without_the_right_says_what_to_grant(counted: str) -> None:
    with psycopg.connect(counted, autocommit=True) as connection:
        connection.execute("REVOKE SELECT ON pg_stat_statements FROM PUBLIC")
    with service_role(counted) as service, pytest.raises(StatisticsError, match="GRANT pg_read_all_stats TO conv"):
        top_of(service)


def test_an_extension_that_is_older_than_the_server_says_how_to_update_it(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements VERSION '1.8'")
    with pytest.raises(StatisticsError, match="ALTER EXTENSION pg_stat_statements UPDATE"):
        top_of(database)


@pytest.mark.slow
def test_a_server_that_does_not_load_the_library_says_how_to() -> None:
    with embedded_server() as server, new_database(server) as conninfo:
        migrate(conninfo)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        with pytest.raises(StatisticsError, match="shared_preload_libraries"):
            top_of(conninfo)


def test_a_file_that_the_server_cannot_parse_stops_nothing(counted: str) -> None:
    with psycopg.connect(counted, autocommit=True) as connection:
        connection.execute("ALTER TABLE conversation_store.dialog RENAME name TO title")
        found = top(connection, OURS)
    assert "does not exist" in found.not_explained["dialog.save"]
    assert "conversation.stats" not in found.not_explained
    assert load("dialog.save").name in found.never
