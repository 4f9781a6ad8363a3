"""Repair of what a conversation there may hold and the store cannot: malformed JSON, U+0000, NaN and the like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from conversation_store._json import loads_and_report
from conversation_store._json_repair import storable
from conversation_store._json_writer import LARGEST_JSON, JsonWriter
from conversation_store._validation import MAX_DURATION, unstorable

# As large as the server takes it: an import leaves nothing behind that fits.
WRITER = JsonWriter(LARGEST_JSON, repair=True)

_EMPTY: Mapping[str, Any] = {"message": [], "reference": [], "dsl": {}}
_TEXTS = ("name", "user_id", "exp_user_id", "source", "errors", "version_title")


def repair_text(values: dict[str, Any], field: str) -> list[str]:
    """Replace what PostgreSQL cannot store in a text, and MySQL can; return what is repaired."""
    text: str | None = values[field]
    if text is None or (reason := unstorable(text)) is None:
        return []
    values[field] = storable(text)
    return [f"{field} had {reason}, which is U+FFFD now"]


def repair(values: dict[str, Any]) -> list[str]:
    """Replace the values of a conversation by some that the store can hold, its JSON read; return what is repaired."""
    repairs: list[str] = []
    writer = JsonWriter(LARGEST_JSON, repair=True, on_repair=lambda path, what: repairs.append(f"{path} {what}"))
    if not abs(values["duration"]) <= MAX_DURATION:  # which NaN is not either
        repairs.append(f"duration was {values['duration']} and is 0")
        values["duration"] = 0.0
    for field in _TEXTS:
        repairs += repair_text(values, field)
    for field, empty in _EMPTY.items():
        text: str | None = values[field]
        if not text:  # which reads as empty there too
            values[field] = empty
            continue
        before = len(repairs)
        duplicates: list[str] = []
        try:
            values[field] = loads_and_report(text, duplicates)
            repairs += [
                f"{field} had the duplicate key {key!r} in one object and has its last value" for key in duplicates
            ]
            writer.text(field, values[field])
            continue
        except RecursionError:
            kept = f"{field} is nested too deep and was kept as its text"
        except json.JSONDecodeError:
            kept = f"{field} is not JSON and was kept as its text"
        except ValueError as error:  # of a number that is too long, or of the depth
            kept = f"{field} was kept as its text: {error}"
        values[field] = text
        repairs[before:] = [kept]
    return repairs
