"""The core leaves turns to the sockets: how much it does at a time, counted in virtual time."""

import asyncio

import pytest

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.clock import clock_from, parse_start
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.topics import parse_topics
from kucoin_research.sim.server.market_core import MarketCore, listings_for
from kucoin_research.sim.server.rest import ROUTES
from kucoin_research.sim.server.routes import Reply, Site, find_route
from kucoin_research.sim.server.settings import Settings
from tests.conftest import spawn
from tests.exchanges import START
from tests.set_clock import SetMachine
from tests.unit.sim.client import Client, ask, base_url, data_of, open_exchange

SECOND = 10**9
SYMBOLS = ["KCSUSDTM", "XBTUSDM", "KCS-USDT", "ETH-BTC"]
LISTS = [
    ("futures", "/api/v1/contracts/active"),
    ("futures", "/api/v1/allTickers"),
    ("spot", "/api/v1/market/allTickers"),
]


class Meter:
    """What was done since it was last read: engines built, and virtual ns that they went on."""

    def __init__(self):
        self.engines = self.virtual_ns = 0

    def read(self):
        """Give both, and begin again."""
        done = self.engines, self.virtual_ns
        self.engines = self.virtual_ns = 0
        return done

    def make_engine(self, listing, seed, start_ns):
        return CountedMarket(self, listing, seed, start_ns)


class CountedMarket(Market):
    def __init__(self, meter, *of_what):
        super().__init__(*of_what)
        self._meter = meter
        meter.engines += 1

    def advance(self, until_ns):
        self._meter.virtual_ns += max(0, until_ns - self.now_ns)
        return super().advance(until_ns)


class Reader:
    number = 1

    def __init__(self):
        self.messages = []

    def push(self, message, frame):
        self.messages.append(message)
        return True


class Rig:
    """A core whose wall clock is set by hand, and which leaves a turn after each step."""

    def __init__(self, start=START, speed=1):
        self.machine = SetMachine(wall_ns=parse_start(START))
        self.meter = Meter()
        clock = clock_from(start, speed, self.machine)
        self.core = MarketCore(7, clock, listings_for(SYMBOLS), Settings(), self.meter.make_engine)
        self.core.turn = 0.0

    def pieces(self, work, meanwhile=lambda: None):
        """Do work, and give what was done of it between each two turns of the sockets."""

        async def go():
            task, pieces = asyncio.ensure_future(work), []
            while not task.done():
                await asyncio.sleep(0)
                pieces.append(self.meter.read())
                if not task.done():
                    meanwhile()
            await task
            return pieces

        return asyncio.run(go())

    def subscribe(self, market, text, reader=None):
        for topic in parse_topics(market, text, is_logged_in=False):
            self.pieces(self.core.prepare(market, topic))
            self.core.subscribe(market, topic, reader or Reader())

    def go_on(self, seconds=1.0):
        """Let wall time pass, and do one turn of what is due then."""
        self.machine.ns += int(seconds * SECOND)
        return self.core.tick()


def assert_small(pieces):
    assert all(
        (engines, virtual_ns) == (1, 0) or (engines == 0 and virtual_ns <= SECOND)
        for engines, virtual_ns in pieces
    )


def test_symbols_warm_up_an_engine_or_a_virtual_second_at_a_time():
    rig = Rig()

    pieces = rig.pieces(rig.core.catch_up(SYMBOLS))

    assert_small(pieces)
    assert sum(engines for engines, _ in pieces) == len(SYMBOLS)
    assert sum(virtual_ns for _, virtual_ns in pieces) == len(SYMBOLS) * 60 * SECOND


@pytest.mark.parametrize(
    ("market", "text"), [("spot", "/market/ticker:all"), ("futures", "/contract/announcement")]
)
def test_topic_of_all_symbols_begins_piece_by_piece(market, text):
    rig = Rig()
    [topic] = parse_topics(market, text, is_logged_in=False)

    assert_small(rig.pieces(rig.core.prepare(market, topic)))
    rig.core.subscribe(market, topic, Reader())

    assert rig.meter.read() == (0, 0)


