"""The proxy that other tests put before the server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import OperationalError

from support.proxy import Mode, Proxy, proxy


@pytest.fixture
def between(database: str) -> Generator[Proxy]:
    """Give a proxy before the server, to a database with a table of numbers."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE public.numbers (n integer)")
    with proxy(database) as running:
        yield running


def insert(connection: psycopg.Connection[Any]) -> None:
    connection.execute("INSERT INTO public.numbers VALUES (1)")


def count(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM public.numbers").fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_sent_passes(between: Proxy, database: str) -> None:
    with psycopg.connect(between.conninfo) as connection:
        insert(connection)
        assert connection.execute("SELECT repeat('x', 1000000)").fetchone() == ("x" * 1_000_000,)
    assert (count(database), between.cuts) == (1, 0)


@pytest.mark.parametrize(("mode", "arrives"), [(Mode.CUT_QUERY, 0), (Mode.CUT_ANSWER, 1)])
def test_a_cut_is_done_once_before_the_query_or_after_the_commit(
    between: Proxy, database: str, mode: Mode, arrives: int
) -> None:
    with psycopg.connect(between.conninfo, autocommit=True) as connection:
        between.set(mode, only="INSERT")
        connection.execute("SELECT 1")
        with pytest.raises(OperationalError):
            insert(connection)
    assert (count(database), between.cuts) == (arrives, 1)
    with psycopg.connect(between.conninfo, autocommit=True) as connection:
        insert(connection)
    assert (count(database), between.cuts) == (arrives + 1, 1)


def test_a_silent_proxy_passes_queries_and_no_answers(between: Proxy, database: str) -> None:
    with closing(psycopg.connect(between.conninfo, autocommit=True)) as connection:
        between.set(Mode.SILENT)
        connection.pgconn.send_query(b"INSERT INTO public.numbers VALUES (1)")
        with psycopg.connect(database, autocommit=True) as direct:
            while direct.execute("SELECT count(*) FROM public.numbers").fetchone() == (0,):
                pass
        with pytest.raises(OperationalError, match="timeout"):
            psycopg.connect(between.conninfo, connect_timeout=2)


def test_connections_are_refused_and_cut(between: Proxy) -> None:
    with psycopg.connect(between.conninfo) as connection:
        between.set(Mode.REFUSE)
        with pytest.raises(OperationalError):
            psycopg.connect(between.conninfo)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        between.cut_all()
        with pytest.raises(OperationalError):
            connection.execute("SELECT 1")
