"""All errors and warnings that this package raises on purpose, in one tree.

::

    KucoinResearchError
    ├── InvalidInput            (also ValueError)   the call cannot mean anything: nothing was sent
    │   ├── UnknownChannel
    │   ├── UnknownSymbol
    │   ├── UnknownVenue
    │   ├── ColumnMissing                           a frame lacks a column that is needed
    │   ├── SymbolNotTrading                        the symbol exists, but is paused or settled
    │   ├── ChannelNotOffered                       the channel exists, but not on this market
    │   ├── CredentialsMissing                      a private channel without credentials=
    │   └── UntrustedHost                           credentials, or no TLS check, for that host
    ├── NetworkError            (also ConnectionError)
    │   ├── Unreachable                             no route, no name, refused, timed out
    │   │   └── CertificateRefused                  nobody who is trusted vouches for the server
    │   ├── BadReply                                an answer that is not KuCoin's JSON
    │   ├── HandshakeRefused                        the upgrade was answered with an HTTP error
    │   ├── ConnectionLost                          the socket ended, or went silent
    │   └── ProtocolViolation                       bytes that RFC 6455 forbids
    ├── ExchangeError                               KuCoin answered with an error code
    │   ├── RateLimited
    │   ├── AuthenticationFailed
    │   ├── InvalidRequest
    │   ├── NotFound
    │   └── ExchangeUnavailable
    ├── StreamError                                 an error frame on the socket
    │   ├── TopicInvalid            400
    │   ├── TokenRejected           401
    │   ├── LoginRequired           403
    │   ├── TopicNotFound           404
    │   ├── CommandInvalid          406, 415
    │   ├── LimitExceeded           509
    │   └── ServiceBusy             500, 509
    ├── MessageBroken           (also ValueError)   one message did not decode; it was left out
    ├── BookNotReady                                the order book is not in step with the exchange
    ├── StreamTimeout           (also TimeoutError)
    ├── StreamStopped                               asked of a stream that has ended
    ├── FunctionFailed                              an attached function raised: it is the cause
    ├── SessionError                                a recording on disk
    │   ├── SessionMissing      (also FileNotFoundError)
    │   ├── SessionBroken                           lines that cannot be read: see `verify`
    │   ├── SessionNewer                            a newer version of this package has made it
    │   └── SessionBusy                             a living process is recording it
    └── Incomplete                                  strict=True: see `.frame` and `.report`

    StaleSymbols                (UserWarning)       offline: the symbol list is an older copy
    IncompleteData              (UserWarning)       a frame was returned that is known to lack rows
    SessionUnfinished           (UserWarning)       a recording was not closed, or is not whole
"""

from __future__ import annotations

import reprlib
from typing import Any

__all__ = [
    "AuthenticationFailed",
    "BadReply",
    "BookNotReady",
    "CertificateRefused",
    "ChannelNotOffered",
    "ColumnMissing",
    "CommandInvalid",
    "ConnectionLost",
    "CredentialsMissing",
    "ExchangeError",
    "ExchangeUnavailable",
    "FunctionFailed",
    "HandshakeRefused",
    "Incomplete",
    "IncompleteData",
    "InvalidInput",
    "InvalidRequest",
    "KucoinResearchError",
    "LimitExceeded",
    "LoginRequired",
    "MessageBroken",
    "NetworkError",
    "NotFound",
    "ProtocolViolation",
    "RateLimited",
    "ServiceBusy",
    "SessionBroken",
    "SessionBusy",
    "SessionError",
    "SessionMissing",
    "SessionNewer",
    "SessionUnfinished",
    "StaleSymbols",
    "StreamError",
    "StreamStopped",
    "StreamTimeout",
    "SymbolNotTrading",
    "TokenRejected",
    "TopicInvalid",
    "TopicNotFound",
    "UnknownChannel",
    "UnknownSymbol",
    "UnknownVenue",
    "Unreachable",
    "UntrustedHost",
    "column_hint",
    "shown",
]

#: An error shows a wrong value with this many characters at most.
_MOST_SHOWN = 70


