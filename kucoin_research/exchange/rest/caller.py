"""Makes one call: waits for the quota, signs, sends, opens the envelope, and tries again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from kucoin_research.errors import (
    KucoinResearchError,
    RateLimited,
    StreamStopped,
    Unreachable,
)
from kucoin_research.exchange.rest.calls import (
    Call,
    CallFailure,
    CallReply,
)
from kucoin_research.exchange.rest.envelope import (
    HEADERS,
    parse_envelope,
    quota_report_of,
)
from kucoin_research.exchange.rest.failures import (
    FailureReader,
    host_of,
    is_about_clock,
    network_failure,
    whole_seconds,
)
from kucoin_research.exchange.rest.quotas import Pace, pace_of, quotas_of
from kucoin_research.exchange.rest.replies import ReplyReader
from kucoin_research.exchange.rest.signer import Signer
from kucoin_research.exchange.rest.transport import Transport
from kucoin_research.exchange.rest.troubles import TransportError
from kucoin_research.exchange.venues import (
    Venue,
    is_loopback,
)
from kucoin_research.foundation import clocks
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.hidden import Hidden, bare, sealed
from kucoin_research.model.channels import Market

__all__ = ["ClockOffset", "RestCaller"]

log = logging.getLogger(__name__)

_NS_PER_MS = 1_000_000
_TRIES = 3
_FIRST_BACKOFF = 0.5  # seconds; doubles with each try
# Cloudflare, in front of KuCoin, blocks an address after about 500 requests in 10 s. At most 400 of
# them may be ours: the rest is left to tokens, and to other processes of this machine.
_BURST = 200
_PER_SECOND = 20.0


class ClockOffset(NamedTuple):
    """How far the exchange's clock is ahead of ours, in ns, give or take ``uncertainty_ns``."""

    offset_ns: int
    uncertainty_ns: int


