from kucoin_research.playback.turn import Turn
from tests.unit.rows import ticker


def turn(rows=5):
    return Turn([ticker(n) for n in range(rows)], is_own=False)


def test_without_functions_all_rows_count_as_given():
    made = turn()

    assert made.given == 5
    assert made.cut() == []


def test_rows_drawn_count_as_given_and_those_behind_are_cut_off():
    made = turn()
    drawn = made.begin()
    next(drawn), next(drawn)

    assert made.given == 2
    assert made.cut() == [ticker(2), ticker(3), ticker(4)]
    assert list(drawn) == []
    assert made.given == 2


def test_each_row_is_kept_once():
    made = turn()

    assert made.keep(2) == [ticker(0), ticker(1)]
    assert made.keep(2) == []
    assert made.keep(5) == [ticker(2), ticker(3), ticker(4)]