class _Shown(reprlib.Repr):
    """Writes values in short; frames and arrays, also inside a list, by type and shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _MOST_SHOWN

    def repr1(self, x: object, level: int) -> str:
        if type(x).__module__.partition(".")[0] in ("polars", "pandas", "numpy"):
            shape = getattr(x, "shape", ())
            if shape:  # empty for a number of numpy
                return f"a {type(x).__name__} of shape {shape}"
        return super().repr1(x, level)

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write numbers of more than 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 1_000 else "a number beyond all use"


_SHOWN = _Shown()


def shown(value: object) -> str:
    """Write a wrong value for an error message: on one line, 70 characters at most.

    Parameters
    ----------
    value
        Any value. A frame is written by its type and shape; a long text without its middle.
    """
    text = _SHOWN.repr(value)
    if len(text.splitlines()) > 1:  # some object's repr; in texts, line ends are escaped
        text = " ".join(text.split())
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def column_hint(value: object, name: str) -> str:
    """Suggest a column, for an error about a frame that was given instead of texts.

    Returns
    -------
    str
        Half a sentence; ``""`` if the value is no frame of polars, pandas or pyarrow.
    """
    if not hasattr(type(value), "columns"):
        return ""
    frame = "frame.collect()" if type(value).__name__ == "LazyFrame" else "frame"
    return f'; take one column of it, such as {frame}["{name}"]'


class KucoinResearchError(Exception):
    """Base of every error that this package raises on purpose.

    Attributes
    ----------
    may_pass
        Whether the same REST call may succeed a while later.
    rows, frame
        The rows that a download had received before it failed: ``rows`` as a list if ``Rest`` was
        called, ``frame`` as a polars frame. ``None`` otherwise.
    """

    may_pass: bool = False
    rows: Any = None
    frame: Any = None


class InvalidInput(KucoinResearchError, ValueError):
    """An argument that makes no sense; raised before anything is sent."""


class UnknownChannel(InvalidInput):
    """There is no channel of that name; the message lists near matches."""


class UnknownSymbol(InvalidInput):
    """There is no symbol of that name on that market; the message lists near matches."""


class UnknownVenue(InvalidInput):
    """The venue is neither ``live``, ``demo`` nor a pair of addresses."""


class ChannelNotOffered(InvalidInput):
    """The channel exists, but KuCoin does not offer it on this market."""


class CredentialsMissing(InvalidInput):
    """A private channel needs credentials, and none were given or found."""


class UntrustedHost(InvalidInput):
    """A call would send credentials to a host that is neither KuCoin's nor this machine.

    Also raised if a server redirects to a host that is neither KuCoin's nor its own. Nothing was
    sent to that host.
    """


class ColumnMissing(InvalidInput):
    """A frame lacks a needed column; the message lists the columns that it has."""


class SymbolNotTrading(InvalidInput):
    """The symbol exists, but its stream would be silent: it is paused, settled or closed.

    Attributes
    ----------
    status
        The exchange's word, for example ``"Paused"``.
    """

    def __init__(self, message: str, *, status: str = "") -> None:
        super().__init__(message)
        self.status = status


class NetworkError(KucoinResearchError, ConnectionError):
    """The network between this machine and the exchange failed."""


class Unreachable(NetworkError):
    """The exchange could not be reached: no network, unknown host, refused, or timed out."""


class CertificateRefused(Unreachable):
    """No trusted authority has signed the certificate of the server, or of a proxy before it."""


class BadReply(NetworkError):
    """The reply was not the JSON that KuCoin documents, for example an HTML error page."""


class HandshakeRefused(NetworkError):
    """The server refused the WebSocket upgrade with an HTTP status.

    Attributes
    ----------
    status
        The HTTP status; 0 if none was read.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ConnectionLost(NetworkError):
    """The connection ended or stopped answering.

    Attributes
    ----------
    close_code
        The WebSocket close code; 1006 if the connection ended without one.
    """

    def __init__(self, message: str, *, close_code: int = 1006) -> None:
        super().__init__(message)
        self.close_code = close_code


