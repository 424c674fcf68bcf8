"""Pages of rows for the signed REST calls of both markets.

Shapes from the protocol reference, section 2, and from KuCoin's own documents of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, TypeVar

from kucoin_research.sim.accounts.ledger import read_amount
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.routes import MS, integer

__all__ = ["amount", "between", "last_rows", "numbered_page", "optional_amount"]

_T = TypeVar("_T")

# No amount needs more, and arithmetic would round far longer ones.


def between(values: Values, rows: Iterable[_T], time_ns: Callable[[_T], int]) -> list[_T]:
    """Choose rows by ``startAt`` and ``endAt``, in ms UTC and inclusive; without them, all."""
    first, last = integer(values, "startAt"), integer(values, "endAt")
    return [
        row
        for row in rows
        if (not first or time_ns(row) // MS >= first) and (not last or time_ns(row) // MS <= last)
    ]


def numbered_page(
    values: Values,
    rows: list[_T],
    make: Callable[[_T], dict[str, Any]],
    *,
    size: int = 50,
    most: int = 500,
) -> dict[str, Any]:
    """Make the page ``currentPage`` of ``pageSize`` rows, newest first as they come.

    Parameters
    ----------
    values
        The call's.
    rows, make
        All rows, and what makes one of them for the reply.
    size, most
        Rows of a page if the call names no number, and the most it may name.
    """
    page = max(1, integer(values, "currentPage") or 1)
    size = min(most, max(1, integer(values, "pageSize") or size))
    chosen = rows[(page - 1) * size : page * size]
    return {
        "currentPage": page,
        "pageSize": size,
        "totalNum": len(rows),
        "totalPage": -(-len(rows) // size),
        "items": [make(row) for row in chosen],
    }


def last_rows(
    values: Values, rows: list[_T], row_id: Callable[[_T], int], *, size: int = 20, most: int = 100
) -> list[_T]:
    """Choose the ``limit`` newest rows that are older than ``lastId``; rows are newest first."""
    last = integer(values, "lastId")
    size = min(most, max(1, integer(values, "limit") or size))
    return [row for row in rows if not last or row_id(row) < last][:size]


def amount(values: Values, name: str, invalid: str) -> Decimal:
    """Read a decimal number of a call.

    Raises
    ------
    OrderRefused
        With the code `invalid`, if it is left out or no number.
    """
    found = optional_amount(values, name, invalid)
    if found is None:
        raise OrderRefused(invalid, f"{name} is missing: give a number")
    return found


def optional_amount(values: Values, name: str, invalid: str) -> Decimal | None:
    """Read a decimal number of a call; None if it is left out.

    Raises
    ------
    OrderRefused
        With the code `invalid`, if it is no number.
    """
    text = values.get(name, "").strip()
    if not text:
        return None
    found = read_amount(text)
    if found is None:
        raise OrderRefused(invalid, f"{name} {text[:40]!r} is no number, or has too many digits")
    return found
