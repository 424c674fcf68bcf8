"""ccxt and ccxt.pro against an exchange; prints what they parsed, a JSON line each.

Runs in .venv-interop, started by tests/interop: ``unified_ccxt.py rest|stream FUTURES SPOT PLAN``.
PLAN is JSON. A line is ``{"call": …, "data": …}``, or ``{"call": …, "error": …}`` where it raised.
"""

import asyncio
import contextlib
import json
import sys

import ccxt
import ccxt.pro

PATIENCE = 45.0  # seconds in which no row comes that is waited for


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")


def point(exchange, futures_url, spot_url):
    """Send every classic call to the exchange under test, and all others nowhere."""
    addresses = exchange.urls["api"]
    for name in list(addresses):
        if isinstance(addresses[name], str):
            addresses[name] = "http://127.0.0.1:1"
    for name in ("public", "private"):
        addresses[name] = spot_url
    for name in ("futuresPublic", "futuresPrivate"):
        addresses[name] = futures_url
    exchange.enableRateLimit = False
    return exchange


def rest(futures_url, spot_url, plan):
    contract, pair, since = plan["unified_contract"], plan["unified_pair"], plan["start_ms"]
    until = {"until": plan["end_ms"]}
    spot = point(ccxt.kucoin({"timeout": 20_000}), futures_url, spot_url)
    swap = point(ccxt.kucoinfutures({"timeout": 20_000}), futures_url, spot_url)
    calls = {
        "kucoin.load_markets": spot.load_markets,
        "kucoin.fetch_currencies": spot.fetch_currencies,
        "kucoin.fetch_time": spot.fetch_time,
        "kucoin.fetch_status": spot.fetch_status,
        "kucoin.fetch_ticker": lambda: spot.fetch_ticker(pair),
        "kucoin.fetch_tickers": spot.fetch_tickers,
        "kucoin.fetch_trades": lambda: spot.fetch_trades(pair),
        "kucoin.fetch_order_book": lambda: spot.fetch_order_book(pair),
        "kucoin.fetch_order_book 20": lambda: spot.fetch_order_book(pair, 20),
        "kucoin.fetch_order_book 100": lambda: spot.fetch_order_book(pair, 100),
        "kucoin.fetch_ohlcv": lambda: spot.fetch_ohlcv(pair, "1m", since, 120),
        "kucoinfutures.load_markets": swap.load_markets,
        "kucoinfutures.fetch_time": swap.fetch_time,
        "kucoinfutures.fetch_status": swap.fetch_status,
        "kucoinfutures.fetch_ticker": lambda: swap.fetch_ticker(contract),
        "kucoinfutures.fetch_tickers": swap.fetch_tickers,
        "kucoinfutures.fetch_bids_asks": swap.fetch_bids_asks,
        "kucoinfutures.fetch_mark_price": lambda: swap.fetch_mark_price(contract),
        "kucoinfutures.fetch_trades": lambda: swap.fetch_trades(contract),
        "kucoinfutures.fetch_order_book": lambda: swap.fetch_order_book(contract),
        "kucoinfutures.fetch_order_book 20": lambda: swap.fetch_order_book(contract, 20),
        "kucoinfutures.fetch_order_book 100": lambda: swap.fetch_order_book(contract, 100),
        "kucoinfutures.fetch_ohlcv": lambda: swap.fetch_ohlcv(contract, "1m", since, 120),
        "kucoinfutures.fetch_funding_rate": lambda: swap.fetch_funding_rate(contract),
        "kucoinfutures.fetch_funding_rate_history": lambda: swap.fetch_funding_rate_history(
            contract, plan["funding_start_ms"], None, until
        ),
    }
    for name, call in calls.items():
        try:
            say(call=name, data=call())
        except Exception as error:
            say(call=name, error=f"{type(error).__name__}: {error}")


def book_row(book):
    return {key: book[key] for key in ("symbol", "nonce", "timestamp", "bids", "asks")}


