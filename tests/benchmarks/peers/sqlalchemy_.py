"""SQLAlchemy Core on psycopg and its own pool: the statements are built of tables, once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    func,
    literal_column,
    select,
    tuple_,
    types,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.pool import QueuePool

from benchmarks.peers.floor import digest
from benchmarks.peers.rows import JSON

DATE = DateTime(timezone=True)
METADATA = MetaData(schema="conversation_store")
CONVERSATION = Table(
    "conversation",
    METADATA,
    *(Column(name, String) for name in ("id", "tenant_id", "dialog_id", "name", "user_id", "exp_user_id")),
    Column("tokens", BigInteger),
    Column("source", String),
    Column("dsl", types.JSON),
    Column("duration", Double),
    *(Column(name, Integer) for name in ("round", "thumb_up")),
    *(Column(name, String) for name in ("errors", "version_title")),
    *(Column(name, DATE) for name in ("create_date", "update_date")),
    *(Column(name, Integer) for name in ("message_count", "reference_count")),
    Column("revision", BigInteger),
)
MESSAGE, REFERENCE = (
    Table(
        f"conversation_{name}",
        METADATA,
        Column("tenant_id", String),
        Column("conversation_id", String),
        Column("position", Integer),
        Column("body", types.JSON),
    )
    for name in ("message", "reference")
)
TOKEN = Table(
    "api_token",
    METADATA,
    *(Column(name, kind) for name, kind in (("id", BigInteger), ("tenant_id", String), ("token_digest", LargeBinary))),
    *(Column(name, String) for name in ("hint", "dialog_id", "source", "beta")),
    *(Column(f"{name}_date", DATE) for name in ("create", "update", "use", "expire", "rotate", "revoke")),
    Column("predecessor_id", BigInteger),
)


def entries(of: Table, name: str) -> Any:
    """Return the column of a conversation's entries, in order."""
    return (
        select(
            func.coalesce(
                func.json_agg(aggregate_order_by(of.c.body, of.c.position), type_=types.JSON), literal_column("'[]'")
            )
        )
        .where(
            of.c.tenant_id == CONVERSATION.c.tenant_id,
            of.c.conversation_id == CONVERSATION.c.id,
            of.c.position <= CONVERSATION.c[f"{name}_count"],
        )
        .scalar_subquery()
        .label(name)
    )


C = CONVERSATION.c
READ: list[Any] = [
    *(column for column in C if not column.name.endswith("_count")),
    entries(MESSAGE, "message"),
    entries(REFERENCE, "reference"),
]
IN_DIALOG = (C.tenant_id == bindparam("tenant"), C.dialog_id == bindparam("dialog"))
GET_BY_ID = select(*READ).where(C.id == bindparam("id_"), C.tenant_id == bindparam("tenant"))
PAGE = select(*READ).where(*IN_DIALOG).order_by(C.create_date.desc(), C.id.desc()).limit(30)
NEXT_PAGE = PAGE.where(tuple_(C.create_date, C.id) < tuple_(bindparam("date", type_=DATE), bindparam("id_")))
TOTAL = select(func.count()).select_from(CONVERSATION).where(*IN_DIALOG, literal_column("(id <> '') IS TRUE"))
AUTHENTICATE = select(
    *(column for column in TOKEN.c if column.name != "token_digest"),
    ((TOKEN.c.use_date.is_(None)) | (TOKEN.c.use_date <= func.now() - literal_column("interval '1 minute'"))).label(
        "stamp_due"
    ),
).where(
    TOKEN.c.token_digest == bindparam("digest"),
    TOKEN.c.revoke_date.is_(None),
    TOKEN.c.expire_date.is_(None) | (TOKEN.c.expire_date > func.now()),
)
STAMP = update(TOKEN).where(TOKEN.c.id == bindparam("id_")).values(use_date=func.now(), update_date=func.now())
UPDATE_SCALARS = (
    update(CONVERSATION)
    .where(C.id == bindparam("id_"), C.tenant_id == bindparam("tenant"))
    .values(thumb_up=bindparam("value"), update_date=func.now(), revision=C.revision + 1)
)


class SqlAlchemy:
    """An engine in autocommit, and a connection of its pool for each call."""

    def __init__(self, conninfo: str, size: int = 1) -> None:
        self.engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(conninfo),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
            json_deserializer=JSON,
        )

    def close(self) -> None:
        self.engine.dispose()

    def get_by_id(self, id: str, tenant: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(GET_BY_ID, {"id_": id, "tenant": tenant}).one_or_none()

    def authenticate(self, token: str) -> Any:
        with self.engine.connect() as connection:
            found = connection.execute(AUTHENTICATE, {"digest": digest(token)}).one_or_none()
            if found and found.stamp_due:
                connection.execute(STAMP, {"id_": found.id})
        return found

    def first_page(self, dialog: str, tenant: str) -> tuple[int, Any]:
        of = {"dialog": dialog, "tenant": tenant}
        with self.engine.connect() as connection:
            return connection.execute(TOTAL, of).scalar_one(), connection.execute(PAGE, of).all()

    def page_without_total(self, dialog: str, tenant: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(PAGE, {"dialog": dialog, "tenant": tenant}).all()

    def next_page(self, dialog: str, tenant: str, cursor: str, date: datetime, id: str) -> Any:
        with self.engine.connect() as connection:
            after = {"dialog": dialog, "tenant": tenant, "date": date, "id_": id}
            return connection.execute(NEXT_PAGE, after).all()

    def update_scalars(self, id: str, tenant: str, thumb_up: int) -> int:
        with self.engine.connect() as connection:
            new = {"id_": id, "tenant": tenant, "value": thumb_up}
            return connection.execute(UPDATE_SCALARS, new).rowcount
