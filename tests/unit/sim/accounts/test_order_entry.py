"""Accounts add up at every moment, and what they do is one truth for tape, REST and streams."""

from decimal import Decimal
from random import Random

import pytest

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.sim import Account, OrderRefused
from tests.unit.sim.client import TOPICS, data_of, open_exchange, record
from tests.unit.sim.server.test_exchange import FUTURES as LEVEL2
from tests.unit.sim.server.test_exchange import by_topic, futures_book
from tests.unit.sim.signed import KEY, MarketFloor

RICH = Account(
    key="rich",
    secret="s",
    passphrase="p",
    futures={"USDT": "1000000", "XBT": "20"},
    spot={"USDT": "1000000", "BTC": "20", "ETH": "100"},
)


def signed_lots(fills, symbol):
    return sum(f.size if f.side == "buy" else -f.size for f in fills if f.symbol == symbol)


def stormy(floor, member, symbols, orders, check):
    """Place, cancel and amend at random; check after each step."""
    rng, order_entry, ids = Random(3), floor.order_entry, []
    account = floor.account(member)
    for step in range(orders):
        symbol = rng.choice(symbols)
        engine = floor.hub.caught_up(symbol)
        futures = engine.listing.market == "futures"
        units = int(10 ** rng.uniform(0, 2.5)) * (1 if futures else 20_000)
        best = rng.choice([engine.best_bid, engine.best_ask])
        ticks = max(1, best + rng.randrange(-30, 30))
        try:
            ids.append(
                account.place(
                    symbol,
                    rng.choice(["buy", "sell"]),
                    engine.size_text(units),
                    price=rng.choice([None, engine.price_text(ticks)]),
                    time_in_force=rng.choice(["GTC", "GTC", "GTC", "IOC", "FOK", "PO"]),
                    reduce_only=futures and rng.random() < 0.1,
                )
            )
            order = member.orders.get(ids[-1])
            if order is not None and rng.random() < 0.2 and order.size > order.filled + 1:
                account.amend(ids[-1], engine.size_text(order.filled + order.remaining // 2 + 1))
        except OrderRefused:
            pass
        if len(member.orders) > 15 or rng.random() < 0.2:
            for order_id in list(member.orders)[:3]:
                account.cancel(order_id)
        if step % 5 == 0:
            floor.run(rng.choice([0.01, 0.05, 0.4]))
        check()
    assert order_entry.interests() <= set(symbols)


@pytest.mark.parametrize("seed", [1, 2])
def test_spot_balances_add_up_to_the_last_digit(seed):
    floor = MarketFloor("BTC-USDT", "ETH-BTC", seed=seed, accounts=[RICH])
    member = floor.order_entry.members["rich"]
    floor.listen("spot", "/account/balance", member=member)
    coins = ("USDT", "BTC", "ETH")
    opening = {coin: member.spot.total(coin) for coin in coins}
    known = {coin: (opening[coin], Decimal(0)) for coin in coins}

    def check():
        for row in floor.data("account.balance"):
            available, hold = known[row["currency"]]
            available += Decimal(row["availableChange"])
            hold += Decimal(row["holdChange"])
            known[row["currency"]] = available, hold
            assert (available, hold) == (Decimal(row["available"]), Decimal(row["hold"]))
            assert Decimal(row["total"]) == available + hold
        floor.frames.clear()
        for coin in coins:
            assert known[coin] == (member.spot.available(coin), member.spot.hold(coin))

    stormy(floor, member, ["BTC-USDT", "ETH-BTC"], 1_500, check)

    expected = dict(opening)
    for fill in member.fills:
        engine = floor.hub.engine(fill.symbol)
        base, quote = fill.symbol.split("-")
        size = Decimal(engine.size_text(fill.size))
        sign = 1 if fill.side == "buy" else -1
        expected[base] += sign * size
        expected[quote] -= sign * size * fill.price + fill.fee
    assert len(member.fills) > 1_000
    assert expected == {coin: member.spot.total(coin) for coin in coins}
    floor.account(member).cancel_all()
    assert all(member.spot.hold(coin) == 0 for coin in coins)


@pytest.mark.parametrize("seed", [1, 2])
def test_futures_wallets_and_positions_add_up(seed):
    symbols = ["XBTUSDTM", "DOGEUSDTM", "XBTUSDM"]
    floor = MarketFloor(*symbols, seed=seed, start="2026-01-05T07:59:30Z", accounts=[RICH])
    member = floor.order_entry.members["rich"]
    floor.listen("futures", "/contractAccount/wallet", "/contract/positionAll", member=member)
    floor.account(member).set_margin_mode("DOGEUSDTM", "CROSS")
    funding = {"USDT": Decimal(0), "XBT": Decimal(0)}
    realised = dict(funding)

    def check():
        for row in floor.data("walletBalance.change"):
            amount = {name: Decimal(row[name]) for name in row if name != "currency"}
            parts = ("isolatedPosMargin", "isolatedOrderMargin", "crossPosMargin")
            bound = sum(amount[part] for part in (*parts, "crossOrderMargin"))
            free = amount["availableBalance"] + bound
            assert free == amount["walletBalance"] + amount["crossUnPnl"]
            pnl = amount["isolatedUnPnl"] + amount["crossUnPnl"]
            assert amount["equity"] == amount["walletBalance"] + pnl
        for row in floor.data("position.settlement"):
            funding[row["settleCurrency"]] += Decimal(repr(row["fundingFee"]))
        floor.frames.clear()
        for symbol in symbols:
            position = member.positions.get(symbol)
            if position is not None:
                assert position.quantity == signed_lots(member.fills, symbol)

    stormy(floor, member, symbols, 1_800, check)

    account = floor.account(member)
    account.cancel_all()
    for symbol, lots in account.positions.items():
        account.place(symbol, "sell" if lots > 0 else "buy", abs(lots))
    assert account.positions == {}
    for fill in member.fills:
        listing = floor.hub.listings[fill.symbol]
        lots = fill.size if fill.side == "buy" else -fill.size
        if listing.is_inverse:
            value = (lots * Decimal(-1) / fill.price).quantize(Decimal("1e-12"))
        else:
            value = lots * Decimal(str(listing.multiplier)) * fill.price
        realised[listing.settle] -= value + fill.fee
    assert len(member.fills) > 1_000
    for currency, opening in (("USDT", "1000000"), ("XBT", "20")):
        # Flat: what was paid and got is all there is. (Funding is told as a float.)
        change = member.futures[currency] - Decimal(opening)
        assert abs(change - realised[currency] - funding[currency]) < Decimal("1e-9")
        assert account.futures_wallet(currency).available == member.futures[currency]
    assert any(funding.values())


@pytest.mark.parametrize("rules", ["2025-05", "legacy"])
def test_position_figures_hang_together(rules):
    floor = MarketFloor("XBTUSDTM", margin_rules=rules)
    floor.listen("futures", "/contract/position:XBTUSDTM")
    me = floor.account()
    me.set_leverage("XBTUSDTM", 5)
    me.place("XBTUSDTM", "buy", 10)
    me.place("XBTUSDTM", "sell", 4)

    row = floor.data("position.change")[-1]

    # The sums of the reference's sample. (section 8.1)
    assert row["currentCost"] == pytest.approx(row["unrealisedCost"] + row["realisedGrossCost"])
    assert row["realisedCost"] == pytest.approx(row["realisedGrossCost"] + row["currentComm"])
    assert row["realisedPnl"] == -row["realisedCost"]
    assert row["unrealisedPnl"] == pytest.approx(row["markValue"] - row["unrealisedCost"])
    assert row["posInit"] == pytest.approx(row["posCost"] / 5)
    closing_fee = row["posCost"] * 0.0006 * 1.2 if rules == "legacy" else 0
    assert row["posComm"] == pytest.approx(closing_fee)
    kept = row["posCost"] * 0.004 + closing_fee
    if rules == "2025-05":
        kept = row["markValue"] * 0.0046
    assert row["posMaint"] == pytest.approx(kept)
    assert row["posMargin"] == pytest.approx(row["posInit"] + row["posComm"])
    assert row["bankruptPrice"] == pytest.approx(row["avgEntryPrice"] * 0.8)
    assert row["posCost"] == pytest.approx(row["avgEntryPrice"] * 6 * 0.001)


def test_unknown_things_are_refused():
    me = MarketFloor("XBTUSDTM").account()

    with pytest.raises(UnknownSymbol):
        me.place("NOPE", "buy", 1)
    with pytest.raises(OrderRefused):
        me.cancel("nope")
    with pytest.raises(InvalidInput, match="no number"):
        me.place("XBTUSDTM", "buy", "many")
    with pytest.raises(InvalidInput, match="no wallet"):
        me.deposit("pocket", "USDT", 1)


def test_margin_mode_is_fixed_while_there_is_a_position():
    me = MarketFloor("XBTUSDTM").account()
    me.place("XBTUSDTM", "buy", 1)

    with pytest.raises(OrderRefused) as refused:
        me.set_margin_mode("XBTUSDTM", "CROSS")

    assert refused.value.code == "330005"


# One truth


def busy_run(market, topics, speed, seconds):
    """Frames per topic of a run with traders and scripted orders."""
    with open_exchange(speed=speed) as exchange:
        exchange.pause()
        exchange.start_trader(["XBTUSDTM", "BTC-USDT"], orders_per_minute=240)
        exchange.demo_account.place("XBTUSDTM", "buy", 5)
        exchange.demo_account.place("BTC-USDT", "sell", "0.01")
        client = record(exchange, market, topics, seconds=seconds)
        until = exchange.clock.start_ns // 1_000_000 + seconds * 1_000 - 500
        client.__exit__()
        return by_topic(client, until), len(exchange.demo_account.fills)


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_public_streams_stay_reproducible_with_account_orders_in_them(market):
    slow, fills = busy_run(market, TOPICS[market], 60.0, 20)
    fast, _ = busy_run(market, TOPICS[market], 120.0, 20)
    alone = sorted(TOPICS[market], key=lambda t: ("level2:" in t, t))[-1:]
    single, _ = busy_run(market, set(alone), 120.0, 20)

    assert slow == fast
    assert fills > 10
    # Nor does it matter who else is listened to.
    for key, frames in single.items():
        assert frames == slow[key]


def test_tape_rest_and_stream_agree_with_account_orders_in_the_flow():
    with open_exchange() as exchange:
        exchange.pause()
        exchange.start_trader("XBTUSDTM", orders_per_minute=600)
        before = data_of(exchange, "/api/v1/level2/snapshot", symbol="XBTUSDTM")
        topics = {LEVEL2, "/contractMarket/execution:XBTUSDTM"}
        with record(exchange, "futures", topics, seconds=30) as client:
            exchange.demo_account.place("XBTUSDTM", "buy", 50)
            client.send(id="x", type="ping")
            client.until(lambda frame: frame["type"] == "pong")
            after = data_of(exchange, "/api/v1/level2/snapshot", symbol="XBTUSDTM")
            tape = exchange.tape("XBTUSDTM")
            fills = exchange.demo_account.fills
            last, book = futures_book(before, client.messages(LEVEL2))
            trades = client.messages("/contractMarket/execution:XBTUSDTM")

    assert last == after["sequence"] == tape.changes[-1].sequence
    assert sorted(book["buy"].items(), reverse=True)[:200] == list(map(tuple, after["bids"][:200]))
    assert [t["data"]["tradeId"] for t in trades] == [t.trade_id for t in tape.trades]
    assert len(fills) > 30
    assert {fill.trade_id for fill in fills} <= {trade.trade_id for trade in tape.trades}
    mine = {fill.order_id for fill in fills}
    assert mine <= {t.maker_order_id for t in tape.trades} | {t.taker_order_id for t in tape.trades}


def test_orders_do_not_start_a_clock_that_stands_still():
    with open_exchange() as exchange:
        exchange.demo_account.place("XBTUSDTM", "buy", 1)

        assert exchange.now_ns == exchange.clock.start_ns
        assert exchange.demo_account.key == KEY
        assert exchange.demo_account.positions == {"XBTUSDTM": 1}


def test_private_frames_do_not_depend_on_what_else_is_listened_to():
    runs = []
    # The old ticker needs the book of every instant, so that slices are cut finer.
    for public in ((), ("/contractMarket/ticker:XBTUSDTM", "/contractMarket/ticker:SOLUSDTM")):
        floor = MarketFloor("XBTUSDTM", "SOLUSDTM")
        for symbol in ("XBTUSDTM", "SOLUSDTM"):
            floor.account().set_margin_mode(symbol, "CROSS")
            floor.order_entry.start_trader(floor.me, symbol, 1500.0, 7)
        private = (
            "/contractAccount/wallet",
            "/contract/positionAll",
            "/contractMarket/tradeOrders",
        )
        floor.listen("futures", *private, *public)
        floor.run(30)
        runs.append([frame for frame in floor.frames if "userId" in frame])

    assert len(runs[0]) > 1_000
    assert runs[0] == runs[1]


@pytest.mark.parametrize("closed", [100, 40])
def test_resting_order_that_may_only_reduce_is_cut_to_the_position(closed):
    floor = MarketFloor("XBTUSDTM")
    me, engine = floor.account(), floor.hub.caught_up("XBTUSDTM")
    me.place("XBTUSDTM", "buy", 100)
    far = float(engine.price_text(engine.best_ask + 10_000))
    rests = me.place("XBTUSDTM", "sell", 100, price=far, reduce_only=True)
    opens = me.place("XBTUSDTM", "sell", 100, price=far)

    me.place("XBTUSDTM", "sell", closed)

    assert engine.resting(rests) == 100 - closed
    assert engine.resting(opens) == 100
    assert me.open_orders == ([opens] if closed == 100 else [rests, opens])


@pytest.mark.parametrize("is_first_reducing", [True, False])
def test_orders_that_one_trade_fills_close_a_position_and_open_none(is_first_reducing):
    floor = MarketFloor("XBTUSDTM", accounts=[RICH])
    me, engine = floor.account(), floor.hub.caught_up("XBTUSDTM")
    me.place("XBTUSDTM", "buy", 8)
    price = engine.price_text(engine.best_ask)
    me.place("XBTUSDTM", "sell", 5, price=price, reduce_only=is_first_reducing)
    cut = me.place("XBTUSDTM", "sell", 5, price=price, reduce_only=True)
    resting = engine.resting(cut)

    size = dict(engine.levels("sell"))[engine.best_ask]
    floor.account(floor.order_entry.members["rich"]).place("XBTUSDTM", "buy", size)

    assert resting == 3
    assert me.positions == {}
    assert me.open_orders == []


def test_of_orders_that_may_only_reduce_the_first_in_the_book_keep_their_size():
    floor = MarketFloor("XBTUSDTM")
    me, engine = floor.account(), floor.hub.caught_up("XBTUSDTM")
    me.place("XBTUSDTM", "sell", 10)
    prices = [engine.price_text(engine.best_bid - below) for below in (10_000, 20_000, 5_000)]

    ids = [me.place("XBTUSDTM", "buy", 6, price=price, reduce_only=True) for price in prices]

    assert [engine.resting(each) for each in ids] == [4, 0, 6]
    assert me.open_orders == [ids[0], ids[2]]
