"""The accounts that may log in: API keys and opening balances."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from kucoin_research.errors import InvalidInput

__all__ = ["DEMO_ACCOUNT", "Account"]


def _demo_futures() -> dict[str, str]:
    return {"USDT": "10000", "USDC": "10000", "XBT": "0.5"}


def _demo_spot() -> dict[str, str]:
    return {"USDT": "10000", "BTC": "0.5", "ETH": "5", "KCS": "500"}


def _demo_margin() -> dict[str, str]:
    return {"USDT": "1000"}


@dataclass(frozen=True, kw_only=True)
class Account:
    """One user of the simulated exchange: an API key and opening balances.

    Attributes
    ----------
    key, secret, passphrase
        The API key; `secret` and `passphrase` are left out of the repr.
    futures, spot, margin, main
        Opening balances, currency to decimal text; ``spot`` are those of the trade account. The
        main account, for deposits, is empty unless it is given.

    Raises
    ------
    InvalidInput
        If one of the three texts is empty.
    """

    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    futures: Mapping[str, str] = field(default_factory=_demo_futures, repr=False)
    spot: Mapping[str, str] = field(default_factory=_demo_spot, repr=False)
    margin: Mapping[str, str] = field(default_factory=_demo_margin, repr=False)
    main: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not (self.key and self.secret and self.passphrase):
            raise InvalidInput("an account needs a key, a secret and a passphrase")

    @property
    def user_id(self) -> str:
        """The ``userId`` of its frames: 24 hex digits."""
        return hashlib.blake2b(self.key.encode(), digest_size=12).hexdigest()


# Not a secret: these are valid on the simulated exchange only.
DEMO_ACCOUNT = Account(
    key="demo00000000000000000000",
    secret="demo-secret-for-the-simulated-exchange",  # noqa: S106
    passphrase="demo-passphrase",  # noqa: S106
)
