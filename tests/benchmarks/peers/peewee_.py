"""Peewee on RAGFlow's tables, with the queries that RAGFlow's services send."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from peewee import SQL, fn

from benchmarks.peers.ragflow_tables import API4Conversation, APIToken, Dialog, connect

Rows = list[dict[str, Any]]
C: Any = API4Conversation


class Peewee:
    """A connection of a pool for each call, as RAGFlow's decorator takes it."""

    def __init__(self, conninfo: str, size: int = 1) -> None:
        self.pool = connect(conninfo, size)

    def close(self) -> None:
        self.pool.close_all()

    def get_by_id(self, id: str, tenant: str) -> Any:
        with self.pool.connection_context():
            return C.get_or_none(C.id == id)

    def authenticate(self, token: str) -> Any:
        with self.pool.connection_context():
            found = list(APIToken.select().where(APIToken.token == token))
        return found[0] if found else None

    def first_page(self, dialog: str, tenant: str) -> tuple[int, Rows]:
        return self._list(C.select().where(C.dialog_id == dialog))

    def keyword(self, dialog: str, tenant: str, text: str) -> tuple[int, Rows]:
        text = text.lower()
        escaped = text.encode("ascii", "backslashreplace").decode()  # as the JSON of the table has it
        message = fn.LOWER(C.message)
        found = fn.LOWER(C.id).contains(text) | fn.LOWER(C.name).contains(text) | message.contains(text)
        if escaped != text:
            found |= message.contains(escaped)
        return self._list(C.select().where(C.dialog_id == dialog).where(found))

    def _list(self, sessions: Any) -> tuple[int, Rows]:
        with self.pool.connection_context():
            sessions = sessions.order_by(C.create_date.desc())
            count = sessions.count()
            return count, list(sessions.paginate(1, 30).dicts())

    def append_round(self, id: str, tenant: str, dialog: str, turn: list[Any]) -> int:
        """Read the conversation, and write it with its longer list: two statements after a read, three transactions."""
        with self.pool.connection_context():
            one = C.get_by_id(id)
            one.message.extend(turn)
            now = datetime.now().replace(microsecond=0)
            new = {"message": one.message, "update_time": int(now.timestamp() * 1000), "update_date": now}
            C.update(new).where(C.id == id).execute()
            C.update(round=C.round + 1).where(C.id == id).execute()
            return int(one.round) + 1

    def update_scalars(self, id: str, tenant: str, thumb_up: int) -> int:
        with self.pool.connection_context():
            now = datetime.now().replace(microsecond=0)
            new = {"thumb_up": thumb_up, "update_time": int(now.timestamp() * 1000), "update_date": now}
            return int(C.update(new).where(C.id == id).execute())

    def stats(self, tenant: str, from_date: datetime, to_date: datetime) -> Rows:
        first, last = from_date.replace(tzinfo=None), to_date.replace(tzinfo=None)
        with self.pool.connection_context():
            days = C.create_date.truncate("day")
            return list(
                C.select(
                    days.alias("dt"),
                    fn.COUNT(C.id).alias("pv"),
                    fn.COUNT(C.user_id.distinct()).alias("uv"),
                    fn.SUM(C.tokens).alias("tokens"),
                    fn.SUM(C.duration).alias("duration"),
                    fn.AVG(C.round).alias("round"),
                    fn.SUM(C.thumb_up).alias("thumb_up"),
                )
                .join(Dialog, on=((C.dialog_id == Dialog.id) & (Dialog.tenant_id == tenant)))
                .where(C.create_date >= first, C.create_date <= last)
                .group_by(SQL("dt"))  # the same expression again would be another one to psycopg 3
                .dicts()
            )
