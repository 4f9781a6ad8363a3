"""No operation of `tokens` shows a secret or a beta: not in the database, a repr, an event, a log or an error."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
import pickle
import traceback
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import (
    AlreadyExists,
    ApiToken,
    DialogNotFound,
    InvalidArgument,
    InvalidArgumentType,
    migrate,
    new_token,
)
from support.both_apis import AsyncApi, SyncApi
from support.server import embedded_server
from support.statements import store_without_server
from support.tokens import new_secret

TESTS = Path(__file__).parents[1]


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def assert_not_in(text: str, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in text
        assert digest_of(secret) not in text


def test_the_database_holds_the_digests_and_no_secret(store: Any, db: str, tenant: str) -> None:
    token = new_secret()
    store.tokens.save(tenant_id=tenant, token=token)
    issued = store.tokens.issue(tenant_id=tenant)
    rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
    with psycopg.connect(db) as connection:
        query = "SELECT to_jsonb(t) FROM conversation_store.api_token AS t WHERE tenant_id = %s"
        rows = str(connection.execute(query, [tenant]).fetchall())
    for secret in (token, issued.token, rotated.token):
        assert secret not in rows
        assert digest_of(secret) in rows


def test_no_repr_shows_a_secret_or_a_beta(store: Any, tenant: str) -> None:
    token, beta = new_secret(), "beta-" + tenant
    saved = store.tokens.save(tenant_id=tenant, token=token, beta=beta)
    shown = [saved, store.tokens.authenticate(token), store.tokens.query(tenant_id=tenant)]
    rotated = store.tokens.rotate(saved.id, tenant_id=tenant)
    issued = store.tokens.issue(tenant_id=tenant)
    assert_not_in(repr([*shown, rotated, issued]), token, beta, rotated.token, issued.token)


def test_to_dict_leaves_the_secret_out(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
    assert_not_in(str([issued.to_dict(), rotated.to_dict()]), issued.token, rotated.token)
    assert "token" not in {*issued.to_dict(), *rotated.to_dict()}


def test_neither_on_statement_nor_a_log_shows_a_secret_or_a_beta(
    api: SyncApi | AsyncApi, db: str, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    token, beta = new_secret(), "beta-" + tenant
    events: list[Any] = []
    with caplog.at_level(logging.DEBUG), api.store(db, on_statement=lambda *event: events.append(event)) as store:
        store.tokens.save(tenant_id=tenant, token=token, beta=beta)
        with pytest.raises(AlreadyExists):
            store.tokens.save(tenant_id=tenant, token=token)
        issued = store.tokens.issue(tenant_id=tenant)
        rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
        store.tokens.authenticate(token)
        store.tokens.authenticate_beta(beta)
        store.tokens.query(token=token, beta=beta)
    assert len(events) == 8
    assert_not_in(str(events) + caplog.text, token, beta, issued.token, rotated.token)


@pytest.mark.parametrize("wrong", ["token", "beta", "dialog_id"])
def test_no_error_of_save_shows_the_secret_the_beta_or_a_cause(store: Any, tenant: str, wrong: str) -> None:
    token, beta = new_secret(), "beta-" + tenant
    store.tokens.save(tenant_id=tenant, token=token, beta=beta)
    again = {
        "token": {"token": token},
        "beta": {"token": new_secret(), "beta": beta},
        "dialog_id": {"token": new_secret(), "dialog_id": "missing"},
    }[wrong]
    with pytest.raises((AlreadyExists, DialogNotFound)) as caught:
        store.tokens.save(tenant_id=tenant, **again)
    assert_not_in("".join(traceback.format_exception(caught.value)), token, beta, again["token"])
    # Debuggers and error trackers look at these too.
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


# -- what shows more than a repr ---------------------------------------------------------------------


@pytest.mark.parametrize("call", ["issue", "rotate"])
def test_only_the_property_of_an_issued_token_has_the_secret(store: Any, tenant: str, call: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    if call == "rotate":
        issued = store.tokens.rotate(issued.id, tenant_id=tenant)
    pickles = [pickle.dumps(issued, protocol) for protocol in range(6)]
    copies = [copy.copy(issued), copy.deepcopy(issued), *map(pickle.loads, pickles)]
    assert all(type(one) is ApiToken for one in copies)
    assert copies == [store.tokens.query(tenant_id=tenant)[0]] * len(copies)
    shown = [dataclasses.asdict(issued), dataclasses.astuple(issued), getattr(issued, "__dict__", None)]
    assert_not_in(repr([shown, copies, issued, str(issued), f"{issued}"]), issued.token)
    assert_not_in(str(pickles), issued.token)
    with pytest.raises((AttributeError, TypeError)):
        issued.token = "another"


# A call of each operation that a secret is given to, and one that is wrong, before any SQL, in another argument.
Call = Callable[[Any, str], Any]
CALLS: Mapping[str, tuple[Call, Call]] = {
    "issue": (
        lambda s, token: s.tokens.issue(tenant_id="t", token=token),
        lambda s, token: s.tokens.issue(tenant_id="t", token=token, source="\0"),
    ),
    "save": (
        lambda s, token: s.tokens.save(tenant_id="t", token=token),
        lambda s, token: s.tokens.save(tenant_id="t", token=token, beta=" "),
    ),
    "rotate": (
        lambda s, token: s.tokens.rotate(1, tenant_id="t", token=token),
        lambda s, token: s.tokens.rotate(1, tenant_id="t", token=token, expire_date="never"),
    ),
    "authenticate": (
        lambda s, token: s.tokens.authenticate(token),
        lambda s, token: s.tokens.authenticate(token, stamp_every=None),
    ),
    "used": (lambda s, token: s.tokens.used(token), lambda s, token: s.tokens.used([token])),
    "delete": (
        lambda s, token: s.tokens.delete(tenant_id="t", token=token),
        lambda s, token: s.tokens.delete(tenant_id="", token=token),
    ),
    "query": (
        lambda s, token: s.tokens.query(token=token, dialog_id="d"),
        lambda s, token: s.tokens.query(token=token, limit=-1),
    ),
}
each_call = pytest.mark.parametrize("call", list(CALLS))


def shown_by(error: BaseException) -> str:
    """Return what an error tracker shows: each error of the chain, its traceback, and the locals of our frames."""
    chain: list[BaseException] = []
    following: list[BaseException | None] = [error]
    while following:
        if (one := following.pop()) is not None and one not in chain:
            chain.append(one)
            following += [one.__cause__, one.__context__]
    texts: list[str] = []
    for one in chain:
        frames = traceback.TracebackException.from_exception(one, capture_locals=True).stack
        # The tests have the secret themselves.
        ours = [frame for frame in frames if not Path(frame.filename).is_relative_to(TESTS)]
        assert ours or one is not error
        texts += [repr(one), str(one), str(vars(one)), *(f"{frame.name} {frame.line} {frame.locals}" for frame in ours)]
    return "\n".join(texts)


@each_call
def test_no_error_before_any_sql_shows_the_secret_with_the_locals_of_its_frames(store: Any, call: str) -> None:
    token = new_token()
    with pytest.raises((InvalidArgument, InvalidArgumentType)) as caught:
        CALLS[call][1](store, token)
    text = shown_by(caught.value)
    assert "_token_secrets" not in text
    assert_not_in(text, token)


@pytest.mark.parametrize("call", ["issue", "save", "rotate", "authenticate", "used", "delete", "query"])
def test_no_error_of_an_argument_that_does_not_exist_shows_the_secret(store: Any, call: str) -> None:
    token = new_token()
    with pytest.raises(TypeError) as caught:
        getattr(store.tokens, call)(token=token, missing=token)
    assert_not_in(shown_by(caught.value), token)


@pytest.mark.parametrize("call", ["issue", "save", "rotate"])
def test_no_error_of_a_secret_that_is_refused_shows_it(call: str) -> None:
    for token in ("fifteen letters", new_token()[:-1] + "é"):
        if call != "save" or len(token) == 15:
            with pytest.raises(InvalidArgument) as caught:
                CALLS[call][0](store_without_server(), token)
            assert_not_in(shown_by(caught.value), token)


@each_call
def test_no_error_of_the_server_shows_the_secret_with_the_locals_of_its_frames(
    api: SyncApi | AsyncApi, db: str, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = new_token()
    # A role that may do nothing.
    refused = make_conninfo(db, options="-c role=pg_monitor")
    with caplog.at_level(logging.DEBUG), api.store(refused) as store:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            CALLS[call][0](store, token)
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as inside, store.transaction() as tx:
            CALLS[call][0](tx, token)
    for error in (caught.value, inside.value):
        text = shown_by(error)
        assert "steps" in text
        assert token not in text
    assert token not in caplog.text


@each_call
def test_no_error_of_a_lost_connection_shows_the_secret(api: SyncApi | AsyncApi, db: str, call: str) -> None:
    token = new_token()
    with api.connect(db, autocommit=True) as connection, api.store(connection=connection) as store:
        with psycopg.connect(db, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s::integer, 5000::bigint)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError) as caught:
            CALLS[call][0](store, token)
    assert token not in shown_by(caught.value)


# -- what the server shows ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def talkative() -> Generator[tuple[str, Path]]:
    """Give a database of a server that logs all that it gets, and the log."""
    settings = {
        "log_statement": "all",
        "log_min_duration_statement": "0",
        "log_parameter_max_length": "-1",
        "log_parameter_max_length_on_error": "-1",
        "log_min_messages": "debug5",
        "debug_print_parse": "on",
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "all",
    }
    with embedded_server(settings) as own:
        migrate(own.conninfo())
        with psycopg.connect(own.conninfo()) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        yield own.conninfo(), Path(own.host) / "log"


def test_neither_the_log_nor_the_statistics_of_the_server_show_a_secret(
    api: SyncApi | AsyncApi, talkative: tuple[str, Path], tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    conninfo, log = talkative
    tokens = [new_token() for _ in range(3)]
    statistics: list[Any] = []
    with caplog.at_level(logging.DEBUG), api.store(conninfo, min_size=1, max_size=1) as store:
        issued = store.tokens.issue(tenant_id=tenant, token=tokens[0])
        store.tokens.issue(tenant_id=tenant, token=tokens[0])
        rotated = store.tokens.rotate(issued.id, tenant_id=tenant, token=tokens[1])
        store.tokens.save(tenant_id=tenant, token=tokens[2])
        with pytest.raises(AlreadyExists):
            store.tokens.save(tenant_id=tenant, token=tokens[2])
        with pytest.raises(AlreadyExists):
            store.tokens.rotate(rotated.id, tenant_id=tenant, token=tokens[2])
        made = [store.tokens.issue(tenant_id=tenant).token, store.tokens.rotate(rotated.id, tenant_id=tenant).token]
        for call in CALLS:
            if call not in ("issue", "save", "rotate"):
                for token in (*tokens, *made):
                    CALLS[call][0](store, token)
                    with psycopg.connect(conninfo) as connection:
                        statistics += connection.execute("SELECT query FROM pg_stat_activity").fetchall()
        store.tokens.authenticate(tokens[2], stamp_every=timedelta(0))
    with psycopg.connect(conninfo) as connection:
        statistics += connection.execute("SELECT query FROM pg_stat_statements").fetchall()
    logged = log.read_text(errors="replace")
    assert "api_token.authenticate" in logged
    assert digest_of(tokens[0]) in logged  # it does log what it gets
    assert "api_token" in str(statistics)
    for token in (*tokens, *made):
        for text in (logged, str(statistics), caplog.text):
            assert token not in text
