"""An error that the server finds at the commit of a call of its own: the call raises it, and nothing is stored."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from support.both_apis import AsyncApi, SyncApi

TRIGGERS = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'refused at the commit' USING ERRCODE = 'XX001'; END
    $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON conversation_store.conversation
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.name = 'refused') EXECUTE FUNCTION public.refuse();
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON conversation_store.dialog
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.name = 'refused') EXECUTE FUNCTION public.refuse();
"""


@pytest.fixture(params=["own pool", "pool in autocommit", "connection in autocommit"])
def refusing(request: pytest.FixtureRequest, api: SyncApi | AsyncApi, database: str) -> Generator[Any]:
    """Give a store of a database that refuses some rows when they are committed."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(TRIGGERS)
    if request.param == "own pool":
        with api.store(database) as store:
            yield store
    elif request.param == "pool in autocommit":
        with api.pool(database, kwargs={"autocommit": True}) as pool, api.store(pool=pool) as store:
            yield store
    else:
        with api.connect(database, autocommit=True) as connection, api.store(connection=connection) as store:
            yield store


@pytest.mark.one_server("a distributed table has no triggers")
def test_a_call_that_is_refused_at_the_commit_raises_and_stores_nothing(refusing: Any) -> None:
    refusing.dialogs.save(id="d", tenant_id="t")
    kept = refusing.conversations.save(dialog_id="d", tenant_id="t", name="kept")
    # Prepared from the sixth on.
    for _ in range(8):
        id = uuid.uuid4().hex
        with pytest.raises(psycopg.Error, match="refused at the commit"):
            refusing.conversations.save(id=id, dialog_id="d", tenant_id="t", name="refused")
        assert refusing.conversations.get_by_id(id, tenant_id="t") is None
        with pytest.raises(psycopg.Error, match="refused at the commit"):
            refusing.conversations.update_by_id(kept.id, {"name": "refused"}, tenant_id="t")
        with pytest.raises(psycopg.Error, match="refused at the commit"):
            refusing.dialogs.save(id="d", tenant_id="t", name="refused")
    assert refusing.conversations.get_by_id(kept.id, tenant_id="t").name == "kept"
    assert refusing.conversations.append_round(kept.id, ["x"], tenant_id="t") == 1