class ProtocolViolation(NetworkError):
    """The peer sent bytes that RFC 6455 forbids.

    Attributes
    ----------
    close_code
        The code to close with: 1002 protocol error, 1007 bad data, 1009 too big.
    """

    def __init__(self, message: str, *, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class ExchangeError(KucoinResearchError):
    """KuCoin answered a REST call with an error code.

    Attributes
    ----------
    code
        KuCoin's code, a string as KuCoin sends it, for example ``"400100"``.
    http_status
        The HTTP status; KuCoin's own errors mostly come with 200.
    """

    def __init__(self, message: str, *, code: str = "", http_status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status


class RateLimited(ExchangeError):
    """There were too many requests.

    Attributes
    ----------
    retry_after
        Seconds to wait, from the rate-limit header if there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "429000",
        http_status: int = 429,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(message, code=code, http_status=http_status)
        self.retry_after = retry_after


class AuthenticationFailed(ExchangeError):
    """The exchange refused the credentials.

    Attributes
    ----------
    what
        The refused part: ``"key"``, ``"secret"``, ``"passphrase"``, ``"clock"``, ``"ip"``,
        ``"permission"``, ``"key version"`` or ``"account"``; empty if the exchange names none.
    """

    def __init__(
        self, message: str, *, code: str = "", http_status: int = 0, what: str = ""
    ) -> None:
        super().__init__(message, code=code, http_status=http_status)
        self.what = what


class InvalidRequest(ExchangeError):
    """KuCoin refused the parameters of a call."""


class NotFound(ExchangeError):
    """KuCoin has no such path or object."""


class ExchangeUnavailable(ExchangeError):
    """The exchange is busy, restarting or in maintenance; try again later."""


class StreamError(KucoinResearchError):
    """The exchange sent an error frame over the WebSocket.

    Attributes
    ----------
    code
        The number in the frame, for example 404.
    """

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class TopicInvalid(StreamError):
    """400: the topic is malformed."""


class TokenRejected(StreamError):
    """401: the token is invalid or has expired; a new connection requests a new one."""


class LoginRequired(StreamError):
    """403: a private topic was requested with a public token."""


class TopicNotFound(StreamError):
    """404: there is no such topic."""


class CommandInvalid(StreamError):
    """406 or 415: the command had no topic, or an unknown type."""


class LimitExceeded(StreamError):
    """509: too many topics, connections or messages."""


class ServiceBusy(StreamError):
    """500 or 509: the exchange could not serve the request now."""


class MessageBroken(KucoinResearchError, ValueError):
    """A message did not decode; it is counted, reported in the status channel and left out."""


class BookNotReady(KucoinResearchError):
    """The order book is not in step with the exchange, so it is not served."""


class StreamTimeout(KucoinResearchError, TimeoutError):
    """The rows that a call waited for did not come in time."""


class StreamStopped(KucoinResearchError):
    """The stream has ended."""


class FunctionFailed(KucoinResearchError):
    """A function that was attached to a replay raised; its own error is the ``__cause__``."""


class StopStrategy(Exception):
    """Raised by a strategy to end its run."""


class SessionError(KucoinResearchError):
    """Base of the errors about recorded sessions."""


class SessionMissing(SessionError, FileNotFoundError):
    """There is no recording at that path."""


class SessionBroken(SessionError):
    """A recording has lines that cannot be read; ``verify`` names them."""


class SessionNewer(SessionError):
    """A newer version of this package made the recording, in a format that this one cannot read."""


class SessionBusy(SessionError):
    """A running process is recording the session, so it must not be changed."""


class Incomplete(KucoinResearchError):
    """Rows are missing, and the call had ``strict=True``.

    Attributes
    ----------
    frame
        The rows that arrived: a polars frame, or a dict of frames for several channels.
    report
        The report with the missing rows.
    """

    def __init__(self, message: str, *, frame: Any, report: Any) -> None:
        super().__init__(message)
        self.frame = frame
        self.report = report


class StaleSymbols(UserWarning):
    """The exchange's symbols could not be loaded, so the last copy on this disk is used."""


class IncompleteData(UserWarning):
    """A returned frame is known to lack rows; the message has the first reason."""


class RecordingReplaced(UserWarning):
    """A stream was replaced by another one of the same name while it was being recorded."""


class StrategyFailed(UserWarning):
    """A strategy has raised; the result holds what happened before."""


class SessionUnfinished(UserWarning):
    """A recording was not closed, or is not as it was recorded; its intact part is read."""
