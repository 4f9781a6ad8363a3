"""Connection strings: checked without ever quoting one, since any part of a malformed one may be its password."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
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

_WHOLE_NUMBERS = ("connect_timeout", "keepalives", *(name for name in _DEFAULTS if name != "connect_timeout"))

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
        given = type(value).__name__
        del value
        raise InvalidArgumentType(f"{name} must be of the type str, not {given}")
    text = str.__str__(value)
    problem = _problem(text)
    if problem is None:
        return text
    del value, text
    raise InvalidArgument(f"{name} must be {_FORMS}: {problem}")


def connector(
    name: str, conninfo: object, connect: Callable[..., Any], **parameters: Any
) -> Callable[[], Generator[Any, Any, Any]]:
    """Return what connects to a database, as a step: *connect* is psycopg's function, sync or async.

    Raises what `check_conninfo` does. The frames that know the password are in no traceback of an error of connecting.
    """
    try:
        known = with_defaults(check_conninfo(name, conninfo)) | parameters
    finally:
        del conninfo
    return lambda: _connected(lambda: connect(**known))


def explain_refusal(error: BaseException) -> None:
    """Add a note to the error of a connection that a pooler has refused because of its settings."""
    if "unsupported startup parameter" in str(error):
        error.add_note(
            "a pooler refuses settings in a connection string: give them to the role (ALTER ROLE … SET …), or name them"
            " in ignore_startup_parameters of PgBouncer"
        )


def drop_frames(error: BaseException) -> None:
    """Take the frames, whose local variables hold a password, from an error of connecting and what is linked to it."""
    chain: list[BaseException | None] = [error]
    while chain:
        if (linked := chain.pop()) is not None:
            linked.__traceback__ = None
            chain += [linked.__cause__, linked.__context__]


def _connected(connect: Callable[[], Any]) -> Generator[Any, Any, Any]:
    try:
        return (yield connect())
    except BaseException as error:
        explain_refusal(error)
        drop_frames(error)
        raise


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
    problem = None if scheme is None else _problem_of_url(text, scheme["scheme"])
    if problem is not None:
        return problem
    # Outside of the handler: libpq's error, which quotes, must not be the context of ours.
    parts = _parsed(text)
    if parts is None and scheme is None:
        return (
            "libpq cannot read it; each keyword is one that libpq knows, and a value with blanks stands in single"
            " quotes, a backslash before each ' and \\ in it"
        )
    if parts is None:
        return (
            "libpq cannot read its parameters: each behind the ? is name=value, with a name that libpq knows, once, and"
            " &, = and % in a value percent-encoded"
        )
    if scheme is None and any("://" in str(parts.get(key)) for key in ("host", "hostaddr", "port", "dbname", "user")):
        return "a URL must stand alone, not as a value of key=value text"
    for key in _WHOLE_NUMBERS:
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*|", str(parts.get(key) or "")):
            return f"{key} must be a whole number"
    if not all(_is_port(port.strip()) for port in str(parts.get("port") or "").split(",")):
        return "port must be a number from 1 to 65535, or one for each host with commas between them"
    return None


def _is_port(text: str) -> bool:
    return text == "" or (re.fullmatch("[0-9]{1,9}", text) is not None and 1 <= int(text) <= 65_535)


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
    return None


def _parsed(text: str) -> dict[str, Any] | None:
    """Return the parts of a connection string, or None where libpq cannot read it."""
    try:
        return conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        return None
