"""Turns the account's own messages into records: orders, balances, positions, margin.

These messages are few, so a table reads them, not typed structs: each column is filled from the key
that is its name in camelCase, unless the converter says otherwise.

Source: KuCoin's classic futures, spot and margin WebSocket documentation
(https://www.kucoin.com/docs-new, read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import msgspec

from kucoin_research.errors import MessageBroken
from kucoin_research.exchange.json_numbers import Integer, Number
from kucoin_research.model.channels import Market
from kucoin_research.model.records import (
    Balance,
    Column,
    Fill,
    Leverage,
    Margin,
    Order,
    Position,
    Record,
    StopOrder,
    columns_of,
)
from kucoin_research.model.units import to_ns

__all__ = ["ACCOUNT_TOPICS", "AccountMessage", "AccountNews", "Positions"]

R = TypeVar("R", bound=Record)

_Data: TypeAlias = Mapping[Any, Any]


class AccountMessage(NamedTuple):
    """One message of the account: its subject, the symbol in its topic, and its data."""

    subject: str
    symbol: str | None
    data: _Data
    local: int  # arrival, ns UTC


class AccountNews(NamedTuple):
    """The records of one message; none if its subject is one that we do not keep."""

    records: tuple[Record, ...]


# -- values ----------------------------------------------------------------------------------------


def _number(value: Any) -> float:
    return msgspec.convert(value, Number, strict=False)


def _price(value: Any) -> float | None:
    return _number(value) or None  # a market order and a flat position have no price


def _integer(value: Any) -> int:
    return msgspec.convert(value, Integer, strict=False)


def _time(value: Any) -> int:
    return to_ns(_integer(value))


def _side(value: Any) -> str:
    if value not in ("buy", "sell"):
        raise MessageBroken(f"a side is 'buy' or 'sell', not {value!r:.80}")
    return str(value)


def _flag(value: Any) -> bool:
    return msgspec.convert(value, bool, strict=False)


def _label(value: Any) -> str:
    return msgspec.convert(value, str)


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an id that is written as a number
    return _label(value)


_CONVERTERS: dict[Column, Callable[[Any], Any]] = {
    Column.TIME: _time,
    Column.INTEGER: _integer,
    Column.NUMBER: _number,
    Column.SIDE: _side,
    Column.FLAG: _flag,
    Column.LABEL: _label,
    Column.TEXT: _text,
}
_CLOCKS_AND_SYMBOL = 3
_Plan: TypeAlias = tuple[tuple[str, str, Callable[[Any], Any]], ...]


def _plan(record: type[Record]) -> _Plan:
    """List a record's columns after clocks and symbol: name, key, converter."""
    columns = list(columns_of(record).items())[_CLOCKS_AND_SYMBOL:]
    return tuple(
        (name, _camel(name), _price if name.endswith("price") else _CONVERTERS[kind])
        for name, kind in columns
    )


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


_PLANS: dict[type[Record], _Plan] = {
    record: _plan(record) for record in (Order, Balance, Position, StopOrder, Margin, Leverage)
}


def _is_missing(value: object) -> bool:
    return value is None or value == ""  # KuCoin writes "" for values that a market order lacks


def _read(
    record: type[R],
    message: AccountMessage,
    time_key: str | None,
    symbol: str | None,
    /,
    **given: Any,
) -> R:
    """Fill a record from the data by its columns' names, except for the given values."""
    data = message.data
    when = data.get(time_key) if time_key is not None else None
    values: list[Any] = [None if _is_missing(when) else _time(when), message.local, symbol]
    for name, key, convert in _PLANS[cast("type[Record]", record)]:
        value = given[name] if name in given else data.get(key)
        values.append(None if _is_missing(value) else convert(value))
    return record(*values)


def _symbol(message: AccountMessage) -> str:
    return _named(message.data.get("symbol") or message.symbol)


def _named(symbol: Any) -> str:
    if not symbol:
        raise MessageBroken("a message of the account that should name its symbol does not")
    return _label(symbol)


def _mapping(value: object) -> _Data:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise MessageBroken(f"an object was due, not {value!r:.80}")
    return value


# -- messages --------------------------------------------------------------------------------------


def _order(message: AccountMessage) -> Iterable[Record]:
    order = _read(Order, message, "ts", _symbol(message))
    yield order
    if order.type == "match":
        yield Fill(
            order.timestamp,
            order.local_timestamp,
            order.symbol,
            order.order_id,
            order.client_oid,
            order.trade_id,
            order.side,
            order.match_price,
            order.match_size,
            order.liquidity,
            order.fee_type,
        )


def _stop_order(message: AccountMessage) -> Iterable[Record]:
    yield _read(StopOrder, message, "ts", _symbol(message))


def _futures_balance(message: AccountMessage) -> Iterable[Record]:
    data = message.data
    yield _read(
        Balance,
        message,
        "timestamp",
        None,
        market=Market.FUTURES.value,
        event=message.subject,
        total=data.get("walletBalance"),
        available=data.get("availableBalance"),
        hold=data.get("holdBalance"),
    )


