"""Which hosts NO_PROXY excepts, as other programs read it."""

import os

import pytest

from kucoin_research.exchange.proxies import Target, proxy_for


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """No variable of this machine's decides anything."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("entries", "host", "is_excepted"),
    [
        ("*", "api.kucoin.com", True),
        ("*", "10.0.0.1", True),
        ("kucoin.com", "api.kucoin.com", True),
        ("*.kucoin.com", "api.kucoin.com", True),
        ("KuCoin.com.", "API.kucoin.COM.", True),
        ("coin.com", "api.kucoin.com", False),
        ("api.kucoin.com", "kucoin.com", False),
        ("a.org b.org,\tkucoin.com", "kucoin.com", True),
        ("kucoin.com:443", "kucoin.com", True),
        ("kucoin.com:80", "kucoin.com", False),
        (",,", "kucoin.com", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("0.0.1", "10.0.0.1", False),
        ("10.0.0.0/8", "10.20.30.40", True),
        ("10.0.0.1/8", "10.20.30.40", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "10.0.0.0.example.org", False),
        ("10.0.0.0/8:443", "10.0.0.1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("fd00::/8", "fd00::1", True),
        ("fd00::1", "fd00::2", False),
        ("fd00::/8", "10.0.0.1", False),
        ("http://kucoin.com", "api.kucoin.com", True),
        ("HTTPS://kucoin.com/", "api.kucoin.com", True),
        ("http://kucoin.com:443/x", "kucoin.com", True),
        ("http://kucoin.com:80", "kucoin.com", False),
        ("http://me:it@kucoin.com", "kucoin.com", True),
        ("http://10.0.0.1", "10.0.0.1", True),
        ("http://[fd00::1]:443/", "fd00::1", True),
        ("http://coin.com", "kucoin.com", False),
        ("http://", "kucoin.com", False),
    ],
)
def test_no_proxy_names_hosts_as_elsewhere(entries, host, is_excepted, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", entries)

    proxy = proxy_for(Target(host, 443, is_secure=True, is_loopback=False))

    assert (proxy is None) == is_excepted
