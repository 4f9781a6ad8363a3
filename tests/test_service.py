"""A service on the store, as a user would write it: real HTTP to a real uvicorn, by many at once."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conversation_store import AsyncConversationStore, ConversationStore
from support.server import Server

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def service(db: str) -> Generator[str]:
    """Run the service under uvicorn; give its address."""
    command = [sys.executable, "-m", "uvicorn", "service.app:app", "--app-dir", str(TESTS), "--port", "0"]
    environment = {**os.environ, "DATABASE_URL": db}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stderr is not None
            printed = ""
            while not (found := re.search(r"running on (http://\S+)", printed)):
                line = process.stderr.readline()
                assert line, printed
                printed += line
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)


@pytest.fixture
def tenant() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def dialog(db: str, tenant: str) -> str:
    with ConversationStore(db) as store:
        return store.dialogs.save(id=uuid.uuid4().hex, tenant_id=tenant).id


@pytest.fixture
def client(service: str, db: str, tenant: str) -> Generator[httpx.Client]:
    """Give a client with a token of the tenant."""
    with ConversationStore(db) as store:
        token = store.tokens.issue(tenant_id=tenant).token
    with httpx.Client(base_url=service, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        yield client


def test_sessions_are_created_turned_listed_searched_counted_and_deleted(client: httpx.Client, dialog: str) -> None:
    url = f"/dialogs/{dialog}/sessions"
    created = [client.post(url, json={"user_id": f"u{number}", "name": "会话"}) for number in range(35)]
    assert {response.status_code for response in created} == {201}
    ids = [response.json()["id"] for response in created]
    turn = {"messages": [{"role": "user", "content": "检索增强"}, {"role": "assistant", "content": "ok"}], "tokens": 7}
    assert client.post(f"{url}/{ids[0]}/turns", json=turn).json() == 1
    read = client.get(f"{url}/{ids[0]}").json()
    assert (read["message"], read["tokens"], read["round"]) == (turn["messages"], 7, 1)
    assert isinstance(read["create_time"], int)
    assert read["create_date"].endswith("+00:00")

    first = client.get(url).json()
    second = client.get(url, params={"cursor": first["next_cursor"]}).json()
    assert [s["id"] for s in first["sessions"] + second["sessions"]] == ids[::-1]
    assert second["next_cursor"] is None
    found = client.get(url, params={"keywords": "检索"}).json()
    assert [s["id"] for s in found["sessions"]] == ids[:1]
    assert client.get(f"{url}/count").json() == 35
    exported = client.get(f"/dialogs/{dialog}/export").text.split("\n")[:-1]
    assert [json.loads(line)["id"] for line in exported] == ids

    assert client.request("DELETE", url, json=[*ids[:5], "nowhere"]).json() == 5
    assert client.get(f"{url}/count").json() == 30


def test_turns_sent_at_once_are_all_stored(service: str, client: httpx.Client, dialog: str) -> None:
    url = f"/dialogs/{dialog}/sessions"
    ids = [client.post(url, json={}).json()["id"] for _ in range(3)]

    async def main() -> list[int]:
        async with httpx.AsyncClient(base_url=service, headers=client.headers, trust_env=False, timeout=30) as many:

            async def turn(number: int) -> int:
                turn = {"messages": [{"role": "user", "content": str(number)}], "tokens": 1}
                response = await many.post(f"{url}/{ids[number % 3]}/turns", json=turn)
                assert response.status_code == 200, response.text
                return int(response.json())

            return await asyncio.gather(*(turn(number) for number in range(120)))

    rounds = asyncio.run(main())
    assert sorted(rounds) == sorted([*range(1, 41)] * 3)
    for position, id in enumerate(ids):
        read = client.get(f"{url}/{id}").json()
        assert (read["round"], read["tokens"]) == (40, 40)
        assert sorted(int(m["content"]) for m in read["message"]) == [*range(position, 120, 3)]


@asynccontextmanager
async def in_this_process(
    monkeypatch: pytest.MonkeyPatch, store: AsyncConversationStore, token: str
) -> AsyncGenerator[httpx.AsyncClient]:
    """Run the service on a store in this process, without HTTP; give a client with a token."""
    monkeypatch.setenv("DATABASE_URL", "postgresql:///nowhere")
    monkeypatch.syspath_prepend(str(TESTS / "service"))
    service = importlib.import_module("app")
    monkeypatch.setattr(service, "store", store)
    transport = httpx.ASGITransport(service.app)
    headers = {"Authorization": f"Bearer {token}"}
    async with store, httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client:
        yield client


def test_each_request_is_authenticate_and_one_statement(
    db: str, dialog: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    with ConversationStore(db) as store:
        token = store.tokens.issue(tenant_id=tenant).token

    async def main() -> None:
        observed = AsyncConversationStore(db, on_statement=lambda name, *_: statements.append(name))
        async with in_this_process(monkeypatch, observed, token) as client:
            url = f"/dialogs/{dialog}/sessions"
            id = (await client.post(url, json={})).json()["id"]
            for method, path, body, statement in (
                ("GET", url, None, "conversation.get_list_by_create_date"),
                ("GET", f"{url}/count", None, "conversation.count"),
                ("POST", url, {}, "conversation.save"),
                ("GET", f"{url}/{id}", None, "conversation.get_by_id"),
                ("POST", f"{url}/{id}/turns", {"messages": []}, "conversation.append_round"),
                ("GET", f"/dialogs/{dialog}/export", None, "conversation.export"),
                ("DELETE", url, [id], "conversation.delete_by_ids"),
            ):
                statements.clear()
                response = await client.request(method, path, json=body)
                assert response.is_success, response.text
                assert statements == ["api_token.authenticate", statement]

    asyncio.run(main())


def test_a_write_on_a_server_that_only_reads_is_a_503(
    db: str, dialog: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_reads = make_conninfo(db, options="-c default_transaction_read_only=on")
    with ConversationStore(db) as store:
        token = store.tokens.issue(tenant_id=tenant).token

    async def main() -> None:
        async with in_this_process(monkeypatch, AsyncConversationStore(only_reads), token) as client:
            url = f"/dialogs/{dialog}/sessions"
            assert (await client.get(f"{url}/count")).json() == 0
            response = await client.post(url, json={})
            assert (response.status_code, response.json()) == (503, {"detail": "try again later"})

    asyncio.run(main())


def test_errors_have_a_status_and_a_detail(client: httpx.Client, dialog: str) -> None:
    url = f"/dialogs/{dialog}/sessions"
    id = client.post(url, json={"id": "one" + dialog}).json()["id"]
    turn: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
    for response, status, detail in (
        (client.get(f"{url}/nowhere"), 404, "there is no such session"),
        (client.post(f"{url}/nowhere/turns", json=turn), 404, "there is no conversation 'nowhere'"),
        (
            client.post("/dialogs/nowhere/sessions", json={}),
            404,
            "the tenant has no dialog with this dialog_id: 'nowhere'",
        ),
        (client.post(url, json={"id": id}), 409, "exists already"),
        (client.post(f"{url}/{id}/turns", json=turn | {"expected_round": 7}), 409, "is in round 0"),
        (client.get(url, params={"cursor": "x"}), 422, "cursor must be a next_cursor"),
        (client.post(url, json={"user_id": "x" * 300}), 422, "user_id must have at most 255 characters"),
        (client.post(url, json={"name": "a\0"}), 422, "name must not contain U+0000"),
        (client.post(f"{url}/{id}/turns", json={"messages": [{"content": "\0"}]}), 422, "messages[0]['content']"),
        (client.post(f"{url}/{id}/turns", json={"messages": "text"}), 422, ""),
        (client.request("DELETE", url, json=[""]), 422, "ids[0] must be given"),
    ):
        assert response.status_code == status, response.text
        assert detail in str(response.json()["detail"])
    assert client.get(f"{url}/{id}").json()["message"] == []


def test_a_token_opens_only_its_own_tenant_and_dialog(
    client: httpx.Client, service: str, dialog: str, tenant: str, db: str
) -> None:
    url = f"/dialogs/{dialog}/sessions"
    id = client.post(url, json={}).json()["id"]
    with ConversationStore(db) as store:
        foreign = store.tokens.issue(tenant_id="foreign" + tenant).token
        second = store.dialogs.save(id="second" + dialog, tenant_id=tenant).id
        bound = store.tokens.issue(tenant_id=tenant, dialog_id=second).token
        revoked = store.tokens.issue(tenant_id=tenant)
        store.tokens.revoke(revoked.id, tenant_id=tenant)

    def as_(token: str, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, service + path, headers=headers, trust_env=False, **arguments)

    turn = {"messages": [{"content": "mine now"}]}
    for token in (bound, revoked.token, "unknown"):
        assert as_(token, "GET", url).status_code == 401
        assert as_(token, "POST", f"{url}/{id}/turns", json=turn).status_code == 401
    assert as_(bound, "GET", f"/dialogs/{second}/sessions").json()["sessions"] == []
    assert as_(foreign, "GET", url).json() == {"sessions": [], "next_cursor": None}
    assert as_(foreign, "GET", f"{url}/count").json() == 0
    assert as_(foreign, "GET", f"{url}/{id}").status_code == 404
    assert as_(foreign, "POST", url, json={}).status_code == 404
    assert as_(foreign, "POST", f"{url}/{id}/turns", json=turn).status_code == 404
    assert as_(foreign, "DELETE", url, json=[id]).json() == 0
    assert as_(foreign, "GET", f"/dialogs/{dialog}/export").text == ""
    assert as_(bound, "POST", f"/dialogs/{second}/sessions/{id}/turns", json=turn).status_code == 404
    assert httpx.get(service + url, trust_env=False).status_code == 401
    read = client.get(f"{url}/{id}").json()
    assert (read["message"], read["tenant_id"]) == ([], tenant)


def end_sessions(admin: psycopg.Connection[Any], dbname: str) -> None:
    admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [dbname])


def test_a_restart_of_the_server_fails_no_request(client: httpx.Client, dialog: str, server: Server, db: str) -> None:
    url = f"/dialogs/{dialog}/sessions/count"
    assert client.get(url).json() == 0
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        end_sessions(admin, str(conninfo_to_dict(db)["dbname"]))
    assert [client.get(url).status_code for _ in range(20)] == [200] * 20


@pytest.mark.slow
def test_an_outage_is_a_503_and_ends_with_the_outage(
    client: httpx.Client, dialog: str, server: Server, db: str
) -> None:
    url, dbname = f"/dialogs/{dialog}/sessions/count", str(conninfo_to_dict(db)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    assert client.get(url).json() == 0
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(dbname), sql.Literal(False)))
        try:
            end_sessions(admin, dbname)
            assert client.get(url, timeout=30).status_code == 503
        finally:
            admin.execute(allow.format(sql.Identifier(dbname), sql.Literal(True)))
    statuses = [client.get(url, timeout=30).status_code for _ in range(10)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


def test_the_readme_shows_the_first_part() -> None:
    shown = "".join((TESTS / "service" / "app.py").read_text().splitlines(keepends=True)[:78])
    assert f"```python\n{shown}```\n" in (TESTS.parent / "README.md").read_text()
