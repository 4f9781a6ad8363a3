"""Addresses of databases as URLs of libpq."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict


def as_url(conninfo: str, **changes: str) -> str:
    """Return a connection string as a URL, with some parts changed."""
    parts: dict[str, str] = {**{key: str(value) for key, value in conninfo_to_dict(conninfo).items()}, **changes}
    host = parts["host"].replace("/", "%2F")
    secret = f":{parts['password']}" if "password" in parts else ""
    return f"postgresql://{parts['user']}{secret}@{host}:{parts['port']}/{parts['dbname']}"
