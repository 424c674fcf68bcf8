"""The ladder with numbers: changed rows only, at the browser's pace, and never an old book."""

import polars as pl
import pytest

from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.ladder_table import LadderTable
from kucoin_research.errors import BookNotReady
from kucoin_research.figures.refresh import refresher
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import Depth50, Status, schema_of
from kucoin_research.model.size_unit import SizeUnit, Unit, native_unit

# One thread of the process draws all figures, in the machine's time.
REAL_TIME = True

SECOND = 1_000_000_000
SYMBOL = "XBTUSDTM"
CONTRACTS = native_unit(SYMBOL)


class Books:
    """A stream of one symbol's books, which the test sends."""

    name, symbols = "books", (SYMBOL,)

    def __init__(self, channel="depth50"):
        self.channels, self.state = (channel,), "live"
        self.rows, self.notes = [], []
        self.kept = None

    def send(self, bids, asks):
        at = len(self.rows) * SECOND
        sides = [[list(part) for part in zip(*side.items(), strict=True)] for side in (bids, asks)]
        levels = [part for side in sides for part in (side or [[], []])]
        self.rows.append(Depth50(at, at, SYMBOL, None, *levels))
        self.kept = OrderBook(SYMBOL, len(self.rows), at, bids, asks)

    def note(self, event, detail):
        at = len(self.rows) * SECOND
        self.notes.append(Status(at, at, None, event, None, detail, None, None))

    def total(self, channel):
        return len(self.notes if channel == "status" else self.rows)

    def frame(self, channel, symbol=None, last=None):
        rows, kind = (self.notes, Status) if channel == "status" else (self.rows, Depth50)
        rows = rows if last is None else rows[-last:]
        return pl.DataFrame(rows, schema=schema_of(kind), orient="row")

    def book(self, symbol=None):
        if self.kept is None:
            raise BookNotReady("the book is out of step and fetched afresh")
        return self.kept


class Shown:
    """A ladder with one page, and what it was sent."""

    def __init__(self, source, channel="depth50", unit=CONTRACTS, tick=0.1):
        self.source, self.sent, self.now = source, [], 0.0
        self.table = LadderTable(source, SYMBOL, channel, unit=unit, tick=tick)
        self.table._ticket.cancel()  # the test alone refreshes it
        self.table._ticket = None
        self.table.send = lambda content, buffers=(): self.sent.append(content)
        self.hear("hello")
        self.hear("view", visible=True, rows=3)

    def hear(self, kind, **rest):
        self.table._on_message(None, {"kind": kind, "page": "p", **rest}, [])

    def told(self, *, seconds=0.2):
        """Refresh it once; returns the message, ``None`` if there was none."""
        self.now += seconds
        self.table.refresh(self.now)
        sent, self.sent[:] = [each for each in self.sent if each["kind"] == "rows"], []
        for each in sent:
            self.hear("drawn", seq=each["seq"], ms=1)
        assert len(sent) < 2
        return sent[0] if sent else None


@pytest.fixture
def show():
    made = []

    def shown(source, *args, **options):
        made.append(Shown(source, *args, **options))
        return made[-1]

    yield shown
    for each in made:
        each.table.close()


@pytest.fixture
def books():
    made = Books()
    made.send({100.0: 3, 99.9: 2}, {100.1: 4, 100.2: 1})
    return made


def test_a_page_gets_all_rows_first_and_then_those_that_changed(show, books):
    page = show(books)

    first = page.told()
    books.send({100.0: 3, 99.9: 5}, {100.1: 4, 100.2: 1})
    second = page.told()

    assert first["all"]
    assert first["asks"] == [
        [0, "100.1", "4", "4", 100, "", 0], [1, "100.2", "1", "5", 25, "", 0],
    ]  # fmt: skip
    assert first["middle"] == ["0.1 · 10.00 bp", "100.05"]
    assert [row[:4] for row in second["bids"]] == [[0, "100.0", "3", "3"], [1, "99.9", "5", "8"]]
    assert [row[-1] for row in second["bids"]] == [0, 1]
    assert {"kind", "seq", "to"} == set(second) - {"asks", "bids"}
    assert page.told() is None


def test_a_size_is_compared_with_that_of_its_price_and_not_of_its_place(show, books):
    page = show(books)
    page.told()

    books.send({100.0: 2, 99.9: 2}, {100.2: 1, 100.3: 7})
    told = page.told()

    assert [(row[1], row[-1]) for row in told["asks"]] == [("100.2", 0), ("100.3", 0)]
    assert [(row[1], row[-1]) for row in told["bids"]] == [("100.0", -1), ("99.9", 0)]


def test_a_level_between_those_of_before_is_new_and_one_behind_them_is_not(show, books):
    books.send({100.0: 3, 99.8: 2}, {100.1: 4, 100.2: 1})
    page = show(books)
    page.told()

    books.send({100.0: 3, 99.9: 1, 99.8: 2, 99.7: 1}, {100.1: 4})
    told = page.told()

    assert [(row[1], row[-1]) for row in told["bids"]] == [("99.9", 1), ("99.8", 0)]
    assert told["asks"] == [[1]]  # one row fewer


def test_a_price_with_more_decimals_than_before_is_no_change_of_the_others(show, books):
    page = show(books)
    page.told()

    books.send({100.0: 3.0, 99.95: 1.0, 99.9: 2.5}, {100.1: 4})

    assert {row[-1] for row in page.told()["bids"]} == {0}


