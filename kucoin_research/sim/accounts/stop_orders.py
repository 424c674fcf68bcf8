"""Stop orders: they wait for a price, then become orders."""

from __future__ import annotations

from kucoin_research.sim.accounts.orders import OrderRequest

__all__: list[str] = []


def _without_stop(ticket: OrderRequest) -> OrderRequest:
    return OrderRequest(
        symbol=ticket.symbol,
        side=ticket.side,
        size=ticket.size,
        price=ticket.price,
        time_in_force=ticket.time_in_force,
        reduce_only=ticket.reduce_only,
        client_oid=ticket.client_oid,
    )


def _base36(value: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while value:
        value, rest = divmod(value, 36)
        text = digits[rest] + text
    return text or "0"
