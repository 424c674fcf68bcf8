"""A client that one line of the README points at an exchange; prints how its first calls went.

Runs in .venv-interop, started by tests/interop: ``pointed.py ccxt|sdk FUTURES SPOT PLAN``. PLAN is
JSON with the line and the login.
"""

import asyncio
import json
import sys


def of_ccxt(line, places, key, secret, passphrase):
    import ccxt

    login = {"apiKey": key, "secret": secret, "password": passphrase}
    for kind in (ccxt.kucoin, ccxt.kucoinfutures):
        x = kind(login)
        exec(line, places | {"x": x})
        yield len(x.load_markets())
        yield x.fetch_balance()["total"]["USDT"]
    yield asyncio.run(of_ccxt_pro(line, places, login))


async def of_ccxt_pro(line, places, login):
    import ccxt.pro

    x = ccxt.pro.kucoin(login)
    exec(line, places | {"x": x})
    try:
        # The sockets of the unified API, and the classic ones.
        marked = await x.watch_mark_price("BTC/USDT:USDT")
        return [marked["symbol"], (await x.watch_ticker("BTC/USDT"))["symbol"]]
    finally:
        await x.close()


def of_sdk(line, places, key, secret, passphrase):
    from kucoin_universal_sdk.api.client import DefaultClient
    from kucoin_universal_sdk.generate.account.account import GetFuturesAccountReq
    from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
    from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder

    builders = {
        "ClientOptionBuilder": ClientOptionBuilder,
        "TransportOptionBuilder": TransportOptionBuilder,
    }
    options = eval(line, places | builders)
    login = options.set_key(key).set_secret(secret).set_passphrase(passphrase)
    services = DefaultClient(login.build()).rest_service()
    account = services.get_account_service().get_account_api()
    yield account.get_apikey_info().api_key
    yield account.get_futures_account(GetFuturesAccountReq(currency="USDT")).account_equity


def main():
    client, futures, spot, plan = sys.argv[1:]
    plan = json.loads(plan)
    places = {"FUTURES": futures, "SPOT": spot}
    calls = {"ccxt": of_ccxt, "sdk": of_sdk}[client](plan["line"], places, *plan["login"])
    for result in calls:
        print(json.dumps({"call": client, "data": result}), flush=True)
    print(json.dumps({"call": "done"}), flush=True)


main()
