"""Why a request got no reply."""

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

#: What `Transport.send` raises.
TransportError: TypeAlias = requests.RequestException


class Trouble(NamedTuple):
    """Why there is no reply: the error it is, half a sentence, and whether it may pass."""

    error: type[Unreachable | BadReply]
    why: str
    may_pass: bool = False


# The first that fits counts. No call here changes anything at the exchange (the token's POST
# neither), so each may be repeated after a break.
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
    """Tell what was wrong."""
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
    # requests and urllib3 wrap the true cause, several deep and in different places.
    found: list[BaseException] = [error]
    for each in found:
        yield each
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
