"""A primary server and a standby that streams from it, both of our own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from support.server import Server, embedded_server, home, running

NAME = "standby"


@dataclass(frozen=True)
class Pair:
    """A primary and its standby."""

    primary: Server
    standby: Server

    def wait(self) -> None:
        """Return when the standby shows what the primary has committed."""
        with psycopg.connect(self.primary.conninfo(), autocommit=True) as connection:
            (position,) = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or (None,)
        with psycopg.connect(self.standby.conninfo(), autocommit=True) as connection:
            deadline = time.monotonic() + 30
            while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]).fetchone() != (True,):
                assert time.monotonic() < deadline, "the standby does not follow"
                time.sleep(0.005)

    @contextmanager
    def lag(self) -> Generator[None]:
        """Let the standby fall behind until the end of the block."""
        with psycopg.connect(self.standby.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            while connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                time.sleep(0.005)
            try:
                yield
            finally:
                connection.execute("SELECT pg_wal_replay_resume()")

    def kill_primary(self) -> None:
        """End the primary at once, as a crash does: open transactions are lost, and so is what was not sent yet."""
        lines = (Path(self.primary.host) / "data" / "postmaster.pid").read_text().splitlines()
        os.kill(int(lines[0]), signal.SIGQUIT)  # "immediate"

    def promote(self) -> None:
        """Make the standby a primary, and return when it can write."""
        with psycopg.connect(self.standby.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_promote(wait => TRUE)")


@contextmanager
def primary_and_standby(settings: Mapping[str, str] | None = None, *, synchronous: bool = False) -> Generator[Pair]:
    """Start a primary and a standby of it; where *synchronous*, a commit waits until the standby shows it."""
    both = dict(settings or {})
    commits = {"synchronous_commit": "remote_apply"} if synchronous else {}
    with embedded_server(both | commits) as primary, home(primary.bindir) as new:
        # The slot keeps what a standby that has fallen behind still needs.
        copy = ["-D", str(new.base / "data"), "-d", primary.conninfo(), "-R", "-C", "-S", NAME, "-X", "stream"]
        new.run("pg_basebackup", *copy, "--checkpoint=fast", "--no-sync")
        with running(new, both | commits | {"cluster_name": NAME, "wal_retrieve_retry_interval": "100ms"}) as standby:
            pair = Pair(primary, standby)
            if synchronous:
                with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
                    connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
                    connection.execute("SELECT pg_reload_conf()")
                    query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                    deadline = time.monotonic() + 30
                    while connection.execute(query).fetchone() != (1,):
                        assert time.monotonic() < deadline, "the standby is not synchronous"
                        time.sleep(0.005)
            yield pair
