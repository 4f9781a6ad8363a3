"""Repair of what a conversation there may hold and the store cannot: malformed JSON, U+0000, NaN and the like."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from conversation_store import _json as json_values
from conversation_store._json import loads

_EMPTY: Mapping[str, Any] = {"message": [], "reference": [], "dsl": {}}


def repair(values: dict[str, Any]) -> list[str]:
    """Replace the JSON texts of a conversation by values that the store can hold; return what was repaired."""
    repairs: list[str] = []
    if not math.isfinite(values["duration"]):
        repairs.append(f"duration was {values['duration']} and is 0")
        values["duration"] = 0.0
    for field, empty in _EMPTY.items():
        text: str | None = values[field]
        if not text:  # which reads as empty there too
            values[field] = empty
            continue
        repairs_of_field: list[str] = []
        try:
            duplicates: list[str] = []
            value = loads(text, duplicates)
            repairs_of_field = [
                f"{field} had the duplicate key {key!r} in one object and has its last value" for key in duplicates
            ]
            try:
                json_values.json_text(field, value)
            except ValueError:
                value = _storable(field, value, repairs_of_field)
                json_values.json_text(field, value)
        except RecursionError:
            value, repairs_of_field = text, [f"{field} is nested too deep and was kept as its text"]
        except json.JSONDecodeError:
            value, repairs_of_field = text, [f"{field} is not JSON and was kept as its text"]
        except ValueError as error:  # of a number that is too long, or of the depth
            value, repairs_of_field = text, [f"{field} was kept as its text: {error}"]
        values[field] = value
        repairs.extend(repairs_of_field)
    return repairs


def _storable(path: str, value: Any, repairs_of_field: list[str]) -> Any:
    """Return a JSON value without U+0000, lone surrogates, NaN and infinities, and note each in *repairs_of_field*."""
    if isinstance(value, str):
        text = re.sub("[\0\ud800-\udfff]", "\ufffd", value)
        if text != value:
            repairs_of_field.append(f"{path} had U+0000 or a lone surrogate, which is U+FFFD now")
        return text
    if isinstance(value, float) and not math.isfinite(value):
        repairs_of_field.append(f"{path} was {value} and is null")
        return None
    if isinstance(value, list):
        members = cast(Sequence[Any], value)
        return [_storable(f"{path}[{index}]", member, repairs_of_field) for index, member in enumerate(members)]
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for key, member in cast(Mapping[str, Any], value).items():
            new = _storable(f"a key of {path}", key, repairs_of_field)
            while new != key and (new in result or new in value):
                new += "\ufffd"  # it is another member, and stays one
            result[new] = _storable(f"{path}[{key!r}]", member, repairs_of_field)
        return result
    return value
