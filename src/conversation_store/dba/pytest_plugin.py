"""The tests that `pytest --conversation-store-dsn=URL` adds: one a query file, and one of the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from conversation_store.dba.check import CheckedFile, check_file, missing_files, naming_who_holds_locks
from conversation_store.dba.contract import Contract, load_contracts
from conversation_store.dba.drift import drift
from conversation_store.dba.files import QueryFile, scan
from conversation_store.dba.findings import Finding, unreadable
from conversation_store.dba.own_contracts import FILES
from conversation_store.dba.reading import connected
from conversation_store.dba.server import Server


class Faults(Exception):
    """What is wrong in a file, or in the schema."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n\n".join(map(str, findings)))


class Plugin:
    """Adds the tests to a session, and keeps the connection that they share."""

    def __init__(self, config: pytest.Config) -> None:
        self._dsn = str(config.getoption("conversation_store_dsn"))
        self.folder: Path | None = config.getoption("conversation_store_sql")  # None: the files are our own
        self.contracts = _contracts(self.folder, config.getoption("conversation_store_contracts"))
        self._stack = ExitStack()
        self._connection: psycopg.Connection[Any] | None = None
        self._failed: BaseException | None = None
        self._server: Server | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the tests before -k and -m choose among all."""
        checks = _new(_Checks, session, "conversation-store", nodeid="conversation-store", plugin=self)
        items.extend(session.genitems(checks))

    def pytest_unconfigure(self) -> None:
        """Close the connection."""
        self._stack.close()

    def connection(self) -> psycopg.Connection[Any]:
        """Return the connection that all tests share; what fails once is not tried again for each of them."""
        if self._failed is not None:
            raise self._failed
        if self._connection is None:
            try:
                context = connected(self._dsn)
                self._connection = self._stack.enter_context(context)
            except Exception as error:
                self._failed = error
                raise
        return self._connection

    def server(self) -> Server:
        """Return the server, whose catalogue is read once."""
        if self._server is None:
            self._server = Server(self.connection())
        return self._server


class _Checks(pytest.Collector):
    """The tests of all files."""

    def __init__(self, *, plugin: Plugin, **more: Any) -> None:
        cast(Any, super()).__init__(**more)
        self._plugin = plugin

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test of the schema, where it is ours, and one of each file."""
        plugin = self._plugin
        if plugin.folder is None:
            yield _new(_Check, self, "schema", run=self._schema)
        files, errors = scan(plugin.folder)
        for file in files:
            yield _new(_Check, self, file.path, run=partial(self._run, file))
        known: Iterable[CheckedFile] = [
            *(CheckedFile(found.path, (found,)) for found in map(unreadable, errors)),
            *missing_files(plugin.folder, files, errors, plugin.contracts),
        ]
        for checked in known:
            yield _new(_Check, self, checked.path, run=lambda checked=checked: checked)

    def _schema(self) -> CheckedFile:
        connection = self._plugin.connection()
        with naming_who_holds_locks(connection):
            return CheckedFile("schema", tuple(drift(connection).faults))

    def _run(self, file: QueryFile) -> CheckedFile:
        with naming_who_holds_locks(self._plugin.connection()):
            return check_file(self._plugin.server(), file, self._plugin.contracts)


class _Check(pytest.Item):
    """The test of a file, or of the schema."""

    def __init__(self, *, run: Callable[[], CheckedFile], **more: Any) -> None:
        cast(Any, super()).__init__(**more)
        self._run = run

    def runtest(self) -> None:
        """Fail with what is wrong."""
        checked: CheckedFile = self._run()
        if checked.skipped:
            pytest.skip(checked.skipped)
        if checked.findings:
            raise Faults(checked.findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what is wrong, and no traceback, which is none of the service's."""
        if isinstance(excinfo.value, (Faults, psycopg.Error, ValueError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return what the test is called."""
        return self.path, None, self.name


def _contracts(folder: Path | None, named: str | None) -> Mapping[str, Contract] | None:
    """Return what Python expects of the files, or None where that is not named."""
    if folder is None:
        if named is not None:
            raise pytest.UsageError("--conversation-store-contracts needs --conversation-store-sql")
        return FILES
    if not folder.exists():
        raise pytest.UsageError(f"--conversation-store-sql: there is no {folder}")
    try:
        return None if named is None else load_contracts(named)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def _new(kind: Any, parent: pytest.Session | pytest.Collector, name: str, **more: Any) -> Any:
    """Return a node of pytest, whose constructors are untyped."""
    return kind.from_parent(parent, name=name, **more)
