"""What the rows of a hand are: dataclasses built by position, in the order of the columns; and how JSON is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any

# As the store: by orjson where it is installed.
JSON_READER = "orjson" if find_spec("orjson") else "json"
JSON: Callable[[str | bytes], Any] = import_module(JSON_READER).loads


@dataclass(slots=True)
class Conversation:
    """A conversation."""

    id: str
    tenant_id: str
    dialog_id: str
    name: str | None
    user_id: str
    exp_user_id: str | None
    message: Any
    reference: Any
    tokens: int
    source: str | None
    dsl: Any
    duration: float
    round: int
    thumb_up: int
    errors: str | None
    version_title: str | None
    create_date: datetime
    update_date: datetime
    revision: int


@dataclass(slots=True)
class Token:
    """A token, and whether its use is to be stamped."""

    id: int
    tenant_id: str
    hint: str
    dialog_id: str | None
    source: str | None
    beta: str | None
    create_date: datetime
    update_date: datetime
    use_date: datetime | None
    expire_date: datetime | None
    rotate_date: datetime | None
    revoke_date: datetime | None
    predecessor_id: int | None
    stamp_due: bool


@dataclass(slots=True)
class Day:
    """The statistics of a day."""

    dt: date
    pv: int
    tokens: Decimal
    duration: float
    round: float
    thumb_up: int
