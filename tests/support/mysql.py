"""A throw-away MariaDB for tests: $MARIADBD, or what is installed; never the server of the system."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.server import die_with_parent, random_name, server_account

PROGRAM = os.environ.get("MARIADBD") or shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
INSTALL = shutil.which("mariadb-install-db")

needs_mysql = pytest.mark.skipif(
    PROGRAM is None or INSTALL is None,
    reason="MariaDB is not installed (Debian: apt-get install mariadb-server-core mariadb-client-core)",
)

# Nothing here has to survive the machine. Zero dates are accepted, as older servers do.
SETTINGS = {
    "sql-mode": "",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_unicode_ci",
    "innodb-buffer-pool-size": "128M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-use-native-aio": "0",
    "max-allowed-packet": "1G",
    "skip-name-resolve": "1",
}
PASSWORD = "p@ss:w/rd?#% 密码"


@dataclass(frozen=True)
class MySql:
    """A server that is up, with the account `reader`, which may only read."""

    socket: Path
    port: int
    process: subprocess.Popen[Any]

    def url(self, database: str, *, tcp: bool = False) -> str:
        """Return the address of a database as `import_ragflow` takes it."""
        account = f"mysql://reader:{quote(PASSWORD, safe='')}@"
        if tcp:
            return f"{account}127.0.0.1:{self.port}/{database}"
        return f"{account}localhost/{database}?unix_socket={quote(str(self.socket), safe='')}"

    def connect(self, database: str | None = None, **arguments: Any) -> Any:
        """Connect as the administrator."""
        options: dict[str, Any] = {"unix_socket": str(self.socket), "user": "root", "database": database}
        return importlib.import_module("pymysql").connect(**{**options, "autocommit": True, **arguments})

    def run(self, *statements: str, database: str | None = None) -> list[Any]:
        """Run statements as the administrator and return the rows of the last one."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def mysql_server(**settings: str) -> Generator[MySql]:
    """Start a MariaDB in a directory of its own, some settings changed; stop it and remove the directory."""
    assert PROGRAM is not None
    assert INSTALL is not None
    base = Path(tempfile.mkdtemp(prefix="conversation-store-mysql-", dir="/tmp"))
    account = server_account()
    as_account: dict[str, Any] = (
        {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}
    )
    try:
        if account is not None:
            os.chown(base, *account)
        install = [INSTALL, "--no-defaults", f"--datadir={base}/data", "--skip-test-db"]
        install.append("--auth-root-authentication-method=normal")
        done = subprocess.run(install, cwd=base, capture_output=True, text=True, **as_account)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        with _running(base, as_account, SETTINGS | settings) as server:
            password = PASSWORD.replace("'", "''")
            server.run(f"CREATE USER reader IDENTIFIED BY '{password}'")
            yield server
    finally:
        shutil.rmtree(base)


@contextmanager
def _running(base: Path, as_account: dict[str, Any], settings: dict[str, str]) -> Generator[MySql]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"datadir": base / "data", "socket": base / "s", "pid-file": base / "pid", "port": port}
    options = [f"--{name}={value}" for name, value in {**places, **settings}.items()]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), "--no-defaults", "--bind-address=127.0.0.1", *options],
            cwd=base,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
            **as_account,
        )
    try:
        until = time.monotonic() + 60
        while not _listens(base / "s"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((base / "log").read_text())
            time.sleep(0.02)
        yield MySql(base / "s", port, process)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        try:
            attempt.connect(str(path))
        except OSError:
            return False
    return True


@contextmanager
def mysql_database(on: MySql) -> Generator[str]:
    """Create a database of a random name that `reader` may read, give its name, and drop it."""
    name = random_name()
    on.run(f"CREATE DATABASE {name}", f"GRANT SELECT ON {name}.* TO reader")
    try:
        yield name
    finally:
        on.run(f"DROP DATABASE {name}", f"REVOKE SELECT ON {name}.* FROM reader")
