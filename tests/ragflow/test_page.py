"""RAGFLOW.md: its commands and its code run, and its tables are those of the services."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psycopg
import pytest

from conversation_store import ConversationStore, DialogNotFound
from conversation_store._pagination import _ORDERS
from conversation_store.ragflow.services import (
    API4Conversation,
    API4ConversationService,
    APIToken,
    APITokenService,
    configure,
)
from operations import OPERATIONS
from support import ragflow_layout, ragflow_mysql
from support.documents import blocks, read, rows
from support.mysql import MySql, mysql_database, needs_mysql
from support.server import Server
from support.server import database as new_database

PAGE = read("RAGFLOW.md")
STEPS = PAGE.partition("## Ten steps")[2].partition("\n## ")[0]
SERVICE, ARTIFACTS, RATE = blocks(PAGE, "python")
ZONE = "Asia/Shanghai"


# -- the ten steps ---------------------------------------------------------------------------------


def test_there_are_ten_steps() -> None:
    assert [int(number) for number in re.findall(r"^\*\*(\d+)\. ", STEPS, re.MULTILINE)] == list(range(1, 11))


DATES = {"create_date": "2024-01-31 12:00:00", "create_time": 1706673600123}
SESSION = {"dialog_id": "d", "user_id": "u", "message": "[]", "reference": "[]", "dsl": "{}", "tokens": 0, "round": 0}
NEEDED = {"duration": 0, "thumb_up": 0}


class OldDatabase:
    """A RAGFlow database, with its address and what is done there while RAGFlow runs."""

    def __init__(self, url: str, insert: Callable[..., None], run: Callable[[str], Any]) -> None:
        self.url = url
        self.insert = insert
        self.run = run


@pytest.fixture(params=["postgresql", pytest.param("mysql", marks=needs_mysql)])
def old(request: pytest.FixtureRequest, server: Server) -> Generator[OldDatabase]:
    """Give a RAGFlow database in each kind of server."""
    if request.param == "postgresql":
        with new_database(server) as conninfo, psycopg.connect(conninfo, autocommit=True) as connection:
            ragflow_layout.create(conninfo)

            def insert(table: str, values: dict[str, Any]) -> None:
                ragflow_layout.insert(conninfo, table, [values])

            yield OldDatabase(conninfo, insert, lambda text: connection.execute(text.encode()))
    else:
        mysql: MySql = request.getfixturevalue("mysql")
        with mysql_database(mysql) as name:
            ragflow_mysql.create(mysql, name)

            def insert(table: str, values: dict[str, Any]) -> None:
                ragflow_mysql.insert(mysql, name, table, [values])

            yield OldDatabase(mysql.url(name), insert, lambda text: mysql.run(text, database=name))


@pytest.mark.slow
def test_the_commands_of_the_steps_move_a_database(
    old: OldDatabase, server: Server, empty_database: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), str(server.bindir), os.environ["PATH"]]),
        "DATABASE_URL": empty_database,
        "RAGFLOW_DATABASE_URL": old.url,
        "PSQLRC": "/dev/null",
    }
    before = {"update_date": "2024-01-31 12:00:00", "update_time": 1706673600123}
    old.insert(
        "dialog", DATES | before | {"id": "d", "tenant_id": "t", "name": "d", "similarity_threshold": 0, "top_n": 0}
    )
    for id in ("changed", "same"):
        old.insert("api_4_conversation", DATES | before | SESSION | NEEDED | {"id": id, "name": "before"})
    for token in ("ragflow-kept", "ragflow-deleted"):
        old.insert("api_token", DATES | before | {"tenant_id": "t", "token": token})
    commands = "".join(blocks(STEPS, "sh"))
    commands, given = re.subn(r"^export (?:RAGFLOW_)?DATABASE_URL=.*\n", "", commands, flags=re.MULTILINE)
    assert given == 2
    until, stopped, since = commands.partition("docker compose stop")
    outside = 'set -e; pip() { :; }; docker() { :; }; export RAGFLOW_TIME_ZONE="Asia/Shanghai"\n'

    def run(script: str) -> str:
        command = ["bash", "-c", outside + script]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run(until)
    assert first.count("api_4_conversation  2     2 ") == 2  # the dry run, and the import
    later = {"update_date": "2024-01-31 13:00:00", "update_time": 1706677200123}
    old.run("DELETE FROM api_token WHERE token = 'ragflow-deleted'")
    sets = ", ".join(f"{name} = '{value}'" for name, value in {**later, "name": "after"}.items())
    old.run(f"UPDATE api_4_conversation SET {sets} WHERE id = 'changed'")
    old.insert("api_4_conversation", DATES | later | SESSION | NEEDED | {"id": "new", "name": "new"})
    second = run(stopped + since)
    assert re.findall(r"api_4_conversation +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)", second) == [
        ("3", "1", "0", "1", "1"),
        ("3", "0", "0", "0", "3"),
    ]
    with ConversationStore(empty_database) as store:
        names = {row.id: row.name for row in store.conversations.query(dialog_id="d")}
        assert names == {"changed": "after", "same": "before", "new": "new"}
        assert store.tokens.authenticate("ragflow-kept") is not None
        assert store.tokens.authenticate("ragflow-deleted") is None
    (cleaning,) = blocks(STEPS, "sql")
    for statement in cleaning.split(";\n")[:-1]:
        old.run(statement)


# -- the code --------------------------------------------------------------------------------------


class Column:
    """A field of a stand-in for a table of Peewee."""

    def __eq__(self, value: object) -> Any:
        return value

    __hash__ = object.__hash__


class Context:
    """What `DB.connection_context()` gives: a decorator."""

    def __call__(self, function: Any) -> Any:
        return function


def table(found: dict[str, Any]) -> Any:
    """Return a stand-in for a table, whose rows are found by their ids."""
    return SimpleNamespace(id=Column(), get_or_none=found.get)


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    """Put a module in the place of one of RAGFlow's."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        if ".".join(parts[:end]) not in sys.modules:
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[end - 1]))
    new = ModuleType(name)
    vars(new).update(members)
    monkeypatch.setitem(sys.modules, name, new)
    return new


