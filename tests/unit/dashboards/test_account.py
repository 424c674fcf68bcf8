"""The user's own orders, position and fills: true also after a connection was lost."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.account_book import AccountBook
from kucoin_research.dashboards.account_rows import AccountRows
from kucoin_research.dashboards.account_texts import AccountTexts
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.shown_sizes import ShownSizes
from kucoin_research.figures.static import still
from kucoin_research.figures.tail import Joined, Tail
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.size_unit import SizeUnit, Unit
from tests.conftest import wait_until
from tests.exchanges import simulate

CHANNELS = ["ticker", "order", "fill", "position"]
HEALING = kr.Healing(connects_per_minute=600, most_backoff=1.0)


@pytest.fixture
def exchange():
    with simulate(seed=3, speed=5.0) as running:
        yield running


@pytest.fixture
def account(exchange):
    return exchange.demo_account


def opened(exchange, symbol="XBTUSDTM", channels=CHANNELS):
    return kr.stream(
        symbol, channels, venue=exchange.venue, credentials=exchange.credentials, healing=HEALING
    )


@pytest.fixture
def stream(exchange):
    with opened(exchange) as running:
        assert running.wait_until_live()
        running.wait("ticker", rows=2)
        yield running


def last(stream):
    return stream.frame("ticker", last=1)["price"][0]


def near(stream, share):
    return round(last(stream) * (1 + share))


def has(stream, kind, count=1, channel="order", column="type"):
    wait_until(lambda: stream.frame(channel)[column].to_list().count(kind) >= count)


def read(stream, symbol="XBTUSDTM"):
    book = AccountBook(stream, symbol)
    book.read()
    return book


def sides(orders):
    return [each.side for each in orders]


def texts(stream, symbol="XBTUSDTM"):
    return AccountTexts(stream, symbol, Zone()).texts()


def test_orders_are_listed_until_they_are_canceled(stream, account):
    buy = account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    account.place("XBTUSDTM", "sell", 2, price=near(stream, 0.01))
    account.place("ETHUSDTM", "buy", 2, price=10)
    has(stream, "open", 2)
    book = read(stream)
    both = list(book.orders)

    account.cancel(buy)
    has(stream, "canceled")
    assert book.has_news()
    book.read()

    assert sides(both) == ["sell", "buy"]
    assert (both[1].order_id, both[1].size, both[1].left) == (buy, 3.0, 3.0)
    assert sides(book.orders) == ["sell"]
    assert book.unknown == []
    assert not book.has_news()


def test_a_fill_at_the_market_is_a_position_and_no_order(stream, account):
    account.place("XBTUSDTM", "sell", 5)
    has(stream, "filled")
    has(stream, -5.0, channel="position", column="current_qty")
    rows = AccountRows(stream, "XBTUSDTM")
    found = dict(rows.rows())
    newest = stream.frame("position").drop_nulls("avg_entry_price")
    entry = newest["avg_entry_price"][-1]

    assert found["account_fills"]["size"].sum() == 5.0
    ((kind, price, label),) = found["account_lines"].rows()
    assert (kind, price) == ("position", entry)
    assert label.startswith(f"short 5 at {entry:,.15g} · ")
    assert label.endswith(" USDT")
    quote = ShownSizes(SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1))
    ((_, _, label),) = dict(AccountRows(stream, "XBTUSDTM", quote).rows())["account_lines"].rows()
    assert label.startswith(f"short {quote.written_at(5.0, entry)} at {entry:,.15g} · ")
    facts = {label: value for label, value, _ in texts(stream)["own:facts"]}
    assert facts["position"] == "short 5"
    assert list(facts) == ["position", "entry", "mark", "unrealised", "realised", "liquidation"]
    shown = stream.frame("position")
    assert float(facts["entry"].replace(",", "")) in shown["avg_entry_price"].to_list()
    assert float(facts["unrealised"].split()[0].replace(",", "")) in shown["unrealised_pnl"]


def test_the_lines_of_orders_have_their_side_size_and_price(stream, account):
    price = near(stream, -0.01)
    rows = AccountRows(stream, "XBTUSDTM")
    account.place("XBTUSDTM", "buy", 3, price=price)
    has(stream, "open")

    assert dict(rows.rows())["account_lines"].rows() == [
        ("buy", float(price), f"▲ buy 3 at {price:,}")
    ]
    account.cancel_all()
    has(stream, "canceled")
    assert dict(rows.rows())["account_lines"].rows() == []
    assert not rows.has_news()


def test_after_an_outage_an_order_of_before_is_unknown_until_a_message_about_it(
    exchange, stream, account
):
    before = account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    account.place("XBTUSDTM", "buy", 1)
    has(stream, "open")
    has(stream, 1.0, channel="position", column="current_qty")
    rows, book = AccountRows(stream, "XBTUSDTM"), read(stream)
    assert len(dict(rows.rows())["account_lines"]) == 2
    assert [each.current_qty for each in book.known_positions()] == [1.0]

    exchange.inject("abort")
    wait_until(lambda: stream.status.reconnects == 1)
    has(stream, "connected", 2, channel="status", column="event")
    after = account.place("XBTUSDTM", "sell", 2, price=near(stream, 0.01))
    has(stream, "open", 2)
    book.read()

    assert [each.order_id for each in book.unknown] == [before]
    assert [each.order_id for each in book.orders] == [after]
    assert book.known_positions() == []
    lines = dict(rows.rows())["account_lines"]
    assert lines["kind"].to_list() == ["sell"]
    shown = texts(stream)
    assert shown["own"][0] == "1 open order"
    (began,) = stream.frame("status").filter(event="disconnected")["local_timestamp"].dt.to_string()
    assert shown["own"][1].startswith(f"1 order of before is not known since {began[:17]}")
    assert shown["own:facts"] == [["position", "not known", ""]]

    account.place("XBTUSDTM", "buy", 1)
    has(stream, 2.0, channel="position", column="current_qty")
    account.cancel(before)
    has(stream, "canceled")
    assert [each.current_qty for each in read(stream).known_positions()] == [2.0]
    assert read(stream).unknown == []


def test_a_loss_stays_known_however_many_status_rows_come_after_it(exchange, stream, account):
    order = account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    has(stream, "open")
    early = read(stream)

    exchange.inject("abort")
    account.cancel(order)
    has(stream, "connected", 2, channel="status", column="event")
    early.read()
    for _ in range(5_001):
        stream.note("note", "a note")
    wait_until(lambda: stream.total("status") > 5_001)
    early.read()

    assert account.open_orders == []
    for book in (early, read(stream)):
        assert ([each.order_id for each in book.unknown], book.orders) == ([order], [])


def test_an_order_is_not_known_since_the_first_outage_after_its_last_message(
    exchange, stream, account
):
    def abort(count):
        exchange.inject("abort")
        has(stream, "connected", count, channel="status", column="event")
        lost = pl.col("event").cast(pl.String) == "gap", pl.col("channel") == "order"
        wait_until(lambda: stream.frame("status").filter(*lost).height == count - 1)

    book = read(stream)
    abort(2)
    account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    has(stream, "open")
    abort(3)
    book.read()
    since = book.lost_since
    abort(4)
    book.read()

    begins = stream.frame("status").filter(event="disconnected")["local_timestamp"].cast(pl.Int64)
    distances = (begins - since).abs().to_list()
    assert distances.index(min(distances)) == 1
    assert book.lost_since == since
    stream.stop()
    book.read()
    assert book.lost_since == since
    assert "is not known since the stream ended" not in texts(stream)["own"][1]


def test_nothing_is_known_while_no_connection_is_there_and_after_the_stop(
    exchange, stream, account
):
    account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    has(stream, "open")
    book = read(stream)
    assert len(book.orders) == 1

    stream.stop()

    assert book.has_news()
    book.read()
    assert (book.orders, len(book.unknown)) == ([], 1)
    assert len(read(stream).unknown) == 1
    assert "is not known since the stream ended" in texts(stream)["own"][1]


def test_a_stream_of_all_symbols_shows_those_of_one(exchange, account):
    with opened(exchange, "*", ["order"]) as stream:
        assert stream.wait_until_live()
        account.place("XBTUSDTM", "buy", 1, price=1000)
        account.place("ETHUSDTM", "buy", 1, price=1000)
        has(stream, "open", 2)
        assert [each.price for each in read(stream).orders] == [1000.0]

        exchange.inject("abort")
        has(stream, "connected", 2, channel="status", column="event")

        assert len(read(stream).unknown) == 1
        assert not read(stream).has_positions
        assert texts(stream)["own:facts"] == []


def test_orders_of_a_spot_pair(exchange, account):
    with opened(exchange, "BTC-USDT", ["order", "fill", "ticker"]) as stream:
        assert stream.wait_until_live()
        stream.wait("ticker", rows=2)
        order = account.place("BTC-USDT", "sell", "0.001", price=near(stream, 0.01))
        has(stream, "open")

        there = read(stream, "BTC-USDT").orders
        assert [(each.order_id, each.left) for each in there] == [(order, 0.001)]
        account.cancel(order)
        has(stream, "canceled")
        assert read(stream, "BTC-USDT").orders == []


def test_a_replay_shows_the_orders_of_its_place(exchange, stream, account, tmp_path):
    recorder = stream.record(tmp_path)
    order = account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    has(stream, "open")
    account.cancel(order)
    has(stream, "canceled")
    stream.stop()
    recorder.close()
    session = kr.load(recorder.path)
    before, after = session.frame("order")["local_timestamp"].cast(pl.Int64)

    with kr.replay(session, paused=True) as replay:
        shown = AccountTexts(replay, "XBTUSDTM", Zone())
        for place, count in ((before, 0), (after, 1), (replay.end_ns, 0), (after, 1)):
            replay.seek(place)
            assert len(shown.texts()["own:orders"]) == count


def drawn(stream, rows):
    """Draw the price of a stream with the account's rows."""
    chart = PriceChart(View(), Sketch("XBTUSDTM", options={"has_account": True}))
    for role, frame in Joined(Tail(stream, "XBTUSDTM", {"quotes": "ticker"}), rows).rows():
        chart.take(role, frame)
    return still(chart)


