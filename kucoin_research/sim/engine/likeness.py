"""Markets that are like recorded ones.

Each number of the flow is moved until a sample of the simulated market shows the recorded trait:
the method of simulated moments (McFadden 1989, doi 10.2307/1913621). Traits are spread, depth,
intensity, sizes and volatility.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import fsum, log, sqrt
from statistics import fmean
from typing import NamedTuple

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.catalog import DOLLARS, LISTINGS, Listing
from kucoin_research.sim.engine.fair_price import FairPrice
from kucoin_research.sim.engine.fundamental_value import BASES, PriceModel, coin_of
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.market_traits import TRAITS, MarketTraits, volatility, watch
from kucoin_research.sim.engine.offers import Offer

__all__ = ["Alike", "Likeness", "RecordedMarket", "listings_like"]

SECOND_NS = 1_000_000_000
# Actions of the market in each sample; 10,000 are about half a second of work.
_ROUNDS = (6_000, 6_000, 6_000, 6_000, 25_000, 25_000)
_FURTHEST = 4.0  # no number moves by a larger factor in one round
_HOPELESS = 100.0  # a trait that is further off counts as this far
_NEAR = 0.05  # a trait that is this near, as a fraction, is left as it is
_WARM_UP = 60  # seconds before a sample, as the exchange has them before its first reader
_SHORTEST, _LONGEST = 120, 14_400  # seconds of a sample
_DAY = 86_400
_STEP = 10  # seconds between looks at the activity
_UNKNOWN_COIN = PriceModel(1.0, 1.3, 0.5)
_LARGEST_BASIS = 0.05
_FEWEST_TICKS = 30  # of a price: a book of fewer has no room for its levels
_BAND = 0.75  # in roots of the ticks by which the price moves in a minute

# Bounds of the fitted numbers, so that no recording asks for a market that cannot work.
_ACTIONS_PER_SECOND = (0.02, 1_000.0)
_TRADE_SHARE = (0.002, 0.6)
_GAP = (0.5, 2_000.0)
_LEVELS = (20, 1_500)
_SPREAD = (0.5, 5_000.0)
_SIZE_SPREAD = (0.2, 3.0)
_SCALE = (0.02, 20.0)


@dataclass(frozen=True, slots=True)
class RecordedMarket:
    """A recorded market: its instrument and its traits."""

    offer: Offer
    traits: MarketTraits


class Likeness(NamedTuple):
    """One trait of a market, as recorded and as the simulated one shows it."""

    symbol: str
    trait: str
    recorded: float
    simulated: float


class Alike(NamedTuple):
    """The listings of an exchange that is like a recording, by symbol, and how like they are."""

    listings: dict[str, Listing]
    likenesses: list[Likeness]


def listings_like(
    recorded: Sequence[RecordedMarket],
    catalog: Mapping[str, Listing],
    seed: int,
    start_ns: int,
) -> Alike:
    """Make the listings of markets that are like recorded ones.

    Prices begin where the recording begins. A coin has one price for all its markets: that of the
    market in dollars with the most trades. Volatility and intensity come and go; their averages
    over as long a time as was recorded, a day at most, are near the recorded ones.

    Parameters
    ----------
    recorded
        The markets, each with its traits.
    catalog
        The other markets: those of the same coins follow their new prices.
    seed, start_ns
        Seed and beginning of the exchange.

    Returns
    -------
    Alike
        All listings, those of the catalog among them, and the traits that were recorded.
    """
    models: dict[str, PriceModel] = {}
    made: dict[str, Listing] = {}
    rows: list[Likeness] = []
    for each in sorted(recorded, key=_rank):
        known = _known(each.offer, catalog)
        listing, shown = _Fit(known, each.traits, models, seed, start_ns).run()
        if listing.price_model is not None and _is_of_the_coin(listing.quote):
            models.setdefault(coin_of(listing.base), listing.price_model)
        made[listing.symbol] = listing
        rows += _compared(listing.symbol, each.traits, shown)
    others = {symbol: _following(listing, models) for symbol, listing in catalog.items()}
    return Alike(others | made, rows)


def _rank(each: RecordedMarket) -> tuple[bool, float]:
    # Markets priced in dollars first, those with most trades before others.
    return each.offer.quote not in DOLLARS, -(each.traits.takers or 0.0)


def _is_of_the_coin(quote: str) -> bool:
    # Whether prices in this quote say what the coin is worth in dollars.
    return quote in DOLLARS or quote == "BTC"


def _known(offer: Offer, catalog: Mapping[str, Listing]) -> Listing:
    """Return the listing of an instrument: the catalog's, or a new one with a usual flow."""
    known = catalog.get(offer.symbol)
    if offer.expires is not None:
        raise InvalidInput(
            f"{offer.symbol} is a dated contract, and the simulated exchange has none: leave it "
            "out, by `symbols`"
        )
    if not offer.tick_size or not offer.lot_size:
        if known is None:
            raise InvalidInput(
                f"the recording does not describe {offer.symbol}, and the catalog does not have "
                "it: leave it out, by `symbols`"
            )
        return known
    return replace(
        _new(offer) if known is None else known,
        tick_size=_plain(offer.tick_size),
        lot_size=_plain(offer.lot_size),
        multiplier=offer.multiplier,
        is_inverse=offer.is_inverse,
    )