def test_long_idle_symbol_catches_up_piece_by_piece():
    rig = Rig()
    rig.subscribe("futures", "/contractMarket/execution:KCSUSDTM")
    rig.core.caught_up("KCS-USDT")
    while rig.go_on(0 if rig.machine.ns else 300):
        pass
    rig.meter.read()

    pieces = rig.pieces(rig.core.catch_up(["KCS-USDT"]), meanwhile=rig.go_on)

    assert_small(pieces)
    assert sum(virtual_ns for _, virtual_ns in pieces) == 300 * SECOND
    assert rig.core.caught_up("KCS-USDT").now_ns == rig.core.clock.reached_ns
    assert rig.meter.read() == (0, 0)  # time has waited


@pytest.mark.parametrize(("market", "path"), LISTS)
def test_list_of_all_symbols_is_answered_piece_by_piece(market, path):
    rig = Rig()
    site = Site(rig.core, market)
    route, _ = find_route(ROUTES[market], path)

    async def answer():
        await rig.core.catch_up(route.touches(site, {}), 0.0)
        made = route.answer(site, {})
        return made if isinstance(made, Reply) else await rig.core.in_turns(made)

    assert_small(rig.pieces(answer()))


def test_symbols_of_a_list_start_at_one_instant_although_time_passes():
    rig = Rig()
    rig.subscribe("futures", "/contractMarket/execution:KCSUSDTM")
    start_ns = rig.core.clock.reached_ns

    rig.pieces(rig.core.catch_up(SYMBOLS, 1e9), meanwhile=rig.go_on)

    assert rig.core.clock.reached_ns > start_ns
    assert {rig.core.engine(symbol).start_ns for symbol in SYMBOLS} == {start_ns - 60 * SECOND}


def test_warming_up_in_pieces_changes_nothing():
    rig = Rig()
    now_ns = rig.core.clock.reached_ns
    whole = Market(LISTINGS["XBTUSDM"], 7, now_ns - 60 * SECOND)
    whole.advance(now_ns)

    rig.pieces(rig.core.catch_up(["XBTUSDM"]))

    pieced = rig.core.engine("XBTUSDM")
    assert list(pieced.trades) == list(whole.trades)
    assert pieced.levels("buy") == whole.levels("buy")
    assert pieced.mark_price(now_ns) == whole.mark_price(now_ns)


def test_engine_that_is_wanted_amid_its_warm_up_is_finished():
    rig = Rig()
    pieces = rig.core.catching_up(["XBTUSDM"])
    for _ in range(5):
        next(pieces)

    assert rig.core.engine("XBTUSDM").now_ns == rig.core.clock.reached_ns


def test_work_that_is_left_amid_lets_time_pass_again():
    rig = Rig()
    rig.subscribe("futures", "/contractMarket/execution:KCSUSDTM")
    before_ns = rig.core.clock.reached_ns

    async def leave():
        task = asyncio.ensure_future(rig.core.catch_up(["KCS-USDT"]))
        await asyncio.sleep(0)
        rig.go_on()
        assert rig.core.clock.reached_ns == before_ns
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(leave())
    rig.go_on()

    assert rig.core.clock.reached_ns > before_ns


def test_an_engine_that_nobody_asks_for_stays_near_the_present():
    rig = Rig(start=None)
    rig.pieces(rig.core.catch_up(SYMBOLS))
    engines = [rig.core.engine(symbol) for symbol in SYMBOLS]

    behind, pieces = [], []
    for _ in range(3_600):
        rig.go_on(1 / len(SYMBOLS))
        behind.append(rig.core.clock.reached_ns - min(engine.now_ns for engine in engines))
        pieces.append(rig.meter.read())

    assert rig.core.clock.reached_ns == rig.machine.wall_ns()
    assert 60 * SECOND < max(behind) < 150 * SECOND
    assert_small(pieces)


