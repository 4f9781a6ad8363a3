"""The database to import: what it must have, what its account may read, and its errors, which say whose they are."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import ConversationStore, InvalidArgument, MigrationError, SourceError
from conversation_store.ragflow import Totals, import_ragflow_async
from support import ragflow_layout, ragflow_mysql
from support.both_apis import AsyncApi, SyncApi
from support.commands import call
from support.mysql import PASSWORD, MySql, mysql_database, needs_mysql
from support.proxy import Mode, Proxy, proxy
from support.ragflow_rows import DATES, mysql_source_database, run_import, source_database
from support.server import Server
from support.server import database as new_database
from support.tracebacks import everything

Api = SyncApi | AsyncApi
DIALOG = DATES | {"id": "d", "tenant_id": "t"}


def is_empty(conninfo: str) -> bool:
    with ConversationStore(conninfo) as store:
        tokens = store.tokens.query(tenant_id="t")
        return not [*store.dialogs.iter(), *store.conversations.iter(), *tokens]


# -- columns ------------------------------------------------------------------------------

# Those that came with later versions, and some that were always there.
MISSING = {
    "dialog": ["name"],
    "user_canvas": ["title", "update_date"],
    "api_token": ["dialog_id", "source", "beta"],
    "api_4_conversation": ["name", "exp_user_id", "source", "dsl", "errors", "version_title"],
}


@pytest.fixture
def old_mysql(request: pytest.FixtureRequest) -> Generator[str]:
    """Give the name of a database of MySQL with the tables of RAGFlow and a dialog."""
    mysql = request.getfixturevalue("mysql")
    with mysql_database(mysql) as name:
        ragflow_mysql.create(mysql, name)
        ragflow_mysql.insert(mysql, name, "dialog", [DIALOG])
        yield name


def told_of_columns(api: Api, source: str, database: str) -> list[str]:
    """Return the columns that the error names; nothing was written."""
    for check in (True, False):
        with pytest.raises(MigrationError, match="start the current RAGFlow on it once, which adds them") as raised:
            run_import(api, source, database, check=check)
    assert is_empty(database)
    return re.findall(r"\w+\.\w+", str(raised.value).partition(": ")[0])


def test_missing_columns_of_an_older_ragflow_are_told_before_anything_is_written(api: Api, database: str) -> None:
    ragflow_layout.create(database)
    ragflow_layout.insert(database, "dialog", [DIALOG])
    with psycopg.connect(database, autocommit=True) as connection:
        for table, columns in MISSING.items():
            for column in columns:
                connection.execute(f"ALTER TABLE public.{table} DROP {column}".encode())
    assert told_of_columns(api, database, database) == [f"{t}.{column}" for t, c in MISSING.items() for column in c]


@needs_mysql
def test_missing_columns_in_mysql_are_told_before_anything_is_written(
    api: Api, mysql: MySql, old_mysql: str, database: str
) -> None:
    for table, columns in MISSING.items():
        mysql.run(f"ALTER TABLE {table} {', '.join(f'DROP {column}' for column in columns)}", database=old_mysql)
    told = told_of_columns(api, mysql.url(old_mysql), database)
    assert told == [f"{table}.{column}" for table, columns in MISSING.items() for column in columns]


# -- grants -------------------------------------------------------------------------------


@contextmanager
def another_account(mysql: MySql, name: str, *grants: str) -> Generator[str]:
    """Give the URL of an account with these grants."""
    mysql.run("CREATE USER another IDENTIFIED BY 'x'")
    try:
        mysql.run(*(f"GRANT {what.format(name)} TO another" for what in grants))
        yield f"mysql://another:x@127.0.0.1:{mysql.port}/{name}"
    finally:
        mysql.run("DROP USER another")


OTHERS = [f"SELECT ON {{}}.{table}" for table in ("dialog", "api_token", "api_4_conversation")]


@needs_mysql
def test_agents_that_the_account_may_not_read_are_not_taken_for_none(
    api: Api, mysql: MySql, old_mysql: str, database: str
) -> None:
    with another_account(mysql, old_mysql, *OTHERS) as url:
        with pytest.raises(SourceError, match=r"user_canvas.*GRANT SELECT ON this table"):
            run_import(api, url, database)
        assert is_empty(database)
        mysql.run(f"GRANT SELECT ON {old_mysql}.* TO another", "DROP TABLE user_canvas", database=old_mysql)
        assert run_import(api, url, database)["dialog"] == Totals(read=1, imported=1)


@needs_mysql
def test_columns_that_the_account_may_not_read_are_told(api: Api, mysql: MySql, old_mysql: str, database: str) -> None:
    some = "SELECT (id, user_id, create_time, create_date, update_time, update_date) ON {}.user_canvas"
    with another_account(mysql, old_mysql, *OTHERS, some) as url:
        with pytest.raises(MigrationError, match=r"has no column user_canvas.title: .* account may not read them"):
            run_import(api, url, database)
        mysql.run(f"GRANT SELECT (title) ON {old_mysql}.user_canvas TO another")
        assert run_import(api, url, database)["dialog"] == Totals(read=1, imported=1)


# -- errors of PostgreSQL -----------------------------------------------------------------


def test_an_error_of_the_source_says_so_and_keeps_its_cause(api: Api, server: Server, database: str) -> None:
    with source_database(server) as source:
        secret = f"{source} password=sesame options='-c default_transaction_isolation=wrong'"
        with pytest.raises(SourceError, match=r"the database to import: .*default_transaction_isolation") as raised:
            run_import(api, secret, database)
        assert isinstance(raised.value.__cause__, psycopg.OperationalError)
        assert "sesame" not in everything(raised.value)
        with psycopg.connect(source) as connection:
            connection.execute("ALTER TABLE public.dialog ALTER create_time TYPE text USING 'x'")
        with pytest.raises(SourceError, match="the database to import: invalid input syntax") as raised:
            run_import(api, source, database)
        assert isinstance(raised.value.__cause__, psycopg.DataError)


def test_a_connection_to_postgresql_that_is_lost_says_what_to_do(api: Api, server: Server, database: str) -> None:
    with new_database(server) as source:
        ragflow_layout.create(source)
        ragflow_layout.fill(source, 20)

        def terminate(table: str, done: int, about: int | None) -> None:
            if table == "api_4_conversation":
                with psycopg.connect(database, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                        [conninfo_to_dict(source)["dbname"]],
                    )

        with pytest.raises(SourceError, match=r"to import was lost: .*; run the import again to go on") as raised:
            run_import(api, source, database, batch_size=5, on_progress=terminate)
        assert isinstance(raised.value.__cause__, psycopg.OperationalError)
        assert run_import(api, source, database)["api_4_conversation"].skipped == 5


def test_errors_of_the_target_are_those_of_psycopg(api: Api, server: Server) -> None:
    with source_database(server) as source, pytest.raises(psycopg.OperationalError):
        run_import(api, source, "host=/nowhere dbname=x")


def test_an_empty_name_of_the_source_is_refused(api: Api, database: str) -> None:
    for empty in ("", " \n"):
        with pytest.raises(InvalidArgument, match="source must name the database to import, and is empty"):
            run_import(api, empty, database)
        done = call("import-ragflow", "--from", empty, database=database)
        assert (done.code, done.stderr) == (1, "Error: --from must name the database to import, and is empty\n")


# -- a MySQL that says nothing ------------------------------------------------------------


@pytest.fixture
def silent(mysql: MySql) -> Generator[tuple[Proxy, str]]:
    """Give a proxy before a database with every kind of row, and the URL through it."""
    conninfo = make_conninfo(host="127.0.0.1", port=mysql.port)
    with mysql_source_database(mysql) as url, proxy(conninfo) as before:
        name = url.partition("localhost/")[2].partition("?")[0]
        port = conninfo_to_dict(before.conninfo)["port"]
        yield before, mysql.url(name, tcp=True).replace(str(mysql.port), str(port))


@needs_mysql
@pytest.mark.parametrize("connected", [True, False])
def test_a_cancellation_ends_an_import_from_a_silent_server_and_leaves_no_thread(
    silent: tuple[Proxy, str], database: str, connected: bool
) -> None:
    before, url = silent
    limit = 60  # seconds, after which the test fails

    async def cancelled() -> bool:
        reading = asyncio.Event()

        def fall_silent(*_: Any) -> None:
            before.set(Mode.SILENT)
            reading.set()

        if not connected:
            fall_silent()
        address = f"{url}?connect_timeout={2 * limit}"
        task = asyncio.create_task(import_ragflow_async(address, database, on_progress=fall_silent, batch_size=5))
        await asyncio.wait_for(reading.wait(), limit)
        await asyncio.sleep(0.3)  # the next page is asked for, or the greeting waited for
        assert threads()
        task.cancel()
        await asyncio.wait([task], timeout=limit)
        ended = task.cancelled()
        for thread in threads() if ended else ():
            thread.join(limit)
        ended = ended and not threads()
        before.cut_all()  # so that the suite does not wait
        await asyncio.wait([task])
        return ended

    assert asyncio.run(cancelled())


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("conversation-store-mysql")]


@needs_mysql
def test_a_server_that_takes_the_connection_and_says_nothing_is_waited_for_as_for_a_connection(
    api: Api, silent: tuple[Proxy, str], database: str
) -> None:
    before, url = silent
    before.set(Mode.SILENT)
    late = threading.Timer(60, before.cut_all)  # so that the suite does not wait
    late.start()
    try:
        with pytest.raises(SourceError, match="not connected within 1 s, the connect_timeout") as raised:
            run_import(api, f"{url}?connect_timeout=1", database)
    finally:
        late.cancel()
    assert PASSWORD.partition(" ")[0] not in everything(raised.value)
    before.set(Mode.PASS)
    # A page may take longer.
    assert run_import(api, f"{url}?connect_timeout=1", database)["dialog"].read > 0
