"""A PgBouncer in transaction mode before a server: $PGBOUNCER, or what is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from support.server import server_account

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def keeps_prepared_apart() -> bool:
    """Return whether there is a PgBouncer that can keep apart what its clients prepare."""
    if PROGRAM is None:
        return False
    shown = subprocess.check_output([PROGRAM, "--version"], text=True)
    version = re.search(r"PgBouncer (\d+)\.(\d+)", shown)
    return version is not None and (int(version[1]), int(version[2])) >= (1, 21)


@contextmanager
def pooler(conninfo: str, *, prepared: bool = False, **settings: str | int) -> Generator[str]:
    """Give the address of a database behind a PgBouncer of our own, which hands one server to all clients.

    Where *prepared*, it keeps apart what they prepare.
    """
    assert PROGRAM is not None
    base = Path(tempfile.mkdtemp(prefix="conversation-store-pooler-", dir="/tmp"))
    parts = conninfo_to_dict(conninfo)
    user = f"user={parts['user']}" + (f" password={parts['password']}" if parts.get("password") else "")
    own: dict[str, object] = {
        "listen_addr": "",
        "listen_port": 6432,
        "unix_socket_dir": base,
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": 1,
        "max_client_conn": 100,
        "ignore_startup_parameters": "extra_float_digits",
    }
    if keeps_prepared_apart():
        own["max_prepared_statements"] = 200 if prepared else 0
    lines = [f"{key} = {value}" for key, value in {**own, **settings}.items()]
    (base / "ini").write_text(
        f"[databases]\nbehind = host={parts['host']} port={parts['port']} dbname={parts['dbname']} {user}\n"
        "[pgbouncer]\n" + "\n".join(lines) + "\n"
    )
    account = server_account()  # the server's folder is closed to others, and PgBouncer refuses to run as root
    as_account: dict[str, Any] = {} if account is None else {"user": account[0], "group": account[1]}
    if account is not None:
        os.chown(base, *account)
    with (base / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, base / "ini"], stdout=log, stderr=log, **as_account)
    try:
        address = make_conninfo("", host=str(base), port=6432, dbname="behind", user=parts["user"])
        until = time.monotonic() + 15
        while True:
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((base / "log").read_text()) from None
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(base)
