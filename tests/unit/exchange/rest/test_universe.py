"""Symbols are asked for once, kept, and known offline from the last copy."""

import pytest

import kucoin_research as kr
from kucoin_research.errors import BadReply, ExchangeUnavailable, UnknownSymbol, Unreachable
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.rest.symbol_cache import ListingFiles
from kucoin_research.exchange.rest.universe import Universe
from kucoin_research.exchange.venues import LIVE
from kucoin_research.model.channels import Market
from tests.exchanges import simulate
from tests.set_clock import SetClock

HOUR = 3_600


class FarRest:
    """The REST side of a loopback exchange as if it were KuCoin's own, with a cable to pull."""

    venue = LIVE

    def __init__(self, rest):
        self._rest = rest
        self.calls = 0
        self.failure = None

    def _through(self, call, *arguments):
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return call(*arguments)

    def contracts(self):
        return self._through(self._rest.contracts)

    def spot_symbols(self):
        return self._through(self._rest.spot_symbols)

    def contract(self, symbol):
        return self._through(self._rest.contract, symbol)


@pytest.fixture(scope="module")
def near():
    states = {"SOLUSDTM": "Settled", "ETHUSDTM": "Paused", "KCSUSDTM": "CancelOnly"}
    with simulate(seed=7, states=states | {"KCS-USDT": "Closed"}) as x, Rest(x.venue) as rest:
        yield rest


@pytest.fixture
def far(near):
    return FarRest(near)


@pytest.fixture
def clock():
    return SetClock(seconds=1_000.0, wall_ns=1_790_000_000_000_000_000)


@pytest.fixture
def begin(tmp_path, clock):
    """Begin a new process, so to speak: nothing in memory, the same disk."""
    return lambda: Universe(ListingFiles(tmp_path), clock=clock)


def test_a_list_is_asked_for_once_in_ten_minutes(far, clock, begin):
    universe = begin()

    for _ in range(5):
        universe.instruments(far, Market.FUTURES)
    clock.seconds += 601
    universe.instruments(far, Market.FUTURES)

    assert far.calls == 2


def test_a_symbol_listed_since_the_list_was_read_is_found(far, clock, begin):
    universe = begin()
    universe.instruments(far, Market.FUTURES)

    universe.instruments(far, Market.FUTURES, "NEWUSDTM")
    assert far.calls == 1  # the list is half a minute old at most
    clock.seconds += 31
    universe.instruments(far, Market.FUTURES, "XBTUSDTM")
    assert far.calls == 1
    universe.instruments(far, Market.FUTURES, "NEWUSDTM")
    assert far.calls == 2


def test_another_process_begins_with_the_copy_on_disk(far, clock, begin):
    first = begin().instruments(far, Market.FUTURES)
    clock.seconds += 500
    universe = begin()

    assert universe.instruments(far, Market.FUTURES) == first
    assert far.calls == 1
    clock.seconds += 101  # as old as a list in memory may become
    universe.instruments(far, Market.FUTURES)
    assert far.calls == 2


@pytest.mark.parametrize("failure", [Unreachable("no route"), ExchangeUnavailable("busy")])
def test_without_a_network_the_last_copy_is_used_and_its_age_told(far, clock, begin, failure):
    first = begin().instruments(far, Market.FUTURES)
    clock.seconds += 50 * HOUR
    far.failure = failure
    universe = begin()

    with pytest.warns(kr.StaleSymbols, match=f"futures symbols are a copy 2 days old: {failure}"):
        stale = universe.instruments(far, Market.FUTURES)

    assert stale == first
    universe.instruments(far, Market.FUTURES)  # for a minute it is neither asked nor told again
    assert far.calls == 2


def test_without_a_network_memory_serves_too(far, clock, begin):
    universe = begin()
    first = universe.instruments(far, Market.SPOT)
    clock.seconds += HOUR
    far.failure = Unreachable("no route")

    with pytest.warns(kr.StaleSymbols, match="60 minutes old"):
        assert universe.instruments(far, Market.SPOT) == first

    clock.seconds += 61
    far.failure = None
    assert universe.instruments(far, Market.SPOT) == first
    assert far.calls == 3


def test_without_network_and_copy_the_reason_is_raised(far, begin):
    far.failure = Unreachable("no route")

    with pytest.raises(Unreachable, match="no route"):
        begin().instruments(far, Market.FUTURES)


def test_a_copy_from_the_future_is_not_fresh(far, clock, begin):
    begin().instruments(far, Market.FUTURES)
    clock.seconds -= 500

    begin().instruments(far, Market.FUTURES)

    assert far.calls == 2


def test_a_torn_copy_is_ignored_and_written_anew(far, tmp_path, begin):
    begin().instruments(far, Market.FUTURES)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:1_000])

    begin().instruments(far, Market.FUTURES)

    assert path.read_bytes() == content
    assert far.calls == 2


def test_an_exchange_on_this_machine_leaves_no_file(near, tmp_path, begin):
    begin().instruments(near, Market.FUTURES)

    assert list(tmp_path.iterdir()) == []


def test_a_settled_contract_is_found_though_no_list_names_it(near, begin):
    universe = begin()

    assert "SOLUSDTM" not in universe.instruments(near, Market.FUTURES)
    assert universe.find(near, "SOLUSDTM", Market.FUTURES).status == "Settled"


def test_what_nobody_knows_is_answered_with_near_matches(near, begin):
    with pytest.raises(kr.UnknownSymbol, match="use 'XBTUSDTM'"):
        begin().find(near, "BTCUSDTM", Market.FUTURES)


@pytest.mark.parametrize(
    ("symbol", "status"), [("SOLUSDTM", "Settled"), ("ETHUSDTM", "Paused"), ("KCS-USDT", "Closed")]
)
def test_what_does_not_trade_is_told_before_anything_is_sent(near, symbol, status):
    with pytest.raises(
        kr.SymbolNotTrading, match=f"{symbol} is {status}: .* stay silent"
    ) as caught:
        kr.stream_to_frame(["XBTUSDTM", symbol], rows=1, venue=near.venue, progress=False)

    assert caught.value.status == status
    assert kr.running() == []


def test_what_does_not_trade_still_has_history_and_an_instrument(near):
    assert kr.candles("SOLUSDTM", "1hour", venue=near.venue, progress=False).height > 190
    assert kr.instrument("ETHUSDTM", venue=near.venue).status == "Paused"
    assert not {"ETHUSDTM", "KCSUSDTM"} & set(kr.get_active_symbols(venue=near.venue))


@pytest.mark.parametrize(("may_pass", "kind"), [(False, BadReply), (True, UnknownSymbol)])
def test_a_contract_described_by_nonsense_is_told_for_what_it_is(begin, far, may_pass, kind):
    universe = begin()
    universe.instruments(far, Market.FUTURES)
    far.failure = BadReply("its isInverse makes no sense")
    far.failure.may_pass = may_pass  # as of a page of HTML

    with pytest.raises(kind):
        universe.find(far, "XBTUSDM2", Market.FUTURES)


def test_a_contract_that_can_only_be_cancelled_still_streams(near):
    frame = kr.stream_to_frame("KCSUSDTM", "depth5", rows=3, venue=near.venue, progress=False)

    assert frame.height == 3
