"""Sweeps: the same numbers on every executor, whatever happens to a trial or to its worker."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import statistics
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput, StopStrategy, UnknownChannel
from kucoin_research.figures.sweep_chart import sweep_figure
from kucoin_research.figures.theme import PALETTES
from kucoin_research.sessions.files.folder_lock import FolderLock
from kucoin_research.strategy.statistics import (
    Coverage,
    Sharpe,
    deflated_sharpe,
    resample,
    sharpe_of,
)
from kucoin_research.strategy.sweep import Sweep
from kucoin_research.strategy.sweep_facts import SweepFacts
from kucoin_research.strategy.trials import Outcome, Plan, packed, run_parcel
from tests.processes import Process

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.filterwarnings(
    # Python 3.12 and later warn of any fork beside threads; these processes need none of them.
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)
SAMPLE = ROOT / "data" / "sample"
DAY = 86_400 * 10**9
START = 1_767_571_200 * 10**9
GRID = {"every": [3, 7, 11], "size": [1, 2]}

sweep = partial(kr.sweep, progress=False)


@pytest.fixture(scope="module")
def instrument():
    return kr.load(SAMPLE).instruments["XBTUSDTM"]


@pytest.fixture(scope="module")
def days(instrument):
    """Tickers of 60 days, one a day, and what is known about their symbol."""
    mids = [60_000 + 900 * round(np.sin(day / 5), 6) + 40 * (day % 3) for day in range(60)]
    times = [START + day * DAY for day in range(60)]
    frame = pl.DataFrame(
        {
            "timestamp": times,
            "local_timestamp": times,
            "symbol": ["XBTUSDTM"] * 60,
            "price": mids,
            "best_bid_price": [mid - 0.5 for mid in mids],
            "best_bid_size": [500.0] * 60,
            "best_ask_price": [mid + 0.5 for mid in mids],
            "best_ask_size": [500.0] * 60,
        }
    ).with_columns(pl.col("timestamp", "local_timestamp").cast(pl.Datetime("ns", "UTC")))
    return {"data": {"ticker": frame}, "instruments": [instrument]}


class Alternating:
    """Changes sides at every nth record."""

    def __init__(self, every, size):
        self.every, self.size, self.seen = every, size, 0

    def __call__(self, record, broker):
        self.seen += 1
        if self.seen % self.every == 0:
            broker.target(self.size if self.seen // self.every % 2 else -self.size)


@contextmanager
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def processes(method):
    @contextmanager
    def opened():
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            yield executor

    return opened


@contextmanager
def dask():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


EXECUTORS = {
    "threads": threads,
    "spawned": processes("spawn"),
    "forked": processes("fork"),
    "dask": dask,
}


# -- the same numbers everywhere -------------------------------------------------------------------


FEW = {"every": [40], "size": [1, 3]}


def alternating():
    scale = 1

    def make(every, size):  # a closure, which pickle alone could not send
        return Alternating(every, scale * size)

    return make


@pytest.fixture(scope="module")
def here(days):
    """Sweep in this process: trials of frames, and those of a recording."""
    return sweep(alternating(), GRID, **days), sweep(alternating(), FEW, SAMPLE, leverage=2)


@pytest.mark.parametrize("kind", EXECUTORS)
def test_every_executor_makes_the_same_numbers(days, here, kind):
    of_frames, of_recording = here

    with EXECUTORS[kind]() as executor:
        there = sweep(alternating(), GRID, **days, executor=executor)
        again = sweep(alternating(), FEW, SAMPLE, leverage=2, executor=executor)

    assert of_frames.frame.equals(there.frame)
    assert of_recording.frame.equals(again.frame)
    assert of_frames.deflated_sharpe == there.deflated_sharpe is not None
    assert of_frames.frame["fingerprint"].n_unique() == 6
    assert of_recording.frame["trades"].min() > 0
    assert not multiprocessing.active_children()


def test_a_trial_has_the_figures_of_a_backtest(days):
    found = sweep(Alternating, GRID, **days)

    for row in found.frame.iter_rows(named=True):
        strategy = Alternating(row["every"], row["size"])
        result = kr.backtest(strategy, **days, progress=False)
        assert {name: row[name] for name in result.stats} == dict(result.stats)
        assert row["fingerprint"] == result.fingerprint


def test_rows_are_in_the_order_of_the_grid_whichever_trial_ends_first(days):
    second_was_made = threading.Event()

    def make(every):
        if every == 3:
            assert second_was_made.wait(60)
        else:
            second_was_made.set()
        return Alternating(every, 1)

    with ThreadPoolExecutor(2) as executor:
        found = sweep(make, {"every": [3, 7]}, **days, executor=executor)

    assert found.frame["every"].to_list() == [3, 7]
    assert found.frame["ended"].to_list() == [None, None]
    assert found.frame["orders"].to_list() == [20, 8]


@pytest.mark.parametrize(
    "grid",
    [
        [{"every": 3, "size": 1}, {"every": 3, "size": 2}],
        pl.DataFrame({"every": [3, 3], "size": [1, 2]}),
        {"every": (3,), "size": np.arange(1, 3)},
        iter([{"every": 3, "size": 1}, {"every": 3, "size": 2}]),
    ],
    ids=["mappings", "frame", "product", "iterator"],
)
def test_a_grid_may_be_given_in_many_ways(days, grid):
    kinds = []

    def make(every, size):
        kinds.append(type(size))
        return Alternating(every, size)

    found = sweep(make, grid, **days)

    assert found.frame.select("every", "size").rows() == [(3, 1), (3, 2)]
    assert kinds == [int, int]


def test_values_that_no_column_can_hold_are_written_as_texts(days):
    def mean():
        return 3

    grid = [{"every": mean, "mixed": 1}, {"every": mean, "mixed": "a"}, {"every": mean}]

    found = sweep(lambda every, mixed=None: Alternating(every(), 1), grid, **days)

    assert found.frame["every"].str.ends_with("mean").all()
    assert found.frame["mixed"].to_list() == ["1", "a", None]


# -- what goes wrong -------------------------------------------------------------------------------


def unlucky(case):
    """Make a strategy that fails, or ends, in a way that depends on the case."""
    if case == "make":
        raise ValueError("no such thing")
    if case == "none":
        return None

    def strategy(record, broker):
        if case == "strategy":
            raise KeyError("mid")
        if case == "stop":
            raise StopStrategy("seen enough")

    return strategy


def test_a_trial_that_raises_has_its_reason_in_its_row(days):
    found = sweep(unlucky, {"case": ["make", "none", "strategy", "stop", "fine"]}, **days)

    ended = found.frame["ended"].to_list()
    assert ended[0] == "making the strategy raised ValueError: no such thing"
    assert ended[1].startswith("make_strategy returned no strategy: ")
    assert re.fullmatch(
        r"the strategy raised KeyError: 'mid' at record 1, in line \d+ of strategy", ended[2]
    )
    assert ended[3:] == ["the strategy stopped it: seen enough", None]
    assert found.frame["records"].to_list() == [None, None, None, 1, 60]
    assert found.frame["fingerprint"].null_count() == 3
    assert (found.trials, found.complete, found.best) == (5, True, None)
    assert "5 TRIALS, 3 FAILED" in repr(found)


def test_ratios_of_a_trial_that_ended_early_are_of_the_same_step(days):
    def make(most):
        inner = Alternating(3, 1)

        def strategy(record, broker):
            inner(record, broker)
            if inner.seen == most:
                raise StopStrategy

        return strategy

    found = sweep(make, {"most": [20, 40, 60]}, **days)
    alone = kr.backtest(make(20), **days, progress=False)

    assert alone.stats["sharpe"] is not None  # of hours, as there are not 30 days
    sharpes = found.frame["sharpe"].to_list()
    assert sharpes[0] is None
    assert all(each is not None for each in sharpes[1:])


def killing(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return Alternating(3, number + 1)


def test_trials_lost_with_a_killed_worker_are_named_and_the_others_kept(days):
    spawn = multiprocessing.get_context("spawn")

    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        found = sweep(killing, {"number": range(5)}, **days, executor=executor)
        with pytest.raises(InvalidInput, match="the executor is broken, make a new one"):
            sweep(killing, {"number": [0]}, **days, executor=executor)

    assert found.frame["orders"].to_list() == [20, 20, None, None, None]
    assert found.frame["ended"][1] is None
    assert found.frame["ended"][2:].str.starts_with("lost with its worker: BrokenProcess").all()
    assert (found.trials, found.complete) == (2, False)
    assert "5 TRIALS, 3 NOT RUN" in repr(found)


def test_of_a_forked_worker_only_the_trial_that_was_killed_is_lost(days):
    fork = multiprocessing.get_context("fork")

    with ProcessPoolExecutor(1, mp_context=fork) as executor:
        found = sweep(killing, {"number": range(5)}, **days, executor=executor)

    assert found.frame["orders"].to_list() == [20, 20, None, 20, 20]
    assert found.frame["ended"][2].startswith("lost with its worker: ")


def test_a_strategy_that_cannot_be_sent_is_refused_in_a_sentence(days):
    lock = threading.Lock()

    def make(every):
        with lock:
            return Alternating(every, 1)

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        with pytest.raises(InvalidInput, match=r"cannot be sent to another process .*lock"):
            sweep(make, {"every": [3]}, **days, executor=executor)
        with pytest.raises(InvalidInput, match="a value of the grid cannot be sent"):
            sweep(Alternating, {"every": [3], "size": [lock]}, **days, executor=executor)
    with ThreadPoolExecutor(1) as executor:
        assert sweep(make, {"every": [3]}, **days, executor=executor).complete


def test_functions_and_classes_of_main_are_sent_to_spawned_processes():
    code = f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        import kucoin_research as kr

        class Buyer:
            def __init__(self, size):
                self.size = size

            def __call__(self, record, broker):
                if not broker.orders() and not broker.fills:
                    broker.buy(self.size)

        def make(size):
            return Buyer(size)

        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found = kr.sweep(make, {{"size": [1, 2]}}, {str(SAMPLE)!r}, executor=pool)
        print(found.frame["ended"].to_list(), found.frame["fees"].min() > 0)
    """

    with Process(sys.executable, "-c", textwrap.dedent(code), PYTHONPATH=str(ROOT)) as process:
        assert process.wait() == 0, process.stderr

    assert process.stdout == "[None, None] True\n"


