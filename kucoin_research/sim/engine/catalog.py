"""The instruments of the simulated exchange: their facts, and the order flow of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from kucoin_research.sim.engine.fundamental_value import PriceModel
from kucoin_research.sim.engine.risk_tiers import RiskTier, risk_tiers

__all__ = ["DOLLARS", "HOUR_MS", "IMR_FACTOR", "LISTINGS", "MMR_LIMIT", "Flow", "Listing"]

HOUR_MS = 3_600_000
#: Quotes that are worth a dollar.
DOLLARS = frozenset({"USDT", "USDC", "USD"})
#: The highest maintenance margin of cross margin, a fraction of the value.
MMR_LIMIT = Decimal("0.3")
IMR_FACTOR = Decimal("1.3")


@dataclass(frozen=True, slots=True)
class Flow:
    """The order flow of one market: prices in ticks, sizes in units of the lot size.

    Parameters
    ----------
    actions_per_second
        Average number of actions per second; most change one or two levels.
    trade_share
        Fraction of actions that take liquidity, in quiet times.
    levels
        Number of price levels that each side tends to hold.
    gap_ticks
        Average distance between neighbouring levels near the touch.
    spread_ticks
        Widest spread that market makers do not narrow.
    band_ticks
        Distance that the fair price moves before market makers follow it.
    order_size, trade_size
        Medians of the heavy-tailed sizes of resting and of taking orders.
    round_ticks
        People prefer prices that are multiples of this; large orders stand there.
    parent_tail
        Exponent of the tail of the number of orders into which a large one is split.
    impact
        Factor Y of the square-root law: an order moves the fair price at first by Y times the
        volatility of a minute times the root of its share of a minute's volume.
    thinning
        How much less market makers offer in volatile times: the power of the activity.
    reaction_ms
        Time in which the fastest traders react to a trade, in ms.
    race
        Probability that a trade is followed by such a reaction.
    trade_spread
        Standard deviation of the logarithm of the sizes of taking orders.
    """

    actions_per_second: float
    trade_share: float
    levels: int
    gap_ticks: float
    spread_ticks: float
    band_ticks: float
    order_size: int
    trade_size: int
    round_ticks: int
    parent_tail: float = 1.4
    impact: float = 0.25
    thinning: float = 0.7
    reaction_ms: float = 3.0
    race: float = 0.8
    trade_spread: float = 1.6

    @property
    def trades_per_minute(self) -> float:
        """Average number of taking orders in a minute, but for those that follow the price."""
        return 60.0 * self.actions_per_second * self.trade_share


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument: the facts that KuCoin publishes, and the order flow of its simulation.

    Its fields are those of the exchange's instrument lists, hence their number.

    ``tick_size`` and ``lot_size`` are decimal text. A unit of size is one lot on futures and one
    ``lot_size`` of base coins on spot. ``multiplier`` is in base coins per lot: -1 on inverse
    contracts, 1 on spot. ``volume_per_minute`` is the average volume of this flow in units, as
    measured: synthetic history uses it. ``basis`` and ``basis_noise`` are the mean and the spread
    of the distance of fair price from index, as fractions of the index. ``mmr_size``, in base
    coins, is how slowly the maintenance margin of cross margin grows. ``price_limit_rate`` is
    decimal text: how far the price of an order may lie beyond the mark price on futures, beyond the
    best price on spot. ``risk_limit`` is the highest value of a position in the first risk tier, in
    the settlement currency. ``is_quiet`` marks the synthetic contracts, which share their noises
    and their tables; the price of one wanders by about ``swing`` over days, a fraction.
    ``price_model`` and ``quote_model`` are those of the base coin and of a quote that is a coin;
    None for the usual ones. ``number`` is its own among all listings: it keeps their order ids
    apart.
    """

    symbol: str
    market: Literal["futures", "spot"]
    base: str
    quote: str
    settle: str
    tick_size: str
    lot_size: str
    multiplier: float
    start_price: float
    flow: Flow
    volume_per_minute: int
    is_inverse: bool = False
    index_symbol: str = ""
    index_decimals: int = 2
    maker_fee: float = 0.0002
    taker_fee: float = 0.0006
    funding_interval_ms: int = 8 * HOUR_MS
    basis: float = 0.0
    basis_noise: float = 0.00004
    open_interest: int = 0
    max_leverage: int = 100
    mmr_size: float = 300.0
    price_limit_rate: str = "0.05"
    zone: str = "USDS"
    risk_limit: int = 100_000
    is_quiet: bool = False
    swing: float = 0.0
    price_model: PriceModel | None = None
    quote_model: PriceModel | None = None
    number: int = 0

    @property
    def risk_tiers(self) -> tuple[RiskTier, ...]:
        """The tiers of isolated margin, lowest first; futures only."""
        return risk_tiers(self.max_leverage, self.risk_limit)

    def risk_tier(self, value: Decimal) -> RiskTier | None:
        """Return the lowest tier that holds a position of a value; None above the highest."""
        return next((tier for tier in self.risk_tiers if abs(value) <= tier.limit), None)

    @property
    def cross_risk_limit(self) -> int:
        """The highest value of a position in cross margin, in the settlement currency."""
        return self.risk_limit * (100 if self.is_inverse else 1_000)

    def cross_maintenance(self, coins: Decimal) -> Decimal:
        """Return the maintenance margin of a position in cross margin, a fraction of its value.

        It grows with the size in base coins (trading reference, section 4.3).
        """
        growth = 1 + coins / Decimal(repr(self.mmr_size))
        return min(MMR_LIMIT, growth / (2 * self.max_leverage))

    def cross_initial(self, coins: Decimal, leverage: Decimal) -> Decimal:
        """Return the initial margin of a position in cross margin, a fraction of its value.

        It is at least the row's ``f`` times the maintenance margin. (trading reference, 4.3)
        """
        return max(1 / leverage, IMR_FACTOR * self.cross_maintenance(coins))

    def price_limits(self, reference: Decimal) -> tuple[Decimal, Decimal]:
        """Return the lowest price of a sell order and the highest one of a buy order.

        On futures they are whole ticks, as in KuCoin's rows.
        """
        rate = Decimal(self.price_limit_rate)
        lowest, highest = reference * (1 - rate), reference * (1 + rate)
        if self.market == "spot":
            return lowest, highest
        tick = Decimal(self.tick_size)
        return round(lowest / tick) * tick, round(highest / tick) * tick

    @property
    def price_decimals(self) -> int:
        """Digits after the point in a price."""
        return _decimals(self.tick_size)

    @property
    def size_decimals(self) -> int:
        """Digits after the point in a size."""
        return _decimals(self.lot_size)

    @property
    def tick_units(self) -> int:
        """Tick size as an integer of ``10 ** -price_decimals``."""
        return int(Decimal(self.tick_size).scaleb(self.price_decimals))

    @property
    def lot_units(self) -> int:
        """Lot size as an integer of ``10 ** -size_decimals``."""
        return int(Decimal(self.lot_size).scaleb(self.size_decimals))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _by_symbol(*listings: Listing) -> dict[str, Listing]:
    numbered = (replace(listing, number=at) for at, listing in enumerate(listings, 1))
    return {listing.symbol: listing for listing in numbered}


