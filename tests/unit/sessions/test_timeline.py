import gzip
import tracemalloc
import warnings

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

import kucoin_research as kr
from kucoin_research.errors import SessionBroken, SessionUnfinished, UnknownChannel, UnknownSymbol
from kucoin_research.model.records import Candle, Status, Trade
from kucoin_research.sessions import timeline
from kucoin_research.sessions.timeline import Timeline
from tests.unit.rows import DAY, NOON, records, shown, ticker
from tests.unit.sessions.test_session import csv, level2, recorded, status, unclosed

COMPRESSIONS = [None, "gzip", "zstd"]
MIXED = ("ticker", "trade", "candle", "level2", "depth50", "balance", "status")


def trade(number, symbol="XBTUSDTM", trade_id="t"):
    return Trade(NOON + number, NOON + number, symbol, number, trade_id, "buy", 5.0, 1.0)


def candle(number, interval):
    return Candle(NOON, NOON + number, "XBTUSDTM", interval, 1.0, 2.0, 0.5, 1.5, 9.0, None)


def all_rows(session, since=None, **options):
    return [row for rows in Timeline(session, **options).batches(since) for row in rows]


def many(count, *, step=1, symbols=("XBTUSDTM",)):
    """Make rows of several channels, in order."""
    makers = (ticker, lambda n, symbol: trade(n, symbol, "é,"), trade)
    return [
        makers[n % 3](n * step, symbols[n % len(symbols)])._replace(local_timestamp=NOON + n * step)
        for n in range(count)
    ]


@st.composite
def sessions(draw):
    rows = [row for channel in MIXED for row in draw(records(channel))]
    times = draw(
        st.lists(st.integers(0, 2**62), min_size=len(rows), max_size=len(rows), unique=True)
        | st.permutations(range(NOON, NOON + len(rows)))
    )
    rows = [
        row._replace(local_timestamp=time, symbol=draw(st.sampled_from(["A", "a", "B-C", None])))
        for row, time in zip(rows, times, strict=True)
    ]
    # Told of a stream itself: the word would end the recording.
    rows = [row._replace(event="gap") if isinstance(row, Status) else row for row in rows]
    return sorted(rows, key=lambda row: row.local_timestamp)


