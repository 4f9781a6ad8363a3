"""Checks of what is installed: the files of the package, and the schema of the database."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from conversation_store._sql_loader import sql_directory
from conversation_store.dba.doctor.patient import Finding, Patient
from conversation_store.dba.drift import drift
from conversation_store.errors import MigrationError

_NAME = "conversation-store"
_FOLDER = PurePosixPath("conversation_store", "sql")


def check_files(patient: Patient) -> Iterator[Finding]:
    """Look whether each SQL file is as it was when the package was installed."""
    folder = Path(str(sql_directory()))
    try:
        installed = distribution(_NAME)
    except PackageNotFoundError:
        installed = None
    if installed is None or Path(str(installed.locate_file(_FOLDER))).resolve() != folder.resolve():
        yield Finding(
            "ok",
            f"the SQL files are those of {folder}, and no installed package has recorded what they were",
            f"git -C {folder} status --short . says what was changed since the commit",
        )
        return
    yield from judge_files(installed)


def judge_files(installed: Distribution) -> Iterator[Finding]:
    """Compare the SQL files of an installed package with the hashes that the installer has recorded."""
    recorded = {
        PurePosixPath(path): path.hash
        for path in installed.files or ()
        if path.suffix == ".sql" and path.hash is not None
    }
    if not recorded:
        yield Finding("unknown", "the installer has recorded no hashes of the SQL files", "install the package by pip")
        return
    root = Path(str(installed.locate_file("")))
    todo = f"install the package again: pip install --force-reinstall --no-deps {_NAME}=={installed.version}"
    found: list[Finding] = []
    for path, expected in sorted(recorded.items()):
        file = root / path
        if not file.is_file():
            found.append(Finding("problem", f"{path} is missing", todo))
        elif expected.mode == "sha256" and _digest(file.read_bytes()) != expected.value:
            found.append(Finding("problem", f"{path} is not what was installed: it was changed afterwards", todo))
    present = {
        PurePosixPath(path.relative_to(root).as_posix()) for path in (root / "conversation_store").rglob("*.sql")
    }
    for path in sorted(present - recorded.keys()):
        found.append(Finding("problem", f"{path} is no file of the package", f"remove it, or {todo}"))
    yield from found or [Finding("ok", f"all {len(recorded)} SQL files are as version {installed.version} has them")]


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def check_schema(patient: Patient) -> Iterator[Finding]:
    """Look whether the schema is what the migrations make, as `check` does; in transactions of its own."""
    try:
        found = drift(patient.connection)
    except MigrationError as error:
        yield Finding("problem", str(error))
        return
    for fault in found.faults:
        yield Finding("problem", fault.message, fault.advice)
    if not found.faults:
        yield Finding("ok", "; ".join(["it is what the migrations make", *found.notes]))
