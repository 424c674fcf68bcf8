"""ccxt.pro through outages: one exchange object per session, watched as ccxt's manual shows.

Runs in .venv-interop, started by tests/interop: ``outages_ccxt.py outages - - PLAN``; see
``tests/interop/outages.py`` for what it is told and what it tells.
"""

import asyncio
import json
import sys
import time

import ccxt.pro
from unified_ccxt import point, say

QUIET, DEADLINE = 1.0, 10.0  # seconds without a message, and those that are waited for it
PATIENCE = 45.0  # seconds in which no row comes while everything begins
COMPARED = 100  # levels of a side
SIDES = ("bids", "asks")


class Session:
    """One exchange object and what it brought, by channel and sequence."""

    def __init__(self, futures_url, spot_url, symbol):
        self.exchange = point(ccxt.pro.kucoin({"timeout": 20_000}), futures_url, spot_url)
        self.symbol = symbol
        self.rows = {"trade": [], "level2": []}
        self.told = []
        self.last = time.monotonic()
        self._note_deltas()

    def _note_deltas(self):
        # An answer of watch_order_book holds all that came since the one before, so what ccxt
        # handles is counted, and not its answers.
        handle_order_book = self.exchange.handle_order_book

        def noted(client, message):
            self.note("level2", message["data"]["sequence"])
            return handle_order_book(client, message)

        self.exchange.handle_order_book = noted

    def note(self, channel, sequence):
        self.rows[channel].append(int(sequence))
        self.last = time.monotonic()

    async def watch_trades(self):
        for trade in await self.exchange.watch_trades(self.symbol):
            self.note("trade", trade["info"]["sequence"])

    async def watch_book(self):
        await self.exchange.watch_order_book(self.symbol)

    async def forever(self, watch):
        # The loop of ccxt's manual: https://docs.ccxt.com/#/ccxt.pro.manual
        while True:
            try:
                await watch()
            except Exception as error:
                self.told.append(type(error).__name__)
                await asyncio.sleep(0)  # so that an error that comes at once holds up nobody else

    def is_warm(self, wanted):
        return not self.missing(wanted)

    def missing(self, wanted):
        return sum(max(0, rows - len(self.rows[channel])) for channel, rows in wanted.items())

    @property
    def result(self):
        book = self.exchange.orderbooks.get(self.symbol)
        sides = None
        if book is not None:
            sides = {side: [level[:2] for level in book[side][:COMPARED]] for side in SIDES}
        return {"rows": self.rows, "told": self.told, "book": sides}


async def until(condition, timeout, progress=lambda: None):
    deadline, last = time.monotonic() + timeout, progress()
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
        if (now := progress()) != last:
            deadline, last = time.monotonic() + timeout, now
    return condition()


async def outages(plan):
    sessions = {name: Session(*urls, plan["unified"]) for name, urls in plan["sessions"].items()}
    tasks = []
    for session in sessions.values():
        await session.exchange.load_markets()
        watches = (session.watch_trades, session.watch_book)
        tasks += [asyncio.create_task(session.forever(watch)) for watch in watches]
    is_warm = await until(
        lambda: all(each.is_warm(plan["warm"]) for each in sessions.values()),
        PATIENCE,
        progress=lambda: [each.missing(plan["warm"]) for each in sessions.values()],
    )
    for session in sessions.values():
        session.told.clear()
    say(call="ready" if is_warm else "late")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await until(
        lambda: all(time.monotonic() - each.last > QUIET for each in sessions.values()), DEADLINE
    )
    for name, session in sessions.items():
        say(call=name, data=session.result)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for session in sessions.values():
        await session.exchange.close()


asyncio.run(outages(json.loads(sys.argv[4])))
say(call="done", data=ccxt.__version__)