class RestCaller:
    """Sends calls to one exchange, and returns the replies that report success.

    A call waits until the quota has room for it. What can pass by itself is tried three times.

    **Threads**: any number may call at once. ``close`` may be called from any thread.

    Parameters
    ----------
    venue
        Where the exchange is.
    signer
        Signs the calls that need a key.
    reader
        Reads the exchange's clock.
    failures
        Makes the error of a call that failed.
    transport
        Sends the requests.
    total
        Seconds for one request, from looking up the name to the last byte of its reply.
    patience
        Seconds that the waits before retries may add up to.
    clock
        Times the waits and the deadlines.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        signer: Signer,
        reader: ReplyReader,
        failures: FailureReader,
        transport: Transport,
        total: float,
        patience: float,
        clock: clocks.Clock,
    ) -> None:
        self.clock = clock
        self._venue = venue
        self._signer = signer
        self._reader = reader
        self._failures = failures
        self._transport = transport
        self._total = total
        self._patience = patience
        self._closed = clock.event()
        self._over_at: float | None = None  # monotonic seconds
        urls = {market: venue.url(market) for market in Market}
        self._quotas = {
            market: quotas_of(clock, url, is_loopback=is_loopback(url))
            for market, url in urls.items()
        }
        self._pace = _pace_of(venue, clock)

    def close(self) -> None:
        """End every wait and every request at once. Calls then raise ``StreamStopped``."""
        self._closed.set()
        self._transport.close()

    def disown(self) -> None:
        """Forget in a forked child the requests of the parent; calls open their own connections."""
        self._transport.disown()

    def end_by(self, moment: float | None) -> None:
        """Let no call from now on last beyond a moment; see `Rest.end_by`."""
        self._over_at = moment

    def fetch(self, call: Call, *, patience: float = 0.0) -> CallReply:
        """Make a call, and return its reply.

        Parameters
        ----------
        call
            The call.
        patience
            Seconds that its waits may add up to, if that is more than usual.

        Raises
        ------
        KucoinResearchError
            The error of the last try, or the one that no try can get past.
        StreamStopped
            After `close`.
        """
        deadline = self.clock.monotonic() + max(patience, self._patience)
        if self._over_at is not None:
            deadline = min(deadline, self._over_at)
        attempt = 0
        has_set_clock = False
        while True:
            self._await_turn(call, deadline)
            try:
                outcome = self._attempt(call)
            finally:
                self._quotas[call.market].over(self._signer.pool(call), call.weight)
            if isinstance(outcome, CallReply):
                return outcome
            if call.is_signed and is_about_clock(outcome):
                if not has_set_clock:
                    has_set_clock = True
                    self._set_clock(call.market)
                    continue
                # The measured offset did not help, so it may be wrong.
                self._signer.forget_offset(call.market)
            attempt += 1
            delay = self._delay(call, outcome, attempt)
            if outcome.may_pass or isinstance(outcome.error, Unreachable):
                outcome.error.may_pass = True
            if not outcome.may_pass or attempt == _TRIES:
                raise outcome.error from outcome.cause
            if self.clock.monotonic() + delay > deadline:
                raise outcome.error from outcome.cause
            log.info("asks again in %.1f s: %s", delay, outcome.error)
            self.pause(delay)

    def clock_offset(self, market: Market, now_ns: Callable[[], int] | None = None) -> ClockOffset:
        """Measure the exchange's clock against ours; see `Rest.clock_offset`."""
        call = Call(market, "/api/v1/timestamp", "its time")
        reply = self.fetch(call)
        theirs = self._reader.time_ns(call, reply) + _NS_PER_MS // 2
        half_ns = (reply.received_at_ns - reply.sent_at_ns) // 2
        # Measured on the steady clock: our wall clock may have been set meanwhile.
        since_ns = self.clock.monotonic_ns() - reply.sent_at_ns - half_ns
        ours = (self.clock.wall_ns if now_ns is None else now_ns)() - since_ns
        return ClockOffset(theirs - ours, half_ns + _NS_PER_MS // 2)

    def _set_clock(self, market: Market) -> None:
        # If the exchange's clock cannot be read, the offset stays as it is.
        try:
            offset = self.clock_offset(market).offset_ns
        except KucoinResearchError as error:
            log.info("the exchange's clock could not be read: %s", error)
            return
        self._signer.set_offset(market, offset)
        log.warning("%s; calls are signed by the exchange's", self._signer.describe_offset(market))

    def _delay(self, call: Call, failure: CallFailure, attempt: int) -> float:
        """Return the seconds until the next try; block other calls that would be refused too."""
        delay = failure.wait
        if delay is None and failure.may_pass and attempt < _TRIES:
            delay = _FIRST_BACKOFF * 2 ** (attempt - 1) * (0.5 + self.clock.random.random())
        elif delay is None:  # no next try: other calls wait as long as the error says
            delay = failure.error.retry_after if isinstance(failure.error, RateLimited) else 0.0
        if failure.refuses:
            pool = self._signer.pool(call) if failure.refuses == "pool" else None
            self._quotas[call.market].refuse(pool, delay)
        return delay

    def _attempt(self, call: Call) -> CallReply | CallFailure:
        """Try once; an error leaves without the frames that hold a signature or a token."""
        if not call.holds_secrets:
            return self._try(call)
        call = call._replace(proof=self._signer.sign(call) if call.is_signed else None)
        return sealed(lambda: _without_frames(self._try(call), call.mask), call.mask)

    def _await_turn(self, call: Call, deadline: float) -> None:
        """Wait until a call may be sent, and take its weight from the quota."""
        if self._pace is not None:
            self._await(self._pace.take, call, deadline)
        take = partial(self._quotas[call.market].take, self._signer.pool(call), call.weight)
        self._await(partial(take, is_urgent=call.is_urgent), call, deadline)

    def _await(self, take: Callable[[], float], call: Call, deadline: float) -> None:
        while wait := take():
            if self.clock.monotonic() + wait > deadline:
                refused = RateLimited(
                    f"{host_of(self._venue, call.market)} takes no more requests for "
                    f"{whole_seconds(wait)} s, so {call.what} was not asked for; "
                    "try again then, and ask less often",
                    retry_after=wait,
                )
                refused.may_pass = True
                raise refused
            self.pause(wait)

    def pause(self, seconds: float) -> None:
        """Wait; raises ``StreamStopped`` once the caller is closed."""
        if self._closed.wait(seconds):
            raise self._stopped()

    def _stopped(self) -> StreamStopped:
        return StreamStopped(f"the REST side of {self._venue.name!r} was closed; open a new one")

    def _try(self, call: Call) -> CallReply | CallFailure:
        if self._closed.is_set():
            raise self._stopped()
        url = self._venue.url(call.market)
        sent, sent_at_ns = self.clock.monotonic(), self.clock.monotonic_ns()
        try:
            reply = self._transport.send(
                call.method,
                url + call.target,
                headers=HEADERS,
                auth=call.proof,
                bound=Bound(self.clock, self._total, until=self._over_at),
                most=call.most,
                is_loopback=is_loopback(url),
            )
        except TransportError as error:
            if self._closed.is_set():
                raise self._stopped() from error
            return network_failure(call, url, error)
        received_at_ns, received_ns = self.clock.monotonic_ns(), self.clock.wall_ns()
        report = quota_report_of(reply.headers, sent, self.clock.monotonic())
        self._quotas[call.market].learn(self._signer.pool(call), call.weight, report)
        envelope = parse_envelope(reply.body, is_read_by_field=call.is_read_by_field)
        if envelope is not None and envelope[0] == "200000":
            return CallReply(Hidden(envelope[2]), sent_at_ns, received_at_ns, received_ns)
        return self._failures.of_reply(call, reply, envelope)


def _without_frames(
    outcome: CallReply | CallFailure, mask: Callable[[str], str]
) -> CallReply | CallFailure:
    if isinstance(outcome, CallReply):
        return outcome
    return outcome._replace(error=bare(outcome.error, mask), cause=None)


def _pace_of(venue: Venue, clock: clocks.Clock) -> Pace | None:
    """Return the pace that all callers of a venue share; None for a server on this machine.

    No Cloudflare stands in front of this machine.
    """
    if venue.is_loopback:
        return None
    return pace_of(clock, venue.futures_url, _BURST, _PER_SECOND)
