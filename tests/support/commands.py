"""The command `conversation-store`: run as a process, and called in this process, which is much faster."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from conversation_store.cli import main

COMMAND = Path(sysconfig.get_path("scripts")) / "conversation-store"


class Done(NamedTuple):
    """The exit code of a command, and what it printed."""

    code: int
    stdout: str
    stderr: str


def run(*arguments: str | Path, database: str, stdin: bytes = b"") -> Done:
    """Run the command as a process."""
    environment = {**os.environ, "DATABASE_URL": database}
    done = subprocess.run([COMMAND, *arguments], input=stdin, capture_output=True, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def call(*arguments: str | Path, database: str | None, stdin: bytes = b"") -> Done:
    """Call the command in this process; without *database*, DATABASE_URL is not set."""
    logger = logging.getLogger("conversation_store")
    handlers, level, on_sigterm = logger.handlers[:], logger.level, signal.getsignal(signal.SIGTERM)
    try:
        done = CliRunner().invoke(main, list(map(str, arguments)), input=stdin, env={"DATABASE_URL": database})
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        signal.signal(signal.SIGTERM, on_sigterm)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception  # which a user would see as a traceback
    return Done(done.exit_code, done.stdout, done.stderr)
