"""asyncpg and its pool, with the statements of the floor."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
from psycopg.conninfo import conninfo_to_dict

from benchmarks.peers import by_hand
from benchmarks.peers.by_hand import numbered
from benchmarks.peers.floor import digest, dumps
from benchmarks.peers.rows import JSON

GET_BY_ID, AUTHENTICATE, STAMP = map(numbered, (by_hand.GET_BY_ID, by_hand.AUTHENTICATE, by_hand.STAMP))
PAGE, PAGE_AND_TOTAL, NEXT_PAGE = map(numbered, (by_hand.PAGE, by_hand.PAGE_AND_TOTAL, by_hand.NEXT_PAGE))
APPEND_ROUND, UPDATE_SCALARS = map(numbered, (by_hand.APPEND_ROUND, by_hand.UPDATE_SCALARS))


async def read_json(connection: Any) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=dumps, decoder=JSON)


class Asyncpg:
    """Records as they come."""

    def __init__(self, conninfo: str, size: int = 1) -> None:
        self.conninfo = conninfo
        self.size = size
        self.pool: Any = None

    async def open(self) -> None:
        parts = conninfo_to_dict(self.conninfo)
        self.pool = await asyncpg.create_pool(
            host=parts["host"],
            port=int(parts["port"] or 5432),
            user=parts["user"],
            password=parts.get("password"),
            database=parts["dbname"],
            min_size=self.size,
            max_size=self.size,
            init=read_json,
        )

    async def close(self) -> None:
        await self.pool.close()

    async def get_by_id(self, id: str, tenant: str) -> Any:
        return await self.pool.fetchrow(GET_BY_ID, id, tenant)

    async def authenticate(self, token: str) -> Any:
        async with self.pool.acquire() as connection:
            found = await connection.fetchrow(AUTHENTICATE, digest(token))
            if found and found["stamp_due"]:
                await connection.execute(STAMP, found["id"])
        return found

    async def first_page(self, dialog: str, tenant: str) -> tuple[int, list[Any]]:
        rows = await self.pool.fetch(PAGE_AND_TOTAL, tenant, dialog, tenant, dialog)
        return rows[0][0] if rows else 0, rows

    async def page_without_total(self, dialog: str, tenant: str) -> list[Any]:
        return list(await self.pool.fetch(PAGE, tenant, dialog))

    async def next_page(self, dialog: str, tenant: str, cursor: str, date: datetime, id: str) -> list[Any]:
        return list(await self.pool.fetch(NEXT_PAGE, tenant, dialog, date, id))

    async def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        return int(await self.pool.fetchval(APPEND_ROUND, id, tenant, *turn))

    async def update_scalars(self, id: str, tenant: str, thumb_up: int) -> int:
        return int((await self.pool.execute(UPDATE_SCALARS, thumb_up, id, tenant)).split()[-1])
