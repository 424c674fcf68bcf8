"""Two averages that cross, all money long or short at the next open, with vectorbt.

``answer`` has its orders, and its equity per bar, valued at the opens, by which it trades, and at
the closes.
"""

import pandas as pd


def answer(path, fast, slow, fees):
    import vectorbt as vbt

    bars = pd.read_csv(path, index_col=0, parse_dates=True)
    above = bars["Close"].rolling(int(fast)).mean() > bars["Close"].rolling(int(slow)).mean()
    known = bars["Close"].rolling(int(slow)).mean().shift(1).notna()
    ups = above & ~above.shift(1, fill_value=False) & known
    downs = ~above & above.shift(1, fill_value=False) & known
    portfolios = {
        valued: vbt.Portfolio.from_signals(
            bars[valued], entries=ups.shift(1, fill_value=False),
            short_entries=downs.shift(1, fill_value=False), price=bars["Open"], init_cash=10_000,
            fees=float(fees), freq="1D",
        )
        for valued in ("Open", "Close")
    }  # fmt: skip
    orders = portfolios["Open"].orders.records
    return {
        "orders": [
            [str(bars.index[int(row.idx)]), "sell" if row.side else "buy", row.size, row.price]
            for row in orders.itertuples()
        ],
        "equity_at_opens": portfolios["Open"].value().tolist(),
        "equity_at_closes": portfolios["Close"].value().tolist(),
        "max_drawdown_at_opens": float(portfolios["Open"].max_drawdown()),
    }
