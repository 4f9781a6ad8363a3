"""A query file for the tests of the loader: its name, its path and a header."""

from __future__ import annotations

NAME = "thing.get"
PATH = "sql/thing/get.sql"
HEADER = "/* thing.get */\n-- Get a thing.\n-- returns: many\n"
BODY_LINE = 4
"""The number of the first line below the header."""
