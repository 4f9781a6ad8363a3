"""aiosql: the statements of the floor in its own file format, called through its adapter for psycopg."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import aiosql
from psycopg_pool import ConnectionPool

from benchmarks.peers import by_hand
from benchmarks.peers.floor import AUTOCOMMIT, configure, digest, dumps
from benchmarks.peers.rows import Conversation, Token

# The name of each, whether it returns one row (^), the number of changed ones (!) or rows, and the names of its parameters.
STATEMENTS = [
    ("get_by_id", "^", by_hand.GET_BY_ID, ["id", "tenant"]),
    ("authenticate", "^", by_hand.AUTHENTICATE, ["digest"]),
    ("stamp", "!", by_hand.STAMP, ["id"]),
    ("page", "", by_hand.PAGE, ["tenant", "dialog"]),
    ("page_and_total", "", by_hand.PAGE_AND_TOTAL, ["tenant", "dialog", "tenant", "dialog"]),
    ("next_page", "", by_hand.NEXT_PAGE, ["tenant", "dialog", "date", "id"]),
    ("append_round", "^", by_hand.APPEND_ROUND, ["id", "tenant", "first", "second"]),
    ("update_scalars", "!", by_hand.UPDATE_SCALARS, ["thumb_up", "id", "tenant"]),
]


def file_of_aiosql() -> str:
    return "\n".join(
        f"-- name: {name}({', '.join(dict.fromkeys(names))}){returns}\n"
        f"{statement.replace('%s', '{}').format(*(f':{name}' for name in names)).strip()};\n"
        for name, returns, statement, names in STATEMENTS
    )


class Aiosql:
    """A connection of psycopg's pool for each call."""

    def __init__(self, conninfo: str, size: int = 1) -> None:
        self.pool = ConnectionPool(
            conninfo, min_size=size, max_size=size, kwargs=AUTOCOMMIT, configure=configure, open=True
        )
        self.pool.wait()
        self.queries: Any = aiosql.from_str(file_of_aiosql(), "psycopg")

    def close(self) -> None:
        self.pool.close()

    def get_by_id(self, id: str, tenant: str) -> Conversation | None:
        with self.pool.connection() as connection:
            row = self.queries.get_by_id(connection, id=id, tenant=tenant)
        return Conversation(*row) if row else None

    def authenticate(self, token: str) -> Token | None:
        with self.pool.connection() as connection:
            row = self.queries.authenticate(connection, digest=digest(token))
            found = Token(*row) if row else None
            if found and found.stamp_due:
                self.queries.stamp(connection, id=found.id)
        return found

    def first_page(self, dialog: str, tenant: str) -> tuple[int, list[Conversation]]:
        with self.pool.connection() as connection:
            rows = list(self.queries.page_and_total(connection, tenant=tenant, dialog=dialog))
        return rows[0][0] if rows else 0, [Conversation(*row[1:]) for row in rows]

    def page_without_total(self, dialog: str, tenant: str) -> list[Conversation]:
        with self.pool.connection() as connection:
            return [Conversation(*row) for row in self.queries.page(connection, tenant=tenant, dialog=dialog)]

    def next_page(self, dialog: str, tenant: str, cursor: str, date: datetime, id: str) -> list[Conversation]:
        with self.pool.connection() as connection:
            rows = self.queries.next_page(connection, tenant=tenant, dialog=dialog, date=date, id=id)
            return [Conversation(*row) for row in rows]

    def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        first, second = map(dumps, turn)
        with self.pool.connection() as connection:
            row = self.queries.append_round(connection, id=id, tenant=tenant, first=first, second=second)
        return int(row[0])

    def update_scalars(self, id: str, tenant: str, thumb_up: int) -> int:
        with self.pool.connection() as connection:
            return int(self.queries.update_scalars(connection, thumb_up=thumb_up, id=id, tenant=tenant))