def test_an_engine_that_nobody_asks_for_costs_nothing_where_time_has_a_start():
    rig = Rig()
    rig.core.clock.start()
    rig.pieces(rig.core.catch_up(["KCSUSDTM"]))
    engine = rig.core.engine("KCSUSDTM")
    before_ns = engine.now_ns

    for _ in range(200):
        rig.go_on()

    assert rig.core.clock.reached_ns > before_ns + 199 * SECOND
    assert engine.now_ns == before_ns


@pytest.mark.parametrize("speed", [0.5, 2, 60])
def test_an_engine_that_nobody_asks_for_stays_near_a_faster_time_that_began_now(speed):
    rig = Rig(start=None, speed=speed)
    rig.pieces(rig.core.catch_up(["KCSUSDTM"]))
    engine = rig.core.engine("KCSUSDTM")
    before_ns = rig.core.clock.reached_ns

    for _ in range(1_200):
        rig.go_on(0.25 / speed)

    assert rig.core.clock.reached_ns > before_ns + 299 * SECOND
    assert rig.core.clock.reached_ns - engine.now_ns < 150 * SECOND


def test_a_stream_of_an_idle_engine_begins_at_the_present():
    rig = Rig(start=None)
    rig.pieces(rig.core.catch_up(["KCSUSDTM"]))
    for _ in range(100):  # now the engine is amid its way to the present
        rig.go_on()
    engine, reader = rig.core.engine("KCSUSDTM"), Reader()
    assert engine.now_ns < rig.core.clock.reached_ns

    rig.subscribe("futures", "/contractMarket/execution:KCSUSDTM", reader)
    began_ns = rig.core.clock.reached_ns
    for _ in range(100):
        rig.go_on()
        while rig.core.tick():
            pass

    assert rig.core.clock.reached_ns == began_ns + 100 * SECOND
    traded = [trade for trade in engine.trades if trade.time_ns > began_ns]
    assert len(reader.messages) == len(traded) > 0


def test_short_call_is_answered_while_a_long_list_is_made(held_time, monkeypatch):
    answered = []
    catch_up = MarketCore.catching_up

    def catching_up(core, symbols, patience=None):
        yield from catch_up(core, symbols, patience)
        while patience is not None and not answered:  # a list as long as it takes
            yield

    monkeypatch.setattr(MarketCore, "catching_up", catching_up)
    with open_exchange() as exchange:
        url = base_url(exchange) + "/api/v1/allTickers"

        def ask_for_all():
            ask("GET", url, timeout=60)
            answered.append("list")

        asking = spawn(ask_for_all)
        while ("GET", "/api/v1/allTickers") not in exchange.requests:
            held_time.pass_by(0.0)  # a turn each, and no time
        data_of(exchange, "/api/v1/timestamp")
        answered.append("time")
        asking.join()

    assert answered == ["time", "list"]


def test_client_that_waits_for_an_answer_is_not_silent():
    symbols = ",".join(f"SIM{number:03d}USDTM" for number in range(1, 101))
    exchange = open_exchange(quiet_contracts=100, idle_timeout=0.1)
    with exchange, Client(exchange) as client:
        client.receive()

        reply = client.subscribe(f"/contractMarket/execution:{symbols}")

    assert reply["type"] == "ack"


def test_exchange_that_closes_amid_an_answer_logs_nothing(caplog):
    symbols = ",".join(f"SIM{number:03d}USDTM" for number in range(1, 101))
    with open_exchange(quiet_contracts=100) as exchange, Client(exchange) as client:
        client.receive()
        client.send(id="s1", type="subscribe", topic=f"/contractMarket/execution:{symbols}")
        client.send(id="s2", type="subscribe", topic=f"/contractMarket/level2:{symbols}")
        exchange.close()

    assert not caplog.records