def test_orders_and_position_are_lines_and_fills_are_arrows(stream, account):
    account.place("XBTUSDTM", "buy", 3, price=near(stream, -0.01))
    account.place("XBTUSDTM", "sell", 3, price=near(stream, 0.01))
    account.place("XBTUSDTM", "buy", 2)
    has(stream, "filled")
    has(stream, 2.0, channel="position", column="current_qty")

    figure = drawn(stream, AccountRows(stream, "XBTUSDTM"))

    shapes = {each.label.text.split(" at ")[0]: each for each in figure.layout.shapes}
    assert shapes.keys() == {"▲ buy 3", "▼ sell 3", "long 2"}
    assert len({each.line.dash for each in shapes.values()}) == 3
    bought, sold = (next(t for t in figure.data if t.name == name) for name in ("bought", "sold"))
    assert bought.marker.symbol == "arrow-up"
    assert sold.x is None or not len(sold.x)
    assert bought.text[0].startswith("filled: buy ")


def test_an_order_far_from_the_price_leaves_the_axis_as_it_is(stream, account):
    account.place("XBTUSDTM", "buy", 3, price=1000)
    has(stream, "open")

    figure = drawn(stream, AccountRows(stream, "XBTUSDTM"))

    assert [each.y0 for each in figure.layout.shapes] == [1000.0]
    values = [y for each in figure.data if each.y is not None for y in each.y if y == y]
    fence = figure.layout.yaxis.autorangeoptions
    assert min(values) * 0.99 < fence.clipmin < min(values) < max(values) < fence.clipmax
