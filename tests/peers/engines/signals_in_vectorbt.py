"""One entry and one exit with vectorbt, on candles of ours.

``answer`` has the equity per row, the Sharpe ratio, and the orders with their columns. Its
``entry`` and ``leave`` are rows.
"""

from written_frames import frame_of


def answer(path, cash, fees, entry, leave):
    import vectorbt as vbt

    close = frame_of(path)["Close"]
    entries = close.isna() & False
    exits = entries.copy()
    entries.iloc[int(entry)] = True
    exits.iloc[int(leave)] = True
    folio = vbt.Portfolio.from_signals(
        close, entries, exits, init_cash=float(cash), fees=float(fees)
    )
    sharpe = folio.sharpe_ratio()
    return {
        "value": folio.value().to_numpy().tolist(),
        "sharpe": sharpe.tolist() if close.ndim == 2 else float(sharpe),
        "columns": list(close.columns) if close.ndim == 2 else None,
        "ordered": folio.orders.records["col"].tolist(),
    }