@pytest.fixture
def api_service(
    db: str, configure: Callable[..., None], tenant: str, agent: str, monkeypatch: pytest.MonkeyPatch
) -> Generator[ModuleType]:
    """Run the code of the new api_service.py; give its module."""
    monkeypatch.setenv("DATABASE_URL", db)
    monkeypatch.setenv("RAGFLOW_TIME_ZONE", ZONE)
    module(
        monkeypatch,
        "api.db.db_models",
        DB=SimpleNamespace(connection_context=Context),
        Dialog=table({f"{agent}-dialog": SimpleNamespace(tenant_id=tenant)}),
        UserCanvas=table({f"{agent}-agent": SimpleNamespace(user_id=tenant)}),
    )
    new = module(monkeypatch, "api.db.services.api_service")
    exec(compile(SERVICE, "api_service.py", "exec"), vars(new))  # noqa: S102
    with vars(new)["store"]:
        yield new


def test_the_new_file_of_the_services_creates_dialogs_and_agents_with_their_owners(
    api_service: ModuleType, configured: ConversationStore, agent: str, tenant: str
) -> None:
    service = vars(api_service)["API4ConversationService"]
    for kind in ("dialog", "agent"):
        assert service.save(dialog_id=f"{agent}-{kind}") == 1
        assert configured.dialogs.get_by_id(f"{agent}-{kind}", tenant_id=tenant) is not None
    with pytest.raises(DialogNotFound, match="owner_of"):
        service.save(dialog_id=f"{agent}-neither")
    assert service.get_list(f"{agent}-agent", "a member of the team", 1, 30, "update_time", True)[0] == 1
    assert {"APIToken", "APITokenService", "API4Conversation"} <= vars(api_service).keys()


