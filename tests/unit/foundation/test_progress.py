"""The bar of a download: none if it is done at once; the note of an interrupt."""

import pytest

from kucoin_research.foundation.progress import Download


def test_a_download_of_one_page_shows_nothing(capfd):
    with Download("candles", shown=True) as report:
        report(1.0, 200)

    assert capfd.readouterr().err == ""


def test_a_longer_one_shows_share_and_rows(capfd):
    with Download("candles", shown=True) as report:
        report(0.25, 200)
        report(1.0, 1_800)

    shown = capfd.readouterr().err
    assert "candles:" in shown
    assert "100%" in shown
    assert "1,800 rows" in shown


def test_it_never_runs_backwards():
    with Download("candles", shown=True) as report:
        shown = [0.0]
        for rows, share in enumerate((0.2, 0.6, 0.4, 0.5, 0.9)):
            report(share, rows)
            shown.append(report._bar.n)

    assert shown == sorted(shown)
    assert shown[-1] == pytest.approx(0.9)


def test_an_interrupt_says_how_far_it_was():
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt) as caught,
        Download("candles", shown=False) as report,
    ):
        report(0.5, 598)
        raise KeyboardInterrupt

    (note,) = caught.value.__notes__
    assert "interrupted at 50%; nothing is returned, 598 rows are dropped" in note
