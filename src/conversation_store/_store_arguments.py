"""The arguments of a store, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from conversation_store import _validation as validate
from conversation_store._conninfo import check_conninfo, with_defaults
from conversation_store._json_repair import OnRepair
from conversation_store._json_writer import LARGEST_JSON, JsonWriter
from conversation_store._operations import Settings
from conversation_store.errors import InvalidArgument

T = TypeVar("T")

_LONGEST = 1_000_000  # seconds, which every system can wait


def settings(
    max_items_per_page: object,
    on_statement: object,
    max_json_bytes: object,
    repair_json: object,
    on_repair: OnRepair | None,
) -> Settings:
    validate.callback("on_statement", on_statement)
    validate.callback("on_repair", on_repair)
    most = validate.integer("max_json_bytes", max_json_bytes, minimum=1, maximum=LARGEST_JSON)
    return Settings(
        max_items_per_page=validate.integer("max_items_per_page", max_items_per_page, minimum=1),
        json=JsonWriter(most, validate.boolean("repair_json", repair_json), on_repair),
    )


def own_pool(root: Callable[..., T], conninfo: str | None) -> Callable[..., T] | None:
    """Return what makes the root of a store's own pool of its sizes."""
    if conninfo is None:
        return None
    try:
        checked = check_conninfo("conninfo", conninfo)
    finally:
        del conninfo

    def of_sizes(**sizes: Any) -> T:
        return root({**with_defaults(checked), "autocommit": True, "client_encoding": "UTF8"}, **sizes)

    return of_sizes


def sizes(min_size: object, max_size: object, timeout: object) -> dict[str, Any]:
    least = validate.integer("min_size", min_size, minimum=0)
    return {
        "min_size": least,
        "max_size": validate.integer("max_size", max_size, minimum=max(least, 1)),
        "timeout": _seconds("timeout", timeout),
    }


def statement_timeout(value: object) -> float | None:
    return None if value is None else _seconds("statement_timeout", value)


def _seconds(name: str, value: object) -> float:
    number = validate.number(name, value)
    if not 0 < number <= _LONGEST:
        raise InvalidArgument(f"{name} must be more than 0 and at most {_LONGEST} seconds, not {number:g}")
    return number


def problem_of_sources(
    own: object, pool: object, connection: object, pool_type: type[Any], connection_type: type[Any]
) -> str | None:
    """Return what is wrong with what a store has its connections from."""
    if [own, pool, connection].count(None) != 2:
        return "exactly one of conninfo, pool and connection must be given"
    for name, value, wanted in (("pool", pool, pool_type), ("connection", connection, connection_type)):
        if not isinstance(value, wanted | None):
            return f"{name} must be of the type {wanted.__name__}, not {type(value).__name__}"
    return None
