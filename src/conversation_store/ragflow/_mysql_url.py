"""URLs of databases in MySQL: checked without ever quoting one, since any part may be its password."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard
from urllib.parse import unquote

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument

_FORM = "mysql://user:password@host:port/database?name=value"
# A character of a URL that is no delimiter, or any character percent-encoded.
_ENCODED = "%[0-9A-Fa-f]{2}"
_WORD = rf"(?:[^@/:?#%&=\s]|{_ENCODED})"
_URL = re.compile(
    rf"mysql(?:\+pymysql)?://(?:(?P<user>{_WORD}*)(?::(?P<password>{_WORD}*))?@)?"
    rf"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%25[0-9A-Za-z._~-]+)?)\]|(?P<host>(?:[^@/:?#%&=,\[\]\s]|{_ENCODED})*))"
    rf"(?::(?P<port>[0-9]{{0,5}}))?/(?P<database>{_WORD}+)(?:\?(?P<options>[^@#\s]*))?"
)
_OPTION = re.compile(rf"(?P<name>[a-z_]+)=(?P<value>(?:[^@?#%&=\s]|{_ENCODED})*)")

_SSL_MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
_OPTIONS = ("charset", "connect_timeout", "ssl_ca", "ssl_cert", "ssl_key", "ssl_mode", "unix_socket")


def is_mysql(conninfo: object) -> TypeGuard[str]:
    """Return whether a connection string is the URL of a database in MySQL, and not libpq's."""
    return isinstance(conninfo, str) and re.match(r"\s*(?:mysql|mariadb)[^/]*://", conninfo, re.IGNORECASE) is not None


def arguments_of(name: str, url: str) -> dict[str, Any]:
    """Return the arguments of PyMySQL for a URL; raises `InvalidArgument` in words that quote nothing of it.

    No local variable of the traceback holds it; the caller deletes its own.
    """
    problem, arguments = _read(url)
    if problem is None:
        return arguments
    del url, arguments
    raise InvalidArgument(f"{name} must be {_FORM}: {problem}")


def _read(url: str) -> tuple[str | None, dict[str, Any]]:
    """Return what is wrong with a URL, or None, and the arguments."""
    if (reason := validate.unstorable(url)) is not None:
        return f"it must not contain {reason}", {}
    if not url.startswith(("mysql://", "mysql+pymysql://")):
        return "it must begin with mysql:// or mysql+pymysql://, in lower case", {}
    if (parts := _URL.fullmatch(url)) is None:
        return (
            "the database must be named, and @, /, :, ?, #, &, = and % in the user, the password and the other parts be"
            " percent-encoded (@ as %40, / as %2F, : as %3A, ? as %3F, # as %23, & as %26, = as %3D, % as %25)",
            {},
        )
    try:
        decoded = {key: unquote(value, errors="strict") for key, value in parts.groupdict("").items()}
    except UnicodeDecodeError:
        return "what is percent-encoded must be UTF-8", {}
    if "\0" in "".join(decoded.values()):
        return "it must not contain U+0000", {}
    port = int(decoded["port"] or 3306)
    if not 1 <= port <= 65_535:
        return "port must be a number from 1 to 65535", {}
    arguments: dict[str, Any] = {
        "host": decoded["v6"] or decoded["host"] or "localhost",
        "port": port,
        "database": decoded["database"],
        # As bytes: PyMySQL knows no text beyond Latin-1, and its error would show what it could not encode.
        "password": decoded["password"].encode(),
    }
    if decoded["user"]:
        arguments["user"] = decoded["user"]
    problem, options = _read_options(parts["options"] or "")
    if problem is None and not (decoded["v6"] or decoded["host"] or "unix_socket" in options):
        problem = "it must name a host, or unix_socket"
    return problem, arguments | options


def _read_options(text: str) -> tuple[str | None, dict[str, Any]]:
    given: dict[str, str] = {}
    for part in text.split("&") if text else ():
        option = _OPTION.fullmatch(part)
        if option is None or option["name"] not in _OPTIONS or option["name"] in given:
            return f"each behind the ? is name=value, once, and name is one of {', '.join(_OPTIONS)}", {}
        given[option["name"]] = unquote(option["value"], errors="replace")
    for name, (is_good, needed) in _CHECKS.items():
        if name in given and not is_good(given[name]):
            return f"{name} must be {needed}", {}
    mode = given.get("ssl_mode", "verify_ca" if "ssl_ca" in given else "preferred")
    if "ssl_key" in given and "ssl_cert" not in given:
        return "ssl_key needs ssl_cert", {}
    if mode in _SSL_MODES[:2] and {"ssl_ca", "ssl_cert"} & given.keys():
        return "ssl_ca and ssl_cert need ssl_mode to be required, verify_ca or verify_identity", {}
    options: dict[str, Any] = {"connect_timeout": int(given.get("connect_timeout", 10))}
    if "unix_socket" in given:
        options["unix_socket"] = given["unix_socket"]
    if mode == "disabled":
        options["ssl_disabled"] = True
    elif mode != "preferred":  # which PyMySQL does by itself
        try:
            options["ssl"] = _context(mode, given)
        except (OSError, ValueError) as error:
            return f"the files of ssl_ca, ssl_cert and ssl_key cannot be used: {type(error).__name__}", {}
    return None, options


_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "charset": (lambda value: value == "utf8mb4", "utf8mb4, which has every character of the others"),
    "connect_timeout": (
        lambda value: re.fullmatch("[0-9]{1,5}", value) is not None and int(value) > 0,
        "a whole number of seconds, from 1 to 99999",
    ),
    "ssl_mode": (lambda value: value in _SSL_MODES, f"one of {', '.join(_SSL_MODES)}"),
    "unix_socket": (lambda value: value.startswith("/"), "the whole path of a socket"),
}


def _context(mode: str, given: Mapping[str, str]) -> ssl.SSLContext:
    """Return how TLS checks the server; the certificates that MySQL makes by itself name no host."""
    context = ssl.create_default_context(cafile=given.get("ssl_ca"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # they are of an old form too
    context.check_hostname = mode == "verify_identity"
    context.verify_mode = ssl.CERT_NONE if mode == "required" else ssl.CERT_REQUIRED
    if "ssl_cert" in given:
        context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
    return context