def test_the_query_that_is_built_is_answered_by_searches(
    api_service: ModuleType, configured: ConversationStore, agent: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, user = f"{uuid.uuid4().hex}.png", uuid.uuid4().hex
    members = [SimpleNamespace(tenant_id=tenant), SimpleNamespace(tenant_id=user)]
    service = SimpleNamespace(query=lambda user_id: members if user_id == user else [])
    module(monkeypatch, "api.db.services.user_service", UserTenantService=service)
    configured.dialogs.save(id=f"{agent}-2", tenant_id=user)
    message = [{"role": "assistant", "content": f"![chart](/api/v1/documents/artifact/{file})"}]
    configured.conversations.save(dialog_id=agent, tenant_id=tenant, exp_user_id=user, message=message)
    configured.conversations.save(dialog_id=f"{agent}-2", tenant_id=user, user_id=user, message=message)
    configured.conversations.save(dialog_id=f"{agent}-2", tenant_id=user, user_id="another", message=message)
    configured.dialogs.save(id=f"{agent}-3", tenant_id=user)
    many = [{"dialog_id": f"{agent}-3", "tenant_id": user, "exp_user_id": user, "message": message} for _ in range(40)]
    configured.conversations.insert_many(many)  # more than a page
    names: dict[str, Any] = {}
    exec(compile(ARTIFACTS, "document_api.py", "exec"), names)  # noqa: S102
    dialogs_of = names["_sandbox_artifact_dialog_ids_for_user"]
    assert dialogs_of(file, user) == sorted([agent, f"{agent}-2", f"{agent}-3"])
    assert dialogs_of(file, "another") == dialogs_of("", user) == dialogs_of("missing.png", user) == []


def test_a_change_that_is_made_again_loses_no_other(agent: str, configure: Callable[..., None]) -> None:
    names: dict[str, Any] = {}
    exec(compile(RATE, "rate.py", "exec"), names)  # noqa: S102
    id = uuid.uuid4().hex
    API4ConversationService.save(id=id, dialog_id=agent, message=[{"content": str(n)} for n in range(8)])
    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(lambda n: names["rate"](id, n, True), range(8)))
    assert [message["thumb_up"] for message in API4ConversationService.query(id=id)[0].message] == [True] * 8
    assert names["rate"]("missing", 0, True) is False


# -- the tables ------------------------------------------------------------------------------------


