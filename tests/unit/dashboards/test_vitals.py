"""Errors of a recorder in words, the histogram of lags, and the losses of the last minute."""

from types import SimpleNamespace

import numpy as np
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.kernel_busy import KernelBusy
from kucoin_research.dashboards.vitals import VitalsMonitor, histogram, trouble_of
from tests.conftest import wait_until
from tests.exchanges import simulate

HEALING = kr.Healing(connects_per_minute=600, most_backoff=1.0)


@pytest.mark.parametrize(
    ("files", "whole", "told"),
    [
        ([], None, None),
        (["a.csv"], None, "a.csv cannot be written: busy"),
        (["a.csv", "b.csv", "c.csv"], None, "a.csv and 2 more cannot be written: busy"),
        (["a.csv"], "no space", "nothing is recorded: no space"),
    ],
)
def test_one_file_that_cannot_be_written_is_not_called_all_of_them(files, whole, told):
    stuck = {name: OSError("busy") for name in files}
    error = OSError(whole) if whole else next(iter(stuck.values()), None)

    assert trouble_of(SimpleNamespace(error=error, stuck=stuck)) == told


def test_a_histogram_has_shares_that_sum_up():
    bins = histogram(np.array([0.5, 3.0, 3.0, 30.0, 9_000.0]))

    assert dict(bins)["2–5"] == 40.0
    assert (bins[0][0], bins[-1][0]) == ("0–1", "2000–5000")
    assert sum(share for _, share in bins) == pytest.approx(100)
    assert histogram(np.empty(0)) == []


def test_a_loss_of_the_last_minute_is_counted_however_many_notes_come_after_it():
    with (
        simulate(seed=3) as exchange,
        kr.stream("XBTUSDTM", "ticker", venue=exchange.venue, healing=HEALING) as stream,
    ):
        assert stream.wait_until_live()
        stream.wait("ticker", rows=2)
        early = VitalsMonitor(stream, "XBTUSDTM", KernelBusy())
        exchange.inject("abort")
        wait_until(lambda: stream.status.gaps)
        before = early.look(0.0).recent_gaps
        for _ in range(2_001):
            stream.note("note", "a note")
        wait_until(lambda: stream.total("status") > 2_001)

        late = VitalsMonitor(stream, "XBTUSDTM", KernelBusy())

        assert [each.look(1.0).recent_gaps for each in (early, late)] == [before, before]
        assert before == 1
