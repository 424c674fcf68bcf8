"""An exchange that is like a recording, from the recording to a stream of its own."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.api.recorded_markets import recorded_markets
from kucoin_research.errors import InvalidInput, SessionMissing, UnknownSymbol
from kucoin_research.sim.engine import likeness
from tests.exchanges import START, simulate

CHANNELS = ["trade", "level2", "depth5"]
TRAITS = {
    "price", "volatility", "spread", "depth", "width", "book_changes", "takers", "taker_size",
    "size_spread", "volume",
}  # fmt: skip


def record(exchange, symbols, root, seconds=1_200):
    with kr.record(
        symbols, CHANNELS, root=root, seconds=seconds, venue=exchange.venue, progress=False
    ) as run:
        pass
    return run.session()


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Some minutes of a coin that the catalog does not have."""
    with simulate(seed=5, speed=60.0, contracts=20) as x:
        return record(x, "XRPUSDTM", tmp_path_factory.mktemp("like"))


def test_a_recording_of_it_is_like_the_first_one(session, tmp_path):
    with simulate(seed=9, speed=60.0, like=session) as x:
        again = record(x, "XRPUSDTM", tmp_path)
        shown = x.likeness
        assert "SOLUSDTM" in x.symbols  # the catalog is there too

    assert shown.columns == ["symbol", "trait", "recorded", "simulated", "ratio"]
    assert {*shown.filter(symbol="XRPUSDTM")["trait"]} == TRAITS
    # Of minutes with a heavy tail of sizes, the volume differs most.
    assert shown.filter(pl.col("trait") != "volume")["ratio"].is_between(0.5, 2.0).all()
    [first], [second] = recorded_markets(session), recorded_markets(again)
    for trait in TRAITS - {"volume"}:
        before, behind = getattr(first.traits, trait), getattr(second.traits, trait)
        assert 0.6 < behind / before < 1.67, trait


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(likeness, "_ROUNDS", (300,))


def test_its_instruments_are_those_of_the_recording(brief, session):
    with simulate(like=session.path, symbols="XRPUSDTM") as x:
        assert list(x.symbols) == ["XRPUSDTM"]
        rows = kr.symbols("futures", venue=x.venue)
        one = session.instruments["XRPUSDTM"]
        assert rows.select("symbol", "tick_size", "lot_size", "contract_multiplier").rows() == [
            ("XRPUSDTM", one.tick_size, one.lot_size, one.contract_multiplier)
        ]
        x.demo_account.place("XRPUSDTM", "buy", 5)
        first = session.frame("trade", "XRPUSDTM")["price"][0]
        assert float(x.demo_account.fills[0].price) == pytest.approx(first, rel=0.02)
    assert {*x.likeness["symbol"]} == {"XRPUSDTM"}


def test_an_exchange_without_a_recording_has_no_likeness():
    with simulate() as x:
        assert x.likeness.is_empty()
        assert x.likeness.schema["ratio"] == pl.Float64


def test_wrong_recordings_are_refused(session, tmp_path):
    with pytest.raises(SessionMissing):
        simulate(like=tmp_path / "nowhere")
    with pytest.raises(UnknownSymbol, match="has none of 'SOLUSDTM'; it has: XRPUSDTM"):
        simulate(like=session, symbols=["SOLUSDTM"])
    with pytest.raises(InvalidInput):
        simulate(like=5)
    with pytest.raises(InvalidInput, match=r"like takes what markets_like"):
        kr.sim.Exchange(like=[session], start=START)
