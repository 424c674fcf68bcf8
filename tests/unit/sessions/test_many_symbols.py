"""Files of one session with as many symbols as rows, which nothing looks at one by one."""

import json

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.records import Trade
from kucoin_research.sessions.checks import verification
from kucoin_research.sessions.writing.recorder import Recorder
from tests.unit.rows import NOON

MANY = 300


@pytest.fixture
def session(tmp_path):
    recorder = Recorder(tmp_path, symbols=["XBTUSDTM"], channels=["trade"])
    for number in range(MANY):
        at = NOON + number
        recorder.take([Trade(at, at, "XBTUSDTM", number, str(number), "buy", 1.0, 1.0)])
    assert recorder.close()
    (file,) = recorder.path.glob("*_trade_*")
    header, *lines = file.read_text().splitlines()
    others = [line.replace("XBTUSDTM", f"S{at}") for at, line in enumerate(lines)]
    file.write_text("\n".join([header, *others, ""]))
    return recorder.path


@pytest.mark.filterwarnings("ignore::kucoin_research.SessionUnfinished")
def test_a_report_takes_the_rows_of_all_symbols_at_once(session, monkeypatch):
    manifest = session / "session.json"
    content = json.loads(manifest.read_text())
    content["symbols"] += [f"T{number}" for number in range(MANY)]
    manifest.write_text(json.dumps(content))
    loaded = kr.load(session)
    filters = []
    made = pl.DataFrame.filter
    monkeypatch.setattr(
        pl.DataFrame, "filter", lambda *args, **opts: filters.append(1) or made(*args, **opts)
    )

    report = loaded.report()

    assert len(filters) < 10
    found = {entry.symbol: entry for entry in report.channels if entry.channel == "trade"}
    assert len(found) == 2 * MANY + 1
    assert (found["S7"].rows, found["S7"].first_sequence, found["S7"].last_sequence) == (1, 7, 7)
    assert (found["T7"].rows, found["T7"].first_sequence) == (0, None)


def test_a_check_looks_once_for_rows_of_other_symbols(session, monkeypatch):
    looked = []
    made = verification._where
    monkeypatch.setattr(verification, "_where", lambda mask: looked.append(1) or made(mask))

    found = verification.verify(session)

    assert len(looked) < 20
    wrong = [flaw for flaw in found.flaws if flaw.kind == "symbol"]
    assert (wrong[0].line, wrong[0].detail) == (2, "S0 is in another symbol's file")
    assert len(wrong) >= 20