def _spot_balance(message: AccountMessage) -> Iterable[Record]:
    context = _mapping(message.data.get("relationContext"))
    yield _read(
        Balance,
        message,
        "time",
        None,
        market=Market.SPOT.value,
        event=message.subject,
        relation_symbol=context.get("symbol"),
        relation_order_id=context.get("orderId"),
        relation_trade_id=context.get("tradeId"),
    )


def _position(message: AccountMessage) -> Iterable[Record]:
    data, symbol = message.data, _symbol(message)
    if message.subject == "position.settlement":
        yield _read(
            Position, message, "ts", symbol, event="settlement", current_qty=data.get("qty")
        )
    elif message.subject == "position.adjustRiskLimit":
        yield _read(Position, message, None, symbol, event="risk_limit")
    elif message.subject in ("position.change", ""):
        mode = data.get("marginMode")
        if mode is None and isinstance(data.get("crossMode"), bool):
            mode = "CROSS" if data["crossMode"] else "ISOLATED"
        yield _read(Position, message, "currentTimestamp", symbol, event="change", margin_mode=mode)


def _margin_mode(message: AccountMessage) -> Iterable[Record]:
    for symbol, mode in message.data.items():
        yield _read(Leverage, message, None, _named(symbol), margin_mode=mode, leverage=None)


def _cross_leverage(message: AccountMessage) -> Iterable[Record]:
    for symbol, setting in message.data.items():
        leverage = _mapping(setting).get("leverage")
        yield _read(Leverage, message, None, _named(symbol), margin_mode=None, leverage=leverage)


def _cross_margin(message: AccountMessage) -> Iterable[Record]:
    data = message.data
    assets, debts = _mapping(data.get("assetList")), _mapping(data.get("debtList"))
    for currency in dict.fromkeys([*assets, *debts]) or [None]:
        asset = assets.get(currency)
        figures = asset if isinstance(asset, Mapping) else {"total": asset}
        yield _read(
            Margin,
            message,
            "timestamp",
            None,
            event=message.subject,
            currency=currency,
            total=figures.get("total"),
            available=figures.get("available"),
            hold=figures.get("hold"),
            debt=debts.get(currency),
        )


def _isolated_margin(message: AccountMessage) -> Iterable[Record]:
    symbol = _named(message.symbol or message.data.get("tag"))
    changes = _mapping(message.data.get("changeAssets"))
    for currency in changes or [None]:
        figures = _mapping(changes.get(currency))
        yield _read(
            Margin,
            message,
            "timestamp",
            symbol,
            event=message.subject,
            currency=currency,
            total=figures.get("total"),
            hold=figures.get("hold"),
            liability_principal=figures.get("liabilityPrincipal"),
            liability_interest=figures.get("liabilityInterest"),
        )


#: By market and by the prefix of a pushed topic: the function that makes records of a message.
ACCOUNT_TOPICS: dict[Market, dict[str, Callable[[AccountMessage], Iterable[Record]]]] = {
    Market.FUTURES: {
        "/contractMarket/tradeOrders": _order,
        "/contractMarket/advancedOrders": _stop_order,
        "/contractAccount/wallet": _futures_balance,
        "/contract/position": _position,
        "/contract/positionAll": _position,
        "/contract/marginMode": _margin_mode,
        "/contract/crossLeverage": _cross_leverage,
    },
    Market.SPOT: {
        "/spotMarket/tradeOrdersV2": _order,
        "/spotMarket/tradeOrders": _order,
        "/spotMarket/advancedOrders": _stop_order,
        "/account/balance": _spot_balance,
        "/margin/position": _cross_margin,
        "/margin/isolatedPosition": _isolated_margin,
    },
}


# -- partial positions -----------------------------------------------------------------------------

# These columns describe the event, not the position: if a partial frame lacks one, it is unknown.
_OF_THE_EVENT = frozenset(
    {"timestamp", "local_timestamp", "symbol", "event", "change_reason", "funding_time",
     "funding_rate", "funding_fee", "success", "msg"}
)  # fmt: skip
_STATE = tuple(name for name in Position._fields if name not in _OF_THE_EVENT)


class Positions:
    """Completes partial position frames from the last full one of their symbol.

    KuCoin's ``markPriceChange`` frames leave out the size and most other fields. That a field is
    absent means nothing; in particular, it does not mean that the position is flat.
    """

    def __init__(self) -> None:
        self._last: dict[str, Position] = {}
        self._reported: set[str] = set()

    def complete(self, row: Position) -> tuple[Position, bool]:
        """Fill the fields that a partial frame leaves out.

        Parameters
        ----------
        row
            As decoded.

        Returns
        -------
        tuple[Position, bool]
            The row, and whether it is the first partial row of a symbol without a full one before.
        """
        symbol = row.symbol
        if row.event != "change" or symbol is None:
            return row, False
        is_partial = row.change_reason == "markPriceChange" or row.current_qty is None
        last = self._last.get(symbol)
        if is_partial and last is not None:
            kept = {name: getattr(last, name) for name in _STATE if getattr(row, name) is None}
            row = row._replace(**kept)
        if not is_partial or last is not None or row.current_qty is not None:
            self._last[symbol] = row
            return row, False
        is_first = symbol not in self._reported
        self._reported.add(symbol)
        return row, is_first

    def forget(self) -> None:
        """Forget all positions: they may have changed while no message could arrive."""
        self._last.clear()
        self._reported.clear()
