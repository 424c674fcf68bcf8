"""What a user's type checker sees of the front door; mypy checks this file, nothing runs it."""

from types import ModuleType
from typing import Any, assert_type

import numpy.typing as npt
import pandas as pd
import polars as pl

import kucoin_research as kr
from kucoin_research.dashboards import Dashboard
from kucoin_research.figures import Figure, LiveFigure
from kucoin_research.model.source import LiveSource, ReplaySource, Source, StreamSource

frame = kr.stream_to_frame("XBTUSDTM", minutes=5)
assert_type(frame, pl.DataFrame)
assert_type(kr.figures.price(frame), Figure | LiveFigure)
assert_type(kr.dashboard("XBTUSDTM"), Dashboard)
modules: ModuleType = kr.figures
assert_type(kr.analytics.mid(), pl.Expr)
assert_type(kr.analytics.fit_microprice(frame, 0.1), kr.analytics.MicropriceFit)
assert_type(kr.analytics.vpin(frame, 1_000), pl.DataFrame)
with kr.stream("XBTUSDTM", "trade") as s:
    assert_type(s, kr.Stream)
    assert_type(s.bars("10s"), pl.DataFrame)
    assert_type(s.instruments["XBTUSDTM"], kr.Instrument)
    streamed: StreamSource = s
session = kr.load("data/sessions")
recorded: Source = session
with kr.replay(session) as r:
    replayed: ReplaySource = r
    live: LiveSource = r
swept = kr.sweep(lambda size: print, {"size": [1, 2]}, session, leverage=2)
assert_type(swept, kr.Sweep)
assert_type(swept.frame, pl.DataFrame)
assert_type(kr.check_lookahead(lambda: print, session, leverage=2).ok, bool)
assert_type(kr.check_warm_up(lambda: print, session, starts=3).to_frame(), pl.DataFrame)
assert_type(kr.chaos(print, session, latency=(0, 1), drop={"trade": 0.1}).plain, kr.Result)
assert_type(kr.to_pandas(session, "trade"), pd.DataFrame)
assert_type(kr.to_backtesting(frame, "10s"), pd.DataFrame)
assert_type(kr.to_vectorbt({"trade": frame}, symbols=["XBTUSDTM"]), pd.DataFrame)
assert_type(kr.to_hftbacktest(r, clock_shift=0.05), npt.NDArray[Any])
