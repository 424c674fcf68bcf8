"""Runs do not depend on what should not matter: order, format, process, or the future."""

import itertools
import sys
from pathlib import Path
from random import Random

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import StopStrategy, StrategyFailed
from kucoin_research.model.records import Status
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sessions.writing.recorder import Recorder
from tests.exchanges import simulate
from tests.processes import Process
from tests.unit.strategy.random_tapes import (
    INSTRUMENTS,
    SECOND,
    START,
    Both,
    RandomTrader,
    Recorded,
    draw_case,
    draw_channels,
    play,
    quote,
    recording,
)

CASES = range(7)
PLENTY = {"USDT": 1e9, "XBT": 1e4, "BTC": 1e3}


def plain(fills, symbols=None):
    """Show fills without the numbers of their orders, which count those of all strategies."""
    return [
        fill._replace(order_id=0) for fill in fills if symbols is None or fill.symbol in symbols
    ]


def sent(run, symbols):
    """Show what became of the orders of some symbols."""
    return [
        (each.symbol, each.side, each.size, each.limit, each.submitted, each.accepted, each.ended,
         each.status, each.reason, each.filled, each.average_price)
        for each in run.orders.values() if each.symbol in symbols
    ]  # fmt: skip


def rich_case(seed):
    """Draw a case in which no strategy can run out of money."""
    names = ["XBTUSDTM", "ETHUSDTM", "BTC-USDT"]
    random = Random(f"rich {seed}")
    channels = {each: draw_channels(random, each) for each in names}
    options = {
        "cash": {name: amount for name, amount in PLENTY.items() if name != "XBT"},
        "latency": random.choice([0, 0.05, (0.03, 0.2)]),
        "leverage": 20,
        "margin_mode": random.choice(["isolated", "cross"]),
    }
    return recording(seed, channels), options


# -- side by side ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_strategies_of_different_symbols_trade_as_if_alone(seed):
    recorded, options = rich_case(seed)
    parts = [["XBTUSDTM"], ["ETHUSDTM", "BTC-USDT"]]
    alone = [play(RandomTrader(seed, names), recorded, **options) for names in parts]

    both = play(Both(*(RandomTrader(seed, names) for names in parts)), recorded, **options)

    for names, run in zip(parts, alone, strict=True):
        assert plain(run.fills) == plain(both.fills, names) != []
        assert sent(run, names) == sent(both, names)


class UntilFlat:
    """Lets a strategy trade until a time, and closes what it left behind."""

    def __init__(self, strategy, until):
        self.strategy, self.until = strategy, until

    def __call__(self, record, broker):
        if broker.now < self.until:
            self.strategy(record, broker)
        elif broker.now < self.until + 30 * SECOND:
            broker.cancel_all()
            if not broker.orders():
                broker.close()


class From:
    """Lets a strategy trade from a time on."""

    def __init__(self, strategy, since):
        self.strategy, self.since = strategy, since

    def __call__(self, record, broker):
        if broker.now >= self.since:
            self.strategy(record, broker)


@pytest.mark.parametrize("seed", CASES)
def test_strategies_of_one_symbol_at_different_times_trade_as_if_alone(seed):
    recorded = recording(seed, {"XBTUSDTM": ("depth50", "trade", "mark_price")}, steps=250)
    options = {"cash": 1e9, "leverage": 20, "latency": (0.03, 0.1)}
    early = UntilFlat(RandomTrader(seed, ["XBTUSDTM"]), START + 30 * SECOND)
    late = From(RandomTrader(seed + 1, ["XBTUSDTM"]), START + 61 * SECOND)
    first, second = play(early, recorded, **options), play(late, recorded, **options)

    again = UntilFlat(RandomTrader(seed, ["XBTUSDTM"]), START + 30 * SECOND)
    later = From(RandomTrader(seed + 1, ["XBTUSDTM"]), START + 61 * SECOND)
    both = play(Both(again, later), recorded, **options)

    assert first.account.holdings["XBTUSDTM"].size == 0
    offset = len(second.fills) and both.fills[len(first.fills)].position_after
    assert offset == (len(second.fills) and second.fills[0].position_after)
    assert plain(first.fills) + plain(second.fills) == plain(both.fills)
    assert second.fills


# -- what is there besides -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_records_of_another_symbol_change_no_fill(seed):
    names = ["XBTUSDTM", "ETHUSDTM"]
    random = Random(f"besides {seed}")
    channels = {each: draw_channels(random, each) for each in names}
    whole = recording(seed, channels)
    # A lost connection may be that of any symbol.
    kept = [each for each in whole.records if getattr(each, "event", "") != "disconnected"]
    whole = Recorded(kept, whole.channels, whole.gaps)
    alone = recording(seed, {"XBTUSDTM": channels["XBTUSDTM"]})
    kept = [each for each in alone.records if getattr(each, "event", "") != "disconnected"]
    alone = Recorded(kept, alone.channels, alone.gaps)
    options = {"cash": 2_000.0, "leverage": 20, "latency": 0.05}

    first = play(RandomTrader(seed, ["XBTUSDTM"]), alone, **options)
    second = play(RandomTrader(seed, ["XBTUSDTM"]), whole, **options)

    end = alone.records[-1].local_timestamp
    assert first.fills == [each for each in second.fills if each.timestamp <= end] != []


