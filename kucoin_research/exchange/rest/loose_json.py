"""Reads JSON piece by piece, so that a malformed field costs no more than itself.

A decoder stops at the first number beyond a float, half surrogate pair or too deep nesting, even in
a field that we do not read. Here brackets and quotes alone divide a list into its rows, and a row
into its fields; only then is each field decoded, by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec

from kucoin_research.foundation.typed_json import decoder

__all__ = ["MOST_BY_ROW", "UNREADABLE", "elements", "members", "read_fields"]

T = TypeVar("T")

#: Bytes of JSON that are taken apart at most: as Python objects they need twenty times that.
MOST_BY_ROW = 8_000_000
#: Raised for JSON that makes no sense, or has another shape than the one asked for.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

# A text, a bracket, a comma, a colon, or anything between them: a number, a word, a space.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^"\[\]{},:]+', re.DOTALL)


def elements(raw: bytes) -> list[bytes]:
    """Divide an array into its elements.

    Raises
    ------
    ValueError
        If it is no array, or has no end.
    """
    pieces = [b"".join(piece).strip() for piece in _pieces(raw, b"[", b"]")]
    if pieces == [b""]:
        return []
    if b"" in pieces:
        raise ValueError("an array has nothing between two commas")
    return pieces


def members(raw: bytes) -> dict[str, bytes]:
    """Divide an object into its members; if a name comes twice, the last value counts.

    Raises
    ------
    ValueError
        If it is no object, or has no end.
    """
    found: dict[str, bytes] = {}
    for piece in _pieces(raw, b"{", b"}"):
        tokens = [token for token in piece if token.strip()]
        if not tokens and not found:
            continue
        if len(tokens) < 3 or tokens[0][:1] != b'"' or tokens[1] != b":":
            raise ValueError("an object has something else than names and values")
        try:
            name = decoder(str).decode(tokens[0])
        except UNREADABLE:  # no field of ours has such a name
            continue
        found[name] = b"".join(tokens[2:]).strip()
    return found


def read_fields(raw: bytes, kind: type[T]) -> tuple[T, list[str]]:
    """Read an object; field by field if it does not decode as a whole.

    Parameters
    ----------
    raw
        The object.
    kind
        A struct; numbers may be in strings.

    Returns
    -------
    tuple
        The struct, and the names of malformed optional fields, which have their defaults.

    Raises
    ------
    msgspec.MsgspecError, ValueError, RecursionError
        If a required field is malformed or missing.
    """
    try:
        return decoder(kind, strict=False).decode(raw), []
    except UNREADABLE:
        content = members(raw)
    values: dict[str, Any] = {}
    odd: list[str] = []
    for field in msgspec.structs.fields(cast("Any", kind)):
        name = field.encode_name
        if name not in content:
            if field.required:
                raise ValueError(f"there is no {name}")
            continue
        try:
            values[field.name] = _value(content[name], field.type)
        except UNREADABLE as error:
            if field.required:
                raise ValueError(f"its {name} makes no sense: {error}") from error
            odd.append(name)
    return kind(**values), odd


def _value(raw: bytes, kind: Any) -> Any:
    # A decoder would check the value even if it returns it raw.
    return msgspec.Raw(raw) if kind is msgspec.Raw else decoder(kind, strict=False).decode(raw)


def _pieces(raw: bytes, begin: bytes, end: bytes) -> Iterator[list[bytes]]:
    """Yield the tokens between each two commas of the outermost bracket."""
    depth, piece, is_over = 0, list[bytes](), False
    for token in _tokens(raw.strip()):
        if is_over or (not depth and token != begin):
            raise ValueError("something stands where nothing should")
        if token in (b"]", b"}"):
            depth -= 1
        if not depth and token == end:
            is_over = True
        elif depth == 1 and token == b",":
            yield piece
            piece = []
        elif depth:
            piece.append(token)
        if token in (b"[", b"{"):
            depth += 1
    if not is_over:
        raise ValueError("it is cut short")
    yield piece


def _tokens(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        found = _TOKEN.match(raw, at)
        if found is None:
            raise ValueError("it is cut short within a text")
        yield found[0]
        at = found.end()
