"""The rows of instruments in KuCoin's REST replies, made from listings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

from kucoin_research.sim.engine.catalog import IMR_FACTOR, MMR_LIMIT, Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.order_limits import order_limits
from kucoin_research.sim.messages.index_parts import index_sources

__all__ = ["FUNDING_PERIOD", "contract_row", "risk_limit_rows", "symbol_row", "unknown_day"]

#: The ``period`` of funding rates: 1, as a rate is charged at the end of its own interval.
FUNDING_PERIOD = 1

Row: TypeAlias = dict[str, Any]

_FIRST_OPEN_MS = 1_585_555_200_000
_NS_PER_MS = 1_000_000
_DAY = (
    "buy", "sell", "changeRate", "changePrice", "high", "low", "vol", "volValue", "last",
    "averagePrice", "takerFeeRate", "makerFeeRate", "takerCoefficient", "makerCoefficient",
)  # fmt: skip
_NEVER_ADJUSTED = dict.fromkeys(("adjustK", "adjustM", "adjustMmrLevConstant", "adjustActiveTime"))


def contract_row(listing: Listing, market: Market | None, now_ns: int) -> Row:
    """Return a futures listing as ``GET /api/v1/contracts/{symbol}`` does (P3.1).

    It has the fields that KuCoin sent in October 2026.

    Parameters
    ----------
    listing
        A futures listing.
    market
        Its engine, for the live fields; None for an instrument that has not traded yet.
    now_ns
        Virtual time, ns since 1970.
    """
    return (
        _contract_facts(listing)
        | _funding_facts(listing, market, now_ns)
        | _live_facts(listing, market, now_ns)
    )


def risk_limit_rows(listing: Listing) -> list[Row]:
    """Return the risk tiers of a contract as ``GET /api/v1/contracts/risk-limit/{symbol}`` does.

    Shape from the trading reference, section 4.4.
    """
    return [
        {
            "symbol": listing.symbol,
            "level": tier.level,
            "maxRiskLimit": tier.limit,
            "minRiskLimit": tier.above,
            "maxLeverage": tier.max_leverage,
            "initialMargin": float(tier.initial_margin),
            "maintainMargin": float(tier.maintenance_margin),
        }
        for tier in listing.risk_tiers
    ]


def symbol_row(listing: Listing) -> Row:
    """Return a spot listing as ``GET /api/v2/symbols/{symbol}`` does (P4.1)."""
    limits = order_limits(listing)
    return {
        "symbol": listing.symbol,
        "name": listing.symbol,
        "baseCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "feeCurrency": listing.quote,
        "market": listing.zone,
        "baseMinSize": _plain(limits.min_size),
        "quoteMinSize": _plain(limits.min_funds),
        "baseMaxSize": _plain(limits.max_size),
        "quoteMaxSize": _plain(limits.max_funds),
        "baseIncrement": listing.lot_size,
        "quoteIncrement": _plain(limits.funds_step),
        "priceIncrement": listing.tick_size,
        "priceLimitRate": listing.price_limit_rate,
        "minFunds": _plain(limits.min_funds),
        "isMarginEnabled": True,
        "enableTrading": True,
        "feeCategory": 1,
        "makerFeeCoefficient": "1.00",
        "takerFeeCoefficient": "1.00",
        "st": False,
        "callauctionIsEnabled": False,
        "callauctionPriceFloor": None,
        "callauctionPriceCeiling": None,
        "callauctionFirstStageStartTime": None,
        "callauctionSecondStageStartTime": None,
        "callauctionThirdStageStartTime": None,
        "tradingStartTime": None,
    }


def _contract_facts(listing: Listing) -> Row:
    symbol, base, quote = listing.symbol, listing.base, listing.quote
    tier, limits = listing.risk_tiers[0], order_limits(listing)
    return {
        "symbol": symbol,
        # The documents call these two names for people; KuCoin repeats the symbol and its coin.
        "displaySymbol": symbol,
        "displayBaseCurrency": base,
        "rootSymbol": listing.settle if listing.is_inverse else quote,
        "type": "FFWCSX",
        "firstOpenDate": _FIRST_OPEN_MS,
        "expireDate": None,
        "settleDate": None,
        "baseCurrency": base,
        "quoteCurrency": quote,
        "settleCurrency": listing.settle,
        "maxOrderQty": int(limits.max_size),
        "marketMaxOrderQty": int(limits.max_market_size),
        "maxPrice": float(limits.max_price or 0),
        "lotSize": int(listing.lot_size),
        "tickSize": float(listing.tick_size),
        "indexPriceTickSize": 10.0**-listing.index_decimals,
        "multiplier": listing.multiplier,
        "initialMargin": float(tier.initial_margin),
        "maintainMargin": float(tier.maintenance_margin),
        "maxRiskLimit": tier.limit,
        "minRiskLimit": tier.limit,
        "riskStep": tier.limit // 2,
        "makerFeeRate": listing.maker_fee,
        "takerFeeRate": listing.taker_fee,
        "makerFixFee": 0.0,
        "takerFixFee": 0.0,
        "isQuanto": symbol == "XBTUSDTM",  # means nothing, and is deprecated
        "settlementFee": None,
        "isDeleverage": True,
        "isInverse": listing.is_inverse,
        "markMethod": "FairPrice",
        "fairMethod": "FundingRate",
        "fundingBaseSymbol": f".{base}INT8H",
        "fundingQuoteSymbol": f".{quote}INT8H",
        # "8H" also where the interval is another.
        "fundingRateSymbol": f".{symbol}FPI8H",
        "fundingBaseSymbol1M": f".{base}INT",
        "fundingQuoteSymbol1M": f".{quote}INT",
        "premiumsSymbol1M": f".{symbol}PI",
        "premiumsSymbol8H": f".{symbol}PI8H",
        "indexSymbol": listing.index_symbol,
        "settlementSymbol": None if listing.is_inverse else "",
        "status": "Open",
        "maxLeverage": listing.max_leverage,
        "sourceExchanges": [source.exchange for source in index_sources(listing)],
        "k": listing.mmr_size * 49 / 30,  # as XBTUSDTM's 490 to 300
        "m": listing.mmr_size,
        "f": float(IMR_FACTOR),
        "mmrLimit": float(MMR_LIMIT),
        "mmrLevConstant": float(listing.max_leverage),
        **_NEVER_ADJUSTED,
        "supportCross": True,
        "crossRiskLimit": float(listing.cross_risk_limit),
        "orderPriceRange": float(listing.price_limit_rate),
        "marketStage": "NORMAL",
        "preMarketToPerpDate": None,
        "marketType": "CRYPTO",
        "assetClass": "CRYPTO",
        "subMarketType": None,
    }


def unknown_day(symbol: str) -> Row:
    """Return what ``GET /api/v1/market/stats`` says of a pair that is not listed."""
    return {"symbol": symbol, **dict.fromkeys(_DAY)}


def _funding_facts(listing: Listing, market: Market | None, now_ns: int) -> Row:
    interval = listing.funding_interval_ms
    now_ms = now_ns // _NS_PER_MS
    start = now_ms - now_ms % interval
    return {
        "fundingFeeRate": market.funding_rate(now_ns) if market else 0.0,
        "predictedFundingFeeRate": None,
        "lastTimeFundingRate": market.settled_funding(start * _NS_PER_MS) if market else 0.0,
        "fundingRateGranularity": interval,
        # Since then the interval has been what it is.
        "effectiveFundingRateCycleStartTime": _FIRST_OPEN_MS,
        "currentFundingRateGranularity": interval,
        "fundingRateCap": 0.003,
        "fundingRateFloor": -0.003,
        "dailyInterestRate": 0.0003,
        "period": FUNDING_PERIOD,
        "nextFundingRateTime": start + interval - now_ms,
        "nextFundingRateDateTime": start + interval,
    }


def _live_facts(listing: Listing, market: Market | None, now_ns: int) -> Row:
    price = listing.start_price
    if market is None:
        prices = dict.fromkeys(("markPrice", "indexPrice", "lastTradePrice"), price)
        day = dict.fromkeys(("lowPrice", "highPrice"), price)
        zeros = dict.fromkeys(("turnoverOf24h", "volumeOf24h", "priceChg", "priceChgPct"), 0.0)
        return {"openInterest": "0"} | prices | day | zeros | _price_band(listing, price)
    stats = market.stats_24h(now_ns)
    mark = market.mark_price(now_ns)
    return {
        "openInterest": str(market.open_interest(now_ns)),
        "turnoverOf24h": stats.turnover,
        "volumeOf24h": stats.volume,
        "markPrice": mark,
        "indexPrice": market.index_price(now_ns),
        "lastTradePrice": stats.last,
        "lowPrice": stats.low,
        "highPrice": stats.high,
        "priceChg": stats.change,
        "priceChgPct": stats.change_pct,
    } | _price_band(listing, mark)


def _price_band(listing: Listing, mark: float) -> Row:
    lowest, highest = listing.price_limits(Decimal(repr(mark)))
    return {"buyLimit": float(highest), "sellLimit": float(lowest)}


def _plain(number: Decimal | None) -> str:
    assert number is not None, "a limit of the other market"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
