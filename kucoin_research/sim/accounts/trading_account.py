"""The handle by which Python code trades on the simulated exchange."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias, TypeVar

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.sim.accounts.account_book import WALLETS, WalletName
from kucoin_research.sim.accounts.ledger import CoinWallet, read_amount
from kucoin_research.sim.accounts.members import FuturesWallet, Member
from kucoin_research.sim.accounts.order_entry import OrderEntry
from kucoin_research.sim.accounts.orders import Fill, OrderRequest
from kucoin_research.sim.engine.account_orders import SelfTrade, TimeInForce
from kucoin_research.sim.engine.market import Side

__all__ = ["Amount", "Balance", "TradingAccount"]

_T = TypeVar("_T")
Amount: TypeAlias = Decimal | float | str
Perform: TypeAlias = Callable[[Callable[[], Any]], Any]


class Balance(NamedTuple):
    """One coin's balance: ``total == available + hold``, exactly."""

    total: Decimal
    available: Decimal
    hold: Decimal


class TradingAccount:
    """Trades for one account of a running exchange, and holds its API key.

    All methods may be called from any thread; they run on the exchange's thread, at the current
    virtual time. None of them starts a virtual clock that stands still. Amounts and prices may be
    text, `Decimal`, int or float (taken as it prints).

    Attributes
    ----------
    key, secret, passphrase
        The API key. ``secret`` and ``passphrase`` are not shown in the repr.
    user_id
        The ``userId`` of its private frames.
    """

    def __init__(self, member: Member, order_entry: OrderEntry, perform: Perform) -> None:
        self.key = member.account.key
        self.secret = member.account.secret
        self.passphrase = member.account.passphrase
        self.user_id = member.user_id
        self._member = member
        self._order_entry = order_entry
        self._perform = perform

    def __repr__(self) -> str:
        return f"<TradingAccount key={self.key!r} secret='***' passphrase='***'>"

    def place(
        self,
        symbol: str,
        side: Side,
        size: Amount | None = None,
        *,
        price: Amount | None = None,
        funds: Amount | None = None,
        time_in_force: TimeInForce = "GTC",
        reduce_only: bool = False,
        stop: str = "",
        stop_price: Amount | None = None,
        stop_price_type: str = "TP",
        client_oid: str = "",
        cancel_after: int = 0,
        leverage: Amount | None = None,
        close_order: bool = False,
        force_hold: bool = False,
        stp: SelfTrade = "",
    ) -> str:
        """Place an order.

        Parameters
        ----------
        symbol, side
            Instrument, and ``"buy"`` or ``"sell"``.
        size
            Lots on futures, base coins on spot.
        price
            Limit price; None for a market order. Refused if a buy is more than the price band above
            the mark price (spot: the best ask), or a sell as far below it (spot: the best bid). A
            market order takes up to there, and its rest is canceled. One that closes isolated
            margin takes no price at which its loss and fee are more than that margin.
        funds
            On spot market orders in place of a size: what to buy or sell for. The fee of a buy
            comes on top. What no whole number of lots is worth is canceled.
        time_in_force
            ``"GTC"``, ``"GTT"`` (spot, for `cancel_after` seconds of virtual time), ``"IOC"``,
            ``"FOK"`` or ``"PO"`` (post only, on spot perhaps with `cancel_after`). An order that
            cannot be executed this way is canceled at once.
        reduce_only
            On futures: may close a position, never open one.
        stop, stop_price, stop_price_type
            ``"up"`` or ``"down"`` (futures), ``"entry"`` or ``"loss"`` (spot): the order waits for
            the stop price of the last trade (``"TP"``), the mark (``"MP"``) or the index
            (``"IP"``). Checked every 10 ms.
        client_oid
            The caller's own id, up to 40 letters, digits, underscores and hyphens; each may be used
            once on each market.
        cancel_after
            See `time_in_force`.
        leverage
            On futures, the leverage of what an order with isolated margin opens; None for the
            symbol's.
        close_order
            On futures, close the whole position: side and size follow from it.
        force_hold
            On futures, bind margin even where the order reduces a position.
        stp
            What happens instead of a trade with an own order: ``"CN"`` cancels this one, ``"CO"``
            the older one, ``"CB"`` both, ``"DC"`` (spot) takes the smaller size from both. Empty
            for a trade.

        Returns
        -------
        str
            The order's id. A triggered stop order becomes an order with another id.

        Raises
        ------
        OrderRefused
            Where KuCoin would refuse it; ``code`` is KuCoin's. On futures also within the 10 s of a
            funding's settlement (300015); a stop order that waits already may trigger then.
        UnknownSymbol
            If the symbol is not on offer.
        """
        request = OrderRequest(
            symbol=symbol,
            side=side,
            size=_optional(size),
            price=_optional(price),
            funds=_optional(funds),
            time_in_force=time_in_force,
            reduce_only=reduce_only,
            client_oid=client_oid,
            cancel_after=cancel_after,
            leverage=_optional(leverage),
            close_order=close_order,
            force_hold=force_hold,
            stp=stp,
            stop=stop,
            stop_price=_optional(stop_price),
            stop_price_type=stop_price_type,
        )
        return self._do(lambda: self._order_entry.place(self._member, request))

    def cancel(self, order_id: str) -> None:
        """Cancel an open order or stop order; raises `OrderRefused` if it is neither."""
        self._do(lambda: self._order_entry.cancel(self._member, order_id))

    def cancel_all(self, symbol: str | None = None) -> list[str]:
        """Cancel all open orders and stop orders, of one symbol or of all; return their ids."""

        def cancel() -> list[str]:
            member = self._member
            ids = [o.order_id for o in member.orders.values() if symbol in (None, o.symbol)]
            ids += [s.order_id for s in member.stops.values() if symbol in (None, s.request.symbol)]
            for order_id in ids:
                # The other order of a pair may have ended with the first.
                if order_id in member.orders or order_id in member.stops:
                    self._order_entry.cancel(member, order_id)
            return ids

        return self._do(cancel)

    def amend(self, order_id: str, size: Amount) -> None:
        """Make an open order smaller; raises `OrderRefused` if KuCoin would refuse it."""
        self._do(lambda: self._order_entry.amend(self._member, order_id, _decimal(size)))

    @property
    def open_orders(self) -> list[str]:
        """The ids of the open orders and of the waiting stop orders."""
        return self._do(lambda: [*self._member.orders, *self._member.stops])

    @property
    def fills(self) -> list[Fill]:
        """The newest 100 000 fills, oldest first."""
        return self._do(lambda: list(self._member.fills))

    def balances(self, wallet: str = "spot") -> dict[str, Balance]:
        """Return the coins of the ``"spot"`` or the ``"margin"`` account."""
        if wallet not in ("spot", "margin"):
            raise InvalidInput(
                f"no wallet {shown(wallet)}; wallets: spot, margin (see futures_wallet)"
            )
        coins = self._member.spot if wallet == "spot" else self._member.margin.wallet
        return self._do(lambda: _balances(coins))

    def futures_wallet(self, currency: str = "USDT") -> FuturesWallet:
        """Return one settlement currency of the futures account."""
        return self._do(lambda: self._order_entry.futures_wallet(self._member, currency))

    @property
    def positions(self) -> dict[str, int]:
        """Open futures positions: symbol to signed lots."""
        return self._do(
            lambda: {s: p.quantity for s, p in self._member.positions.items() if p.quantity}
        )

    def deposit(self, wallet: str, currency: str, amount: Amount) -> None:
        """Add coins to ``"spot"``, ``"futures"`` or ``"margin"``; a negative amount takes away."""
        value = _decimal(amount)
        self._do(lambda: self._order_entry.deposit(self._member, wallet, currency, value))

    def transfer(
        self, source: WalletName, target: WalletName, currency: str, amount: Amount
    ) -> None:
        """Move coins between the wallets ``"main"``, ``"trade"``, ``"margin"`` and ``"futures"``.

        ``"trade"`` is the wallet of spot orders. BTC and XBT name the same coin.

        Raises
        ------
        OrderRefused
            If too little is available.
        """
        for wallet in (source, target):
            if wallet not in WALLETS:
                raise InvalidInput(f"no wallet {shown(wallet)}; wallets: {', '.join(WALLETS)}")
        value = _decimal(amount)
        transfers = self._order_entry.transfers
        self._do(lambda: transfers.move(self._member, source, target, currency, value))

    def borrow(self, currency: str, amount: Amount, *, symbol: str = "") -> None:
        """Borrow on cross margin, or on the isolated margin of a spot symbol.

        There is no limit, so that the warnings of the margin topics can be seen; but nothing leaves
        cross margin that would make the debts more than 60 % of the assets.
        """
        order_entry, value = self._order_entry, _decimal(amount)
        self._do(
            lambda: order_entry.lender.borrow(
                self._member, currency, value, symbol, order_entry.venue.clock.reached_ns
            )
        )

    def repay(self, currency: str, amount: Amount, *, symbol: str = "") -> None:
        """Repay borrowed coins."""
        order_entry, value = self._order_entry, _decimal(amount)
        self._do(
            lambda: order_entry.lender.repay(
                self._member, currency, value, symbol, order_entry.venue.clock.reached_ns
            )
        )

    def set_leverage(self, symbol: str, leverage: Amount) -> None:
        """Set the leverage of the symbol's next orders (10 at first)."""
        value = _decimal(leverage)
        self._do(lambda: self._order_entry.set_leverage(self._member, symbol, value))

    def set_margin_mode(self, symbol: str, mode: str) -> None:
        """Set the margin mode of a symbol: ``"ISOLATED"`` (at first) or ``"CROSS"``."""
        self._do(lambda: self._order_entry.set_margin_mode(self._member, symbol, mode))

    def _do(self, function: Callable[[], _T]) -> _T:
        result: _T = self._perform(function)
        return result


def _balances(coins: CoinWallet) -> dict[str, Balance]:
    return {
        coin: Balance(coins.total(coin), coins.available(coin), coins.hold(coin))
        for coin in coins.currencies
    }


def _decimal(amount: Amount) -> Decimal:
    value = read_amount(str(amount))
    if value is None:
        raise InvalidInput(f"{shown(amount)} is no number, or has too many digits")
    return value


def _optional(amount: Amount | None) -> Decimal | None:
    return None if amount is None else _decimal(amount)
