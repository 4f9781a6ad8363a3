"""The temporary server of the tests: it leaves no process and no directory, and a caller's server is as before."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.server import Server, find_bindir
from support.server import database as new_database
from support.urls import as_url

TESTS = Path(__file__).parent

# Starts a server of its own, prints its directory, and waits.
WAIT = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
import psycopg
from support.server import database, server
# Both: whoever runs the tests in the background ignores SIGINT, and a child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)
with server() as own, database(own) as conninfo:
    with psycopg.connect(conninfo) as connection:
        print(own.host, connection.info.backend_pid, flush=True)
    time.sleep(float(sys.argv[2]))
"""


def started(seconds: float, **kwargs: Any) -> tuple[subprocess.Popen[str], Path]:
    """Start a process with a server of its own; return it and the server's directory."""
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(TESTS), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        **kwargs,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    return process, Path(line.split()[0])


def processes_in(directory: Path) -> list[str]:
    """Return the command lines of the processes that a server in this directory has."""
    found = [
        line.read_bytes().replace(b"\0", b" ").decode()
        for line in Path("/proc").glob("[0-9]*/cmdline")
        if line.exists()
    ]
    return [line for line in found if str(directory) in line]


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")


@needs_proc
def test_a_server_that_is_done_leaves_no_process_and_no_directory() -> None:
    process, directory = started(0)
    assert process.wait(30) == 0
    assert not directory.exists()
    assert processes_in(directory) == []


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_server_leaves_no_process_and_no_directory(number: signal.Signals) -> None:
    process, directory = started(60, stderr=subprocess.DEVNULL)
    assert processes_in(directory)
    process.send_signal(number)
    assert process.wait(30) != 0
    assert not directory.exists()
    assert processes_in(directory) == []


@pytest.mark.slow
@needs_proc
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_ends_with_a_parent_that_is_killed() -> None:
    process, directory = started(60)
    assert processes_in(directory)
    pid = int((directory / "data" / "postmaster.pid").read_text().split()[0])
    process.kill()
    process.wait(30)
    ended = subprocess.run(["tail", f"--pid={pid}", "-s", "0.02", "-f", "/dev/null"], timeout=30)
    assert ended.returncode == 0
    shutil.rmtree(directory)


@pytest.mark.slow
@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; as a plain user all tests run so")
def test_a_plain_user_can_start_a_server_and_root_runs_it_as_another_user() -> None:
    account = pwd.getpwnam("nobody")
    probe = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1" && test -r "$2"', "sh", sys.executable, TESTS / "support" / "server.py"],
        user="nobody",
    )
    if probe.returncode:
        pytest.skip("this checkout lies below a directory that a plain user cannot read")
    process, directory = started(0.5, user=account.pw_uid, group=account.pw_gid, extra_groups=[])
    assert directory.stat().st_uid == account.pw_uid
    assert process.wait(30) == 0
    assert not directory.exists()
    process, directory = started(0.5)
    assert directory.stat().st_uid != 0
    assert process.wait(30) == 0
    assert not directory.exists()


USE = """
import sys
sys.path.insert(0, sys.argv[1])
import psycopg
from support.server import database, server
with server() as callers, database(callers) as conninfo, psycopg.connect(conninfo) as connection:
    print(connection.info.dbname)
"""


def use(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", USE, str(TESTS)], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_on_a_callers_server_a_database_of_a_random_name_is_created_and_dropped(server: Server) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        before = admin.execute("SELECT datname, oid FROM pg_database ORDER BY 1").fetchall()
        done = use({"DATABASE_URL": as_url(server.conninfo())})
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("conversation_store_")
        assert use({"DATABASE_URL": as_url(server.conninfo())}).stdout != done.stdout
        assert admin.execute("SELECT datname, oid FROM pg_database ORDER BY 1").fetchall() == before


def test_a_missing_right_and_a_server_that_cannot_be_reached_end_with_a_message_without_the_password(
    server: Server,
) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute("CREATE ROLE conversation_store_plain LOGIN PASSWORD 'secret'")
        try:
            done = use({"DATABASE_URL": as_url(server.conninfo(), user="conversation_store_plain", password="secret")})
        finally:
            admin.execute("DROP ROLE conversation_store_plain")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == (
        "DATABASE_URL: the role conversation_store_plain needs the right CREATEDB, to create databases of its own"
    )
    done = use({"DATABASE_URL": "postgresql://nobody:hidden@127.0.0.1:1/x"})
    assert (done.returncode, "DATABASE_URL cannot be used" in done.stderr, "hidden" in done.stderr) == (1, True, False)


def test_a_wrong_pgbin_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGBIN", str(tmp_path))
    with pytest.raises(SystemExit, match=r"PGBIN=.* must be the folder of PostgreSQL's initdb"):
        find_bindir()


def test_a_database_is_dropped_while_somebody_is_connected(server: Server) -> None:
    with new_database(server) as conninfo:
        left = psycopg.connect(conninfo)
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    left.close()
