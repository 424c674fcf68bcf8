"""Small recordings made by hand, and the orders that meet them, for tests of the paper exchange.

Times are seconds from ``START``. Records are written as KuCoin would push them; ``tape`` sorts them
into frames by channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model import records as kinds
from kucoin_research.model.instruments import Instrument
from kucoin_research.strategy.orders import Order
from kucoin_research.strategy.result import Result

SECOND = 1_000_000_000
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
HOUR = 3_600

#: 0.001 BTC a contract.
XBT = Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=0.001, maker_fee=0.0002, taker_fee=0.0006,
)  # fmt: skip
#: One coin a contract and no fees, so that the arithmetic is the price's.
UNIT = Instrument(
    symbol="UNIUSDTM", market="futures", base="UNI", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=1.0, maker_fee=0.0, taker_fee=0.0,
)  # fmt: skip
#: One dollar a contract, paid in Bitcoin.
INVERSE = Instrument(
    symbol="XBTUSDM", market="futures", base="XBT", quote="USD", settle="XBT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=-1.0, is_inverse=True, maker_fee=0.0, taker_fee=0.0,
)  # fmt: skip
SPOT = Instrument(
    symbol="BTC-USDT", market="spot", base="BTC", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=0.00000001, min_size=0.00001, min_funds=0.1, maker_fee=0.001, taker_fee=0.001,
)  # fmt: skip
INSTRUMENTS = (XBT, UNIT, INVERSE, SPOT)

U = UNIT.symbol
Action = Callable[[Any], Any]


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


# -- records ---------------------------------------------------------------------------------------


def depth50(when, bids=(), asks=(), symbol=U):
    sides = [tuple(each[at] for each in side) for side in (bids, asks) for at in (0, 1)]
    return kinds.Depth50(at(when), at(when), symbol, None, *sides)


def depth5(when, bids=(), asks=(), symbol=U):
    def column(side, place):
        values = [float(each[place]) for each in side]
        return values + [None] * (5 - len(values))

    columns = [value for side in (bids, asks) for at in (0, 1) for value in column(side, at)]
    return kinds.Depth5(at(when), at(when), symbol, None, *columns)


def bbo(when, bid=(99.9, 100), ask=(100.1, 100), symbol=U):
    return kinds.BestBidOffer(
        at(when), at(when), symbol, None, *(bid or (None, None)), *(ask or (None, None))
    )


def ticker(when, price, size, side, bid, ask, sequence=None, symbol=U):
    return kinds.Ticker(at(when), at(when), symbol, sequence, price, size, side, *bid, *ask)


def trade(when, side, price, size=1, symbol=U):
    return kinds.Trade(at(when), at(when), symbol, None, None, side, price, size)


def mark(when, price, index=None, symbol=U):
    return kinds.MarkPrice(at(when), at(when), symbol, price, index)


def settlement(when, rate, symbol=U, arrived=None):
    """Make the announcement of a funding, or of its end."""
    local = at(when if arrived is None else arrived)
    return kinds.FundingRate(at(when), local, symbol, rate, None)


def estimate(when, rate, symbol=U):
    return kinds.FundingRate(at(when), at(when), symbol, rate, 4 * HOUR * 1_000)


def level(when, side, price, size, sequence, is_snapshot=False, symbol=U):
    return kinds.Level2(at(when), at(when), symbol, sequence, is_snapshot, side, price, size)


def candle(minute, open, high, low, close, volume=1_000.0, symbol=U):  # noqa: A002 - the column
    """Make the closed candle of a minute, which arrives a minute later."""
    return kinds.Candle(
        at(60 * minute), at(60 * minute + 60), symbol, "1min", open, high, low, close, volume, None
    )


def gap(began, ended, channel="depth50", symbol=U):
    return kinds.Status(at(began), at(ended), symbol, "gap", channel, None, None, None)


def disconnected(when):
    return kinds.Status(at(when), at(when), None, "disconnected", None, None, None, None)


def tape(*rows):
    """Sort records into frames, one per channel."""
    names = {kind: name for name, kind in kinds.CHANNELS.items()}
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(names[type(row)], []).append(row)
    return {
        name: pl.DataFrame(
            list(map(list, of)), schema=kinds.schema_of(type(of[0])), orient="row", strict=False
        )
        for name, of in found.items()
    }


# -- runs ------------------------------------------------------------------------------------------


@dataclass
class Script:
    """A strategy that does things at times: at the first record that arrives by then or later."""

    actions: Mapping[float, Action]
    orders: list[Order] = field(default_factory=list)
    done: set[float] = field(default_factory=set)
    broker: Any = None

    def __call__(self, record: Any, broker: Any) -> None:
        self.broker = broker
        for when, action in self.actions.items():
            if when not in self.done and broker.now >= at(when):
                self.done.add(when)
                made = action(broker)
                self.orders += [each for each in _listed(made) if isinstance(each, Order)]


def _listed(made: Any) -> list[Any]:
    return list(made) if isinstance(made, list | tuple) else [made]


class Played(NamedTuple):
    """What a script has come to."""

    orders: list[Order]
    result: Result
    broker: Any

    @property
    def fills(self):
        return [(each["order_id"], each["size"], each["price"]) for each in rows(self.result.fills)]

    @property
    def liquidity(self):
        return self.result.fills["liquidity"].to_list()


def rows(frame):
    return list(frame.iter_rows(named=True))


def play(records, actions, **options):
    """Play records to a script, without latency and with much cash unless it is said otherwise."""
    script = Script(actions)
    chosen = {"cash": 1e6, "latency": 0, "instruments": INSTRUMENTS, "progress": False, **options}
    result = kr.backtest(script, records if isinstance(records, dict) else tape(*records), **chosen)
    return Played(script.orders, result, script.broker)


# -- cases -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case: records, orders at times, and what must come of them; what is None is not compared.

    Attributes
    ----------
    fills
        (order, size, price) in order; orders count from 1, and 0 is a liquidation.
    status, reasons
        Of the orders, in the order in which they were sent; of a reason, a part.
    cash, equity
        At the end.
    """

    name: str
    records: list[Any]
    orders: Mapping[float, Action]
    fills: list[tuple[int, float, float]] | None = None
    liquidity: list[str] | None = None
    fees: float | None = None
    status: list[str] | None = None
    reasons: list[str | None] | None = None
    position: float | None = None
    entry: float | None = None
    realised: float | None = None
    funding: list[float] | None = None
    pnl: list[float] | None = None
    cash: float | None = None
    equity: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def check(case: Case) -> None:
    """Play a case, and compare what it names."""
    played = play(case.records, case.orders, **case.options)
    result, symbol = played.result, played.orders[0].symbol
    position = played.broker.position(symbol)
    if case.fills is not None:
        _same([value for each in played.fills for value in each], case.fills, "fills")
        assert len(played.fills) == len(case.fills), played.fills
    if case.liquidity is not None:
        assert played.liquidity == case.liquidity
    if case.status is not None:
        assert [str(each.status) for each in played.orders] == case.status
    if case.reasons is not None:
        for order, part in zip(played.orders, case.reasons, strict=True):
            assert order.reason is None if part is None else part in (order.reason or "")
    last = rows(result.equity)[-1]
    for name, expected, found in (
        ("fees", case.fees, result.fills["fee"].sum()),
        ("position", case.position, position.size),
        ("entry", case.entry, position.entry_price),
        ("realised", case.realised, position.realised),
        ("cash", case.cash, last["cash"]),
        ("equity", case.equity, last["equity"]),
    ):
        if expected is not None:
            _same([found], [expected], name)
    if case.funding is not None:
        _same(result.funding["amount"].to_list(), case.funding, "funding")
    if case.pnl is not None:
        _same(result.trades["pnl"].to_list(), case.pnl, "pnl")


def _same(found: list[Any], expected: Any, name: str) -> None:
    flat = [value for each in expected for value in (each if isinstance(each, tuple) else (each,))]
    assert found == pytest.approx(flat, rel=1e-12, abs=1e-12), name


def cases(*each: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in each])
