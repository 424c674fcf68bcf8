"""Trades on both markets with ccxt, until its time is over.

Runs in .venv-interop, started by tests/interop/trading_day.py:
``day_ccxt.py trade FUTURES SPOT PLAN``.
Prints each order that was taken and each refusal, a JSON line each.
"""

import random

import ccxt
from pacing import say, trade


def client(kind, futures_url, spot_url, login):
    key, secret, passphrase = login
    made = kind({"apiKey": key, "secret": secret, "password": passphrase, "timeout": 60_000})
    for name, address in made.urls["api"].items():
        if isinstance(address, str):
            made.urls["api"][name] = futures_url if name.startswith("futures") else spot_url
    made.enableRateLimit = False
    made.load_markets()
    return made


class Trader:
    """Places orders at random: half of them take, the others rest, wait or are canceled."""

    def __init__(self, futures_url, spot_url, plan):
        self.clients = {
            "futures": client(ccxt.kucoinfutures, futures_url, spot_url, plan["login"]),
            "spot": client(ccxt.kucoin, futures_url, spot_url, plan["login"]),
        }
        self.symbols = {"futures": plan["unified_contract"], "spot": plan["unified_pair"]}
        self.random = random.Random(plan["seed"])
        self.open = {"futures": [], "spot": []}

    def act(self):
        market = self.random.choice(("futures", "spot"))
        choice = self.random.random()
        exchange, symbol = self.clients[market], self.symbols[market]
        if choice < 0.15 and self.open[market]:
            exchange.cancel_order(self.open[market].pop(0), symbol)
            return
        side = self.random.choice(("buy", "sell"))
        size = self.random.randint(1, 20)
        amount = size if market == "futures" else round(size * 0.0001, 4)
        options = {"leverage": 5, "marginMode": "isolated"} if market == "futures" else {}
        is_market = choice < 0.6
        price = None
        if not is_market:
            ticker = exchange.fetch_ticker(symbol)
            best = ticker["bid"] if side == "buy" else ticker["ask"]
            away = self.random.randint(0, 50) * 0.1
            price = exchange.price_to_precision(symbol, best + (-away if side == "buy" else away))
        kind = "market" if is_market else "limit"
        order = exchange.create_order(symbol, kind, side, amount, price, options)
        say(call="order", market=market, id=order["id"])
        if not is_market:
            self.open[market].append(order["id"])


def tell_refusal(action):
    try:
        action()
    except ccxt.BaseError as error:
        say(call="refused", code=type(error).__name__, text=str(error)[:300])


trade(Trader, tell_refusal)
