"""Which connections a process has from the one that it was forked from: whoever uses one takes answers of the other."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection

from conversation_store.errors import ForkedConnection

_inherited: set[tuple[int, int]] = set()
"""The device and the inode of each socket that was open at a fork; empty where there was none."""


def process_of(connections: Iterable[Connection[Any] | AsyncConnection[Any]]) -> int:
    """Return the process that connections are used in: this one, or -1 where one of them crossed a fork."""
    return -1 if _inherited and any(map(_crossed, connections)) else os.getpid()


def check_not_forked(pid: int, what: str) -> None:
    """Raise an error in another process than *pid*, whose sockets a forked child shares."""
    if os.getpid() != pid:
        raise ForkedConnection(
            f"this {what} is of the parent process, which would get the answers: open one in the child, or give the"
            " store a conninfo, whose pool it opens anew after a fork"
        )


def _crossed(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    try:
        found = os.fstat(connection.pgconn.socket)
    except (psycopg.Error, OSError):  # it is closed
        return False
    return (found.st_dev, found.st_ino) in _inherited


def _remember() -> None:
    # Sockets, since a connection does not say which process has opened it; what is opened later has another inode.
    with suppress(OSError):
        for path in Path("/dev/fd").iterdir():
            with suppress(OSError):  # that of the iteration is closed already
                found = os.fstat(int(path.name))
                if stat.S_ISSOCK(found.st_mode) and found.st_ino:  # 0 where the system does not number its sockets
                    _inherited.add((found.st_dev, found.st_ino))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember)
