"""The newest figures of all symbols of a market, and the frame made of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.exchange.rest.market_facts import MarketFacts
from kucoin_research.model.records import BestBidOffer, Ticker

__all__ = ["SHOWN", "BoardView", "MarketBoard"]

Figures = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]

_NS_PER_MS = 1_000_000
# A row that is older than the one here is left out. If it is older by more than this, the machine's
# clock was set back, and it is the newer one.
_CLOCK_WAS_SET = 60 * 1_000_000_000
# What is kept of each symbol, in this order; NaN is missing. Times are ms since 1970, UTC.
_FACTS = (
    "last_price", "price_change_pct", "volume", "turnover", "mark_price", "index_price",
    "funding_rate", "next_funding", "funding_in_s", "open_interest", "contract_multiplier",
    "tick_size",
)  # fmt: skip
_BEST = ("best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size")
_KEPT = {name: place for place, name in enumerate((*_FACTS, *_BEST))}
_LAST = _KEPT["last_price"]
_BEST_AT = slice(_KEPT["best_bid_price"], _KEPT["best_ask_size"] + 1)

#: The figures of a view, in the order of its columns.
SHOWN = (
    "last_price", "price_change_pct", "volume", "turnover", *_BEST, "spread_bps", "imbalance",
    "funding_rate", "next_funding", "funding_in_s", "mark_price", "index_price", "basis_bps",
    "open_interest", "open_interest_value", "tick_size", "price_time", "facts_time",
)  # fmt: skip


class BoardView(NamedTuple):
    """A copy of a board, to be read without a lock.

    Attributes
    ----------
    symbols
        In the exchange's order; the same object as long as the symbols are the same.
    figures
        One row per symbol, one column per name of ``SHOWN``; NaN is missing, times are ms UTC.
    prices_ns, facts_ns
        Arrival of the prices and of the other figures of each symbol, ns UTC; 0 for never.
    """

    symbols: tuple[str, ...]
    figures: Figures
    prices_ns: Stamps
    facts_ns: Stamps

    def column(self, name: str) -> Figures:
        """Return one of the figures of all symbols."""
        column: Figures = self.figures[:, SHOWN.index(name)]
        return column

    def frame(self, now_ns: int) -> pl.DataFrame:
        """Make the frame that ``kucoin_research.screener`` describes, as of a time in ns UTC."""
        floats = pl.DataFrame(self.figures, schema=list(SHOWN), orient="row").fill_nan(None)
        times = pl.Datetime("ns", "UTC")
        arrived = pl.Series("local_timestamp", self.prices_ns).replace(0, None)
        return floats.select(
            pl.Series("symbol", self.symbols, pl.String),
            *SHOWN[: SHOWN.index("next_funding")],
            (pl.col("next_funding").cast(pl.Int64) * _NS_PER_MS).cast(times),
            *SHOWN[SHOWN.index("funding_in_s") : SHOWN.index("tick_size")],
            arrived.cast(times),
            pl.Series("facts_timestamp", self.facts_ns).replace(0, None).cast(times),
            # The stamps of a list's rows follow each other, so the last may be some ns ahead.
            ((now_ns - arrived) / 1e9).clip(lower_bound=0.0).alias("age_s"),
        )


class MarketBoard:
    """Keeps the newest figures of every listed symbol. Thread-safe.

    The list of the exchange decides which symbols there are; those that are known keep their
    order, so that rows do not move where the list only comes in another order. Prices of others are
    left out: a contract may be delisted while they are on their way.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._symbols: tuple[str, ...] = ()
        self._rows: dict[str, int] = {}
        self._figures: Figures = np.empty((0, len(_KEPT)))
        self._prices_ns: Stamps = np.zeros(0, np.int64)
        self._last_ns: Stamps = np.zeros(0, np.int64)  # arrival of the last prices
        self._facts_ns: Stamps = np.zeros(0, np.int64)

    @property
    def has_symbols(self) -> bool:
        """Whether the list of symbols has come."""
        return bool(self._symbols)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in the exchange's order; those listed later come last."""
        return self._symbols

    def take_facts(self, listed: Sequence[MarketFacts]) -> None:
        """Take the list of a market: its symbols are those of the board from now on."""
        # One that is listed twice would have a row without prices.
        by_symbol = {each.symbol: each for each in listed if each.symbol}
        with self._lock:
            known = [each for each in self._symbols if each in by_symbol]
            symbols = tuple(dict.fromkeys((*known, *by_symbol)))
            if symbols != self._symbols:
                self._relist(symbols)
            ordered = [by_symbol[each] for each in symbols]
            table = np.array([_numbers(each) for each in ordered], np.float64)
            table = table.reshape(len(symbols), len(_FACTS))
            self._facts_ns = np.array([each.local_timestamp for each in ordered], np.int64)
            last, at = self._figures[:, _LAST], self._last_ns
            # The list has no last price where there was no trade for long.
            is_older = _are_older(self._facts_ns, at) | np.isnan(table[:, _LAST])
            table[:, _LAST] = np.where(is_older, last, table[:, _LAST])
            self._last_ns = np.where(is_older, at, self._facts_ns)
            self._figures[:, : len(_FACTS)] = table

    def take_prices(self, rows: Iterable[Ticker | BestBidOffer]) -> None:
        """Take best prices and sizes, and last prices where the rows have them."""
        with self._lock:
            for row in rows:
                place = self._rows.get(row.symbol or "")
                at = row.local_timestamp or 0
                if place is None or _is_older(at, self._prices_ns[place]):
                    continue
                figures = self._figures[place]
                figures[_BEST_AT] = (
                    _number(row.best_bid_price), _number(row.best_bid_size),
                    _number(row.best_ask_price), _number(row.best_ask_size),
                )  # fmt: skip
                self._prices_ns[place] = at
                last = row.price if isinstance(row, Ticker) else None
                if last is not None and not _is_older(at, self._last_ns[place]):
                    figures[_LAST], self._last_ns[place] = last, at

    def look(self) -> BoardView:
        """Copy the board."""
        with self._lock:
            symbols, kept = self._symbols, self._figures.copy()
            prices_ns, facts_ns = self._prices_ns.copy(), self._facts_ns.copy()
        return BoardView(symbols, _shown(kept, prices_ns, facts_ns), prices_ns, facts_ns)

    def _relist(self, symbols: tuple[str, ...]) -> None:
        # What is known of the symbols that stay is kept.
        figures = np.full((len(symbols), len(_KEPT)), np.nan)
        prices_ns, last_ns = np.zeros(len(symbols), np.int64), np.zeros(len(symbols), np.int64)
        for place, symbol in enumerate(symbols):
            old = self._rows.get(symbol)
            if old is not None:
                figures[place] = self._figures[old]
                prices_ns[place], last_ns[place] = self._prices_ns[old], self._last_ns[old]
        self._symbols, self._figures = symbols, figures
        self._prices_ns, self._last_ns = prices_ns, last_ns
        self._rows = {symbol: place for place, symbol in enumerate(symbols)}


