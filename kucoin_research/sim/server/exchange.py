"""The simulated exchange: doors in front of a core that makes its data from an order flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.sim.accounts.keys import DEMO_ACCOUNT, Account
from kucoin_research.sim.accounts.trading_account import TradingAccount
from kucoin_research.sim.engine.clock import (
    Start,
    clock_from,
    is_number,
    named,
)
from kucoin_research.sim.engine.likeness import Alike, Likeness, RecordedMarket, listings_like
from kucoin_research.sim.engine.machine import Machine
from kucoin_research.sim.faults.chaos import Chaos, Planned
from kucoin_research.sim.server.doors import MARKETS, Doors
from kucoin_research.sim.server.market_core import MarketCore, listings_for
from kucoin_research.sim.server.rest import ROUTES
from kucoin_research.sim.server.routes import Site
from kucoin_research.sim.server.settings import make_settings
from kucoin_research.sim.server.tape import Tape

__all__ = ["Exchange", "markets_like"]


class Exchange(Doors):
    """A simulated KuCoin on this machine: REST and WebSocket, one loopback port per market.

    It starts on construction and is a context manager. Everything runs on one daemon thread with a
    loop of its own, so it works the same in scripts and in notebooks, whose loop it leaves alone.
    All methods may be called from any thread.

    By default virtual time begins at the machine's present and passes from then on, at `speed`. At
    speed 1 it stays the machine's present, so a client may ask for the last hour by its own clock.
    With `start`, virtual time stands still there until the first subscription, so that the first
    rows are reproducible: the same seed, start and subscriptions at that moment produce the same
    bytes on every topic.

    A symbol's order flow starts when the symbol is first touched (by a subscription or a REST call)
    and costs nothing before. If the machine or a reader is too slow, virtual time slips behind, and
    nothing is left out; at speed 1 from the present it catches up again.

    Parameters
    ----------
    seed
        Seed of all order flow.
    speed
        Virtual seconds per second.
    symbols
        Symbols on offer; None for the whole catalog, with as many more as ``contracts`` asks for.
    start
        Virtual time at which to stand until the first subscription: ISO text, a date, a datetime,
        one of numpy, or integer ns. None or ``"now"`` for the machine's present, which passes at
        once. Rounded down to 10 ms.
    host
        Address to listen on.
    futures_port, spot_port
        Ports; 0 for any free one.
    chaos
        Random faults: a whole number as the seed of the usual mix (``CHAOS_FAULTS``), or a
        `Chaos`; see ``schedule``.
    machine
        Its time, threads and sockets; None for the real ones.
    like
        Markets like recorded ones, as ``markets_like`` makes them, for the same seed and start;
        they take the place of the catalog's.
    **settings
        Fields of `Settings`; ``accounts=[Account(key=…, secret=…, passphrase=…)]`` adds accounts
        to the demo account, which always exists.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    OSError
        If a port is taken.

    Attributes
    ----------
    clock
        The `VirtualClock`: ``now_ns``, ``lag``, ``slips``, ``slipped_ns``.
    host
        The address it listens on.

    Examples
    --------
    >>> with Exchange(seed=7, speed=60.0) as x:
    ...     x.futures_url
    'http://127.0.0.1:...'
    """

    def __init__(
        self,
        seed: int = 7,
        speed: float = 1.0,
        *,
        symbols: Iterable[str] | str | None = None,
        start: Start = None,
        host: str = "127.0.0.1",
        futures_port: int = 0,
        spot_port: int = 0,
        chaos: int | Chaos | None = None,
        machine: Machine | None = None,
        like: Alike | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidInput(f"seed must be a whole number, not {shown(seed)}")
        # Checked before anything runs, so that a wrong value leaves nothing running.
        if chaos is not None and not isinstance(chaos, Chaos):
            chaos = Chaos(seed=chaos)
        self._schedule = [] if chaos is None else chaos.schedule()
        made = make_settings(settings)
        if not isinstance(like, Alike | None):
            raise InvalidInput(
                "like takes what markets_like(…) gives; simulate() takes a recording"
            )
        self._likenesses = () if like is None else tuple(like.likenesses)
        alike = None if like is None else like.listings
        listings = listings_for(symbols, made.quiet_contracts, made.contracts, alike)
        clock = clock_from(start, speed, machine)
        self._core: MarketCore = MarketCore(seed, clock, listings, made)
        sites = {market: Site(self._core, market) for market in MARKETS}
        for site in sites.values():
            site.sites = sites
        ports = {"futures": futures_port, "spot": spot_port}
        super().__init__(self._core, sites, ROUTES, host=host, ports=ports)
        if self._schedule:
            self._call(self._plan_chaos)

    def _plan_chaos(self) -> None:
        for planned in self._schedule:
            self._faults.plan(planned.after_ns, planned.fault)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"{self.futures_url} {self.spot_url}"
        return f"<Exchange {state} seed={self.seed} speed={self.clock.speed}>"

    @property
    def seed(self) -> int:
        """The seed of all order flow."""
        return self._core.seed

    @property
    def likenesses(self) -> list[Likeness]:
        """The traits of the markets of ``like``, and of those that were made like them."""
        return list(self._likenesses)

    @property
    def futures_push_url(self) -> str:
        """Address of the futures socket of the pro feed."""
        return f"ws://{self.host}:{self._doors['futures'].port}/pro"

    @property
    def spot_push_url(self) -> str:
        """Address of the spot socket of the pro feed."""
        return f"ws://{self.host}:{self._doors['spot'].port}/pro"

    @property
    def schedule(self) -> list[Planned]:
        """The faults that `chaos` has planned, in virtual time since the first subscription."""
        return list(self._schedule)

    @property
    def demo_account(self) -> TradingAccount:
        """The account that every simulated exchange has, with a fixed key: ``DEMO_ACCOUNT``."""
        return self.account(DEMO_ACCOUNT.key)

    @property
    def accounts(self) -> list[TradingAccount]:
        """All accounts, the demo account first."""
        return [self.account(key) for key in self._core.order_entry.members]

    def account(self, key: str | Account) -> TradingAccount:
        """Return the account of an API key.

        Raises
        ------
        InvalidInput
            If no account has this key.
        """
        text = key.key if isinstance(key, Account) else key
        member = self._core.order_entry.members.get(text)
        if member is None:
            raise InvalidInput(f"no account has the key {shown(text)}")
        return TradingAccount(member, self._core.order_entry, self._perform)

    def tape(self, symbol: str) -> Tape:
        """Return the true history of a symbol, from its first touch to now.

        Raises
        ------
        UnknownSymbol
            If it is not on offer.
        """
        return self._call(lambda: self._core.tape(symbol))()

    def start_trader(
        self,
        symbols: Iterable[str] | str | None = None,
        orders_per_minute: float = 30.0,
        *,
        account: TradingAccount | None = None,
        seed: int | None = None,
    ) -> None:
        """Let an account trade at random, from now on, in virtual time.

        It places limit, market and stop orders, amends and cancels. With the same seed and the same
        virtual time of its start (before the first subscription of an exchange with ``start=``, or
        while paused), it does the same.

        Parameters
        ----------
        symbols
            The symbols to trade; None for all on offer. Each gets a trader of its own.
        orders_per_minute
            Average number of actions of each trader per virtual minute.
        account
            The account that trades; None for the demo account.
        seed
            Seed of its choices; None for the exchange's.

        Raises
        ------
        InvalidInput
            If the rate is not above zero.
        UnknownSymbol
            If a symbol is not on offer.
        """
        if not is_number(orders_per_minute) or not 0 < orders_per_minute < float("inf"):
            raise InvalidInput(f"orders_per_minute {shown(orders_per_minute)} must be above 0")
        names = named(symbols) or list(self.symbols)
        for name in names:
            if name not in self._core.listings:
                raise UnknownSymbol(f"no symbol {shown(name)}; symbols: {', '.join(self.symbols)}")
        who = self.demo_account if account is None else account
        if (
            not isinstance(who, Account | TradingAccount)
            or who.key not in self._core.order_entry.members
        ):
            raise InvalidInput(
                f"account must be one of this exchange's accounts, not {shown(account)}"
            )
        member = self._core.order_entry.members[who.key]
        chosen = self.seed if seed is None else seed

        def start() -> None:
            # In the catalog's order, so that the order of `symbols` does not matter.
            for name in self.symbols:
                if name in names:
                    self._core.order_entry.start_trader(member, name, orders_per_minute, chosen)

        self._catch_up(names)
        self._perform(start)

    def stop_traders(self) -> None:
        """End all random traders; their orders and positions stay."""
        self._perform(self._core.order_entry.stop_traders)


def markets_like(
    recorded: Sequence[RecordedMarket],
    *,
    seed: int = 7,
    start: Start = None,
    machine: Machine | None = None,
    contracts: int | None = None,
) -> Alike:
    """Make markets that are like recorded ones, for an exchange with the same options.

    It takes some seconds for each market.

    Parameters
    ----------
    recorded
        The markets, and their traits.
    seed, start, machine, contracts
        Those of the `Exchange`.

    Raises
    ------
    InvalidInput
        If an argument is invalid, or a market cannot be simulated.
    """
    make_settings({"contracts": contracts})
    start_ns = clock_from(start, 1.0, machine).now_ns
    return listings_like(recorded, listings_for(None, contracts=contracts), seed, start_ns)
