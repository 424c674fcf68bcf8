"""Spans of time: a begin and an end, ns UTC."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Span", "merged"]

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Sort spans, and join those that touch or overlap."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found
