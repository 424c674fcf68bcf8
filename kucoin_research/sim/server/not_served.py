"""The answer to a call that is not served: KuCoin's, which explains itself where KuCoin has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kucoin_research.sim.server.kucoin_calls import KNOWN_CALLS
from kucoin_research.sim.server.routes import Reply, path_pattern

__all__ = ["Call", "calls", "not_served"]


class Call(NamedTuple):
    """One of KuCoin's REST calls.

    Attributes
    ----------
    market
        The market whose address has it: ``futures`` or ``spot``.
    subject
        The subject under which it is listed.
    method, path
        The HTTP method, and the path with ``{names}`` for the parts that are values.
    """

    market: str
    subject: str
    method: str
    path: str


def calls() -> list[Call]:
    """List the calls that KuCoin has."""
    return [
        Call(market, subject, *line.split())
        for market, subjects in KNOWN_CALLS.items()
        for subject, lines in subjects.items()
        for line in lines.split("\n")
        if line.strip()
    ]


_PATTERNS = [(path_pattern(call.path), call) for call in calls()]


def not_served(market: str, method: str, path: str, *, is_path_served: bool) -> Reply:
    """Answer a call that is not served.

    Parameters
    ----------
    market
        The market whose address was called.
    method, path
        The call.
    is_path_served
        Whether the path is served by another method.
    """
    why = _sentence(market, method, path)
    if why is None and is_path_served:
        return _refusal(405, "Method Not Allowed")
    return _refusal(404, why or "Not Found")


def _refusal(status: int, message: str) -> Reply:
    body = {"code": str(status), "msg": message, "retry": False, "success": False}
    return Reply(status, body)


def _sentence(market: str, method: str, path: str) -> str | None:
    """Say why a call that KuCoin has is not served; None if KuCoin has no such call."""
    found = {call.market: call for call in _found(method, path)}
    if market in found:
        subject = found[market].subject
        return (
            f"{method} {path} is a call of KuCoin's that this exchange does not serve ({subject}); "
            "docs/calls.md lists those that it serves."
        )
    for other in found:
        return f"{method} {path} is a call of the {other} address, and this is the {market} one."
    return None


def _found(method: str, path: str) -> Iterator[Call]:
    return (
        call for pattern, call in _PATTERNS if call.method == method and pattern.fullmatch(path)
    )
