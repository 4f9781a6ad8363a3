"""COPY, by which many rows are loaded. It is part of a transaction of the call, which has looked at the connection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg.copy import AsyncLibpqWriter, LibpqWriter
from psycopg.pq import TransactionStatus

from conversation_store._adapters import to_text
from conversation_store._deadlines import AsyncLimited, Limited


def copy(limited: Limited, text: bytes, rows: Sequence[Sequence[object]]) -> int:
    """Send rows, and return how many are stored."""
    with limited.cursor() as cursor:
        try:
            with cursor.copy(text) as copy:
                for row in rows:
                    copy.write_row([to_text(value) for value in row])
        except BaseException as error:
            # psycopg ends a COPY that fails, but not one that is interrupted while it begins: nothing could follow.
            if limited.pgconn.transaction_status == TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    LibpqWriter(cursor).finish(error)
            raise
        return cursor.rowcount


async def copy_async(limited: AsyncLimited, text: bytes, rows: Sequence[Sequence[object]]) -> int:
    """Send rows on asyncio, and return how many are stored."""
    async with limited.cursor() as cursor:
        try:
            async with cursor.copy(text) as copy:
                for row in rows:
                    await copy.write_row([to_text(value) for value in row])
        except BaseException as error:
            if limited.pgconn.transaction_status == TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    await AsyncLibpqWriter(cursor).finish(error)
            raise
        return cursor.rowcount
