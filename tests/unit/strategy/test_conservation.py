"""Money and positions add up at every record of random runs, to the last digit."""

from fractions import Fraction

import pytest

from kucoin_research.strategy.fixed_point import ONE
from tests.unit.strategy.random_tapes import (
    INSTRUMENTS,
    RandomTrader,
    acting,
    by_hand,
    draw_case,
    marked,
    play,
    printed,
    quote,
    recording,
    settled,
)

CASES = range(15)


def exact(number):
    """Read a float as the decimal that its shortest text names."""
    return Fraction(repr(number))


# -- the account's own books -----------------------------------------------------------------------


class Books:
    """Checks the account against what was booked, at each record."""

    def __init__(self, recorded, cash):
        cash = dict(cash)
        self.coins = {}  # a pair's coins are its position
        if "BTC-USDT" in recorded.channels and "BTC" in cash:
            self.coins["BTC-USDT"] = exact(cash.pop("BTC"))
        self.start = {name: int(exact(amount) * ONE) for name, amount in cash.items()}
        self.costs = {}  # of the coins at the start
        self.sizes = dict(self.coins)
        self.heard = dict(self.coins)
        self.fills = self.reported = self.checked = 0

    def __call__(self, run, record):
        for symbol, size in self.coins.items():
            market = run.markets[symbol]
            if symbol not in self.costs and market.mark is not None:
                self.costs[symbol] = market.contract.value(int(size * ONE), market.mark)
        self.balance(run._account)
        self.add_up(run)
        self.holds(run)
        self.checked += 1

    def balance(self, account):
        """cash + value(mark) - value(entry) = start + realised + unrealised - fees + funding."""
        for currency, cash in account.cash.items():
            left, right = cash, self.start.get(currency, 0)
            for symbol, held in account.holdings.items():
                contract = held.contract
                if contract.settle != currency:
                    continue
                right += held.realised - held.fees + held.funding
                if contract.is_spot:  # paid for, and not set aside as a margin
                    left += held.cost - self.costs.get(symbol, 0)
                mark = account._mark_of(symbol)
                if mark is not None:
                    left += contract.value(held.size, mark) - held.cost
                    right += held.unrealised(mark)
            assert left == right, currency

    def add_up(self, run):
        for fill in run.ledger.fills[self.fills :]:
            size = self.sizes.get(fill.symbol, 0) + signed(fill)
            self.sizes[fill.symbol] = size
            assert exact(fill.position_after) == size
        self.fills = len(run.ledger.fills)
        for symbol, held in run._account.holdings.items():
            assert Fraction(held.size, ONE) == self.sizes.get(symbol, 0)
            assert held.size or not (held.margin or held.cost)
        for fill in run.broker.fills[self.reported :]:
            self.heard[fill.symbol] = self.heard.get(fill.symbol, 0) + signed(fill)
        self.reported = len(run.broker.fills)

    def holds(self, run):
        bound = {"currency": {}, "coins": {}}
        for symbol, market in run.markets.items():
            contract = market.contract
            for order in [*market.orders(), *market.waiting]:
                is_coins = contract.is_spot and order.sign < 0
                kind, name = ("coins", symbol) if is_coins else ("currency", contract.settle)
                bound[kind][name] = bound[kind].get(name, 0) + order.hold
        account = run._account
        for name, held in account.holds.items():
            assert held == bound["currency"].get(name, 0) >= 0
        for name, held in account._held_coins.items():
            assert held == bound["coins"].get(name, 0) >= 0


def signed(fill):
    return exact(fill.size) if fill.side == "buy" else -exact(fill.size)


@pytest.mark.parametrize("seed", CASES)
def test_each_currency_balances_exactly_at_every_record(seed):
    recorded, options = draw_case(seed)
    books = Books(recorded, options["cash"])

    run = play(RandomTrader(seed, recorded.symbols), recorded, books, **options)

    assert books.checked == run.run.records > 0


@pytest.mark.parametrize("seed", CASES)
def test_reported_fills_add_up_to_the_reported_position(seed):
    recorded, options = draw_case(seed, latency="recorded" if seed % 2 else (0.1, 0.3))
    books = Books(recorded, options["cash"])

    def watch(run, record):
        books.add_up(run)
        for symbol, size in books.heard.items():
            assert exact(run.broker.position(symbol).size) == size

    play(RandomTrader(seed, recorded.symbols), recorded, watch, **options)


