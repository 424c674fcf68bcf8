"""A recording served as an exchange: the simulated one's doors, with recorded data behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.sim.engine.clock import SLICE_NS, VirtualClock, is_number
from kucoin_research.sim.engine.machine import Machine
from kucoin_research.sim.engine.offers import Offer
from kucoin_research.sim.recorded.core import Batches, RecordedCore
from kucoin_research.sim.recorded.rest import RECORDED_ROUTES, RecordedRows
from kucoin_research.sim.server.doors import MARKETS, Doors
from kucoin_research.sim.server.settings import make_settings

__all__ = ["ReplayExchange"]

# Faster than any reader: an hour in 4 ms. Time waits for the sockets, so they set the speed.
_AT_ONCE = 1e6


class ReplayExchange(Doors):
    """Serves recorded rows by KuCoin's REST and WebSocket protocol; see `Doors`.

    Virtual time is the recording's ``local_timestamp``. It stands still until the first
    subscription and for `grace` seconds after it, then it runs at `speed`. If the machine or a
    reader is too slow, it slips; nothing is left out. After the first change of a book it also
    waits, for the setting `patience` at most, until REST is asked for that book: so a client that
    begins with the recording gets the recorded snapshot. After the last row the streams are silent
    and stay open.

    Parameters
    ----------
    batches, ahead
        The rows from the beginning, and once more from `start_ns` on; see `RecordedCore`.
    offers
        The symbols recorded, with their known facts.
    speed
        Virtual seconds per second; None for as fast as the slowest reader takes the rows.
    start_ns
        Virtual time of the start, ns UTC: all rows before it have happened.
    host, futures_port, spot_port
        The address and ports to listen on; port 0 for any free one.
    has_fillers
        Whether the recording is of the pro feed.
    grace
        Seconds (wall) from the first subscription to the first row, for clients that subscribe to
        one topic after the other.
    is_held
        Whether time stands still until ``resume``, even after a subscription.
    **settings
        Fields of `Settings`; those of order flow and of accounts' trading have no effect here.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    OSError
        If a port is taken.
    """

    def __init__(
        self,
        batches: Batches,
        ahead: Batches,
        offers: Mapping[str, Offer],
        *,
        speed: float | None,
        start_ns: int,
        host: str = "127.0.0.1",
        futures_port: int = 0,
        spot_port: int = 0,
        has_fillers: bool = False,
        grace: float = 0.0,
        is_held: bool = False,
        machine: Machine | None = None,
        **settings: Any,
    ) -> None:
        if not is_number(grace) or not 0 <= grace < float("inf"):
            raise InvalidInput(f"grace must be a number of seconds, not {shown(grace)}")
        # The grid point before the start, so that a row at the start itself is still to come.
        clock = VirtualClock(
            (start_ns - 1) // SLICE_NS * SLICE_NS,
            _AT_ONCE if speed is None else speed,
            machine=machine,
        )
        core = RecordedCore(
            batches,
            ahead,
            offers,
            clock,
            make_settings(settings),
            has_fillers=has_fillers,
            grace=grace,
            wake=self._wake,
        )
        core.is_held = is_held
        self._core: RecordedCore = core
        super().__init__(
            core,
            {market: RecordedRows(core, market) for market in MARKETS},
            RECORDED_ROUTES,
            host=host,
            ports={"futures": futures_port, "spot": spot_port},
            has_pro=False,
        )

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"{self.futures_url} {self.spot_url}"
        return f"<{type(self).__name__} {state} speed={self.clock.speed}>"

    @property
    def is_over(self) -> bool:
        """Whether the last row has been played."""
        return self._core.is_over

    @property
    def rows_played(self) -> int:
        """Number of rows played, those before the start among them."""
        return self._core.rows_played
