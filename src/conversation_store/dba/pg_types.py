"""Which types of the server are read and written as which types of Python."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import UUID

from conversation_store.dba.contract import Json, bare

_JSON = frozenset({"json", "jsonb"})
_NAMES: Mapping[Any, frozenset[str]] = {
    str: frozenset({"text", "character varying", "character", "name", "citext", "uuid"}),
    Json: _JSON,
    int: frozenset({"bigint", "integer", "smallint", "numeric", "oid"}),
    float: frozenset({"double precision", "real", "numeric"}),
    Decimal: frozenset({"numeric"}),
    bool: frozenset({"boolean"}),
    bytes: frozenset({"bytea"}),
    date: frozenset({"date"}),
    datetime: frozenset({"timestamp with time zone", "timestamp without time zone"}),
    time: frozenset({"time without time zone", "time with time zone"}),
    timedelta: frozenset({"interval"}),
    UUID: frozenset({"uuid"}),
    dict: _JSON,
}
_LISTS = (list, tuple, set, frozenset, Sequence, Iterable, Set)


def fits(hint: Any, server_type: str) -> bool:
    """Return whether a type of Python, None aside, is one for a type of the server; of any other type it is."""
    kind, _ = bare(hint)
    if get_origin(kind) is Annotated:
        return fits(get_args(kind)[0], server_type)
    if get_origin(kind) is Literal:
        return all(fits(type(value), server_type) for value in get_args(kind))
    origin: Any = get_origin(kind) or kind
    if origin in _LISTS:
        if server_type in _JSON:
            return True
        items = get_args(kind)
        return server_type.endswith("[]") and (not items or fits(items[0], server_type.removesuffix("[]")))
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return True
    allowed = _NAMES.get(origin)
    if allowed is None and (new_type := getattr(kind, "__supertype__", None)) is not None:
        return fits(new_type, server_type)
    # What is not in the table has a loader or a dumper of the service's own.
    return allowed is None or server_type in allowed or not _is_known(server_type)


def shown(hint: Any) -> str:
    """Return a type as Python writes it."""
    return str(hint) if get_args(hint) else str(getattr(hint, "__name__", hint))


def _is_known(server_type: str) -> bool:
    return any(server_type.removesuffix("[]") in names for names in _NAMES.values())