# -- Ctrl-C ----------------------------------------------------------------------------------------


def test_an_interrupt_returns_the_trials_so_far(days):
    def make(number):
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        return Alternating(3, number + 1)

    found = sweep(make, {"number": range(4)}, **days)

    assert found.frame["orders"].to_list() == [20, 20, None, None]
    assert found.frame["ended"].to_list()[2:] == ["not run: the sweep was interrupted"] * 2
    assert (found.trials, found.complete) == (2, False)
    assert "4 TRIALS, 2 NOT RUN, INTERRUPTED" in repr(found)


def test_an_interrupt_cancels_trials_that_have_not_begun(days):
    made, has_returned = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)
            assert has_returned.wait(60)
        return Alternating(3, number + 1)

    with ThreadPoolExecutor(1) as executor:
        found = sweep(make, {"number": range(4)}, **days, executor=executor)
        has_returned.set()
        assert executor.submit(int, "7").result(60) == 7  # it was not shut down

    assert made == [0, 1]
    assert found.frame["orders"].to_list() == [20, None, None, None]
    assert not found.complete


# -- wrong use -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"fees": [1]}, "no parameter can be called 'fees', since the frame has a column"),
        ({"ended": [1]}, "no parameter can be called 'ended'"),
        ({"every": 3}, r"grid\['every'\] must be a list of values, not 3; .* write \[3\]"),
        ({"every": "abc"}, r"grid\['every'\] must be a list of values, not 'abc'"),
        ({"every": []}, r"grid\['every'\] is empty"),
        ([], "the grid has no trial"),
        ([3], "each trial of the grid must be a mapping of parameters, and 3 is none"),
        ({3: [1]}, "the name of a parameter must be a text, not 3"),
        (5, "grid must be a mapping such as"),
    ],
)
def test_a_wrong_grid_is_refused_in_a_sentence(days, grid, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        sweep(Alternating, grid, **days)


def test_wrong_options_are_refused_before_any_trial(days):
    def make(every):
        raise AssertionError("no trial begins")

    grid = {"every": [3]}
    with pytest.raises(InvalidInput, match="sweep has no option 'laverage'; did you mean 'lever"):
        sweep(make, grid, **days, laverage=2)
    with pytest.raises(InvalidInput, match="queue must be one of"):
        sweep(make, grid, **days, queue="none at all")
    with pytest.raises(UnknownChannel):
        sweep(make, grid, **days, channels="depth5")
    with pytest.raises(InvalidInput, match=r"executor must be one of concurrent\.futures"):
        sweep(make, grid, **days, executor=4)
    with pytest.raises(InvalidInput, match="trials_before must be a whole number"):
        sweep(make, grid, **days, trials_before=-1)
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    with pytest.raises(InvalidInput, match="the executor takes no trials"):
        sweep(make, grid, **days, executor=closed)


# -- a session on disk -----------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path):
    return Path(shutil.copytree(SAMPLE, tmp_path / "recorded"))


def change_a_price(folder):
    """Change a price without changing the size of any file."""
    path = next(folder.glob("*_trade_*.csv"))
    lines = path.read_text().splitlines(keepends=True)
    price = lines[0].rstrip().split(",").index("price")
    cells = lines[50].split(",")
    cells[price] = f"{1 + int(cells[price][0])}{cells[price][1:]}"
    path.write_text("".join([*lines[:50], ",".join(cells), *lines[51:]]))


def highest_price(bound):
    def strategy(record, broker):
        if type(record).__name__ == "Trade" and record.price > bound:
            broker.note("very high")
            raise StopStrategy("very high")

    return strategy


def test_a_worker_reads_a_session_again_that_has_changed(recorded):
    grid = {"bound": [1.5 * kr.load(recorded).frame("trade")["price"].max()]}

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        before = sweep(highest_price, grid, recorded, executor=executor)
        lines = next(recorded.glob("*_trade_*.csv")).read_text()
        change_a_price(recorded)
        after = sweep(highest_price, {"bound": [60_000.0]}, recorded, executor=executor)

    assert lines != next(recorded.glob("*_trade_*.csv")).read_text()
    assert before.frame["ended"].to_list() == [None]
    assert after.frame.equals(sweep(highest_price, {"bound": [60_000.0]}, recorded).frame)


def test_a_worker_that_finds_other_files_does_not_run_the_trial(recorded):
    options = {"channels": None, "symbols": None, "instruments": {}}
    parcel = Plan(highest_price, recorded, options).parcel()
    with next(recorded.glob("*_trade_*.csv")).open("a") as file:
        file.write("\n")

    outcome = run_parcel(parcel, packed({"bound": 1.0}, "a value"))

    assert not outcome.was_run
    assert outcome.ended.startswith("the worker cannot read the sweep: InvalidInput: ")
    assert outcome.ended.endswith("other files than where the sweep began")


def test_a_session_that_is_being_recorded_is_not_read_by_other_processes(recorded):
    spawn = multiprocessing.get_context("spawn")

    with FolderLock(recorded), ProcessPoolExecutor(1, mp_context=spawn) as executor:
        with pytest.raises(InvalidInput, match="is being recorded, and each process would read"):
            sweep(Alternating, GRID, recorded, executor=executor)
        assert sweep(Alternating, {"every": [40], "size": [1]}, recorded).complete


# -- the deflated Sharpe ratio ---------------------------------------------------------------------


def facts(sharpes, **others):
    outcomes = [Outcome(figures={"sharpe": 1.0}, sharpe=each) for each in sharpes]
    trials = [{"place": place} for place in range(len(outcomes))]
    plain = {"name": "made", "currency": "USDT", "step_ns": DAY, "blank": {"sharpe": None}}
    return SweepFacts(trials=trials, outcomes=outcomes, **{**plain, **others})


@pytest.mark.parametrize(("trials", "deflated"), [(100, 0.9004), (46, 0.9505)])
def test_the_deflated_sharpe_ratio_is_that_of_the_paper(trials, deflated):
    # Bailey and López de Prado (2014): 2.5 a year in 1,250 days of 250 a year, a variance of 1/2.
    best = Sharpe(2.5 / 250**0.5, 1_250, skewness=-3.0, kurtosis=10.0)
    other = Sharpe(best.ratio - (2 * 0.5 / 250) ** 0.5, 1_250)

    found = Sweep(facts([other, best], trials_before=trials - 2))

    assert found.trials == trials
    assert found.best == {"place": 1}
    assert found.deflated_sharpe == pytest.approx(deflated, abs=5e-5)


def test_the_deflated_sharpe_ratio_is_that_of_the_equity_of_all_trials(days):
    found = sweep(Alternating, GRID, **days)

    sharpes = []
    for row in found.frame.iter_rows(named=True):
        run = kr.backtest(Alternating(row["every"], row["size"]), **days, progress=False)
        span = Coverage(START, START + 59 * DAY)
        daily = resample(run.equity, initial=10_000.0, coverage=span, step_ns=DAY)
        sharpes.append(sharpe_of(daily.returns))
    variance = statistics.variance(each.ratio for each in sharpes)
    best = max(sharpes, key=lambda each: each.ratio)

    every, size = found.frame.select("every", "size").row(sharpes.index(best))
    assert found.best == {"every": every, "size": size}
    assert found.deflated_sharpe == deflated_sharpe(best, variance=variance, trials=6)


def test_trials_of_earlier_sweeps_are_counted(days):
    first = sweep(Alternating, {"every": [3, 7, 11], "size": [1]}, **days)
    grid = {"every": [3, 7, 11], "size": [2]}

    alone = sweep(Alternating, grid, **days)
    after = sweep(Alternating, grid, **days, trials_before=first)
    many = sweep(Alternating, grid, **days, trials_before=1_000)

    assert (alone.trials, after.trials, many.trials) == (3, 6, 1_003)
    assert after.deflated_sharpe == pytest.approx(sweep(Alternating, GRID, **days).deflated_sharpe)
    assert many.deflated_sharpe < alone.deflated_sharpe
    assert "of 1,003 trials, 1,000 of them earlier" in " ".join(repr(many).split())


def test_ratios_of_earlier_sweeps_are_converted_to_the_step():
    daily = facts([Sharpe(0.3, 40), Sharpe(0.1, 40)])

    assert daily.ratios_over(DAY // 4) == pytest.approx([0.15, 0.05])


@pytest.mark.parametrize(
    ("sharpes", "before", "said"),
    [
        ([None, None], 0, "No trial has a Sharpe ratio: it takes 30 returns of 1 d that vary."),
        ([Sharpe(0.1, 40), None], 0, "Sharpe ratio is n/a: of 2 trials, too few have a Sharpe"),
        ([Sharpe(0.1, 40)], 0, "luck, which makes 0.00 of the best of 1 trial."),
    ],
)
def test_it_says_why_there_is_no_deflated_sharpe_ratio(sharpes, before, said):
    found = Sweep(facts(sharpes, trials_before=before))

    assert (found.deflated_sharpe is None) == (None in sharpes)
    assert said in " ".join(repr(found).split())


# -- showing ---------------------------------------------------------------------------------------


def test_it_prints_the_best_trial_and_the_first_rows(days):
    found = sweep(Alternating, {"every": range(3, 17), "size": [1]}, **days, name="<swing>")

    lines = repr(found).splitlines()
    best = found.frame.sort("sharpe", descending=True)["every"]
    assert lines[0] == "<swing>: 14 TRIALS"
    assert lines[1].startswith(f"Best: every={best[0]}, size=1, with a Sharpe ratio of ")
    header = next(place for place, line in enumerate(lines) if line.startswith("every"))
    assert lines[header].split() == [
        "every", "size", "return_pct", "sharpe", "max_drawdown_pct", "trades",
    ]  # fmt: skip
    shown = [int(line.split()[0]) for line in lines[header + 1 : -1]]
    assert shown == best[:12].to_list()
    assert lines[-1] == "The best first; .frame has 2 more."
    assert max(map(len, lines)) <= 100
    assert "<b>&lt;swing&gt;</b>" in found._repr_html_()
    assert found.to_frame() is found.frame


def test_progress_shows_the_trials_done_and_none_if_it_is_unwanted(days, capsys):
    kr.sweep(Alternating, {"every": [3, 5], "size": [1]}, **days, name="two")
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(r"two: 2 of 2 trials \|.*\| 00:\d\d<00:00", said.err.rpartition("\r")[2])

    kr.sweep(Alternating, {"every": [3, 5], "size": [1]}, **days, progress=False)
    assert capsys.readouterr() == ("", "")


def map_of(figure):
    heat = figure.data[0]
    return list(heat.x), list(heat.y), np.asarray(heat.z).tolist()


def test_a_heat_map_shows_each_trial_in_its_cell_and_frames_the_best(days):
    found = sweep(Alternating, GRID, **days)

    figure = found.heatmap()

    by = {row[:2]: row[2] for row in found.frame.select("every", "size", "sharpe").rows()}
    x, y, z = map_of(figure)
    assert (x, y) == (["3", "7", "11"], ["1", "2"])
    assert z == [[by[every, size] for every in (3, 7, 11)] for size in (1, 2)]
    shape = figure.layout.shapes[0]
    column, row = x.index(str(found.best["every"])), y.index(str(found.best["size"]))
    assert (shape.x0, shape.x1, shape.y0, shape.y1) == (
        column - 0.5, column + 0.5, row - 0.5, row + 0.5,
    )  # fmt: skip


def test_cells_hold_means_and_those_without_a_value_stay_empty(days):
    def make(every, size, tag="a"):
        if every == 7:
            raise ValueError
        return Alternating(every, size)

    grid = [
        {"every": every, "size": size, "tag": tag}
        for every, size, tag in [(11, 1, "a"), (3, 1, "a"), (3, 2, "b"), (7, 1, "a")]
    ]
    found = sweep(make, grid, **days)
    fees = dict(found.frame.select(pl.concat_str("every", "size"), "fees").rows())

    x, y, z = map_of(found.heatmap("every", "tag", value="fees"))
    strip = map_of(found.heatmap(y="every", value="fees", theme="dark"))

    assert (x, y) == (["3", "7", "11"], ["a", "b"])
    assert np.isnan(z[0][1])
    assert np.isnan(z[1][2])
    assert [z[0][0], z[1][0], z[0][2]] == [fees["31"], fees["32"], fees["111"]]
    assert strip[1] == ["3", "7", "11"]
    assert found.heatmap(theme="dark").data[0].textfont.color == PALETTES["dark"]["main"]
    means = map_of(found.heatmap("every", value="fees"))
    assert means[2][0][0] == fees["31"]
    along = map_of(sweep(make, grid[:3], **days).heatmap("tag", "every", value="orders"))
    assert along[0] == ["a", "b"]


def test_trials_that_share_a_cell_show_their_mean():
    frame = pl.DataFrame({"a": [1, 1, 2], "b": [5, 5, 5], "sharpe": [1.0, 2.0, None]})

    x, y, z = map_of(sweep_figure(frame, ["a", "b"], y="b"))

    assert (x, y) == (["1", "2"], ["5"])
    assert z[0][0] == 1.5
    assert np.isnan(z[0][1])
    assert map_of(sweep_figure(frame, ["a", "b"]))[1] == [""]


def test_a_heat_map_of_something_else_is_refused_in_a_sentence(days):
    found = sweep(Alternating, GRID, **days)

    with pytest.raises(InvalidInput, match="no parameter 'evry'; parameters: every, size"):
        found.heatmap("evry")
    with pytest.raises(InvalidInput, match="x and y are both 'size'"):
        found.heatmap("size", "size")
    with pytest.raises(InvalidInput, match=r"value must be one of records, .*, not 'duration'"):
        found.heatmap(value="duration")
    with pytest.raises(InvalidInput, match="theme must be 'light' or 'dark'"):
        found.heatmap(theme="pink")