def test_a_slow_browser_gets_two_messages_at_most_and_then_the_newest(show, books):
    page = show(books)
    for size in range(6):
        books.send({100.0: 10 + size}, {100.1: 4})
        page.table.refresh(1 + size / 10)

    assert [each["bids"][0][2] for each in page.sent] == ["10", "11"]
    page.hear("drawn", seq=2, ms=1)
    page.sent.clear()
    page.table.refresh(2.0)

    assert [each["bids"][0][2] for each in page.sent] == ["15"]


def test_nothing_is_sent_to_a_hidden_page(show, books):
    page = show(books)
    page.hear("view", visible=False)

    assert page.told() is None
    assert page.table.refresh(1.0) >= 0.5


def test_a_group_is_chosen_for_all_pages_and_says_how_far_the_channel_reaches(show, books):
    page = show(books)
    page.told()

    page.hear("group", ticks=2)
    told = page.told()

    assert page.table.group == told["group"] == 2
    assert told["asks"][0] == [0, "100.2", "5", "5", 100, "", 0]
    assert told["asks"][1] == [1]
    page.hear("group", ticks=3)  # none of the choices
    assert page.table.group == 2


def test_of_fewer_levels_than_rows_it_says_where_they_end(show, books):
    assert show(books).told()["foot"] == "depth50 ends at 99.9 / 100.2"


def test_a_page_with_room_for_more_rows_gets_them(show, books):
    books.send({100.0 - n: 1 for n in range(8)}, {101.0 + n: 1 for n in range(8)})
    page = show(books)
    assert len(page.told()["asks"]) == 3

    page.hear("view", visible=True, rows=5)

    assert [row[0] for row in page.told()["asks"]] == [3, 4]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("stopped", "not live: the stream is stopped"),
        ("reconnecting", "not live: the connection is lost and being made again"),
    ],
)
def test_the_last_book_of_a_stream_that_stands_still_is_called_not_live(show, books, state, words):
    page = show(books)
    assert page.told()["trouble"] == ""

    books.state = state

    assert page.told()["trouble"] == words


def test_a_book_before_an_outage_that_lasts_is_called_not_live(show, books):
    page = show(books)
    page.told()

    books.note("disconnected", "connection lost")
    assert page.told()["trouble"] == "not live: connection lost"

    books.note("connected", "")
    assert page.told()["trouble"] == ""


def test_a_book_out_of_step_leaves_no_row_and_says_why(show):
    books = Books("level2")
    books.send({100.0: 3}, {100.1: 4})
    page = show(books, "level2")
    assert page.told()["asks"]

    books.rows.append(books.rows[-1])
    books.kept = None
    told = page.told()

    assert (told["asks"], told["bids"]) == ([[0]], [[0]])
    assert told["trouble"] == "no book: the book is out of step and fetched afresh"


def test_a_crossed_book_is_not_shown(show, books):
    page = show(books)
    page.told()

    books.send({100.5: 3}, {100.1: 4})

    assert "wrong" in page.told()["trouble"]


def test_a_quiet_book_says_how_long_it_is_unchanged(show, books):
    page = show(books)
    page.told()

    assert page.told(seconds=5.0) is None
    assert page.told(seconds=7.0)["foot"].endswith("unchanged for 12 s")
    books.send({100.0: 3, 99.9: 2}, {100.1: 4, 100.2: 1})
    assert "unchanged" not in page.told()["foot"]


def test_a_replay_that_is_paused_is_not_called_unchanged(show, books):
    books.state = "paused"
    page = show(books)
    page.told()

    assert page.told(seconds=60.0) is None


def test_before_there_is_a_book_it_says_so(show):
    page = show(Idle(SYMBOL))

    assert page.told()["trouble"] == f"waiting for a book of {SYMBOL}"


def test_own_orders_have_a_column_while_there_are_any(show, books):
    page = show(books)
    assert page.told()["has_own"] is False

    page.table.own = {99.9: 1.0}
    told = page.told()
    assert told["has_own"] is True
    assert told["bids"] == [[1, "99.9", "2", "5", 50, "1", 0]]

    page.table.own = {}
    assert page.told()["has_own"] is False


def test_a_frozen_ladder_stands_still_and_can_still_be_grouped(show, books):
    page = show(books)
    page.told()
    page.table.is_frozen = True

    books.send({100.0: 9}, {100.1: 9})
    assert page.told(seconds=60.0) is None

    page.hear("group", ticks=10)
    assert page.told()["asks"][0][2] == "≥5"


def test_another_unit_is_shown_in_the_same_place(show, books):
    page = show(books)
    page.told()

    page.table.attach(books, SYMBOL, "depth50", unit=SizeUnit(Unit.COINS, "XBT", 0.001), tick=0.1)
    told = page.told()

    assert told["unit"] == "XBT"
    assert told["asks"][0][2] == "0.004"


def test_a_message_of_changed_rows_is_small(show):
    books = Books()
    bids, asks = ({64_000.0 - n: 100.0 + n for n in range(50)} for _ in range(2))
    asks = {64_001.0 + n: 100.0 + n for n in range(50)}
    books.send(bids, asks)
    page = show(books)
    page.hear("view", visible=True, rows=15)
    page.told()
    before = page.table.link.bytes_sent

    books.send({**bids, 63_999.0: 5.0}, asks)
    page.told()

    assert 0 < page.table.link.bytes_sent - before < 700


def test_nothing_of_it_is_left_when_it_is_closed(books):
    table = LadderTable(books, SYMBOL, "depth50", unit=CONTRACTS)
    running = len(refresher())

    table.close()

    assert table.comm is None
    assert table.layout.comm is None
    assert len(refresher()) == running - 1
    table.close()  # again, as the garbage collector does
