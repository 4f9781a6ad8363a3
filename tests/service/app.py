"""The session API of a chat backend; every token opens the dialogs of its tenant, or the one that it is bound to."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from psycopg import OperationalError
from psycopg.errors import ReadOnlySqlTransaction
from pydantic import BaseModel

from conversation_store import (
    AsyncConversationStore,
    AsyncTenantStore,
    Conflict,
    InvalidArgument,
    InvalidArgumentType,
    NotFound,
)

store = AsyncConversationStore(os.environ["DATABASE_URL"], timeout=5)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with store:
        yield


app = FastAPI(lifespan=lifespan)


# The errors of the store say what is wrong, and quote no secret; those of the server are for the log alone.
STATUS = {
    InvalidArgument: 422,
    InvalidArgumentType: 422,
    NotFound: 404,
    Conflict: 409,
    OperationalError: 503,
    ReadOnlySqlTransaction: 503,  # a write on a standby
}


async def answer(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"detail": "try again later" if status == 503 else str(error)}, status)


for kind in STATUS:
    app.add_exception_handler(kind, answer)


async def authenticate(dialog_id: str, authorization: Annotated[str, Header()] = "") -> AsyncTenantStore:
    token = await store.tokens.authenticate(authorization.removeprefix("Bearer "))
    if token is None or token.dialog_id not in (None, dialog_id):
        raise HTTPException(401, "no such token for this dialog", {"WWW-Authenticate": "Bearer"})
    return store.for_tenant(token.tenant_id)  # nothing of another tenant is reached through it


Tenant = Annotated[AsyncTenantStore, Depends(authenticate)]


class Turn(BaseModel):
    """The messages of one turn."""

    messages: list[dict[str, Any]]
    reference: list[dict[str, Any]] = []
    tokens: int = 0
    duration: float = 0
    turn_id: str | None = None  # sent again with the same id, a turn is appended once
    expected_round: int | None = None


@app.post("/dialogs/{dialog_id}/sessions/{id}/turns")
async def add_turn(dialog_id: str, id: str, turn: Turn, tenant: Tenant) -> int:
    return await tenant.conversations.append_round(id, dialog_id=dialog_id, **turn.model_dump())


@app.get("/dialogs/{dialog_id}/sessions")
async def list_sessions(
    dialog_id: str, tenant: Tenant, keywords: str = "", cursor: str | None = None
) -> dict[str, Any]:
    page = await tenant.conversations.list_after(dialog_id, keywords=keywords, cursor=cursor)
    return {"sessions": [session.to_dict() for session in page.sessions], "next_cursor": page.next_cursor}


@app.get("/dialogs/{dialog_id}/sessions/count")
async def count_sessions(dialog_id: str, tenant: Tenant) -> int:
    return await tenant.conversations.count(dialog_id=dialog_id)


class NewSession(BaseModel):
    """The fields of a new session."""

    id: str | None = None
    user_id: str = ""
    name: str | None = None


@app.post("/dialogs/{dialog_id}/sessions", status_code=201)
async def create_session(dialog_id: str, new: NewSession, tenant: Tenant) -> dict[str, Any]:
    session = await tenant.conversations.save(dialog_id=dialog_id, source="api", **new.model_dump())
    return session.to_dict()


@app.get("/dialogs/{dialog_id}/sessions/{id}")
async def read_session(dialog_id: str, id: str, tenant: Tenant) -> dict[str, Any]:
    session = await tenant.conversations.get_by_id(id, dialog_id=dialog_id)
    if session is None:
        raise HTTPException(404, "there is no such session in this dialog")
    return session.to_dict()


@app.delete("/dialogs/{dialog_id}/sessions")
async def delete_sessions(dialog_id: str, ids: list[str], tenant: Tenant) -> int:
    return await tenant.conversations.delete_by_ids(ids, dialog_id)


@app.get("/dialogs/{dialog_id}/export")
async def export_sessions(dialog_id: str, tenant: Tenant) -> StreamingResponse:
    lines = tenant.conversations.export(dialog_id=dialog_id)
    return StreamingResponse(lines, media_type="application/jsonl")
