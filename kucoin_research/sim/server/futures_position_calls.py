"""The REST calls about futures positions: open ones, closed ones, and the mode that they share."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kucoin_research.sim.accounts.account_book import ClosedPosition
from kucoin_research.sim.accounts.ledger import account_number, decimal_text, fraction
from kucoin_research.sim.accounts.members import position_reply
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.futures_values import asked_contract, chosen_contract, text, word
from kucoin_research.sim.server.pages import between, numbered_page
from kucoin_research.sim.server.routes import MS, Reply, Route, Site, for_account, ok, touches_none

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member
    from kucoin_research.sim.engine.catalog import Listing

__all__ = ["FUTURES_POSITION_CALLS", "position_row"]

_FIRST_ID = 500_000_000_000_000_000
_FINEST = Decimal("1e-10")
_ONE_WAY = {"positionMode": 0}


def position_row(site: Site, member: Member, listing: Listing) -> dict[str, Any]:
    """Build the row of an account's position in a contract, which may be flat."""
    position = member.shown_position(listing)
    mark = fraction(site.engine(listing.symbol).mark_price(site.now_ns))
    wallet = site.core.order_entry.futures_wallet(member, listing.settle)
    number = _FIRST_ID + account_number(member.user_id, "position", listing.symbol)
    return position_reply(position, mark, site.now_ms, wallet.total_cross, str(number))


def _positions(site: Site, values: Values, member: Member) -> Reply:
    currency = values.get("currency", "").strip()
    open_ones = [one for one in member.positions.values() if one.quantity]
    return ok(
        [
            position_row(site, member, one.listing)
            for one in open_ones
            if currency in ("", one.listing.settle)
        ]
    )


def _position(site: Site, values: Values, member: Member) -> Reply:
    return ok(position_row(site, member, asked_contract(site, values)))


def _closed(site: Site, values: Values, member: Member) -> Reply:
    symbol = chosen_contract(site, values)
    rows = [
        row for row in member.book.closed_positions.newest_first() if symbol in ("", row.symbol)
    ]
    # This call has other names for what the others call startAt, endAt, currentPage and pageSize.
    span = {"startAt": values.get("from", ""), "endAt": values.get("to", "")}
    page = {"currentPage": values.get("pageId", ""), "pageSize": values.get("limit", "")}
    chosen = between(span, rows, lambda row: row.closed_ms * MS)
    return ok(numbered_page(page, chosen, lambda row: _closed_row(member, row), size=10, most=200))


def _closed_row(member: Member, row: ClosedPosition) -> dict[str, Any]:
    gross_cost = decimal_text(-row.gross_profit)
    was_taken_over = row.is_liquidated
    return {
        "closeId": str(_FIRST_ID + row.row_id),
        "userId": member.user_id,
        "symbol": row.symbol,
        "settleCurrency": row.settle,
        "leverage": _shortened(row.leverage),
        "type": f"{'LIQUID' if was_taken_over else 'CLOSE'}_{row.side}",
        "pnl": decimal_text(row.profit),
        "realisedGrossCost": gross_cost,
        "realisedGrossCostNew": gross_cost,
        "withdrawPnl": "0",
        "tradeFee": decimal_text(row.fees),
        "fundingFee": decimal_text(row.funding),
        "openTime": row.opened_ms,
        "closeTime": row.closed_ms,
        "openPrice": _shortened(row.entry_price),
        "closePrice": _shortened(row.exit_price),
        "marginMode": row.margin_mode,
        "tax": "0",
        "roe": None,
        "liquidAmount": str(row.lots) if was_taken_over else None,
        "liquidPrice": _shortened(row.exit_price) if was_taken_over else None,
        "side": row.side,
    }


def _shortened(figure: Decimal) -> str:
    # Averages can have endless digits.
    return decimal_text(figure.quantize(_FINEST))


def _position_mode(_site: Site, _values: Values, _member: Member) -> Reply:
    return ok(_ONE_WAY)


def _switch_position_mode(_site: Site, values: Values, _member: Member) -> Reply:
    text(values, "positionMode")
    if word(values, "positionMode", ("0", "1")) == "1":
        raise OrderRefused(
            "400100", "hedge mode is not simulated: positions are one-way here (positionMode 0)"
        )
    return ok(_ONE_WAY)


FUTURES_POSITION_CALLS: tuple[Route, ...] = (
    for_account("GET", "/api/v1/position", 2, _position),
    for_account("GET", "/api/v1/positions", 2, _positions, touches_none),
    for_account("GET", "/api/v1/history-positions", 2, _closed, touches_none),
    for_account("GET", "/api/v2/position/getPositionMode", 2, _position_mode, touches_none),
    for_account(
        "POST", "/api/v2/position/switchPositionMode", 2, _switch_position_mode, touches_none
    ),
)