def _perpetual(symbol: str, base: str, tick: str, multiplier: float, **facts: Any) -> Listing:
    return Listing(
        symbol,
        "futures",
        base,
        facts.pop("quote", "USDT"),
        facts.pop("settle", "USDT"),
        tick,
        "1",
        multiplier,
        **({"basis": -0.00045, "basis_noise": 0.00018} | facts),
    )


def _spot(base: str, quote: str, tick: str, lot: str, **facts: Any) -> Listing:
    symbol = f"{base}-{quote}"
    usual: dict[str, Any] = {"maker_fee": 0.001, "taker_fee": 0.001, "price_limit_rate": "0.1"}
    # An index is at least as fine as the prices, or that of a cheap coin would be zero.
    usual["index_decimals"] = max(2, _decimals(tick))
    return Listing(symbol, "spot", base, quote, quote, tick, lot, 1.0, **(usual | facts))


_XBTUSDTM = _perpetual(
    "XBTUSDTM",
    "XBT",
    "0.1",
    0.001,
    start_price=86_200.0,
    index_symbol=".KXBTUSDT",
    flow=Flow(62.0, 0.05, 1_000, 3.0, 1, 16.0, 240, 9, 100),
    volume_per_minute=11_700,
    open_interest=6_748_176,
    max_leverage=125,
)