# -- the same books, kept from the frames alone ----------------------------------------------------


class Recount:
    """Keeps one symbol's position from fills, in fractions that are never rounded."""

    def __init__(self, facts, fees):
        self.facts = facts
        self.rates = {"maker": exact(fees[0]), "taker": exact(fees[1])}
        self.size, self.average = Fraction(0), None
        self.realised = self.fees = self.funding = self.paid = Fraction(0)

    def worth(self, size, price):
        multiplier = abs(exact(self.facts.contract_multiplier))
        return size * multiplier / price if self.facts.is_inverse else size * multiplier * price

    def profit(self, size, entry, exit_price):
        if self.facts.is_inverse:
            return size * (1 / entry - 1 / exit_price)
        return self.worth(size, exit_price) - self.worth(size, entry)

    def fill(self, size, price, liquidity):
        if liquidity != "liquidation":
            self.fees += abs(self.worth(size, price)) * self.rates[liquidity]
        self.paid += self.worth(size, price)
        closed = 0
        if self.size * size < 0:
            closed = max(size, -self.size) if size < 0 else min(size, -self.size)
            self.realised += self.profit(-closed, self.average, price)
            self.size += closed
        opened = size - closed
        if opened and not self.size:
            self.average = price
        elif opened and self.facts.is_inverse:  # the harmonic mean
            self.average = (self.size + opened) / (self.size / self.average + opened / price)
        elif opened:
            self.average = (self.size * self.average + opened * price) / (self.size + opened)
        self.size += opened

    def fund(self, size, mark, rate):
        self.funding -= self.worth(size, mark) * rate


@pytest.mark.parametrize("seed", CASES)
def test_frames_alone_lead_to_the_same_account(seed):
    # Liquidations of cross margin share a loss, which the price of a fill shows as a float only.
    recorded, options = draw_case(seed, margin_mode="isolated", margin_rules="2025-05")
    options["cash"].pop("BTC", None)
    run = play(RandomTrader(seed, recorded.symbols), recorded, **options)
    counted = {}
    for symbol in recorded.symbols:
        facts = INSTRUMENTS[symbol]
        counted[symbol] = Recount(facts, options["fees"] or (facts.maker_fee, facts.taker_fee))

    for row in run.result.fills.iter_rows(named=True):
        size = exact(row["size"]) if row["side"] == "buy" else -exact(row["size"])
        counted[row["symbol"]].fill(size, exact(row["price"]), row["liquidity"])
    for row in run.result.funding.iter_rows(named=True):
        counted[row["symbol"]].fund(
            *(exact(row[n]) for n in ("size", "mark_price", "funding_rate"))
        )

    # Each amount was rounded once to a multiple of 10**-18; a liquidation's price to a float.
    units = 2 + 4 * len(run.fills)
    near = Fraction(units if not run.run.ledger.liquidations else 10**9, ONE)
    cash = {name: exact(amount) for name, amount in options["cash"].items()}
    for symbol, count in counted.items():
        held = run.account.holdings[symbol]
        assert Fraction(held.size, ONE) == count.size
        assert abs(Fraction(held.realised, ONE) - count.realised) <= near
        assert abs(Fraction(held.fees, ONE) - count.fees) <= near
        assert abs(Fraction(held.funding, ONE) - count.funding) <= near
        if count.size:
            worth = abs(count.worth(count.size, count.average))
            assert abs(abs(Fraction(held.cost, ONE)) - worth) <= near
        currency = held.contract.settle
        spent = count.paid if held.contract.is_spot else -count.realised
        cash[currency] += count.funding - count.fees - spent
    for currency, amount in cash.items():
        assert abs(Fraction(run.account.cash[currency], ONE) - amount) <= 3 * near