def _new(offer: Offer) -> Listing:
    is_futures = offer.market == "futures"
    usual = LISTINGS["KCSUSDTM" if is_futures else "KCS-USDT"]
    index = offer.index_symbol or f".K{offer.base}{offer.quote}"
    limit = offer.price_limit_rate
    return replace(
        usual,
        symbol=offer.symbol,
        base=offer.base,
        quote=offer.quote,
        settle=offer.settle or offer.quote,
        index_symbol=index if is_futures else "",
        index_decimals=len(_plain(offer.tick_size or 1.0).partition(".")[2]) + 1,
        maker_fee=usual.maker_fee if offer.maker_fee is None else offer.maker_fee,
        taker_fee=usual.taker_fee if offer.taker_fee is None else offer.taker_fee,
        funding_interval_ms=offer.funding_interval_ms or usual.funding_interval_ms,
        mmr_size=offer.mmr_size or usual.mmr_size,
        max_leverage=int(offer.max_leverage or usual.max_leverage),
        price_limit_rate=usual.price_limit_rate if limit is None else repr(limit),
    )


def _plain(step: float) -> str:
    text = f"{Decimal(repr(step)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _following(listing: Listing, models: Mapping[str, PriceModel]) -> Listing:
    # A market that was not recorded, of a coin that was.
    price, quote = models.get(coin_of(listing.base)), models.get(coin_of(listing.quote))
    if listing.is_quiet or (price is None and quote is None):
        return listing
    return replace(listing, price_model=price, quote_model=quote)


