"""History by pages of any size, from a server that answers from a script."""

import itertools
import random
from dataclasses import dataclass

import pytest

from kucoin_research import errors
from kucoin_research.exchange.rest.paging import Leaps
from kucoin_research.model.channels import CANDLE_INTERVALS
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import (
    END_S,
    MINUTE,
    NOW_NS,
    SECOND,
    START_S,
    Answer,
    Klines,
    cut,
    ok,
    payload,
)

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter
rest = answering.rest


def test_futures_candles_are_read(exchange, rest):
    exchange.answers = [Answer(payload("futures_kline"))]
    start = 1729175400 * SECOND

    first, second = rest.candles_page("XBTUSDTM", "1min", start, start + MINUTE)

    assert exchange.asked[0].query == {
        "symbol": "XBTUSDTM", "granularity": "1", "from": "1729175400000", "to": "1729175460000"
    }  # fmt: skip
    assert first == (
        start, NOW_NS, "XBTUSDTM", "1min", 67100.1, 67120.0, 67090.5, 67110.2, 2048.0, 137438.9
    )  # fmt: skip
    assert second.timestamp == start + MINUTE


def test_futures_candles_of_six_columns_have_no_turnover(exchange, rest):
    exchange.answers = [Answer(payload("futures_kline_6_columns"))]

    (candle,) = rest.candles_page("XBTUSDTM", "1min")

    assert (candle.volume, candle.turnover) == (2048.0, None)


