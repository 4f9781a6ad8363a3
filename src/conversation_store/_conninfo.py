"""Connection strings: checked without ever quoting one, since any part of a malformed one may be its password."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, InvalidArgumentType

_DEFAULTS = {
    # Seconds for each host; without it a server that does not answer is waited for until the system gives up.
    "connect_timeout": 10,
    # A connection whose peer is gone ends after a minute. Times in seconds, the last one in milliseconds.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_FORMS = "a postgresql:// URL or libpq's key=value text"
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.:-]*)://", re.IGNORECASE)

# A character of a URL that is no delimiter, or any character percent-encoded.
_ENCODED = "%[0-9A-Fa-f]{2}"
_WORD = rf"(?:[^@/:?#%\s]|{_ENCODED})*"
_HOST = rf"(?:\[[^\[\]@/?#\s]+\]|(?:[^@/:?#%,\[\]\s]|{_ENCODED})*)(?::[0-9]{{0,5}})?"
# libpq takes the first @, : or / that fits for the delimiter. What stands behind an unencoded one in a password is a
# host, a port or a database to libpq, and its errors print it. Here each delimiter has one place.
_URL = re.compile(
    rf"postgres(?:ql)?://(?:{_WORD}(?::{_WORD})?@)?{_HOST}(?:,{_HOST})*"
    rf"(?:/(?:[^@/?#%\s]|{_ENCODED})*)?(?:\?(?:[^@#%\s]|{_ENCODED})*)?"
)


def check_conninfo(name: str, value: object) -> str:
    """Return a connection string that libpq can read; the empty one leaves everything to libpq's environment.

    Raises `InvalidArgument` in words that quote nothing of it, and `InvalidArgumentType`. No local variable of the
    traceback holds it; the caller deletes its own.
    """
    if not isinstance(value, str):
        raise InvalidArgumentType(f"{name} must be of the type str, not {type(value).__name__}")
    text = str.__str__(value)
    problem = _problem(text)
    if problem is None:
        return text
    del value, text
    raise InvalidArgument(f"{name} must be {_FORMS}: {problem}")


def with_defaults(conninfo: str) -> dict[str, Any]:
    """Return the parameters of a checked connection string, with bounds on how long a lost server is waited for.

    What the string, its service or the environment sets stays as it is.
    """
    given = {key: value for key, value in conninfo_to_dict(conninfo).items() if value is not None}
    known = _known(conninfo)
    return given | {key: value for key, value in _DEFAULTS.items() if key not in known}


def _known(conninfo: str) -> set[str]:
    """Return which parameters the string, its service or the environment sets, or libpq by itself."""
    # libpq alone knows where services are described. It reads them, then refuses this sslmode before it connects.
    # With a password it does not look for a file of passwords.
    attempt = PGconn.connect_start(make_conninfo(conninfo, sslmode="never connects", password="-").encode())
    try:
        return {option.keyword.decode() for option in attempt.info if option.val is not None}
    finally:
        attempt.finish()


def _problem(text: str) -> str | None:
    """Return what is wrong with a connection string."""
    if (reason := validate.unstorable(text)) is not None:
        return f"it must not contain {reason}"
    scheme = _SCHEME.match(text.lstrip())
    if scheme is not None:
        return _problem_of_url(text, scheme["scheme"])
    # Outside of the handler: libpq's error, which quotes, must not be the context of ours.
    parts = _parsed(text)
    if parts is None:
        return (
            "libpq cannot read it; a value with blanks stands in single quotes, a backslash before each ' and \\ in it"
        )
    if any("://" in str(parts.get(key)) for key in ("host", "hostaddr", "port", "dbname", "user")):
        return "a URL must stand alone, not as a value of key=value text"
    return None


def _problem_of_url(text: str, scheme: str) -> str | None:
    if re.fullmatch(r"(jdbc:)?postgres(ql)?([+:].*)?", scheme, re.IGNORECASE) and scheme.lower() not in (
        "postgresql",
        "postgres",
    ):
        whose = "JDBC's" if scheme.lower().startswith("jdbc:") else "SQLAlchemy's"
        return f"its scheme is {whose} form; write postgresql://"
    if scheme not in ("postgresql", "postgres"):
        return "a URL must begin with postgresql://, in lower case"
    if re.search(r"\s", text):
        return "a URL must not contain blanks or newlines; percent-encode a blank as %20"
    if not _URL.fullmatch(text):
        return (
            "a URL is postgresql://user:password@host:port/database?name=value; percent-encode @, /, :, ?, # and % in"
            " the user, the password and the other parts (@ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25)"
        )
    if _parsed(text) is None:
        return (
            "libpq cannot read its parameters: each behind the ? is name=value, with a name that libpq knows, once, and"
            " &, = and % in a value percent-encoded"
        )
    return None


def _parsed(text: str) -> dict[str, Any] | None:
    """Return the parts of a connection string, or None where libpq cannot read it."""
    try:
        return conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        return None
