"""Connection strings: what is allowed, what is said of the others, and that no error shows a part of a password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo

from conversation_store import (
    AsyncConversationStore,
    ConversationStore,
    InvalidArgument,
    InvalidArgumentType,
    check_schema,
    check_schema_async,
    migrate,
    migrate_async,
)
from conversation_store._conninfo import check_conninfo, with_defaults
from conversation_store.ragflow import import_ragflow, import_ragflow_async
from support.commands import call
from support.tracebacks import everything
from support.urls import as_url

MARK = "zq"

ALLOWED = [
    "",
    "host=h dbname='a b' password='it\\'s'",
    "service=app",
    "postgresql://",
    "postgres://h",
    "postgresql:///app?host=/var/run/postgresql",
    "postgresql://u@/app",
    "postgresql://%2Fvar%2Frun:5433/app",
    "postgresql://u:p%40%2F%3A%3F%23%25@h1:5432,[::1]:5433,10.0.0.1/app?sslmode=require&target_session_attrs=any",
    "postgresql://u:p;&='\"\\[]$!*()~,@h/app",
    "postgresql://ü:密@h/数据",
    "host=h1,h2 port=5432,",
    "host=h port='' connect_timeout=' 3 ' keepalives_idle=''",
]
FORMS = "a postgresql:// URL or libpq's key=value text"
REFUSED = [
    ("postgresql+psycopg://u:zq@h/app", "SQLAlchemy's form; write postgresql://"),
    ("postgresql+asyncpg://u:zq@h/app", "SQLAlchemy's form; write postgresql://"),
    ("postgres+psycopg2://u:zq@h/app", "SQLAlchemy's form; write postgresql://"),
    ("jdbc:postgresql://h/app?password=zq", "JDBC's form; write postgresql://"),
    ("PostgreSQL://u:zq@h/app", "in lower case"),
    ("mysql://u:zq@h/app", "must begin with postgresql://"),
    *((f"postgresql://u:zq{delimiter}zq@h/app", "percent-encode") for delimiter in "@/:?#%"),
    ("postgresql://u@server:zq@h/app", "percent-encode"),
    ("postgresql://u:zq", "percent-encode"),
    ("postgresql://u:zq@h/app#fragment", "percent-encode"),
    ("postgresql://u:zq@h:123456/app", "percent-encode"),
    ("postgresql://u:zq zq@h/app", "blank"),
    (" postgresql://u:zq@h/app", "blank"),
    ("postgresql://u:zq@h/app\n", "newlines"),
    ("postgresql://u:zq@h/app?pgbouncer=true", "with a name that libpq knows"),
    ("postgresql://h/app?password=zq&zq", "percent-encoded"),
    ("postgresql://u:zq@h/%00", "libpq cannot read"),
    ("host=h password=zq zq", "single quotes"),
    ("host=h password='zq", "single quotes"),
    ("host=h zq=x", "each keyword is one that libpq knows"),
    ("host=h port=zq", "port must be a number from 1 to 65535"),
    ("host=h port=5432,zq", "port must be a number from 1 to 65535"),
    ("postgresql://u:zq@h:70000/app", "port must be a number from 1 to 65535"),
    ("postgresql://u@h/app?port=zq", "port must be a number from 1 to 65535"),
    ("postgresql://u@h/app?connect_timeout=zq", "connect_timeout must be a whole number"),
    ("host=h connect_timeout=infzq", "connect_timeout must be a whole number"),
    ("host=h keepalives_idle=zq", "keepalives_idle must be a whole number"),
    ("u:zq@h/app", "libpq cannot read"),
    ("dbname=postgresql://u:zq@h/app", "a URL must stand alone"),
    ("host=h password=zq\0", "U+0000"),
    ("host=h password=zq\ud800", "surrogate U+D800"),
]


@pytest.mark.parametrize("conninfo", ALLOWED)
def test_what_libpq_reads_in_one_way_is_allowed(conninfo: str) -> None:
    assert check_conninfo("conninfo", conninfo) == conninfo
    assert conninfo_to_dict(conninfo).items() <= with_defaults(conninfo).items()
    timeout_from_conninfo(with_defaults(conninfo))


@pytest.mark.parametrize(("conninfo", "message"), REFUSED)
def test_what_is_refused_is_explained_and_not_quoted(conninfo: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_conninfo("target", conninfo)
    assert str(raised.value).startswith(f"target must be {FORMS}: ")
    assert message in str(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert MARK not in everything(raised.value)


def test_another_type_is_an_error_that_names_the_argument() -> None:
    with pytest.raises(InvalidArgumentType, match="source must be of the type str, not bytes"):
        check_conninfo("source", b"host=h")


PASSWORDS = st.lists(
    st.sampled_from([MARK, *"@/:?#%&=;,[]'\"\\ \t\n\0é", "%40", "%zz", "5432", "host", "//"]), max_size=8
)
URLS: list[Callable[[str], str]] = [
    lambda password: f"postgresql://u:{password}@h:5432/app?sslmode=require",
    lambda password: f"postgresql://:{password}@h1,h2/app",
    lambda password: f"postgresql://u:{password}@[::1]:5432/app",
    lambda password: f"postgresql://u:{password}@/app?host=/tmp",
    lambda password: f"postgres+asyncpg://u:{password}@h/app",
    lambda password: f"postgresql:/u:{password}@h/app?sslmode=require",
    lambda password: f"u:{password}@h/app",
]


@settings(max_examples=3_000, deadline=None)
@given(st.sampled_from(URLS), PASSWORDS)
@example(URLS[0], [MARK, "@", MARK])
def test_no_part_of_a_password_is_read_as_something_else_or_everything(
    url: Callable[[str], str], parts: list[str]
) -> None:
    conninfo = url(MARK + "".join(parts) + MARK)
    try:
        check_conninfo("conninfo", conninfo)
    except InvalidArgument as error:
        assert MARK not in everything(error)
    else:
        read = conninfo_to_dict(conninfo)
        assert str(read.pop("password")).startswith(MARK)
        assert MARK not in repr(read)


@settings(max_examples=1_000, deadline=None)
@given(st.text(alphabet="=' \\host:/@\n\0é", max_size=30))
def test_an_error_about_key_value_text_shows_nothing_of_it(text: str) -> None:
    try:
        check_conninfo("conninfo", f"host=h password={MARK}{text}{MARK}")
    except InvalidArgument as error:
        assert MARK not in everything(error)


def test_a_percent_encoded_password_arrives_as_it_was_written(db: str) -> None:
    password = "a@b/c:d?e#f%g h&i=j'k\"l\\m,é密"
    parameters = with_defaults(check_conninfo("conninfo", as_url(db, password=quote(password, safe=""))))
    with psycopg.connect(**parameters) as connection:
        assert connection.info.password == password


def test_a_lost_server_is_waited_for_within_bounds_unless_the_caller_sets_others(db: str) -> None:
    bounds = {
        "connect_timeout": "10",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
    }

    def of(conninfo: str) -> dict[str, Any]:
        with psycopg.connect(**with_defaults(conninfo)) as connection:
            options = {option.keyword.decode(): option.val for option in connection.pgconn.info}
        return {name: (options[name] or b"").decode() for name in bounds}

    assert of(db) == bounds
    assert of(f"{db} connect_timeout=3 tcp_user_timeout=0") == bounds | {
        "connect_timeout": "3",
        "tcp_user_timeout": "0",
    }


@pytest.mark.parametrize("named_by", ["the string", "the environment"])
def test_a_service_and_the_environment_set_bounds_too(
    named_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services").write_text("[app]\nhost=h\nkeepalives_idle=7\nconnect_timeout=8\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "4")
    if named_by == "the environment":
        monkeypatch.setenv("PGSERVICE", "app")
    parameters = with_defaults("service=app" if named_by == "the string" else "")
    assert parameters.keys() & {"keepalives_idle", "connect_timeout", "keepalives_count", "tcp_user_timeout"} == {
        "keepalives_count",
        "tcp_user_timeout",
    }
    monkeypatch.delenv("PGSERVICE", raising=False)
    assert "connect_timeout" not in with_defaults("")  # the environment's stays
    assert with_defaults("")["keepalives_idle"] == 30


def test_to_ask_what_is_set_reads_no_file_of_passwords_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:*:x\n")
    passwords.chmod(0o644)  # which libpq would warn about, again at the connection
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with_defaults("host=h dbname=d user=u")
    assert capfd.readouterr() == ("", "")


ENTRIES: list[Callable[[str], object]] = [
    lambda url: ConversationStore(url),
    lambda url: AsyncConversationStore(url),
    lambda url: migrate(url),
    lambda url: asyncio.run(migrate_async(url)),
    lambda url: check_schema(url),
    lambda url: asyncio.run(check_schema_async(url)),
    lambda url: import_ragflow(url, "host=/nowhere"),
    lambda url: import_ragflow("host=/nowhere", url),
    lambda url: asyncio.run(import_ragflow_async("host=/nowhere", url)),
]


@pytest.mark.parametrize("conninfo", [f"host=h password={MARK}".encode(), {"password": MARK}])
@pytest.mark.parametrize("enter", ENTRIES)
def test_what_is_of_another_type_is_not_shown(enter: Callable[[Any], object], conninfo: Any) -> None:
    with pytest.raises(InvalidArgumentType, match="must be of the type str") as raised:
        enter(conninfo)
    assert MARK not in everything(raised.value)


@pytest.mark.parametrize("enter", ENTRIES[2:])
def test_no_traceback_shows_a_password_where_the_server_is_not_to_be_reached(enter: Callable[[str], object]) -> None:
    for url in (f"postgresql://u:{MARK}@127.0.0.1:1/d", f"host=/nowhere,/neither port=1,2 password={MARK} dbname=d"):
        with pytest.raises(psycopg.OperationalError, match="connection") as raised:
            enter(url)
        assert MARK not in everything(raised.value)


@pytest.mark.parametrize("function", [import_ragflow, import_ragflow_async])
def test_no_import_shows_its_source_where_its_target_is_refused(function: Any) -> None:
    call: Any = function if function is import_ragflow else lambda *urls: asyncio.run(function(*urls))
    for target in ("mysql://h/d", "host=/nowhere"):
        with pytest.raises((InvalidArgument, psycopg.OperationalError)) as raised:
            call(f"host=/nowhere password={MARK}", target)
        assert MARK not in everything(raised.value)


@pytest.mark.parametrize("enter", ENTRIES)
@pytest.mark.parametrize(("conninfo", "message"), REFUSED)
def test_no_function_shows_what_it_was_given(enter: Callable[[str], object], conninfo: str, message: str) -> None:
    if enter is ENTRIES[6] and conninfo.startswith("mysql://"):
        return  # a source may be in MySQL
    with pytest.raises(InvalidArgument) as raised:
        enter(conninfo)
    assert message in str(raised.value)
    assert MARK not in everything(raised.value)


COMMANDS = [
    ["migrate"],
    ["migrate", "--check"],
    ["export"],
    ["import", "-"],
    ["import-ragflow", "--from", "host=/nowhere"],
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(COMMANDS), st.sampled_from(URLS), PASSWORDS)
def test_no_command_shows_what_it_was_given(arguments: list[str], url: Callable[[str], str], parts: list[str]) -> None:
    conninfo = url(MARK + "".join(parts) + MARK)
    try:
        check_conninfo("conninfo", conninfo)
    except InvalidArgument:
        done = call("--database", conninfo, *arguments, database=None)
        assert done.code == 1
        assert MARK not in done.stdout + done.stderr
        if arguments[0] == "import-ragflow":
            done = call("import-ragflow", "--from", conninfo, database="host=/nowhere")
            assert done.code == 1
            assert MARK not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", COMMANDS)
def test_no_command_shows_a_password_where_the_server_is_not_to_be_reached(arguments: list[str]) -> None:
    for conninfo in (f"postgresql://u:{MARK}@127.0.0.1:1/d", f"host=/nowhere password={MARK} dbname=d"):
        done = call(*arguments, database=conninfo)
        assert done.code == 1
        assert "connection" in done.stderr
        assert MARK not in done.stdout + done.stderr