def test_the_options_are_those_of_configure() -> None:
    shown = {re.findall(r"`(\w+)`", name)[0]: default for name, default, _ in rows(PAGE, "| option | default | |")}
    options = [p for p in signature(configure).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    assert list(shown) == [option.name for option in options]
    for option in options:
        if option.default is not None:
            assert shown[option.name].strip("`").replace('"', "'") == repr(option.default)


def conversation(**values: Any) -> str:
    id = uuid.uuid4().hex
    API4ConversationService.save(id=id, **values)
    return id


REFUSED: dict[str, list[Callable[[str, str], object]]] = {
    "`row.token` of a list of tokens": [lambda tenant, _: APITokenService.query(tenant_id=tenant)[0].token],
    "`APIToken.token != secret`, `<`, `>`, `contains(…)`, or `== secret` in one of two alternatives": [
        lambda *_: APIToken.token != "secret",
        lambda *_: APIToken.token < "secret",
        lambda *_: APIToken.token > "secret",
        lambda *_: APIToken.token.contains("secret"),
        lambda *_: APITokenService.filter_delete([(APIToken.token == "secret") | (APIToken.beta == "beta")]),
    ],
    "`hidden-abcd-12` in `filter_update` and `filter_delete` without a tenant": [
        lambda *_: APITokenService.filter_delete([APIToken.token == "hidden-abcd-12"]),
        lambda *_: APITokenService.filter_update([APIToken.token == "hidden-abcd-12"], {"beta": "b"}),
    ],
    "`APITokenService.get_by_id`, `get_by_ids`, `update_by_id`, `update_many_by_id`, `delete_by_id`, `delete_by_ids`": [
        lambda *_: APITokenService.get_by_id("a"),
        lambda *_: APITokenService.get_by_ids(["a"]),
        lambda *_: APITokenService.update_by_id("a", {}),
        lambda *_: APITokenService.update_many_by_id([]),
        lambda *_: APITokenService.delete_by_id("a"),
        lambda *_: APITokenService.delete_by_ids(["a"]),
    ],
    "`APITokenService.get_all()`, `query(source=…)` alone": [
        lambda *_: APITokenService.get_all(),
        lambda *_: APITokenService.query(source="agent"),
    ],
    "`filter_update` of the `token` or the `tenant_id` of a token": [
        lambda tenant, _: APITokenService.filter_update([APIToken.tenant_id == tenant], {"token": "another"}),
        lambda tenant, _: APITokenService.filter_update([APIToken.tenant_id == tenant], {"tenant_id": "another"}),
    ],
    "`API4ConversationService.query(user_id=…)` alone": [lambda *_: API4ConversationService.query(user_id="u")],
    """`get_list(keywords='{"role": "user"')`""": [
        lambda tenant, dialog: API4ConversationService.get_list(
            dialog, tenant, 1, 30, "id", True, keywords='{"role": "user"'
        )
    ],
    "`API4Conversation.message.contains(…)`, and any condition on `reference` or `dsl`": [
        lambda *_: API4Conversation.message.contains("a.png"),
        lambda *_: API4Conversation.reference == [],
        lambda *_: API4Conversation.dsl == {},
    ],
    "`API4Conversation.select(…)`, `insert`, `create`, `update`, `delete`, `raw`, `save`, `delete_instance`, `getter_by`,"
    " and of `APIToken`": [
        lambda *_, name=name, table=table: getattr(table, name)
        for table in (API4Conversation, APIToken)
        for name in "select insert create update delete raw save delete_instance getter_by".split()  # noqa: SIM905
    ],
    "`~condition`, `API4Conversation.name.startswith(…)`, `not_in` and other methods of fields,"
    " `API4Conversation.round + 1`": [
        lambda *_: ~(API4Conversation.name == "n"),
        lambda *_: API4Conversation.name.startswith("n"),
        lambda *_: API4Conversation.id.not_in(["a"]),
        lambda *_: API4Conversation.round + 1,
    ],
    '`update_by_id(id, {"dialog_id": …})`, `{"round": …}`, `{"update_time": …}` and nothing else': [
        lambda _, dialog: API4ConversationService.update_by_id(conversation(dialog_id=dialog), {"dialog_id": "other"}),
        lambda _, dialog: API4ConversationService.update_by_id(conversation(dialog_id=dialog), {"round": 5}),
        lambda _, dialog: API4ConversationService.update_by_id(conversation(dialog_id=dialog), {"update_time": 5}),
    ],
}


@pytest.mark.parametrize("call", [row[0] for row in rows(PAGE, "| call | instead |")])
def test_what_raises_not_implemented_does(configure: Callable[..., None], agent: str, tenant: str, call: str) -> None:
    APITokenService.save(tenant_id=tenant, token=uuid.uuid4().hex)
    for refused in REFUSED[call]:
        with pytest.raises(NotImplementedError):
            refused(tenant, agent)


def test_the_orders_of_a_list_are_named() -> None:
    (orders,) = [here for there, here in rows(PAGE, "| there | here |") if there.startswith("`orderby`")]
    assert set(re.findall(r"`(\w+)`", orders)) - {"InvalidArgument"} == _ORDERS.keys()


METHODS = {operation.name for operation in OPERATIONS}


def test_every_method_of_the_services_is_mapped_to_methods_that_exist() -> None:
    table = rows(PAGE.partition("## From the services to the store")[2], "| there | here |")
    calls = {call for there, _ in table for call in re.findall(r"`((?:\w+\.)?\w+)\(", there)}
    methods = {
        name
        for service in (APITokenService, API4ConversationService)
        for name in dir(service)
        if not name.startswith("_") and name != "model"
    }
    assert {call.rpartition(".")[2] for call in calls} == methods
    for there, here in table:
        named = set(re.findall(r"`(\w+\.\w+)\(", here))
        assert named <= METHODS, there
        assert named or "cut_list" in there
    mapped = {call for _, here in table for call in re.findall(r"`(\w+\.\w+)\(", here)}
    # What has no counterpart there is new.
    assert METHODS - mapped == {
        "conversations.count",
        "conversations.delete_not_updated_since",
        "conversations.export",
        "conversations.get_messages",
        "conversations.get_references",
        "conversations.iter_ids",
        "conversations.list_after",
        "conversations.search",
        "dialogs.delete_by_id",
        "tokens.expire",
        "tokens.revoke",
        "tokens.rotate",
    }


def test_the_links_of_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", PAGE))
    assert links
    assert links <= anchors
