"""Errors of a recorder in words, and the histogram of lags."""

from types import SimpleNamespace

import numpy as np
import pytest

from kucoin_research.dashboards.vitals import histogram, trouble_of


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
