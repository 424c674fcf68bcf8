"""Finds the certificates that servers are verified by, as OpenSSL and requests do."""

from __future__ import annotations

import os
import re
import ssl
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from kucoin_research.errors import CertificateRefused, InvalidInput
from kucoin_research.exchange.dialing import ConnectFailure
from kucoin_research.foundation.hidden import surroundings

__all__ = ["certificate_failure", "trust"]

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # in the order of requests


_OPENSSL = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Trust(NamedTuple):
    """The certificates that servers are verified by."""

    context: ssl.SSLContext  # shared by all connections, so it must not be changed
    text: str  # names the certificates, and the variables that named them


def trust() -> Trust:
    """Find the certificates that servers are verified by.

    ``REQUESTS_CA_BUNDLE``, or else ``CURL_CA_BUNDLE``, names a file, or a folder in OpenSSL's form;
    it replaces all other certificates. Without them, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` each
    replace the system's own, as in OpenSSL. Without any variable, the system's and certifi's are
    both accepted: on macOS, Python from python.org finds none of the system's, and certifi lacks
    those of a company.

    Raises
    ------
    InvalidInput
        If a variable names a file or folder that is not there, or holds no certificate.
    """
    # An empty variable counts as not set.
    given = surroundings(lambda name: name in (*_BUNDLES, *_OPENSSL))
    named = [(name, given[name]) for name in (*_BUNDLES, *_OPENSSL) if given.get(name)]
    if named and named[0][0] in _BUNDLES:
        named = named[:1]
    return _trust(tuple(named), tuple(_state_of(path) for _, path in named))


def _state_of(path: str) -> tuple[int, ...]:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=8)  # loading them takes tens of milliseconds
def _trust(named: tuple[tuple[str, str], ...], _: object) -> Trust:
    # Not ssl.create_default_context: since Python 3.13 it refuses many a company's certificates.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a named certificate needs no root
    context.set_alpn_protocols(["http/1.1"])
    for name, path in named:
        _check(name, path)
    if named and named[0][0] in _BUNDLES:
        path = named[0][1]
        is_folder = Path(path).is_dir()
        context.load_verify_locations(path if not is_folder else None, path if is_folder else None)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)  # OpenSSL reads its variables itself
        if not named:
            context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    text = " and ".join(f"{path} (from {name})" for name, path in named)
    return Trust(context, text or "this system's and certifi's")


def _check(name: str, path: str) -> None:
    fix = f"name a file with certificates (PEM) in {name}, or unset it"
    if name == "SSL_CERT_DIR":
        if not any(_holds_hashes(each) for each in path.split(os.pathsep)):
            raise InvalidInput(
                f"{name} names {path}, which holds no certificate as OpenSSL wants "
                f"it; run 'openssl rehash' there, or unset it"
            )
        return
    if not Path(path).exists():
        raise InvalidInput(f"{name} names {path}, which does not exist; {fix}")
    if Path(path).is_dir() and name in _BUNDLES:
        if not _holds_hashes(path):
            raise InvalidInput(
                f"{name} names {path}, which holds no certificate as OpenSSL wants "
                f"it; run 'openssl rehash' there, or {fix}"
            )
        return
    try:
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        probe.load_verify_locations(path)
    except PermissionError:
        raise InvalidInput(f"{name} names {path}, which cannot be read; {fix}") from None
    except OSError:  # also ssl.SSLError
        raise InvalidInput(f"{name} names {path}, which holds no certificate; {fix}") from None


def _holds_hashes(folder: str) -> bool:
    try:
        return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", each.name) for each in Path(folder).iterdir())
    except OSError:
        return False


def certificate_failure(error: ssl.SSLCertVerificationError, text: str) -> ConnectFailure:
    """Return the failure for a refused certificate, with the reason.

    Parameters
    ----------
    error
        OpenSSL's error.
    text
        The certificates that it was verified by.
    """
    return ConnectFailure(
        f"its certificate is not accepted ({error.verify_message.rstrip('.')}, by the "
        f"certificates of {text}); set this machine's clock, and REQUESTS_CA_BUNDLE if a proxy "
        "signs traffic anew",
        CertificateRefused,
    )
