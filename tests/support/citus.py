"""Databases on a Citus cluster: one on each node, with our schema distributed by `sql/citus.sql`."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import migrate
from conversation_store._sql_lexer import split
from conversation_store._sql_loader import sql_directory
from support.server import random_name

CITUS_URL = os.environ.get("CITUS_URL")
WHY_SKIPPED = "CITUS_URL must name the coordinator of a Citus cluster, as a role that may create databases on each node"


@contextmanager
def citus_database(url: str) -> Generator[str]:
    """Create a database of a random name on each node, join them to a cluster, give the coordinator's, drop them."""
    name = random_name()
    host, port = node_of(url)
    nodes = [(host, port), *workers(url)]
    with ExitStack() as dropped:
        for node in nodes:
            address = make_conninfo(url, host=node[0], port=node[1])
            run(address, sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            dropped.callback(run, address, drop)
            run(make_conninfo(address, dbname=name), b"CREATE EXTENSION citus")
        conninfo = make_conninfo(url, dbname=name)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("SELECT citus_set_coordinator_host(%s, %s)", nodes[0])
            for node in nodes[1:]:
                connection.execute("SELECT citus_add_node(%s, %s)", node)
        yield conninfo


@contextmanager
def distributed_database(url: str) -> Generator[str]:
    """Give a database of `citus_database` that is migrated, with its tables distributed."""
    with citus_database(url) as conninfo:
        migrate(conninfo)
        distribute(conninfo)
        yield conninfo


def distribute(conninfo: str) -> None:
    """Run the steps of `sql/citus.sql` one after the other, as psql does."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for step in steps():
            connection.execute(step.encode())


def steps() -> Iterator[str]:
    """Give the statements of `sql/citus.sql`."""
    return (part.text for part in split((sql_directory() / "citus.sql").read_text()))


def node_of(url: str) -> tuple[str, int]:
    """Return the address of the coordinator, as the workers reach it."""
    parts = conninfo_to_dict(url)
    return str(parts.get("host", "localhost")), int(parts.get("port") or 5432)


def workers(url: str) -> list[tuple[str, int]]:
    """Return the address of each worker that the coordinator knows."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT node_name, node_port FROM citus_get_active_worker_nodes() ORDER BY 2"
        ).fetchall()


def run(conninfo: str, statement: sql.Composed | bytes) -> None:
    """Run one statement on a connection of its own."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)
