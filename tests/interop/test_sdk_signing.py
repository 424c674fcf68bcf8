"""The signature of KuCoin's own SDK, beside ours, for random requests."""

import json
import random
import string

import pytest

from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.signing import signed_headers
from tests.interop.processes import client_process, messages

CASES = 200
PRINTABLE = string.ascii_letters + string.digits + "-_.~%&=+/?#@!$*äß€ 中"


def case(draw):
    def text(shortest, longest, letters=PRINTABLE):
        return "".join(draw.choices(letters, k=draw.randint(shortest, longest)))

    path = f"/api/v{draw.randint(1, 3)}/{text(1, 30)}"
    query = "&".join(f"{text(1, 8)}={text(0, 20)}" for _ in range(draw.randint(0, 4)))
    body = json.dumps({text(1, 8): text(0, 30)}, ensure_ascii=False) if draw.random() < 0.5 else ""
    return {
        "timestamp_ms": draw.randrange(1_500_000_000_000, 2_000_000_000_000),
        "method": draw.choice(["GET", "POST", "PUT", "DELETE"]),
        "path": path + ("?" + query if query else ""),
        "body": body,
        "key": text(24, 24, string.hexdigits),
        # Longer than a block of SHA-256 at times; no blanks around it, which we take off.
        "secret": "s" + text(0, 150) + "s",
        "passphrase": "p" + text(0, 40) + "p",
    }


def ours(told):
    credentials = Credentials(told["key"], told["secret"], told["passphrase"])
    headers = signed_headers(
        credentials,
        method=told["method"],
        path=told["path"],
        body=told["body"].encode(),
        timestamp_ms=told["timestamp_ms"],
    )
    return {name: text for name, text in headers.items() if name.startswith("KC-API-")}


@pytest.mark.parametrize("call", ["signature"])
@pytest.mark.parametrize("client", ["universal-sdk"])
def test_the_sdk_signs_as_we_do(client, call, python, row):
    draw = random.Random(7)
    cases = [case(draw) for _ in range(CASES)]
    nowhere = {"futures": "http://127.0.0.1:9", "spot": "http://127.0.0.1:9"}

    with client_process(python, "universal_sdk.py", "sign", nowhere, {}) as child:
        child.tell(json.dumps(cases))
        theirs = [line["data"] for line in messages(child)]

    assert theirs == [ours(told) for told in cases]
    row(len(theirs))
