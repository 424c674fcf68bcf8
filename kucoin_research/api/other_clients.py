"""One line for each KuCoin client of others that points it at the simulated exchange.

`kucoin-research simulate --help` shows the lines, README.md has them, and tests run them.
"""

from __future__ import annotations

__all__ = ["POINTERS", "pointers_text"]

#: By client: ``SPOT`` and ``FUTURES`` are the two addresses, ``x`` is the client.
POINTERS = {
    "ccxt, ccxt.pro (Python)": (
        'x.urls["api"] = {n: {m: (FUTURES if m == "futures" else SPOT).replace("http", "ws") '
        '+ "/pro" for m in a} if n == "ws" else FUTURES if "futures" in n else SPOT '
        'for n, a in x.urls["api"].items()}'
    ),
    "ccxt, ccxt.pro (Node)": (
        "for (const [n, a] of Object.entries(x.urls.api)) x.urls.api[n] = n === 'ws' "
        "? Object.fromEntries(Object.keys(a).map((m) => "
        "[m, (m === 'futures' ? FUTURES : SPOT).replace('http', 'ws') + '/pro'])) "
        ": n.includes('futures') ? FUTURES : SPOT; await x.loadHttpProxyAgent()"
    ),
    "kucoin-universal-sdk (Python)": (
        "ClientOptionBuilder().set_spot_endpoint(SPOT).set_futures_endpoint(FUTURES)"
        ".set_broker_endpoint(SPOT).set_transport_option(TransportOptionBuilder().build())"
    ),
    "kucoin-universal-sdk (Node)": (
        "new ClientOptionBuilder().setSpotEndpoint(SPOT).setFuturesEndpoint(FUTURES)"
        ".setBrokerEndpoint(SPOT).setTransportOption(new TransportOptionBuilder().build())"
    ),
    "kucoin-node-sdk": "API.init({ baseUrl: SPOT, apiAuth: { … }, authVersion: 2 })",
    "kucoin-python": "Trade(key, secret, passphrase, url=SPOT)",
    "kucoin-futures-python": "Trade(key, secret, passphrase, url=FUTURES)",
    "python-kucoin": (
        "Client.REST_API_URL, Client.REST_FUTURES_API_URL = SPOT, FUTURES; Client(key, secret, "
        'signed_passphrase, requests_params={"headers": {"KC-API-KEY-VERSION": "2"}})'
    ),
    "typed-kucoin": "x.default_client.base_url, x.futures_rest_client.base_url = SPOT, FUTURES",
    "cryptofeed": "has KuCoin's addresses written into it; tests/clients/programs has a patch",
}


def pointers_text() -> str:
    """Lay the lines out for a terminal."""
    lines = [f"  {client}\n      {line}" for client, line in POINTERS.items()]
    return "\n".join(
        [
            "It prints its two addresses. To point another KuCoin client at them, as SPOT and",
            "FUTURES, with the key of kucoin_research.sim.DEMO_ACCOUNT:",
            "",
            *lines,
        ]
    )