@pytest.mark.parametrize("seed", CASES)
def test_round_trips_add_up_to_what_was_realised(seed):
    recorded, options = draw_case(seed)
    options["cash"].pop("BTC", None)

    run = play(RandomTrader(seed, recorded.symbols), recorded, **options)

    trades = run.result.trades
    for symbol, held in run.account.holdings.items():
        ended = trades.filter(symbol=symbol)
        trip = run.run.ledger._trips.get(symbol)
        assert (trip is None) == (held.size == 0)
        gross = ended["pnl"].sum() + ended["fees"].sum() - ended["funding"].sum()
        fees, funding = ended["fees"].sum(), ended["funding"].sum()
        if trip is not None:
            gross += trip.pnl / ONE
            fees += trip.fees / ONE
            funding += trip.funding / ONE
        assert gross == pytest.approx(held.realised / ONE, abs=1e-9)
        assert fees == pytest.approx(held.fees / ONE, abs=1e-9)
        assert funding == pytest.approx(held.funding / ONE, abs=1e-9)


@pytest.mark.parametrize("seed", CASES)
def test_equity_of_a_time_holds_what_was_filled_by_then(seed):
    recorded = recording(seed, {"XBTUSDTM": ("depth5", "trade", "mark_price")})
    trader = RandomTrader(seed, recorded.symbols)
    run = play(trader, recorded, latency=(0.4, 0.1), leverage=20)
    count, fills = Recount(INSTRUMENTS["XBTUSDTM"], (0.0002, 0.0006)), list(run.fills)

    times = run.result.equity["timestamp"].dt.epoch("ns").to_list()
    for when, cash in zip(times, run.result.equity["cash"], strict=True):
        while fills and fills[0].timestamp <= when:
            fill = fills.pop(0)
            count.fill(signed(fill), exact(fill.price), fill.liquidity)
        assert cash == pytest.approx(float(10_000 + count.realised - count.fees), abs=1e-6)
    assert not fills


# -- cases that failed once ------------------------------------------------------------------------


def test_cancels_before_an_order_move_it_by_whole_lots():
    recorded = by_hand(
        quote(0, 100.0, 7, 101.0, 5),
        quote(10, 100.0, 10, 101.0, 5),
        quote(20, 100.0, 9, 101.0, 5),  # 0.7 of it were before the order
        printed(30, "sell", 100.0, 8),
    )

    run = play(
        acting({0: lambda broker: broker.buy(5, limit=100.0)}), recorded, latency=0.0,
        queue="proportional",
    )  # fmt: skip

    assert [fill.size for fill in run.fills] == [1.0]


def test_a_liquidation_is_among_the_fills_that_the_broker_reports():
    recorded = by_hand(
        quote(0, 100.0, 50, 101.0, 50), marked(10, 100.5), quote(20, 90.0, 50, 91.0, 50),
        marked(30, 90.0), quote(40, 90.0, 50, 91.0, 50),
    )  # fmt: skip

    run = play(acting({1: lambda broker: broker.buy(10)}), recorded, latency=0.0, leverage=20.0)

    assert [fill.liquidity for fill in run.run.broker.fills] == ["taker", "liquidation"]
    assert list(run.run.broker.fills) == run.fills


def test_positions_opened_before_the_cash_has_a_price_keep_their_entry():
    recorded = by_hand(
        quote(0, 50_000.0, 900, 50_001.0, 900, "XBTUSDM"),
        quote(10, 40_000.0, 900, 40_001.0, 900, "XBTUSDM"),
        quote(20, 40_000.0, 9, 40_001.0, 9),
        quote(30, 40_000.0, 9, 40_001.0, 9),
    )

    run = play(
        acting({0: lambda broker: broker.buy(100, "XBTUSDM")}), recorded, latency=0.0,
        cash={"XBT": 1.0},
    )  # fmt: skip

    assert run.run.broker.position("XBTUSDM").entry_price == pytest.approx(50_001.0)
    assert run.result.stats["return_pct"] < 0


def test_a_funding_announced_after_the_exit_belongs_to_the_round_trip_that_owed_it():
    recorded = by_hand(
        quote(59_000, 100.0, 50, 101.0, 50), marked(59_100, 100.0), quote(60_100, 100, 50, 101, 50),
        settled(60_500, 0.01, when_ms=60_000), quote(60_600, 100.0, 50, 101.0, 50),
    )  # fmt: skip

    run = play(
        acting({1: lambda broker: broker.buy(10), 2: lambda broker: broker.close()}), recorded,
        latency=0.0,
    )  # fmt: skip

    assert run.result.funding["amount"].to_list() == [-0.01]
    assert run.result.trades["funding"].to_list() == [-0.01]
