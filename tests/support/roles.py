"""A role of a service: no superuser, with no more rights than sql/README.md gives it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from support.server import random_name

GRANTS: tuple[LiteralString, ...] = (
    "GRANT USAGE ON SCHEMA conversation_store TO {}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA conversation_store TO {}",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA conversation_store TO {}",
)


@contextmanager
def service_role(
    conninfo: str, settings: Mapping[str, str] | None = None, *, grants: tuple[LiteralString, ...] = GRANTS
) -> Generator[str]:
    """Create a role with settings and rights in a database, give the address under which it connects, and drop it."""
    role = sql.Identifier(name := random_name())
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
        try:
            for grant in grants:
                admin.execute(sql.SQL(grant).format(role))
            for key, value in (settings or {}).items():
                alter = sql.SQL("ALTER ROLE {} SET {} = {}")
                admin.execute(alter.format(role, sql.Identifier(key), sql.Literal(value)))
            yield make_conninfo(conninfo, user=name, password="secret")
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))
