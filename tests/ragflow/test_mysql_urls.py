"""URLs of databases in MySQL: what is read of them, what is refused, and that no error shows a password."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation_store import InvalidArgument, SourceError
from conversation_store.ragflow import _mysql_connection as mysql_module
from conversation_store.ragflow import import_ragflow, import_ragflow_async
from conversation_store.ragflow._mysql_url import arguments_of, is_mysql
from support.commands import call
from support.tracebacks import everything

MARK = "zqSECRETqz"
IMPORTS: list[Callable[[str], object]] = [
    lambda url: import_ragflow(url, "host=/nowhere"),
    lambda url: asyncio.run(import_ragflow_async(url, "host=/nowhere")),
]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://h/d", {"host": "h", "port": 3306, "database": "d"}),
        ("mysql+pymysql://u:p@h:1/d", {"user": "u", "password": b"p", "host": "h", "port": 1, "database": "d"}),
        ("mysql://u@[::1]:3307/d", {"user": "u", "password": b"", "host": "::1", "port": 3307}),
        ("mysql://u@[fe80::1%25eth0]/d", {"host": "fe80::1%eth0"}),
        (
            "mysql://u%40x:%3A%2F%3F%23%5B%5D%40%25+%20%E5%AF%86@h/a%2Fb",
            {"user": "u@x", "password": ":/?#[]@%+ 密".encode(), "database": "a/b"},
        ),
        (
            "mysql:///d?unix_socket=/run/mysqld/mysqld.sock",
            {"host": "localhost", "unix_socket": "/run/mysqld/mysqld.sock"},
        ),
        ("mysql://h/d?charset=utf8mb4&connect_timeout=3", {"connect_timeout": 3}),
        ("mysql://h/d?unix_socket=%2Ftmp%2Fa%20b", {"unix_socket": "/tmp/a b"}),
        ("mysql://h/d?ssl_mode=disabled", {"ssl_disabled": True}),
    ],
)
def test_the_parts_of_a_url_are_read(url: str, expected: dict[str, Any]) -> None:
    assert is_mysql(url)
    arguments = arguments_of("source", url)
    assert {key: arguments.get(key) for key in expected} == expected


def test_tls_is_checked_as_its_mode_says() -> None:
    for mode, verify, host in (
        ("required", ssl.CERT_NONE, False),
        ("verify_ca", ssl.CERT_REQUIRED, False),
        ("verify_identity", ssl.CERT_REQUIRED, True),
    ):
        context = arguments_of("source", f"mysql://h/d?ssl_mode={mode}")["ssl"]
        assert (context.verify_mode, context.check_hostname) == (verify, host)
    assert "ssl" not in arguments_of("source", "mysql://h/d?ssl_mode=preferred")


REFUSED = [
    ("mysql://u:{}@h", "the database must be named"),
    ("mysql://u:{}@h/", "the database must be named"),
    ("mysql://u:{}/x@h/d", "percent-encoded"),
    ("mysql://u:{}@x@h/d", "percent-encoded"),
    ("mysql://u:{}#@h/d", "percent-encoded"),
    ("mysql://u:{}%@h/d", "percent-encoded"),
    ("mysql://u:{} @h/d", "percent-encoded"),
    ("mysql://u:{}%ff@h/d", "must be UTF-8"),
    ("mysql://u:{}%00@h/d", "U+0000"),
    ("mysql://u:{}\0@h/d", "U+0000"),
    ("mysql://u:{}@:3306/d", "it must name a host, or unix_socket"),
    ("mysql://u:{}@h:0/d", "port must be a number from 1 to 65535"),
    ("mysql://u:{}@h:65536/d", "port must be a number from 1 to 65535"),
    ("MySQL://u:{}@h/d", "it must begin with mysql:// or mysql+pymysql://"),
    (" mysql://u:{}@h/d", "it must begin with mysql:// or mysql+pymysql://"),
    ("mysql+mysqldb://u:{}@h/d", "it must begin with mysql:// or mysql+pymysql://"),
    ("mariadb://u:{}@h/d", "it must begin with mysql:// or mysql+pymysql://"),
    ("mysql://u:{}@h/d?charset=latin1", "charset must be utf8mb4"),
    ("mysql://u:{}@h/d?connect_timeout=0", "connect_timeout must be a whole number of seconds"),
    ("mysql://u:{}@h/d?connect_timeout=1.5", "connect_timeout must be a whole number of seconds"),
    ("mysql://u:{}@h/d?unix_socket=here", "unix_socket must be the whole path"),
    ("mysql://u:{}@h/d?ssl_mode=VERIFY", "ssl_mode must be one of disabled, preferred"),
    ("mysql://u:{}@h/d?ssl_ca=/no/such/file", "cannot be used: FileNotFoundError"),
    ("mysql://u:{}@h/d?ssl_ca=/a&ssl_mode=disabled", "need ssl_mode to be required"),
    ("mysql://u:{}@h/d?ssl_key=/a", "ssl_key needs ssl_cert"),
    ("mysql://u@h/d?password={}", "name is one of charset, connect_timeout, ssl_ca"),
    ("mysql://u:{}@h/d?charset=utf8mb4&charset=utf8mb4", "once"),
    ("mysql://u:{}@h/d?read_timeout", "name is one of"),
]


@pytest.mark.parametrize("enter", IMPORTS)
@pytest.mark.parametrize(("url", "message"), REFUSED)
def test_what_is_refused_is_told_without_the_password(enter: Callable[[str], object], url: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        enter(url.format(MARK))
    assert str(raised.value).startswith("source must be mysql://user:password@host:port/database?name=value: ")
    assert message in str(raised.value)
    assert MARK not in everything(raised.value)


def test_the_command_refuses_a_url_without_the_password() -> None:
    for url, message in REFUSED:
        if "\0" not in url:
            done = call("import-ragflow", "--from", url.format(MARK), database="host=/nowhere")
            assert done.code == 1
            assert message in done.stderr
            assert MARK not in done.stdout + done.stderr


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_user_password_and_database_can_be_percent_encoded(text: str) -> None:
    word = quote(text, safe="")
    arguments = arguments_of("source", f"mysql://{word}:{word}@h/{word}")
    assert (arguments["user"], arguments["password"], arguments["database"]) == (text, text.encode(), text)


@given(st.text(alphabet="ab@:/?#%&=[] \n", max_size=12), st.text(alphabet="ab@:/?#%&=[] \n", max_size=12))
def test_no_password_that_is_not_encoded_is_shown(before: str, after: str) -> None:
    try:
        arguments = arguments_of("source", f"mysql://u:{before}{MARK}{after}@h/d")
    except InvalidArgument as error:
        assert MARK not in everything(error)
    else:
        assert MARK.encode() in arguments.pop("password")
        assert MARK not in str(arguments)


def test_without_pymysql_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    mysql_module.driver.cache_clear()
    for enter in IMPORTS:
        with pytest.raises(SourceError, match=r"pip install 'conversation-store\[mysql\]'") as raised:
            enter(f"mysql://u:{MARK}@h/d")
        assert MARK not in everything(raised.value)
