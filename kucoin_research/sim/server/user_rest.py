"""The REST calls by which clients ask who they are, before their first order.

Shapes from the models and samples of kucoin-universal-sdk 1.3.2 and typed-kucoin 0.5.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kucoin_research.sim.accounts.ledger import account_number
from kucoin_research.sim.server.routes import (
    MS,
    Reply,
    Route,
    Site,
    Values,
    for_account,
    ok,
    touches_none,
)

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member

__all__ = ["USER_ROUTES"]

_KINDS = ("", "Default", "Spot", "Margin", "Futures", "Option")


def _user(_site: Site, _values: Values, _member: Member) -> Reply:
    # The lowest level, as the fees of the listings are; an account has no sub-accounts here.
    numbers = {f"max{kind}SubQuantity": 0 for kind in _KINDS}
    numbers |= {_small(f"{kind}SubQuantity"): 0 for kind in _KINDS if kind != "Default"}
    return ok({"level": 0, **numbers})


def _small(name: str) -> str:
    return name[0].lower() + name[1:]


def _key(site: Site, _values: Values, member: Member) -> Reply:
    return ok(
        {
            "remark": "simulated exchange",
            "apiKey": member.account.key,
            "apiVersion": 3,
            "permission": "General,Spot,Margin,Futures,InnerTransfer",
            "createdAt": site.core.clock.start_ns // MS,
            "uid": account_number(member.user_id, "uid", ""),
            "isMaster": True,
            "region": "",
            "kycStatus": 1,
            "siteType": "global",
        }
    )


def _is_high_frequency(_site: Site, _values: Values, _member: Member) -> Reply:
    # True of every account on KuCoin since classic and high-frequency accounts became one in 2024.
    return ok(True)


USER_ROUTES: tuple[Route, ...] = (
    for_account("GET", "/api/v2/user-info", 20, _user, touches_none),
    for_account("GET", "/api/v1/user/api-key", 20, _key, touches_none),
    for_account("GET", "/api/v1/hf/accounts/opened", 2, _is_high_frequency, touches_none),
)
