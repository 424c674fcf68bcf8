"""The REST calls about the futures wallet: its balance and history, fees, and transfers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kucoin_research.sim.accounts.account_book import FundingRow, LedgerRow, Transfer, WalletName
from kucoin_research.sim.accounts.ledger import decimal_text, fraction
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.futures_values import (
    INVALID,
    asked_contract,
    chosen_contract,
    text,
    word,
)
from kucoin_research.sim.server.pages import amount, between, numbered_page
from kucoin_research.sim.server.routes import (
    MS,
    Reply,
    Route,
    Site,
    for_account,
    integer,
    ok,
    touches_none,
)

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member

__all__ = ["FUTURES_ACCOUNT_CALLS"]

_T = TypeVar("_T", LedgerRow, FundingRow)

_LARGEST_TRANSFER = 1_000_000_000
_WALLETS: Mapping[str, WalletName] = {"MAIN": "main", "TRADE": "trade"}
_WALLET_TITLES = {"main": "Main Account", "trade": "Trading Account", "margin": "Margin Account"}
_EVENTS = ("RealisedPNL", "Deposit", "Withdrawal", "TransferIn", "TransferOut")


def _overview(site: Site, values: Values, member: Member) -> Reply:
    order_entry, currency = site.core.order_entry, _currency(values)
    balance, risk = _balance(site, member, currency), order_entry.cross_risk_rate(member, currency)
    return ok(
        balance
        | {
            "availableMargin": balance["availableBalance"],
            # Without any margin left, the positions are being liquidated.
            "riskRatio": 1.0 if risk is None else round(float(risk), 10),
            "maxWithdrawAmount": order_entry.transfers.transferable(member, "futures", currency),
        }
    )


def _overview_of_all(site: Site, values: Values, member: Member) -> Reply:
    # There are no sub-accounts here, so the main account is all.
    balance = _balance(site, member, _currency(values))
    totals = {
        name if name == "currency" else f"{name}Total": value for name, value in balance.items()
    }
    return ok({"summary": totals, "accounts": [{"accountName": "main"} | balance]})


def _currency(values: Values) -> str:
    return values.get("currency", "").strip() or "XBT"


def _balance(site: Site, member: Member, currency: str) -> dict[str, Any]:
    wallet = site.core.order_entry.futures_wallet(member, currency)
    return {
        "accountEquity": wallet.equity,
        "unrealisedPNL": wallet.isolated_pnl + wallet.cross_pnl,
        "marginBalance": wallet.balance,
        "positionMargin": wallet.isolated_position + wallet.cross_position,
        "orderMargin": wallet.isolated_order + wallet.cross_order,
        "frozenFunds": 0,
        "availableBalance": wallet.available,
        "currency": currency,
    }


def _offset_page(
    values: Values,
    newest_first: list[_T],
    make: Callable[[_T], dict[str, Any]],
    *,
    size: int,
    most: int,
) -> dict[str, Any]:
    # The rows after the one of number `offset`, in the direction that is asked for.
    is_reversed = any(
        word(values, name, ("true", "false"), "true") == "false" for name in ("forward", "reverse")
    )
    rows = newest_first[::-1] if is_reversed else newest_first
    offset = integer(values, "offset")
    if offset:
        rows = [
            row for row in rows if (row.row_id > offset) == is_reversed and row.row_id != offset
        ]
    count = min(most, max(1, integer(values, "maxCount") or size))
    return {"dataList": [make(row) for row in rows[:count]], "hasMore": len(rows) > count}


def _history(_site: Site, values: Values, member: Member) -> Reply:
    currency, event = values.get("currency", "").strip(), _event(values)
    rows = [
        row
        for row in member.book.ledger.newest_first()
        if row.wallet == "futures" and currency in ("", row.currency) and event in ("", row.event)
    ]
    chosen = between(values, rows, lambda row: row.time_ns)
    return ok(_offset_page(values, chosen, _history_row, size=50, most=1_000))


def _event(values: Values) -> str:
    # KuCoin's own documents spell them in several ways.
    asked = values.get("type", "").strip()
    known = {event.lower(): event for event in _EVENTS}
    found = known.get(asked.lower().replace("realizedpnl", "realisedpnl"), "")
    if asked and not found:
        raise OrderRefused(INVALID, f"no type {asked[:40]!r} here; known: {', '.join(_EVENTS)}")
    return found


def _history_row(row: LedgerRow) -> dict[str, Any]:
    return {
        "time": row.time_ns // MS,
        "type": row.event,
        "amount": row.amount,
        "fee": row.fee,
        "accountEquity": row.balance,
        "status": "Completed",
        "remark": _remark(row),
        "offset": row.row_id,
        "currency": row.currency,
    }


def _remark(row: LedgerRow) -> str:
    # The contract, or the other account of a transfer.
    other = row.context.get("remark", "")
    direction, _, wallet = other.partition(" ")
    if not wallet:
        return row.context.get("symbol", "")
    return f"Transferred {direction} {_WALLET_TITLES[wallet]}"


def _fundings(site: Site, values: Values, member: Member) -> Reply:
    symbol = chosen_contract(site, values)
    rows = [row for row in member.book.fundings.newest_first() if symbol in ("", row.symbol)]
    chosen = between(values, rows, lambda row: row.time_ns)
    return ok(_offset_page(values, chosen, _funding_row, size=10, most=100))


def _funding_row(row: FundingRow) -> dict[str, Any]:
    return {
        "id": row.row_id,
        "symbol": row.symbol,
        "timePoint": row.time_ns // MS,
        "fundingRate": row.rate,
        "markPrice": row.mark,
        "positionQty": row.quantity,
        "positionCost": row.value,
        "funding": row.funding,
        "settleCurrency": row.settle,
        "context": f'{{"marginMode": "{row.margin_mode}", "positionSide": "BOTH"}}',
        "marginMode": row.margin_mode,
    }


def _fees(site: Site, values: Values, _member: Member) -> Reply:
    listing = asked_contract(site, values)
    return ok(
        {
            "symbol": listing.symbol,
            "takerFeeRate": decimal_text(fraction(listing.taker_fee)),
            "makerFeeRate": decimal_text(fraction(listing.maker_fee)),
        }
    )


def _transfers_out(site: Site, values: Values, member: Member) -> Reply:
    currency = values.get("currency", "").strip()
    target = word(values, "type", _WALLETS)
    rows = [
        row
        for row in member.book.transfers.newest_first()
        if row.source == "futures"
        and currency in ("", row.currency)
        and (not target or row.target == _WALLETS[target])
    ]
    chosen = between(values, rows, lambda row: row.time_ns)
    return ok(numbered_page(values, chosen, lambda row: _transfer_row(site, row)))


def _transfer_row(site: Site, row: Transfer) -> dict[str, Any]:
    return {
        "applyId": _apply_id(site, row),
        "currency": row.currency,
        "recRemark": "",
        "recSystem": "KUCOIN",
        "status": "SUCCESS",
        "amount": decimal_text(row.amount),
        "reason": "",
        "offset": row.row_id,
        "createdAt": row.time_ns // MS,
        "remark": "",
    }


def _apply_id(site: Site, row: Transfer) -> str:
    return site.core.frame_id(f"transfer {row.row_id}", row.time_ns)


def _transfer_out(site: Site, values: Values, member: Member) -> Reply:
    target = _other_wallet(values, "recAccountType")
    row = _move(site, values, member, "futures", target)
    return ok(
        {
            "applyId": _apply_id(site, row),
            "bizNo": site.core.frame_id(f"business {row.row_id}", row.time_ns),
            "payAccountType": "CONTRACT",
            "payTag": "DEFAULT",
            "remark": "",
            "recAccountType": values["recAccountType"],
            "recTag": "DEFAULT",
            "recRemark": "",
            "recSystem": "KUCOIN",
            "status": "SUCCESS",
            "currency": row.currency,
            "amount": decimal_text(row.amount),
            "fee": "0",
            "sn": row.row_id,
            "reason": "",
            "createdAt": row.time_ns // MS,
            "updatedAt": row.time_ns // MS,
        }
    )


def _transfer_in(site: Site, values: Values, member: Member) -> Reply:
    _move(site, values, member, _other_wallet(values, "payAccountType"), "futures")
    return ok(None)


def _other_wallet(values: Values, name: str) -> WalletName:
    text(values, name)
    return _WALLETS[word(values, name, _WALLETS)]


def _move(
    site: Site, values: Values, member: Member, source: WalletName, target: WalletName
) -> Transfer:
    currency, moved = text(values, "currency"), amount(values, "amount", INVALID)
    if moved > _LARGEST_TRANSFER:
        raise OrderRefused(INVALID, f"amount {moved} is above the largest, {_LARGEST_TRANSFER}")
    return site.core.order_entry.transfers.move(member, source, target, currency, moved)


FUTURES_ACCOUNT_CALLS: tuple[Route, ...] = (
    for_account("GET", "/api/v1/account-overview", 5, _overview, touches_none),
    for_account("GET", "/api/v1/account-overview-all", 6, _overview_of_all, touches_none),
    for_account("GET", "/api/v1/transaction-history", 2, _history, touches_none),
    for_account("GET", "/api/v1/funding-history", 5, _fundings, touches_none),
    for_account("GET", "/api/v1/trade-fees", 3, _fees, touches_none),
    for_account("GET", "/api/v1/transfer-list", 20, _transfers_out, touches_none),
    for_account("POST", "/api/v3/transfer-out", 20, _transfer_out, touches_none),
    for_account("POST", "/api/v1/transfer-in", 20, _transfer_in, touches_none),
)