@given(sessions(), st.sampled_from(COMPRESSIONS), st.sampled_from([1, 700, 1 << 20]), st.data())
@settings(max_examples=25, deadline=None)
def test_all_rows_come_in_order_of_arrival_from_any_time(
    tmp_path_factory, rows, compression, memory, data
):
    folder = recorded(tmp_path_factory.mktemp("s"), rows, channels=MIXED, compression=compression)
    session = kr.load(folder)
    made = Timeline(session, memory=memory)

    since = data.draw(st.sampled_from([row.local_timestamp + n for row in rows for n in (-1, 0)]))

    assert shown(all_rows(session, memory=memory)) == shown(rows)
    assert shown(all_rows(session, since, memory=memory)) == shown(
        row for row in rows if row.local_timestamp >= since
    )
    assert (made.start_ns, made.end_ns) == (rows[0].local_timestamp, rows[-1].local_timestamp)
    assert made.rows == len(rows)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_long_session_is_sought_and_read_in_order(tmp_path, compression):
    rows = many(6_000, step=DAY // 2_500, symbols=("XBTUSDTM", "ETHUSDTM"))
    session = kr.load(
        recorded(
            tmp_path, rows, channels=("ticker", "trade"), symbols=("XBTUSDTM", "ETHUSDTM"),
            compression=compression,
        )
    )  # fmt: skip

    for at, memory in ((0, 1 << 15), (1, 1 << 14), (2_499, 1 << 13), (4_321, 1 << 12), (5_900, 1)):
        assert all_rows(session, rows[at].local_timestamp, memory=memory) == rows[at:]
    assert all_rows(session, rows[-1].local_timestamp + 1) == []
    assert all_rows(session) == rows


def test_a_search_reads_little_of_a_large_file(tmp_path, monkeypatch):
    rows = [ticker(n) for n in range(20_000)]
    session = kr.load(recorded(tmp_path, rows))
    read = []
    real = timeline.read_records
    monkeypatch.setattr(
        timeline, "read_records", lambda *given: read.append(len(given[1])) or real(*given)
    )

    found = all_rows(session, rows[-5].local_timestamp, memory=1 << 14)

    assert found == rows[-5:]
    assert sum(read) < 200_000 < csv(session.path).stat().st_size


def test_a_session_is_held_in_parts(tmp_path, monkeypatch):
    rows = many(60_000)
    session = kr.load(recorded(tmp_path, rows, channels=("ticker", "trade")))
    size = sum(path.stat().st_size for path in session.path.glob("*.csv"))
    largest = []
    real = timeline.read_records
    monkeypatch.setattr(
        timeline, "read_records", lambda *given: largest.append(len(given[1])) or real(*given)
    )

    list(Timeline(session, memory=1 << 14).batches())  # what is loaded once
    tracemalloc.start()
    count = sum(map(len, Timeline(session, memory=1 << 14).batches()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == len(rows)
    assert max(largest) <= 1 << 14
    assert peak < 500_000 < size // 8


def test_batches_have_a_bound(tmp_path):
    rows = [ticker(n) for n in range(20_000)]
    made = Timeline(kr.load(recorded(tmp_path, rows)))

    assert max(map(len, made.batches())) <= timeline.BATCH_ROWS


def test_status_rows_come_along_and_concern_what_was_chosen(tmp_path):
    events = [
        status(0, "connected"),
        status(4, "gap", channel="trade", symbol="XBTUSDTM"),
        status(5, "gap", channel="ticker", symbol="XBTUSDTM"),
        status(6, "gap", channel="ticker", symbol="ETHUSDTM"),
    ]
    data = [ticker(1), trade(2), ticker(3, "ETHUSDTM")]
    data = [row._replace(local_timestamp=NOON + n) for n, row in enumerate(data, 1)]
    session = kr.load(
        recorded(
            tmp_path, [events[0], *data, *events[1:]], channels=("ticker", "trade"),
            symbols=("XBTUSDTM", "ETHUSDTM"),
        )
    )  # fmt: skip

    assert all_rows(session) == [events[0], *data, *events[1:]]
    assert all_rows(session, channels="ticker", symbols="XBTUSDTM") == [
        events[0],
        data[0],
        events[2],
    ]
    assert all_rows(session, symbols=["ETHUSDTM"]) == [events[0], data[2], events[3]]
    assert all_rows(session, channels="status") == events
    assert Timeline(session, channels="ticker").rows is None
    with pytest.raises(UnknownChannel, match="level2"):
        Timeline(session, channels=["level2"])
    with pytest.raises(UnknownSymbol, match="XBTUSDCM"):
        Timeline(session, symbols=["XBTUSDCM"])


def test_one_interval_of_candles_is_read_without_the_others(tmp_path):
    rows = [candle(n, "1min" if n % 2 else "5min") for n in range(6)]
    session = kr.load(recorded(tmp_path, rows, channels=("candle:1min", "candle:5min")))

    assert all_rows(session, channels="candle:5min") == rows[::2]
    assert all_rows(session, channels=["candle"]) == rows


def test_several_sessions_are_one_timeline(tmp_path):
    first = recorded(tmp_path / "a", [ticker(n) for n in range(0, 20, 2)])
    second = recorded(tmp_path / "b", [ticker(n) for n in range(1, 20, 2)])

    session = kr.load([first, second])

    assert all_rows(session, memory=1) == [ticker(n) for n in range(20)]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_torn_tail_is_left_out(tmp_path, compression):
    rows = [ticker(n) for n in range(300)]
    path = recorded(tmp_path, rows, compression=compression)
    unclosed(path)
    with csv(path).open("r+b") as file:
        file.truncate(csv(path).stat().st_size - 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SessionUnfinished)
        session = kr.load(path)

    made = Timeline(session)

    found = [row for batch in made.batches() for row in batch]
    assert found == rows[: len(found)]
    assert len(found) == session.frame("ticker").height
    assert made.rows is None
    assert made.end_ns == (found[-1].local_timestamp if found else None)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_one_large_member_or_frame_is_read_in_parts(tmp_path, suffix):
    rows = [ticker(n) for n in range(3_000)]
    path = recorded(tmp_path, rows)
    text = csv(path).read_bytes()
    packed = gzip.compress(text) if suffix == ".gz" else pa.compress(text, "zstd", asbytes=True)
    csv(path).with_name(csv(path).name + suffix).write_bytes(packed)
    csv(path).unlink()
    (path / "session.json").unlink()
    with pytest.warns(SessionUnfinished):
        session = kr.load(path)

    assert all_rows(session, memory=1) == rows


def test_a_file_of_another_program_is_a_timeline_too(tmp_path):
    source = tmp_path / "trades.csv"
    source.write_text(
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        "kucoin-futures,XBTUSDTM,2,4,b,sell,5.0,1.0\n"
        "kucoin-futures,XBTUSDTM,1,3,a,buy,5.0,1.0\n"
    )
    made = Timeline(kr.load_csv(source))

    rows = [row for batch in made.batches() for row in batch]

    assert [row.trade_id for row in rows] == ["a", "b"]
    assert (made.start_ns, made.end_ns, made.rows) == (3_000, 4_000, None)


def test_a_session_without_rows_is_an_empty_timeline(tmp_path):
    made = Timeline(kr.load(recorded(tmp_path, [])))

    assert list(made.batches()) == []
    assert (made.start_ns, made.end_ns, made.rows) == (None, None, 0)


def test_rows_that_are_not_in_order_or_cannot_be_read_are_an_error(tmp_path):
    path = recorded(tmp_path / "a", [level2(2, 1), level2(1, 2)], channels=["level2"])
    with pytest.raises(SessionBroken, match=r"_level2_.* not in order"):
        all_rows(kr.load(path))

    path = recorded(tmp_path / "b", [ticker(0), ticker(1)])
    csv(path).write_bytes(csv(path).read_bytes().replace(b",buy,", b",b,y,", 1))
    session = kr.load(path)
    with pytest.raises(SessionBroken, match="verify"):
        all_rows(session)
