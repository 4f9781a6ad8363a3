"""The server, its databases, and a store in each of the two worlds."""

from __future__ import annotations

import signal
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

import ragflow_layout
from conversation_store import migrate
from server import Server, random_name
from server import database as new_database
from server import server as running_server
from worlds import Blocking, OnAsyncio


def pytest_configure() -> None:
    """Take an end of the process for an interruption: the server is stopped and its directory removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Generator[Server]:
    """Give the server of the session."""
    with running_server({"shared_preload_libraries": "pg_stat_statements"}) as running:
        yield running


def migrate_template(*, host: str, port: int, user: str, password: str | None, dbname: str, **_: Any) -> None:
    """Migrate the database that the others are cloned from."""
    migrate(make_conninfo("", host=host, port=port, user=user, password=password, dbname=dbname))


# The template, under a name of our own; pytest-postgresql creates and drops it.
postgresql_noproc = factories.postgresql_noproc(depends_on="server", dbname=random_name(), load=[migrate_template])


@pytest.fixture(scope="session")
def db(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a migrated database that the session's tests share; they use ids of their own."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        # The tables that sql/ragflow reads, for the tests that prepare and explain every file.
        ragflow_layout.create(conninfo)
        yield conninfo


@pytest.fixture
def database(server: Server, postgresql_noproc: NoopExecutor) -> Generator[str]:
    """Give a migrated database to one test."""
    with new_database(server, template=postgresql_noproc.template_dbname) as conninfo:
        yield conninfo


@pytest.fixture
def empty_database(server: Server) -> Generator[str]:
    """Give an empty database to one test."""
    with new_database(server) as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def connection(server: Server) -> Generator[psycopg.Connection[Any]]:
    """Give a connection in autocommit to a database without our schema."""
    with new_database(server) as conninfo, psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture(params=[Blocking, OnAsyncio], ids=lambda world: world.name)
def world(request: pytest.FixtureRequest) -> Generator[Blocking | OnAsyncio]:
    """Give each of the two worlds."""
    with request.param() as world:
        yield world


@pytest.fixture
def store(world: Blocking | OnAsyncio, db: str) -> Generator[Any]:
    """Give a store of each world on the shared database."""
    with world.store(db) as store:
        yield store