# -- the order of registration ---------------------------------------------------------------------


class Shuffled:
    """A recording whose symbols, channels and instruments come in another order."""

    def __init__(self, recorded, seed):
        random = Random(f"shuffle {seed}")
        names = list(recorded.channels)
        random.shuffle(names)
        frames = list(recorded.frames.items())
        random.shuffle(frames)
        self.channels = {each: recorded.channels[each] for each in names}
        self.instruments = [INSTRUMENTS[each] for each in names]
        order = {name: at for at, name in enumerate(names)}
        self.frames = {
            channel: frame.sort(
                frame["symbol"].cast(pl.String).replace_strict(order, default=-1),
                maintain_order=True,
            )
            for channel, frame in frames
        }


@pytest.mark.parametrize("seed", range(12))
def test_order_of_symbols_channels_and_instruments_changes_nothing(seed):
    recorded, options = draw_case(seed, latency=(0.02, 0.1))
    names = sorted(recorded.channels)

    def trade():
        return Both(*(RandomTrader(f"{seed} {name}", [name]) for name in names))

    first = play(trade(), recorded, **options)
    second = play(trade(), Shuffled(recorded, seed), **options)

    assert first.result.fingerprint == second.result.fingerprint
    assert first.result.equity.equals(second.result.equity)
    assert first.result.orders.equals(second.result.orders)
    assert dict(first.result.stats) == dict(second.result.stats)


def test_channels_of_equal_times_come_in_one_order():
    records = [quote(at, 100.0 + at % 3, 5, 101.0 + at % 3, 5) for at in range(0, 200, 10)]
    trades = [
        kr.CHANNELS["trade"](each.timestamp, each.local_timestamp, "XBTUSDTM", at, "", "buy",
                             each.best_ask_price, 1.0)
        for at, each in enumerate(records)
    ]  # fmt: skip
    recorded = Recorded([*records, *trades], {"XBTUSDTM": ("bbo", "trade")})

    first = play(RandomTrader(1, ["XBTUSDTM"], eagerness=0.5), recorded)
    second = play(RandomTrader(1, ["XBTUSDTM"], eagerness=0.5), Backwards(recorded))

    assert first.fills == second.fills != []


class Backwards:
    def __init__(self, recorded):
        self.instruments = recorded.instruments
        self.frames = dict(reversed(recorded.frames.items()))


# -- the future ------------------------------------------------------------------------------------


class Seen:
    """Keeps what a strategy can see at some records."""

    def __init__(self, places):
        self.places, self.count, self.states = set(places), 0, {}

    def __call__(self, run, record):
        if self.count in self.places:
            broker = run.broker
            orders = [
                (each.order_id, each.status, each.reason, each.filled, each.average_price,
                 each.accepted, each.ended)
                for each in broker.sent
            ]  # fmt: skip
            self.states[self.count] = (
                orders, list(broker.fills), broker.equity, broker.cash,
                [broker.position(symbol) for symbol in run.markets], list(run.ledger._notes),
            )  # fmt: skip
        self.count += 1


def cuts(recorded, seed, number=2):
    """Draw places to cut a recording at; a gap is known once it is over, so none is inside one."""
    random, found = Random(f"cut {seed}"), []
    spans = list(itertools.chain.from_iterable(recorded.gaps.values()))
    while len(found) < number:
        place = random.randrange(20, len(recorded.records) - 1)
        now, then = (each.local_timestamp for each in recorded.records[place : place + 2])
        if now < then and not any(begin <= now <= end for begin, end in spans):
            found.append(place)
    return found


def before(frame, when):
    return frame.filter(pl.col("timestamp").dt.epoch("ns") < when)


@pytest.mark.parametrize("seed", range(8))
def test_the_future_changes_nothing_that_was(seed):
    recorded, options = draw_case(seed)
    places = cuts(recorded, seed)
    full_seen = Seen(places)
    full = play(RandomTrader(seed, recorded.symbols), recorded, full_seen, **options)
    other = recording(seed + 1_000, recorded.channels)

    for place in places:
        now = recorded.records[place].local_timestamp
        past = recorded.records[: place + 1]
        changed = [*past, *(each for each in other.records if each.local_timestamp > now)]
        for records in (past, without_gaps_across(changed, now)):
            seen = Seen([place])
            trader = RandomTrader(seed, recorded.symbols)
            cut = Recorded(records, recorded.channels)
            run = play(trader, cut, seen, **options)
            assert seen.states[place] == full_seen.states[place]
            past_fills = [each for each in run.fills if each.timestamp <= now]
            assert past_fills == [each for each in full.fills if each.timestamp <= now]
            for name in ("equity", "notes", "funding"):
                ours, theirs = (getattr(each.result, name) for each in (run, full))
                assert before(ours, now).equals(before(theirs, now)), name


