"""The values of a REST call: those of its path, its query and its JSON body, as text.

Numbers of a body keep their digits, true and false become those words, and null counts as left out.
A list or an object is kept as JSON, for `rows`; a body that is a list has the name ``BODY``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["BODY", "BadBody", "Values", "body_values", "flag", "rows"]

#: The values of one call, by name.
Values: TypeAlias = Mapping[str, str]

#: The name of a body that is a list.
BODY = "(body)"


class BadBody(ValueError):
    """The body of a call is no JSON object and no list."""


def body_values(body: bytes) -> dict[str, str]:
    """Read the values of a call's body.

    Raises
    ------
    BadBody
        If it is neither empty, nor a JSON object, nor a list.
    """
    if not body.strip():
        return {}
    try:
        found = json.loads(body, parse_float=str, parse_int=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadBody("the body of the request is no JSON") from error
    if isinstance(found, list):
        return {BODY: json.dumps(found)}
    if not isinstance(found, dict):
        raise BadBody("the body of the request is no JSON object")
    return _as_text(found)


def rows(values: Values, name: str) -> list[dict[str, str]] | None:
    """Read a list of objects, each as the values of a call; None if there is none of this name."""
    try:
        found = json.loads(values.get(name, ""))
    except ValueError:
        return None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        return None
    return [_as_text(row) for row in found]


def flag(values: Values, name: str) -> bool:
    """Return whether a value is true."""
    return values.get(name, "").lower() == "true"


def _as_text(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in found.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _refuse(name: str) -> str:
    raise BadBody(f"{name} is no number of JSON")
