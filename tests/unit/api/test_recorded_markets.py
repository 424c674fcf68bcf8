"""What the markets of a recording were like: by rows whose answer is known."""

import pytest

import kucoin_research as kr
from kucoin_research.api.recorded_markets import recorded_markets
from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import (
    BestBidOffer,
    Depth5,
    Depth50,
    Level2,
    Status,
    Trade,
)
from kucoin_research.sessions.writing.recorder import Recorder
from tests.unit.rows import NOON

SECOND = 10**9
XBT = Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=0.001,
)  # fmt: skip
WHOLE = NOON // SECOND * SECOND


def recorded(root, rows, channels, **options):
    made = Recorder(root, symbols=["XBTUSDTM"], channels=channels, instruments=[XBT], **options)
    made.take(rows)
    assert made.close()
    return kr.load(made.path)


def traits_of(session):
    [market] = recorded_markets(session)
    assert market.offer.symbol == "XBTUSDTM"
    assert market.offer.tick_size == 0.1
    return market.traits


def trade(second, size, side="buy", *, after=0):
    # The exchange's clock runs faster than that by which rows arrive.
    time, number = WHOLE + second * SECOND, second * 10 + after
    return Trade(time, WHOLE + number * 1_000, "XBTUSDTM", number, str(number), side, 100.0, size)


def bbo(second, bid, ask, size=3.0):
    time = WHOLE + second * SECOND
    return BestBidOffer(time, time, "XBTUSDTM", second, bid, size, ask, size)


def test_trades_of_one_time_and_side_are_one_order(tmp_path):
    rows = [trade(second, 2.0) for second in range(0, 121, 10)]
    rows += [trade(second, 3.0, after=1) for second in range(0, 121, 20)]
    rows += [trade(second, 1.0, "sell", after=2) for second in range(0, 121, 60)]
    rows.sort(key=lambda row: row.local_timestamp)

    traits = traits_of(recorded(tmp_path, rows, ["trade"]))

    assert traits.seconds == 120.0  # by the exchange's clock
    assert traits.takers == (13 + 3) / 2
    assert traits.volume == (13 * 2 + 7 * 3 + 3 * 1) / 2
    assert traits.taker_size == 2.0
    assert traits.price == 100.0
    assert traits.spread is None
    assert traits.book_changes is None


def test_a_quote_holds_until_the_next(tmp_path):
    # A spread of 1 for three quarters of the time, and of 2 for the rest.
    rows = [bbo(0, 99.5, 100.5), bbo(90, 99.0, 101.0), bbo(119, 99.0, 101.0)]

    traits = traits_of(recorded(tmp_path, rows, ["bbo"]))

    assert traits.spread == pytest.approx((90 * 1 + 30 * 2) / 120)
    assert (traits.depth, traits.levels) == (3.0, 1)
    assert traits.volatility == 0.0
    assert traits.takers is None


def test_five_levels(tmp_path):
    prices = [*(100.0 - n for n in range(5)), *(101.0 + 2 * n for n in range(5))]
    sizes = [1.0] * 5 + [3.0] * 5
    rows = [
        Depth5(
            t := WHOLE + n * SECOND,
            t,
            "XBTUSDTM",
            n,
            *prices[:5],
            *sizes[:5],
            *prices[5:],
            *sizes[5:],
        )
        for n in range(70)
    ]

    traits = traits_of(recorded(tmp_path, rows, ["depth5"]))

    assert (traits.levels, traits.spread, traits.depth) == (5, 1.0, 10.0)
    assert traits.width == (4 + 8) / 2


def test_lists_of_levels_are_cut_to_the_usual_number(tmp_path):
    def depth(second, levels):
        time = WHOLE + second * SECOND
        bids, asks = [100.0 - n for n in range(levels)], [101.0 + n for n in range(levels)]
        return Depth50(time, time, "XBTUSDTM", second, bids, [2.0] * levels, asks, [4.0] * levels)

    rows = [depth(second, 12 if second % 10 else 30) for second in range(70)]

    traits = traits_of(recorded(tmp_path, rows, ["depth50"]))

    assert (traits.levels, traits.spread) == (12, 1.0)
    assert traits.depth == 12 * 3.0
    assert traits.width == 11.0


def level2(second, sequence, side, price, size, *, is_snapshot=False):
    time = WHOLE + second * SECOND
    return Level2(time, time, "XBTUSDTM", sequence, is_snapshot, side, price, size)


def test_a_book_is_rebuilt(tmp_path):
    rows = [
        level2(0, 1, "buy", 100.0, 2.0, is_snapshot=True),
        level2(0, 1, "buy", 98.0, 2.0, is_snapshot=True),
        level2(0, 1, "sell", 101.0, 4.0, is_snapshot=True),
        level2(0, 1, "sell", 105.0, 4.0, is_snapshot=True),
        level2(1, 2, "buy", 99.0, 1.0),
        level2(60, 3, "sell", 101.0, 0.0),  # the best ask is 105 from now on
        level2(99, 4, "buy", 97.0, 1.0),
    ]

    traits = traits_of(recorded(tmp_path, rows, ["level2"]))

    assert traits.levels == 50
    assert traits.spread == pytest.approx((1.0 * 59 + 5.0 * 40) / 99)
    assert traits.book_changes == pytest.approx(3 / 99)
    assert traits.price == 100.5


def test_times_in_which_rows_are_missing_are_left_out(tmp_path):
    # Between the seconds 100 and 200 nothing is known, and the price is another one afterwards.
    gap = Status(
        WHOLE + 100 * SECOND, WHOLE + 200 * SECOND, "XBTUSDTM", "gap", "bbo", "lost", None, None
    )
    before = [bbo(second, 99.5, 100.5) for second in range(0, 101, 5)]
    behind = [bbo(second, 199.0, 201.0) for second in range(200, 301, 5)]

    traits = traits_of(recorded(tmp_path, [*before, gap, *behind], ["bbo"]))

    assert traits.seconds == pytest.approx(200.0)
    assert traits.volatility == 0.0
    assert traits.spread == pytest.approx(1.5, abs=0.02)


def test_what_shows_too_little_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"20 s of XBTUSDTM, and at least 30 s are needed"):
        traits_of(recorded(tmp_path / "brief", [bbo(0, 1.0, 2.0), bbo(20, 1.0, 2.0)], ["bbo"]))
    rows = [level2(second, second, "buy", 100.0, 1.0) for second in range(1, 100)]
    with pytest.raises(InvalidInput, match="has neither trades nor best prices of XBTUSDTM"):
        traits_of(recorded(tmp_path / "no snapshot", rows, ["level2"]))
    session = recorded(tmp_path / "good", [bbo(0, 1.0, 2.0), bbo(70, 1.0, 2.0)], ["bbo"])
    with pytest.raises(UnknownSymbol, match="has none of 'SOLUSDTM'; it has: XBTUSDTM"):
        recorded_markets(session, ["SOLUSDTM"])
