"""What a paper taker took is missing until the recorded level changes, and not any longer."""

import polars as pl

import kucoin_research as kr
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import Level2, schema_of

START = 1_767_571_200_000_000_000
CONTRACT = Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=0.001, maker_fee=0.0002, taker_fee=0.0006,
)  # fmt: skip


def level(number, price, size, *, side="sell", is_snapshot=False):
    when = START + number * 1_000_000_000
    return Level2(when, when, "XBTUSDTM", number, is_snapshot, side, price, size)


def bought(shown_later, *sizes):
    """The fills of market orders, each sent on the next change: price and size."""
    rows = [
        level(0, 99.0, 10.0, side="buy", is_snapshot=True),
        level(0, 100.0, 10.0, is_snapshot=True),
        level(0, 101.0, 50.0, is_snapshot=True),
        level(1, 90.0, 1.0, side="buy"),
        level(2, *shown_later),
    ]
    waiting = list(sizes)

    def strategy(record, broker):
        if not record.is_snapshot:
            broker.buy(waiting.pop(0))

    frame = pl.DataFrame(rows, schema=schema_of(Level2), orient="row")
    result = kr.backtest(
        strategy, {"level2": frame}, latency=0.0, instruments=CONTRACT, progress=False
    )
    return result.fills.select("price", "size").rows()


def test_taken_size_is_missing_while_the_level_stays_as_it_was():
    assert bought((102.0, 1.0), 6, 8) == [(100.0, 6.0), (100.0, 4.0), (101.0, 4.0)]


def test_taken_size_is_forgotten_once_the_level_has_changed():
    assert bought((100.0, 7.0), 6, 8) == [(100.0, 6.0), (100.0, 7.0), (101.0, 1.0)]
