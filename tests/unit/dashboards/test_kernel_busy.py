"""How long the main thread of a kernel has been busy."""

import pytest

from kucoin_research.dashboards.kernel_busy import KernelBusy


def test_a_busy_kernel_is_noticed_and_told_for_a_while():
    asked, now = [], [1_000.0]
    pulse = KernelBusy(asked.append, lambda: now[0])
    for _ in range(29):
        pulse.look(now[0])
        now[0] += 0.2

    assert len(asked) == 1  # one question at a time
    assert pulse.busy(now[0]) == pytest.approx(5.8)

    asked[0]()  # the kernel is free, and answers
    assert pulse.busy(now[0]) == 0
    assert pulse.was_busy(now[0] + 1) == pytest.approx(5.8)
    assert pulse.was_busy(now[0] + 11) == 0


def test_a_refresh_that_stood_still_itself_is_a_busy_kernel_too():
    pulse = KernelBusy(lambda call: call(), lambda: 1_000.0)
    pulse.look(1_000.0)
    pulse.look(1_004.0)

    assert pulse.was_busy(1_004.0) == 4.0


def test_outside_a_notebook_nothing_is_ever_busy():
    pulse = KernelBusy()
    pulse.look(1.0)

    assert pulse.busy(100.0) == 0