def without_gaps_across(records, now):
    return [
        each
        for each in records
        if not (isinstance(each, Status) and each.event == "gap"
                and each.timestamp <= now < each.local_timestamp)
    ]  # fmt: skip


# -- an early end ----------------------------------------------------------------------------------


class Ending:
    """Ends a strategy at a record."""

    def __init__(self, strategy, place, error):
        self.strategy, self.left, self.error = strategy, place, error

    def __call__(self, record, broker):
        self.strategy(record, broker)
        if not self.left:
            raise self.error
        self.left -= 1


@pytest.mark.parametrize("seed", CASES)
def test_a_run_that_is_ended_early_is_the_beginning_of_the_whole_run_and_says_so(seed):
    recorded, options = draw_case(seed)
    trader = RandomTrader(seed, recorded.symbols)
    frames, facts = recorded.frames, recorded.instruments
    full = kr.backtest(trader, frames, instruments=facts, progress=False, **options)
    (place,) = cuts(recorded, seed, 1)
    now = recorded.records[place].local_timestamp

    def end(error):
        ending = Ending(RandomTrader(seed, recorded.symbols), place, error)
        return kr.backtest(ending, frames, instruments=facts, progress=False, **options)

    stopped = end(StopStrategy("enough"))
    with pytest.warns(StrategyFailed, match="no more"):
        failed = end(ZeroDivisionError("no more"))

    assert full.complete
    assert "enough" in stopped.ended
    assert "ZeroDivisionError: no more" in failed.ended
    assert failed.failure.record == recorded.records[place]
    for run in (stopped, failed):
        assert not run.complete
        assert run.fills.equals(full.fills.head(run.fills.height))
        assert run.fills.height >= before(full.fills, now).height
        assert before(run.equity, now).equals(before(full.equity, now))
        assert before(run.notes, now).equals(before(full.notes, now))
        first = full.orders.head(run.orders.height)
        assert run.orders.select("order_id", "submitted", "size").equals(
            first.select("order_id", "submitted", "size")
        )


# -- formats and processes -------------------------------------------------------------------------


SYMBOLS = ["XBTUSDTM", "BTC-USDT"]
CHANNELS = ["ticker", "trade", "level2", "mark_price"]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session that was recorded from the simulated exchange."""
    root = tmp_path_factory.mktemp("sessions")
    with (
        simulate(seed=11, speed=60.0) as exchange,
        kr.record(
            SYMBOLS, CHANNELS, root=root, seconds=40, venue=exchange.venue, progress=False
        ) as made,
    ):
        pass
    return made.session()


def trade(data, instruments=None):
    random = RandomTrader(5, SYMBOLS, eagerness=0.05)
    options = {"cash": {"USDT": 50_000.0, "BTC": 0.5}, "progress": False}
    return kr.backtest(random, data, instruments=instruments, **options)


def test_formats_of_a_session_give_the_same_fingerprint(session, tmp_path):
    expected = trade(session)
    assert expected.complete
    assert expected.fills.height > 20
    facts = session.instruments
    rows = list(itertools.chain.from_iterable(Timeline(session).batches()))

    for compression in (None, "gzip", "zstd"):
        made = Recorder(
            tmp_path / str(compression), symbols=SYMBOLS, channels=CHANNELS,
            instruments=facts.values(), compression=compression,
        )  # fmt: skip
        made.take(rows)
        assert made.close()
        assert trade(str(made.path)).fingerprint == expected.fingerprint, compression
    session.to_parquet(tmp_path / "parquet")
    kr.convert(session, tmp_path / "converted")
    for name in ("parquet", "converted"):
        again = {
            channel: pl.read_parquet(
                tmp_path / name / f"channel={channel}/**/*.parquet", hive_partitioning=True
            )
            for channel in (*CHANNELS, "status")
        }
        assert trade(again, facts).fingerprint == expected.fingerprint, name
    frames = {name: session.frame(name) for name in (*CHANNELS, "status")}
    assert trade(frames, facts).fingerprint == expected.fingerprint


_CODE = """
import sys
from tests.unit.strategy.test_independence import trade
print(trade(sys.argv[1]).fingerprint)
"""


def test_processes_with_other_hash_seeds_give_the_same_fingerprint(session):
    root = Path(__file__).parents[3]
    python = [sys.executable, "-c", _CODE, str(session.path)]
    found = set()
    for seed in ("1", "2"):
        with Process(*python, cwd=root, PYTHONHASHSEED=seed, PYTHONPATH=str(root)) as process:
            found.add(process.line().strip())

    assert found == {trade(session).fingerprint}
