"""Names the reason why a request got no reply, by the errors of requests and urllib3."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import requests

from kucoin_research.errors import BadReply, Unreachable
from kucoin_research.exchange.certificates import certificate_failure
from kucoin_research.exchange.dialing import ConnectFailure
from kucoin_research.exchange.rest.unpacking import TooLarge
from kucoin_research.foundation.bounds import OutOfTime

__all__ = ["TransportError", "Trouble", "trouble_of"]

#: The errors of `Transport.send`.
TransportError: TypeAlias = requests.RequestException


class Trouble(NamedTuple):
    """The reason why there is no reply: our error, half a sentence, and whether it may pass."""

    error: type[Unreachable | BadReply]
    why: str
    may_pass: bool = False


# The first match counts. A call may be repeated after its connection broke, as no call changes
# anything at the exchange, not even the token's POST.
_TROUBLES: tuple[tuple[tuple[type[BaseException], ...], Trouble], ...] = (
    (
        (TooLarge,),
        Trouble(
            BadReply, "its reply is larger than any that KuCoin sends; look for a broken proxy"
        ),
    ),
    (
        (OutOfTime,),
        Trouble(Unreachable, "the whole answer did not come in time; check the network"),
    ),
    (
        (requests.exceptions.ProxyError,),  # of a session that was given
        Trouble(Unreachable, "the proxy refused or gave no answer; check HTTPS_PROXY and NO_PROXY"),
    ),
    (
        (socket.gaierror,),
        Trouble(Unreachable, "no such name; check the network and the address"),
    ),
    (
        (ConnectionRefusedError,),
        Trouble(
            Unreachable,
            "the connection was refused; check the address, and that the exchange runs",
        ),
    ),
    (
        (requests.Timeout, TimeoutError),
        Trouble(Unreachable, "no answer in time; check the network"),
    ),
    (
        (http.client.IncompleteRead, requests.exceptions.ChunkedEncodingError),
        Trouble(BadReply, "its reply was cut short; try again", may_pass=True),
    ),
    (
        (ConnectionResetError, ConnectionAbortedError, BrokenPipeError),
        Trouble(Unreachable, "it ended the connection; try again", may_pass=True),
    ),
    (
        (requests.exceptions.ContentDecodingError,),
        Trouble(BadReply, "its reply could not be unpacked; look for a broken proxy"),
    ),
)


def trouble_of(error: TransportError) -> Trouble:
    """Return the reason for an error."""
    causes = list(_chain(error))
    failures = [each for each in causes if isinstance(each, ConnectFailure)]
    failures += [  # of a session that was given
        certificate_failure(each, "its session")
        for each in causes
        if isinstance(each, ssl.SSLCertVerificationError)
    ]
    if failures:
        return Trouble(failures[0].kind, failures[0].why)
    return next(
        (each for kinds, each in _TROUBLES if any(isinstance(one, kinds) for one in causes)),
        Trouble(Unreachable, f"{type(causes[-1]).__name__}; check the network"),
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    # requests and urllib3 wrap the true cause, several levels deep and in different places.
    found: list[BaseException] = [error]
    for each in found:
        yield each
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