def watches(main, others, plan):
    """List what to watch: name, exchange object, method, arguments."""
    pair, contract = plan["unified_pair"], plan["unified_contract"]
    calls = {
        # A spot ticker comes from snapshots, spot tickers from tickers.
        "spot.watch_tickers": (others["tickers"], "watch_tickers", [pair]),
        "swap.watch_tickers": (others["tickers"], "watch_tickers", [contract]),
    }
    for kind, symbol in (("swap", contract), ("spot", pair)):
        calls |= {
            f"{kind}.watch_ticker": (main, "watch_ticker", symbol),
            f"{kind}.watch_trades": (main, "watch_trades", symbol),
            f"{kind}.watch_order_book": (main, "watch_order_book", symbol),
            f"{kind}.watch_order_book 5": (others["depth5"], "watch_order_book", symbol, 5),
            f"{kind}.watch_order_book 50": (others["depth50"], "watch_order_book", symbol, 50),
            f"{kind}.watch_ohlcv": (main, "watch_ohlcv", symbol, "1m"),
            f"{kind}.watch_bids_asks": (main, "watch_bids_asks", [symbol]),
        }
    return calls


def rows_of(method, got):
    """List what one answer of ccxt holds."""
    if method == "watch_order_book":
        return [book_row(got)]
    if isinstance(got, dict):
        # One ticker, or a dict of them by symbol.
        return [got] if "symbol" in got else list(got.values())
    return got


def tell_snapshots(exchange):
    """Tell how far the books that watch_order_book starts from reach."""
    fetch_order_book = exchange.fetch_order_book

    async def told_order_book(symbol, *arguments, **options):
        book = await fetch_order_book(symbol, *arguments, **options)
        kind = "swap" if ":" in symbol else "spot"
        say(call=f"{kind}.watch_order_book snapshot", data=book_row(book))
        return book

    exchange.fetch_order_book = told_order_book


def say_when_subscribed(exchanges, count):
    """Say so when the exchange has acknowledged a number of subscriptions."""
    acknowledged = []

    def note(handle):
        def noted(client, message):
            acknowledged.append(message)
            if len(acknowledged) == count:
                say(call="subscribed")
                sys.stdout.flush()
            return handle(client, message)

        return noted

    for exchange in exchanges:
        exchange.handle_subscription_status = note(exchange.handle_subscription_status)


class Watch:
    """All watches at once, until each has brought what is wanted of it."""

    def __init__(self, calls, wanted):
        self._calls = calls
        self._wanted = {name: wanted[name] for name in calls}
        self._all_done = asyncio.Event()

    async def run(self):
        tasks = [
            asyncio.create_task(self._watch(name, *call)) for name, call in self._calls.items()
        ]
        await self._wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self):
        while not self._all_done.is_set():
            before = dict(self._wanted)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_done.wait(), PATIENCE)
            if self._wanted == before:
                say(call="late", data=before)
                return

    async def _watch(self, name, exchange, method, *arguments):
        while not self._all_done.is_set():
            try:
                rows = rows_of(method, await getattr(exchange, method)(*arguments))
            except Exception as error:
                say(call=name, error=f"{type(error).__name__}: {error}")
                return
            for row in rows:
                say(call=name, data=row)
            left = self._wanted.pop(name, 0) - len(rows)
            if left > 0:
                self._wanted[name] = left
            if not self._wanted:
                self._all_done.set()


async def unwatch(exchange, kind, symbol):
    for what in ("ticker", "trades", "order_book", "ohlcv"):
        method = f"un_watch_{what}"
        try:
            await asyncio.wait_for(getattr(exchange, method)(symbol), 10.0)
            say(call=f"{kind}.{method}", data=True)
        except Exception as error:
            say(call=f"{kind}.{method}", error=f"{type(error).__name__}: {error}")


async def stream(futures_url, spot_url, plan):
    # One exchange object per way of taking the same thing: an object has one cache per symbol.
    exchanges = {
        name: point(ccxt.pro.kucoin({"timeout": 20_000, "newUpdates": True}), futures_url, spot_url)
        for name in ("main", "tickers", "depth5", "depth50")
    }
    main = exchanges["main"]
    for exchange in exchanges.values():
        await exchange.load_markets()
    tell_snapshots(main)
    say(call="ready")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    calls = watches(main, exchanges, plan)
    say_when_subscribed(exchanges.values(), len(calls))
    await Watch(calls, plan["wanted"]).run()
    await unwatch(main, "swap", plan["unified_contract"])
    await unwatch(main, "spot", plan["unified_pair"])
    for exchange in exchanges.values():
        await exchange.close()


def main():
    mode, futures_url, spot_url, plan = sys.argv[1:]
    if mode == "rest":
        rest(futures_url, spot_url, json.loads(plan))
    else:
        asyncio.run(stream(futures_url, spot_url, json.loads(plan)))
    say(call="done", data=ccxt.__version__)


if __name__ == "__main__":
    main()