LISTINGS: dict[str, Listing] = _by_symbol(
    _XBTUSDTM,
    _perpetual(
        "ETHUSDTM",
        "ETH",
        "0.01",
        0.01,
        start_price=2_750.0,
        index_symbol=".KETHUSDT",
        flow=Flow(36.0, 0.05, 600, 3.0, 1, 12.0, 200, 12, 100),
        volume_per_minute=7_600,
        open_interest=5_210_400,
        mmr_size=4_110.0,
    ),
    _perpetual(
        "SOLUSDTM",
        "SOL",
        "0.001",
        0.1,
        start_price=142.0,
        index_symbol=".KSOLUSDT",
        index_decimals=3,
        flow=Flow(18.0, 0.05, 400, 3.0, 3, 9.0, 150, 10, 100),
        volume_per_minute=2_500,
        open_interest=2_870_000,
        max_leverage=75,
        mmr_size=40_000.0,
    ),
    _perpetual(
        "DOGEUSDTM",
        "DOGE",
        "0.00001",
        100.0,
        start_price=0.21,
        index_symbol=".KDOGEUSDT",
        index_decimals=6,
        flow=Flow(10.0, 0.05, 300, 1.5, 1, 2.0, 90, 8, 100),
        volume_per_minute=1_000,
        open_interest=1_460_000,
        max_leverage=75,
        mmr_size=20_000_000.0,
    ),
    _perpetual(
        "SHIBUSDTM",  # a coin that costs a hundred-thousandth
        "SHIB",
        "0.000000001",
        100_000.0,
        start_price=0.00000812,
        index_symbol=".KSHIBUSDT",
        index_decimals=10,
        flow=Flow(6.0, 0.05, 200, 1.5, 2, 2.0, 90, 8, 10),
        volume_per_minute=570,
        open_interest=412_000,
        max_leverage=50,
        mmr_size=300_000_000_000.0,
    ),
    _perpetual(
        "KCSUSDTM",
        "KCS",
        "0.001",
        0.1,
        start_price=11.6,
        index_symbol=".KKCSUSDT",
        index_decimals=4,
        flow=Flow(1.6, 0.05, 90, 2.5, 6, 3.0, 120, 20, 100),
        volume_per_minute=290,
        funding_interval_ms=4 * HOUR_MS,
        open_interest=184_000,
        max_leverage=20,
        mmr_size=50_000.0,
    ),
    replace(
        _XBTUSDTM,
        symbol="XBTUSDCM",
        quote="USDC",
        settle="USDC",
        index_symbol=".KXBTUSDC",
        flow=Flow(8.0, 0.04, 200, 6.0, 6, 30.0, 60, 5, 100),
        volume_per_minute=550,
        open_interest=96_300,
    ),
    _perpetual(
        "XBTUSDM",
        "XBT",
        "0.1",
        -1.0,
        start_price=86_200.0,
        quote="USD",
        settle="XBT",
        is_inverse=True,
        index_symbol=".BXBT",
        flow=Flow(8.0, 0.04, 250, 6.0, 4, 30.0, 3_000, 400, 100),
        volume_per_minute=42_000,
        open_interest=31_200_000,
        max_leverage=125,
        risk_limit=1,
    ),
    _spot(
        "BTC",
        "USDT",
        "0.1",
        "0.00000001",
        start_price=86_200.0,
        flow=Flow(50.0, 0.05, 700, 3.0, 1, 16.0, 12_000_000, 400_000, 100),
        volume_per_minute=470_000_000,
    ),
    _spot(
        "ETH",
        "USDT",
        "0.01",
        "0.0000001",
        start_price=2_750.0,
        flow=Flow(30.0, 0.05, 500, 3.0, 1, 12.0, 25_000_000, 900_000, 100),
        volume_per_minute=530_000_000,
    ),
    _spot(
        "KCS",
        "USDT",
        "0.001",
        "0.0001",
        start_price=11.6,
        index_decimals=4,
        flow=Flow(2.0, 0.05, 120, 2.5, 5, 3.0, 900_000, 120_000, 100),
        volume_per_minute=2_400_000,
    ),
    _spot(
        "SHIB",
        "USDT",
        "0.000000001",
        "1",
        start_price=0.00000812,
        index_decimals=10,
        flow=Flow(3.0, 0.05, 150, 1.5, 2, 2.0, 4_000_000, 300_000, 10),
        volume_per_minute=12_000_000,
    ),
    _spot(
        "ETH",
        "BTC",
        "0.00001",
        "0.0000001",
        start_price=0.0319,
        index_decimals=7,
        flow=Flow(2.0, 0.04, 110, 1.0, 1, 1.0, 9_000_000, 800_000, 10),
        volume_per_minute=18_000_000,
        zone="BTC",
    ),
)
