"""Two averages that cross, all money long or short, with the package backtesting.

``answer`` has its trades, one equity per bar and its figures. Its ``way`` is ``exclusive`` (an
order closes the trade before it) or ``closing`` (the strategy closes it, and the last trade is
closed at the end).
"""

import warnings

import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover


def strategy(fast, slow, *, closes):
    class Crossing(Strategy):
        def init(self):
            close = pd.Series(self.data.Close)
            self.fast = self.I(lambda: close.rolling(fast).mean())
            self.slow = self.I(lambda: close.rolling(slow).mean())

        def next(self):
            for one, other, order in (
                (self.fast, self.slow, self.buy),
                (self.slow, self.fast, self.sell),
            ):
                if crossover(one, other):
                    if closes:
                        self.position.close()
                    order()

    return Crossing


def answer(path, fast, slow, spread, commission, way):
    bars = pd.read_csv(path, index_col=0, parse_dates=True)
    closes = way == "closing"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a trade that is open at the end
        test = Backtest(
            bars, strategy(int(fast), int(slow), closes=closes), cash=10_000,
            spread=float(spread), commission=float(commission),
            exclusive_orders=not closes, finalize_trades=closes,
        )  # fmt: skip
        stats = test.run()
    trades = stats["_trades"]
    open_ones = [
        {"entered": str(bars.index[each.entry_bar]), "size": each.size, "price": each.entry_price}
        for each in stats["_strategy"].trades
    ]
    return {
        "trades": [
            [str(row.EntryTime), str(row.ExitTime), row.Size, row.EntryPrice, row.ExitPrice]
            for row in trades.itertuples()
        ],
        "open": open_ones,
        "equity": stats["_equity_curve"]["Equity"].tolist(),
        "count": int(stats["# Trades"]),
        "final": float(stats["Equity Final [$]"]),
        "max_drawdown_pct": float(stats["Max. Drawdown [%]"]),
    }
