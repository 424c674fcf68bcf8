"""Another market that could have been: prices turned upside down and moved far, sizes drawn anew.

Each price becomes ``total - price``, with one total per symbol, so that rises become falls, a bid
becomes an ask below all the other bids' asks, and a low a high. Prices stay on the grid of ticks,
spreads and the book's levels keep their distances, and times and sequences stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.model.instruments import Instrument
from kucoin_research.strategy.held_data import Rows

__all__ = ["Mirror", "mirrored", "mirrors_of", "unchanged_columns"]

#: The channels whose rows are changed.
_MARKET = frozenset(
    {"ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50"}
    | {"mark_price", "funding_rate", "snapshot"}
)
_LEVELS = range(1, 6)
_PRICES = frozenset(
    {"price", "open", "high", "low", "close", "best_bid_price", "best_ask_price"}
    | {"mark_price", "index_price", "last_price"}
    | {f"{side}_price_{level}" for side in ("bid", "ask") for level in _LEVELS}
)
_SIZES = frozenset(
    {"size", "best_bid_size", "best_ask_size"}
    | {f"{side}_size_{level}" for side in ("bid", "ask") for level in _LEVELS}
)
_VOLUMES = frozenset({"volume", "turnover"})
_NEGATED = frozenset({"funding_rate", "price_change", "price_change_pct"})
_LISTS = frozenset({"bid_prices", "ask_prices", "bid_sizes", "ask_sizes"})
_KEPT = frozenset(
    {"timestamp", "local_timestamp", "symbol", "sequence", "trade_id", "side", "interval"}
    | {"is_snapshot", "granularity_ms"}
)
_OTHER_SIDE = {"buy": "sell", "sell": "buy"}
#: How far prices are moved besides, as a fraction of the lowest or highest, and sizes multiplied.
_SHIFT, _GROWTH = (0.2, 0.4), (0.3, 3.0)
_MOST_DOWN = 0.9
_TICK = 1e-8


class Mirror(NamedTuple):
    """How one symbol's rows are changed.

    Attributes
    ----------
    total
        The sum of a price and the price that takes its place.
    decimals
        Of prices.
    lot
        The smallest step of sizes.
    """

    total: float
    decimals: int
    lot: float


def mirrors_of(
    tables: Iterable[Rows], instruments: Mapping[str, Instrument], seed: int, *, is_up: bool
) -> dict[str, Mirror]:
    """Choose a mirror for each symbol.

    Every price that takes another's place is above all prices there are (``is_up``), or below them
    as far as prices above zero allow: of rows that follow, the first one is a jump either way.
    """
    draw = np.random.default_rng([seed, int(is_up)])
    mirrors = {}
    for symbol, (low, high) in sorted(_ranges(tables).items()):
        facts = instruments.get(symbol)
        tick = _TICK if facts is None or not facts.tick_size else facts.tick_size
        lot = _TICK if facts is None or not facts.lot_size else facts.lot_size
        part = draw.uniform(*_SHIFT)
        if is_up:
            shift = high - low + part * high
        else:
            shift = -min(high - low + part * low, _MOST_DOWN * low)
        decimals = _decimals(tick)
        total = low + high + round(shift / tick) * tick
        mirrors[symbol] = Mirror(round(total, decimals), decimals, lot)
    return mirrors


def _ranges(tables: Iterable[Rows]) -> dict[str, tuple[float, float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for rows in tables:
        if rows.channel not in _MARKET:
            continue
        plain = [pl.col(name) for name in rows.frame.columns if name in _PRICES]
        listed = [
            pl.col(name).explode()
            for name in rows.frame.columns
            if name in _LISTS and name.endswith("prices")
        ]
        for each in (*plain, *listed):
            ends = (
                rows.frame.lazy()
                .group_by(pl.col("symbol").cast(pl.String))
                .agg(each.min().alias("low"), each.max().alias("high"))
                .collect()
            )
            for symbol, low, high in ends.iter_rows():
                found[symbol] += [end for end in (low, high) if end is not None and end > 0]
    return {symbol: (min(ends), max(ends)) for symbol, ends in found.items() if ends}


def _decimals(tick: float) -> int:
    exponent = Decimal(repr(tick)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def unchanged_columns(rows: Rows) -> list[str]:
    """List the columns that ``mirrored`` leaves as they are although it should not."""
    if rows.channel not in _MARKET:
        return [] if rows.channel == "status" else list(rows.frame.columns)
    known = _PRICES | _SIZES | _VOLUMES | _NEGATED | _LISTS | _KEPT
    return [name for name in rows.frame.columns if name not in known]


def mirrored(rows: Rows, mirrors: Mapping[str, Mirror], seed: int) -> pl.DataFrame:
    """Return the rows of the other market, with the same columns and types."""
    frame = rows.frame
    if rows.channel not in _MARKET or not frame.height or not mirrors:
        return frame
    draw = np.random.default_rng([seed, *str(rows.key).encode()])
    schema = frame.schema
    helped = frame.with_columns(
        __growth=pl.Series(draw.uniform(*_GROWTH, frame.height)),
        **{
            f"__{name}": pl.col("symbol")
            .cast(pl.String)
            .replace_strict(
                {symbol: getattr(each, name) for symbol, each in mirrors.items()},
                default=None,
                return_dtype=pl.Float64,
            )
            for name in ("total", "lot")
        },
    )
    decimals = max((each.decimals for each in mirrors.values()), default=8)
    columns = [
        _column(name, frame.columns, decimals).cast(kind).alias(name)
        for name, kind in schema.items()
        if name not in _LISTS
    ]
    made = helped.select(columns)
    lists = [name for name in frame.columns if name in _LISTS]
    if lists:
        made = made.with_columns(_listed(helped, name, decimals) for name in lists)
    return made.select(frame.columns)


def _partner(name: str, names: Iterable[str]) -> str:
    """Name the column whose values take the place of another's: bids for asks, lows for highs."""
    for one, other in (("bid", "ask"), ("ask", "bid"), ("high", "low"), ("low", "high")):
        if name == one or f"{one}_" in name:
            found = name.replace(one, other)
            return found if found in names else name
    return name


def _column(name: str, names: Iterable[str], decimals: int) -> pl.Expr:
    value = pl.col(_partner(name, names))
    if name in _PRICES:
        return (pl.col("__total") - value).round(decimals)
    if name in _SIZES:
        lots = (value * pl.col("__growth") / pl.col("__lot")).ceil()
        return (lots * pl.col("__lot")).round(8)
    if name in _VOLUMES:
        return value * pl.col("__growth")
    if name in _NEGATED:
        return -value
    if name == "side":
        return value.cast(pl.String).replace(_OTHER_SIDE)
    return pl.col(name)


def _listed(helped: pl.DataFrame, name: str, decimals: int) -> pl.Series:
    values = helped[_partner(name, helped.columns)].to_list()
    if name.endswith("prices"):
        changed = [
            each and [round(total - price, decimals) for price in each]
            for each, total in zip(values, helped["__total"], strict=True)
        ]
    else:
        changed = [
            each and [size * growth for size in each]
            for each, growth in zip(values, helped["__growth"], strict=True)
        ]
    return pl.Series(name, changed, dtype=helped.schema[name])