class _Fit:
    """Moves the numbers of one market's flow until its sample shows the recorded traits."""

    def __init__(
        self,
        listing: Listing,
        traits: MarketTraits,
        models: Mapping[str, PriceModel],
        seed: int,
        start_ns: int,
    ) -> None:
        self._traits = traits
        self._seed = seed
        self._start_ns = start_ns
        coin = coin_of(listing.base)
        # Else another market has set the price of the coin.
        self._leads = coin not in models or not _is_of_the_coin(listing.quote)
        model = models.get(coin) or BASES.get(coin, _UNKNOWN_COIN)
        if traits.price is not None and traits.price < _FEWEST_TICKS * float(listing.tick_size):
            raise InvalidInput(
                f"the price of {listing.symbol}, {traits.price:g}, is less than {_FEWEST_TICKS} "
                f"ticks of {listing.tick_size}: leave it out, by `symbols`"
            )
        quote = models.get(coin_of(listing.quote))
        listing = replace(listing, price_model=model, quote_model=quote, is_quiet=False)
        self._listing = _guessed(listing, traits)

    def run(self) -> tuple[Listing, MarketTraits]:
        """Return the market, and the traits of its sample."""
        found: list[tuple[float, Listing, MarketTraits]] = []
        for actions in _ROUNDS:
            self._place()
            shown = self._sample(actions)
            found.append((_distance(self._traits, shown), self._listing, shown))
            better = self._nearer(shown)
            if better == self._listing and actions == max(_ROUNDS):
                break
            self._listing = better
        _, self._listing, shown = min(found, key=lambda each: each[0])
        volume = max(1, round((shown.volume or 0.0) / float(self._listing.lot_size)))
        return replace(self._listing, volume_per_minute=volume), shown

    def _place(self) -> None:
        # Let the price begin where the recording does: by the coin's price, or else by the basis.
        price, listing = self._traits.price, self._listing
        if price is None:
            return
        factor = price / FairPrice(listing, self._seed).at(self._start_ns // 1_000_000)
        if self._leads:
            model = listing.price_model
            assert model is not None
            model = replace(model, start_price=model.start_price * factor)
            self._listing = replace(listing, price_model=model)
        elif abs(factor - 1.0) < _LARGEST_BASIS:
            self._listing = replace(listing, basis=(1.0 + listing.basis) * factor - 1.0)

    def _sample(self, actions: int) -> MarketTraits:
        # What the market shows, scaled from the time of the sample to that of the recording.
        traits, listing = self._traits, self._listing
        flow = listing.flow
        seconds = int(max(_SHORTEST, min(_LONGEST, actions / flow.actions_per_second)))
        market = Market(listing, self._seed, self._start_ns)
        market.advance(self._start_ns + _WARM_UP * SECOND_NS)
        shown = watch(market, seconds, levels=traits.levels, lag=traits.lag)
        whole = min(_DAY, max(_SHORTEST, int(traits.seconds)))
        fair = FairPrice(listing, self._seed)
        begin = self._start_ns // SECOND_NS + _WARM_UP
        (pace, moves), (own_pace, own_moves) = (
            _course(fair, begin, length) for length in (whole, seconds)
        )
        pace, moves = pace / own_pace, moves / own_moves
        return replace(
            shown,
            volatility=_times(shown.volatility, moves),
            book_changes=_times(shown.book_changes, pace),
            takers=_times(shown.takers, pace),
            volume=_times(shown.volume, pace),
        )

    def _nearer(self, shown: MarketTraits) -> Listing:
        # The same market with each number moved by the part that its trait lacks.
        traits, listing, flow = self._traits, self._listing, self._listing.flow
        pace = _ratio(traits.book_changes, shown.book_changes)
        orders = _ratio(traits.takers, shown.takers)
        if traits.book_changes is None:
            pace = orders
        # More orders are nearer to each other. Smaller gaps bring them nearer, too, but where the
        # gaps are small beside the width most orders stand nearer than its end, and larger ones
        # fill it.
        wider = sqrt(_ratio(traits.width, shown.width))
        levels = round(_within(flow.levels / wider, _LEVELS))
        is_crowded = flow.gap_ticks * 4.0 * float(listing.tick_size) < (shown.width or 0.0)
        gap = _within(flow.gap_ticks / wider if is_crowded else flow.gap_ticks * wider, _GAP)
        spread = flow.trade_spread
        if traits.size_spread is not None and shown.size_spread is not None:
            spread = _within(spread + traits.size_spread - shown.size_spread, _SIZE_SPREAD)
        flow = replace(
            flow,
            actions_per_second=_within(flow.actions_per_second * pace, _ACTIONS_PER_SECOND),
            trade_share=_within(flow.trade_share * orders / pace, _TRADE_SHARE),
            levels=levels,
            spread_ticks=_within(flow.spread_ticks * _ratio(traits.spread, shown.spread), _SPREAD),
            order_size=max(1, round(flow.order_size * _ratio(traits.depth, shown.depth))),
            trade_size=max(1, round(flow.trade_size * _ratio(traits.taker_size, shown.taker_size))),
            trade_spread=spread,
            gap_ticks=gap,
        )
        model = listing.price_model
        if self._leads and model is not None:
            scale = _within(model.scale * _ratio(traits.volatility, shown.volatility), _SCALE)
            model = replace(model, scale=scale)
        return replace(listing, flow=flow, price_model=model)


def _course(fair: FairPrice, begin: int, seconds: int) -> tuple[float, float]:
    """Return the mean activity and the volatility of a fair price over some time."""
    activities, prices = [], {}
    for second in range(begin, begin + seconds, _STEP):
        fair.ticks(second * 1_000)
        activities.append(fair.activity)
        prices[second // _STEP] = fair.at(second * 1_000)
    return fmean(activities), volatility(prices, 1) or 1.0


def _guessed(listing: Listing, traits: MarketTraits) -> Listing:
    # A flow to begin with: that of the listing, in the recorded units of price and size.
    tick, lot, flow = float(listing.tick_size), float(listing.lot_size), listing.flow
    rate = traits.book_changes
    if rate is None and traits.takers is not None:
        rate = traits.takers / 60.0 / flow.trade_share
    # In a book of which only the best is known, all distances grow with the spread.
    gap = flow.gap_ticks * max(1.0, (traits.spread or 0.0) / tick / flow.spread_ticks)
    if traits.width is not None and traits.levels > 1:
        gap = _within(traits.width / tick / (traits.levels - 1), _GAP)
    size = None if traits.depth is None else traits.depth / traits.levels / lot
    band = flow.band_ticks
    if traits.volatility and traits.price:
        # As in the catalog: makers follow the price at once where it moves by few ticks.
        band = max(1.0, _BAND * sqrt(traits.volatility * traits.price / tick))
    return replace(
        listing,
        start_price=traits.price or listing.start_price,
        flow=replace(
            flow,
            actions_per_second=_within(rate or flow.actions_per_second, _ACTIONS_PER_SECOND),
            gap_ticks=gap,
            band_ticks=band,
            spread_ticks=_within((traits.spread or flow.spread_ticks * tick) / tick, _SPREAD),
            order_size=max(1, round(size or flow.order_size)),
            trade_size=max(1, round((traits.taker_size or flow.trade_size * lot) / lot)),
        ),
    )


def _distance(recorded: MarketTraits, shown: MarketTraits) -> float:
    """Return how far a market is from a recorded one: the sum of its traits' logarithmic errors."""
    pairs = [(each.recorded, each.simulated) for each in _compared("", recorded, shown)]
    return fsum(
        abs(log(max(found, wanted / _HOPELESS) / wanted)) for wanted, found in pairs if wanted > 0
    )


def _compared(symbol: str, recorded: MarketTraits, shown: MarketTraits) -> Iterable[Likeness]:
    for name in TRAITS:
        wanted, found = getattr(recorded, name), getattr(shown, name)
        if wanted is not None and found is not None:
            yield Likeness(symbol, name, wanted, found)


def _ratio(wanted: float | None, found: float | None) -> float:
    """Return by what to multiply; 1 for a trait that is not known, or near enough."""
    if wanted is None or found is None or wanted == found:
        return 1.0
    if wanted <= 0 or found <= 0:
        return _FURTHEST if wanted > found else 1.0 / _FURTHEST
    ratio = _within(wanted / found, (1.0 / _FURTHEST, _FURTHEST))
    return 1.0 if abs(log(ratio)) < _NEAR else ratio


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _within(value: float, bounds: tuple[float, float]) -> float:
    return max(bounds[0], min(bounds[1], value))
