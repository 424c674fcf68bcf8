"""The assumptions of a run, in words: every choice of a model, and what the data lacked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import polars as pl

from kucoin_research.strategy.market import MarketKind, PaperMarket
from kucoin_research.strategy.run_facts import LACKED

if TYPE_CHECKING:
    from kucoin_research.strategy.run import PaperRun

__all__ = ["assumptions_of"]

_SCHEMA = dict.fromkeys(("subject", "choice", "detail"), pl.String())

_QUEUES = {
    "risk_averse": "a resting order is behind the displayed size at its price; only trades move it "
    "forward, and no more can be before it than is displayed",
    "proportional": "a resting order is behind the displayed size at its price; trades move it "
    "forward, and cancels in proportion to the size before it",
    "none": "a resting order is the first at its price, which no real one is",
}
_LIQUIDITY = {
    "depth": "takers walk the recorded levels, never beyond them; what they took is gone until the "
    "level changes",
    "best": "takers find the best price alone, with its size",
    "unlimited": "takers find as much as they want at the best price, which no market offers",
}
_GAPS = (
    "orders wait for the first new quotes; resting ones go to the back of the queue, and are "
    "filled at their limit if the market is beyond it"
)
_LIQUIDATION = (
    "liquidation at the bankruptcy price; the liquidation fee's rate is the taker's; large "
    "positions are not reduced in parts first"
)
_BOTH_SIDES = "; open orders of both sides bind margin, of which KuCoin counts the larger one alone"
_FINEST = (
    ("level2", "the book"), ("depth50", "50 levels"), ("depth5", "5 levels"),
    ("bbo", "the best bid and ask"), ("ticker", "the ticker's best bid and ask"),
)  # fmt: skip


def assumptions_of(run: PaperRun, lacks: Iterable[tuple[str, str]]) -> pl.DataFrame:
    """List the assumptions of a run.

    Parameters
    ----------
    run
        Its choices.
    lacks
        What its records lacked, as ``MarketFacts`` has it.

    Returns
    -------
    pl.DataFrame
        Columns ``subject choice detail``; rows with the subject ``lacked`` are about the data.
    """
    rows = [*_choices(run), *((LACKED, what, detail) for what, detail in (*lacks, *_lacks(run)))]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _choices(run: PaperRun) -> Iterator[tuple[str, str, str]]:
    options = run.options
    for market in run.markets.values():
        yield _matching(market)
    yield from _liquidity(run)
    if options.latency is None:
        detail = (
            f"drawn with seed {options.seed} from the lag of the newest records; the lag of market "
            "data is not the lag of orders"
        )
        yield "latency", "recorded", detail
    else:
        entry, response = (each / 1e9 for each in options.latency)
        detail = "orders meet the market as it is known here when they arrive"
        yield "latency", f"{entry:g} s to the exchange, {response:g} s back", detail
    for market in run.markets.values():
        fees = market.contract.fees
        chosen = options.fees.get(market.symbol) or options.fees.get("*")
        source = "as given" if chosen else "as the instrument has it; KuCoin's lowest level if not"
        yield "fees", f"{market.symbol} maker {fees.maker:.4%}, taker {fees.taker:.4%}", source
    yield from _margin(run)
    yield "own impact", "none", "paper orders do not change the recorded market or meet each other"
    yield "gaps", "no fills inside", _GAPS
    yield "year", "365 days", "the market never closes"


def _liquidity(run: PaperRun) -> Iterator[tuple[str, str, str]]:
    options = run.options
    if all(market.kind is MarketKind.CANDLES for market in run.markets.values()):
        choice = "any size" if options.liquidity == "unlimited" else "the candle's volume"
        yield "liquidity", choice, "all orders together find no more in a candle that has one"
        return
    yield "liquidity", options.liquidity, _LIQUIDITY[options.liquidity]
    yield "queue", options.queue, _QUEUES[options.queue]
    detail = "a trade beyond the limit fills at most its own size, at the limit"
    yield "through-trades", "size of the print", detail


def _matching(market: PaperMarket) -> tuple[str, str, str]:
    played = market.channels
    if market.kind is MarketKind.QUOTES:
        words = next(words for name, words in _FINEST if name in played)
        prints = "quotes that cross them"
        if market.has_trades:
            prints = f"trades, and by {prints}"
        elif "ticker" in played:
            prints = f"the ticker's last trade, and by {prints}"
        return "matching", f"{market.symbol} by {words}", f"resting orders are filled by {prints}"
    if market.kind is MarketKind.TRADES:
        detail = "market orders are filled by the next prints, limits by prints beyond them"
        return "matching", f"{market.symbol} by trades", detail
    detail = (
        "market orders are filled at the next open, limits if a candle trades beyond them, known "
        "at its close; of two possible orders of events the worse one counts"
    )
    return "matching", f"{market.symbol} by candles of {market.interval}", detail


def _margin(run: PaperRun) -> Iterator[tuple[str, str, str]]:
    options = run.options
    futures = [each for each in run.markets.values() if not each.contract.is_spot]
    if not futures:
        return
    mode = "cross" if options.is_cross else "isolated"
    yield (
        "margin", f"{mode}, leverage {options.leverage:g}, rules of {options.margin_rules}",
        f"{_LIQUIDATION}{_BOTH_SIDES if options.is_cross else ''}",
    )  # fmt: skip
    for market in futures:
        facts = market.contract.instrument
        if facts.maintenance_margin is None and not facts.risk_tiers:
            rate = market.contract.basic_maintenance / 10**18
            detail = "half of the initial margin at the highest leverage: the instrument has none"
            yield "maintenance", f"{market.symbol} {rate:.3%}", detail
        if not market.has_marks:
            price = "close" if market.kind is MarketKind.CANDLES else "mid"
            yield "mark price", f"{market.symbol} {price}", "no mark_price is played"
    funding = "recorded" if options.funding else "given" if options.given_funding else "none"
    details = {
        "recorded": "paid at recorded settlements, on the position before them; orders during one "
        "are rejected (300015)",
        "given": "paid at the given times and rates, on the position before them",
        "none": "no funding is paid",
    }
    yield "funding", funding, details[funding]


def _lacks(run: PaperRun) -> Iterator[tuple[str, str]]:
    for market in run.markets.values():
        is_perpetual = not market.contract.is_spot and (market.contract.instrument.expires is None)
        if is_perpetual and run.options.funding and "funding_rate" not in market.channels:
            yield market.symbol, "no funding_rate was played, so no funding was paid"
        elif is_perpetual and run.options.funding and not run.calendar.has_settled(market.symbol):
            yield market.symbol, "no settlement of the funding was announced, so none was paid"
        if market.kind is MarketKind.QUOTES and not market.has_trades:
            yield (
                market.symbol,
                "no trade was played, so the queue comes forward by displayed sizes only",
            )
        rate = market.contract.instrument.price_limit_rate
        if rate is None:
            yield market.symbol, "the instrument names no price band, so none is checked"
