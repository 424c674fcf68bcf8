"""cryptofeed: its addresses are written into its class and constructor, and must be wss.

It puts a blank into topics, which KuCoin refuses since February 2026 (its issue 1100): as released
it gets candles only, so the blank is taken out for the rest.
"""

import asyncio
import logging
import tempfile

from cryptofeed import FeedHandler, connection
from cryptofeed.connection import HTTPSync, RestEndpoint, Routes
from cryptofeed.defines import CANDLES, L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import KuCoin
from trying import KEY, PAIR, PASSPHRASE, SECRET, SPOT, Frames, attempt, attempt_async, leave


class Here(HTTPSync):
    """Its HTTP calls: the constructor names KuCoin's address itself, and refuses ws addresses."""

    def write(self, address, *arguments, **options):
        reply = super().write(
            address.replace("https://api.kucoin.com", SPOT), *arguments, **options
        )
        for server in reply["data"]["instanceServers"]:
            server["endpoint"] = server["endpoint"].replace("ws://", "wss://")
        return reply


plain_connect = connection.connect
connection.connect = lambda address, **options: plain_connect(
    address.replace("wss://", "ws://"), **options
)
KuCoin.http_sync = Here()
routes = Routes("/api/v1/symbols", l2book="/api/v3/market/orderbook/level2?symbol={}")
KuCoin.rest_endpoints = [RestEndpoint(SPOT, routes=routes)]
login = {"key_id": KEY, "key_secret": SECRET, "key_passphrase": PASSPHRASE}
log = {"filename": f"{tempfile.mkdtemp()}/log", "level": "WARNING", "disabled": False}

attempt("spot symbols", KuCoin.symbols, lambda symbols: PAIR in symbols)


class Blankless:
    """A connection that takes the blanks out of topics."""

    def __init__(self, conn):
        self._conn = conn

    async def write(self, text):
        await self._conn.write(text.replace(": BTC", ":BTC"))


class Complaints(logging.Handler):
    """Puts what cryptofeed logs among the frames."""

    def __init__(self, frames):
        super().__init__()
        self._frames = frames

    def emit(self, record):
        self._frames.put_from_a_thread(f"first: {record.getMessage()}")


async def main():
    first, frames = Frames(), Frames()
    logging.getLogger("feedhandler").addHandler(Complaints(first))
    run({TICKER: "first:"}, first)
    await attempt_async(
        "spot socket as released",
        lambda: first.wait("first:"),
        lambda seen: "is invalid" not in seen,
    )
    subscribe = KuCoin.subscribe
    KuCoin.subscribe = lambda feed, conn: subscribe(feed, Blankless(conn))
    channels = {
        TICKER: "spot socket ticker",
        L2_BOOK: "spot socket book",
        TRADES: "spot socket trades",
        CANDLES: "spot socket candles",
    }
    attempt("spot constructor", lambda: run(channels, frames) or True)
    for call in channels.values():
        await attempt_async(call, lambda call=call: frames.wait(call))


def run(channels, frames):
    def taker(call):
        async def take(row, _received):
            await frames.put(f"{call} {row}")

        return take

    handler = FeedHandler(config={"uvloop": False, "log": log, "kucoin": login})
    handler.add_feed(
        KuCoin(
            symbols=[PAIR],
            channels=list(channels),
            callbacks={channel: taker(call) for channel, call in channels.items()},
            config={"log": log, "kucoin": login},
        )
    )
    handler.run(start_loop=False, install_signal_handlers=False)


asyncio.run(main())
leave()
