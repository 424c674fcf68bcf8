"""The ledgers of the coin accounts of spot.

The trade account is one: both the classic and the high-frequency ledger show its rows. Shapes and
weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

import json
from typing import Any

from kucoin_research.sim.accounts.account_book import LedgerRow, WalletName
from kucoin_research.sim.accounts.ledger import decimal_text
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import between, last_rows, numbered_page
from kucoin_research.sim.server.routes import MS, Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_requests import INVALID, word

__all__ = ["LEDGER_ROUTES"]

_MOST_CURRENCIES = 10
# By the last part of the ``relationEvent`` of the private stream.
_BUSINESS = {"setted": "TRADE_EXCHANGE", "transfer": "TRANSFER"}
_OTHER = "OTHER"  # lent coins


def _rows(values: Values, member: Member, wallets: tuple[WalletName, ...]) -> list[LedgerRow]:
    """Return the rows that a call asks for, newest first."""
    direction = word(values, "direction", ("in", "out"))
    currencies = {one.strip() for one in values.get("currency", "").split(",") if one.strip()}
    if len(currencies) > _MOST_CURRENCIES:
        raise OrderRefused(
            INVALID, f"{len(currencies)} currencies: {_MOST_CURRENCIES} are the most"
        )
    found = [
        row
        for row in member.book.ledger.newest_first()
        if row.wallet in wallets
        and (not currencies or row.currency in currencies)
        and direction in ("", _direction(row))
        and values.get("bizType", "") in ("", _business(row))
    ]
    return between(values, found, lambda row: row.time_ns)


def _direction(row: LedgerRow) -> str:
    return "in" if row.amount > 0 else "out"


def _business(row: LedgerRow) -> str:
    return _BUSINESS.get(row.event.rpartition(".")[2], _OTHER)


def _fields(row: LedgerRow, account_type: str) -> dict[str, Any]:
    return {
        "id": str(row.row_id),
        "currency": row.currency,
        # The whole change: the fee is taken from it already.
        "amount": decimal_text(abs(row.amount)),
        "fee": decimal_text(row.fee),
        "balance": decimal_text(row.balance),
        "accountType": account_type,
        "bizType": _business(row),
        "direction": _direction(row),
        "createdAt": row.time_ns // MS,
        "context": _json(row) if row.context else "",
    }


def _json(row: LedgerRow) -> str:
    return json.dumps(row.context, separators=(",", ":"))


def _page(_site: Site, values: Values, member: Member) -> Reply:
    found = _rows(values, member, ("main", "trade", "margin"))
    return ok(numbered_page(values, found, lambda row: _fields(row, row.wallet.upper())))


def _trade_rows(_site: Site, values: Values, member: Member) -> Reply:
    page = _last(values, _rows(values, member, ("trade",)))
    return ok(
        [
            {
                **_fields(row, "TRADE_HF"),
                # Text, in this ledger alone.
                "createdAt": str(row.time_ns // MS),
                "context": _json(row),
                "tax": "0",
            }
            for row in page
        ]
    )


def _margin_rows(_site: Site, values: Values, member: Member) -> Reply:
    page = _last(values, _rows(values, member, ("margin",)))
    return ok(
        [
            {
                **_fields(row, "MARGIN_V2"),
                "id": row.row_id,
                "context": _json(row),
                "tax": "0",
            }
            for row in page
        ]
    )


def _last(values: Values, rows: list[LedgerRow]) -> list[LedgerRow]:
    return last_rows(values, rows, lambda row: row.row_id, size=100, most=200)


LEDGER_ROUTES: tuple[Route, ...] = (
    for_account("GET", "/api/v1/accounts/ledgers", 2, _page, touches_none),
    for_account("GET", "/api/v1/hf/accounts/ledgers", 2, _trade_rows, touches_none),
    for_account("GET", "/api/v3/hf/margin/account/ledgers", 2, _margin_rows, touches_none),
)
