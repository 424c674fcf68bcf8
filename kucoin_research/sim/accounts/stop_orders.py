"""Stop orders: they wait for a price, then become orders."""

from __future__ import annotations

from kucoin_research.sim.accounts.orders import OrderRequest

__all__: list[str] = []


def _without_stop(request: OrderRequest) -> OrderRequest:
    return OrderRequest(
        symbol=request.symbol,
        side=request.side,
        size=request.size,
        price=request.price,
        time_in_force=request.time_in_force,
        reduce_only=request.reduce_only,
        client_oid=request.client_oid,
    )


def _base36(value: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while value:
        value, rest = divmod(value, 36)
        text = digits[rest] + text
    return text or "0"
