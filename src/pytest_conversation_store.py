"""The pytest plugin: `pytest --conversation-store-dsn=URL` checks every query file on a server, each as a test.

Without that option it adds nothing. It stands outside of the package, which every run of pytest would import with it.
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("conversation-store")
    group.addoption(
        "--conversation-store-dsn",
        metavar="URL",
        help="check query files on this database, a postgresql:// URL or libpq's key=value text",
    )
    group.addoption(
        "--conversation-store-sql",
        metavar="PATH",
        type=Path,
        help="the folder of a service's query files; by default those of conversation-store, and its schema",
    )
    group.addoption(
        "--conversation-store-contracts",
        metavar="MODULE:MAPPING",
        help="what Python expects of the files of --conversation-store-sql: a mapping from their names, as orders.get,"
        " to row classes or to conversation_store.dba.contract.Contract",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the tests, where a database is named."""
    if config.getoption("conversation_store_dsn") is None:
        return
    from conversation_store.dba.pytest_plugin import Plugin

    config.pluginmanager.register(Plugin(config), "conversation-store-checks")
