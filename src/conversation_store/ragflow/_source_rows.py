"""The rows of a RAGFlow database, as the statement files of each kind of server return them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class SourceSettings:
    time_zone: str
    extra_float_digits: str
    timeouts: int


@dataclass(slots=True)
class SourceTable:
    name: str
    estimate: int


@dataclass(slots=True)
class SourceColumn:
    table_name: str
    name: str


@dataclass(slots=True)
class SourceDialog:
    id: str
    tenant_id: str | None
    name: str | None
    is_dialog: bool
    create_time: int | None
    update_time: int | None
    create_date: datetime | None
    update_date: datetime | None


@dataclass(slots=True)
class SourceToken:
    tenant_id: str
    token: str
    dialog_id: str | None
    source: str | None
    beta: str | None
    create_time: int | None
    update_time: int | None
    create_date: datetime | None
    update_date: datetime | None
    position: str


@dataclass(slots=True)
class SourceConversationId:
    id: str
    dialog_id: str | None
    update_time: int | None
    update_date: datetime | None


@dataclass(slots=True)
class SourceSize:
    id: str
    size: int


@dataclass(slots=True)
class SourceConversation:
    id: str
    dialog_id: str | None
    name: str | None
    user_id: str | None
    exp_user_id: str | None
    message: str | None
    reference: str | None
    tokens: int | None
    source: str | None
    dsl: str | None
    duration: float | None
    round: int | None
    thumb_up: int | None
    errors: str | None
    version_title: str | None
    create_time: int | None
    update_time: int | None
    create_date: datetime | None
    update_date: datetime | None