def _is_older(at_ns: int, than_ns: int) -> bool:
    return 0 < than_ns - at_ns < _CLOCK_WAS_SET


def _are_older(at_ns: Stamps, than_ns: Stamps) -> npt.NDArray[np.bool_]:
    return (than_ns - at_ns > 0) & (than_ns - at_ns < _CLOCK_WAS_SET)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _numbers(facts: MarketFacts) -> list[float]:
    settled, left_ms = facts.next_funding_ns, facts.funding_in_ms
    return [
        _number(facts.last_price),
        _number(facts.price_change_pct),
        _number(facts.volume),
        _number(facts.turnover),
        _number(facts.mark_price),
        _number(facts.index_price),
        _number(facts.funding_rate),
        np.nan if settled is None else settled // _NS_PER_MS,
        np.nan if left_ms is None else left_ms / 1e3,
        _number(facts.open_interest),
        _number(facts.contract_multiplier),
        _number(facts.tick_size),
    ]


def _shown(kept: Figures, prices_ns: Stamps, facts_ns: Stamps) -> Figures:
    known = {name: kept[:, place] for name, place in _KEPT.items()}
    bid, ask = known["best_bid_price"], known["best_ask_price"]
    bid_size, ask_size = known["best_bid_size"], known["best_ask_size"]
    multiplier, interest = known["contract_multiplier"], known["open_interest"]
    is_inverse = multiplier < 0
    # The list may have numbers of which no figure can be made: those are missing, too.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        made = {
            # Inverse contracts settle in coins; a lot of theirs is worth its multiplier in quote.
            # So their listed turnover is in coins, and their listed volume is none.
            "volume": np.where(is_inverse, known["turnover"], known["volume"]),
            "turnover": known["turnover"] * np.where(is_inverse, known["last_price"], 1.0),
            "spread_bps": (ask - bid) / (ask / 2 + bid / 2) * 1e4,
            "imbalance": _imbalance(bid_size, ask_size),
            "basis_bps": (known["mark_price"] / known["index_price"] - 1.0) * 1e4,
            "open_interest_value": interest
            * np.where(is_inverse, -multiplier, multiplier * known["mark_price"]),
            "price_time": _in_ms(prices_ns),
            "facts_time": _in_ms(facts_ns),
        }
    all_of_them = known | made
    table = np.column_stack([all_of_them[name] for name in SHOWN])
    return np.where(np.isfinite(table), table, np.nan)


def _imbalance(bid_size: Figures, ask_size: Figures) -> Figures:
    makes_sense = (bid_size >= 0) & (ask_size >= 0)
    total = np.where(makes_sense, bid_size + ask_size, np.nan)
    return (bid_size - ask_size) / total


def _in_ms(stamps: Stamps) -> Figures:
    return np.where(stamps == 0, np.nan, stamps // _NS_PER_MS)
