"""The floor: psycopg and psycopg_pool, called by hand, sync and on asyncio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks.peers import by_hand
from benchmarks.peers.rows import JSON, Conversation, Day, Token

AUTOCOMMIT = {"autocommit": True}


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def configure(connection: Connection) -> None:
    set_json_loads(JSON, connection)


async def configure_async(connection: AsyncConnection) -> None:
    set_json_loads(JSON, connection)


class Floor:
    """Statements by hand on a pool of connections in autocommit."""

    def __init__(
        self, conninfo: str, size: int = 1, configure: Callable[[Connection], None] | None = configure
    ) -> None:
        self.pool = ConnectionPool(
            conninfo, min_size=size, max_size=size, kwargs=AUTOCOMMIT, configure=configure, open=True
        )
        self.pool.wait()

    def close(self) -> None:
        self.pool.close()

    def get_by_id(self, id: str, tenant: str) -> Conversation | None:
        with self.pool.connection() as connection:
            row = connection.execute(by_hand.GET_BY_ID, (id, tenant)).fetchone()
        return Conversation(*row) if row else None

    def authenticate(self, token: str) -> Token | None:
        with self.pool.connection() as connection:
            row = connection.execute(by_hand.AUTHENTICATE, (digest(token),)).fetchone()
            if row is None:
                return None
            found = Token(*row)
            if found.stamp_due:
                connection.execute(by_hand.STAMP, (found.id,))
        return found

    def first_page(self, dialog: str, tenant: str) -> tuple[int, list[Conversation]]:
        with self.pool.connection() as connection:
            rows = connection.execute(by_hand.PAGE_AND_TOTAL, (tenant, dialog, tenant, dialog)).fetchall()
        return rows[0][0] if rows else 0, [Conversation(*row[1:]) for row in rows]

    def page_without_total(self, dialog: str, tenant: str) -> list[Conversation]:
        with self.pool.connection() as connection:
            rows = connection.execute(by_hand.PAGE, (tenant, dialog)).fetchall()
        return [Conversation(*row) for row in rows]

    def next_page(self, dialog: str, tenant: str, cursor: str, date: datetime, id: str) -> list[Conversation]:
        with self.pool.connection() as connection:
            rows = connection.execute(by_hand.NEXT_PAGE, (tenant, dialog, date, id)).fetchall()
        return [Conversation(*row) for row in rows]

    def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        with self.pool.connection() as connection:
            row = connection.execute(by_hand.APPEND_ROUND, (id, tenant, *map(dumps, turn))).fetchone()
        return row[0] if row else 0

    def update_scalars(self, id: str, tenant: str, thumb_up: int) -> int:
        with self.pool.connection() as connection:
            return connection.execute(by_hand.UPDATE_SCALARS, (thumb_up, id, tenant)).rowcount

    def stats(self, tenant: str, from_date: datetime, to_date: datetime) -> list[Day]:
        with self.pool.connection() as connection:
            rows = connection.execute(by_hand.STATS, (tenant, from_date, to_date)).fetchall()
        return [Day(*row) for row in rows]

    def export(self, tenant: str) -> Iterator[str]:
        """Read by a cursor of the server, and write each row as JSON."""
        with self.pool.connection() as connection, connection.transaction(), connection.cursor("export") as cursor:
            cursor.itersize = 2000
            cursor.execute(by_hand.EXPORT, (tenant,))
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                line = dict(zip(names, row, strict=True))
                line["create_date"] = line["create_date"].isoformat()
                line["update_date"] = line["update_date"].isoformat()
                yield json.dumps(line, ensure_ascii=False) + "\n"


class AsyncFloor:
    """The same on asyncio."""

    def __init__(self, conninfo: str, size: int = 1) -> None:
        self.pool = AsyncConnectionPool(
            conninfo, min_size=size, max_size=size, kwargs=AUTOCOMMIT, configure=configure_async, open=False
        )

    async def open(self) -> None:
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    async def get_by_id(self, id: str, tenant: str) -> Conversation | None:
        async with self.pool.connection() as connection:
            row = await (await connection.execute(by_hand.GET_BY_ID, (id, tenant))).fetchone()
        return Conversation(*row) if row else None

    async def authenticate(self, token: str) -> Token | None:
        async with self.pool.connection() as connection:
            row = await (await connection.execute(by_hand.AUTHENTICATE, (digest(token),))).fetchone()
            if row is None:
                return None
            found = Token(*row)
            if found.stamp_due:
                await connection.execute(by_hand.STAMP, (found.id,))
        return found

    async def first_page(self, dialog: str, tenant: str) -> tuple[int, list[Conversation]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(by_hand.PAGE_AND_TOTAL, (tenant, dialog, tenant, dialog))
            rows = await cursor.fetchall()
        return rows[0][0] if rows else 0, [Conversation(*row[1:]) for row in rows]

    async def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        async with self.pool.connection() as connection:
            row = await (await connection.execute(by_hand.APPEND_ROUND, (id, tenant, *map(dumps, turn)))).fetchone()
        return row[0] if row else 0
