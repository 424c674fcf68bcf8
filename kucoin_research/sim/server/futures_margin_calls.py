"""The REST calls about futures margin: modes, leverages, limits, and margin moved by hand."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from kucoin_research.sim.accounts.ledger import (
    ZERO,
    account_number,
    base_coins,
    contract_value,
    cross_maintenance,
    decimal_text,
    fraction,
)
from kucoin_research.sim.accounts.order_checks import check_margin
from kucoin_research.sim.accounts.order_units import price_of, ticks_of, units_of
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.engine.order_limits import order_limits
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.futures_order_form import order_leverage
from kucoin_research.sim.server.futures_position_calls import position_row
from kucoin_research.sim.server.futures_values import (
    INVALID,
    asked_contract,
    contract,
    switch,
    text,
    texts,
    word,
)
from kucoin_research.sim.server.pages import amount, optional_amount
from kucoin_research.sim.server.routes import (
    Reply,
    Route,
    Site,
    for_account,
    integer,
    ok,
    touches_none,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kucoin_research.sim.accounts.members import Member
    from kucoin_research.sim.engine.catalog import Listing
    from kucoin_research.sim.engine.market import Side

__all__ = ["FUTURES_MARGIN_CALLS"]

_MODES = ("ISOLATED", "CROSS")
_MOST_SYMBOLS = 50
_LONGEST_ID = 36
# An order is too large by these: margin, risk limit, leverage of the tier, cross capacity.
_TOO_LARGE = frozenset({"300003", "300005", "300016", "330008"})
_USUAL_MARGIN = Decimal(10_000)
_LARGEST_MARGIN = 1_000_000_000
_FINEST = Decimal("1e-10")


def _margin_mode(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    return ok({"symbol": symbol, "marginMode": member.margin_mode(symbol)})


def _change_margin_mode(site: Site, values: Values, member: Member) -> Reply:
    symbol, mode = asked_contract(site, values).symbol, _mode(values)
    site.core.order_entry.set_margin_mode(member, symbol, mode)
    return ok({"symbol": symbol, "marginMode": mode})


def _change_margin_modes(site: Site, values: Values, member: Member) -> Reply:
    mode, symbols = _mode(values), texts(values, "symbols")
    if not symbols:
        raise OrderRefused(INVALID, "symbols is missing: name the contracts to change")
    for symbol in symbols:
        contract(site, symbol)
    errors = []
    for symbol in symbols:
        try:
            site.core.order_entry.set_margin_mode(member, symbol, mode)
        except OrderRefused:
            errors.append({"code": "50002", "msg": "exist.order.or.position", "symbol": symbol})
    modes = {symbol: member.margin_mode(symbol) for symbol in symbols}
    return ok({"marginMode": modes, "errors": errors})


def _mode(values: Values) -> str:
    text(values, "marginMode")
    return word(values, "marginMode", _MODES)


def _touches_symbols(site: Site, values: Values) -> Iterable[str]:
    named = values.get("symbol", "").split(",")
    return [symbol for symbol in site.listings if symbol in named]


def _cross_leverage(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    return ok({"symbol": symbol, "leverage": decimal_text(member.leverage(symbol))})


def _change_cross_leverage(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    site.core.order_entry.set_leverage(member, symbol, amount(values, "leverage", INVALID))
    return ok(True)


def _max_open_size(site: Site, values: Values, member: Member) -> Reply:
    listing = asked_contract(site, values)
    price = amount(values, "price", INVALID)
    leverage = order_leverage(values, listing)

    def largest(side: Side) -> int:
        def is_taken(lots: int) -> bool:
            return _is_taken(site, member, _question(member, listing, side, lots, price, leverage))

        return _largest(int(order_limits(listing).max_size), is_taken)

    return ok(
        {
            "symbol": listing.symbol,
            "maxBuyOpenSize": largest("buy"),
            "maxSellOpenSize": largest("sell"),
        }
    )


def _question(
    member: Member,
    listing: Listing,
    side: Side,
    lots: int,
    price: Decimal,
    leverage: Decimal | None,
) -> OrderRequest:
    mode = member.margin_mode(listing.symbol)
    return OrderRequest(
        symbol=listing.symbol,
        side=side,
        size=Decimal(lots),
        price=price,
        margin_mode=mode,
        leverage=leverage if mode == "ISOLATED" else None,
    )


def _is_taken(site: Site, member: Member, request: OrderRequest) -> bool:
    engine, price_ticks = site.engine(request.symbol), None
    if request.price is not None:
        price_ticks = ticks_of(engine.listing, request.price)
    lots = units_of(engine.listing, request.size or ZERO)
    venue = site.core.order_entry.venue
    try:
        check_margin(venue, member, request, engine, lots, price_ticks)
    except OrderRefused as refused:
        if refused.code in _TOO_LARGE:
            return False
        raise
    return True


def _largest(most: int, is_enough_for: Callable[[int], bool]) -> int:
    # The largest number of lots, at most `most`, for which there is enough; 0 if there is none.
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if is_enough_for(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _cross_limits(site: Site, values: Values, _member: Member) -> Reply:
    symbols = texts(values, "symbol")
    if not 1 <= len(symbols) <= _MOST_SYMBOLS:
        raise OrderRefused(INVALID, f"symbol must name 1 to {_MOST_SYMBOLS} contracts")
    margin = optional_amount(values, "totalMargin", INVALID)
    leverage = optional_amount(values, "leverage", INVALID)
    if margin is not None and not 0 < margin <= _LARGEST_MARGIN:
        raise OrderRefused(
            INVALID, f"totalMargin {margin} must be above zero and at most {_LARGEST_MARGIN}"
        )
    if leverage is not None and leverage < 1:
        raise OrderRefused(INVALID, f"leverage {leverage} must be at least 1")
    listings = [contract(site, symbol) for symbol in symbols]
    return ok([_cross_limit(site, listing, margin, leverage) for listing in listings])


def _cross_limit(
    site: Site, listing: Listing, margin: Decimal | None, leverage: Decimal | None
) -> dict[str, Any]:
    price, most = _last_price(site, listing), Decimal(listing.max_leverage)
    used = min(leverage or most, most)
    total = margin or (_USUAL_MARGIN / price if listing.is_inverse else _USUAL_MARGIN)
    fee = fraction(listing.taker_fee)

    def rate_of(lots: int) -> Decimal:
        return listing.cross_initial(base_coins(listing, lots, price), used)

    def is_enough_for(lots: int) -> bool:
        worth = abs(contract_value(listing, price, lots))
        return worth <= listing.cross_risk_limit and worth * (rate_of(lots) + fee) <= total

    lots = _largest(int(total * used / abs(contract_value(listing, price, 1))), is_enough_for)
    kept = cross_maintenance(listing, lots, price)
    return {
        "symbol": listing.symbol,
        "maxOpenSize": lots,
        "maxOpenValue": decimal_text(abs(contract_value(listing, price, lots))),
        "totalMargin": decimal_text(total.quantize(_FINEST, ROUND_FLOOR)),
        "price": decimal_text(price),
        "leverage": f"{used:.2f}",
        "mmr": decimal_text(kept.quantize(_FINEST)),
        "imr": decimal_text(rate_of(lots).quantize(_FINEST)),
        "currency": listing.settle,
    }


def _last_price(site: Site, listing: Listing) -> Decimal:
    engine = site.engine(listing.symbol)
    if engine.last_trade is None:
        return fraction(engine.mark_price(site.now_ns))
    return price_of(engine, engine.last_trade.price_ticks)


def _max_withdrawal(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    return ok(decimal_text(site.core.order_entry.positions.withdrawable_margin(member, symbol)))


def _withdraw(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    taken = amount(values, "withdrawAmount", INVALID)
    site.core.order_entry.positions.withdraw_margin(member, symbol, taken)
    return ok(decimal_text(taken))


def _deposit(site: Site, values: Values, member: Member) -> Reply:
    listing, request_id = asked_contract(site, values), text(values, "bizNo")
    if len(request_id) > _LONGEST_ID:
        raise OrderRefused(INVALID, f"bizNo is longer than {_LONGEST_ID} characters")
    added = amount(values, "margin", INVALID)
    site.core.order_entry.positions.add_margin(member, listing.symbol, added, request_id)
    number = account_number(member.user_id, "user", "")
    return ok(position_row(site, member, listing) | {"userId": number})


def _auto_deposit(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    text(values, "status")
    is_on = switch(values, "status")
    site.core.order_entry.positions.set_auto_deposit(member, symbol, is_on=is_on)
    return ok(True)


def _change_risk_level(site: Site, values: Values, member: Member) -> Reply:
    symbol = asked_contract(site, values).symbol
    text(values, "level")
    level = integer(values, "level")
    if level is None:
        raise OrderRefused(INVALID, "level must be a whole number")
    site.core.order_entry.risk_levels.change(member, symbol, level)
    return ok(True)


FUTURES_MARGIN_CALLS: tuple[Route, ...] = (
    for_account("GET", "/api/v2/position/getMarginMode", 2, _margin_mode, touches_none),
    for_account("POST", "/api/v2/position/changeMarginMode", 2, _change_margin_mode),
    for_account(
        "POST", "/api/v2/position/batchChangeMarginMode", 2, _change_margin_modes, touches_none
    ),
    for_account("GET", "/api/v2/getCrossUserLeverage", 2, _cross_leverage, touches_none),
    for_account("POST", "/api/v2/changeCrossUserLeverage", 2, _change_cross_leverage),
    for_account("GET", "/api/v2/getMaxOpenSize", 2, _max_open_size),
    for_account("GET", "/api/v2/batchGetCrossOrderLimit", 2, _cross_limits, _touches_symbols),
    for_account("GET", "/api/v1/margin/maxWithdrawMargin", 10, _max_withdrawal),
    for_account("POST", "/api/v1/margin/withdrawMargin", 10, _withdraw),
    for_account("POST", "/api/v1/position/margin/deposit-margin", 4, _deposit),
    for_account("POST", "/api/v1/position/margin/auto-deposit-status", 4, _auto_deposit),
    for_account("POST", "/api/v1/position/risk-limit-level/change", 5, _change_risk_level),
)
