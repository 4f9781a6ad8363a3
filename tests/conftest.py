"""The server, its databases, and a store of each of the two APIs."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

from conversation_store import migrate
from support import ragflow_layout
from support.both_apis import AsyncApi, SyncApi
from support.citus import CITUS_URL, citus_database, distributed_database
from support.mysql import MySql, mysql_server
from support.pooler import pooler
from support.server import Server, callers_server, random_name
from support.server import database as new_database
from support.server import server as running_server


def pytest_configure() -> None:
    """Take an end of the process for an interruption: the server is stopped and its directory removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what is about one server where the tests run on a cluster."""
    if CITUS_URL and (mark := item.get_closest_marker("one_server")) is not None:
        pytest.skip(str(mark.args[0]))


@pytest.fixture(scope="session")
def server() -> Generator[Server]:
    """Give the server of the session: the coordinator that CITUS_URL names, or a plain one."""
    if CITUS_URL:
        yield callers_server(CITUS_URL)
        return
    with running_server({"shared_preload_libraries": "pg_stat_statements"}) as running:
        yield running


def migrate_template(*, host: str, port: int, user: str, password: str | None, dbname: str, **_: Any) -> None:
    """Migrate the database that the others are cloned from."""
    migrate(make_conninfo("", host=host, port=port, user=user, password=password, dbname=dbname))


# The template, under a name of our own; pytest-postgresql creates and drops it.
postgresql_noproc = factories.postgresql_noproc(depends_on="server", dbname=random_name(), load=[migrate_template])


@pytest.fixture(scope="session")
def mysql() -> Generator[MySql]:
    """Give a MariaDB of the session, to tests with the mark `needs_mysql`."""
    with mysql_server() as running:
        yield running


def migrated_database(server: Server, template: NoopExecutor) -> AbstractContextManager[str]:
    """Give a database with our schema: a clone of the template, or one on each node of a Citus cluster."""
    if CITUS_URL:
        return distributed_database(CITUS_URL)
    return new_database(server, template=template.template_dbname)


@pytest.fixture(scope="session")
def db(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a migrated database that the session's tests share; they use ids of their own."""
    with migrated_database(server, postgresql_noproc) as conninfo:
        # The tables that sql/ragflow reads, for the tests that prepare and explain every file.
        ragflow_layout.create(conninfo)
        yield conninfo


@pytest.fixture
def database(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a migrated database to one test."""
    with migrated_database(server, postgresql_noproc) as conninfo:
        yield conninfo


@pytest.fixture
def empty_database(server: Server) -> Generator[str]:
    """Give an empty database to one test."""
    with citus_database(CITUS_URL) if CITUS_URL else new_database(server) as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def connection(server: Server) -> Generator[psycopg.Connection[Any]]:
    """Give a connection in autocommit to a database without our schema."""
    with new_database(server) as conninfo, psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session", params=[SyncApi, AsyncApi], ids=lambda api: api.name)
def api(request: pytest.FixtureRequest) -> Generator[SyncApi | AsyncApi]:
    """Give the sync and the async API, called alike."""
    with request.param() as api:
        yield api


@pytest.fixture(scope="session")
def store(api: SyncApi | AsyncApi, db: str) -> Generator[Any]:
    """Give a store of each API on the shared database, behind a pooler where $POOLER is set."""
    address = pooler(db, default_pool_size=20) if os.environ.get("POOLER") else nullcontext(db)
    with address as conninfo, api.store(conninfo) as store:
        yield store


@pytest.fixture
def tenant() -> str:
    """Give the id of a new tenant."""
    return uuid.uuid4().hex


@pytest.fixture
def dialog(store: Any, tenant: str) -> str:
    """Give the id of a new dialog of the tenant."""
    return str(store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id)


@pytest.fixture
def plain_dialog(db: str, tenant: str) -> str:
    """Give the id of a new dialog to a test that is run once and not for each API."""
    id = uuid.uuid4().hex
    with psycopg.connect(db, autocommit=True) as connection:
        connection.execute("INSERT INTO conversation_store.dialog (id, tenant_id) VALUES (%s, %s)", [id, tenant])
    return id


@pytest.fixture
def new_cluster() -> Generator[str]:
    """Give a database on each node of the cluster that CITUS_URL names, without our schema."""
    assert CITUS_URL is not None
    with citus_database(CITUS_URL) as conninfo:
        yield conninfo
