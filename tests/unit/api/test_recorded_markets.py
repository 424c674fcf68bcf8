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
from tests.exchanges import simulate
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


def gap(begin, end, channel):
    return Status(
        WHOLE + begin * SECOND, WHOLE + end * SECOND, "XBTUSDTM", "gap", channel, "lost", None, None
    )


def slow_trade(minute):
    time = WHOLE + minute * 60 * SECOND
    return Trade(time, time, "XBTUSDTM", minute, str(minute), "buy", 100.0, 2.0)


def by_arrival(rows):
    return sorted(rows, key=lambda row: row.local_timestamp)


def test_short_gaps_between_rare_rows_are_as_long_as_they_are(tmp_path):
    gaps = [
        gap(60 * minute + at, 60 * minute + at + 1, "trade")
        for minute in range(60)
        for at in (10, 20, 30)
    ]
    rows = by_arrival([*gaps, *map(slow_trade, range(61))])

    traits = traits_of(recorded(tmp_path, rows, ["trade"]))

    assert traits.seconds == 3_600 - 180
    assert traits.takers == pytest.approx(61 / 57)


def test_a_channel_that_was_subscribed_to_later_is_averaged_over_its_own_time(tmp_path):
    rows = [bbo(second, 99.5, 100.5) for second in range(0, 601, 5)]
    rows += [level2(400, 1, "buy", 99.5, 1.0, is_snapshot=True)]
    rows += [level2(second, second, "buy", 99.5, 2.0) for second in range(401, 601)]

    traits = traits_of(recorded(tmp_path, by_arrival(rows), ["bbo", "level2"]))

    assert traits.book_changes == pytest.approx(1.0, rel=0.02)


def test_one_trade_in_an_hour_is_one_in_an_hour(tmp_path):
    rows = [bbo(second, 99.5, 100.5) for second in range(0, 3_601, 5)] + [slow_trade(30)]

    traits = traits_of(recorded(tmp_path, by_arrival(rows), ["bbo", "trade"]))

    assert traits.takers == pytest.approx(1 / 60)


def test_two_recordings_of_the_same_rows_count_once(tmp_path):
    rows = [level2(0, 1, "buy", 99.0, 1.0, is_snapshot=True)]
    rows += [level2(0, 1, "sell", 100.0, 1.0, is_snapshot=True)]
    rows += [level2(second, second + 1, "buy", 99.0, 1.0 + second) for second in range(1, 121)]
    rows += [
        trade(second, 1.0)._replace(local_timestamp=WHOLE + second * SECOND)
        for second in range(120)
    ]
    rows = by_arrival(rows)
    one = recorded(tmp_path / "one", rows, ["level2", "trade"])
    later = [row._replace(local_timestamp=row.local_timestamp + 1_000) for row in rows]
    two = recorded(tmp_path / "two", later, ["level2", "trade"])

    alone, [both] = traits_of(one), recorded_markets(kr.load([one.path, two.path]))

    assert (both.traits.book_changes, both.traits.takers) == (alone.book_changes, alone.takers)
    # Trades without ids cannot be told from each other: all count.
    rows = [trade(second, 1.0)._replace(trade_id=None, sequence=None) for second in range(120)]
    later = [row._replace(local_timestamp=row.local_timestamp + 1_000) for row in rows]
    nameless = [
        recorded(tmp_path / name, each, ["trade"]).path
        for name, each in (("a", rows), ("b", later))
    ]
    [market] = recorded_markets(kr.load(nameless))
    assert market.traits.takers == pytest.approx(60, rel=0.02)


def test_a_bounce_between_bid_and_ask_is_no_volatility(tmp_path):
    rows = [
        trade(second, 1.0, ("buy", "sell")[second % 2])._replace(price=100.5 - second % 2)
        for second in range(600)
    ]

    traits = traits_of(recorded(tmp_path, rows, ["trade"]))

    assert traits.volatility == pytest.approx(0.0, abs=1e-4)
    assert traits.price == pytest.approx(100.0, abs=0.6)


def test_rows_without_the_time_of_the_exchange_count_at_their_arrival(tmp_path):
    rows = [
        trade(second, 1.0)._replace(timestamp=0, local_timestamp=WHOLE + second * SECOND)
        for second in range(0, 121, 10)
    ]

    traits = traits_of(recorded(tmp_path, rows, ["trade"]))

    assert (traits.seconds, traits.takers) == (120.0, 6.5)


def test_quotes_that_cannot_be_are_left_out(tmp_path):
    rows = [bbo(second, 99.5, 100.5) for second in range(0, 121, 5)]
    rows += [bbo(52, 0.0, 0.0), bbo(57, 101.0, 100.0), bbo(62, -1.0, 1.0)]

    traits = traits_of(recorded(tmp_path, by_arrival(rows), ["bbo"]))

    assert (traits.spread, traits.volatility) == (1.0, 0.0)


def test_times_of_decades_are_refused(tmp_path):
    rows = [trade(0, 1.0), trade(60, 1.0)._replace(timestamp=WHOLE - 40 * 365 * 86_400 * SECOND)]

    with pytest.raises(InvalidInput, match=r"span 14,600 days, and 400 are the most"):
        traits_of(recorded(tmp_path, rows, ["trade"]))


def test_a_recording_that_describes_nothing_leaves_the_catalog_as_it_is(tmp_path):
    made = Recorder(tmp_path, symbols=["XBTUSDTM"], channels=["trade"])
    made.take([trade(second, 1.0) for second in range(0, 121, 10)])
    assert made.close()

    with simulate(like=made.path, symbols=(name for name in ["XBTUSDTM"])) as x:
        row = kr.instrument("XBTUSDTM", venue=x.venue)

    assert (row.contract_multiplier, row.tick_size, row.is_inverse) == (0.001, 0.1, False)