def test_spot_candles_have_the_close_second_and_come_newest_first(exchange, rest):
    exchange.answers = [Answer(payload("spot_candles"))]

    first, second = rest.candles_page("BTC-USDT", "1min", 1566789720 * SECOND, 1566789780 * SECOND)

    assert exchange.asked[0].query == {
        "symbol": "BTC-USDT", "type": "1min", "startAt": "1566789720", "endAt": "1566789781"
    }  # fmt: skip
    assert first[4:] == (10411.5, 10411.5, 10396.3, 10401.9, 29.11357276, 302889.301529914)
    assert second.timestamp == 1566789780 * SECOND


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("includes_end", [True, False])
def test_a_long_span_is_whole_ascending_and_without_duplicates(
    exchange, rest, symbol, includes_end
):
    exchange.answers = Klines(END_S + 600, includes_end=includes_end or symbol == "XBTUSDTM")

    candles = rest.candles(symbol, "1min", START_S * SECOND, END_S * SECOND)

    assert [c.timestamp for c in candles] == [t * SECOND for t in range(START_S, END_S + 1, 60)]
    assert all(c[4:] == (1.0, 2.0, 0.5, 1.5, 10.0, 15.0) for c in candles)
    stamps = [c.local_timestamp for c in candles]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_hole_longer_than_a_page_is_crossed(exchange, rest, symbol):
    holes = range(START_S + 60, END_S - 120)
    exchange.answers = Klines(END_S, holes=holes)

    candles = rest.candles(symbol, "1min", START_S * SECOND, END_S * SECOND)

    seconds = [c.timestamp // SECOND for c in candles]
    assert seconds == [START_S, END_S - 120, END_S - 60, END_S]


# Holes of all kinds, one longer than a page of either market, and none traded at the end.
SPARSE = [*range(20), 22, 23, 40, 150, *range(2_000, 2_031), 2_100]
SPARSE_END_S = START_S + 4_100 * 60


@pytest.mark.parametrize("keeps", ["oldest", "newest"])
@pytest.mark.parametrize(
    ("symbol", "page"),
    [("XBTUSDTM", page) for page in (1, 2, 7, 100, 199, 200, 500)]
    + [("BTC-USDT", page) for page in (1, 2, 7, 100, 200, 1499, 1500)],
)
def test_candles_come_whole_whatever_a_page_holds(exchange, rest, symbol, page, keeps):
    traded = {START_S + minute * 60 for minute in SPARSE}
    holes = set(range(START_S, SPARSE_END_S + 1, 60)) - traded
    exchange.answers = Klines(SPARSE_END_S, holes=holes, page=page, keeps=keeps)

    candles = rest.candles(symbol, "1min", START_S * SECOND, SPARSE_END_S * SECOND)

    assert [c.timestamp // SECOND for c in candles] == sorted(traded)


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("page", [100, 150])
def test_a_page_shorter_than_believed_costs_no_candle(exchange, rest, symbol, page):
    exchange.answers = Klines(END_S, page=page)

    candles = rest.candles(symbol, "1min", START_S * SECOND, (START_S + 1_000 * 60) * SECOND)

    assert [c.timestamp // SECOND for c in candles] == [START_S + i * 60 for i in range(1_001)]


@pytest.mark.parametrize(("symbol", "page"), [("XBTUSDTM", 200), ("BTC-USDT", 1_500)])
def test_a_page_as_long_as_believed_is_asked_for_once(exchange, rest, symbol, page):
    exchange.answers = Klines(END_S, page=page)

    rest.candles(symbol, "1min", START_S * SECOND, (START_S + (3 * page - 1) * 60) * SECOND)

    assert len(exchange.asked) == 1 + 3  # the time, then the pages


def test_a_hole_is_crossed_though_the_next_candle_is_not_told(exchange, rest):
    # Given no end, this server looks at no more minutes than a page has.
    holes = range(START_S + 60, END_S - 120)
    exchange.answers = Klines(END_S, holes=holes, looks_ahead_s=200 * 60)

    candles = rest.candles("XBTUSDTM", "1min", START_S * SECOND, END_S * SECOND)

    seconds = [c.timestamp // SECOND for c in candles]
    assert seconds == [START_S, END_S - 120, END_S - 60, END_S]


def test_an_end_long_after_the_last_candle_costs_a_few_calls(exchange, rest):
    exchange.answers = Klines(START_S + 400 * 86_400, newest_s=START_S + 300)

    candles = rest.candles("XBTUSDTM", "1min", START_S * SECOND)

    assert len(candles) == 6
    assert len(exchange.asked) <= 5


WEEK = 7 * 86_400
LENGTHS = {"1min": 60, "15min": 900, "1hour": 3_600, "1day": 86_400, "1week": WEEK}


class Pair:
    """The candles of a pair of every length, from the minutes in which it was traded."""

    def __init__(self, now_s, minutes):
        self.now_s, self.minutes = now_s, minutes

    def __call__(self, asked):
        if asked.path.endswith("timestamp"):
            return ok(self.now_s * 1000)
        length = LENGTHS[asked.query["type"]]
        first, last = (int(asked.query.get(name, 0)) for name in ("startAt", "endAt"))
        opened = sorted({(t // length) * length for t in self.minutes})
        times = [t for t in opened if first <= t and (t <= last or not last)]
        return ok([[str(t), "1", "1.5", "2", "0.5", "10", "15"] for t in times[-1500:][::-1]])


@pytest.mark.parametrize("interval", ["1min", "15min"])
@pytest.mark.parametrize(
    "days", [(364.0,), (0.0, 200.0, 364.5), (7.01, 7.02, 250.3), (364.9999,), ()], ids=str
)
def test_a_pair_that_was_hardly_traded_costs_a_few_calls(exchange, rest, interval, days):
    length = LENGTHS[interval]
    start, end = START_S // 3_600 * 3_600, START_S // 3_600 * 3_600 + 365 * 86_400
    minutes = [start + int(day * 86_400) // 60 * 60 + 60 * n for day in days for n in range(90)]
    minutes = [each for each in minutes if each <= end]
    exchange.answers = Pair(end, minutes)

    candles = rest.candles("NEW-USDT", interval, start * SECOND, end * SECOND)

    opened = sorted({t // length * length for t in minutes})
    assert [c.timestamp // SECOND for c in candles] == opened
    assert len(exchange.asked) <= 2 + 10 * (len(days) + 1)  # 351 pages of minutes


DAY = 86_400
# The minutes of a year in which a pair was traded, and the calls that it may cost: as many as page
# by page, and where there is a long gap (449 page by page), fewer.
RARELY = {
    "each third day": ([3 * DAY * i for i in range(120)], 490),
    "each fourth day": ([4 * DAY * i for i in range(90)], 460),
    "each second day, then in autumn": (
        [2 * DAY * i + 7 * 60 for i in range(60)] + [300 * DAY + 2 * DAY * i for i in range(30)],
        300,
    ),
}


@pytest.mark.parametrize("name", RARELY)
def test_a_pair_that_is_traded_every_few_pages_costs_no_more_for_the_search(exchange, rest, name):
    offsets, most = RARELY[name]
    start = START_S // WEEK * WEEK
    end = start + 365 * DAY
    minutes = [start + 5 * DAY + each for each in offsets]
    exchange.answers = Pair(end, minutes)

    candles = rest.candles("NEW-USDT", "1min", start * SECOND, end * SECOND)

    assert [c.timestamp // SECOND for c in candles] == minutes
    assert len(exchange.asked) <= most


def test_leaps_never_cost_much_more_than_they_save():
    rng = random.Random(7)
    page, calls_of_a_leap = 100, 3
    for _ in range(300):
        longest = rng.choice([3, 5, 40])
        rows = list(itertools.accumulate(rng.randrange(1, longest * page) for _ in range(400)))
        asked = [0]

        def find(low, high, rows=rows, asked=asked):
            asked[0] += calls_of_a_leap
            return next(each for each in rows if each >= low), calls_of_a_leap

        leap, empty = Leaps(page, find), 0
        low, plain = 0, 0
        for row in rows:
            plain += (row - low) // page
            while row - low > page:
                empty += 1
                low = leap(low + page, rows[-1])
            low = row + 1

        assert empty + asked[0] <= plain + calls_of_a_leap * 10


@pytest.mark.parametrize("seed", range(20))
def test_candles_of_a_pair_come_whole_whatever_was_traded(exchange, rest, seed):
    rng = random.Random(seed)
    start, end = START_S, START_S + 60 * 86_400
    minutes = set()
    for _ in range(rng.randrange(6)):
        since = rng.randrange(start, end) // 60 * 60
        minutes.update(range(since, since + 60 * rng.choice([1, 2, 2_000]), rng.choice([60, 600])))
    minutes = sorted(each for each in minutes if each <= end)
    exchange.answers = Pair(end, minutes)

    candles = rest.candles("NEW-USDT", "1min", start * SECOND, end * SECOND)

    assert [c.timestamp // SECOND for c in candles] == minutes


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("minutes", [[0], [4_000], range(1_900, 2_100)])
def test_candles_that_are_always_the_same_are_refused(exchange, rest, symbol, minutes):
    stuck = Klines(END_S)

    def answer(asked):
        if asked.path.endswith("timestamp"):
            return stuck(asked)
        times = [START_S + minute * 60 for minute in minutes]
        if symbol == "BTC-USDT":
            return ok([[str(t), "1", "1", "1", "1", "1", "1"] for t in times])
        return ok([[t * 1000, 1, 1, 1, 1, 1, 1] for t in times])

    exchange.answers = answer
    with pytest.raises(errors.BadReply, match=f"1min candles of {symbol} is not as documented: no"):
        rest.candles(symbol, "1min", START_S * SECOND, END_S * SECOND)

    assert len(exchange.asked) < 30


def test_a_candle_just_beside_the_bounds_is_left_out(exchange, rest):
    # A server may give the candle that a bound lies within.
    exchange.answers = [ok([[START_S * 1000, 1, 2, 0.5, 1.5, 10, 15]])]

    assert rest.candles_page("XBTUSDTM", "1min", (START_S + 1) * SECOND, END_S * SECOND) == []


def test_a_start_long_before_the_first_candle_costs_a_few_calls(exchange, rest):
    exchange.answers = Klines(END_S, oldest_s=END_S - 300)

    candles = rest.candles("XBTUSDTM", "1min", 0)

    assert len(candles) == 6
    assert len(exchange.asked) <= 4


@pytest.mark.parametrize(("symbol", "rows"), [("XBTUSDTM", 200), ("BTC-USDT", 1500)])
def test_without_a_start_the_last_page_comes(exchange, rest, symbol, rows):
    exchange.answers = Klines(END_S)

    candles = rest.candles(symbol)

    assert len(candles) == rows
    assert candles[-1].timestamp == END_S * SECOND


def test_a_span_in_the_future_is_refused(exchange, rest):
    exchange.answers = Klines(END_S)

    with pytest.raises(
        errors.InvalidInput, match=r"^start=.* lies in the future: it is .* at the exch"
    ):
        rest.candles("XBTUSDTM", "1min", (END_S + 60) * SECOND, (END_S + 600) * SECOND)


def test_bounds_between_candles_are_kept(exchange, rest):
    exchange.answers = Klines(END_S)

    candles = rest.candles("BTC-USDT", "1min", START_S * SECOND + 1, (START_S + 119) * SECOND)

    assert [c.timestamp // SECOND for c in candles] == [START_S + 60]


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("interval", CANDLE_INTERVALS)
def test_every_interval_is_asked_for_or_refused_unsent(exchange, rest, symbol, interval):
    exchange.answers = [ok([])]

    if symbol == "XBTUSDTM" and interval in ("3min", "6hour", "1month"):
        with pytest.raises(errors.ChannelNotOffered, match=f"futures has no {interval}"):
            rest.candles_page(symbol, interval)
        assert exchange.asked == []
    else:
        assert rest.candles_page(symbol, interval) == []


def test_an_unknown_interval_is_answered_with_the_list(rest):
    with pytest.raises(errors.UnknownChannel, match="1min, 3min"):
        rest.candles("XBTUSDTM", "1m")


@pytest.mark.parametrize("cap", [1, 7, 100])
@pytest.mark.parametrize("newest_first", [True, False])
def test_funding_rates_come_whole_whatever_a_page_holds(exchange, rest, cap, newest_first):
    settled = [START_S * 1000 + i * 28_800_000 for i in range(23)]

    def answer(asked):
        first, last = int(asked.query["from"]), int(asked.query["to"])
        times = [t for t in settled if first <= t <= last]
        times = times[::-1][:cap] if newest_first else times[:cap]
        return ok([{"symbol": "XBTUSDTM", "fundingRate": 2.1e-4, "timepoint": t} for t in times])

    exchange.answers = answer
    rates = rest.funding_rates("XBTUSDTM", settled[1] * 1_000_000, settled[-1] * 1_000_000)

    assert [rate.timestamp for rate in rates] == [t * 1_000_000 for t in settled[1:]]
    assert rates[0][3:] == (0.00021, None)


def test_funding_rates_that_are_always_the_same_are_refused(exchange, rest):
    settled = [(START_S + i * 28_800) * 1000 for i in range(100, 200)]
    row = {"symbol": "XBTUSDTM", "fundingRate": 2.1e-4}
    exchange.answers = [ok([{**row, "timepoint": t} for t in settled])]

    with pytest.raises(errors.BadReply, match="funding rates of XBTUSDTM is not as documented: no"):
        rest.funding_rates("XBTUSDTM", START_S * SECOND, settled[-1] * 1_000_000)

    assert len(exchange.asked) == 2


@dataclass
class Points:
    """A published series of values; ``hasMore`` is told as the server likes."""

    traded: list
    step_s: int
    page: int = 100
    keeps: str = "newest"
    has_more: bool = False
    is_stuck: bool = False

    def __call__(self, asked):
        if asked.path.endswith("timestamp"):
            return ok(END_S * 1000)
        first, last = (int(asked.query[name]) // 1000 for name in ("startAt", "endAt"))
        times = [START_S + each * self.step_s for each in self.traded]
        if not self.is_stuck:
            times = [t for t in times if first <= t <= last]
        times = cut(times, min(self.page, int(asked.query["maxCount"])), self.keeps)
        rows = [{"symbol": ".X", "timePoint": t * 1000, "value": 1.0} for t in times[::-1]]
        return ok({"dataList": rows, "hasMore": self.has_more})


SERIES = [("index_prices", ".KXBTUSDT", 1), ("premium_index", "XBTUSDTM", 60)]


@pytest.mark.parametrize(("call", "symbol", "step_s"), SERIES)
@pytest.mark.parametrize("keeps", ["oldest", "newest"])
@pytest.mark.parametrize("page", [1, 2, 7, 99, 100])
@pytest.mark.parametrize("has_more", [True, False])
def test_a_series_comes_whole_whatever_a_page_holds(
    exchange, rest, call, symbol, step_s, keeps, page, has_more
):
    # One hole is longer than a page.
    there = [*range(103), 105, *range(150, 160), *range(420, 431), 700]
    exchange.answers = Points(there, step_s, page, keeps, has_more)
    end_s = START_S + 1_000 * step_s

    rows = getattr(rest, call)(symbol, START_S * SECOND, end_s * SECOND)

    assert [row.timestamp // SECOND for row in rows] == [START_S + i * step_s for i in there]


@pytest.mark.parametrize(("call", "symbol", "step_s"), SERIES)
def test_a_series_that_is_always_the_same_is_refused(exchange, rest, call, symbol, step_s):
    exchange.answers = Points([*range(500)], step_s, is_stuck=True)

    with pytest.raises(errors.BadReply, match=r"the history of .*XBT.* is not as documented: none"):
        getattr(rest, call)(symbol, START_S * SECOND, (START_S + 500 * step_s) * SECOND)


def test_funding_rates_read_the_documented_sample(exchange, rest):
    exchange.answers = [Answer(payload("funding_rates"))]

    rates = rest.funding_rates("XBTUSDTM", 1702267200000000000, 1702296000000000000)

    assert [rate.funding_rate for rate in rates] == [0.0001, 0.00021]


def test_spot_has_no_funding(rest):
    with pytest.raises(errors.ChannelNotOffered, match="spot pair"):
        rest.funding_rates("BTC-USDT", 0, 1)
