"""Buy and hold with backtesting.py, on candles of ours.

``answer`` buys when a row is over, and has the trade, the equity, and the size of the drawn page.
"""

import tempfile
from pathlib import Path

from written_frames import frame_of


def answer(path, row, size, cash, commission):
    from backtesting import Backtest, Strategy

    class Hold(Strategy):
        def init(self):
            self.calls = 0

        def next(self):
            self.calls += 1
            if len(self.data) == int(row) + 1:
                self.buy(size=int(size))

    test = Backtest(
        frame_of(path), Hold, cash=float(cash), commission=float(commission), finalize_trades=False
    )
    stats = test.run()
    held = stats["_strategy"].trades
    return {
        "entries": [(trade.size, trade.entry_price, trade.entry_bar) for trade in held],
        "equity": stats["Equity Final [$]"],
        "start": stats["Start"].value,
        "zone": str(stats["Start"].tz),
        "calls": stats["_strategy"].calls,
        "page": drawn(test, stats),
    }


def drawn(test, stats):
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        test.plot(results=stats, filename=str(page), open_browser=False)
        return page.stat().st_size
