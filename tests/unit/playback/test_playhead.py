from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.playback.playhead import Play, Playhead, Wait

SECOND = 10**9
START = 1_700_000_000 * SECOND


def playhead(speed=1.0, *, is_paused=False):
    return Playhead(speed, START, is_paused=is_paused)


def test_a_row_is_due_once_its_time_has_come():
    head = playhead(speed=2.0)
    assert head.next_move(0, START, 64) == Play(START, 64)
    head.pass_rows(START, 1)

    assert head.next_move(0, START + 4 * SECOND, 64) == Wait(2.0)
    assert head.next_move(2 * SECOND, START + 4 * SECOND, 64) == Play(START + 4 * SECOND, 64)


def test_at_full_speed_every_row_is_due():
    head = playhead(speed=None)

    assert head.next_move(0, START + 4 * SECOND, 64) == Play(None, 64)


def test_nothing_is_due_while_it_is_paused_but_the_steps_left():
    head = playhead(is_paused=True)
    assert head.next_move(0, START, 64) == Wait(None)

    head.step(3)
    assert head.next_move(0, START, 2) == Play(None, 2)
    head.pass_rows(START, 2)
    assert head.next_move(0, START, 2) == Play(None, 1)
    head.pass_rows(START + 1, 0)  # a row of the replay's own is no step
    assert head.is_stepping
    head.pass_rows(START + 2, 1)

    assert not head.is_stepping
    assert head.next_move(0, START + SECOND, 64) == Wait(None)


def test_a_step_in_time_makes_its_rows_due_and_stands_at_its_end():
    head = playhead(is_paused=True)
    head.step_to(START + 5 * SECOND)

    assert head.is_stepping
    assert head.next_move(0, START + 5 * SECOND, 2) == Play(START + 5 * SECOND, 2)
    head.pass_rows(START + 5 * SECOND, 1)
    assert head.next_move(0, START + 6 * SECOND, 2) == Wait(None)
    assert not head.is_stepping
    assert head.position(0, START + 6 * SECOND) == START + 5 * SECOND

    head.step_to(START + 9 * SECOND)
    head.pause(0, START + 6 * SECOND)
    assert head.next_move(0, START + 6 * SECOND, 2) == Wait(None)


def test_the_position_goes_on_up_to_the_next_row_and_stands_while_paused():
    head = playhead()
    head.go_to(0, START)
    next_ns = START + 10 * SECOND

    assert head.position(3 * SECOND, next_ns) == START + 3 * SECOND
    assert head.position(30 * SECOND, next_ns) == next_ns
    assert head.position(30 * SECOND, None) == START

    head.pause(4 * SECOND, next_ns)
    assert head.position(9 * SECOND, next_ns) == START + 4 * SECOND
    head.resume(9 * SECOND, next_ns)
    assert head.position(10 * SECOND, next_ns) == START + 5 * SECOND


def test_a_change_of_speed_goes_on_from_the_position():
    head = playhead()
    head.go_to(0, START)

    head.change_speed(10.0, 2 * SECOND, START + 60 * SECOND)

    assert head.speed == 10.0
    assert head.position(3 * SECOND, START + 60 * SECOND) == START + 12 * SECOND


def test_without_rows_there_is_no_position():
    head = Playhead(1.0, None, is_paused=False)

    assert head.position(0, None) is None
    head.pause(0, None)
    head.resume(0, None)
    assert head.position(0, None) is None


@given(st.lists(st.sampled_from(["pause", "resume", "slow", "fast", "wait"]), max_size=30))
def test_the_position_never_goes_back(orders):
    head = playhead()
    head.go_to(0, START)
    next_ns, now_ns, reached_ns = START + 100 * SECOND, 0, START

    for order in orders:
        if order == "pause":
            head.pause(now_ns, next_ns)
        elif order == "resume":
            head.resume(now_ns, next_ns)
        elif order == "wait":
            now_ns += SECOND
        else:
            head.change_speed(0.5 if order == "slow" else 3.0, now_ns, next_ns)
        position_ns = head.position(now_ns, next_ns)
        assert position_ns >= reached_ns
        reached_ns = position_ns
