"""Signs calls with a user's key, by a clock that the exchange accepts."""

from __future__ import annotations

from kucoin_research.errors import (
    CredentialsMissing,
)
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.calls import (
    Call,
    RequestSigner,
)
from kucoin_research.exchange.rest.quotas import Pool
from kucoin_research.exchange.signing import signed_headers
from kucoin_research.exchange.venues import (
    Venue,
    refuse_untrusted,
)
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market

__all__ = ["Signer"]

_NS_PER_MS = 1_000_000


class Signer:
    """Signs the calls of one client that need a key.

    KuCoin takes a timestamp that is less than 5 s off. When it refuses ours, its clock is measured,
    and the offset is kept here for every later signature.

    Parameters
    ----------
    venue
        Where signed calls go.
    credentials
        The key; None refuses every call that needs one.
    clock
        The time that signatures are dated by.
    """

    def __init__(self, venue: Venue, credentials: Credentials | None, clock: clocks.Clock) -> None:
        self._venue = venue
        self._credentials = credentials
        self._clock = clock
        self._clock_offsets: dict[Market, int] = {}  # ns, measured once a timestamp was refused

    def mask(self, text: str) -> str:
        """Replace by ``***`` what the text holds of the key."""
        return text if self._credentials is None else self._credentials.mask(text)

    def pool(self, call: Call) -> Pool:
        """Return the pool that a call takes its quota from: this address's, or the account's."""
        key = None
        if call.is_signed and self._credentials is not None:
            # Python salts the hash, so nobody can find the key by it.
            key = hash(self._credentials.key)
        return Pool(call.market, key)

    def set_offset(self, market: Market, offset_ns: int) -> None:
        """Date signatures of a market by the exchange's clock from now on."""
        self._clock_offsets[market] = offset_ns

    def forget_offset(self, market: Market) -> None:
        """Date signatures by our own clock again."""
        self._clock_offsets.pop(market, None)

    def describe_offset(self, market: Market) -> str:
        """Return half a sentence about how far our clock is off."""
        return _describe_offset(self._clock_offsets.get(market))

    def sign(self, call: Call) -> RequestSigner:
        """Return a signer for one try of a call, dated by this moment.

        Raises
        ------
        CredentialsMissing
            If there are no credentials.
        UntrustedHost
            If the key would go elsewhere than to KuCoin or this machine.
        """
        credentials = self._credentials
        if credentials is None:
            raise CredentialsMissing(
                f"{call.what} needs credentials; pass credentials=kr.Credentials.from_env()"
            )
        refuse_untrusted(self._venue.url(call.market), "an API key")
        now_ns = self._clock.wall_ns() + self._clock_offsets.get(call.market, 0)
        return RequestSigner(
            credentials,
            lambda: signed_headers(
                credentials,
                method=call.method,
                path=call.target,
                timestamp_ms=now_ns // _NS_PER_MS,
            ),
        )


def _describe_offset(offset_ns: int | None) -> str:
    if offset_ns is None:
        return "this machine's clock is more than 5 s off"
    side = "behind" if offset_ns > 0 else "ahead of"
    return f"this machine's clock is {abs(offset_ns) / 1e9:.1f} s {side} the exchange's"
