"""The simulated exchange of this process, and the one that venue='demo' means."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from kucoin_research import sim
from kucoin_research.api.recorded_markets import recorded_markets
from kucoin_research.api.registry import close_last
from kucoin_research.api.serve import OwnServer
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import texts
from kucoin_research.foundation.forking import in_child
from kucoin_research.foundation.interrupts import check, hold
from kucoin_research.sessions.session import Session

__all__ = ["SimulatedExchange", "demo_venue", "forget", "simulate"]

_demo_lock = threading.Lock()  # guards _demo
_demo: SimulatedExchange | None = None


class SimulatedExchange(OwnServer, sim.Exchange):
    """An exchange in a box; ``kucoin_research.simulate`` makes one."""

    @property
    def venue(self) -> Venue:
        """Its addresses, to pass as ``venue=``."""
        push = (self.futures_push_url, self.spot_push_url)
        return Venue(self.futures_url, self.spot_url, "simulated", *push)

    @property
    def likeness(self) -> pl.DataFrame:
        """How like its recording an exchange with ``like`` is: a row for each trait of a market.

        Columns are ``symbol``, ``trait``, ``recorded``, ``simulated`` and ``ratio`` (simulated by
        recorded). The simulated ones come from a sample of some minutes, scaled by the known course
        of volatility to as long a time as was recorded. The traits: ``price`` is the first one.
        ``volatility`` is the root mean square of the change of the logarithm of the mid in a
        minute. ``spread`` and ``width`` (distance of the last of the best levels from the first)
        are means, ``depth`` (size of these levels of a side) is a median; the levels are 50 or 5,
        or 1 where only the best were recorded. ``book_changes`` are per second, ``takers`` (taking
        orders) and ``volume`` per minute. ``taker_size`` is the median size of a taking order,
        ``size_spread`` the standard deviation of the logarithm of the sizes above it.
        """
        names: dict[str, type[pl.DataType]] = {"symbol": pl.String, "trait": pl.String}
        schema = names | dict.fromkeys(("recorded", "simulated"), pl.Float64)
        rows = pl.DataFrame(self.likenesses, schema=schema, orient="row")
        known = pl.when(pl.col("recorded") != 0).then("recorded")
        return rows.with_columns(ratio=pl.col("simulated") / known)

    @property
    def credentials(self) -> Credentials:
        """Those of its demo account, to pass as ``credentials=``; they open nothing else."""
        account = self.demo_account
        return Credentials(account.key, account.secret, account.passphrase)


def simulate(
    *,
    seed: int = 7,
    speed: float = 1.0,
    like: Session | str | Path | Iterable[str | Path] | None = None,
    **options: Any,
) -> SimulatedExchange:
    """Start a simulated KuCoin on this machine: REST and WebSocket, futures and spot.

    Parameters
    ----------
    seed
        The same seed and `start` give the same market, to the byte. Without `start` it gives the
        same past prices, while the orders of now depend on the moment.
    speed
        Virtual seconds per second, from 1 to 1000. At 1 the exchange's time is this machine's. A
        second channel begins a few (virtual) moments after the first. Where all are to begin with
        the same row: ``pause()`` before ``kr.stream``, ``wait_until_live()`` after it, then
        ``resume()``.
    like
        A recording, as ``load`` gives it, or its path, or several paths. Its symbols get markets
        that are like the recorded ones in price, volatility, spread, depth, intensity and sizes
        (``likeness`` shows how much), and symbols that the catalog does not have are added. Prices
        begin where the recording begins and go their own way. Volatility needs best prices: trades
        alone show it less well. Record ``trade`` and one of
        ``depth50``, ``depth5`` and ``level2``, the latter for the intensity of the book; what a
        recording does not show stays as in the catalog. It takes some seconds for each symbol.
    **options
        Passed on to ``kucoin_research.sim.Exchange``: ``start="2026-01-05"`` (the exchange's clock
        stands there until the first subscription, so that the first rows are the same in each run),
        ``contracts`` (``contracts=700`` offers as many as KuCoin), ``symbols``, ``margin_rules``,
        ``ping_interval_ms`` …

    Returns
    -------
    SimulatedExchange
        Running; a context manager with ``venue``, ``futures_url``, ``spot_url``, ``inject(fault)``
        and ``close()``.

    Raises
    ------
    InvalidInput
        If an option makes no sense, or the recording shows too little of a symbol.
    SessionError
        If the recording cannot be read.
    """
    options.setdefault("machine", clocks.current().machine)
    if like is not None:
        options["like"] = _alike(like, seed, options)
    with hold():
        made = SimulatedExchange(seed=seed, speed=speed, **options)
        try:
            check()
        except KeyboardInterrupt:
            made.close()
            raise
        return made


def _alike(
    like: Session | str | Path | Iterable[str | Path], seed: int, options: dict[str, Any]
) -> sim.Alike:
    symbols = options.get("symbols")
    wanted = None if symbols is None else texts(symbols, "symbols")
    if wanted is not None:
        options["symbols"] = wanted  # it may have been an iterator
    return sim.markets_like(
        recorded_markets(like, wanted),
        seed=seed,
        start=options.get("start"),
        machine=options["machine"],
        contracts=options.get("contracts"),
    )


def demo_venue() -> Venue:
    """Return the venue of this process's own exchange, which is started on first use.

    There is one per process. It ends with the process, after all streams.
    """
    global _demo
    with _demo_lock:
        if _demo is None or _demo.is_closed:
            _demo = simulate()
            close_last(_close_demo)
        push = (_demo.futures_push_url, _demo.spot_push_url)
        return Venue(_demo.futures_url, _demo.spot_url, "demo", *push)


def _close_demo() -> None:
    if _demo is not None:
        _demo.close()


def forget() -> None:
    """Forget the exchange of ``demo_venue``: in a forked child, it is the parent's."""
    global _demo_lock, _demo
    _demo_lock, _demo = threading.Lock(), None


in_child(forget)
